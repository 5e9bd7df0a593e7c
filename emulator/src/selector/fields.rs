//! Field selectors, as `pkg/fields/selector.go` of apimachinery reads them: `status.phase=Running,spec.nodeName!=a`.

use crate::field::quote;

/// One field, and the value that it must have or not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Term {
    /// As in `metadata.name`.
    pub(crate) field: String,
    /// The value, unescaped.
    pub(crate) value: String,
    /// `=`, not `!=`.
    pub(crate) equals: bool,
}

/// All terms must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Selector(Vec<Term>);

impl Selector {
    /// From a query parameter. The error is the message of the 400 that it is answered with.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let mut parts = split_terms(text);
        parts.sort_unstable();
        let mut terms = Vec::new();
        for part in parts.into_iter().filter(|part| !part.is_empty()) {
            let (field, equals, value) =
                split_term(part).ok_or_else(|| format!("invalid selector: '{text}'; can't understand '{part}'"))?;
            terms.push(Term { field: field.to_owned(), value: unescape(value)?, equals });
        }
        Ok(Self(terms))
    }

    /// Refuses fields that the kind's objects cannot be selected by, and gives fields the names that the kind's
    /// [`Rules::fields`](crate::kinds::Rules::fields) use. Custom resources have their own `selectableFields`.
    pub(crate) fn for_kind(mut self, group_version: &str, kind: &str) -> Result<Self, String> {
        for term in &mut self.0 {
            term.field = stored_name(group_version, kind, &term.field)?.to_owned();
        }
        Ok(self)
    }

    /// Whether every object is selected.
    pub(crate) fn is_everything(&self) -> bool {
        self.0.is_empty()
    }

    /// The terms, by which a list can be narrowed to one object.
    pub(crate) fn terms(&self) -> &[Term] {
        &self.0
    }

    /// The value that the field must have, if there is one.
    pub(crate) fn exact(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|term| term.equals && term.field == field).map(|term| term.value.as_str())
    }

    /// Whether an object is selected whose fields have the values that `get` tells; a field that it has not reads "".
    pub(crate) fn matches<'a>(&self, get: impl Fn(&str) -> Option<std::borrow::Cow<'a, str>>) -> bool {
        self.0.iter().all(|term| (get(&term.field).unwrap_or_default() == term.value) == term.equals)
    }
}

/// Splits at commas that no backslash precedes.
fn split_terms(text: &str) -> Vec<&str> {
    let (mut terms, mut start, mut escaped) = (Vec::new(), 0, false);
    for (i, c) in text.char_indices() {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            ',' => {
                terms.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    terms.push(&text[start..]);
    terms
}

/// Splits at the first operator: field, whether it is an equality, value.
fn split_term(term: &str) -> Option<(&str, bool, &str)> {
    let (field, value) = term.split_once('=')?;
    Some(match field.strip_suffix('!') {
        Some(field) => (field, false, value),
        None => (field, true, value.strip_prefix('=').unwrap_or(value)),
    })
}

fn unescape(value: &str) -> Result<String, String> {
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(c @ ('\\' | ',' | '=')) => out.push(c),
                Some(c) => return Err(format!("invalid field selector: invalid escape sequence: \\{c}")),
                None => return Err("invalid field selector: invalid escape sequence: \\".to_owned()),
            },
            // The rune's number is what Go prints here.
            ',' | '=' => return Err(format!("invalid field selector: unescaped character in value: {}", u32::from(c))),
            c => out.push(c),
        }
    }
    Ok(out)
}

/// The name under which the kind's [`Rules::fields`](crate::kinds::Rules::fields) have a field that a client names
/// (`AddFieldLabelConversionFunc`); the error is that of an unknown one.
fn stored_name<'a>(group_version: &str, kind: &str, field: &'a str) -> Result<&'a str, String> {
    let unsupported = || Err(format!("field label not supported: {field}"));
    let known = |names: &[&str]| if names.contains(&field) { Ok(field) } else { unsupported() };
    match (group_version, kind) {
        ("v1", "Pod") if field == "spec.host" => Ok("spec.nodeName"),
        ("v1", "Pod") => known(&[
            "metadata.name",
            "metadata.namespace",
            "spec.nodeName",
            "spec.restartPolicy",
            "spec.schedulerName",
            "spec.serviceAccountName",
            "spec.hostNetwork",
            "status.phase",
            "status.podIP",
            "status.podIPs",
            "status.nominatedNodeName",
        ]),
        ("v1", "Node") => known(&["metadata.name", "spec.unschedulable"]),
        ("v1", "ReplicationController") => known(&["metadata.name", "metadata.namespace", "status.replicas"]),
        ("v1", "Namespace") => known(&["status.phase", "metadata.name"]),
        ("v1", "Secret") => known(&["type", "metadata.namespace", "metadata.name"]),
        ("v1", "Service") => known(&["metadata.namespace", "metadata.name", "spec.clusterIP", "spec.type"]),
        ("v1", "Event") => known(&[
            "involvedObject.kind",
            "involvedObject.namespace",
            "involvedObject.name",
            "involvedObject.uid",
            "involvedObject.apiVersion",
            "involvedObject.resourceVersion",
            "involvedObject.fieldPath",
            "reason",
            "reportingComponent",
            "source",
            "type",
            "metadata.namespace",
            "metadata.name",
        ]),
        ("events.k8s.io/v1", "Event") => match field {
            "regarding.kind" => Ok("involvedObject.kind"),
            "regarding.namespace" => Ok("involvedObject.namespace"),
            "regarding.name" => Ok("involvedObject.name"),
            "regarding.uid" => Ok("involvedObject.uid"),
            "regarding.apiVersion" => Ok("involvedObject.apiVersion"),
            "regarding.resourceVersion" => Ok("involvedObject.resourceVersion"),
            "regarding.fieldPath" => Ok("involvedObject.fieldPath"),
            "reportingController" => Ok("reportingComponent"),
            _ => known(&["reason", "type", "metadata.namespace", "metadata.name"]),
        },
        ("batch/v1", "Job") => match field {
            "metadata.name" | "metadata.namespace" | "status.successful" => Ok(field),
            _ => Err(format!("field label {} not supported for Job", quote(field))),
        },
        ("certificates.k8s.io/v1", "CertificateSigningRequest")
        | ("certificates.k8s.io/v1beta1" | "certificates.k8s.io/v1alpha1", "ClusterTrustBundle") => {
            known(&["metadata.name", "spec.signerName"])
        }
        (version, "ResourceSlice") if version.starts_with("resource.k8s.io/") => match field {
            "metadata.name" | "spec.nodeName" | "spec.driver" => Ok(field),
            _ => Err(format!("field label not supported for {}, Kind=ResourceSlice: {field}", group_version)),
        },
        _ => match field {
            "metadata.name" | "metadata.namespace" => Ok(field),
            _ => Err(format!("{} is not a known field selector: only \"metadata.name\", \"metadata.namespace\"", quote(field))),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use rstest::rstest;

    use super::*;

    fn term(field: &str, value: &str, equals: bool) -> Term {
        Term { field: field.into(), value: value.into(), equals }
    }

    #[test]
    fn reads() {
        let selector = Selector::parse("b!=2,a==x\\,y,,c=").unwrap();
        assert_eq!(selector.terms(), [term("a", "x,y", true), term("b", "2", false), term("c", "", true)]);
        assert_eq!(Selector::parse("a!b=c").unwrap().terms(), [term("a!b", "c", true)]);
        assert!(Selector::parse("").unwrap().is_everything());
    }

    #[rstest]
    #[case("abc", "invalid selector: 'abc'; can't understand 'abc'")]
    #[case("a=b=c", "invalid field selector: unescaped character in value: 61")]
    #[case("a=\\x", "invalid field selector: invalid escape sequence: \\x")]
    #[case("a=\\", "invalid field selector: invalid escape sequence: \\")]
    fn refuses(#[case] text: &str, #[case] why: &str) {
        assert_eq!(Selector::parse(text).unwrap_err(), why);
    }

    #[rstest]
    #[case("v1", "Pod", "spec.host=a", Ok("spec.nodeName"))]
    #[case("v1", "Pod", "spec.foo=a", Err("field label not supported: spec.foo"))]
    #[case("batch/v1", "Job", "x=1", Err("field label \"x\" not supported for Job"))]
    #[case(
        "v1",
        "ConfigMap",
        "data=1",
        Err("\"data\" is not a known field selector: only \"metadata.name\", \"metadata.namespace\"")
    )]
    fn knows_kinds(#[case] version: &str, #[case] kind: &str, #[case] text: &str, #[case] expected: Result<&str, &str>) {
        let got = Selector::parse(text).unwrap().for_kind(version, kind);
        assert_eq!(got.as_ref().map(|s| s.0[0].field.as_str()).map_err(String::as_str), expected);
    }

    #[test]
    fn matches() {
        let get = |field: &str| (field == "a").then_some(Cow::Borrowed("1"));
        assert!(Selector::parse("a=1,b!=2,c=").unwrap().matches(get));
        assert!(!Selector::parse("a!=1").unwrap().matches(get));
    }

    proptest::proptest! {
        #[test]
        fn never_panics(text in "[a\\\\,=!é]{0,20}") {
            let _ = Selector::parse(&text);
        }
    }
}
