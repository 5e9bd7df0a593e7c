//! Who asks, and whether they may: certificates, tokens, impersonation, RBAC.

pub(crate) mod authority;
pub(crate) mod rbac;
pub(crate) mod tokens;

use std::collections::BTreeMap;

use serde_json::{Value, json};

/// Who asks (`user.Info`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct User {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) groups: Vec<String>,
    pub(crate) extra: BTreeMap<String, Vec<String>>,
}

pub(crate) const AUTHENTICATED: &str = "system:authenticated";
pub(crate) const UNAUTHENTICATED: &str = "system:unauthenticated";
/// Its members may do everything, whatever RBAC says.
pub(crate) const MASTERS: &str = "system:masters";

impl User {
    /// Of that name and groups, authenticated.
    pub(crate) fn new(name: &str, groups: &[&str]) -> Self {
        let mut groups: Vec<String> = groups.iter().map(|&g| g.to_owned()).collect();
        groups.push(AUTHENTICATED.to_owned());
        Self { name: name.to_owned(), groups, ..Self::default() }
    }

    /// The cluster's own: its controllers.
    pub(crate) fn system() -> Self {
        Self::new("system:k3s-controller", &[MASTERS])
    }

    pub(crate) fn is_master(&self) -> bool {
        self.groups.iter().any(|g| g == MASTERS)
    }

    /// The namespace and name of a service account.
    pub(crate) fn service_account(&self) -> Option<(&str, &str)> {
        self.name.strip_prefix("system:serviceaccount:")?.split_once(':')
    }

    /// As `UserInfo` in reviews and certificate requests.
    pub(crate) fn to_json(&self) -> Value {
        let mut user = json!({});
        if !self.name.is_empty() {
            user["username"] = self.name.clone().into();
        }
        if !self.uid.is_empty() {
            user["uid"] = self.uid.clone().into();
        }
        if !self.groups.is_empty() {
            user["groups"] = json!(self.groups);
        }
        if !self.extra.is_empty() {
            user["extra"] = json!(self.extra);
        }
        user
    }
}
