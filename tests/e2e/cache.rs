//! The warm cache: the next boot of a kind begins with what an earlier one left, unless that is no good.

use std::process::Command;

use k3s_arc_harness::{
    check::Access,
    cluster::{Boot, Cached, CachedState, ClusterSpec, docker::cache},
    config::{CacheUse, Config},
    fixture::{Fixture, FixtureError, Target, Verdict},
};
use rstest::rstest;

use crate::CONTAINER;

/// Boots that nobody else asks for, told by a server argument: their entries are this test's to damage and to remove. Another run's test
/// has another argument.
struct Kind {
    config: Config,
    argument: String,
}

impl Kind {
    fn new(target: Target) -> Result<Self, FixtureError> {
        let argument = format!("--node-label=k3s-arc.test/cache={}", std::process::id());
        Ok(Self { config: Config { cache: CacheUse::Use, ..target.config()? }, argument })
    }

    /// Boots a cluster, ends it once it has been served, and tells what it was booted from.
    async fn boot(&self, which: &str) -> Result<Boot, FixtureError> {
        self.boot_somewhere(which).await.map(|(boot, _)| boot)
    }

    /// The same, with the address that its container had.
    async fn boot_somewhere(&self, which: &str) -> Result<(Boot, String), FixtureError> {
        let spec = ClusterSpec::new(self.config.k3s.clone()).server_argument(&self.argument).private(which);
        let cluster = Fixture::with_spec(self.config.clone(), spec, Access::Alone).await?.cluster();
        let machine = cluster.node().machine().await.expect("the engine tells of the container");
        let container = machine.expect("the node is a container").name;
        let at = address(&container);
        docker(&["rm", "--force", "--volumes", &container]);
        Ok((cluster.boot().clone(), at))
    }

    async fn entries(&self) -> Vec<Cached> {
        let entries = cache::list().await.expect("the cache can be listed");
        entries.into_iter().filter(|entry| entry.command.ends_with(&self.argument)).collect()
    }

    async fn entry(&self) -> Cached {
        let mut entries = self.entries().await;
        assert_eq!(entries.len(), 1, "one entry of this kind is there: {entries:?}");
        entries.remove(0)
    }

    async fn clear(&self) {
        for entry in self.entries().await {
            cache::clear(Some(&[entry.key])).await.expect("the cache can be cleared");
        }
    }
}

/// Runs a shell in a container that has the entry at `/entry`.
fn in_entry(entry: &Cached, script: &str) -> String {
    let volume = format!("{}:/entry", entry.volume);
    docker(&["run", "--rm", "--volume", &volume, "--entrypoint", "/bin/sh", &entry.k3s, "-ec", script])
}

fn docker(arguments: &[&str]) -> String {
    let ran = Command::new("docker").args(arguments).output().expect("the docker command is there");
    assert!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    String::from_utf8_lossy(&ran.stdout).into_owned()
}

fn address(container: &str) -> String {
    let each = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    docker(&["inspect", "--format", each, container]).trim().to_owned()
}

/// Containers that do nothing, one of which has an address. They would end by themselves.
struct Occupied(Vec<String>);

impl Occupied {
    fn address(wanted: &str, image: &str) -> Self {
        let mut others = Self(Vec::new());
        // Docker gives each the first address that is free, and some before the wanted one may be.
        while !others.0.iter().any(|other| address(other) == wanted) {
            assert!(others.0.len() < 20, "{wanted} is nobody's");
            let id = docker(&["run", "--detach", "--rm", "--entrypoint", "sleep", image, "120"]);
            others.0.push(id.trim().to_owned());
        }
        others
    }
}

impl Drop for Occupied {
    fn drop(&mut self) {
        let _ = Command::new("docker").args(["rm", "--force", "--volumes"]).args(&self.0).output();
    }
}

#[track_caller]
fn assert_rebuilt(boot: &Boot, why: &str) {
    assert!(matches!(boot, Boot::Rebuilt(told) if told.starts_with(why)), "{boot:?}: the entry must be told to be {why}");
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = CONTAINER)]
async fn a_boot_is_kept_for_the_next_which_is_served_from_it_unless_it_is_no_good(#[case] target: Target) -> Verdict {
    let kind = Kind::new(target)?;
    kind.clear().await;

    let (boot, at) = kind.boot_somewhere("first").await?;
    assert_eq!(boot, Boot::FromNothing);
    let entry = kind.entry().await;
    assert_eq!((entry.state, entry.in_use, entry.used), (CachedState::Whole, false, None));
    let needless = in_entry(&entry, "cd /entry/data; find . -type s; find storage agent/images -type f 2>/dev/null || true");
    assert_eq!(needless, "", "volumes and archives are left out");

    // Its datastore knows the first address.
    let occupied = Occupied::address(&at, &entry.k3s);
    let (boot, elsewhere) = kind.boot_somewhere("second").await?;
    drop(occupied);
    assert_eq!(boot, Boot::FromCache);
    assert_ne!(elsewhere, at);
    let used = kind.entry().await;
    assert_eq!((used.volume, used.state, used.bytes), (entry.volume.clone(), CachedState::Whole, entry.bytes));
    assert!(used.used >= Some(entry.made), "it is noted that somebody used it");

    in_entry(&entry, "printf damage | dd of=/entry/data/server/db/state.db bs=1 seek=4096 conv=notrunc");
    assert_rebuilt(&kind.boot("third").await?, "damaged: ./server/db/state.db: FAILED");
    let rebuilt = kind.entry().await;
    assert_eq!(rebuilt.state, CachedState::Whole);
    assert_ne!(rebuilt.volume, entry.volume);

    in_entry(&rebuilt, "rm /entry/manifest");
    assert_eq!(kind.entry().await.state, CachedState::HalfWritten);
    assert_rebuilt(&kind.boot("fourth").await?, "half-written: it has no manifest");
    assert_eq!(kind.entry().await.state, CachedState::Whole);

    kind.clear().await;
    assert_eq!(kind.entries().await, []);
    Ok(())
}
