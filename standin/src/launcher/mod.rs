//! The launcher: runs the stages of `arc-ci-launcher`, in the pod of its Job.
//!
//! What needs Azure (log-in, onboarding, upload) it only says that it leaves out; the rest it does, on the
//! cluster it runs in. Its log lines, their order and the last of them are the real launcher's
//! ("Automated validation testing" in the Azure Arc documentation).

mod clean;
mod control;
mod debug;
mod inputs;
mod names;
mod objects;
mod scan;
mod settings;
mod setup;
mod stage;
mod suites;
mod wait;

use std::{collections::BTreeMap, path::PathBuf, sync::Arc, time::Duration};

use k3s_arc_container::Container;
use k8s_openapi::{
    api::{
        authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec},
        core::v1::Pod,
    },
    jiff::Timestamp,
};
use kube::{Api, Client, ResourceExt, api::PostParams};

pub use self::{control::ControlError, inputs::InputError, settings::SettingsError, wait::Deadline};
use self::{
    inputs::Inputs,
    names::Names,
    scan::Found,
    stage::{Mode, Stage, plan},
    suites::Target,
};
use crate::{
    arc::data_controller::ConnectionMode,
    kubernetes::{ApiError, Attempted, ConnectError},
    log::Log,
    shutdown::Shutdown,
};

/// The container of the launcher's pod (`launcher.yaml` in `microsoft/azure_arc`).
const CONTAINER: &str = "arc-ci-launcher";

/// How the labels of the launcher's pod begin that say for whom it was launched.
const OWNER_LABELS: &str = "k3s-arc.";

/// The exit code of a launch that was told to stop: 128 and the number of SIGTERM, as shells have it.
const INTERRUPTED: u8 = 143;

/// The most failed tests that an exit code tells; those above are other things in a shell.
const MOST_FAILURES: u8 = 100;

/// What the launcher is told when it starts.
#[derive(Debug, Clone)]
pub struct Options {
    /// The directory of `.test.env` and `patch.json`.
    pub config: PathBuf,
    /// Where results are written.
    pub results: PathBuf,
    /// `LAUNCHER_MODE`: empty, `SETUP_ONLY` or `CLEAN_ONLY`.
    pub mode: String,
    /// The namespace and the name of the pod it runs in, where it reads the image it runs.
    pub pod: Option<(String, String)>,
    /// The image of everything it creates, where that is not read from its pod.
    pub image: Option<String>,
    /// How long the DataController may take to be ready.
    pub ready_within: Duration,
}

/// Why a launch ended before its last stage.
#[derive(Debug, thiserror::Error)]
pub enum LaunchError {
    /// `LAUNCHER_MODE` is none.
    #[error("{0}")]
    Mode(String),
    /// The mounted files cannot be used.
    #[error(transparent)]
    Input(#[from] InputError),
    /// `control.json` cannot be made.
    #[error(transparent)]
    Control(#[from] ControlError),
    /// There is no access to the cluster.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The service account is no cluster administrator.
    #[error("the launcher's service account may not do everything on the cluster: bind it to the ClusterRole cluster-admin")]
    Rights,
    /// Arc on the cluster is another's.
    #[error("refused: Arc data services on this cluster are not of this .test.env:\n{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// The API refused something.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Something did not happen in time.
    #[error(transparent)]
    Deadline(#[from] Deadline),
    /// The image that everything is to run is not known.
    #[error(
        "the launcher does not know its own image: neither LAUNCHER_NAMESPACE and HOSTNAME name its pod, nor does STANDIN_IMAGE the image"
    )]
    Image,
    /// There is nothing to run the suites on.
    #[error("there is no DataController to test: SKIP_SETUP is set and the scan found none, or PRECLEAN has removed it")]
    NothingToTest,
    /// An object cannot be put into JSON.
    #[error("an object cannot be put into JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// SIGTERM.
    #[error("told to stop")]
    Interrupted,
}

/// Runs a launch, logs it, and gives its exit code: 0, or the number of failed tests, or what else went wrong.
pub async fn run(
    options: &Options,
    client: Result<Client, ConnectError>,
    container: &Arc<Container>,
    log: &Log,
    shutdown: &Shutdown,
) -> u8 {
    let code = match launch(options, client, container, log, shutdown).await {
        Ok(failures) => u8::try_from(failures).unwrap_or(MOST_FAILURES).min(MOST_FAILURES),
        Err(error) => {
            log.error(&error);
            if matches!(error, LaunchError::Interrupted) { INTERRUPTED } else { 1 }
        }
    };
    log.info(format_args!("arc-ci-launcher exiting with code: {code}."));
    code
}

/// The number of tests that failed.
async fn launch(
    options: &Options,
    client: Result<Client, ConnectError>,
    container: &Arc<Container>,
    log: &Log,
    shutdown: &Shutdown,
) -> Result<usize, LaunchError> {
    log.info(format_args!("arc-ci-launcher, played by the stand-in of k3s-arc {}", env!("CARGO_PKG_VERSION")));
    let mode = Mode::named(&options.mode).map_err(LaunchError::Mode)?;
    let inputs = Inputs::read(&container.files, &options.config, log)?;
    let stages = plan(mode, inputs.settings.connection, inputs.settings.skip);
    let (client, found) = (client?, Found::default());
    let mut launch = Launch { options, inputs, client, container, log, names: None, found, target: None, failures: 0 };
    let mut result = Ok(());
    for &stage in &stages {
        log.info(format_args!("stage {}", stage.title()));
        result = shutdown.or(launch.run(stage)).await.unwrap_or(Err(LaunchError::Interrupted));
        if result.is_err() {
            break;
        }
    }
    if matches!(result, Err(LaunchError::Interrupted)) && launch.names.is_some() && stages.contains(&Stage::PostClean) {
        // The pod's grace period is there for this; it also bounds it.
        log.warn("told to stop: cleaning up what this launch has made so far");
        if let Err(error) = launch.run(Stage::PostClean).await {
            log.warn(format_args!("clean-up failed, run CLEAN_ONLY to repeat it: {error}"));
        }
    }
    result.map(|()| launch.failures)
}

struct Launch<'a> {
    options: &'a Options,
    inputs: Inputs,
    client: Client,
    /// Where it reads, writes and calls from.
    container: &'a Arc<Container>,
    log: &'a Log,
    /// This launch's names, once made up.
    names: Option<Names>,
    /// What the last scan found.
    found: Found,
    /// What the suites are to test, once there is something.
    target: Option<Target>,
    failures: usize,
}

impl Launch<'_> {
    async fn run(&mut self, stage: Stage) -> Result<(), LaunchError> {
        match stage {
            Stage::Kubernetes => self.log_in().await,
            Stage::Azure => {
                self.log.info("stand-in: no log-in to Azure, nothing there is used");
                Ok(())
            }
            Stage::Scan => self.scan().await,
            Stage::PreClean => self.clean().await,
            Stage::Names => {
                let names = Names::at(Timestamp::now());
                self.log.info(format_args!("connected cluster: {}", names.connected_cluster));
                self.log.info(format_args!("data controller: {}", names.data_controller));
                self.log.info(format_args!("namespace: {}", names.namespace));
                self.names = Some(names);
                Ok(())
            }
            Stage::Onboard => {
                self.log.info("stand-in: the cluster is not onboarded to Azure Arc");
                Ok(())
            }
            Stage::SetUp => self.set_up().await,
            Stage::SetupLogs => self.debug_logs("setup-complete").await,
            Stage::Tests => self.test().await,
            Stage::TestLogs => self.debug_logs("test-complete").await,
            Stage::PostClean => {
                self.found = Found::on(&self.client).await?;
                self.clean().await
            }
            Stage::Upload => {
                self.log.info("stand-in: logs and results are not uploaded");
                Ok(())
            }
        }
    }

    async fn log_in(&self) -> Result<(), LaunchError> {
        let version = self.client.apiserver_version().await.attempted(|| "logging in to Kubernetes".into())?;
        let everything = ResourceAttributes {
            verb: Some("*".into()),
            group: Some("*".into()),
            resource: Some("*".into()),
            ..Default::default()
        };
        let review = SelfSubjectAccessReview {
            spec: SelfSubjectAccessReviewSpec { resource_attributes: Some(everything), ..Default::default() },
            ..Default::default()
        };
        let api = Api::<SelfSubjectAccessReview>::all(self.client.clone());
        let review = api.create(&PostParams::default(), &review).await;
        let review = review.attempted(|| "asking what the launcher's service account may do".into())?;
        if !review.status.is_some_and(|status| status.allowed) {
            return Err(LaunchError::Rights);
        }
        self.log.info(format_args!("logged in to Kubernetes {} as a cluster administrator", version.git_version));
        Ok(())
    }

    async fn scan(&mut self) -> Result<(), LaunchError> {
        self.found = Found::on(&self.client).await?;
        for (resource, object) in &self.found.resources {
            let (namespace, name) = (object.namespace().unwrap_or_default(), object.name_any());
            self.log.info(format_args!("found {} {namespace}/{name}", resource.kind));
        }
        let of_others = self.found.of_others(&self.inputs.settings.azure);
        if !of_others.is_empty() {
            return Err(LaunchError::Refused(of_others));
        }
        self.target = self.found.data_controllers().next().map(|data_controller| Target {
            client: self.client.clone(),
            container: self.container.clone(),
            namespace: data_controller.namespace().unwrap_or_default(),
            data_controller: data_controller.name_any(),
        });
        Ok(())
    }

    async fn clean(&mut self) -> Result<(), LaunchError> {
        if self.found.is_empty() {
            self.log.info("nothing to clean up");
        } else {
            clean::clean(&self.client, &self.found, self.log).await?;
            self.log.info("cleaned up");
        }
        self.target = None;
        Ok(())
    }

    async fn set_up(&mut self) -> Result<(), LaunchError> {
        // Names are an earlier stage of every plan that sets up.
        let names = self.names.get_or_insert_with(|| Names::at(Timestamp::now())).clone();
        let document = control::document(&self.inputs.settings, &names, &self.inputs.patch)?;
        self.compare_tags(&document["spec"]["docker"]["imageTag"]);
        let (image, labels) = self.own().await?;
        self.log.info(format_args!("stand-in: every component runs {image}"));
        let target = Target {
            client: self.client.clone(),
            container: self.container.clone(),
            namespace: names.namespace.clone(),
            data_controller: names.data_controller.clone(),
        };
        let done = setup::set_up(&self.client, &names, &image, &labels, &document, self.options.ready_within, self.log).await;
        if done.is_err() {
            debug::debug_logs(&self.client, &names.namespace, "setup-failed", self.log).await;
            self.log.warn("what was set up is left for a look at it; the next launch, or CLEAN_ONLY, removes it");
        }
        self.target = Some(target);
        done
    }

    /// Three places name the images' tag. Where they differ, components of one release are deployed by another.
    fn compare_tags(&self, in_control: &serde_json::Value) {
        let Some(in_test_env) = &self.inputs.settings.docker.image_tag else { return };
        if in_control != in_test_env {
            self.log.warn(format_args!(
                "image tags differ: DOCKER_TAG of .test.env is {in_test_env}, spec.docker.imageTag of patch.json is {in_control}; \
                 they and newTag of base/kustomization.yaml should be the same"
            ));
        }
    }

    /// The image of everything that is created, and the labels that it gets besides those of all launchers' things: those of the
    /// launcher's own pod. The image is on the node already, and by the labels whoever launched it tells its things from others'.
    async fn own(&self) -> Result<(String, BTreeMap<String, String>), LaunchError> {
        let Some((namespace, name)) = &self.options.pod else {
            return Ok((self.options.image.clone().ok_or(LaunchError::Image)?, BTreeMap::new()));
        };
        let pod = Api::<Pod>::namespaced(self.client.clone(), namespace).get(name).await;
        let pod = pod.attempted(|| format!("reading the launcher's own pod {namespace}/{name}"))?;
        let mut labels = pod.labels().clone();
        labels.retain(|label, _| label.starts_with(OWNER_LABELS));
        let containers = pod.spec.map(|spec| spec.containers).unwrap_or_default();
        let own = containers.iter().find(|container| container.name == CONTAINER).or(containers.first());
        let image = own.and_then(|container| container.image.clone()).or_else(|| self.options.image.clone());
        Ok((image.ok_or(LaunchError::Image)?, labels))
    }

    async fn debug_logs(&self, label: &str) -> Result<(), LaunchError> {
        if let Some(target) = &self.target {
            debug::debug_logs(&self.client, &target.namespace, label, self.log).await;
        }
        Ok(())
    }

    async fn test(&mut self) -> Result<(), LaunchError> {
        let target = self.target.as_ref().ok_or(LaunchError::NothingToTest)?;
        let settings = &self.inputs.settings;
        let mode = if settings.connection == ConnectionMode::Direct { "TESTS_DIRECT" } else { "TESTS_INDIRECT" };
        self.log.info(format_args!("{mode}: {}", settings.suites.join(" ")));
        self.failures = suites::run(target, &settings.suites, settings.repeat, &self.options.results, self.log).await;
        Ok(())
    }
}
