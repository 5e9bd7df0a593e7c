//! Fixtures: a cluster leased, Arc data services launched on it once, a namespace per check; teardown built in.

use std::{
    collections::BTreeMap,
    fs, io,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use kube::Api;

use crate::{
    check::{Access, Check, Context, Evidence, Failure},
    cluster::{
        Capability, Cluster, ClusterSpec, Emulator, EmulatorError, Existing, ExistingError, K3sImage, Lease, LeaseError,
        MachineState, Provider, Run, RunError, archives_in, choose,
        docker::Docker,
        end_all, exclusive, existing, lost,
        multipass::{Multipass, MultipassError},
        write_private,
    },
    config::{Config, ConfigError, LauncherImage, ProviderChoice},
    diagnosis::{self, Diagnosis},
    image::{Standin, StandinError},
    launcher::{Launch, LaunchError, LaunchOptions, Outcome, OverlayError},
    namespace::{Namespace, NamespaceError},
};

/// What a case of the suite runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A real K3s, made by the provider that the configuration names; Docker, where it names none.
    K3s,
    /// The emulator, in the test's own process.
    Emulator,
}

/// Why a check was not passed: it failed, or there was nothing to ask it of.
#[derive(Debug, thiserror::Error, miette::Diagnostic)]
pub enum FixtureError {
    /// The configuration means nothing.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Config(#[from] ConfigError),
    /// `K3S_ARC_IMAGES_DIR` could not be read.
    #[error("the directory of image archives {} could not be read", .path.display())]
    #[diagnostic(code(k3s_arc::config), help("K3S_ARC_IMAGES_DIR names it"))]
    ImagesDir {
        /// Which.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// There is no stand-in.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Standin(#[from] StandinError),
    /// A case that is about K3s itself.
    #[error("this case is about a real K3s, and K3S_ARC_PROVIDER asks for the emulator")]
    #[diagnostic(code(k3s_arc::config), help("unset K3S_ARC_PROVIDER; every such case has a twin that runs on the emulator"))]
    NotEmulated,
    /// The cluster that exists is not named, or cannot be used.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Existing(#[from] ExistingError),
    /// There is no VM to be had.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Multipass(#[from] MultipassError),
    /// The emulator cannot do what the configuration asks for.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Emulator(#[from] EmulatorError),
    /// The run has no directory or no reaper.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Run(#[from] RunError),
    /// There is no cluster.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Lease(#[from] LeaseError),
    /// Arc was not launched.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Launch(#[from] LaunchError),
    /// The launch failed for an earlier test of the run.
    #[error("an earlier test of this run launched Arc data services, and that failed:\n{report}")]
    #[diagnostic(code(k3s_arc::fixture::launch_failed_before))]
    LaunchFailedBefore {
        /// The error, as that test reported it.
        report: String,
    },
    /// What the tests of a run share about the launch could not be read or written.
    #[error("what this run's tests share in {} could not be used", .path.display())]
    #[diagnostic(code(k3s_arc::fixture::shared), help("name another place in K3S_ARC_RUN_DIR"))]
    Shared {
        /// Where.
        path: PathBuf,
        /// What came back.
        source: io::Error,
    },
    /// The node ended, or got out of reach, while something was done on it.
    #[error("{doing}: its node was lost meanwhile: {machine}")]
    #[diagnostic(code(k3s_arc::fixture::node_lost))]
    NodeLost {
        /// What was done.
        doing: &'static str,
        /// The machine, and how it is.
        machine: String,
    },
    /// One of the others, and what explains it.
    #[error("{}\n{}", crate::report_of(&**.error), diagnosis::told(.diagnoses))]
    #[diagnostic(code(k3s_arc::fixture::explained))]
    Explained {
        /// The error.
        error: Box<FixtureError>,
        /// What explains it.
        diagnoses: Vec<Diagnosis>,
    },
    /// There is no namespace for the check.
    #[error(transparent)]
    #[diagnostic(transparent)]
    Namespace(#[from] NamespaceError),
    /// The check needs what the cluster cannot do.
    #[error("{check} does not apply: {}", .reasons.join("; "))]
    #[diagnostic(code(k3s_arc::check::not_applicable))]
    NotApplicable {
        /// The check.
        check: String,
        /// Why the cluster cannot do what it needs.
        reasons: Vec<String>,
    },
    /// The check failed.
    #[error("{check}: {question}\n{failure}")]
    #[diagnostic(code(k3s_arc::check::failed))]
    Failed {
        /// The check.
        check: String,
        /// What it asks.
        question: &'static str,
        /// What it found.
        failure: Box<Failure>,
    },
}

impl FixtureError {
    /// Whether what the user gave is the cause: a configuration, a launcher tree, a `.test.env`.
    pub fn is_input(&self) -> bool {
        match self {
            Self::Config(_) | Self::ImagesDir { .. } | Self::NotEmulated | Self::Emulator(_) => true,
            Self::Existing(error) => error.is_input(),
            Self::Multipass(error) => error.is_input(),
            Self::Launch(LaunchError::Overlay(error)) => !matches!(error, OverlayError::NoRenderer { .. }),
            Self::Explained { error, .. } => error.is_input(),
            _ => false,
        }
    }

    /// The same, with what explains it; as it is, where nothing is recognised, or the input is the cause.
    async fn explained(self, cluster: &Cluster, namespace: Option<&str>) -> Self {
        if self.is_input() {
            return self;
        }
        match diagnosis::of_cluster(cluster, namespace).await {
            none if none.is_empty() => self,
            diagnoses => Self::Explained { error: Box::new(self), diagnoses },
        }
    }
}

/// What a test returns.
pub type Verdict = Result<(), FixtureError>;

impl Target {
    /// Asks a check of the run's cluster on this target: leases it, launches Arc if the check is about it, gives
    /// the check a namespace, and prints the evidence.
    ///
    /// # Errors
    /// [`FixtureError`].
    pub async fn ask(self, check: &Check) -> Verdict {
        let fixture = Fixture::new(self.config()?, check.access).await?;
        let evidence = fixture.ask(check).await?;
        tracing::info!("{}: {}\n{evidence}", check.id(), check.question);
        Ok(())
    }

    /// The environment's configuration, as far as it is about this target.
    ///
    /// # Errors
    /// [`FixtureError::Config`], or [`FixtureError::NotEmulated`] for a real K3s where the emulator is asked for.
    pub fn config(self) -> Result<Config, FixtureError> {
        let config = Config::from_env()?;
        let config = if self == Self::K3s { config.resolved_to_one()? } else { config };
        match (self, config.provider) {
            (Self::K3s, ProviderChoice::Emulator) => Err(FixtureError::NotEmulated),
            // It is the K3s that it is; what else could be asked for is about those that are made.
            (Self::K3s, ProviderChoice::Kubeconfig) => Ok(Config { k3s: K3sImage::default(), ..config }),
            (Self::K3s, ProviderChoice::Multipass) => Ok(config),
            (Self::K3s, ProviderChoice::Auto | ProviderChoice::Docker) => {
                Ok(Config { provider: ProviderChoice::Docker, ..config })
            }
            // Which K3s, and what else its nodes are to have, is about the cases on a real one.
            (Self::Emulator, _) => Ok(Config {
                provider: ProviderChoice::Emulator,
                k3s: K3sImage::default(),
                images_dir: None,
                launcher_image: LauncherImage::Standin,
                ..config
            }),
        }
    }
}

/// Whether a namespace cannot be deleted now, and is not worth ten seconds of trying: its cluster is dead or frozen.
async fn is_out_of_reach(cluster: &Cluster) -> bool {
    let machine = cluster.node().machine().await;
    matches!(machine, Ok(Some(machine)) if machine.state != MachineState::Running)
}

/// Does something on a cluster, and fails as soon as its node is lost: whatever is waited for cannot come.
async fn unless_lost<T>(
    cluster: &Cluster,
    doing: &'static str,
    work: impl Future<Output = Result<T, FixtureError>>,
) -> Result<T, FixtureError> {
    tokio::select! {
        done = work => done,
        machine = lost(cluster.node()) => Err(FixtureError::NodeLost { doing, machine: machine.to_string() }),
    }
}

/// Who makes the cluster.
async fn provider(config: &Config) -> Result<Arc<dyn Provider>, FixtureError> {
    let standin = config.standin_image.as_deref();
    match choose(config).await.provider {
        ProviderChoice::Auto | ProviderChoice::Docker => {
            let docker = Docker::new(Standin::new(standin)?, config.boot_timeout);
            Ok(Arc::new(docker.with_cache(config.cache).with_open_network(config.yes)))
        }
        ProviderChoice::Multipass => Ok(Arc::new(Multipass::new(Standin::new(standin)?, config)?)),
        ProviderChoice::Kubeconfig => Ok(Arc::new(Existing::new(config)?)),
        ProviderChoice::Emulator if config.launcher_image == LauncherImage::Tree => {
            let what = "the launcher that the tree names: its pods run no programs but those that are compiled in".to_owned();
            Err(EmulatorError::Impossible { what }.into())
        }
        ProviderChoice::Emulator => Ok(Arc::new(Emulator::new(Standin::emulated_reference(standin), config.boot_timeout))),
    }
}

/// What clusters lack by the provider that the environment names, as far as that is known before there is one.
pub(crate) async fn lacks() -> Result<BTreeMap<Capability, String>, FixtureError> {
    let config = Config::from_env()?;
    match config.provider {
        ProviderChoice::Kubeconfig => Ok(Existing::new(&config)?.lacks().await?),
        ProviderChoice::Multipass => Ok(Multipass::lacks()),
        _ => Ok(BTreeMap::new()),
    }
}

/// The run that this process takes part in.
static RUN: Mutex<Option<Arc<Run>>> = Mutex::new(None);

fn run() -> MutexGuard<'static, Option<Arc<Run>>> {
    RUN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A leased cluster, to ask checks of.
#[derive(Debug)]
pub struct Fixture {
    run: Arc<Run>,
    lease: Lease,
    config: Config,
}

impl Fixture {
    /// Leases the cluster that the configuration asks for; the first in the run to do so makes it.
    ///
    /// # Errors
    /// [`FixtureError`].
    pub async fn new(config: Config, access: Access) -> Result<Self, FixtureError> {
        let spec = ClusterSpec::new(config.k3s.clone());
        Self::with_spec(config, spec, access).await
    }

    /// Leases a cluster of this spec, with the configuration's image archives on it.
    ///
    /// # Errors
    /// [`FixtureError`].
    pub async fn with_spec(config: Config, mut spec: ClusterSpec, access: Access) -> Result<Self, FixtureError> {
        if let Some(path) = &config.images_dir {
            let archives = archives_in(path).map_err(|source| FixtureError::ImagesDir { path: path.clone(), source })?;
            spec = archives.into_iter().fold(spec, ClusterSpec::image_archive);
        }
        let provider = provider(&config).await?;
        let run = joined(&config)?;
        let lease = Lease::take(&run, &*provider, &spec, access).await?;
        Ok(Self { run, lease, config })
    }

    /// The cluster.
    pub fn cluster(&self) -> Arc<Cluster> {
        self.lease.cluster()
    }

    /// The launch that put Arc on this cluster, and left it there for the checks. The first in the run to ask for it
    /// launches; the others wait.
    ///
    /// # Errors
    /// [`FixtureError`].
    pub async fn launched(&self) -> Result<Outcome, FixtureError> {
        let directory = self.lease.directory();
        let shared = |source| FixtureError::Shared { path: directory.to_owned(), source };
        let (record, failed) = (directory.join("launch.json"), directory.join("launch-failed.txt"));
        let reason = "another test of this run is launching Arc data services";
        let _launching = exclusive(&directory.join("launching.lock"), reason).await.map_err(shared)?;

        if let Ok(report) = fs::read_to_string(&failed) {
            return Err(FixtureError::LaunchFailedBefore { report });
        }
        let known: Option<Outcome> = fs::read(&record).ok().and_then(|json| serde_json::from_slice(&json).ok());
        // A launcher that failed would fail again; one whose deployment was cleaned up has to run anew.
        if let Some(outcome) = known
            && (outcome.exit_code != 0 || self.is_there(&outcome).await)
        {
            return Ok(outcome);
        }
        match self.launch().await {
            Ok(outcome) => {
                let json = serde_json::to_vec(&outcome).map_err(io::Error::from).map_err(shared)?;
                write_private(&record, &json).map_err(shared)?;
                Ok(outcome)
            }
            Err(error) => {
                self.lease.failed(&self.run);
                write_private(&failed, crate::report_of(&error).as_bytes()).map_err(shared)?;
                Err(error)
            }
        }
    }

    /// Whether what a launch deployed has not been cleaned up since.
    async fn is_there(&self, outcome: &Outcome) -> bool {
        let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(self.lease.cluster().client());
        matches!(namespaces.get_opt(&outcome.namespace).await, Ok(Some(found)) if found.metadata.deletion_timestamp.is_none())
    }

    async fn launch(&self) -> Result<Outcome, FixtureError> {
        let cluster = self.lease.cluster();
        existing::nobodys_arc(&cluster).await?;
        tracing::info!("launching Arc data services");
        // What the launcher deployed must outlive it: the checks look at it.
        let options = launch_options(&self.run, &self.config).with("SKIP_POSTCLEAN", "1");
        let prepared = async { Ok(Launch::prepare(&cluster, &options).await?) };
        let launch = match unless_lost(&cluster, "preparing the launch of Arc data services", prepared).await {
            Ok(launch) => launch,
            Err(error) => return Err(error.explained(&cluster, None).await),
        };
        for warning in launch.warnings() {
            tracing::warn!("{warning}");
        }
        let launched = async { Ok(launch.run(|line| tracing::info!("launcher: {line}")).await?) };
        match unless_lost(&cluster, "launching Arc data services", launched).await {
            Ok(outcome) => Ok(outcome),
            Err(error) => Err(error.explained(&cluster, Some(launch.namespace())).await),
        }
    }

    /// Asks one check, in a namespace of its own that is gone afterwards.
    ///
    /// # Errors
    /// [`FixtureError`].
    pub async fn ask(&self, check: &Check) -> Result<Evidence, FixtureError> {
        let cluster = self.lease.cluster();
        let lacking = check.needs().filter(|need| !cluster.can(*need));
        let reasons: Vec<_> = lacking.map(|need| cluster.lack(need)).collect();
        if !reasons.is_empty() {
            return Err(FixtureError::NotApplicable { check: check.id(), reasons });
        }
        let launch = if check.on_arc { Some(self.launched().await?) } else { None };
        let making = async { Ok(Namespace::create(&cluster, &check.id()).await?) };
        let namespace = match unless_lost(&cluster, "making a namespace for the check", making).await {
            Ok(namespace) => namespace,
            Err(error) => {
                self.lease.failed(&self.run);
                return Err(error.explained(&cluster, None).await);
            }
        };
        let context = Context::new(cluster.clone(), namespace, launch, launch_options(&self.run, &self.config));
        let answer = context.ask(check).await;
        let is_out_of_reach = answer.is_err() && is_out_of_reach(&cluster).await;
        answer.map_err(|failure| {
            self.lease.failed(&self.run);
            if self.run.is_kept() || is_out_of_reach {
                context.keep_namespace();
            }
            FixtureError::Failed { check: check.id(), question: check.question, failure: Box::new(failure) }
        })
    }
}

/// The run that this process is of; it joins it now, if it has not.
fn joined(config: &Config) -> Result<Arc<Run>, RunError> {
    let mut run = run();
    match &*run {
        Some(run) => Ok(run.clone()),
        None => Ok(run.insert(Arc::new(Run::join(config)?)).clone()),
    }
}

/// How this run launches.
fn launch_options(run: &Run, config: &Config) -> LaunchOptions {
    LaunchOptions { within: Some(run.directory().to_owned()), ..LaunchOptions::from_config(config) }
}

/// Validates what a launch would be made of, before there is a cluster to make it on.
///
/// # Errors
/// [`FixtureError::Launch`], which tells everything that is wrong with the inputs.
pub async fn check_inputs(config: &Config) -> Result<(), FixtureError> {
    let options = launch_options(&*joined(config)?, config);
    options.stage().await.map_err(LaunchError::from)?;
    Ok(())
}

/// Removes what the run of this process made, though it was to be kept.
pub async fn remove() {
    end(|_| true).await;
}

/// Ends the clusters that live in this process, and removes what its run made, if the run is this process's alone; at the orderly
/// end of a program. What asks for a cluster after that begins a run anew, unless the one before is kept.
pub async fn finish() {
    end(|run| !run.is_kept()).await;
}

async fn end(is_to_go: impl FnOnce(&Run) -> bool) {
    end_all().await;
    let ended = run().take_if(|run| run.is_of_this_process() && is_to_go(run));
    if let Some(run) = ended {
        run.remove().await;
    }
}
