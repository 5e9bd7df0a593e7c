//! The stand-in's command line: a role per subcommand.

use std::{io, path::PathBuf, process::ExitCode, time::Duration};

use clap::Parser;
use k3s_arc_standin::{
    bootstrapper,
    component::{self, fluentbit},
    kubernetes::connect,
    launcher,
    log::Log,
    probe,
    shutdown::Shutdown,
};

/// Plays the Arc launcher, controller and components where Microsoft's images are not to be had.
#[derive(Parser)]
#[command(version)]
enum Role {
    /// Runs the stages of arc-ci-launcher.
    Launcher {
        /// The directory of .test.env and patch.json.
        #[arg(long, default_value = "/launcher/config")]
        config: PathBuf,
        /// Where results are written.
        #[arg(long, default_value = "/tmp/results")]
        results: PathBuf,
        /// How many seconds the DataController may take to be ready.
        #[arg(long, default_value_t = 300, env = "READY_WITHIN")]
        ready_within: u64,
        /// SETUP_ONLY or CLEAN_ONLY.
        #[arg(long, default_value = "", env = "LAUNCHER_MODE", hide_env_values = true)]
        mode: String,
        /// The namespace of the launcher's pod.
        #[arg(long, env = "LAUNCHER_NAMESPACE")]
        namespace: Option<String>,
        /// The name of the launcher's pod.
        #[arg(long, env = "HOSTNAME")]
        pod: Option<String>,
        /// The image of everything that is created, where the launcher's pod does not tell.
        #[arg(long, env = "STANDIN_IMAGE")]
        image: Option<String>,
        /// `true` for more lines.
        #[arg(long, default_value = "false", env = "VERBOSE")]
        verbose: String,
    },
    /// Reconciles DataControllers into components, and answers as the component bootstrapper.
    Bootstrapper {
        #[command(flatten)]
        serve: Serve,
        /// The namespace to work in.
        #[arg(long, env = "POD_NAMESPACE")]
        namespace: String,
        /// The image that components run.
        #[arg(long, env = "STANDIN_IMAGE")]
        image: String,
    },
    /// Answers as a component, and keeps data.
    Component {
        /// Which component.
        #[arg(long)]
        name: String,
        #[command(flatten)]
        serve: Serve,
        /// Where data is kept.
        #[arg(long)]
        data: Option<PathBuf>,
    },
    /// Follows a component's log files.
    Fluentbit {
        /// Where they are.
        #[arg(long)]
        logs: PathBuf,
    },
    /// Looks from inside a pod and reports as JSON.
    Probe {
        /// What to look at, as JSON.
        request: String,
    },
}

/// How a component serves.
#[derive(clap::Args)]
struct Serve {
    /// The port to answer on.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Where to log.
    #[arg(long)]
    logs: Option<PathBuf>,
    /// The pod it runs in.
    #[arg(long, env = "POD_NAME", default_value = "")]
    pod: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let role = Role::parse();
    let log = Log::stdout(matches!(&role, Role::Launcher { verbose, .. } if verbose == "true"));
    match play(role, &log).await {
        Ok(code) => code,
        Err(error) => {
            log.error(error);
            ExitCode::FAILURE
        }
    }
}

async fn play(role: Role, log: &Log) -> io::Result<ExitCode> {
    match role {
        Role::Launcher { config, results, ready_within, mode, namespace, pod, image, verbose: _ } => {
            let ready_within = Duration::from_secs(ready_within);
            let pod = namespace.zip(pod);
            let options = launcher::Options { config, results, mode, pod, image, ready_within };
            let shutdown = Shutdown::on_signals()?;
            Ok(launcher::run(&options, connect(), log, &shutdown).await.into())
        }
        Role::Bootstrapper { serve: Serve { port, logs, pod }, namespace, image } => {
            let shutdown = Shutdown::on_signals()?;
            let client = connect().map_err(io::Error::other)?;
            let component = component::Options { name: "bootstrapper".into(), pod, data: None, logs };
            let served = component::run(component, port, log.clone(), shutdown.clone());
            let options = bootstrapper::Options { namespace, image };
            let reconciled = bootstrapper::run(client, options, log.clone(), shutdown);
            tokio::join!(served, reconciled).0?;
            Ok(ExitCode::SUCCESS)
        }
        Role::Component { name, serve: Serve { port, logs, pod }, data } => {
            let options = component::Options { name, pod, data, logs };
            component::run(options, port, log.clone(), Shutdown::on_signals()?).await?;
            Ok(ExitCode::SUCCESS)
        }
        Role::Fluentbit { logs } => {
            fluentbit(&logs, log.clone(), Shutdown::on_signals()?).await;
            Ok(ExitCode::SUCCESS)
        }
        Role::Probe { request } => Ok(probe::run(&request).await),
    }
}
