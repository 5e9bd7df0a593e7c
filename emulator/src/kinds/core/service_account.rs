//! ServiceAccounts (`pkg/registry/core/serviceaccount/strategy.go`).

use serde_json::{Value, json};

use crate::kinds::view::{items, text};
use crate::kinds::{Rules, meta, names};

const ENFORCE_MOUNTABLE: &str = "kubernetes.io/enforce-mountable-secrets";

pub(super) const SERVICE_ACCOUNT: Rules = Rules {
    prepare_create: clean_secrets,
    prepare_update: |_, new| clean_secrets(new),
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        meta::validate(new, true, names::dns1123_subdomain, errors);
    },
    warnings: |account, old| {
        let has = |object: &Value| object["metadata"]["annotations"].get(ENFORCE_MOUNTABLE).is_some();
        if !has(account) || old.is_some_and(has) {
            return Vec::new();
        }
        vec![format!(
            "metadata.annotations[{ENFORCE_MOUNTABLE}]: deprecated in v1.32+; prefer separate namespaces to isolate access to mounted \
             secrets"
        )]
    },
    ..Rules::PLAIN
};

/// Of its secrets an account knows the names alone.
fn clean_secrets(account: &mut Value) {
    for secret in items(account, "secrets") {
        *secret = match text(&secret["name"]) {
            "" => json!({}),
            name => json!({"name": name}),
        };
    }
}
