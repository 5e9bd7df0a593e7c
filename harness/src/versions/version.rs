//! A K3s release, comparable with others.

use std::{
    fmt::{self, Display},
    str::FromStr,
};

use crate::cluster::K3sImage;

/// A release of K3s. They sort by age within a minor version: the Kubernetes in it, then K3s's own count on top; a candidate
/// comes before its release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct K3sVersion {
    major: u32,
    minor: u32,
    patch: u32,
    /// Of a release, the highest there is.
    candidate: u32,
    k3s: u32,
}

const RELEASED: u32 = u32::MAX;

/// A text that is no version of K3s.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no version of K3s, such as v1.34.1+k3s1")]
pub struct NoVersion(String);

impl K3sVersion {
    /// The version that an image's tag names; none, if it names something else.
    pub fn of(image: &K3sImage) -> Option<Self> {
        image.tag()?.parse().ok()
    }

    /// The image K3s publishes of it.
    pub fn image(self) -> K3sImage {
        K3sImage::released(&self.to_string().replace('+', "-"))
    }

    /// The Kubernetes line it belongs to, major and minor.
    pub fn line(self) -> (u32, u32) {
        (self.major, self.minor)
    }

    /// Whether it is a release, not a candidate for one.
    pub fn is_released(self) -> bool {
        self.candidate == RELEASED
    }
}

impl Display for K3sVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)?;
        if !self.is_released() {
            write!(f, "-rc{}", self.candidate)?;
        }
        write!(f, "+k3s{}", self.k3s)
    }
}

impl FromStr for K3sVersion {
    type Err = NoVersion;

    fn from_str(text: &str) -> Result<Self, NoVersion> {
        parse(text).ok_or_else(|| NoVersion(text.to_owned()))
    }
}

/// `v1.34.1+k3s1` and `v1.34.1-rc1+k3s1`, and with `-` for `+`, as in tags.
fn parse(text: &str) -> Option<K3sVersion> {
    let number = |text: &str| text.bytes().all(|digit| digit.is_ascii_digit()).then(|| text.parse().ok()).flatten();
    let text = text.strip_prefix('v')?.replace('+', "-");
    let (rest, k3s) = text.rsplit_once("-k3s")?;
    let (numbers, candidate) = match rest.split_once("-rc") {
        Some((numbers, candidate)) => (numbers, number(candidate)?),
        None => (rest, RELEASED),
    };
    let mut numbers = numbers.split('.');
    let mut next = || numbers.next().and_then(number);
    let (major, minor, patch) = (next()?, next()?, next()?);
    if numbers.next().is_some() {
        return None;
    }
    Some(K3sVersion { major, minor, patch, candidate, k3s: number(k3s)? })
}

impl TryFrom<String> for K3sVersion {
    type Error = NoVersion;

    fn try_from(text: String) -> Result<Self, NoVersion> {
        text.parse()
    }
}

impl From<K3sVersion> for String {
    fn from(version: K3sVersion) -> Self {
        version.to_string()
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[test]
    fn releases_sort_by_age_within_their_line() {
        let sorted = ["v1.9.9+k3s1", "v1.34.2-rc1+k3s1", "v1.34.2+k3s1", "v1.34.2+k3s2", "v1.34.2+k3s10", "v1.34.10+k3s1"];
        let mut versions: Vec<K3sVersion> = sorted.iter().rev().map(|text| text.parse().unwrap()).collect();
        versions.sort_unstable();
        let texts: Vec<String> = versions.iter().map(K3sVersion::to_string).collect();
        assert_eq!(texts, sorted);
    }

    #[rstest]
    #[case("v1.34.1-k3s1", Some("v1.34.1+k3s1"))]
    #[case("v1.34.1-rc1-k3s1", Some("v1.34.1-rc1+k3s1"))]
    #[case("v1.34.1", None)]
    #[case("v1.34.1.2-k3s1", None)]
    #[case("v1.34.1-k3s", None)]
    #[case("v1.34.x1-k3s1", None)]
    #[case("v1.34.1-k3s1-amd64", None)]
    #[case("dev", None)]
    fn a_tag_names_a_version_or_something_else(#[case] tag: &str, #[case] version: Option<&str>) {
        let image: K3sImage = format!("registry.example:5000/edge/k3s:{tag}").parse().unwrap();
        assert_eq!(K3sVersion::of(&image).map(|version| version.to_string()).as_deref(), version);
    }

    #[test]
    fn a_version_is_published_as_an_image_whose_tag_names_it() {
        let version: K3sVersion = "v1.36.4-rc2+k3s1".parse().unwrap();
        assert_eq!(version.image().to_string(), "rancher/k3s:v1.36.4-rc2-k3s1");
        assert_eq!(K3sVersion::of(&version.image()), Some(version));
    }
}
