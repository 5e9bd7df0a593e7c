//! How large and how old the cache may become.

use super::store::Stored;

/// Entries, all keys together.
const ENTRIES: usize = 4;
/// Of all entries together: 8 GiB.
const BYTES: u64 = 8 << 30;
/// Seconds since an entry was last booted from, or made: 14 days.
const UNUSED: u64 = 14 * 24 * 60 * 60;

/// The entries that are to go, of those whose manifests have been read; each with the reason.
pub(super) fn surplus(entries: &[Stored], now: u64) -> Vec<(&Stored, &'static str)> {
    let mut newest_first: Vec<&Stored> = entries.iter().filter(|entry| !entry.filling).collect();
    newest_first.sort_by_key(|entry| std::cmp::Reverse((entry.used_or_made(), entry.created)));
    let (mut kept, mut bytes) = (Vec::<&Stored>::new(), 0);
    let mut to_go = Vec::new();
    for entry in newest_first {
        let Some(size) = entry.bytes() else {
            to_go.push((entry, "half-written"));
            continue;
        };
        let newer =
            |other: &Stored| other.key == entry.key && !other.filling && other.bytes().is_some() && other.created > entry.created;
        let reason = if entry.is_of_another_format() {
            "of another format"
        } else if entries.iter().any(newer) {
            "there is a newer one"
        } else if now.saturating_sub(entry.used_or_made()) > UNUSED {
            "unused for 14 days"
        } else if kept.len() == ENTRIES {
            "there are 4 that were used since"
        } else if bytes + size > BYTES {
            "with those used since it is more than 8 GiB"
        } else {
            kept.push(entry);
            bytes += size;
            continue;
        };
        to_go.push((entry, reason));
    }
    to_go
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 100 * 24 * 60 * 60;

    fn entry(key: &str, age: u64) -> Stored {
        Stored::example(key, NOW - age)
    }

    fn reasons(entries: &[Stored]) -> Vec<(&str, &'static str)> {
        surplus(entries, NOW).into_iter().map(|(entry, reason)| (entry.key.as_str(), reason)).collect()
    }

    #[test]
    fn what_was_used_last_stays() {
        let mut entries: Vec<Stored> = ["a", "b", "c", "d", "e"].iter().zip(1..).map(|(key, age)| entry(key, age)).collect();
        assert_eq!(reasons(&entries), [("e", "there are 4 that were used since")]);
        entries[4].used = Some(NOW);
        assert_eq!(reasons(&entries), [("d", "there are 4 that were used since")]);
    }

    #[test]
    fn a_large_one_leaves_no_room_for_those_used_before_it() {
        let (large, small, old) =
            (entry("large", 1).sized(7 << 30), entry("small", 2).sized(1 << 30), entry("old", 3).sized(1 << 20));
        assert_eq!(reasons(&[large, small, old]), [("old", "with those used since it is more than 8 GiB")]);
        assert_eq!(reasons(&[entry("too large", 1).sized(9 << 30)]).len(), 1, "one that is larger than all may be is not kept");
    }

    #[test]
    fn what_nobody_used_for_long_goes() {
        assert_eq!(reasons(&[entry("a", UNUSED), entry("b", UNUSED + 1)]), [("b", "unused for 14 days")]);
    }

    #[test]
    fn of_two_of_a_key_the_newer_stays_however_they_were_used() {
        let mut entries = [entry("a", 1), entry("a", 2)];
        entries[1].used = Some(NOW);
        assert_eq!(reasons(&entries), [("a", "there is a newer one")]);
        assert_eq!(surplus(&entries, NOW)[0].0.created, NOW - 2);
        entries[0].filling = true;
        assert_eq!(reasons(&entries), [], "one that is being filled is not there yet, and is not touched");
    }

    #[test]
    fn what_cannot_be_booted_from_goes() {
        let mut half = entry("a", 1);
        half.manifest = None;
        let mut other = entry("b", 1);
        other.format = "0".to_owned();
        assert_eq!(reasons(&[half, other]), [("a", "half-written"), ("b", "of another format")]);
    }
}
