//! What a Service's name answers to each kind of question.

use k8s_openapi::api::core::v1::{Service, ServiceSpec};
use kube::api::ObjectMeta;

use super::{
    cluster_dns::ClusterDns,
    objects::{self, reverse_name},
    survey::Survey,
};
use crate::{
    check::{Access, Area, Capability, Check, Context, Evidence, Failure},
    probe::dns::Kind,
};

/// Does a Service's name stand for its cluster IP, whether or not anything is ready behind it?
pub const CLUSTER_IP: Check = Check {
    area: Area::Dns,
    name: "cluster_ip",
    question: "Does a Service's name stand for its cluster IP, whether or not anything is ready behind it?",
    needs: &[Capability::KubeDns],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(cluster_ip(cx, evidence)),
};

/// Do a Service's named ports have SRV records, and no other port?
pub const NAMED_PORTS: Check = Check {
    area: Area::Dns,
    name: "named_ports",
    question: "Do a Service's named ports have SRV records, and no other port?",
    needs: &[Capability::KubeDns],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(named_ports(cx, evidence)),
};

/// Does a reverse look-up of a cluster IP give its Service's name?
pub const REVERSE: Check = Check {
    area: Area::Dns,
    name: "reverse",
    question: "Does a reverse look-up of a cluster IP give its Service's name?",
    needs: &[Capability::KubeDns],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(reverse(cx, evidence)),
};

/// Is an ExternalName Service an alias for the name it was given?
pub const EXTERNAL_NAME: Check = Check {
    area: Area::Dns,
    name: "external_name",
    question: "Is an ExternalName Service an alias for the name it was given?",
    needs: &[Capability::KubeDns],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(external_name(cx, evidence)),
};

/// Is a name that does not exist denied by the cluster's zone itself?
pub const MISSING_NAMES: Check = Check {
    area: Area::Dns,
    name: "missing_names",
    question: "Is a name that does not exist denied by the cluster's zone itself?",
    needs: &[Capability::KubeDns],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(missing_names(cx, evidence)),
};

async fn cluster_ip(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let dns = ClusterDns::read(cx).await?;
    let api = cx.api_in::<Service>("default").get("kubernetes").await?;
    let idle = objects::create(cx, &objects::service("idle", None, &[("http", "TCP", 80)])).await?;

    let mut survey = Survey::new();
    for (service, name) in [(&api, dns.service("kubernetes", "default")), (&idle, dns.service("idle", cx.namespace()))] {
        let address = objects::cluster_ip(service)?;
        evidence.saw(format!("cluster IP of {name}, says the API"), address);
        let (kind, other) = if address.is_ipv4() { (Kind::A, Kind::Aaaa) } else { (Kind::Aaaa, Kind::A) };
        survey.records(kind, &name, [address]);
        if is_single_stack(service) {
            survey.no_records(other, &name);
        }
    }
    survey.run(cx, evidence).await?;
    Ok(())
}

fn is_single_stack(service: &Service) -> bool {
    service.spec.as_ref().and_then(|spec| spec.cluster_ips.as_ref()).is_none_or(|addresses| addresses.len() == 1)
}

async fn named_ports(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let dns = ClusterDns::read(cx).await?;
    objects::create(cx, &objects::service("sql", None, &[("tds", "TCP", 1433), ("browser", "UDP", 1434)])).await?;
    let (sql, api) = (dns.service("sql", cx.namespace()), dns.service("kubernetes", "default"));

    let mut survey = Survey::new();
    survey
        .records(Kind::Srv, &format!("_https._tcp.{api}"), [format!("0 100 443 {api}.")])
        .records(Kind::Srv, &format!("_tds._tcp.{sql}"), [format!("0 100 1433 {sql}.")])
        .records(Kind::Srv, &format!("_browser._udp.{sql}"), [format!("0 100 1434 {sql}.")])
        .missing(Kind::Srv, &format!("_tds._udp.{sql}"), &dns.zone)
        .missing(Kind::Srv, &format!("_none._tcp.{sql}"), &dns.zone);
    survey.run(cx, evidence).await?;
    Ok(())
}

async fn reverse(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let dns = ClusterDns::read(cx).await?;
    let api = cx.api_in::<Service>("default").get("kubernetes").await?;
    let own = objects::create(cx, &objects::service("own", None, &[("http", "TCP", 80)])).await?;

    let mut survey = Survey::new();
    for (service, name) in [(&api, dns.service("kubernetes", "default")), (&own, dns.service("own", cx.namespace()))] {
        survey.records(Kind::Ptr, &reverse_name(objects::cluster_ip(service)?), [format!("{name}.")]);
    }
    survey.run(cx, evidence).await?;
    Ok(())
}

async fn external_name(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    // RFC 2606 keeps `.invalid` from ever existing: the alias is the Service's business, its target is not.
    const OUTSIDE: &str = "registry.invalid";
    let dns = ClusterDns::read(cx).await?;
    let api = cx.api_in::<Service>("default").get("kubernetes").await?;
    let target = dns.service("kubernetes", "default");
    objects::create(cx, &alias("inside", &target)).await?;
    objects::create(cx, &alias("outside", OUTSIDE)).await?;
    let (inside, outside) = (dns.service("inside", cx.namespace()), dns.service("outside", cx.namespace()));

    let address = objects::cluster_ip(&api)?;
    let mut survey = Survey::new();
    survey
        .records(Kind::Cname, &inside, [format!("{target}.")])
        .records(Kind::Cname, &outside, [format!("{OUTSIDE}.")])
        // The whole way: the alias and the address it stands for, in one answer.
        .records(if address.is_ipv4() { Kind::A } else { Kind::Aaaa }, &inside, [address])
        .found("inside", &inside, [address]);
    survey.run(cx, evidence).await?;
    Ok(())
}

fn alias(name: &str, target: &str) -> Service {
    Service {
        metadata: ObjectMeta { name: Some(name.to_owned()), ..ObjectMeta::default() },
        spec: Some(ServiceSpec {
            type_: Some("ExternalName".to_owned()),
            external_name: Some(target.to_owned()),
            ..ServiceSpec::default()
        }),
        ..Service::default()
    }
}

async fn missing_names(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let dns = ClusterDns::read(cx).await?;
    objects::create(cx, &objects::headless("empty", None, &[("http", "TCP", 80)])).await?;
    let empty = dns.service("empty", cx.namespace());

    let mut survey = Survey::new();
    survey
        .missing(Kind::A, &dns.service("none", cx.namespace()), &dns.zone)
        .missing(Kind::A, &dns.service("kubernetes", "none"), &dns.zone)
        .missing(Kind::A, &format!("kubernetes.default.{}", dns.zone), &dns.zone)
        .missing(Kind::A, &format!("none-0.{empty}"), &dns.zone)
        .missing(Kind::Srv, &format!("_http._tcp.{}", dns.service("none", cx.namespace())), &dns.zone);
    survey.run(cx, evidence).await?;
    Ok(())
}
