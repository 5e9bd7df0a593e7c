//! The way to the registries: whether their names resolve, and whether they answer.

use std::time::Duration;

use futures::future::join_all;

use super::{
    Finding, Verdict,
    needs::{Needs, Place},
};
use crate::http;

/// What a registry that is not there costs.
const PATIENCE: Duration = Duration::from_secs(2);

/// A server that something is fetched from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Server {
    host: &'static str,
    path: &'static str,
    /// What comes from it.
    gives: &'static str,
}

/// Any answer will do: registries answer 401 to who has not logged in.
const DOCKER_HUB: Server = Server { host: "registry-1.docker.io", path: "/v2/", gives: "K3s and what it runs" };
const MICROSOFT: Server = Server { host: "mcr.microsoft.com", path: "/v2/", gives: "Arc's images" };
const LOG_IN: Server = Server { host: "login.microsoftonline.com", path: "/", gives: "Azure's log-in" };
const AZURE: Server = Server { host: "management.azure.com", path: "/", gives: "Azure's API" };
const INSTALL_SCRIPT: Server = Server { host: "get.k3s.io", path: "/", gives: "K3s's install script" };
const RELEASES: Server = Server { host: "github.com", path: "/k3s-io/k3s/releases", gives: "K3s" };
const UBUNTU: Server = Server { host: "cloud-images.ubuntu.com", path: "/releases/", gives: "images of VMs" };
const CHANNELS: Server = Server { host: "update.k3s.io", path: "/v1-release/channels", gives: "K3s's channels" };

/// What was seen of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    server: Server,
    /// Whether a proxy stands between, which resolves the name itself.
    proxied: bool,
    /// What its name resolves to, or what came back.
    addresses: Result<usize, String>,
    /// How it answered, or what came back.
    answer: Result<String, String>,
    /// The time it told.
    pub(super) date: Option<String>,
}

/// The servers that a suite fetches from.
pub(super) fn servers(needs: &Needs) -> Vec<Server> {
    let mut servers = Vec::new();
    match needs.place {
        Place::Docker => servers.push(DOCKER_HUB),
        Place::Vm => {
            servers.push(UBUNTU);
            if needs.airgap.is_none() {
                servers.extend([INSTALL_SCRIPT, RELEASES, DOCKER_HUB]);
            }
        }
        Place::Elsewhere | Place::Emulator => {}
    }
    // What a cluster that exists can fetch is not seen from here.
    if needs.microsofts && needs.place != Place::Elsewhere {
        servers.extend([MICROSOFT, LOG_IN, AZURE]);
    }
    if needs.channels {
        servers.push(CHANNELS);
    }
    servers
}

pub(super) async fn gather(servers: Vec<Server>) -> Vec<Facts> {
    join_all(servers.into_iter().map(ask)).await
}

async fn ask(server: Server) -> Facts {
    let url = format!("https://{}{}", server.host, server.path);
    let resolved = tokio::time::timeout(PATIENCE, tokio::net::lookup_host((server.host, 443)));
    let (resolved, answer) = futures::join!(resolved, http::get(&url, PATIENCE));
    let addresses = match resolved {
        Ok(Ok(addresses)) => Ok(addresses.count()),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
    };
    let date = answer.as_ref().ok().and_then(|answer| answer.date.clone());
    let answer = answer.map(|answer| answer.status.to_string()).map_err(|error| error.to_string());
    Facts { server, proxied: http::is_proxied(&url), addresses, answer, date }
}

/// `has_images` is whether the K3s that is asked for is there without a pull.
pub(super) fn judge(facts: &[Facts], needs: &Needs, has_images: bool) -> Vec<Finding> {
    facts.iter().flat_map(|facts| [name(facts), Some(way(facts, needs, has_images))]).flatten().collect()
}

fn name(facts: &Facts) -> Option<Finding> {
    if facts.proxied {
        return None;
    }
    let what = format!("DNS: {}", facts.server.host);
    Some(match &facts.addresses {
        Ok(count) => Finding::ok(what, format!("{count} addresses"), "an address"),
        Err(error) => Finding::ok(what, error, "an address").but(
            Verdict::Warning,
            "the name server does not know it, or does not answer: see `name servers`, and the way to them",
        ),
    })
}

fn way(facts: &Facts, needs: &Needs, has_images: bool) -> Finding {
    let Server { host, gives, .. } = facts.server;
    let what = format!("egress: {host}");
    let needed = format!("an answer: {gives}");
    match &facts.answer {
        Ok(status) => Finding::ok(what, format!("answers {status}"), needed),
        Err(error) => {
            let finding = Finding::ok(what, error, needed);
            match facts.server {
                DOCKER_HUB if !has_images => finding.but(
                    Verdict::Missing,
                    "K3s is to be pulled: open the way there, give the engine a proxy or a mirror, or name a K3s at hand in K3S_ARC_K3S",
                ),
                DOCKER_HUB if needs.images_dir => finding.but(Verdict::Ok, "nothing is pulled: images come in K3S_ARC_IMAGES_DIR"),
                DOCKER_HUB => finding.but(
                    Verdict::Warning,
                    "K3s is at hand; what its pods run (CoreDNS, local-path) must be in its image, or come in K3S_ARC_IMAGES_DIR",
                ),
                UBUNTU => finding.but(
                    Verdict::Warning,
                    "a VM is made only of an image that Multipass has fetched before, or of one by a file:// URL in K3S_ARC_MULTIPASS_RELEASE",
                ),
                INSTALL_SCRIPT | RELEASES => finding.but(
                    Verdict::Missing,
                    "K3s is to be fetched in the VM: open the way there, or give the release's files in K3S_ARC_AIRGAP_DIR",
                ),
                CHANNELS => finding.but(Verdict::Warning, "channels are read from the table that is built in, which says its date"),
                _ => finding.but(Verdict::Missing, "Microsoft's own launcher needs it: open the way there, or launch the stand-in"),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::config::Config;

    fn needs(name: &str, value: &str) -> Needs {
        Needs::of(&Config::read(|asked| (asked == name).then(|| value.into())).unwrap())
    }

    fn silent(server: Server) -> Facts {
        let nothing = || "no route".to_owned();
        Facts { server, proxied: false, addresses: Err(nothing()), answer: Err(nothing()), date: None }
    }

    #[rstest]
    #[case::emulator("K3S_ARC_PROVIDER", "emulator", &[])]
    #[case::docker("K3S_ARC_PROVIDER", "docker", &["registry-1.docker.io"])]
    #[case::vm(
        "K3S_ARC_PROVIDER",
        "multipass",
        &["cloud-images.ubuntu.com", "get.k3s.io", "github.com", "registry-1.docker.io"]
    )]
    #[case::existing("K3S_ARC_PROVIDER", "kubeconfig", &[])]
    #[case::channel("K3S_ARC_K3S", "stable", &["registry-1.docker.io", "update.k3s.io"])]
    #[case::microsofts(
        "K3S_ARC_LAUNCHER_IMAGE",
        "tree",
        &["registry-1.docker.io", "mcr.microsoft.com", "login.microsoftonline.com", "management.azure.com"]
    )]
    fn only_what_the_suite_fetches_from_is_asked(#[case] name: &str, #[case] value: &str, #[case] hosts: &[&str]) {
        let asked: Vec<&str> = servers(&needs(name, value)).iter().map(|server| server.host).collect();
        assert_eq!(asked, hosts);
    }

    #[test]
    fn a_registry_is_missing_only_for_what_is_not_at_hand() {
        let needs = needs("K3S_ARC_PROVIDER", "docker");
        let verdict = |server, has_images| way(&silent(server), &needs, has_images).verdict;
        assert_eq!(verdict(DOCKER_HUB, false), Verdict::Missing);
        assert_eq!(verdict(DOCKER_HUB, true), Verdict::Warning);
        assert_eq!(verdict(CHANNELS, true), Verdict::Warning);
        assert_eq!(verdict(MICROSOFT, true), Verdict::Missing);
    }

    #[test]
    fn behind_a_proxy_names_are_the_proxys_to_resolve() {
        let needs = needs("K3S_ARC_PROVIDER", "docker");
        let direct = silent(DOCKER_HUB);
        let proxied = Facts { proxied: true, answer: Ok("401 Unauthorized".to_owned()), ..direct.clone() };
        assert_eq!(judge(&[direct], &needs, true).len(), 2);
        let findings = judge(&[proxied], &needs, true);
        assert!(matches!(&findings[..], [one] if one.verdict == Verdict::Ok), "{findings:?}");
    }
}
