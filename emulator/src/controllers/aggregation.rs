//! ClusterRoles that are made of others (`pkg/controller/clusterroleaggregation`).

use std::sync::Arc;

use serde_json::{Value, json};

use super::call;
use crate::access::User;
use crate::cluster::Cluster;
use crate::kinds::meta::Part;
use crate::kinds::selector;
use crate::store::Range;

const TABLE: &str = "clusterroles.rbac.authorization.k8s.io";

pub(super) async fn run(cluster: Arc<Cluster>) {
    let mut follow = cluster.store.follow();
    let mut seen = None;
    loop {
        let changed = cluster.store.changed_at(TABLE);
        if seen != Some(changed) {
            seen = Some(changed);
            settle(&cluster);
        }
        if follow.changed().await.is_err() {
            return;
        }
    }
}

fn settle(cluster: &Cluster) {
    let (_, roles) = cluster.store.list(TABLE, &Range::default(), None).unwrap_or_default();
    let mut roles: Vec<(String, Value)> = roles.iter().map(|role| (role.name.clone(), role.value())).collect();
    for index in 0..roles.len() {
        let (name, role) = &roles[index];
        if !role["aggregationRule"].is_object() {
            continue;
        }
        let rules = gathered(name, role, &roles);
        if rules != role["rules"].as_array().cloned().unwrap_or_default() {
            write(cluster, name, &role["aggregationRule"], &rules);
            // Those that are made of this one are made of what it is now.
            roles[index].1["rules"] = json!(rules);
        }
    }
}

/// The rules of all roles that a role's selectors take, each rule once, in the order of the roles' names.
fn gathered(own: &str, role: &Value, roles: &[(String, Value)]) -> Vec<Value> {
    let mut rules: Vec<Value> = Vec::new();
    for wanted in role["aggregationRule"]["clusterRoleSelectors"].as_array().into_iter().flatten() {
        let Ok(selector) = selector::compile(wanted) else { continue };
        let taken = roles.iter().filter(|(name, other)| name != own && selector.matches(&other["metadata"]["labels"]));
        for rule in taken.flat_map(|(_, other)| other["rules"].as_array().into_iter().flatten()) {
            if !rules.contains(rule) {
                rules.push(rule.clone());
            }
        }
    }
    rules
}

fn write(cluster: &Cluster, name: &str, rule: &Value, rules: &[Value]) {
    let registry = cluster.registry();
    let Some(served) = registry.get("rbac.authorization.k8s.io", "v1", "clusterroles") else { return };
    let user = User::system();
    let call = call(cluster, &user, served, "", name, "");
    let written = call.update(Part::Whole, false, &|live| {
        let mut next = live.clone();
        // Somebody may have made it one of their own meanwhile.
        if live["aggregationRule"] == *rule {
            next["rules"] = json!(rules);
        }
        Ok(served.own(live, next, &call))
    });
    if let Err(refusal) = written {
        tracing::warn!(%refusal, name, "an aggregated role could not be written");
    }
}
