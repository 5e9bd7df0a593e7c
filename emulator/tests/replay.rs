//! How faithful the emulator is: what a real K3s answered to the scripts in `recordings/`, asked of the emulator.

#![allow(clippy::print_stdout)] // The figures are worth reading when it fails.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use k3s_arc_emulator::Emulator;
use k3s_arc_exchange::{Cluster, Recording, Script, compare, play};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// Of a hundred exchanges, so many are to be alike.
const WANTED: usize = 99;

/// The areas that run pods, and how many of them are played at once.
const BUSY: [&str; 8] = ["deployments", "events_of_pods", "jobs", "logs", "pods", "services", "stateful_sets", "storage"];
const AT_ONCE: usize = 6;

/// Why an exchange is not alike, by area and exchange.
type Unlike = BTreeMap<String, BTreeMap<String, String>>;

#[tokio::test(flavor = "multi_thread")]
async fn answers_as_a_real_one_does() -> Result<(), k3s_arc_exchange::Error> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let known: Unlike = serde_saphyr::from_str(&std::fs::read_to_string(folder.with_file_name("unlike.yaml"))?)?;
    let emulator = Emulator::builder().start().await?;
    let cluster = Arc::new(Cluster::from_yaml(emulator.kubeconfig())?);

    let mut scripts = Script::read_all(&folder)?;
    scripts.retain(|(_, script)| script.not_yet.is_none());
    let (alone, together): (Vec<_>, Vec<_>) = scripts.into_iter().partition(|(_, script)| script.alone);
    let patience = Duration::from_secs(20);
    let mut areas = Vec::new();
    for (area, script) in alone {
        areas.push((area, play(&cluster, &script, patience).await));
    }
    // The others have namespaces and names of their own. Those that run pods come last, and fewer at once: while many start, answers
    // take longer than the second that they tell.
    let (busy, quiet): (Vec<_>, Vec<_>) = together.into_iter().partition(|(area, _)| BUSY.contains(&area.as_str()));
    for (scripts, at_once) in [(quiet, Semaphore::MAX_PERMITS), (busy, AT_ONCE)] {
        let (mut playing, room) = (JoinSet::new(), Arc::new(Semaphore::new(at_once)));
        for (area, script) in scripts {
            let (cluster, room) = (cluster.clone(), room.clone());
            playing.spawn(async move {
                let _place = room.acquire().await;
                (area, play(&cluster, &script, patience).await)
            });
        }
        areas.extend(playing.join_all().await);
    }
    areas.sort_by(|a, b| a.0.cmp(&b.0));

    let (mut all, mut alike, mut surprises) = (0, 0, Vec::new());
    for (area, played) in areas {
        let recorded = Recording::read(&folder.join(&area).with_extension("json"))?;
        let outcomes = compare(&recorded, &played?);
        for outcome in &outcomes {
            let listed = known.get(&area).is_some_and(|area| area.contains_key(&outcome.name));
            if outcome.differences.is_empty() == listed {
                let what = if listed { "is listed in unlike.yaml, but is alike" } else { "is not alike" };
                surprises.push(format!("{area}: {} {what}\n    {}", outcome.name, outcome.differences.join("\n    ")));
            }
        }
        let good = outcomes.iter().filter(|outcome| outcome.differences.is_empty()).count();
        println!("{area:<20} {good:>4} of {:>4} alike", outcomes.len());
        all += outcomes.len();
        alike += good;
    }
    println!("{:<20} {alike:>4} of {all:>4} alike", "together");
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert!(alike * 100 >= all * WANTED, "only {alike} of {all} are alike");
    Ok(())
}
