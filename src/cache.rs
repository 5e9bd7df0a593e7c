//! `k3s-arc cache`: what the warm cache holds, and clearing it.

use k3s_arc_harness::cluster::{
    Cached, CachedState, Cleared,
    docker::{DockerError, cache},
    multipass::warm,
};
use miette::Report;

use crate::{
    ENVIRONMENT, Failed, PASSED, USAGE,
    arguments::{Cache, CacheCommand, Output},
    progress,
};

pub(crate) async fn run(what: &Cache) -> Result<u8, Failed> {
    match &what.command {
        None => list(what.output).await,
        Some(CacheCommand::Clear { all: true, .. }) => clear(None).await,
        Some(CacheCommand::Clear { keys, .. }) => clear(Some(keys)).await,
    }
}

async fn list(output: Output) -> Result<u8, Failed> {
    let vms = warm::list();
    let mut entries = if_docker_is_there(cache::list().await, !vms.is_empty())?;
    entries.extend(vms);
    match output {
        Output::Json => {
            let json = serde_json::to_string_pretty(&entries);
            progress::print(&json.map_err(|error| (Report::msg(error.to_string()), ENVIRONMENT))?);
        }
        Output::Table if entries.is_empty() => progress::print("the cache is empty"),
        Output::Table => {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs());
            for entry in &entries {
                progress::print(&line(entry, now));
            }
        }
    }
    Ok(PASSED)
}

/// Who keeps VMs alone need not have Docker.
fn if_docker_is_there<T>(entries: Result<Vec<T>, DockerError>, has_vms: bool) -> Result<Vec<T>, Failed> {
    match entries {
        Err(DockerError::NoEngine { .. }) if has_vms => Ok(Vec::new()),
        other => other.map_err(|error| (Report::new(error), ENVIRONMENT)),
    }
}

/// An entry in one line.
fn line(entry: &Cached, now: u64) -> String {
    let size = entry.bytes.map_or("-".to_owned(), |bytes| format!("{} MiB", bytes >> 20));
    let state = match entry.state {
        CachedState::Whole => "",
        CachedState::BeingFilled => "  being filled",
        CachedState::HalfWritten => "  half-written",
        CachedState::OtherFormat => "  of another format",
    };
    let in_use = if entry.in_use { "  in use" } else { "" };
    let made = age(now, entry.made);
    let used = entry.used.map_or("never used".to_owned(), |used| format!("used {}", age(now, used)));
    format!("{}  {size}  made {made}, {used}{state}{in_use}\n    {} {}", entry.key, entry.k3s, entry.command)
}

/// How long ago something was, in its largest unit.
fn age(now: u64, then: u64) -> String {
    let seconds = now.saturating_sub(then);
    let (count, unit) = match seconds {
        0..60 => (seconds, "s"),
        60..3600 => (seconds / 60, "min"),
        3600..86400 => (seconds / 3600, "h"),
        _ => (seconds / 86400, "d"),
    };
    format!("{count} {unit} ago")
}

async fn clear(keys: Option<&[String]>) -> Result<u8, Failed> {
    let has_vms = !warm::list().is_empty();
    let mut cleared: Vec<Cleared> = warm::clear(keys).await.map_err(|error| (Report::new(error), ENVIRONMENT))?;
    cleared.extend(if_docker_is_there(cache::clear(keys).await, has_vms)?);
    let found = |key: &&String| !cleared.iter().any(|entry| entry.key == **key);
    if let Some(unknown) = keys.and_then(|keys| keys.iter().find(found)) {
        let help = "`k3s-arc cache` shows the entries there are";
        return Err((miette::miette!(help = help, "the cache has no entry {unknown}"), USAGE));
    }
    for entry in &cleared {
        let done = if entry.removed { "removed" } else { "in use by a run, and kept:" };
        progress::print(&format!("{done} {}", entry.key));
    }
    if cleared.is_empty() {
        progress::print("the cache is empty");
    }
    Ok(PASSED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_told_with_its_age_and_its_use() {
        let entry = Cached {
            key: "0123456789ab".to_owned(),
            volume: "k3s-arc-cache-0123456789ab-1".to_owned(),
            k3s: "rancher/k3s:v1.34.1-k3s1".to_owned(),
            command: "server --debug".to_owned(),
            state: CachedState::Whole,
            in_use: true,
            bytes: Some(331 << 20),
            made: 1_000,
            used: Some(90_000),
        };
        let told = "0123456789ab  331 MiB  made 1 d ago, used 2 min ago  in use\n    rancher/k3s:v1.34.1-k3s1 server --debug";
        assert_eq!(line(&entry, 90_120), told);
        let half = Cached { state: CachedState::HalfWritten, in_use: false, bytes: None, used: None, ..entry };
        assert!(
            line(&half, 4_600).starts_with("0123456789ab  -  made 1 h ago, never used  half-written\n"),
            "{}",
            line(&half, 4_600)
        );
    }
}
