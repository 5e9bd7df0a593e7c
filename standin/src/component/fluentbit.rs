//! The sidecar beside each component: follows the log files by their size.

use std::{collections::BTreeMap, path::Path, time::Duration};

use k3s_arc_container::Files;
use tokio::time::MissedTickBehavior;

use crate::{log::Log, shutdown::Shutdown};

/// How often the sidecar looks; nobody waits for what it says.
const EVERY: Duration = Duration::from_secs(10);

/// Says how the files in `logs` grow, until it is told to stop.
pub async fn fluentbit(logs: &Path, files: &Files, log: Log, shutdown: Shutdown) {
    let mut ticks = tokio::time::interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut known = BTreeMap::new();
    while shutdown.or(ticks.tick()).await.is_some() {
        let sizes = sizes(files, logs);
        for (name, size) in &sizes {
            if known.get(name) != Some(size) {
                log.info(format_args!("{name}: {size} bytes"));
            }
        }
        known = sizes;
    }
    log.info("fluentbit stops");
}

/// The sizes of a directory's log files, in bytes.
fn sizes(files: &Files, directory: &Path) -> BTreeMap<String, u64> {
    let names = files.read_dir(directory).unwrap_or_default().into_iter().filter(|name| name.ends_with(".log"));
    names.filter_map(|name| Some((name.clone(), files.metadata(directory.join(name)).ok()?.size))).collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::log::tests::Written;

    #[tokio::test]
    async fn it_tells_sizes_and_stops() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("control.log"), "12345").unwrap();
        fs::write(directory.path().join("other"), "1").unwrap();
        let written = Written::default();
        let (trigger, shutdown) = Shutdown::by_hand();
        let (path, log) = (directory.path().to_owned(), written.log(false));
        let sidecar = tokio::spawn(async move { fluentbit(&path, &Files::native(), log, shutdown).await });
        while written.lines().is_empty() {
            tokio::task::yield_now().await;
        }
        trigger.pull();
        sidecar.await.unwrap();
        assert_eq!(written.lines(), ["INFO | control.log: 5 bytes", "INFO | fluentbit stops"]);
    }
}
