//! What the set-up of plugins has in common: numbers and durations as Go reads them, zones to fall through.

use std::time::Duration;

use hickory_proto::rr::Name;

use super::names;

/// `strconv.Atoi`.
pub(super) fn number(text: &str) -> Result<i64, String> {
    text.parse().map_err(|_| format!("strconv.Atoi: parsing {text:?}: invalid syntax"))
}

/// `time.ParseDuration`, of what is not negative.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let (mut rest, mut whole) = (text, Duration::ZERO);
    if rest.is_empty() {
        return Err(invalid());
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let amount: f64 = rest[..end].parse().map_err(|_| invalid())?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let seconds = match &rest[..end] {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "" => return Err(format!("time: missing unit in duration {text:?}")),
            unit => return Err(format!("time: unknown unit {unit:?} in duration {text:?}")),
        };
        whole = whole.saturating_add(Duration::try_from_secs_f64(amount * seconds).map_err(|_| invalid())?);
        rest = &rest[end..];
    }
    Ok(whole)
}

/// The port of an address to listen at (`:9153`). It is always the pod's own.
pub(super) fn port_of(address: &str) -> Result<u16, String> {
    let (_, port) = address.rsplit_once(':').ok_or_else(|| format!("address {address}: missing port in address"))?;
    port.parse().map_err(|_| format!("address {address}: invalid port"))
}

/// The zones in which a plugin hands on what it does not know (`fall.F`).
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Fall(Vec<Name>);

impl Fall {
    pub(super) fn of(arguments: &[String]) -> Self {
        Self(names::zones(arguments, &[".".to_owned()]))
    }

    pub(super) fn through(&self, name: &Name) -> bool {
        names::zone_of(&self.0, name).is_some()
    }

    pub(super) fn is_none(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        assert_eq!(duration("1m30.5s"), Ok(Duration::from_millis(90_500)));
        assert_eq!(duration("15s"), Ok(Duration::from_secs(15)));
        assert_eq!(duration("15").unwrap_err(), "time: missing unit in duration \"15\"");
        assert_eq!(duration("1d").unwrap_err(), "time: unknown unit \"d\" in duration \"1d\"");
        assert_eq!(duration("x").unwrap_err(), "time: invalid duration \"x\"");
    }
}
