//! A launch: the overlay applied, its pod awaited, its log followed to the end, and everything deleted again.
//!
//! It does what the tutorial ("Automated validation testing", Azure Arc documentation) has a person type:
//! `kubectl apply -k`, `kubectl wait --for=condition=Ready --timeout=360s`, `kubectl logs --follow`,
//! `kubectl delete -k`. [`Launch::run`] is the first three. It deletes nothing when it fails or is given up,
//! so that a diagnosis can look; [`Launch::delete`] can always be called, also before it, and again.

mod apply;
mod delete;
mod error;
mod job;
mod log;
mod names;
mod pod;

use std::{collections::BTreeMap, fmt::Debug, path::PathBuf, time::Duration};

use kube::{Api, Client, core::DynamicObject};
use tokio::time::{Instant, timeout_at};

pub use self::error::LaunchError;
use self::{error::Step, job::LauncherJob, log::Log};
use super::{Inputs, Masker, Outcome, Overlay, OverlayError, Problem, Rendered, Renderer, Staged};
use crate::{
    cluster::Cluster,
    config::{Config, LauncherImage},
};

/// Who the API server is told owns the fields we apply.
const FIELD_MANAGER: &str = "k3s-arc";

/// How long the tutorial waits for the launcher's pod to be Ready; Microsoft's image is 2.5 GB.
pub const POD_READY: Duration = Duration::from_secs(360);

/// How far a launch goes: `LAUNCHER_MODE` in the container's environment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
pub enum LauncherMode {
    /// Every stage that `.test.env` does not skip.
    #[default]
    Full,
    /// No further than the deployed data controller.
    SetupOnly,
    /// No further than the clean-up before the deployment.
    CleanOnly,
}

impl LauncherMode {
    /// The variable's value; nothing where the launcher's own default holds.
    fn variable(self) -> Option<&'static str> {
        match self {
            Self::Full => None,
            Self::SetupOnly => Some("SETUP_ONLY"),
            Self::CleanOnly => Some("CLEAN_ONLY"),
        }
    }
}

/// What is to be launched, and how long it may take.
#[derive(Debug, Clone)]
pub struct LaunchOptions {
    /// The tree; nothing: the one built in.
    pub tree: Option<PathBuf>,
    /// The `.test.env` to use in place of the tree's own.
    pub test_env: Option<PathBuf>,
    /// Variables of `.test.env` that are to have other values, such as `SKIP_POSTCLEAN` 1.
    pub overrides: Vec<(String, String)>,
    /// The StorageClass that the built-in tree asks for, where K3s's is not to be had.
    pub storage_class: Option<String>,
    /// Where a copy of the tree is made, with the secrets of `.test.env` in it; the temporary directory, where nothing is said. In a run's
    /// directory it is removed with the run, whatever ends it.
    pub within: Option<PathBuf>,
    /// Who plays the launcher.
    pub image: LauncherImage,
    /// How far it goes.
    pub mode: LauncherMode,
    /// From apply until the launcher's pod is Ready.
    pub pod_ready: Duration,
    /// From apply until the launcher has exited.
    pub deadline: Duration,
    /// Until what is deleted is gone. The launcher's pod alone may take 90 s to end.
    pub deletion: Duration,
}

impl LaunchOptions {
    /// A full launch by `image` from the built-in tree. The stand-in has ten minutes (it takes one); Microsoft's
    /// launcher has six hours, for images of 2.5 GB each over a home link and suites of hundreds of tests.
    pub fn new(image: LauncherImage) -> Self {
        let deadline = match image {
            LauncherImage::Standin => Duration::from_secs(600),
            LauncherImage::Tree => Duration::from_secs(6 * 3600),
        };
        Self {
            tree: None,
            test_env: None,
            overrides: Vec::new(),
            storage_class: None,
            within: None,
            image,
            mode: LauncherMode::Full,
            pod_ready: POD_READY,
            deadline,
            deletion: Duration::from_secs(180),
        }
    }

    /// What the configuration asks for.
    pub fn from_config(config: &Config) -> Self {
        Self { tree: config.launcher_dir.clone(), test_env: config.test_env.clone(), ..Self::new(config.launcher_image) }
    }

    /// Finds the tree, and validates the inputs, before there is a cluster to deploy them on.
    ///
    /// # Errors
    /// [`OverlayError`], which tells everything that is wrong with the inputs.
    pub async fn stage(&self) -> Result<Staged, OverlayError> {
        let inputs = Inputs {
            test_env: self.test_env.clone(),
            fill_in: self.image == LauncherImage::Standin,
            overrides: self.overrides.clone(),
            storage_class: self.storage_class.clone(),
            within: self.within.clone(),
        };
        let tree = self.tree.clone();
        // Files, and a tree that a user named: not on the runtime's threads.
        let staged = tokio::task::spawn_blocking(move || Overlay::locate(tree.as_deref())?.stage(&inputs));
        staged.await.map_err(|error| OverlayError::Objects { reason: error.to_string() })?
    }

    /// The same, with another value for a variable of `.test.env`.
    #[must_use]
    pub fn with(mut self, variable: &str, value: &str) -> Self {
        self.overrides.push((variable.to_owned(), value.to_owned()));
        self
    }
}

/// A launch that is ready to run.
pub struct Launch {
    client: Client,
    objects: Vec<DynamicObject>,
    job: LauncherJob,
    standin: bool,
    masker: Masker,
    warnings: Vec<Problem>,
    /// What everything that is applied carries.
    labels: BTreeMap<String, String>,
    pod_ready: Duration,
    deadline: Duration,
    deletion: Duration,
}

impl Launch {
    /// Validates the inputs and renders the tree; nothing is deployed yet.
    ///
    /// # Errors
    /// [`LaunchError::Overlay`], which tells everything that is wrong with the inputs, or [`LaunchError::NoLauncher`].
    pub async fn prepare(cluster: &Cluster, options: &LaunchOptions) -> Result<Self, LaunchError> {
        let storage_class = options.storage_class.clone().or_else(|| cluster.storage_class().map(str::to_owned));
        let staged = LaunchOptions { storage_class, ..options.clone() }.stage().await?;
        let rendered = Renderer::of(cluster).render(&staged).await?;
        let image = match options.image {
            LauncherImage::Standin => Some(cluster.standin_image()),
            LauncherImage::Tree => None,
        };
        let launch = Self::of(cluster, rendered, image, staged.test_env().masker(), options)?;
        Ok(Self { warnings: staged.warnings().to_vec(), ..launch })
    }

    /// A launch of what was rendered, by the stand-in's image where one is given.
    fn of(
        cluster: &Cluster,
        rendered: Rendered,
        standin: Option<&str>,
        masker: Masker,
        options: &LaunchOptions,
    ) -> Result<Self, LaunchError> {
        let mut objects = rendered.into_objects();
        for object in &mut objects {
            object.metadata.labels.get_or_insert_default().extend(cluster.labels());
        }
        let job = LauncherJob::adjust(&mut objects, standin, options.mode, &cluster.labels())?;
        Ok(Self {
            client: cluster.client(),
            objects,
            job,
            standin: standin.is_some(),
            masker,
            warnings: Vec::new(),
            labels: cluster.labels(),
            pod_ready: options.pod_ready,
            deadline: options.deadline,
            deletion: options.deletion,
        })
    }

    /// What is odd in the inputs, or between them, but does not prevent a launch.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The namespace that the launcher itself runs in.
    pub fn namespace(&self) -> &str {
        &self.job.namespace
    }

    /// Applies, waits and follows, until the launcher has exited; `on_line` is shown each line of its log as it is
    /// written, without secrets. A launcher that exits with another code than 0 is an outcome, not an error.
    ///
    /// # Errors
    /// [`LaunchError`]; what was applied stays until [`Launch::delete`].
    pub async fn run(&self, on_line: impl FnMut(&str) + Send) -> Result<Outcome, LaunchError> {
        let begun = Instant::now();
        let mut log = Log::new(&self.masker, on_line);
        let mut step = Step::Apply;
        match timeout_at(begun + self.deadline, self.steps(begun, &mut step, &mut log)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(LaunchError::Deadline { after: self.deadline, step, last_line: log.last_line() }),
        }
    }

    async fn steps(
        &self,
        begun: Instant,
        step: &mut Step,
        log: &mut Log<'_, impl FnMut(&str) + Send>,
    ) -> Result<Outcome, LaunchError> {
        let before = names::data_controllers(&self.client).await;
        let uid = self.apply().await?;
        *step = Step::AwaitPod;
        let pod = pod::ready(self, &uid).await?;
        let pod_ready_after = begun.elapsed();
        *step = Step::FollowLog;
        let pods = Api::namespaced(self.client.clone(), &self.job.namespace);
        let left = self.deadline.saturating_sub(begun.elapsed());
        let ended = log::follow(&pods, &pod, &self.job.container, left, log).await?;
        let took = begun.elapsed();
        *step = Step::FindNames;
        let names = names::find(&self.client, log.text(), &before).await;
        Ok(Outcome {
            exit_code: ended.exit_code,
            reason: ended.reason,
            standin: self.standin,
            image: self.job.image.clone(),
            namespace: names.namespace,
            data_controller: names.data_controller,
            pod_ready_after,
            took,
            log: log.text().to_owned(),
        })
    }

    /// Deletes what [`Launch::run`] applied, and waits until it is gone. What is not there, or not ours, is passed over.
    ///
    /// # Errors
    /// [`LaunchError::Api`], or [`LaunchError::Stuck`], which says why something is still there.
    pub async fn delete(&self) -> Result<(), LaunchError> {
        delete::all(self).await
    }

    /// An error of the API, in words, without secrets.
    fn refused(&self, attempted: impl Into<String>, error: &kube::Error) -> LaunchError {
        LaunchError::api(attempted, error, &self.masker)
    }
}

/// Kinds and names only: one of the objects is a Secret.
impl Debug for Launch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Launch")
            .field("objects", &self.objects.iter().map(super::overlay::title).collect::<Vec<_>>())
            .field("job", &self.job)
            .finish_non_exhaustive()
    }
}
