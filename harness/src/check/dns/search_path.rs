//! Every form in which a pod may name a Service.

use k8s_openapi::api::core::v1::Service;
use kube::ResourceExt;

use super::{cluster_dns::ClusterDns, objects, survey::Survey};
use crate::check::{Access, Area, Capability, Check, Context, Evidence, Failure};

/// Do `kubernetes.default` and a Service of the pod's own namespace resolve in every form that the search list allows?
pub const SEARCH_PATH: Check = Check {
    area: Area::Dns,
    name: "search_path",
    question: "Do kubernetes.default and a Service of the pod's own namespace resolve in every form that the search list allows?",
    needs: &[Capability::KubeDns],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let dns = ClusterDns::read(cx).await?;
    let own = objects::create(cx, &objects::service("own", None, &[("http", "TCP", 80)])).await?;
    let api = cx.api_in::<Service>("default").get("kubernetes").await?;

    let mut survey = Survey::new();
    let mut every_form = |service: &Service, namespace: &str, forms: Vec<String>| {
        let complete = dns.service(&service.name_any(), namespace);
        let address = objects::cluster_ip(service)?;
        for form in forms {
            survey.found(&form, &complete, [address]);
        }
        Ok::<_, Failure>(())
    };
    every_form(&api, "default", forms("kubernetes.default", &dns.zone))?;
    every_form(&own, cx.namespace(), [vec!["own".to_owned()], forms(&format!("own.{}", cx.namespace()), &dns.zone)].concat())?;
    survey.run(cx, evidence).await?;
    Ok(())
}

/// The forms that name a Service from any namespace; the last needs no search list.
fn forms(service: &str, zone: &str) -> Vec<String> {
    ["", ".svc", &format!(".svc.{zone}"), &format!(".svc.{zone}.")].map(|rest| format!("{service}{rest}")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_has_four_forms_from_everywhere() {
        let expected = ["web.a", "web.a.svc", "web.a.svc.cluster.local", "web.a.svc.cluster.local."];
        assert_eq!(forms("web.a", "cluster.local"), expected);
    }
}
