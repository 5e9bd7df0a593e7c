//! Sizes of memory and disks, as Multipass takes them and people write them.

use std::{
    fmt::{self, Display},
    str::FromStr,
};

/// A size in bytes. In text a whole number with `K`, `M` or `G`, which are powers of 1024:
/// <https://canonical.com/multipass/docs/stable/reference/command-line-interface/launch/>.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Size(u64);

/// A text that is no size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a whole number followed by K, M or G")]
pub struct NoSize;

const UNITS: [(char, u64); 3] = [('G', 1 << 30), ('M', 1 << 20), ('K', 1 << 10)];

impl Size {
    /// So many bytes.
    pub const fn of(bytes: u64) -> Self {
        Self(bytes)
    }

    /// So many times 2^30 bytes.
    pub const fn gib(count: u64) -> Self {
        Self(count << 30)
    }

    /// In bytes.
    pub const fn bytes(self) -> u64 {
        self.0
    }
}

impl FromStr for Size {
    type Err = NoSize;

    fn from_str(text: &str) -> Result<Self, NoSize> {
        let (unit, bytes) = UNITS.into_iter().find(|(unit, _)| text.ends_with(*unit)).ok_or(NoSize)?;
        let digits = text.trim_end_matches(unit);
        if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) || digits.len() + 1 != text.len() {
            return Err(NoSize);
        }
        let count: u64 = digits.parse().map_err(|_| NoSize)?;
        count.checked_mul(bytes).filter(|bytes| *bytes > 0).map(Self).ok_or(NoSize)
    }
}

impl Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS.into_iter().find(|(_, bytes)| self.0.is_multiple_of(*bytes)) {
            Some((unit, bytes)) => write!(f, "{}{unit}", self.0 / bytes),
            // What a host has is seldom a round number.
            None => write!(f, "{:.1}G", self.0 as f64 / (1_u64 << 30) as f64),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("20G", 20 << 30, "20G")]
    #[case("2048M", 2 << 30, "2G")]
    #[case("1536M", 1536 << 20, "1536M")]
    #[case("8K", 8192, "8K")]
    fn a_size_is_read_and_written(#[case] text: &str, #[case] bytes: u64, #[case] written: &str) {
        let size: Size = text.parse().unwrap();
        assert_eq!((size.bytes(), size.to_string().as_str()), (bytes, written));
    }

    #[rstest]
    #[case("20")]
    #[case("G")]
    #[case("0G")]
    #[case("-1G")]
    #[case("+1G")]
    #[case("1.5G")]
    #[case("1GG")]
    #[case("20GB")]
    #[case("99999999999G")]
    fn what_is_no_size_is_refused(#[case] text: &str) {
        assert_eq!(text.parse::<Size>(), Err(NoSize));
    }

    #[test]
    fn what_a_host_has_is_told_in_gib() {
        assert_eq!(Size::of(25_200_000_001).to_string(), "23.5G");
    }
}
