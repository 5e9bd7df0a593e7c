//! Arc's components: what they request and are limited to.

use k3s_arc_standin::arc::{COMPONENTS, Component, components::SIDECAR};
use k8s_openapi::api::core::v1::{Container, Pod};
use kube::{ResourceExt, api::ListParams};

use super::{CPU, MEMORY};
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::Access,
    quantity::{Amount, amount_in},
};

/// See its question.
pub const COMPONENTS_ARE_SIZED_AS_DOCUMENTED: Check = Check {
    area: Area::Resources,
    name: "components_are_sized_as_documented",
    question: "Does every component have the requests, limits and QoS class that the sizing guidance gives it?",
    needs: &[],
    access: Access::Shared,
    on_arc: true,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let pods = pods(cx).await?;
    // All are shown, then judged: one that is wrong is better seen among the others.
    let mut wrong = Vec::new();
    for (component, pod) in &pods {
        let Some(container) = main_container(component, pod) else {
            wrong.push(format!("{} has no main container", component.name));
            continue;
        };
        let qos = pod.status.as_ref().and_then(|status| status.qos_class.as_deref()).unwrap_or("none");
        let sizes = sizes(component, container);
        let told = sizes.iter().map(|size| format!("{} {}", size.what, size.told(size.seen))).collect::<Vec<_>>();
        evidence.saw(component.name, format!("{}, {qos}", told.join(", ")));
        // Guaranteed needs limits equal to the requests in every container, and the sidecar has neither.
        if qos != "Burstable" {
            wrong.push(format!("{}: QoS class {qos} in place of Burstable", component.name));
        }
        wrong.extend(sizes.iter().filter(|size| size.seen != size.documented).map(|size| {
            let (seen, documented) = (size.told(size.seen), size.told(size.documented));
            format!("{}: {} {seen} in place of {documented}", component.name, size.what)
        }));
    }
    evidence.require(wrong.is_empty(), "every component is sized as documented", wrong.join("; "))?;
    Ok(())
}

/// One of a container's requests and limits: what it is, and what is documented.
struct Size {
    what: &'static str,
    resource: &'static str,
    seen: Option<Amount>,
    documented: Option<Amount>,
}

fn sizes(component: &Component, container: &Container) -> [Size; 4] {
    let requests = container.resources.as_ref().and_then(|resources| resources.requests.as_ref());
    let limits = container.resources.as_ref().and_then(|resources| resources.limits.as_ref());
    let size = |what, resource, amounts, documented| Size {
        what,
        resource,
        seen: amount_in(amounts, resource),
        documented: Amount::parse(documented),
    };
    [
        size("CPU request", CPU, requests, component.cpu_request),
        size("memory request", MEMORY, requests, component.memory_request),
        size("CPU limit", CPU, limits, component.cpu_limit),
        size("memory limit", MEMORY, limits, component.memory_limit),
    ]
}

impl Size {
    fn told(&self, amount: Option<Amount>) -> String {
        amount.map_or_else(|| "none".to_owned(), |amount| amount.of(self.resource).to_string())
    }
}

/// The pods of Arc's components, in the table's order; each component has at least one.
pub(super) async fn pods(cx: &Context) -> Result<Vec<(&'static Component, Pod)>, Failure> {
    let namespace = &cx.launch()?.namespace;
    let pods = cx.api_in::<Pod>(namespace).list(&ListParams::default()).await?.items;
    let mut of_components = Vec::new();
    for component in &COMPONENTS {
        // One that is on its way out has a successor.
        let is_its = |pod: &&Pod| {
            Component::of_pod(pod).is_some_and(|its| its.name == component.name) && pod.metadata.deletion_timestamp.is_none()
        };
        let its: Vec<_> = pods.iter().filter(is_its).map(|pod| (component, pod.clone())).collect();
        if its.is_empty() {
            let seen = pods.iter().map(ResourceExt::name_any).collect::<Vec<_>>().join(", ");
            return Err(Failure::new(format!("component {} has a pod in namespace {namespace}", component.name), seen));
        }
        of_components.extend(its);
    }
    Ok(of_components)
}

/// The container beside the sidecar. In the stand-in it has the component's name; Microsoft's have names of their own.
pub(super) fn main_container<'a>(component: &Component, pod: &'a Pod) -> Option<&'a Container> {
    let containers = &pod.spec.as_ref()?.containers;
    let named = containers.iter().find(|container| container.name == component.name);
    named.or_else(|| containers.iter().find(|container| container.name != SIDECAR))
}
