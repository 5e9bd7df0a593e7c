//! The Docker Engine: whether it answers, and whether it can run K3s.

use super::{Finding, Verdict, needs::Needs};
use crate::cluster::docker::{DockerError, Engine, Maker, Route, RouteError, Unsuitable};

/// The first major version with everything that is asked of it.
const OLDEST: u32 = 20;

pub(super) fn judge(looked: &Result<Engine, DockerError>, needs: &Needs) -> Vec<Finding> {
    match looked {
        Ok(engine) => [reach(engine), way(engine, needs), suitable(engine), driver(engine)]
            .into_iter()
            .chain(images(engine, needs))
            .collect(),
        Err(error) => vec![unreachable(error)],
    }
}

fn unreachable(error: &DockerError) -> Finding {
    let help = miette::Diagnostic::help(error).map(|help| help.to_string()).unwrap_or_default();
    let remedy = format!("{help}; without Docker, `--provider emulator` gives an emulated K3s, and no verdict on K3s itself");
    Finding::ok("Docker", error.to_string(), "an engine that answers").but(Verdict::Missing, remedy)
}

fn reach(engine: &Engine) -> Finding {
    let version = engine.version.as_deref().unwrap_or("of an unknown version");
    let system = engine.system.as_deref().map(|system| format!(" on {system}")).unwrap_or_default();
    let major = version.split('.').next().and_then(|major| major.parse::<u32>().ok());
    let needed = format!("{OLDEST} or later");
    let found = format!("{} {version}{system} at {} ({})", engine.kind.name(), engine.address, engine.chosen);
    let finding = Finding::ok("Docker", found, needed);
    if engine.kind.maker == Maker::Podman {
        // Its versions are not Docker's.
        let remedy = match engine.cgroups {
            Some(1) => {
                "on cgroup v1 its API gives K3s no cgroups of its own, and CPU limits are not enforced: use cgroup v2, or Docker"
            }
            _ => "Podman serves Docker's API; see the README for how far this has been tried",
        };
        return finding.but(Verdict::Warning, remedy);
    }
    let old = major.is_some_and(|major| major < OLDEST);
    finding.unless(!old, Verdict::Warning, "update it; this version has not been tried")
}

/// Where clusters on it will be reached.
fn way(engine: &Engine, needs: &Needs) -> Finding {
    let finding = |found: String| Finding::ok("Docker: K3s's API", found, "where this host alone, or TLS, lets one in");
    match &engine.route {
        None | Some(Route::Here) => finding("on 127.0.0.1".to_owned()),
        Some(Route::Tunnel(_)) => finding("on 127.0.0.1, by ssh".to_owned()),
        Some(Route::There(address)) if engine.by_tls || needs.open => finding(format!("on {address}")),
        Some(Route::There(address)) => {
            let open = RouteError::Open { address: engine.address.clone() };
            let remedy = miette::Diagnostic::help(&open).map(|help| help.to_string()).unwrap_or_default();
            finding(format!("on {address}, without TLS")).but(Verdict::Missing, remedy)
        }
    }
}

fn suitable(engine: &Engine) -> Finding {
    const NEEDED: &str = "Linux containers that are privileged";
    let finding = |found: &str| Finding::ok("Docker: K3s", found, NEEDED);
    match engine.kind.can_run_k3s() {
        Err(Unsuitable { why, remedy }) => finding(&why).but(Verdict::Missing, remedy),
        Ok(()) if engine.kind.is_rootless() => finding("runs without root, with all the cgroup controllers it needs")
            .but(Verdict::Warning, "this has not been tried: an engine that runs as root is the surer one"),
        Ok(()) => finding("runs as root, users are not remapped"),
    }
}

fn driver(engine: &Engine) -> Finding {
    const NEEDED: &str = "overlay2 or overlayfs";
    let driver = engine.driver.as_deref().unwrap_or("unknown");
    let finding = Finding::ok("Docker: storage", driver, NEEDED);
    // K3s keeps its data on volumes, which are no layers of this driver's; with others, pulls and preloads are slow.
    finding.unless(driver.contains("overlay"), Verdict::Warning, "images take more room and time than with overlay2")
}

/// A line for each K3s that is asked for.
fn images(engine: &Engine, needs: &Needs) -> Vec<Finding> {
    let line = |image: &crate::cluster::K3sImage| {
        let image = image.to_string();
        let at_hand = engine.k3s_images.contains(&image);
        let found = if at_hand { "at hand" } else { "to be pulled" };
        Finding::ok(format!("image {image}"), found, "at hand, or a registry that has it")
    };
    needs.k3s.iter().map(line).collect()
}

/// Whether every K3s that is asked for is there without a pull.
pub(super) fn has_all(engine: &Engine, needs: &Needs) -> bool {
    !needs.channels && needs.k3s.iter().all(|image| engine.k3s_images.contains(&image.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cluster::docker::Kind, config::Config};

    fn engine() -> Engine {
        Engine {
            address: "unix:///var/run/docker.sock".to_owned(),
            version: Some("28.2.2".to_owned()),
            driver: Some("overlay2".to_owned()),
            k3s_images: vec!["rancher/k3s:v1.34.1-k3s1".to_owned()],
            ..Engine::default()
        }
    }

    fn needs(k3s: &str) -> Needs {
        Needs::of(&Config::read(|asked| (asked == "K3S_ARC_K3S").then(|| k3s.into())).unwrap())
    }

    fn verdicts(engine: Engine) -> Vec<Verdict> {
        judge(&Ok(engine), &needs("v1.34.1+k3s1")).iter().map(|finding| finding.verdict).collect()
    }

    #[test]
    fn an_engine_that_cannot_run_k3s_says_why() {
        use Verdict::{Missing, Ok, Warning};
        assert_eq!(verdicts(engine()), [Ok, Ok, Ok, Ok, Ok]);
        let engine_of = |kind: Kind| Engine { kind, ..engine() };
        assert_eq!(verdicts(engine_of(Kind::example(Maker::Docker, true, true))), [Ok, Ok, Missing, Ok, Ok]);
        assert_eq!(verdicts(engine_of(Kind::example(Maker::Docker, true, false))), [Ok, Ok, Warning, Ok, Ok]);
        assert_eq!(verdicts(engine_of(Kind::example(Maker::Podman, false, false))), [Warning, Ok, Ok, Ok, Ok]);
        let network = Engine { route: Some(Route::There([10, 0, 0, 7].into())), ..engine() };
        assert_eq!(verdicts(network.clone()), [Ok, Missing, Ok, Ok, Ok]);
        assert_eq!(verdicts(Engine { by_tls: true, ..network }), [Ok, Ok, Ok, Ok, Ok]);
        let old = Engine { version: Some("19.03.8".to_owned()), driver: Some("vfs".to_owned()), ..engine() };
        assert_eq!(verdicts(old), [Warning, Ok, Ok, Warning, Ok]);
    }

    #[test]
    fn no_engine_is_missing_and_the_emulator_is_named() {
        let error = DockerError::NoEngine {
            host: "tcp://nowhere:2376".to_owned(),
            chosen: "by DOCKER_HOST".to_owned(),
            source: "refused".into(),
        };
        let findings = judge(&Err(error), &needs("v1.34.1+k3s1"));
        assert!(matches!(&findings[..], [one] if one.verdict == Verdict::Missing), "{findings:?}");
        assert!(findings[0].remedy.as_deref().unwrap().contains("--provider emulator"));
    }

    #[test]
    fn only_what_is_asked_for_by_number_can_be_at_hand() {
        assert!(has_all(&engine(), &needs("v1.34.1+k3s1")));
        assert!(!has_all(&engine(), &needs("v1.34.1+k3s1,v1.33.2+k3s1")));
        assert!(!has_all(&engine(), &needs("v1.34.1+k3s1,stable")));
    }
}
