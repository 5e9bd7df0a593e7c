//! What the objects of a namespace use of its ResourceQuotas (`pkg/controller/resourcequota`). The API server counts what is added;
//! what went, and a new quota's first count, is for here.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;

use super::desk::{Desk, Resource};
use crate::admission::quota;
use crate::cluster::Cluster;

const QUOTAS: Resource = ("", "resourcequotas");

/// An object is charged a moment before it is there: long enough that the count finds it. A burst of writes is counted at once.
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
    for quota in desk.all(QUOTAS) {
        let hard = &quota["spec"]["hard"];
        let used = quota::usage(&quota, desk);
        desk.set_status(QUOTAS, &quota, json!({"hard": hard, "used": used}));
    }
}
