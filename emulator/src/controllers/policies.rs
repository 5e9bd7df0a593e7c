//! The status of ValidatingAdmissionPolicies (`pkg/controller/validatingadmissionpolicystatus`).

use std::sync::Arc;

use super::call;
use crate::access::User;
use crate::admission::policy;
use crate::cluster::Cluster;
use crate::kinds::meta::Part;
use crate::store::Range;

const GROUP: &str = "admissionregistration.k8s.io";
const RESOURCE: &str = "validatingadmissionpolicies";

pub(super) async fn run(cluster: Arc<Cluster>) {
    let mut follow = cluster.store.follow();
    loop {
        settle(&cluster);
        if follow.changed().await.is_err() {
            return;
        }
    }
}

fn settle(cluster: &Cluster) {
    let registry = cluster.registry();
    let Some(served) = registry.any_version(GROUP, RESOURCE) else { return };
    let (_, policies) = cluster.store.list(&served.table, &Range::default(), None).unwrap_or_default();
    for stored in policies {
        if policy::status(&stored.value(), cluster).is_none() {
            continue;
        }
        let user = User::system();
        let write = call(cluster, &user, &served, "", &stored.name, "status");
        let _ = write.update(Part::Status, false, &|live| {
            let mut settled = live.clone();
            if let Some(status) = policy::status(live, cluster) {
                settled["status"] = status;
            }
            Ok(served.own(live, settled, &write))
        });
    }
}
