//! SHA-256 in hexadecimal, by which contents and equal things are known.

use sha2::{Digest, Sha256};

/// All 64 digits.
pub(crate) fn full(content: &[u8]) -> String {
    Sha256::digest(content).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The first 12 digits: enough to tell the few things of one host apart, and short enough for their names.
pub(crate) fn short(content: &[u8]) -> String {
    full(content)[..12].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_those_of_sha256sum() {
        assert_eq!(full(b""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
        assert_eq!(short(b""), "e3b0c44298fc");
    }
}
