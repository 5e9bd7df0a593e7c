//! IP addresses and CIDRs, with the texts of apimachinery's `util/validation/ip.go`. Legacy fields accept what Go once did: leading
//! zeros in IPv4 octets, IPv4 in IPv6.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::field::{Errors, Path, quote};

/// An address and the length of its prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cidr {
    /// As written, host bits included.
    pub(crate) address: IpAddr,
    pub(crate) length: u8,
}

/// ParseIPSloppy. An IPv4 address in IPv6 form counts as IPv4.
pub(crate) fn parse_sloppy(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        let address: Ipv6Addr = text.parse().ok()?;
        return Some(address.to_ipv4_mapped().map_or(IpAddr::V6(address), IpAddr::V4));
    }
    let mut octets = [0; 4];
    let mut parts = text.split('.');
    for octet in &mut octets {
        let part = parts.next()?;
        if part.is_empty() || !part.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let digits = part.trim_start_matches('0');
        *octet = if digits.is_empty() { 0 } else { digits.parse().ok()? };
    }
    parts.next().is_none().then(|| IpAddr::V4(Ipv4Addr::from(octets)))
}

/// `netip.ParseAddr`, but for zones.
fn parse_strict(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

fn is_mapped(address: IpAddr) -> bool {
    matches!(address, IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some())
}

impl Cidr {
    /// ParseCIDRSloppy.
    pub(crate) fn parse_sloppy(text: &str) -> Option<Self> {
        let (address, length) = text.split_once('/')?;
        let mapped = address.contains(':') && matches!(parse_sloppy(address), Some(IpAddr::V4(_)));
        let address = parse_sloppy(address)?;
        if length.is_empty() || !length.bytes().all(|c| c.is_ascii_digit()) {
            return None;
        }
        let length: u8 = length.parse().ok()?;
        if mapped {
            return (96..=128).contains(&length).then_some(Self { address, length: length.wrapping_sub(96) });
        }
        let most = if address.is_ipv4() { 32 } else { 128 };
        (length <= most).then_some(Self { address, length })
    }

    /// The first address of the range.
    pub(crate) fn network(&self) -> IpAddr {
        match self.address {
            IpAddr::V4(a) => IpAddr::V4((u32::from(a) & u32::MAX.checked_shl(32 - u32::from(self.length)).unwrap_or(0)).into()),
            IpAddr::V6(a) => {
                IpAddr::V6((u128::from(a) & u128::MAX.checked_shl(128 - u32::from(self.length)).unwrap_or(0)).into())
            }
        }
    }

    /// Whether the address lies in the range.
    pub(crate) fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4() && Self { address, length: self.length }.network() == self.network()
    }

    /// `IPNet.String`: without host bits.
    pub(crate) fn canonical(&self) -> String {
        format!("{}/{}", self.network(), self.length)
    }
}

/// IsValidIPForLegacyField.
pub(crate) fn validate_legacy(value: &str, path: &Path, errors: &mut Errors) -> Option<IpAddr> {
    let address = parse_sloppy(value);
    if address.is_none() {
        errors.invalid(path, value, "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)");
    }
    address
}

/// IsValidIP.
pub(crate) fn validate(value: &str, path: &Path, errors: &mut Errors) {
    let Some(address) = validate_legacy(value, path, errors) else { return };
    match parse_strict(value) {
        None => errors.invalid(path, value, "must not have leading 0s"),
        Some(strict) if is_mapped(strict) => errors.invalid(path, value, "must not be an IPv4-mapped IPv6 address"),
        Some(_) if address.to_string() != value => {
            errors.invalid(path, value, &format!("must be in canonical form ({})", quote(&address.to_string())));
        }
        Some(_) => {}
    }
}

/// GetWarningsForIP.
pub(crate) fn warnings(value: &str, path: &str) -> Option<String> {
    let address = parse_sloppy(value)?;
    let canonical = quote(&address.to_string());
    match parse_strict(value) {
        Some(strict) if !is_mapped(strict) => (strict.is_ipv6() && strict.to_string() != value)
            .then(|| format!("{path}: IPv6 address {} should be in RFC 5952 canonical format ({canonical})", quote(value))),
        _ => Some(format!(
            "{path}: non-standard IP address {} will be considered invalid in a future Kubernetes release: use {canonical}",
            quote(value)
        )),
    }
}

/// IsValidCIDRForLegacyField.
pub(crate) fn validate_cidr_legacy(value: &str, path: &Path, errors: &mut Errors) -> Option<Cidr> {
    let cidr = Cidr::parse_sloppy(value);
    if cidr.is_none() {
        errors.invalid(path, value, "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)");
    }
    cidr
}

/// IsValidCIDR.
pub(crate) fn validate_cidr(value: &str, path: &Path, errors: &mut Errors) {
    let Some(cidr) = validate_cidr_legacy(value, path, errors) else { return };
    let (address, length) = value.split_once('/').unwrap_or_default();
    match parse_strict(address) {
        _ if length.len() > 1 && length.starts_with('0') => {
            errors.invalid(path, value, "must not have leading 0s in IP or prefix length");
        }
        None => errors.invalid(path, value, "must not have leading 0s in IP or prefix length"),
        Some(strict) if is_mapped(strict) => errors.invalid(path, value, "must not have an IPv4-mapped IPv6 address"),
        Some(strict) if strict != cidr.network() => {
            errors.invalid(path, value, "must not have bits set beyond the prefix length");
        }
        Some(_) if cidr.canonical() != value => {
            errors.invalid(path, value, &format!("must be in canonical form ({})", quote(&cidr.canonical())));
        }
        Some(_) => {}
    }
}

/// GetWarningsForCIDR.
pub(crate) fn cidr_warnings(value: &str, path: &str) -> Vec<String> {
    let Some(cidr) = Cidr::parse_sloppy(value) else { return Vec::new() };
    let mut warnings = Vec::new();
    if cidr.address != cidr.network() {
        let whole = if cidr.address.is_ipv4() { 32 } else { 128 };
        warnings.push(format!(
            "{path}: CIDR value {} is ambiguous in this context (should be {} or {}?)",
            quote(value),
            quote(&cidr.canonical()),
            quote(&format!("{}/{whole}", cidr.address))
        ));
    }
    let (address, _) = value.split_once('/').unwrap_or_default();
    match parse_strict(address) {
        Some(strict) if !is_mapped(strict) => {
            let canonical = format!("{strict}/{}", cidr.length);
            if warnings.is_empty() && strict.is_ipv6() && canonical != value {
                warnings.push(format!(
                    "{path}: IPv6 CIDR value {} should be in RFC 5952 canonical format ({})",
                    quote(value),
                    quote(&canonical)
                ));
            }
        }
        _ => warnings.push(format!(
            "{path}: non-standard CIDR value {} will be considered invalid in a future Kubernetes release: use {}",
            quote(value),
            quote(&cidr.canonical())
        )),
    }
    warnings
}

/// ValidateEndpointIP: addresses that nothing in a cluster can be reached at.
pub(crate) fn validate_endpoint(value: &str, path: &Path, errors: &mut Errors) {
    let Some(address) = parse_sloppy(value) else {
        errors.invalid(path, value, "must be a valid IP address");
        return;
    };
    if address.is_unspecified() {
        errors.invalid(path, value, &format!("may not be unspecified ({value})"));
    }
    if address.is_loopback() {
        errors.invalid(path, value, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (link_local, link_local_multicast) = match address {
        IpAddr::V4(a) => (a.is_link_local(), a.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(a) => (a.is_unicast_link_local(), a.octets()[0] == 0xff && a.octets()[1] & 0x0f == 2),
    };
    if link_local {
        errors.invalid(path, value, "may not be in the link-local range (169.254.0.0/16, fe80::/10)");
    }
    if link_local_multicast {
        errors.invalid(path, value, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let cidr = Cidr::parse_sloppy("10.43.7.1/16").unwrap();
        assert_eq!(cidr.canonical(), "10.43.0.0/16");
        assert!(cidr.contains("10.43.255.255".parse().unwrap()));
        assert!(!cidr.contains("10.44.0.0".parse().unwrap()));
        assert!(Cidr::parse_sloppy("0.0.0.0/0").unwrap().contains("1.2.3.4".parse().unwrap()));
        assert_eq!(Cidr::parse_sloppy("1.2.3.4/33"), None);
    }

    #[test]
    fn leading_zeros_are_warned_about() {
        assert_eq!(parse_sloppy("010.0.0.1"), Some("10.0.0.1".parse().unwrap()));
        assert_eq!(
            warnings("010.0.0.1", "p").unwrap(),
            "p: non-standard IP address \"010.0.0.1\" will be considered invalid in a future Kubernetes release: use \"10.0.0.1\""
        );
    }
}
