//! Service-account tokens of a pod, kept until they are to be replaced (`pkg/kubelet/token`).

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde_json::{Value, json};

use super::super::Node;
use super::metadata;
use crate::access::tokens;
use crate::kinds::view::{int, text};
use crate::status::Refusal;

/// A token is replaced at this age at the latest.
const OLDEST: i64 = 24 * 60 * 60;

/// The tokens of one pod, by audience and lifetime in seconds.
#[derive(Debug, Default)]
pub(super) struct Tokens(Mutex<BTreeMap<(String, i64), Issued>>);

#[derive(Debug)]
struct Issued {
    token: String,
    at: i64,
}

impl Tokens {
    /// The token that a projection's `serviceAccountToken` asks for: a new one when a fifth of its lifetime is left.
    pub(super) fn get(&self, node: &Node, pod: &Value, source: &Value) -> Result<String, String> {
        let (audience, seconds) = (text(&source["audience"]).to_owned(), int(&source["expirationSeconds"]));
        let now = node.cluster.clock().as_second();
        let mut issued = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (audience, seconds);
        let present = issued.get(&key);
        if let Some(present) = present.filter(|present| now - present.at <= OLDEST.min(seconds - seconds * 20 / 100)) {
            return Ok(present.token.clone());
        }
        match issue(node, pod, &key.0, seconds) {
            Ok(token) => {
                issued.insert(key, Issued { token: token.clone(), at: now });
                Ok(token)
            }
            // The old one does for as long as it is valid.
            Err(refusal) => match present.filter(|present| now <= present.at + seconds) {
                Some(present) => Ok(present.token.clone()),
                None => Err(format!("failed to fetch token: {}", refusal.message)),
            },
        }
    }
}

/// What the API answers to the kubelet's TokenRequest.
fn issue(node: &Node, pod: &Value, audience: &str, seconds: i64) -> Result<String, Refusal> {
    let (namespace, name) = (metadata(pod, "namespace"), text(&pod["spec"]["serviceAccountName"]));
    let account = node.cluster.object("", "serviceaccounts", namespace, name);
    let account = account.ok_or_else(|| Refusal::not_found("", "serviceaccounts", name))?;
    let bound = json!({"apiVersion": "v1", "kind": "Pod", "name": metadata(pod, "name"), "uid": metadata(pod, "uid")});
    let audiences: Vec<&str> = Some(audience).filter(|audience| !audience.is_empty()).into_iter().collect();
    let mut request = json!({"spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": bound}});
    tokens::issue(&node.cluster, &account, &mut request)?;
    Ok(text(&request["status"]["token"]).to_owned())
}
