//! The command line's arguments. Every option is a `K3S_ARC_*` variable too; the option wins.

use std::ffi::OsString;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use k3s_arc_harness::versions::DEFAULT_MINORS;

/// Do Azure Arc-enabled data services deploy and behave on this K3s?
#[derive(Debug, Parser)]
#[command(version, after_help = EXIT_CODES)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
    #[command(flatten)]
    pub(crate) options: Options,
}

const EXIT_CODES: &str = "Exit codes: 0 all checks passed, 1 a check failed, 2 bad usage or input,
3 the environment lacks something, 130 interrupted (after clean-up)";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Start K3s, launch Arc data services on it, ask every check, clean up
    Validate(Validate),
    /// List the K3s versions that a matrix should run, those at hand, and those that this host cannot run
    Versions(Versions),
    /// Look whether this host has what the suite needs, before anything is pulled or started
    Doctor(Doctor),
    /// Put JUnit files together: those of a suite that was split over machines, and those of several K3s side by side
    Report(Report),
    /// Start a cluster to work with, until interrupted, or in the background, where runs that ask for an equal one use it
    Up(Up),
    /// Write the image of the stand-in, as an archive that nodes import, for a cluster that exists
    StandinImage {
        /// Where to write it
        #[arg(long, value_name = "FILE")]
        output: PathBuf,
    },
    /// List the runs that are still there: active ones, and those kept
    List,
    /// Remove everything that runs made; without arguments, the clusters that `up` serves
    Down {
        /// The runs, by id
        runs: Vec<String>,
        /// Every run that is not active, the clusters that `up` serves, and what is left of runs that nobody knows any more
        #[arg(long)]
        all: bool,
    },
    /// List what the warm cache holds, or clear it
    Cache(Cache),
}

#[derive(Debug, Args)]
pub(crate) struct Cache {
    #[command(subcommand)]
    pub(crate) command: Option<CacheCommand>,
    /// How to print the list
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CacheCommand {
    /// Remove entries; those that a run uses stay
    Clear {
        /// The entries, by key
        #[arg(required_unless_present = "all")]
        keys: Vec<String>,
        /// Every entry
        #[arg(long, conflicts_with = "keys")]
        all: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    /// Where to write the kubeconfig; without it, beside the run's other files
    #[arg(long, value_name = "FILE")]
    pub(crate) write_kubeconfig: Option<PathBuf>,
    /// The port of 127.0.0.1 for the emulator to listen on; without it, a free one
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    pub(crate) port: u16,
    /// Return once it serves, and leave it in the background until `k3s-arc down`, or until it has not been used for a while
    #[arg(long)]
    pub(crate) detach: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Validate {
    /// Ask only the checks whose `area::name` contains one of these texts
    pub(crate) checks: Vec<String>,
    /// Show the evidence of checks that passed too
    #[arg(long)]
    pub(crate) evidence: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Versions {
    /// Print the images that --k3s means, one a line, and nothing else
    #[arg(long, conflicts_with_all = ["minors", "output"])]
    pub(crate) resolve: bool,
    /// How many minor versions to take for supported, from the newest down
    #[arg(long, value_name = "COUNT", default_value_t = DEFAULT_MINORS, value_parser = clap::value_parser!(u8).range(1..=50))]
    pub(crate) minors: u8,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Doctor {
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Output,
}

#[derive(Debug, Args)]
pub(crate) struct Report {
    /// The files, each NAME=FILE, or a file alone, which is named by its directory; those of one name are one suite
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<String>,
    /// How to print it
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
    /// Where to write one JUnit file of all
    #[arg(long, value_name = "FILE")]
    pub(crate) merged: Option<PathBuf>,
}

/// How test results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Format {
    /// For people
    #[default]
    Table,
    /// For the page of a CI's run
    Markdown,
    /// As GitHub's workflow commands, one for each failure
    Github,
}

/// For whom the answer is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(crate) enum Output {
    /// For people
    #[default]
    Table,
    /// For programs
    Json,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "Options of every command")]
pub(crate) struct Options {
    /// Who makes the cluster: auto, docker, multipass or emulator; or kubeconfig, for one that exists
    #[arg(long, global = true, env = "K3S_ARC_PROVIDER", value_name = "PROVIDER")]
    provider: Option<OsString>,
    /// Which K3s: a version (v1.34.1+k3s1), a channel (stable, latest, v1.34) or a whole image reference; for `validate`, several of
    /// them, separated by commas
    #[arg(long, global = true, env = "K3S_ARC_K3S", value_name = "K3S")]
    k3s: Option<OsString>,
    /// The kubeconfig of a cluster that exists; without it KUBECONFIG, or ~/.kube/config
    #[arg(long, global = true, env = "K3S_ARC_KUBECONFIG", value_name = "FILE")]
    kubeconfig: Option<OsString>,
    /// Which context of the kubeconfig
    #[arg(long, global = true, env = "K3S_ARC_CONTEXT", value_name = "CONTEXT")]
    context: Option<OsString>,
    /// Also use a cluster whose name looks like production, or a Docker Engine that a network may use without TLS
    #[arg(
        long,
        global = true,
        env = "K3S_ARC_YES",
        value_name = "1",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "1",
        hide_possible_values = true
    )]
    yes: Option<OsString>,
    /// Whether the cluster outlives the run: never, failed or always
    #[arg(long, global = true, env = "K3S_ARC_KEEP", value_name = "WHEN")]
    keep: Option<OsString>,
    /// How long a cluster that outlives its run is kept after its last use [default: 8h]
    #[arg(long, global = true, env = "K3S_ARC_KEEP_FOR", value_name = "DURATION")]
    keep_for: Option<OsString>,
    /// A directory of image archives to import into the node
    #[arg(long, global = true, env = "K3S_ARC_IMAGES_DIR", value_name = "DIR")]
    images_dir: Option<OsString>,
    /// A directory with the assets of a K3s release, to install it from in a VM without network
    #[arg(long, global = true, env = "K3S_ARC_AIRGAP_DIR", value_name = "DIR")]
    airgap_dir: Option<OsString>,
    /// The cores of a VM [default: 8]
    #[arg(long, global = true, env = "K3S_ARC_MULTIPASS_CPUS", value_name = "COUNT")]
    multipass_cpus: Option<OsString>,
    /// The memory of a VM [default: 20G]
    #[arg(long, global = true, env = "K3S_ARC_MULTIPASS_MEMORY", value_name = "SIZE")]
    multipass_memory: Option<OsString>,
    /// The disk of a VM [default: 50G]
    #[arg(long, global = true, env = "K3S_ARC_MULTIPASS_DISK", value_name = "SIZE")]
    multipass_disk: Option<OsString>,
    /// The Ubuntu of a VM, as `multipass launch` takes it [default: 24.04]
    #[arg(long, global = true, env = "K3S_ARC_MULTIPASS_RELEASE", value_name = "RELEASE")]
    multipass_release: Option<OsString>,
    /// The .test.env to launch with
    #[arg(long, global = true, env = "K3S_ARC_TEST_ENV", value_name = "FILE")]
    test_env: Option<OsString>,
    /// A launcher tree to deploy in place of the built-in one
    #[arg(long, global = true, env = "K3S_ARC_LAUNCHER_DIR", value_name = "DIR")]
    launcher_dir: Option<OsString>,
    /// Who plays the launcher: standin, or tree for the image that the tree names
    #[arg(long, global = true, env = "K3S_ARC_LAUNCHER_IMAGE", value_name = "WHO")]
    launcher_image: Option<OsString>,
    /// A published image of the stand-in
    #[arg(long, global = true, env = "K3S_ARC_STANDIN_IMAGE", value_name = "IMAGE")]
    standin_image: Option<OsString>,
    /// Seconds from the start of K3s to served
    #[arg(long, global = true, env = "K3S_ARC_BOOT_TIMEOUT", value_name = "SECONDS")]
    boot_timeout: Option<OsString>,
    /// Whether K3s boots from what an earlier boot left: use or never
    #[arg(long, global = true, env = "K3S_ARC_CACHE", value_name = "WHETHER")]
    cache: Option<OsString>,
    /// Where runs keep their state and locks
    #[arg(long, global = true, env = "K3S_ARC_RUN_DIR", value_name = "DIR")]
    run_dir: Option<OsString>,
    /// Who is asked what the newest K3s of a channel is
    #[arg(long, global = true, env = "K3S_ARC_CHANNELS_URL", value_name = "URL")]
    channels_url: Option<OsString>,
}

impl Options {
    /// The value of a `K3S_ARC_*` name.
    pub(crate) fn value(&self, name: &str) -> Option<OsString> {
        match name {
            "K3S_ARC_PROVIDER" => &self.provider,
            "K3S_ARC_K3S" => &self.k3s,
            "K3S_ARC_KUBECONFIG" => &self.kubeconfig,
            "K3S_ARC_CONTEXT" => &self.context,
            "K3S_ARC_YES" => &self.yes,
            "K3S_ARC_KEEP" => &self.keep,
            "K3S_ARC_KEEP_FOR" => &self.keep_for,
            "K3S_ARC_IMAGES_DIR" => &self.images_dir,
            "K3S_ARC_AIRGAP_DIR" => &self.airgap_dir,
            "K3S_ARC_MULTIPASS_CPUS" => &self.multipass_cpus,
            "K3S_ARC_MULTIPASS_MEMORY" => &self.multipass_memory,
            "K3S_ARC_MULTIPASS_DISK" => &self.multipass_disk,
            "K3S_ARC_MULTIPASS_RELEASE" => &self.multipass_release,
            "K3S_ARC_TEST_ENV" => &self.test_env,
            "K3S_ARC_LAUNCHER_DIR" => &self.launcher_dir,
            "K3S_ARC_LAUNCHER_IMAGE" => &self.launcher_image,
            "K3S_ARC_STANDIN_IMAGE" => &self.standin_image,
            "K3S_ARC_BOOT_TIMEOUT" => &self.boot_timeout,
            "K3S_ARC_CACHE" => &self.cache,
            "K3S_ARC_RUN_DIR" => &self.run_dir,
            "K3S_ARC_CHANNELS_URL" => &self.channels_url,
            _ => return None,
        }
        .clone()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use clap::CommandFactory;
    use k3s_arc_harness::config::Config;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn every_variable_the_harness_reads_is_an_option() {
        let asked = RefCell::new(Vec::new());
        let read = Config::read(|name| {
            asked.borrow_mut().push(name.to_owned());
            None
        });
        assert!(read.is_ok());
        let command = Arguments::command();
        let variables: Vec<_> = command.get_arguments().filter_map(|argument| argument.get_env()).collect();
        for name in asked.into_inner() {
            assert!(variables.contains(&name.as_ref()), "{name} has no option");
            let flag = format!("--{}", name.trim_start_matches("K3S_ARC_").to_lowercase().replace('_', "-"));
            let arguments = Arguments::try_parse_from(["k3s-arc", "list", &format!("{flag}=value")]).unwrap();
            assert_eq!(arguments.options.value(&name), Some("value".into()));
        }
    }
}
