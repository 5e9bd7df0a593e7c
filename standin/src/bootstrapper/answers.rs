//! Whether the components answer by their Services: ready means served.
//!
//! That a pod is ready is known to the API before kube-proxy has put it behind its Service (it gathers changes for a
//! second), and whoever trusted the DataController's state in that second would be refused.

use futures::future::join_all;
use k3s_arc_container::Container;
use serde_json::Value;

use super::{desired::components, live::Live};
use crate::{
    arc::Component,
    probe::http::{self, Call},
};

/// The components that do not answer by their Services, and why.
pub(super) async fn unanswered(live: &Live, container: &Container) -> Vec<(&'static Component, String)> {
    let asked = components().map(|component| async move { (component, why_unanswered(component, live, container).await) });
    join_all(asked).await.into_iter().filter_map(|(component, why)| Some((component, why?))).collect()
}

async fn why_unanswered(component: &Component, live: &Live, container: &Container) -> Option<String> {
    let Some(url) = url(component, live) else { return Some(format!("Service {} is missing", component.name)) };
    let answer = http::answer(http::Request { calls: vec![Call::Get(url)], patience_ms: 0 }, container).await;
    match answer.map(|answer| answer.replies.into_iter().next()) {
        Ok(Some(Ok(reply))) if reply.status == 200 => None,
        Ok(Some(Ok(reply))) => Some(format!("Service {} answers {}: {}", component.name, reply.status, reply.body)),
        Ok(Some(Err(why))) | Err(why) => Some(format!("Service {} does not answer: {why}", component.name)),
        Ok(None) => Some(format!("Service {} was not asked", component.name)),
    }
}

/// Where a component answers, by address: the state of the control plane does not hang on the cluster's DNS.
fn url(component: &Component, live: &Live) -> Option<String> {
    let service = live.find("Service", component.name)?;
    let address = service.data.pointer("/spec/clusterIP").and_then(Value::as_str)?;
    let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
    Some(format!("http://{host}:{}/healthz", component.port))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case("10.43.0.7", "http://10.43.0.7:1433/healthz")]
    #[case("fd00::7", "http://[fd00::7]:1433/healthz")]
    fn a_service_is_asked_by_its_address(#[case] address: &str, #[case] expected: &str) {
        let service = json!({"kind": "Service", "metadata": {"name": "controldb"}, "spec": {"clusterIP": address}});
        let component = Component::named("controldb").unwrap();
        assert_eq!(url(component, &Live::of(vec![service])).as_deref(), Some(expected));
    }

    #[tokio::test]
    async fn a_missing_service_does_not_answer() {
        let unanswered = unanswered(&Live::default(), &Container::native()).await;
        assert_eq!(unanswered.len(), components().count());
        assert_eq!(unanswered[0].1, "Service control is missing");
    }
}
