//! Durations, as `sleep` and `timeout` understand them.

use std::time::Duration;

/// Seconds with fractions and a suffix: `0.5`, `2m`, `inf`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if text.to_ascii_lowercase().starts_with("inf") {
        return Some(Duration::MAX);
    }
    let (number, factor) = match text.char_indices().next_back()? {
        (at, 's') => (&text[..at], 1.0),
        (at, 'm') => (&text[..at], 60.0),
        (at, 'h') => (&text[..at], 3600.0),
        (at, 'd') => (&text[..at], 86400.0),
        _ => (text, 1.0),
    };
    if !number.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let seconds: f64 = number.parse().ok()?;
    Some(Duration::try_from_secs_f64(seconds * factor).unwrap_or(Duration::MAX))
}

/// Sleeps so long, or for ever.
pub(crate) async fn sleep(length: Duration) {
    match tokio::time::Instant::now().checked_add(length) {
        Some(end) => tokio::time::sleep_until(end).await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_suffixes() {
        assert_eq!(duration("1.5"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        assert_eq!(duration("infinity"), Some(Duration::MAX));
        assert_eq!(duration("99999999999999999999h"), Some(Duration::MAX));
        assert_eq!(duration("1x"), None);
        assert_eq!(duration(""), None);
        assert_eq!(duration("-1"), None);
    }
}
