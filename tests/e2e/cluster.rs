//! The provider itself: what its users see when a cluster cannot be made, and what they share when it can.

use std::{os::unix::fs::PermissionsExt, time::Duration};

use k3s_arc_harness::{
    check::Access,
    cluster::{Capability, ClusterSpec},
    config::Config,
    fixture::{Fixture, FixtureError, Target, Verdict},
    suite::IntoVerdict,
};
use rstest::rstest;

use crate::{CONTAINER, OWN, assert_tells};

/// What a person reads when this spec cannot be made.
async fn refusal(config: Config, spec: ClusterSpec) -> Result<String, FixtureError> {
    let made = Fixture::with_spec(config, spec, Access::Shared).await.map(|_| ());
    Ok(made.into_verdict().expect_err("no cluster can come of this spec"))
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn an_argument_that_k3s_does_not_know_is_told_with_its_last_lines(#[case] target: Target) -> Verdict {
    let config = target.config()?;
    let spec = ClusterSpec::new(config.k3s.clone()).server_argument("--no-such-argument");
    let report = refusal(config, spec).await?;
    assert_tells(&report, &["it does not accept an argument", "no-such-argument", "server --help"]);
    Ok(())
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = CONTAINER)]
async fn an_image_that_is_not_to_be_had_is_told_with_those_at_hand(#[case] target: Target) -> Verdict {
    let mut config = target.config()?;
    let at_hand = config.k3s.to_string();
    config.k3s = "localhost:1/rancher/k3s:v0.0.0-k3s1".parse().expect("a well-formed reference");
    let spec = ClusterSpec::new(config.k3s.clone());
    let report = refusal(config, spec).await?;
    assert_tells(&report, &["localhost:1/rancher/k3s:v0.0.0-k3s1", "K3S_ARC_K3S", &at_hand]);
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[k3s_arc_harness::test]
async fn what_only_k3s_can_do_is_refused(#[case] target: Target) -> Verdict {
    let config = target.config()?;
    let spec = || ClusterSpec::new(config.k3s.clone());
    let other = "v1.33.5+k3s1".parse().expect("a version");
    for (spec, what) in [
        (spec().server_argument("--debug"), "the argument --debug"),
        (spec().engine_image("localhost:1/no/such:image"), "the image localhost:1/no/such:image"),
        (ClusterSpec::new(other), "rancher/k3s:v1.33.5-k3s1"),
    ] {
        let report = refusal(config.clone(), spec).await?;
        assert_tells(&report, &["the emulator cannot give", what, "--provider docker"]);
    }
    Ok(())
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn a_boot_deadline_that_passes_tells_what_was_missing(#[case] target: Target) -> Verdict {
    let mut config = target.config()?;
    config.boot_timeout = Duration::from_secs(1);
    let spec = ClusterSpec::new(config.k3s.clone()).private("a boot that has no time");
    let report = refusal(config, spec).await?;
    assert_tells(&report, &["did not serve within 1 s; still missing: ", "K3S_ARC_BOOT_TIMEOUT", "K3s's last lines"]);
    Ok(())
}

#[rstest]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn an_image_to_preload_that_the_engine_lacks_is_named(#[case] target: Target) -> Verdict {
    let config = target.config()?;
    let spec = ClusterSpec::new(config.k3s.clone()).engine_image("localhost:1/no/such:image");
    assert_tells(&refusal(config, spec).await?, &["no image localhost:1/no/such:image to put on the node", "docker pull"]);
    Ok(())
}

#[rstest]
#[case::emulator(Target::Emulator)]
#[case::k3s(Target::K3s)]
#[k3s_arc_harness::test(needs = OWN)]
async fn equal_specs_share_a_cluster_that_only_this_user_and_host_reach(#[case] target: Target) -> Verdict {
    let config = target.config()?;
    let one = Fixture::new(config.clone(), Access::Shared).await?;
    let other = Fixture::new(config, Access::Shared).await?;
    let kubeconfig = one.cluster().kubeconfig().to_owned();
    assert_eq!(kubeconfig, other.cluster().kubeconfig());
    let mode = kubeconfig.metadata().expect("the kubeconfig is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "the kubeconfig is this user's alone");
    let text = std::fs::read_to_string(&kubeconfig).expect("the kubeconfig is readable");
    // A VM has an address of its own, on a network that is its host's alone.
    let is_loopback = text.contains("server: https://127.0.0.1:");
    assert!(is_loopback || !one.cluster().can(Capability::Container), "the API is reached over loopback:\n{text}");
    Ok(())
}
