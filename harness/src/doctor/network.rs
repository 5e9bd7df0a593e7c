//! This host's own network: a free port, and name servers that K3s's networks do not hide.

use std::net::{IpAddr, Ipv4Addr, TcpListener};

use super::{Finding, Verdict, files};

/// What there is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Facts {
    /// Whether a port of 127.0.0.1 can be listened on; what came back, if not.
    pub(super) port: Result<u16, String>,
    /// The name servers of `/etc/resolv.conf`; none where there is no such file.
    pub(super) name_servers: Option<Vec<IpAddr>>,
}

pub(super) fn gather() -> Facts {
    let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    Facts {
        port: port.map(|address| address.port()).map_err(|error| error.to_string()),
        name_servers: files::read("/etc/resolv.conf").as_deref().map(name_servers),
    }
}

fn name_servers(text: &str) -> Vec<IpAddr> {
    let servers = text.lines().filter_map(|line| line.trim().strip_prefix("nameserver"));
    servers.filter_map(|server| server.trim().split('%').next()?.parse().ok()).collect()
}

pub(super) fn judge(facts: &Facts) -> Vec<Finding> {
    vec![port(&facts.port), servers(facts.name_servers.as_deref())]
}

fn port(port: &Result<u16, String>) -> Finding {
    const NEEDED: &str = "a free one of 127.0.0.1";
    match port {
        Ok(port) => Finding::ok("ports", format!("{port} is free"), NEEDED),
        Err(error) => {
            let remedy = "`ss -ltn` shows what listens; K3s's API is published on a free port";
            Finding::ok("ports", error, NEEDED).but(Verdict::Missing, remedy)
        }
    }
}

fn servers(servers: Option<&[IpAddr]>) -> Finding {
    const NEEDED: &str = "outside of 10.42.0.0/16 and 10.43.0.0/16";
    let Some(servers) = servers else { return Finding::not_seen("name servers", NEEDED, "there is no /etc/resolv.conf") };
    let told = servers.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(", ");
    let finding = Finding::ok("name servers", if told.is_empty() { "none" } else { &told }, NEEDED);
    // K3s's pods and Services: https://docs.k3s.io/networking/basic-network-options.
    let hidden = |server: &IpAddr| matches!(server, IpAddr::V4(server) if server.octets()[0] == 10 && [42, 43].contains(&server.octets()[1]));
    if servers.is_empty() {
        finding.but(Verdict::Warning, "no name of another host resolves: nothing is pulled; images must be at hand")
    } else {
        let remedy =
            "within K3s that address is a pod's or a Service's: use another name server, or other networks for the cluster";
        finding.unless(!servers.iter().any(hidden), Verdict::Missing, remedy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str) -> Verdict {
        servers(Some(&name_servers(text))).verdict
    }

    #[test]
    fn a_name_server_that_k3ss_networks_hide_is_missing() {
        assert_eq!(verdict("# comment\nnameserver 10.255.255.53\nnameserver fe80::1%eth0\n"), Verdict::Ok);
        assert_eq!(verdict("nameserver 1.1.1.1\nnameserver 10.43.0.10\n"), Verdict::Missing);
        assert_eq!(verdict("search example.com\n"), Verdict::Warning);
    }

    #[test]
    fn a_port_is_free_here() {
        assert_eq!(port(&gather().port).verdict, Verdict::Ok);
        assert_eq!(port(&Err("Permission denied".to_owned())).verdict, Verdict::Missing);
    }
}
