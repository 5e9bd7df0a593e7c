//! Multipass: whether it answers, and whether K3s can be installed in its VMs without network, if it is to be.

use std::time::Duration;

use super::{
    Finding, Verdict,
    needs::{Needs, Place},
};
use crate::cluster::multipass::{self, MultipassError, Version};

/// A daemon that is stuck must not stop an examination.
const PATIENCE: Duration = Duration::from_millis(1500);

/// What there is of Multipass.
#[derive(Debug)]
pub(super) enum Facts {
    None,
    Silent,
    Broken(MultipassError),
    There(Version),
}

pub(super) async fn gather() -> Facts {
    match tokio::time::timeout(PATIENCE, multipass::look()).await {
        Ok(None) => Facts::None,
        Ok(Some(Ok(version))) => Facts::There(version),
        Ok(Some(Err(error))) => Facts::Broken(error),
        Err(_) => Facts::Silent,
    }
}

pub(super) fn judge(facts: &Facts, needs: &Needs) -> Vec<Finding> {
    let is_needed = needs.place == Place::Vm;
    let needed = if is_needed { "a daemon that answers" } else { "nothing: `--provider multipass` alone uses it" };
    let (found, remedy) = match facts {
        Facts::None => (
            "none".to_owned(),
            "install it: https://canonical.com/multipass/docs/stable/how-to-guides/install-multipass/".to_owned(),
        ),
        Facts::Silent => ("it does not answer".to_owned(), RESTART.to_owned()),
        Facts::Broken(error) => {
            let help = miette::Diagnostic::help(error).map(|help| help.to_string()).unwrap_or_default();
            (error.to_string(), help)
        }
        Facts::There(Version { command, daemon: None }) => (format!("{command}, and no daemon that answers"), RESTART.to_owned()),
        Facts::There(Version { command, daemon: Some(daemon) }) if command == daemon => (command.clone(), String::new()),
        Facts::There(Version { command, daemon: Some(daemon) }) => (format!("{command}, its daemon {daemon}"), String::new()),
    };
    let finding = Finding::ok("Multipass", found, needed);
    let mut findings = vec![if is_needed { finding.unless(remedy.is_empty(), Verdict::Missing, remedy) } else { finding }];
    if let Some(directory) = needs.airgap.as_deref().filter(|_| is_needed) {
        findings.extend(needs.versions().map(|version| {
            let finding = |found: String| Finding::ok(format!("assets of {version}"), found, "k3s, install.sh and its images");
            match multipass::has_assets(directory, &version) {
                Ok(()) => finding(format!("in {}", directory.display())),
                Err(error) => {
                    finding(error.to_string()).but(Verdict::Missing, "put the release's files there, or unset K3S_ARC_AIRGAP_DIR")
                }
            }
        }));
    }
    findings
}

const RESTART: &str = "start it: `sudo snap restart multipass` on Linux; its log says what keeps it: `snap logs multipass`";

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::Config;

    fn needs(provider: &'static str) -> Needs {
        Needs::of(&Config::read(|asked| (asked == "K3S_ARC_PROVIDER").then(|| provider.into())).unwrap())
    }

    fn there(daemon: Option<&str>) -> Facts {
        Facts::There(Version { command: "1.16.1".to_owned(), daemon: daemon.map(str::to_owned) })
    }

    #[rstest]
    #[case::none(Facts::None, "none", Verdict::Missing)]
    #[case::stuck(Facts::Silent, "it does not answer", Verdict::Missing)]
    #[case::no_daemon(there(None), "1.16.1, and no daemon that answers", Verdict::Missing)]
    #[case::well(there(Some("1.16.1")), "1.16.1", Verdict::Ok)]
    #[case::after_an_update(there(Some("1.15.0")), "1.16.1, its daemon 1.15.0", Verdict::Ok)]
    fn it_is_missed_only_by_who_uses_it(#[case] facts: Facts, #[case] found: &str, #[case] verdict: Verdict) {
        let of_vm = judge(&facts, &needs("multipass"));
        assert_eq!((of_vm[0].found.as_str(), of_vm[0].verdict), (found, verdict));
        assert_eq!(judge(&facts, &needs("docker"))[0].verdict, Verdict::Ok);
    }

    #[test]
    fn assets_that_are_not_there_are_missing() {
        let directory = tempfile::tempdir().unwrap();
        let needs = Needs { airgap: Some(directory.path().to_owned()), ..needs("multipass") };
        let findings = judge(&there(Some("1.16.1")), &needs);
        assert_eq!(findings[1].what, "assets of v1.34.1+k3s1");
        assert_eq!(findings[1].verdict, Verdict::Missing);
    }
}
