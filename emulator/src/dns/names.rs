//! Names and zones.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hickory_proto::rr::Name;

/// A name of a text, whole (with the last dot) whether the text is or not.
pub(super) fn name(text: &str) -> Option<Name> {
    let text = text.strip_suffix('.').unwrap_or(text);
    if text.is_empty() {
        return Some(Name::root());
    }
    if text.split('.').any(str::is_empty) {
        return None;
    }
    // Any characters make a label, as they do for CoreDNS.
    Name::from_labels(text.split('.').map(str::as_bytes)).ok()
}

/// The labels of a name in lower case.
pub(super) fn labels(name: &Name) -> Vec<String> {
    name.iter().map(|label| label.iter().map(|byte| char::from(byte.to_ascii_lowercase())).collect()).collect()
}

/// A name as texts have it: in lower case.
pub(super) fn text(name: &Name) -> String {
    labels(name).iter().map(|label| format!("{label}.")).reduce(|all, label| all + &label).unwrap_or_else(|| ".".to_owned())
}

/// The longest of the zones that a name is in (`plugin.Zones.Matches`).
pub(super) fn zone_of<'z>(zones: &'z [Name], name: &Name) -> Option<&'z Name> {
    zones.iter().filter(|zone| zone.zone_of(name)).max_by_key(|zone| zone.len())
}

/// The zones that a directive names, or those of its server block (`plugin.OriginsFromArgsOrServerBlock`).
pub(super) fn zones(arguments: &[String], block: &[String]) -> Vec<Name> {
    let from = if arguments.is_empty() { block } else { arguments };
    from.iter().filter_map(|text| split(text).ok()).flat_map(|(zones, _)| zones).collect()
}

/// Takes `zone:port` apart; a network of addresses is its reverse zones (`plugin.SplitHostPort`).
pub(super) fn split(text: &str) -> Result<(Vec<Name>, Option<u16>), String> {
    let text = text.strip_prefix("dns://").unwrap_or(text);
    let (mut zone, mut port) = (text, None);
    if let Some((before, after)) = text.rsplit_once(':') {
        if after.is_empty() {
            return Err(format!("expecting data after last colon: {text:?}"));
        }
        if let Ok(number) = after.parse() {
            (zone, port) = (before, Some(number));
        }
    }
    if zone.len() > 255 {
        return Err(format!("specified zone is too long: {} > 255", zone.len()));
    }
    if let Some(zones) = reverse_zones(zone) {
        return Ok((zones, port));
    }
    let named = name(zone).ok_or_else(|| format!("zone is not a valid domain name: {zone}"))?;
    Ok((vec![named.to_lowercase()], port))
}

/// The reverse zones of a network; those of whole labels, as many as it takes.
fn reverse_zones(network: &str) -> Option<Vec<Name>> {
    let (address, length) = network.split_once('/')?;
    let (address, length): (IpAddr, u32) = (address.parse().ok()?, length.parse().ok()?);
    let (step, all) = if address.is_ipv4() { (8, 32) } else { (4, 128) };
    if length > all {
        return None;
    }
    let whole = length.div_ceil(step).max(1) * step;
    let count = 1u32 << (whole - length);
    let zones = (0..count).filter_map(|i| {
        let address = match address {
            IpAddr::V4(v4) => {
                let base = u32::from(v4) & u32::MAX.checked_shl(32 - length).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from(base | i.checked_shl(32 - whole).unwrap_or(0)))
            }
            IpAddr::V6(v6) => {
                let base = u128::from(v6) & u128::MAX.checked_shl(128 - length).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from(base | u128::from(i).checked_shl(128 - whole).unwrap_or(0)))
            }
        };
        let full = reverse_name(address)?;
        Some(full.trim_to((whole / step) as usize + 2))
    });
    Some(zones.collect())
}

/// The name under which an address is looked up.
pub(super) fn reverse_name(address: IpAddr) -> Option<Name> {
    let text = match address {
        IpAddr::V4(v4) => {
            let [a, b, c, d] = v4.octets();
            format!("{d}.{c}.{b}.{a}.in-addr.arpa.")
        }
        IpAddr::V6(v6) => {
            let nibbles = v6.octets().into_iter().rev().flat_map(|octet| [octet & 15, octet >> 4]);
            nibbles.map(|nibble| format!("{nibble:x}.")).collect::<String>() + "ip6.arpa."
        }
    };
    name(&text)
}

/// Whether a name is in one of the reverse trees.
pub(super) fn is_reverse(labels: &[String]) -> bool {
    matches!(labels, [_, .., tree, arpa] if arpa == "arpa" && (tree == "in-addr" || tree == "ip6"))
}

/// The address that a whole reverse name stands for (`dnsutil.ExtractAddressFromReverse`).
pub(super) fn address_of(labels: &[String]) -> Option<IpAddr> {
    let [digits @ .., tree, arpa] = labels else { return None };
    match (tree.as_str(), arpa.as_str()) {
        ("in-addr", "arpa") if digits.len() == 4 => {
            let text = digits.iter().rev().map(String::as_str).collect::<Vec<_>>().join(".");
            text.parse::<Ipv4Addr>().ok().map(IpAddr::V4)
        }
        ("ip6", "arpa") if digits.len() == 32 && digits.iter().all(|digit| digit.len() == 1) => {
            let text: String = digits.iter().rev().map(String::as_str).collect();
            u128::from_str_radix(&text, 16).ok().map(|bits| IpAddr::V6(Ipv6Addr::from(bits)))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_zone_counts() {
        let zones: Vec<Name> = [".", "local.", "cluster.local."].iter().map(|zone| name(zone).unwrap()).collect();
        let of = |text: &str| zone_of(&zones, &name(text).unwrap()).map(Name::to_ascii);
        assert_eq!(of("a.Cluster.Local."), Some("cluster.local.".into()));
        assert_eq!(of("notcluster.local."), Some("local.".into()));
        assert_eq!(of("org."), Some(".".into()));
    }

    #[test]
    fn zones_have_ports_and_networks_are_reversed() {
        let of =
            |text: &str| split(text).map(|(zones, port)| (zones.iter().map(Name::to_ascii).collect::<Vec<_>>().join(" "), port));
        assert_eq!(of(".:53"), Ok((".".into(), Some(53))));
        assert_eq!(of("example.ORG"), Ok(("example.org.".into(), None)));
        assert_eq!(of("10.0.0.0/16"), Ok(("0.10.in-addr.arpa.".into(), None)));
        assert_eq!(of("10.0.0.0/23:54"), Ok(("0.0.10.in-addr.arpa. 1.0.10.in-addr.arpa.".into(), Some(54))));
        assert_eq!(of("2001:db8::/32"), Ok(("8.b.d.0.1.0.0.2.ip6.arpa.".into(), None)));
        assert_eq!(of("example.org:"), Err("expecting data after last colon: \"example.org:\"".into()));
    }

    #[test]
    fn addresses_are_read_from_reverse_names() {
        let of = |text: &str| address_of(&labels(&name(text).unwrap())).map(|address| address.to_string());
        assert_eq!(of("1.0.43.10.in-addr.arpa."), Some("10.43.0.1".into()));
        assert_eq!(of("43.10.in-addr.arpa."), None);
        let v6: IpAddr = "2001:db8::567:89ab".parse().unwrap();
        assert_eq!(of(&reverse_name(v6).unwrap().to_ascii()), Some("2001:db8::567:89ab".into()));
    }
}
