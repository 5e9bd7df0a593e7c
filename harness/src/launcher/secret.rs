//! Values that nobody may read in a log.

use std::{
    borrow::Cow,
    fmt::{self, Debug, Display},
};

/// What stands where a secret would.
const ASTERISKS: &str = "***";

/// A credential. However it is shown, only asterisks are seen.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Makes a secret of a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value itself, which is not to be printed, logged or kept.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ASTERISKS)
    }
}

impl Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(ASTERISKS)
    }
}

impl serde::Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(ASTERISKS)
    }
}

/// Puts asterisks where a text holds a secret's value.
#[derive(Debug, Clone, Default)]
pub struct Masker(Vec<Secret>);

impl Masker {
    /// A masker of these secrets.
    pub fn new<'a>(secrets: impl IntoIterator<Item = &'a Secret>) -> Self {
        let mut values: Vec<Secret> = secrets.into_iter().flat_map(forms).collect();
        // The longest first: one secret may be part of another.
        values.sort_by(|a, b| b.0.len().cmp(&a.0.len()).then_with(|| a.0.cmp(&b.0)));
        values.dedup();
        Self(values)
    }

    /// The text without the secrets.
    pub fn mask<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let mut masked = Cow::Borrowed(text);
        for secret in &self.0 {
            if masked.contains(&secret.0) {
                masked = Cow::Owned(masked.replace(&secret.0, ASTERISKS));
            }
        }
        masked
    }
}

/// The forms in which a secret may turn up: itself, and the signature of a shared access signature, which is
/// the part of it that must not be known (`?sv=...&sig=...`; the rest says what it allows).
fn forms(secret: &Secret) -> Vec<Secret> {
    let value = secret.expose();
    let signature = value.trim_start_matches('?').split('&').find_map(|pair| pair.strip_prefix("sig="));
    [Some(value), Some(value.trim_start_matches('?')), signature]
        .into_iter()
        .flatten()
        .filter(|form| !form.is_empty())
        .map(Secret::new)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_shows_asterisks_only() {
        let secret = Secret::new("hunter2");
        assert_eq!(format!("{secret} {secret:?} {}", serde_json::to_string(&secret).unwrap()), "*** *** \"***\"");
    }

    #[test]
    fn every_form_of_a_secret_is_masked() {
        let masker = Masker::new(&[Secret::new("ab"), Secret::new("abcd"), Secret::new(""), Secret::new("?sv=2021&sig=x%2Fy")]);
        assert_eq!(
            masker.mask("abcd ab-z curl /?sv=2021&sig=x%2Fy 'sv=2021&sig=x%2Fy' signature x%2Fy"),
            "*** ***-z curl /*** '***' signature ***"
        );
        assert!(matches!(masker.mask("nothing"), Cow::Borrowed("nothing")));
        assert!(!format!("{masker:?}").contains("ab"));
    }
}
