//! Do names resolve as they should?

use k3s_arc_harness::{
    check::dns,
    fixture::{Target, Verdict},
};
use rstest::rstest;

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = dns::RESOLV_CONF)]
async fn a_pod_gets_the_resolv_conf_of_the_cluster(#[case] target: Target) -> Verdict {
    target.ask(&dns::RESOLV_CONF).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = dns::SEARCH_PATH)]
async fn services_resolve_in_every_form_of_the_search_path(#[case] target: Target) -> Verdict {
    target.ask(&dns::SEARCH_PATH).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = dns::CLUSTER_IP)]
async fn a_service_name_stands_for_its_cluster_ip(#[case] target: Target) -> Verdict {
    target.ask(&dns::CLUSTER_IP).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = dns::HEADLESS_SERVICE)]
async fn a_headless_service_stands_for_its_ready_pods(#[case] target: Target) -> Verdict {
    target.ask(&dns::HEADLESS_SERVICE).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = dns::STATEFUL_PODS)]
async fn stateful_pods_have_names_that_follow_them(#[case] target: Target) -> Verdict {
    target.ask(&dns::STATEFUL_PODS).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = dns::NAMED_PORTS)]
async fn named_ports_have_service_records(#[case] target: Target) -> Verdict {
    target.ask(&dns::NAMED_PORTS).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = dns::REVERSE)]
async fn cluster_ips_resolve_in_reverse(#[case] target: Target) -> Verdict {
    target.ask(&dns::REVERSE).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = dns::EXTERNAL_NAME)]
async fn an_external_name_is_an_alias(#[case] target: Target) -> Verdict {
    target.ask(&dns::EXTERNAL_NAME).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = dns::MISSING_NAMES)]
async fn missing_names_are_denied_by_the_zone(#[case] target: Target) -> Verdict {
    target.ask(&dns::MISSING_NAMES).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = dns::NODE_NAMES)]
async fn node_names_resolve(#[case] target: Target) -> Verdict {
    target.ask(&dns::NODE_NAMES).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = dns::TRANSPORTS)]
async fn udp_and_tcp_answer_alike(#[case] target: Target) -> Verdict {
    target.ask(&dns::TRANSPORTS).await
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(asks = dns::COREDNS_RESTART)]
async fn answers_are_right_after_coredns_was_deleted(#[case] target: Target) -> Verdict {
    target.ask(&dns::COREDNS_RESTART).await
}
