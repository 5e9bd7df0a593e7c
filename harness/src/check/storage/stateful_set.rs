//! The claims of a StatefulSet, which hold the data of Arc's databases.

use std::time::Duration;

use k8s_openapi::{
    api::{
        apps::v1::{StatefulSet, StatefulSetSpec},
        core::v1::{Container, PersistentVolumeClaim, Pod, PodTemplateSpec},
    },
    apimachinery::pkg::apis::meta::v1::LabelSelector,
};
use kube::{
    ResourceExt,
    api::{DeleteParams, LogParams, ObjectMeta, PostParams},
};

use super::claims;
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::{Access, Capability},
    probe::{
        Probe, Report, Request,
        files::{self, Act, Done},
    },
    wait::{self, Seen},
};

/// See its question.
pub const CLAIMS_OUTLIVE_THEIR_STATEFUL_SET: Check = Check {
    area: Area::Storage,
    name: "claims_outlive_their_stateful_set",
    question: "Do a StatefulSet's claims and data outlive it, and does its successor find them?",
    needs: &[Capability::DefaultClass],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

const NAME: &str = "db";
/// As StatefulSets name the claims of their templates: template, set, ordinal.
const CLAIM: &str = "data-db-0";
const POD: &str = "db-0";
const READY_DEADLINE: Duration = Duration::from_secs(90);

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let text = format!("written in {}", cx.namespace());
    let set = stateful_set(cx, &text)?;

    let first = run(cx, &set).await?;
    let claim: PersistentVolumeClaim = cx.api().get(CLAIM).await?;
    evidence.saw("the first set's pod found", told(&first[0])).saw("and wrote", told(&first[1]));
    evidence.require(first[0].is_err(), "a new claim's volume is empty", told(&first[0]))?;
    evidence.require(first[1].is_ok(), "the first set's pod can write", told(&first[1]))?;

    // With its pods: what is left then, it has left on purpose.
    cx.api::<StatefulSet>().delete(NAME, &DeleteParams::foreground()).await?;
    wait::until_gone(cx.api::<Pod>(), wait::named(POD), format!("pod {POD} goes with its set"), READY_DEADLINE).await?;
    wait::until_gone(cx.api::<StatefulSet>(), wait::named(NAME), format!("StatefulSet {NAME} goes"), READY_DEADLINE).await?;
    let phase = claims::phase(cx, CLAIM).await?;
    evidence.saw("phase of its claim without it", &phase);
    evidence.require(phase == "Bound", "the claim stays Bound without its set", phase)?;

    let second = run(cx, &set).await?;
    let again: PersistentVolumeClaim = cx.api().get(CLAIM).await?;
    evidence.saw("the second set's pod found", told(&second[0]));
    evidence.require(again.uid() == claim.uid(), "the second set uses the first one's claim", "a new claim of the same name")?;
    evidence.require(
        second[0] == Ok(Done::Read(text)),
        "the second set's pod reads what the first one's wrote",
        told(&second[0]),
    )?;
    Ok(())
}

/// Creates the set, waits until its pod is ready, and gives what that pod read and wrote before.
async fn run(cx: &Context, set: &StatefulSet) -> Result<[Result<Done, String>; 2], Failure> {
    cx.api().create(&PostParams::default(), set).await?;
    wait::until(cx.api::<Pod>(), wait::named(POD), format!("pod {POD} is ready"), READY_DEADLINE, |pods| {
        let Some(status) = pods.first().and_then(|pod| pod.status.as_ref()) else { return Seen::NotYet("no pod".to_owned()) };
        let ready = status.conditions.iter().flatten().any(|condition| condition.type_ == "Ready" && condition.status == "True");
        if ready { Seen::Done(()) } else { Seen::NotYet(status.phase.clone().unwrap_or_default()) }
    })
    .await?;
    let log = cx.api::<Pod>().logs(POD, &LogParams { container: Some(FILES.to_owned()), ..LogParams::default() }).await?;
    match log.lines().find_map(|line| serde_json::from_str(line).ok()) {
        Some(Report::Answer(files::Answer { done, .. })) if done.len() == 2 => {
            let mut done = done.into_iter();
            Ok([(); 2].map(|()| done.next().unwrap_or_else(|| Err("nothing".to_owned()))))
        }
        _ => Err(Failure::new("the pod's init container tells what it read and wrote", log)),
    }
}

fn told(done: &Result<Done, String>) -> String {
    match done {
        Ok(Done::Read(text)) => format!("{text:?}"),
        Ok(Done::Wrote(bytes)) => format!("{bytes} bytes"),
        Ok(Done::Stat(stat)) => format!("{stat:?}"),
        Err(error) => error.clone(),
    }
}

/// The init container that reads and writes; the main one only stays, so that the pod is one of a server's.
const FILES: &str = "files";

fn stateful_set(cx: &Context, text: &str) -> Result<StatefulSet, Failure> {
    let path = claims::on_volume("note");
    // First it reads what is there, so that the same set tells a new volume from a known one.
    let acts = vec![Act::Read(path.clone()), Act::Write { path, text: text.to_owned() }];
    let request = Request::Files(files::Request { acts });
    let request = serde_json::to_string(&request).map_err(|error| Failure::new("a request can be put into JSON", error))?;
    let pod = Probe::new(NAME).asking(Request::Stay).with_pod(|pod| {
        let spec = pod.spec.get_or_insert_default();
        spec.restart_policy = None;
        spec.init_containers = spec.containers.first().map(|container| {
            let image = Some(cx.cluster().standin_image().to_owned());
            vec![Container { name: FILES.to_owned(), image, args: Some(vec!["probe".to_owned(), request]), ..container.clone() }]
        });
        claims::mount(pod, CLAIM);
        // The set gives its pods a volume of this name, over its own claim.
        pod.spec.get_or_insert_default().volumes = None;
    });
    let labels = [("app".to_owned(), NAME.to_owned())].into_iter().chain(claims::labels()).collect();
    let pod = pod.pod(cx.cluster().standin_image());
    Ok(StatefulSet {
        metadata: ObjectMeta { name: Some(NAME.to_owned()), labels: Some(claims::labels()), ..ObjectMeta::default() },
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            selector: LabelSelector {
                match_labels: Some([("app".to_owned(), NAME.to_owned())].into()),
                ..LabelSelector::default()
            },
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta { labels: Some(labels), ..ObjectMeta::default() }),
                spec: pod.spec,
            },
            volume_claim_templates: Some(vec![claims::claim("data")]),
            ..StatefulSetSpec::default()
        }),
        ..StatefulSet::default()
    })
}
