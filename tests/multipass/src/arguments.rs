//! The command line of Multipass, as far as what drives it from outside uses it:
//! <https://documentation.ubuntu.com/multipass/en/latest/reference/command-line-interface/>.

use std::{ffi::OsString, path::PathBuf};

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Create, control and connect to Ubuntu instances. This one is for tests: its instances are containers.
#[derive(Debug, Parser)]
#[command(name = "multipass", disable_version_flag = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// How a reply is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    Table,
    Json,
}

/// What is asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show version details
    Version {
        #[arg(long, default_value = "table")]
        format: Format,
    },
    /// Create and start an Ubuntu instance
    Launch(Launch),
    /// Display information about instances or snapshots
    Info {
        names: Vec<String>,
        #[arg(long, default_value = "table")]
        format: Format,
        #[arg(long)]
        snapshots: bool,
    },
    /// List all available instances or snapshots
    #[command(alias = "ls")]
    List {
        #[arg(long, default_value = "table")]
        format: Format,
        #[arg(long)]
        snapshots: bool,
    },
    /// Run a command on an instance
    Exec {
        name: String,
        #[arg(short = 'd', long, conflicts_with = "no_map_working_directory")]
        working_directory: Option<String>,
        /// Nothing is mounted, so nothing is mapped.
        #[arg(short, long)]
        no_map_working_directory: bool,
        #[arg(last = true, required = true)]
        command: Vec<OsString>,
    },
    /// Transfer files between the host and instances
    #[command(alias = "copy-files")]
    Transfer {
        #[arg(short, long)]
        recursive: bool,
        #[arg(short, long)]
        parents: bool,
        #[arg(num_args = 2.., required = true)]
        paths: Vec<String>,
    },
    /// Start instances
    Start {
        names: Vec<String>,
        #[arg(long)]
        all: bool,
        #[arg(long)]
        timeout: Option<u32>,
    },
    /// Stop running instances
    Stop {
        names: Vec<String>,
        #[arg(long)]
        all: bool,
        #[arg(long)]
        force: bool,
        #[arg(short, long)]
        time: Option<u32>,
        #[arg(short, long)]
        cancel: bool,
    },
    /// Restart instances
    Restart {
        names: Vec<String>,
        #[arg(long)]
        all: bool,
        #[arg(long)]
        timeout: Option<u32>,
    },
    /// Suspend running instances
    Suspend {
        names: Vec<String>,
        #[arg(long)]
        all: bool,
    },
    /// Delete instances and snapshots
    Delete {
        names: Vec<String>,
        #[arg(long)]
        all: bool,
        #[arg(short, long)]
        purge: bool,
    },
    /// Purge all deleted instances permanently
    Purge,
    /// Recover deleted instances
    Recover {
        names: Vec<String>,
        #[arg(long)]
        all: bool,
    },
    /// Take a snapshot of an instance
    Snapshot {
        instance: String,
        #[arg(short, long)]
        name: Option<String>,
        #[arg(long, short, short_alias = 'm')]
        comment: Option<String>,
    },
    /// Restore an instance from a snapshot
    Restore {
        snapshot: String,
        #[arg(short, long)]
        destructive: bool,
    },
    /// Get a configuration setting
    Get { key: String },
    /// List available network interfaces
    Networks {
        #[arg(long, default_value = "table")]
        format: Format,
    },
    /// Display available images to create instances from
    Find {
        #[arg(long, default_value = "table")]
        format: Format,
    },
}

/// What a machine is made like.
#[derive(Args, Debug)]
pub(crate) struct Launch {
    /// A release, its code name or `file://`, `http://`.
    pub(crate) image: Option<String>,
    #[arg(short, long)]
    pub(crate) name: Option<String>,
    #[arg(short, long, default_value = "1")]
    pub(crate) cpus: String,
    /// `--mem` until Multipass 1.10.
    #[arg(short, long, alias = "mem", default_value = "1G")]
    pub(crate) memory: String,
    #[arg(short, long, default_value = "5G")]
    pub(crate) disk: String,
    #[arg(long)]
    pub(crate) cloud_init: Option<PathBuf>,
    /// Seconds.
    #[arg(long)]
    pub(crate) timeout: Option<String>,
}

impl Command {
    /// The name under which the real one reports a failure.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Version { .. } => "version",
            Self::Launch(_) => "launch",
            Self::Info { .. } => "info",
            Self::List { .. } => "list",
            Self::Exec { .. } => "exec",
            Self::Transfer { .. } => "transfer",
            Self::Start { .. } => "start",
            Self::Stop { .. } => "stop",
            Self::Restart { .. } => "restart",
            Self::Suspend { .. } => "suspend",
            Self::Delete { .. } => "delete",
            Self::Purge => "purge",
            Self::Recover { .. } => "recover",
            Self::Snapshot { .. } => "snapshot",
            Self::Restore { .. } => "restore",
            Self::Get { .. } => "get",
            Self::Networks { .. } => "networks",
            Self::Find { .. } => "find",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    fn parsed(line: &str) -> Command {
        Arguments::try_parse_from(line.split(' ')).unwrap().command
    }

    #[test]
    fn the_command_line_is_sound() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn commands_are_read_as_the_real_one_reads_them() {
        let Command::Exec { name, command, working_directory, .. } = parsed("multipass exec -d /tmp box -- sudo ls -la") else {
            panic!("it is an exec");
        };
        assert_eq!((name.as_str(), working_directory.as_deref(), command.len()), ("box", Some("/tmp"), 3));
        let Command::Launch(launch) = parsed("multipass launch 24.04 -n box --mem 4G -d 50G -c 8 --timeout 600") else {
            panic!("it is a launch");
        };
        assert_eq!((launch.image.as_deref(), launch.memory.as_str(), launch.cpus.as_str()), (Some("24.04"), "4G", "8"));
        assert!(matches!(parsed("multipass delete --purge box"), Command::Delete { purge: true, .. }));
        assert!(matches!(parsed("multipass transfer - box:/tmp/file"), Command::Transfer { .. }));
        assert!(Arguments::try_parse_from(["multipass", "transfer", "box:/tmp/file"]).is_err(), "it needs two paths");
    }
}
