//! The Multipass that is played, and what its version changes.

use crate::failure::Failure;

/// The one that is played unless the environment asks for another.
const DEFAULT: &str = "1.16.1";

/// A version of Multipass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    /// As `multipass version` prints it.
    pub(crate) text: String,
    minor: u32,
}

impl Version {
    /// The one that `FAKE_MULTIPASS_VERSION` asks for.
    pub(crate) fn asked() -> Result<Self, Failure> {
        let text = std::env::var("FAKE_MULTIPASS_VERSION").unwrap_or_else(|_| DEFAULT.to_owned());
        Self::read(&text).ok_or_else(|| Failure::Fake(format!("FAKE_MULTIPASS_VERSION={text} is no version like {DEFAULT}")))
    }

    /// Of `1.16.1+mac`.
    pub(crate) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('.');
        let (major, minor) = (parts.next()?, parts.next()?.parse().ok()?);
        (major == "1").then(|| Self { text: text.to_owned(), minor })
    }

    /// `info` tells how many processors a machine has: since 1.12, `v1.12.0:src/client/cli/formatter/json_formatter.cpp`.
    pub(crate) fn tells_processors(&self) -> bool {
        self.minor >= 12
    }

    /// There are snapshots: since 1.13.
    pub(crate) fn has_snapshots(&self) -> bool {
        self.minor >= 13
    }

    /// `list` names the distribution with the release: since 1.11.
    pub(crate) fn names_distribution(&self) -> bool {
        self.minor >= 11
    }

    /// A machine that is on and has no address is said to have the address `N/A`: until 1.16, `v1.16.3:src/daemon/daemon.cpp`.
    pub(crate) fn has_word_for_no_address(&self) -> bool {
        self.minor < 17
    }

    /// Machines are in availability zones: since 1.17.
    pub(crate) fn has_zones(&self) -> bool {
        self.minor >= 17
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_says_what_it_has() {
        let has = |text| {
            let version = Version::read(text).unwrap();
            [version.tells_processors(), version.has_snapshots(), version.has_zones()]
        };
        assert_eq!(has("1.8.1"), [false, false, false]);
        assert_eq!(has("1.12.2"), [true, false, false]);
        assert_eq!(has("1.16.1+mac"), [true, true, false]);
        assert_eq!(has("1.17.0-dev"), [true, true, true]);
        assert_eq!(Version::read("latest"), None);
    }
}
