//! Starting a container (`startContainer` of `pkg/kubelet/kuberuntime`): its image, its configuration, its first process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use k3s_arc_container::files::{Files, Kind};
use k3s_arc_container::{Container, Executable, User};
use serde_json::{Value, json};

use super::Context;
use super::attempt::{Attempt, LastWords, Recipe};
use super::pulls::{Missing, Pulled};
use super::rootfs;
use super::sandbox::Sandbox;
use crate::kinds::view::{list, text};
use crate::node::setup::{self, PodVolumes};

/// Where a node keeps its containers, and the files of its images.
const CONTAINERS: &str = "var/lib/containers";
const IMAGES: &str = "var/lib/images";

/// Where the containers of a pod are kept.
pub(super) fn folder_of(root: &Path, uid: &str) -> PathBuf {
    root.join(CONTAINERS).join(uid)
}

/// A container that was made, and what it is to run.
pub(super) struct Made {
    pub(super) attempt: Arc<Attempt>,
    command: Vec<String>,
    /// Whether it was to begin in what is no directory.
    has_no_cwd: bool,
}

/// What a container is made of.
pub(super) struct Plan<'a> {
    pub(super) context: &'a Context,
    /// With its addresses.
    pub(super) pod: &'a Value,
    pub(super) container: &'a Value,
    pub(super) sandbox: &'a Sandbox,
    pub(super) volumes: &'a PodVolumes,
    pub(super) number: u64,
}

impl Plan<'_> {
    /// Makes the container. What is wrong is the reason and the message of a container that waits.
    pub(super) fn make(&self, pulled: &Pulled) -> Result<Made, Missing> {
        let (node, image) = (&self.context.node, &*pulled.image);
        let config = |error: setup::ConfigError| (error.reason, error.message);
        let user = setup::user(self.pod, self.container, image).map_err(config)?;
        let env = setup::environment(node, self.pod, self.container, image, &[self.sandbox.ip]).map_err(config)?;
        let command = setup::command(self.container, image, &env);
        let mut mounts = setup::mounts(node, self.pod, self.container, self.volumes).map_err(config)?;
        if command.is_empty() {
            return Err(("CreateContainerError", "failed to generate container spec: no command specified".to_owned()));
        }
        let failed = |error: std::io::Error| ("CreateContainerError", format!("failed to create containerd container: {error}"));
        let lower = self.context.unpacked.folder(&node.root.join(IMAGES), &pulled.id, &pulled.image).map_err(failed)?;
        let name = text(&self.container["name"]);
        let uid = text(&self.pod["metadata"]["uid"]);
        let folder = folder_of(&node.root, uid).join(name).join(self.number.to_string());
        let last_words_at = Path::new("/").join(text(&self.container["terminationMessagePath"]));
        let last_words = mounts.iter().find(|mount| mount.at == last_words_at).map(|mount| mount.source.clone());
        mounts.push(rootfs::make(&folder, lower, setup::root_is_read_only(self.container)).map_err(failed)?);
        let (memory, cpu) = setup::limits(self.container);
        setup::cgroup::follow(&setup::cgroup::directory(node, self.pod, self.container), &memory, &cpu);
        let container = Arc::new(Container {
            files: Files::new(mounts, user.clone(), node.disk.clone()),
            net: self.sandbox.net.clone(),
            memory,
            cpu,
            programs: image.programs.clone(),
            processes: Arc::default(),
            hostname: setup::host_name(node, self.pod),
        });
        let given = text(&self.container["workingDir"]);
        let cwd = if given.is_empty() { image.working_dir.as_deref().unwrap_or("/") } else { given };
        let cwd = Path::new("/").join(cwd);
        // runc makes it where it is missing; of a root that cannot be written to, it says so when something is written.
        let made = container.files.as_user(User::default()).create_dir_all(&cwd);
        let has_no_cwd =
            made.is_err() && container.files.as_user(User::default()).metadata(&cwd).is_ok_and(|at| at.kind != Kind::Directory);
        let recipe = Recipe {
            name: name.to_owned(),
            number: self.number,
            requested: text(&self.container["image"]).to_owned(),
            image: pulled.name.clone(),
            image_id: pulled.id.clone(),
            resources: self.container["resources"].clone(),
            user,
            env,
            cwd,
            container,
            last_words: LastWords {
                file: last_words,
                or_log: self.container["terminationMessagePolicy"] == "FallbackToLogsOnError",
            },
            has_stdin: self.container["stdin"] == true,
            is_stdin_once: self.container["stdinOnce"] == true,
            has_terminal: self.container["tty"] == true,
        };
        let cluster = node.cluster.clone();
        let attempt = Arc::new(Attempt::new(recipe, move || cluster.clock()));
        Ok(Made { attempt, command, has_no_cwd })
    }
}

impl Made {
    /// The program that it is to run, or why it does not start, as containerd says it.
    pub(super) fn program(&self) -> Result<Executable, String> {
        let recipe = &self.attempt.recipe;
        let failed = |why: String| {
            format!(
                "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: unable \
                 to start container process: error during container init: {why}"
            )
        };
        if self.has_no_cwd {
            return Err(failed(format!("mkdir {}: not a directory", recipe.cwd.display())));
        }
        recipe.executable(&self.command).map_err(|why| failed(why.to_string()))
    }

    /// Begins to run: see [`Attempt::start`].
    pub(super) fn start(
        self,
        found: &Executable,
        clock: impl Fn() -> Timestamp + Send + 'static,
    ) -> impl Future<Output = ()> + Send + 'static {
        let command = found.command(self.command);
        self.attempt.start(&found.program, command, clock)
    }
}

/// A pod with the addresses that its containers may ask for.
pub(super) fn with_addresses(pod: &Value, host_ip: &str, ip: &str) -> Value {
    let mut pod = pod.clone();
    let status = &mut pod["status"];
    status["hostIP"] = host_ip.into();
    status["hostIPs"] = json!([{"ip": host_ip}]);
    status["podIP"] = ip.into();
    status["podIPs"] = json!([{"ip": ip}]);
    pod
}

/// The number of the next attempt at a container of which this kubelet knows none.
pub(super) fn first_number(status: &Value, key: &str, container: &str) -> u64 {
    let before = list(&status[key]).iter().find(|status| text(&status["name"]) == container);
    before.and_then(|status| status["restartCount"].as_u64()).unwrap_or_default()
}
