//! Which K3s: a version in any of its spellings, or a whole image reference.

use std::{
    fmt::{self, Display},
    str::FromStr,
};

use crate::versions::Channel;

/// The repository of K3s's own images: <https://hub.docker.com/r/rancher/k3s>.
const REPOSITORY: &str = "rancher/k3s";

/// The version taken when none is asked for.
const DEFAULT_VERSION: &str = "v1.34.1-k3s1";

/// A K3s image. Versions are written `v1.34.1+k3s1` by K3s and `v1.34.1-k3s1` as a tag (a tag cannot hold
/// `+`), and people leave out the `v` or the `k3s1`; all of these name the same image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, serde::Serialize, serde::Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct K3sImage {
    repository: String,
    /// A tag with its `:`, or a digest with its `@`.
    suffix: String,
}

/// Why a text names no K3s.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, miette::Diagnostic)]
pub enum K3sImageError {
    /// Neither a version nor an image reference.
    #[error("`{text}` is neither a K3s version nor an image reference")]
    #[diagnostic(help("give a version (v1.34.1+k3s1, v1.34.1-k3s1 or 1.34.1) or an image (rancher/k3s:v1.34.1-k3s1)"))]
    Neither {
        /// What was given.
        text: String,
    },
    /// A minor version or channel, of which there are many releases.
    #[error("`{text}` is a channel, where one image is meant")]
    #[diagnostic(help("give one version of it in full, such as v1.34.1+k3s1; `k3s-arc versions` lists the newest"))]
    Channel {
        /// What was given.
        text: String,
    },
    /// An image reference without tag or digest: what it means changes from day to day.
    #[error("the image `{text}` has neither tag nor digest")]
    #[diagnostic(help("add the tag to test, such as {text}:v1.34.1-k3s1"))]
    Untagged {
        /// What was given.
        text: String,
    },
}

impl K3sImage {
    /// The image that K3s publishes under a tag.
    pub(crate) fn released(tag: &str) -> Self {
        Self { repository: REPOSITORY.to_owned(), suffix: format!(":{tag}") }
    }

    /// Its tag, unless it is named by a digest.
    pub(crate) fn tag(&self) -> Option<&str> {
        self.suffix.strip_prefix(':')
    }

    /// Name and tag. testcontainers joins them with a colon, so a digest's algorithm goes to the name.
    pub(crate) fn split_for_testcontainers(&self) -> (String, String) {
        match self.suffix.strip_prefix('@').and_then(|digest| digest.split_once(':')) {
            Some((algorithm, hex)) => (format!("{}@{algorithm}", self.repository), hex.to_owned()),
            None => (self.repository.clone(), self.suffix[1..].to_owned()),
        }
    }
}

impl Default for K3sImage {
    fn default() -> Self {
        Self::released(DEFAULT_VERSION)
    }
}

impl Display for K3sImage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.repository, self.suffix)
    }
}

impl From<K3sImage> for String {
    fn from(image: K3sImage) -> Self {
        image.to_string()
    }
}

impl TryFrom<String> for K3sImage {
    type Error = K3sImageError;

    fn try_from(text: String) -> Result<Self, K3sImageError> {
        text.parse()
    }
}

impl FromStr for K3sImage {
    type Err = K3sImageError;

    fn from_str(text: &str) -> Result<Self, K3sImageError> {
        let text = text.trim();
        if let Some(tag) = version_tag(text) {
            return Ok(Self::released(&tag));
        }
        if Channel::named(text).is_some() {
            return Err(K3sImageError::Channel { text: text.to_owned() });
        }
        let well_formed = |part: &str, more: &str| {
            part.starts_with(|first: char| first.is_ascii_alphanumeric())
                && part
                    .chars()
                    .all(|character| character.is_ascii_alphanumeric() || "._-".contains(character) || more.contains(character))
        };
        let neither = || K3sImageError::Neither { text: text.to_owned() };
        let (repository, suffix) = match text.split_once('@') {
            Some((repository, digest)) => {
                let hex = digest.strip_prefix("sha256:").ok_or_else(neither)?;
                if hex.len() != 64 || !hex.chars().all(|character| character.is_ascii_hexdigit()) {
                    return Err(neither());
                }
                (repository, format!("@{digest}"))
            }
            None => match text.rsplit_once(':') {
                // A colon before the last slash is a registry's port.
                Some((repository, tag)) if !tag.contains('/') => {
                    if !well_formed(tag, "") {
                        return Err(neither());
                    }
                    (repository, format!(":{tag}"))
                }
                _ if text.contains('/') && well_formed(text, "/:") => {
                    return Err(K3sImageError::Untagged { text: text.to_owned() });
                }
                _ => return Err(neither()),
            },
        };
        if !well_formed(repository, "/:") {
            return Err(neither());
        }
        Ok(Self { repository: repository.to_owned(), suffix })
    }
}

/// `1.34.1`, `v1.34.1`, `v1.34.1+k3s2`, `v1.34.1-rc1+k3s1` and their tag spellings, as a tag.
fn version_tag(text: &str) -> Option<String> {
    let version = text.strip_prefix('v').unwrap_or(text).replace('+', "-");
    let mut parts = version.split('-');
    let numbers: Vec<&str> = parts.next()?.split('.').collect();
    let is_number = |part: &str| !part.is_empty() && part.len() < 6 && part.chars().all(|digit| digit.is_ascii_digit());
    if numbers.len() != 3 || !numbers.into_iter().all(is_number) {
        return None;
    }
    let is_marked = |part: &str, mark: &str| part.strip_prefix(mark).is_some_and(is_number);
    match parts.collect::<Vec<_>>()[..] {
        [] => Some(format!("v{version}-k3s1")),
        [k3s] if is_marked(k3s, "k3s") => Some(format!("v{version}")),
        [candidate] if is_marked(candidate, "rc") => Some(format!("v{version}-k3s1")),
        [candidate, k3s] if is_marked(candidate, "rc") && is_marked(k3s, "k3s") => Some(format!("v{version}")),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("v1.34.1+k3s1", "rancher/k3s:v1.34.1-k3s1")]
    #[case("v1.34.1-k3s1", "rancher/k3s:v1.34.1-k3s1")]
    #[case("1.34.1", "rancher/k3s:v1.34.1-k3s1")]
    #[case(" v1.34.1 ", "rancher/k3s:v1.34.1-k3s1")]
    #[case("v1.33.2+k3s2", "rancher/k3s:v1.33.2-k3s2")]
    #[case("v1.34.1-rc1+k3s1", "rancher/k3s:v1.34.1-rc1-k3s1")]
    #[case("rancher/k3s:v1.34.1-k3s1", "rancher/k3s:v1.34.1-k3s1")]
    #[case("localhost:5000/edge/k3s:dev", "localhost:5000/edge/k3s:dev")]
    #[case("k3s:dev", "k3s:dev")]
    fn every_spelling_names_its_image(#[case] text: &str, #[case] image: &str) {
        assert_eq!(text.parse::<K3sImage>().unwrap().to_string(), image);
    }

    #[test]
    fn a_digest_survives_testcontainers_joining_of_name_and_tag() {
        let hex = "0123456789abcdef".repeat(4);
        let image: K3sImage = format!("rancher/k3s@sha256:{hex}").parse().unwrap();
        let (name, tag) = image.split_for_testcontainers();
        assert_eq!(format!("{name}:{tag}"), image.to_string());
    }

    #[rstest]
    #[case("stable", true)]
    #[case("v1.34", true)]
    #[case("1.34", true)]
    #[case("banana", false)]
    #[case("v1.34.1.2", false)]
    #[case("", false)]
    #[case("rancher/k3s:", false)]
    #[case("rancher/k3s@sha256:beef", false)]
    #[case("-x/y:z", false)]
    fn what_names_no_image_says_so(#[case] text: &str, #[case] channel: bool) {
        let error = text.parse::<K3sImage>().unwrap_err();
        assert_eq!(matches!(error, K3sImageError::Channel { .. }), channel, "{error}");
    }

    #[test]
    fn an_untagged_image_is_refused() {
        let error = "rancher/k3s".parse::<K3sImage>().unwrap_err();
        assert_eq!(error, K3sImageError::Untagged { text: "rancher/k3s".to_owned() });
    }

    proptest! {
        #[test]
        fn no_text_panics_and_what_is_accepted_reads_back_as_itself(text in "\\PC{0,40}") {
            if let Ok(image) = text.parse::<K3sImage>() {
                prop_assert_eq!(image.to_string().parse::<K3sImage>(), Ok(image));
            }
        }
    }
}
