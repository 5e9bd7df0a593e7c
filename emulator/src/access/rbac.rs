//! Role-based access control: what a user may do, from the roles and bindings in the store.

use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};

use super::User;
use crate::field::quote;
use crate::store::{Range, Store};

/// What is to be done (`authorizer.Attributes`).
#[derive(Clone, Debug, Default)]
pub(crate) struct Action {
    pub(crate) verb: String,
    /// Empty when it is about a path.
    pub(crate) resource: String,
    pub(crate) group: String,
    pub(crate) subresource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    /// For what is no resource.
    pub(crate) path: String,
}

impl Action {
    fn resource_with_subresource(&self) -> String {
        if self.subresource.is_empty() { self.resource.clone() } else { format!("{}/{}", self.resource, self.subresource) }
    }

    /// Why a user may not, in the API server's words (`responsewriters.forbiddenMessage`).
    pub(crate) fn refusal(&self, user: &User) -> String {
        let who = if user.name.is_empty() { String::new() } else { format!("User {} ", quote(&user.name)) };
        if self.resource.is_empty() {
            return format!("{who}cannot {} path {}", self.verb, quote(&self.path));
        }
        let what = format!(
            "{who}cannot {} resource {} in API group {}",
            self.verb,
            quote(&self.resource_with_subresource()),
            quote(&self.group)
        );
        if self.namespace.is_empty() {
            format!("{what} at the cluster scope")
        } else {
            format!("{what} in the namespace {}", quote(&self.namespace))
        }
    }
}

/// A rule of a role.
#[derive(Clone, Debug, Default, Deserialize, PartialEq)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Rule {
    pub(crate) verbs: Vec<String>,
    pub(crate) api_groups: Vec<String>,
    pub(crate) resources: Vec<String>,
    pub(crate) resource_names: Vec<String>,
    #[serde(rename = "nonResourceURLs")]
    pub(crate) non_resource_urls: Vec<String>,
}

fn has(list: &[String], wanted: &str) -> bool {
    list.iter().any(|one| one == "*" || one == wanted)
}

impl Rule {
    pub(crate) fn allows(&self, action: &Action) -> bool {
        if !has(&self.verbs, &action.verb) {
            return false;
        }
        if action.resource.is_empty() {
            let matches =
                |url: &String| *url == action.path || url.strip_suffix('*').is_some_and(|start| action.path.starts_with(start));
            return self.non_resource_urls.iter().any(matches);
        }
        let combined = action.resource_with_subresource();
        let resource = self.resources.iter().any(|r| {
            r == "*"
                || *r == combined
                || (!action.subresource.is_empty() && r.strip_prefix("*/") == Some(action.subresource.as_str()))
        });
        let name = self.resource_names.is_empty() || self.resource_names.contains(&action.name);
        has(&self.api_groups, &action.group) && resource && name
    }

    pub(crate) fn to_json(&self) -> Value {
        let mut rule = json!({"verbs": self.verbs});
        let lists = [
            ("apiGroups", &self.api_groups),
            ("resources", &self.resources),
            ("resourceNames", &self.resource_names),
            ("nonResourceURLs", &self.non_resource_urls),
        ];
        for (key, list) in lists {
            if !list.is_empty() {
                rule[key] = json!(list);
            }
        }
        rule
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Subject {
    kind: String,
    name: String,
    namespace: String,
}

impl Subject {
    fn is(&self, user: &User, bound_in: &str) -> bool {
        match self.kind.as_str() {
            "User" => self.name == user.name,
            "Group" => user.groups.contains(&self.name),
            "ServiceAccount" => {
                let namespace = if self.namespace.is_empty() { bound_in } else { &self.namespace };
                user.service_account() == Some((namespace, &self.name))
            }
            _ => false,
        }
    }
}

/// A binding with the rules of its role.
#[derive(Debug)]
struct Grant {
    subjects: Vec<Subject>,
    rules: Arc<[Rule]>,
    /// Empty for the whole cluster.
    namespace: String,
    /// `ClusterRoleBinding "b" of ClusterRole "r" to User "u"`, but for the subject.
    binding: String,
    role: String,
}

/// Reads roles and bindings, anew only when one has changed.
#[derive(Debug, Default)]
pub(crate) struct Authorizer {
    known: Mutex<Option<(u64, Arc<Vec<Grant>>)>>,
}

const TABLES: [&str; 4] = [
    "clusterroles.rbac.authorization.k8s.io",
    "roles.rbac.authorization.k8s.io",
    "clusterrolebindings.rbac.authorization.k8s.io",
    "rolebindings.rbac.authorization.k8s.io",
];

impl Authorizer {
    fn grants(&self, store: &Store) -> Arc<Vec<Grant>> {
        let newest = TABLES.iter().map(|t| store.changed_at(t)).max().unwrap_or_default();
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, grants)) = &*known
            && *at == newest
        {
            return grants.clone();
        }
        let grants = Arc::new(read(store));
        *known = Some((newest, grants.clone()));
        grants
    }

    /// Why the user may do it, or `None` when no rule says so.
    pub(crate) fn allows(&self, store: &Store, user: &User, action: &Action) -> Option<String> {
        if user.is_master() {
            return Some(String::new());
        }
        for grant in self.grants(store).iter() {
            if !grant.namespace.is_empty() && grant.namespace != action.namespace {
                continue;
            }
            let Some(subject) = grant.subjects.iter().find(|s| s.is(user, &grant.namespace)) else { continue };
            if grant.rules.iter().any(|r| r.allows(action)) {
                let to = match subject.kind.as_str() {
                    "ServiceAccount" => {
                        let namespace = if subject.namespace.is_empty() { &grant.namespace } else { &subject.namespace };
                        format!("ServiceAccount {}", quote(&format!("{}/{namespace}", subject.name)))
                    }
                    kind => format!("{kind} {}", quote(&subject.name)),
                };
                return Some(format!("RBAC: allowed by {} of {} to {to}", grant.binding, grant.role));
            }
        }
        None
    }

    /// All rules that hold for a user in a namespace, the cluster's own first.
    pub(crate) fn rules(&self, store: &Store, user: &User, namespace: &str) -> Vec<Rule> {
        let grants = self.grants(store);
        let applies = |g: &&Grant| g.namespace.is_empty() || g.namespace == namespace;
        let mut rules: Vec<Rule> = Vec::new();
        for grant in grants.iter().filter(applies).filter(|g| g.subjects.iter().any(|s| s.is(user, &g.namespace))) {
            rules.extend(grant.rules.iter().cloned());
        }
        rules
    }
}

fn read(store: &Store) -> Vec<Grant> {
    let all = |table: &str| store.list(table, &Range::default(), None).map(|(_, all)| all).unwrap_or_default();
    let rules_of = |value: &Value| -> Arc<[Rule]> {
        let rules: Vec<Rule> = serde_json::from_value(value["rules"].clone()).unwrap_or_default();
        rules.into()
    };
    let role_key = |kind: &str, namespace: &str, name: &str| match kind {
        "ClusterRole" => format!("/{name}"),
        _ => format!("{namespace}/{name}"),
    };
    let mut roles = std::collections::HashMap::new();
    for (table, kind) in [(TABLES[0], "ClusterRole"), (TABLES[1], "Role")] {
        for role in all(table) {
            roles.insert(role_key(kind, &role.namespace, &role.name), rules_of(&role.value()));
        }
    }
    let mut grants = Vec::new();
    for (table, kind) in [(TABLES[2], "ClusterRoleBinding"), (TABLES[3], "RoleBinding")] {
        for binding in all(table) {
            let value = binding.value();
            let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
            let (role_kind, role) = (text("/roleRef/kind"), text("/roleRef/name"));
            let Some(rules) = roles.get(&role_key(&role_kind, &binding.namespace, &role)) else { continue };
            let full = if binding.namespace.is_empty() {
                binding.name.clone()
            } else {
                format!("{}/{}", binding.name, binding.namespace)
            };
            grants.push(Grant {
                subjects: serde_json::from_value(value["subjects"].clone()).unwrap_or_default(),
                rules: rules.clone(),
                namespace: binding.namespace.clone(),
                binding: format!("{kind} {}", quote(&full)),
                role: format!("{role_kind} {}", quote(&role)),
            });
        }
    }
    grants
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Key;

    fn cluster() -> Store {
        let store = Store::open(None).unwrap();
        let put = |table: &str, namespace: &str, name: &str, value: Value| {
            store.create(&Key::new(&table.into(), namespace, name), value).unwrap();
        };
        let rules = json!([{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods", "pods/log"]},
            {"verbs": ["get"], "nonResourceURLs": ["/healthz*"]}]);
        put(TABLES[0], "", "reader", json!({"metadata": {}, "rules": rules}));
        put(
            TABLES[3],
            "ns",
            "b",
            json!({"metadata": {}, "roleRef": {"kind": "ClusterRole", "name": "reader"},
            "subjects": [{"kind": "ServiceAccount", "name": "sa"}]}),
        );
        store
    }

    fn action(verb: &str, resource: &str, subresource: &str, namespace: &str) -> Action {
        let [verb, resource, subresource, namespace] = [verb, resource, subresource, namespace].map(String::from);
        Action { verb, resource, subresource, namespace, ..Action::default() }
    }

    #[test]
    fn a_role_binding_grants_in_its_namespace_only() {
        let store = cluster();
        let authorizer = Authorizer::default();
        let user = User::new("system:serviceaccount:ns:sa", &[]);
        let may = |a: Action| authorizer.allows(&store, &user, &a);
        assert_eq!(
            may(action("get", "pods", "log", "ns")).unwrap(),
            r#"RBAC: allowed by RoleBinding "b/ns" of ClusterRole "reader" to ServiceAccount "sa/ns""#
        );
        assert!(may(action("get", "pods", "exec", "ns")).is_none());
        assert!(may(action("get", "pods", "", "other")).is_none());
        assert!(may(action("delete", "pods", "", "ns")).is_none());
        assert!(may(Action { verb: "get".into(), path: "/healthz/ping".into(), ..Action::default() }).is_none());
    }

    #[test]
    fn a_change_of_a_binding_counts_at_once() {
        let store = cluster();
        let authorizer = Authorizer::default();
        let user = User::new("system:serviceaccount:ns:sa", &[]);
        let pods = action("get", "pods", "", "ns");
        assert!(authorizer.allows(&store, &user, &pods).is_some());
        let key = Key::new(&TABLES[3].into(), "ns", "b");
        let seen = store.get(&key).unwrap().revision;
        store.remove(&key, seen).unwrap();
        assert!(authorizer.allows(&store, &user, &pods).is_none());
    }
}
