//! Nobody grants what they do not have (`pkg/registry/rbac/*/policybased/storage.go`).

use serde_json::Value;

use super::Call;
use crate::access::rbac::{Action, Rule};
use crate::kinds::rbac::escalation;
use crate::kinds::view::{same, text};
use crate::status::Refusal;

const GROUP: &str = "rbac.authorization.k8s.io";

impl Call<'_> {
    /// Refuses roles and bindings that give more than their author has, unless the author may `escalate` or `bind`.
    pub(super) fn confirm_grant(&self, old: Option<&Value>, object: &Value) -> Result<(), Refusal> {
        let served = self.served;
        if served.group != GROUP || self.user.is_master() {
            return Ok(());
        }
        let unchanged = |field: &str| old.is_some_and(|old| same(&old[field], &object[field]));
        let namespace = self.object_namespace();
        let action = |verb: &str, resource: &str, name: &str| Action {
            verb: verb.into(),
            resource: resource.into(),
            group: GROUP.into(),
            namespace: namespace.into(),
            name: name.into(),
            ..Action::default()
        };
        let granted = match served.resource.as_str() {
            resource @ ("roles" | "clusterroles") => {
                let only_metadata = unchanged("rules") && unchanged("aggregationRule");
                if only_metadata || self.cluster.authorize(self.user, &action("escalate", resource, self.name)).is_ok() {
                    return Ok(());
                }
                // What is aggregated may come to be anything.
                let aggregates = |role: &Value| !role["aggregationRule"].is_null();
                if resource == "clusterroles" && (aggregates(object) || old.is_some_and(aggregates)) {
                    let all = || vec!["*".to_owned()];
                    let resources = Rule { verbs: all(), api_groups: all(), resources: all(), ..Rule::default() };
                    let paths = Rule { verbs: all(), non_resource_urls: all(), ..Rule::default() };
                    let owned = self.cluster.rules(self.user, namespace);
                    if escalation(self.user, &owned, &[resources, paths]).is_some() {
                        let why = "must have cluster-admin privileges to use an aggregationRule";
                        return Err(Refusal::forbidden(GROUP, resource, text(&object["metadata"]["name"]), why));
                    }
                }
                rules_of(object)
            }
            "rolebindings" | "clusterrolebindings" => {
                let reference = &object["roleRef"];
                let name = text(&reference["name"]);
                let (resource, of) = if reference["kind"] == "Role" { ("roles", namespace) } else { ("clusterroles", "") };
                let only_metadata = unchanged("roleRef") && unchanged("subjects");
                if only_metadata || self.cluster.authorize(self.user, &action("bind", resource, name)).is_ok() {
                    return Ok(());
                }
                let role = self.cluster.object(GROUP, resource, of, name);
                // Kubernetes names the resource of the request here.
                rules_of(&role.ok_or_else(|| Refusal::not_found(GROUP, &served.resource, name))?)
            }
            _ => return Ok(()),
        };
        match escalation(self.user, &self.cluster.rules(self.user, namespace), &granted) {
            Some(why) => Err(Refusal::forbidden(GROUP, &served.resource, text(&object["metadata"]["name"]), &why)),
            None => Ok(()),
        }
    }
}

fn rules_of(role: &Value) -> Vec<Rule> {
    let rules = role["rules"].as_array().into_iter().flatten();
    rules.filter_map(|rule| serde_json::from_value(rule.clone()).ok()).collect()
}
