//! Quantities (`1500m`, `2Gi`, `1e3`) as apimachinery's `api/resource/quantity.go` reads, computes and writes them.

use std::cmp::Ordering;
use std::fmt;

use serde_json::Value;

/// The notation in which a quantity is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    DecimalExponent,
    BinarySi,
    DecimalSi,
}

const NANO: i128 = 1_000_000_000;

/// An amount, to a billionth.
#[derive(Clone, Debug)]
pub(crate) struct Quantity {
    nanos: i128,
    format: Format,
    /// The text it was read from, where Kubernetes would write the same again.
    text: Option<String>,
}

/// Why a text is no quantity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum QuantityError {
    #[error("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")]
    Format,
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// Base (10 or 2), exponent and notation of a suffix.
fn suffix(text: &str) -> Option<(u32, i32, Format)> {
    Some(match text {
        "n" => (10, -9, Format::DecimalSi),
        "u" => (10, -6, Format::DecimalSi),
        "m" => (10, -3, Format::DecimalSi),
        "" => (10, 0, Format::DecimalSi),
        "k" => (10, 3, Format::DecimalSi),
        "M" => (10, 6, Format::DecimalSi),
        "G" => (10, 9, Format::DecimalSi),
        "T" => (10, 12, Format::DecimalSi),
        "P" => (10, 15, Format::DecimalSi),
        "E" => (10, 18, Format::DecimalSi),
        "Ki" => (2, 10, Format::BinarySi),
        "Mi" => (2, 20, Format::BinarySi),
        "Gi" => (2, 30, Format::BinarySi),
        "Ti" => (2, 40, Format::BinarySi),
        "Pi" => (2, 50, Format::BinarySi),
        "Ei" => (2, 60, Format::BinarySi),
        _ => {
            let exponent = text.strip_prefix(['e', 'E'])?;
            (10, exponent.parse::<i64>().ok()?.clamp(-1000, 1000) as i32, Format::DecimalExponent)
        }
    })
}

/// `digits` x 10^`power`, saturating; what is lost is rounded away from zero.
fn scaled(digits: i128, power: i32) -> i128 {
    if power >= 0 {
        return 10i128
            .checked_pow(power.unsigned_abs())
            .map_or(if digits == 0 { 0 } else { i128::MAX }, |p| digits.saturating_mul(p));
    }
    match 10i128.checked_pow(power.unsigned_abs()) {
        Some(divisor) => digits / divisor + i128::from(digits % divisor != 0),
        None => i128::from(digits != 0),
    }
}

impl Quantity {
    pub(crate) const ZERO: Self = Self { nanos: 0, format: Format::DecimalSi, text: None };

    /// A plain number (DecimalSI).
    pub(crate) fn integer(value: i64) -> Self {
        Self { nanos: i128::from(value) * NANO, format: Format::DecimalSi, text: None }
    }

    /// `ParseQuantity`.
    pub(crate) fn parse(text: &str) -> Result<Self, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let negative = text.starts_with('-');
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        // Leading zeros say nothing, and nothing but zeros (or a sign alone) is zero.
        let trimmed = unsigned.trim_start_matches('0');
        if trimmed.is_empty() {
            return Ok(Self { text: (text == "0").then(|| text.to_owned()), ..Self::ZERO });
        }
        let after_whole = trimmed.trim_start_matches(|c: char| c.is_ascii_digit());
        let whole = &trimmed[..trimmed.len() - after_whole.len()];
        let (fraction, end) = match after_whole.strip_prefix('.') {
            Some(rest) => {
                let end = rest.trim_start_matches(|c: char| c.is_ascii_digit());
                (&rest[..rest.len() - end.len()], end)
            }
            None => ("", after_whole),
        };
        let after = end.trim_start_matches(|c: char| "eEinumkKMGTP".contains(c));
        let exponent = after.strip_prefix(['-', '+']).unwrap_or(after);
        if !exponent.bytes().all(|c| c.is_ascii_digit()) {
            return Err(QuantityError::Format);
        }
        let (base, exponent, mut format) = suffix(end).ok_or(QuantityError::Suffix)?;
        let shifted = format!("{}{fraction}", if whole.is_empty() { "0" } else { whole });
        // More digits than fit say "a lot".
        let digits: i128 = shifted.parse().unwrap_or(i128::MAX);
        let places = i32::try_from(fraction.len()).unwrap_or(i32::MAX - 2000);
        let scale = exponent - places;
        // Where Kubernetes takes its fast path it keeps the text, if that is canonical (as far as it looks).
        let length = i32::try_from(shifted.len()).unwrap_or(i32::MAX);
        let kept = if base == 10 {
            length <= 18 && scale >= -9 && scale % 3 == 0 && !shifted.ends_with("000") && !shifted.starts_with('0')
        } else {
            let small =
                length <= 14 - exponent * 3 / 10 && digits.checked_mul(1 << exponent).is_some_and(|n| i64::try_from(n).is_ok());
            fraction.is_empty() && small && digits & 7 != 0
        };
        let mut nanos = if base == 10 {
            scaled(digits, scale + 9)
        } else {
            let product = digits.checked_mul(1 << exponent).map_or(i128::MAX, |product| scaled(product, 9 - places));
            product.min(i128::from(i64::MAX) * NANO)
        };
        if format == Format::BinarySi && nanos > 0 && nanos < NANO {
            format = Format::DecimalSi;
        }
        if negative {
            nanos = -nanos;
        }
        Ok(Self { nanos, format, text: kept.then(|| text.to_owned()) })
    }

    /// Of a field; absent or malformed ones count as zero.
    pub(crate) fn of(value: &Value) -> Self {
        match value {
            Value::String(text) => Self::parse(text).unwrap_or(Self::ZERO),
            Value::Number(number) => Self::parse(&number.to_string()).unwrap_or(Self::ZERO),
            _ => Self::ZERO,
        }
    }

    pub(crate) fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    pub(crate) fn is_negative(&self) -> bool {
        self.nanos < 0
    }

    /// The integer that is no less (`Value`).
    pub(crate) fn value(&self) -> i64 {
        self.rounded_up(NANO)
    }

    /// The thousandths, rounded up (`MilliValue`).
    pub(crate) fn milli_value(&self) -> i64 {
        self.rounded_up(NANO / 1000)
    }

    /// Rounds away from zero, as `ScaledValue` does.
    fn rounded_up(&self, unit: i128) -> i64 {
        let (whole, rest) = (self.nanos / unit, self.nanos % unit);
        let value = whole + rest.signum();
        i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
    }

    /// Rounds up what is finer than a thousandth; whether there was any.
    pub(crate) fn round_up_to_milli(&mut self) -> bool {
        let unit = NANO / 1000;
        let rest = self.nanos % unit;
        if rest != 0 {
            self.nanos = self.nanos.saturating_add(rest.signum() * unit - rest);
            self.text = None;
        }
        rest != 0
    }

    /// Whether it is a whole number.
    pub(crate) fn is_integer(&self) -> bool {
        self.nanos % NANO == 0
    }

    pub(crate) fn add(&mut self, other: &Self) {
        self.combine(other, self.nanos.saturating_add(other.nanos));
    }

    pub(crate) fn sub(&mut self, other: &Self) {
        self.combine(other, self.nanos.saturating_sub(other.nanos));
    }

    fn combine(&mut self, other: &Self, nanos: i128) {
        if self.is_zero() {
            self.format = other.format;
        }
        self.nanos = nanos;
        self.text = None;
    }
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Self) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Self) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl fmt::Display for Quantity {
    /// The canonical form (`CanonicalizeBytes`).
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(text) = &self.text {
            return f.write_str(text);
        }
        if self.nanos == 0 {
            return f.write_str("0");
        }
        let whole = self.nanos / NANO;
        if self.format == Format::BinarySi && self.is_integer() && whole.abs() >= 1024 {
            let (mut number, mut steps) = (whole, 0);
            while number % 1024 == 0 && steps < 6 {
                number /= 1024;
                steps += 1;
            }
            return write!(f, "{number}{}", ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"][steps]);
        }
        let (mut number, mut steps) = (self.nanos, 0);
        let most = if self.format == Format::DecimalExponent { 13 } else { 9 };
        while number % 1000 == 0 && steps < most {
            number /= 1000;
            steps += 1;
        }
        let exponent = 3 * (steps as i32) - 9;
        match self.format {
            Format::DecimalExponent if exponent == 0 => write!(f, "{number}"),
            Format::DecimalExponent => write!(f, "{number}e{exponent}"),
            _ => write!(f, "{number}{}", ["n", "u", "m", "", "k", "M", "G", "T", "P", "E"][steps]),
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case("0.5", "500m")]
    #[case("1500m", "1500m")]
    #[case("1000m", "1")]
    #[case("1024Ki", "1Mi")]
    #[case("0.5Gi", "512Mi")]
    #[case("1.5Gi", "1536Mi")]
    #[case("1e3", "1e3")]
    #[case("1000", "1k")]
    #[case("0", "0")]
    #[case("100Mi", "100Mi")]
    #[case("1.500", "1.500")]
    #[case("-5", "-5")]
    #[case("0.0000000001", "1n")]
    fn canonical(#[case] text: &str, #[case] expected: &str) {
        assert_eq!(Quantity::parse(text).unwrap().to_string(), expected);
    }

    #[rstest]
    #[case("", QuantityError::Format)]
    #[case("abc", QuantityError::Format)]
    #[case("1x", QuantityError::Format)]
    #[case("1mm", QuantityError::Suffix)]
    fn malformed(#[case] text: &str, #[case] error: QuantityError) {
        assert_eq!(Quantity::parse(text).unwrap_err(), error);
    }

    #[test]
    fn sums_take_the_first_notation() {
        let mut sum = Quantity::ZERO;
        sum.add(&Quantity::parse("512Mi").unwrap());
        sum.add(&Quantity::parse("512Mi").unwrap());
        assert_eq!(sum.to_string(), "1Gi");
        assert!(sum > Quantity::integer(1));
    }
}
