//! Lists: what is selected, in which state, in pages (`storage/cacher`, `storage/continue.go`).

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use crate::api::options::{ListOptions, Match};
use crate::cluster::Cluster;
use crate::field::quote;
use crate::registry::Served;
use crate::selector::{fields, labels};
use crate::status::Refusal;
use crate::store::{Range, Stored};

/// Which objects of a resource are meant.
#[derive(Clone, Debug)]
pub(crate) struct Selection {
    pub(crate) namespace: String,
    labels: labels::Selector,
    fields: fields::Selector,
}

impl Selection {
    /// From a request's options. A name, when the path has one, selects like a field selector.
    pub(crate) fn of(served: &Served, namespace: &str, name: &str, options: &ListOptions) -> Result<Self, Refusal> {
        let labels = labels::Selector::parse(&options.labels).map_err(Refusal::bad_request)?;
        let fields = fields::Selector::parse(&options.fields).map_err(Refusal::bad_request)?;
        let fields = served.selectable(fields).map_err(Refusal::bad_request)?;
        let fields = if name.is_empty() {
            fields
        } else if fields.is_everything() {
            fields::Selector::parse(&format!("metadata.name={name}")).map_err(Refusal::bad_request)?
        } else if fields.exact("metadata.name") == Some(name) {
            fields
        } else {
            return Err(Refusal::bad_request("fieldSelector metadata.name doesn't match requested name"));
        };
        Ok(Self { namespace: namespace.to_owned(), labels, fields })
    }

    /// Whether every object of the namespace is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.labels.is_everything() && self.fields.is_everything()
    }

    pub(crate) fn matches(&self, served: &Served, object: &Stored) -> bool {
        if !self.namespace.is_empty() && object.namespace != self.namespace {
            return false;
        }
        if !self.labels.is_everything() {
            let labels: Value = object.labels.iter().map(|(k, v)| (k.to_string(), Value::from(&**v))).collect();
            if !self.labels.matches(&labels) {
                return false;
            }
        }
        if self.fields.is_everything() {
            return true;
        }
        let beyond_metadata = |field: &str| !["metadata.name", "metadata.namespace"].contains(&field);
        let fields = if self.fields.terms().iter().any(|t| beyond_metadata(&t.field)) {
            // A custom resource is looked at with the defaults that it is shown with.
            served.fields(&if served.is_custom() { served.item(object) } else { object.value() })
        } else {
            Vec::new()
        };
        self.fields.matches(|field| match field {
            "metadata.name" => Some(Cow::Borrowed(object.name.as_str())),
            "metadata.namespace" => Some(Cow::Borrowed(object.namespace.as_str())),
            _ => fields.iter().find(|(name, _)| name == field).map(|(_, value)| Cow::Borrowed(value.as_str())),
        })
    }
}

/// A page of a list.
pub(crate) struct Page {
    pub(crate) objects: Vec<Arc<Stored>>,
    /// The list's `metadata`.
    pub(crate) metadata: Value,
}

/// A resource version in a request: `None` when it is absent.
pub(crate) fn version(text: &str) -> Result<Option<u64>, String> {
    if text.is_empty() {
        return Ok(None);
    }
    text.parse().map(Some).map_err(|error: std::num::ParseIntError| {
        let why = match error.kind() {
            std::num::IntErrorKind::PosOverflow => "value out of range",
            _ => "invalid syntax",
        };
        format!("resourceVersion: Invalid value: {}: strconv.ParseUint: parsing {}: {why}", quote(text), quote(text))
    })
}

/// 410: the state asked for is no longer known.
pub(crate) fn expired(message: impl Into<String>) -> Refusal {
    Refusal::new(410, "Expired", message)
}

/// 504: the state asked for is yet to come.
pub(crate) fn too_large(wanted: u64, current: u64) -> Refusal {
    Refusal::new(504, "Timeout", format!("Timeout: Too large resource version: {wanted}, current: {current}")).with_details(
        json!({
            "causes": [{"reason": "ResourceVersionTooLarge", "message": "Too large resource version"}],
            "retryAfterSeconds": 1,
        }),
    )
}

/// Where a list goes on.
struct Continue {
    revision: i64,
    /// The path after which the next page begins.
    after: String,
}

impl Continue {
    fn encode(revision: u64, after: &str) -> String {
        Self::token(i64::try_from(revision).unwrap_or(-1), after)
    }

    /// `after` is what follows the key of the list in etcd.
    fn token(revision: i64, after: &str) -> String {
        let start = format!("/{after}\0");
        URL_SAFE_NO_PAD.encode(json!({"v": "meta.k8s.io/v1", "rv": revision, "start": start}).to_string())
    }

    fn decode(token: &str, namespace: &str) -> Result<Self, Refusal> {
        let invalid = |why: String| Refusal::bad_request(format!("invalid continue token: continue key is not valid: {why}"));
        let bytes = URL_SAFE_NO_PAD.decode(token.trim_end_matches('=')).map_err(|e| {
            let at = match e {
                base64::DecodeError::InvalidByte(at, _) | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                _ => token.len(),
            };
            invalid(format!("illegal base64 data at input byte {at}"))
        })?;
        let value: Value = serde_json::from_slice(&bytes).map_err(|_| {
            let first = bytes.first().map_or(String::new(), |b| quote(&char::from(*b).to_string()));
            invalid(format!("invalid character '{}' looking for beginning of value", first.trim_matches('"')))
        })?;
        if value["v"] != "meta.k8s.io/v1" {
            return Err(invalid(format!(
                "server does not recognize this encoded version {}",
                value["v"].as_str().unwrap_or_default()
            )));
        }
        let revision = value["rv"].as_i64().unwrap_or_default();
        if revision == 0 {
            return Err(invalid("incorrect encoded start resourceVersion (version meta.k8s.io/v1)".into()));
        }
        let start = value["start"].as_str().unwrap_or_default();
        if start.is_empty() {
            return Err(invalid("encoded start key empty (version meta.k8s.io/v1)".into()));
        }
        // Within a namespace, keys are relative to it: nobody continues elsewhere.
        let after = start.trim_start_matches('/').trim_end_matches('\0');
        let after = if namespace.is_empty() { after.to_owned() } else { format!("{namespace}/{after}") };
        Ok(Self { revision, after })
    }
}

/// Reads a continue token, for fuzzing.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn read_continue(token: &str, namespace: &str) -> Result<(), Refusal> {
    Continue::decode(token, namespace).map(|from| drop(Continue::token(from.revision, &from.after)))
}

/// Lists a page.
pub(crate) fn list(cluster: &Cluster, served: &Served, selection: &Selection, options: &ListOptions) -> Result<Page, Refusal> {
    let store = &cluster.store;
    let mut range = Range { namespace: (!selection.namespace.is_empty()).then(|| selection.namespace.clone()), after: None };
    let requested = version(&options.version).map_err(|why| Refusal::bad_request(format!("invalid resource version: {why}")))?;
    let mut at = None;
    let mut limit = usize::try_from(options.limit).unwrap_or_default();
    if !options.token.is_empty() {
        if requested.is_some_and(|v| v != 0) {
            return Err(Refusal::bad_request("specifying resource version is not allowed when using continue"));
        }
        if requested == Some(0) {
            limit = 0;
        }
        let from = Continue::decode(&options.token, &selection.namespace)?;
        // A negative revision continues with what there is now.
        at = u64::try_from(from.revision).ok();
        range.after = Some(from.after);
    } else if let Some(requested) = requested {
        let current = store.revision();
        let exact = match options.version_match {
            Some(Match::Exact) => true,
            Some(Match::NotOlderThan) => false,
            None => limit > 0 && requested > 0,
        };
        if requested > current {
            return Err(too_large(requested, current));
        }
        if exact {
            at = Some(requested);
        } else if requested == 0 {
            // Served from the watch cache, which has no pages.
            limit = 0;
        }
    }
    let (revision, objects) = store.list(&served.table, &range, at).map_err(|_| {
        if options.token.is_empty() {
            expired("The resourceVersion for the provided list is too old.")
        } else {
            let mut refusal = expired(
                "The provided continue parameter is too old to display a consistent list result. You can start a new list \
                 without the continue parameter, or use the continue token in this response to retrieve the remainder of the \
                 results. Continuing with the provided token results in an inconsistent list - objects that were created, \
                 modified, or deleted between the time the first chunk was returned and now may show up in the list.",
            );
            let after = range.after.as_deref().unwrap_or_default();
            let after = after.strip_prefix(&format!("{}/", selection.namespace)).unwrap_or(after);
            refusal.metadata = json!({"continue": Continue::token(-1, after)});
            refusal
        }
    })?;
    // What is computed has no versions.
    let version = if served.is("", "componentstatuses") { String::new() } else { revision.to_string() };
    let mut metadata = json!({"resourceVersion": version});
    if served.is_custom() {
        metadata["continue"] = "".into();
    }
    let total = objects.len();
    let mut selected: Vec<Arc<Stored>> = Vec::with_capacity(if limit > 0 { limit.min(total) } else { total });
    for (index, object) in objects.into_iter().enumerate() {
        if !selection.is_everything() && !selection.matches(served, &object) {
            continue;
        }
        selected.push(object);
        // Whether a selector takes any of those that follow is not known without looking at them.
        if selected.len() == limit && index + 1 < total {
            if let Some(last) = selected.last() {
                let in_all = selection.namespace.is_empty() && !last.namespace.is_empty();
                let after = if in_all { format!("{}/{}", last.namespace, last.name) } else { last.name.clone() };
                metadata["continue"] = Continue::encode(revision, &after).into();
            }
            if selection.is_everything() {
                metadata["remainingItemCount"] = (total - limit).into();
            }
            break;
        }
    }
    Ok(Page { objects: selected, metadata })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_say_where_to_go_on_and_bad_ones_are_refused() {
        let token = Continue::encode(7, "a");
        let from = Continue::decode(&token, "ns").unwrap();
        assert_eq!((from.revision, from.after.as_str()), (7, "ns/a"));
        assert_eq!(Continue::decode(&token, "other").unwrap().after, "other/a");
        assert_eq!(Continue::decode(&Continue::encode(7, "ns/a"), "").unwrap().after, "ns/a");
        for bad in ["%", "e30", "bm90anNvbg", &URL_SAFE_NO_PAD.encode(r#"{"v":"meta.k8s.io/v1","rv":0,"start":"a"}"#)] {
            assert_eq!(Continue::decode(bad, "").err().unwrap().code, 400, "{bad}");
        }
    }
}
