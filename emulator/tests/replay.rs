//! How faithful the emulator is: what a real K3s answered to the scripts in `recordings/`, asked of the emulator.

#![allow(clippy::print_stdout)] // The figures are worth reading when it fails.

use std::{collections::BTreeMap, path::Path, sync::Arc, time::Duration};

use k3s_arc_emulator::Emulator;
use k3s_arc_exchange::{Cluster, Recording, Script, compare, replay};
use k8s_openapi::api::apps::v1::Deployment;
use kube::{Api, runtime::wait::await_condition};
use tokio::{sync::Semaphore, task::JoinSet};

/// Of a hundred exchanges, so many are to be alike.
const WANTED: usize = 99;

/// How many areas are played at once. Some of their exchanges tell of seconds, which a machine with too much to do does not keep.
const AT_ONCE: usize = 4;

/// So many exchanges may be alike at a second look only: on a slow machine, a controller may not have acted yet.
const LATE: usize = 12;

/// How long an answer that is awaited may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// Why an exchange is not alike, by area and exchange.
type Unlike = BTreeMap<String, BTreeMap<String, String>>;

/// Waits until the packaged components are available, as they had been for long when the answers were recorded.
async fn settle(emulator: &Emulator) -> Result<(), k3s_arc_exchange::Error> {
    let deployments: Api<Deployment> = Api::namespaced(emulator.client().await?, "kube-system");
    for name in ["coredns", "local-path-provisioner"] {
        let available = |found: Option<&Deployment>| found.and_then(|found| found.status.as_ref()?.available_replicas) == Some(1);
        tokio::time::timeout(PATIENCE, await_condition(deployments.clone(), name, available)).await??;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_as_a_real_one_does() -> Result<(), k3s_arc_exchange::Error> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings");
    let known: Unlike = serde_saphyr::from_str(&std::fs::read_to_string(folder.with_file_name("unlike.yaml"))?)?;
    let mut scripts = Script::read_all(&folder)?;
    scripts.retain(|(_, script)| script.not_yet.is_none());

    // A cluster for each, as when they were recorded one by one: what happens to one area's pods wakes no other's.
    let (mut playing, room) = (JoinSet::new(), Arc::new(Semaphore::new(AT_ONCE)));
    for (area, script) in scripts {
        let (room, recorded) = (room.clone(), Recording::read(&folder.join(&area).with_extension("json"))?);
        playing.spawn(async move {
            let _place = room.acquire().await;
            let played = async {
                let emulator = Emulator::builder().start().await?;
                settle(&emulator).await?;
                replay(&Cluster::from_yaml(emulator.kubeconfig())?, &script, PATIENCE, &recorded).await
            };
            (area, played.await, recorded)
        });
    }
    let mut areas = playing.join_all().await;
    areas.sort_by(|a, b| a.0.cmp(&b.0));

    let (mut all, mut alike, mut surprises, mut late) = (0, 0, Vec::new(), Vec::new());
    for (area, played, recorded) in areas {
        let played = played?;
        late.extend(played.at_second_look.iter().map(|name| format!("{area}: {name}")));
        let outcomes = compare(&recorded, &played);
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
    println!("{:<20} {:>4}, at most {LATE}: {}", "at a second look", late.len(), late.join("; "));
    assert!(late.len() <= LATE, "too many answers come late: {}", late.join("; "));
    assert!(surprises.is_empty(), "{}", surprises.join("\n"));
    assert!(alike * 100 >= all * WANTED, "only {alike} of {all} are alike");
    Ok(())
}
