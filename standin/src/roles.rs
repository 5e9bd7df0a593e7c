//! The stand-in's command line: a role per subcommand.
//!
//! It is the same program in a container and in an emulated node: all that it has of the world is its [`Process`].

use std::{
    io::{self, Write as _},
    path::PathBuf,
    time::Duration,
};

use clap::{CommandFactory, FromArgMatches, Parser};
use k3s_arc_container::Process;

use crate::{
    bootstrapper,
    component::{self, fluentbit},
    kubernetes::connect,
    launcher,
    log::Log,
    probe,
    shutdown::Shutdown,
};

/// Plays the Arc launcher, controller and components where Microsoft's images are not to be had.
#[derive(Debug, Parser)]
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
        /// How many seconds the DataController may take to be ready [env: READY_WITHIN].
        #[arg(long, default_value_t = 300)]
        ready_within: u64,
        /// SETUP_ONLY or CLEAN_ONLY [env: LAUNCHER_MODE].
        #[arg(long, default_value = "", hide_default_value = true)]
        mode: String,
        /// The namespace of the launcher's pod [env: LAUNCHER_NAMESPACE].
        #[arg(long)]
        namespace: Option<String>,
        /// The name of the launcher's pod [env: HOSTNAME].
        #[arg(long)]
        pod: Option<String>,
        /// The image of everything that is created, where the launcher's pod does not tell [env: STANDIN_IMAGE].
        #[arg(long)]
        image: Option<String>,
        /// `true` for more lines [env: VERBOSE].
        #[arg(long, default_value = "false")]
        verbose: String,
    },
    /// Reconciles DataControllers into components, and answers as the component bootstrapper.
    Bootstrapper {
        #[command(flatten)]
        serve: Serve,
        /// The namespace to work in [env: POD_NAMESPACE].
        #[arg(long)]
        namespace: String,
        /// The image that components run [env: STANDIN_IMAGE].
        #[arg(long)]
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
#[derive(Debug, clap::Args)]
struct Serve {
    /// The port to answer on.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// Where to log.
    #[arg(long)]
    logs: Option<PathBuf>,
    /// The pod it runs in [env: POD_NAME].
    #[arg(long, default_value = "")]
    pod: String,
}

/// Options that the environment can give too: subcommand, option, variable.
const IN_ENVIRONMENT: [(&str, &str, &str); 10] = [
    ("launcher", "ready_within", "READY_WITHIN"),
    ("launcher", "mode", "LAUNCHER_MODE"),
    ("launcher", "namespace", "LAUNCHER_NAMESPACE"),
    ("launcher", "pod", "HOSTNAME"),
    ("launcher", "image", "STANDIN_IMAGE"),
    ("launcher", "verbose", "VERBOSE"),
    ("bootstrapper", "pod", "POD_NAME"),
    ("bootstrapper", "namespace", "POD_NAMESPACE"),
    ("bootstrapper", "image", "STANDIN_IMAGE"),
    ("component", "pod", "POD_NAME"),
];

impl Role {
    /// The role that a process is to play. clap's own look into the environment would be one into this process's, which need not be
    /// the program's, so what is there becomes the options' defaults.
    fn of(process: &Process) -> Result<Self, clap::Error> {
        let mut command = Self::command();
        for (role, option, variable) in IN_ENVIRONMENT {
            if let Some(value) = process.var(variable) {
                let value = value.to_owned();
                // Help does not show it: it may be a secret of the environment's.
                let known = |option: clap::Arg| option.required(false).hide_default_value(true).default_value(value);
                command = command.mut_subcommand(role, |role| role.mut_arg(option, known));
            }
        }
        Self::from_arg_matches(&command.try_get_matches_from(&process.args)?)
    }
}

/// Plays the role that the process's arguments name, and gives its exit code: 2 for arguments that name none.
pub async fn run(mut process: Process) -> i32 {
    let role = match Role::of(&process) {
        Ok(role) => role,
        Err(error) => {
            let to = if error.use_stderr() { &mut process.stderr } else { &mut process.stdout };
            // Where nobody reads there is nobody to tell.
            let _ = to.write_all(error.render().to_string().as_bytes());
            return error.exit_code();
        }
    };
    let log = Log::to(process.stdout.clone(), matches!(&role, Role::Launcher { verbose, .. } if verbose == "true"));
    match play(role, process, &log).await {
        Ok(code) => code.into(),
        Err(error) => {
            log.error(error);
            1
        }
    }
}

async fn play(role: Role, process: Process, log: &Log) -> io::Result<u8> {
    let shutdown = Shutdown::on(process.signals.clone());
    let container = process.container.clone();
    match role {
        Role::Launcher { config, results, ready_within, mode, namespace, pod, image, verbose: _ } => {
            let options = launcher::Options {
                config: process.path(config),
                results: process.path(results),
                mode,
                pod: namespace.zip(pod),
                image,
                ready_within: Duration::from_secs(ready_within),
            };
            Ok(launcher::run(&options, connect(&process), &container, log, &shutdown).await)
        }
        Role::Bootstrapper { serve: Serve { port, logs, pod }, namespace, image } => {
            let client = connect(&process).map_err(io::Error::other)?;
            let logs = logs.map(|logs| process.path(logs));
            let component = component::Options { name: "bootstrapper".into(), pod, data: None, logs };
            let served = component::run(component, port, container.clone(), log.clone(), shutdown.clone());
            let options = bootstrapper::Options { namespace, image };
            let reconciled = bootstrapper::run(client, options, container, log.clone(), shutdown);
            tokio::join!(served, reconciled).0?;
            Ok(0)
        }
        Role::Component { name, serve: Serve { port, logs, pod }, data } => {
            let [data, logs] = [data, logs].map(|path| path.map(|path| process.path(path)));
            let options = component::Options { name, pod, data, logs };
            component::run(options, port, container, log.clone(), shutdown).await?;
            Ok(0)
        }
        Role::Fluentbit { logs } => {
            fluentbit(&process.path(logs), &container.files, log.clone(), shutdown).await;
            Ok(0)
        }
        Role::Probe { request } => Ok(probe::run(&request, process).await),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::testing::process;

    fn role(args: &[&str], env: &[(&str, &str)]) -> Result<Role, String> {
        let (mut process, _) = process(args);
        process.env = env.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        Role::of(&process).map_err(|error| error.to_string())
    }

    #[test]
    fn the_environment_gives_what_the_arguments_leave_out() {
        let env = [("POD_NAMESPACE", "arc"), ("STANDIN_IMAGE", "standin:1"), ("POD_NAME", "b-0")];
        let Role::Bootstrapper { serve, namespace, image } = role(&["bootstrapper", "--namespace", "mine"], &env).unwrap() else {
            panic!("another role");
        };
        assert_eq!((namespace.as_str(), image.as_str(), serve.pod.as_str()), ("mine", "standin:1", "b-0"));
    }

    #[test]
    fn this_processs_environment_is_not_the_programs() {
        assert!(std::env::var("PATH").is_ok() && std::env::var("HOME").is_ok());
        let Role::Launcher { pod, mode, ready_within, .. } = role(&["launcher"], &[("READY_WITHIN", "7")]).unwrap() else {
            panic!("another role");
        };
        assert_eq!((pod, mode.as_str(), ready_within), (None, "", 7));
    }

    #[rstest]
    #[case::required(&["bootstrapper"], &[], "--namespace")]
    #[case::not_a_number(&["launcher"], &[("READY_WITHIN", "soon")], "invalid value 'soon' for '--ready-within")]
    #[case::no_role(&["dance"], &[], "unrecognized subcommand 'dance'")]
    fn what_names_no_role_is_told(#[case] args: &[&str], #[case] env: &[(&str, &str)], #[case] says: &str) {
        let error = role(args, env).unwrap_err();
        assert!(error.contains(says), "{error}");
    }

    #[test]
    fn it_is_a_program_of_an_image() {
        let image = k3s_arc_container::Image::new().program("/k3s-arc-standin", run);
        assert_eq!(image.programs.paths().collect::<Vec<_>>(), ["/k3s-arc-standin"]);
    }

    #[tokio::test]
    async fn bad_usage_is_complained_about_and_help_is_printed() {
        let (bad, printed) = process(&["dance"]);
        assert_eq!(run(bad).await, 2);
        assert_eq!(printed.stdout(), "");
        assert!(printed.stderr().contains("dance"), "{}", printed.stderr());
        let (help, printed) = process(&["--help"]);
        assert_eq!(run(help).await, 0);
        assert!(printed.stdout().contains("fluentbit"), "{}", printed.stdout());
        assert_eq!(printed.stderr(), "");
    }
}
