//! What the objects of a namespace use of its ResourceQuotas (`pkg/controller/resourcequota`). The API server counts what is added;
//! what went, and a new quota's first count, is for here.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use super::desk::{Desk, Resource};
use crate::admission::quota;
use crate::cluster::Cluster;

const QUOTAS: Resource = ("", "resourcequotas");

/// A burst of writes is counted at once.
const DELAY: Duration = Duration::from_millis(20);

/// Counts anything that is in a namespace, so it is woken by anything.
pub(super) async fn run(cluster: Arc<Cluster>) {
    let mut follow = cluster.store.follow();
    let desk = Desk::new(cluster);
    loop {
        if desk.cluster.store.count(QUOTAS.1) > 0 {
            desk.look(settle);
        }
        if follow.changed().await.is_err() {
            return;
        }
        tokio::time::sleep(DELAY).await;
        follow.mark_unchanged();
    }
}

pub(super) fn settle(desk: &Desk) {
    let counted: Vec<_> = desk.cluster.count(|| {
        let used = |quota: Arc<Value>| (quota::usage(&quota, desk), quota);
        desk.all(QUOTAS).into_iter().map(used).collect()
    });
    for (used, quota) in counted {
        let hard = &quota["spec"]["hard"];
        desk.set_status_of_unchanged(QUOTAS, &quota, json!({"hard": hard, "used": used}));
    }
}
