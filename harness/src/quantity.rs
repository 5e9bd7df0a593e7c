//! Quantities of resources: reading Kubernetes' notation, adding up, and telling them to people.
//!
//! The notation is that of `k8s.io/apimachinery/pkg/api/resource`: a decimal number and a suffix, binary
//! (`Ki` ... `Ei`), decimal (`n` ... `E`) or an exponent (`1e3`).

use std::{
    collections::BTreeMap,
    fmt::{self, Display},
    iter::Sum,
    ops::{Add, Sub},
};

use k8s_openapi::{
    api::core::v1::{Pod, PodSpec, ResourceRequirements},
    apimachinery::pkg::api::resource::Quantity,
};

/// An amount of some resource: cores of CPU, bytes of memory or disk, pieces of anything else.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Amount {
    /// In thousandths, as finer parts are rounded up by the API server too.
    thousandths: i128,
}

impl Amount {
    /// So many whole units: cores, bytes, pieces.
    pub const fn units(units: i64) -> Self {
        Self { thousandths: units as i128 * 1000 }
    }

    /// So many thousandths of a unit, such as millicores.
    pub const fn milli(thousandths: i64) -> Self {
        Self { thousandths: thousandths as i128 }
    }

    /// Reads Kubernetes' notation (`250m`, `1.5Gi`, `1e3`); nothing, if it is not that.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (negative, text) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return None;
        }
        let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
        let (multiplier, divisor) = scale(suffix)?;
        let numerator = digits.checked_mul(multiplier)?.checked_mul(1000)?;
        let denominator = divisor.checked_mul(10_i128.checked_pow(fraction.len().try_into().ok()?)?)?;
        let rounded_up = numerator.checked_add(denominator - 1)? / denominator;
        Some(Self { thousandths: if negative { -rounded_up } else { rounded_up } })
    }

    /// The amount in thousandths: millicores, if it is one of CPU.
    pub fn as_milli(self) -> i128 {
        self.thousandths
    }

    /// The amount in whole units, such as bytes, rounded up.
    pub fn as_units(self) -> i128 {
        self.thousandths.div_euclid(1000) + i128::from(self.thousandths.rem_euclid(1000) != 0)
    }

    /// The amount as people write that of `resource`: `250m` of `cpu`, `1.5Gi` of `memory`.
    pub fn of(self, resource: &str) -> impl Display {
        Told { amount: self, bytes: is_in_bytes(resource) }
    }
}

/// What a suffix multiplies by, as a fraction.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((1024_i128.pow(power), 1));
    match suffix {
        "" => Some((1, 1)),
        "n" => Some((1, 1_000_000_000)),
        "u" => Some((1, 1_000_000)),
        "m" => Some((1, 1000)),
        "k" => Some((1000, 1)),
        "M" => Some((1_000_000, 1)),
        "G" => Some((1_000_000_000, 1)),
        "T" => Some((1_000_000_000_000, 1)),
        "P" => Some((1_000_000_000_000_000, 1)),
        "E" => Some((1_000_000_000_000_000_000, 1)),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        _ => {
            let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            Some(if exponent < 0 { (1, power) } else { (power, 1) })
        }
    }
}

/// Resources counted in bytes; the prefixes are those of quotas (`requests.memory`) and of huge pages.
fn is_in_bytes(resource: &str) -> bool {
    ["memory", "storage"].iter().any(|name| resource.ends_with(name)) || resource.contains("hugepages-")
}

struct Told {
    amount: Amount,
    bytes: bool,
}

impl Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"];
        let thousandths = self.amount.thousandths;
        if !self.bytes {
            return if thousandths % 1000 == 0 { write!(f, "{}", thousandths / 1000) } else { write!(f, "{thousandths}m") };
        }
        let bytes = self.amount.as_units();
        let size_of = |unit: usize| 1024_i128.pow(unit as u32);
        let largest = (0..UNITS.len()).rev().find(|unit| bytes.abs() >= size_of(*unit)).unwrap_or(0);
        // Exactly, if that is short: 1600Mi are not 1.6Gi.
        let exact = (0..=largest).rev().find(|unit| bytes % size_of(*unit) == 0);
        if let Some(unit) = exact.filter(|unit| (bytes / size_of(*unit)).abs() < 100_000) {
            return write!(f, "{}{}", bytes / size_of(unit), UNITS[unit]);
        }
        #[expect(clippy::cast_precision_loss, reason = "one decimal is shown")]
        let value = bytes as f64 / size_of(largest) as f64;
        write!(f, "{value:.1}{}", UNITS[largest])
    }
}

impl Add for Amount {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self { thousandths: self.thousandths.saturating_add(other.thousandths) }
    }
}

impl Sub for Amount {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self { thousandths: self.thousandths.saturating_sub(other.thousandths) }
    }
}

impl Sum for Amount {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::default(), Add::add)
    }
}

/// The amount of `resource` in a map of quantities, such as a node's allocatable; nothing, if it is not listed or not readable.
pub fn amount_in(quantities: Option<&BTreeMap<String, Quantity>>, resource: &str) -> Option<Amount> {
    quantities.and_then(|map| map.get(resource)).and_then(|quantity| Amount::parse(&quantity.0))
}

/// What the scheduler counts as the pod's request of `resource` (`cpu`, `memory`).
///
/// That is the sum over its containers and sidecars, or what its largest init container needs beside the
/// sidecars started before it, whichever is more, and the overhead of its runtime class. See
/// "Resource sharing within containers" in Kubernetes' documentation of init containers, and of sidecars.
pub fn pod_request(pod: &Pod, resource: &str) -> Amount {
    pod.spec.as_ref().map(|spec| spec_request(spec, resource)).unwrap_or_default()
}

fn spec_request(spec: &PodSpec, resource: &str) -> Amount {
    let requested = |resources: &Option<ResourceRequirements>| {
        resources
            .as_ref()
            .and_then(|resources| {
                amount_in(resources.requests.as_ref(), resource).or_else(|| amount_in(resources.limits.as_ref(), resource))
            })
            .unwrap_or_default()
    };
    let overhead = amount_in(spec.overhead.as_ref(), resource).unwrap_or_default();
    // A request of the pod as a whole (beta from v1.34) takes the place of its containers'.
    if spec.resources.as_ref().is_some_and(|resources| amount_in(resources.requests.as_ref(), resource).is_some()) {
        return requested(&spec.resources) + overhead;
    }
    let mut sidecars = Amount::default();
    let mut initialising = Amount::default();
    for container in spec.init_containers.iter().flatten() {
        let amount = requested(&container.resources);
        if container.restart_policy.as_deref() == Some("Always") {
            sidecars = sidecars + amount;
            initialising = initialising.max(sidecars);
        } else {
            initialising = initialising.max(sidecars + amount);
        }
    }
    let running: Amount = spec.containers.iter().map(|container| requested(&container.resources)).sum();
    initialising.max(running + sidecars) + overhead
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("250m", 250)]
    #[case("2", 2000)]
    #[case("0.5", 500)]
    #[case(".5", 500)]
    #[case("1600Mi", 1600 * 1024 * 1024 * 1000)]
    #[case("1.5Gi", 3 * 512 * 1024 * 1024 * 1000)]
    #[case("1e3", 1_000_000)]
    #[case("1E-3", 1)]
    #[case("1E", 1_000_000_000_000_000_000_000)]
    #[case("100u", 1)]
    #[case("-1", -1000)]
    fn kubernetes_notation_is_read(#[case] text: &str, #[case] thousandths: i128) {
        assert_eq!(Amount::parse(text).map(Amount::as_milli), Some(thousandths));
    }

    #[rstest]
    #[case("")]
    #[case("-")]
    #[case("Gi")]
    #[case("1.2.3")]
    #[case("1gi")]
    #[case("1 Gi")]
    #[case("1e999")]
    #[case("99999999999999999999999999999999999999999999")]
    fn what_is_not_a_quantity_is_told(#[case] text: &str) {
        assert_eq!(Amount::parse(text), None);
    }

    #[rstest]
    #[case("1320m", "cpu", "1320m")]
    #[case("2", "limits.cpu", "2")]
    #[case("9544Mi", "memory", "9544Mi")]
    #[case("24684084Ki", "memory", "23.5Gi")]
    #[case("0", "memory", "0")]
    #[case("2048Mi", "requests.memory", "2Gi")]
    #[case("1000", "memory", "1000")]
    #[case("110", "pods", "110")]
    fn amounts_are_told_as_people_write_them(#[case] text: &str, #[case] resource: &str, #[case] told: &str) {
        assert_eq!(Amount::parse(text).unwrap().of(resource).to_string(), told);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in ".*") {
            let _ = Amount::parse(&text);
        }

        #[test]
        fn whole_bytes_survive(bytes in 0_i64..i64::MAX / 1000) {
            prop_assert_eq!(Amount::parse(&bytes.to_string()), Some(Amount::units(bytes)));
            prop_assert_eq!(Amount::units(bytes).as_units(), i128::from(bytes));
        }
    }

    #[test]
    fn a_pods_request_counts_sidecars_and_the_largest_init_container() {
        let pod: Pod = serde_json::from_value(json!({"spec": {
            "initContainers": [
                {"name": "sidecar", "restartPolicy": "Always", "resources": {"requests": {"cpu": "100m"}}},
                {"name": "migrate", "resources": {"requests": {"cpu": "1"}}},
            ],
            "containers": [
                {"name": "a", "resources": {"requests": {"cpu": "300m"}}},
                {"name": "b", "resources": {"limits": {"cpu": "200m"}}},
            ],
            "overhead": {"cpu": "10m"},
        }}))
        .unwrap();
        assert_eq!(pod_request(&pod, "cpu"), Amount::milli(1110));
        assert_eq!(pod_request(&pod, "memory"), Amount::default());
    }
}
