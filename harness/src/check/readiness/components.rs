//! The control plane's eight components.

use std::{collections::BTreeMap, time::Duration};

use k3s_arc_standin::arc;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use kube::{
    Api, ResourceExt,
    api::{DynamicObject, ListParams},
};
use serde_json::Value;

use super::workload::{complete, resource};
use crate::{
    check::{Access, Area, Check, Context, Evidence, Failure},
    probe::{
        Probe, Request,
        http::{self, Call, Reply},
    },
    wait,
};

/// Is each of the control plane's components available, and does it answer another pod through its Service?
pub const COMPONENTS: Check = Check {
    area: Area::Readiness,
    name: "components",
    question: "Is each of the control plane's components available, and does it answer another pod through its Service?",
    needs: &[],
    access: Access::Shared,
    on_arc: true,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

/// The launch waited for them; a component that was just mended may take as long.
const AVAILABLE_WITHIN: Duration = Duration::from_secs(60);
/// For how long a component that is available may yet not answer, while the node's rules for its Service are written.
const PATIENCE: Duration = Duration::from_secs(10);

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let launch = cx.launch()?;
    let services = cx.api_in::<Service>(&launch.namespace).list(&ListParams::default()).await?.items;
    let mut asked = Vec::new();
    for component in &arc::COMPONENTS {
        let (kind, name) = (component.workload.kind(), component.name);
        let workloads: Api<DynamicObject> = Api::namespaced_with(cx.client(), &launch.namespace, &resource(kind));
        let what = format!("{kind} {name} in {} is available", launch.namespace);
        let available = wait::until(workloads.clone(), wait::named(name), what, AVAILABLE_WITHIN, complete).await;
        evidence.saw(format!("{kind} {name}"), available?);

        let labels = pod_labels(&workloads.get(name).await?);
        match services.iter().find_map(|service| Some((service.name_any(), reaching(service, &labels)?))) {
            Some((service, port)) => {
                let host = format!("{service}.{}.svc:{port}", launch.namespace);
                // Only the stand-in is known to have a /healthz; of Microsoft's, an open port is what can be asked.
                asked
                    .push((name, if launch.standin { Call::Get(format!("http://{host}/healthz")) } else { Call::Connect(host) }));
            }
            None => {
                evidence.require(!launch.standin, format!("a Service with a cluster IP selects {name}"), "none does")?;
                evidence.saw(format!("Service of {name}"), "none: there is nothing to ask");
            }
        }
    }

    let patience_ms = u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX);
    let request = http::Request { calls: asked.iter().map(|(_, call)| call.clone()).collect(), patience_ms };
    let answer: http::Answer = Probe::new("components").asking(Request::Http(request)).run(cx).await?;
    for ((name, call), reply) in asked.iter().zip(&answer.replies) {
        evidence.saw(format!("{name} asked at {}", call.target()), told(reply));
    }
    for ((name, call), reply) in asked.iter().zip(&answer.replies) {
        let answers = reply.as_ref().is_ok_and(Reply::is_success);
        evidence.require(answers, format!("{name} answers at {}", call.target()), told(reply))?;
    }
    Ok(())
}

fn told(reply: &Result<Reply, String>) -> String {
    match reply {
        Ok(Reply { status: 0, address, .. }) => format!("connected to {address}"),
        Ok(Reply { status, address, body }) => format!("{status} by {address}: {}", body.trim()),
        Err(error) => error.clone(),
    }
}

/// The labels of the pods that a workload makes.
fn pod_labels(workload: &DynamicObject) -> BTreeMap<String, String> {
    let labels = workload.data.pointer("/spec/template/metadata/labels").and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The first TCP port of a Service with a cluster IP that selects pods with these labels.
fn reaching(service: &Service, labels: &BTreeMap<String, String>) -> Option<i32> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|selector| !selector.is_empty())?;
    let selects = selector.iter().all(|(key, value)| labels.get(key) == Some(value));
    let has_address = spec.cluster_ip.as_deref().is_some_and(|address| !matches!(address, "" | "None"));
    let is_tcp = |port: &&ServicePort| port.protocol.as_deref().unwrap_or("TCP") == "TCP";
    if selects && has_address { spec.ports.as_ref()?.iter().find(is_tcp).map(|port| port.port) } else { None }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::its_own(json!({"clusterIP": "10.43.0.9", "selector": {"app": "control"}, "ports": [{"port": 53, "protocol": "UDP"}, {"port": 30080, "protocol": "TCP"}]}), Some(30080))]
    #[case::anothers(json!({"clusterIP": "10.43.0.9", "selector": {"app": "controldb"}, "ports": [{"port": 1433}]}), None)]
    #[case::headless(json!({"clusterIP": "None", "selector": {"app": "control"}, "ports": [{"port": 30080}]}), None)]
    #[case::for_nobody(json!({"clusterIP": "10.43.0.9", "ports": [{"port": 30080}]}), None)]
    fn a_service_reaches_a_component(#[case] spec: Value, #[case] port: Option<i32>) {
        let service: Service = serde_json::from_value(json!({"metadata": {"name": "s"}, "spec": spec})).unwrap();
        let labels =
            BTreeMap::from([("app", "control"), ("release", "x")].map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(reaching(&service, &labels), port);
    }
}
