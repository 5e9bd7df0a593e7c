//! The proxies that the environment names.

use http::Uri;

use super::{Finding, Verdict};

/// The variables, each in its two spellings.
const NAMES: [&str; 4] = ["HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY", "NO_PROXY"];

/// The variables that are set, with what they hold.
pub(super) fn gather() -> Vec<(String, String)> {
    let spellings = NAMES.iter().flat_map(|name| [(*name).to_owned(), name.to_lowercase()]);
    spellings.filter_map(|name| Some((name.clone(), std::env::var(name).ok().filter(|value| !value.is_empty())?))).collect()
}

pub(super) fn judge(set: &[(String, String)]) -> Vec<Finding> {
    const NEEDED: &str = "none, or addresses";
    if set.is_empty() {
        return vec![Finding::ok("proxies", "none", NEEDED)];
    }
    set.iter().map(|(name, value)| proxy(name, value, NEEDED)).collect()
}

fn proxy(name: &str, value: &str, needed: &str) -> Finding {
    if name.eq_ignore_ascii_case("NO_PROXY") {
        return Finding::ok(name, value, needed);
    }
    let finding = Finding::ok(name, masked(value), needed);
    match value.parse::<Uri>().ok().filter(|uri| uri.host().is_some()) {
        Some(_) => finding.but(
            Verdict::Warning,
            "the Docker Engine and K3s do not read this shell's: give the engine its own (https://docs.docker.com/engine/daemon/proxy/), \
             and images in K3S_ARC_IMAGES_DIR if nodes cannot pull",
        ),
        None => finding.but(Verdict::Warning, format!("it is no address: write {name}=http://host:port, or unset it")),
    }
}

/// An address without its credentials.
fn masked(value: &str) -> String {
    let (scheme, rest) = value.split_once("://").map_or(("", value), |(scheme, rest)| (scheme, rest));
    // The last `@` ends the credentials, though a password that was not encoded may hold others.
    let shown = rest.rsplit_once('@').map_or_else(|| rest.to_owned(), |(_, host)| format!("***@{host}"));
    if scheme.is_empty() { shown } else { format!("{scheme}://{shown}") }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("http://proxy.example:3128", "http://proxy.example:3128")]
    #[case("http://me:s3cret@proxy.example:3128", "http://***@proxy.example:3128")]
    #[case("me:s3cret@proxy.example:3128", "***@proxy.example:3128")]
    #[case("http://me:p@ss/w@proxy.example", "http://***@proxy.example")]
    fn credentials_are_masked(#[case] value: &str, #[case] shown: &str) {
        let found = judge(&[("HTTPS_PROXY".to_owned(), value.to_owned())]);
        assert_eq!(found[0].found, shown);
        assert!(!format!("{found:?}").contains("s3cret"));
    }

    #[test]
    fn no_proxy_is_no_fault() {
        assert_eq!(judge(&[])[0].verdict, Verdict::Ok);
        let set = [("no_proxy".to_owned(), "localhost,127.0.0.1".to_owned())];
        assert_eq!(judge(&set)[0].verdict, Verdict::Ok);
    }
}
