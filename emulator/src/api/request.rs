//! What a request is about: the parts of its path, its verb, its query (`apiserver/pkg/endpoints/request/requestinfo.go`).

use std::borrow::Cow;

use http::Method;

use crate::access::rbac::Action;

/// A resource as its path names it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) group: String,
    pub(crate) version: String,
    pub(crate) namespace: String,
    pub(crate) resource: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    /// What follows a subresource that takes a path (`proxy`).
    pub(crate) rest: String,
    /// The path began with the old `watch/`.
    pub(crate) watch: bool,
}

/// Where a path leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// Anything that is no resource: discovery, health, documents.
    Path(String),
    Resource(Target),
}

/// Decodes `%xx`; what is no UTF-8 then becomes replacement characters. `None` when a code is broken.
pub(crate) fn percent_decoded(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte == b'%' {
            let digit = |b: Option<u8>| (b? as char).to_digit(16);
            let code = digit(bytes.next())? * 16 + digit(bytes.next())?;
            out.push(u8::try_from(code).ok()?);
        } else {
            out.push(byte);
        }
    }
    Some(Cow::Owned(String::from_utf8_lossy(&out).into_owned()))
}

impl Route {
    /// Of a decoded path.
    pub(crate) fn of(path: &str) -> Self {
        Self::resource(path).map_or_else(|| Self::Path(path.to_owned()), Self::Resource)
    }

    fn resource(path: &str) -> Option<Target> {
        let mut parts = path.trim_matches('/').split('/');
        let mut target = Target::default();
        match parts.next()? {
            "api" => target.version = parts.next()?.to_owned(),
            "apis" => {
                target.group = parts.next()?.to_owned();
                target.version = parts.next()?.to_owned();
            }
            _ => return None,
        }
        let mut parts: Vec<&str> = parts.collect();
        if parts.first() == Some(&"watch") && parts.len() > 1 {
            target.watch = true;
            parts.remove(0);
        }
        // A namespace's own subresources are told from the resources in it by these names.
        if parts.len() > 2 && parts[0] == "namespaces" && !["status", "finalize"].contains(&parts[2]) {
            target.namespace = parts[1].to_owned();
            parts.drain(..2);
        } else if parts.len() > 1 && parts[0] == "namespaces" {
            target.namespace = parts[1].to_owned();
        }
        target.resource = (*parts.first()?).to_owned();
        target.name = parts.get(1).copied().unwrap_or_default().to_owned();
        target.subresource = parts.get(2).copied().unwrap_or_default().to_owned();
        target.rest = parts.get(3..).map(|rest| rest.join("/")).unwrap_or_default();
        (!target.resource.is_empty()).then_some(target)
    }
}

/// The parameters of a query, decoded, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    pub(crate) fn of(query: Option<&str>) -> Self {
        let decode = |text: &str| {
            let spaced = text.replace('+', " ");
            percent_decoded(&spaced).map(Cow::into_owned)
        };
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        Self(
            pairs
                .filter_map(|pair| {
                    let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                    Some((decode(key)?, decode(value)?))
                })
                .collect(),
        )
    }

    /// The first value of a parameter; `None` when it is absent.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The same, with an empty one taken for absent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name).filter(|v| !v.is_empty())
    }

    /// All values of a parameter.
    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.0.iter().filter(|(key, _)| key == name).map(|(_, value)| value.as_str()).collect()
    }

    /// A flag as apimachinery reads it: there, and neither `false` nor `0`.
    pub(crate) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|v| !["false", "0"].contains(&v.to_ascii_lowercase().as_str()))
    }
}

/// The verb of a request, as RBAC names it.
pub(crate) fn verb(method: &Method, target: &Target, query: &Query) -> &'static str {
    let is_collection = target.name.is_empty();
    match *method {
        Method::POST => "create",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE if is_collection => "deletecollection",
        Method::DELETE => "delete",
        Method::GET | Method::HEAD if target.watch => "watch",
        Method::GET | Method::HEAD if is_collection && query.flag("watch") => "watch",
        Method::GET | Method::HEAD if is_collection => "list",
        Method::GET | Method::HEAD => "get",
        _ => "",
    }
}

/// What must be allowed for a request.
pub(crate) fn action(method: &Method, route: &Route, query: &Query) -> Action {
    match route {
        Route::Path(path) => Action { verb: method.as_str().to_ascii_lowercase(), path: path.clone(), ..Action::default() },
        Route::Resource(target) => {
            let mut name = target.name.clone();
            let verb = verb(method, target, query);
            if ["list", "watch", "deletecollection"].contains(&verb)
                && let Some(selected) = query.text("fieldSelector").and_then(|s| s.strip_prefix("metadata.name="))
            {
                name = selected.trim_start_matches('=').to_owned();
            }
            Action {
                verb: verb.to_owned(),
                group: target.group.clone(),
                resource: target.resource.clone(),
                subresource: target.subresource.clone(),
                namespace: target.namespace.clone(),
                name,
                path: String::new(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn parts(path: &str) -> String {
        match Route::of(path) {
            Route::Path(path) => path,
            Route::Resource(t) => [t.group, t.version, t.namespace, t.resource, t.name, t.subresource, t.rest].join("|"),
        }
    }

    #[rstest]
    #[case("/api/v1/pods", "|v1||pods|||")]
    #[case("/api/v1/namespaces/a", "|v1|a|namespaces|a||")]
    #[case("/api/v1/namespaces/a/status", "|v1|a|namespaces|a|status|")]
    #[case("/api/v1/namespaces/a/pods/p/log", "|v1|a|pods|p|log|")]
    #[case("/apis/apps/v1/namespaces/a/deployments", "apps|v1|a|deployments|||")]
    #[case("/api/v1/namespaces/a/services/s/proxy/x/y", "|v1|a|services|s|proxy|x/y")]
    #[case("/api/v1/watch/namespaces/a/pods", "|v1|a|pods|||")]
    #[case("/apis/apps/v1", "/apis/apps/v1")]
    #[case("/api", "/api")]
    #[case("/healthz", "/healthz")]
    #[case("/", "/")]
    fn paths_name_resources(#[case] path: &str, #[case] expected: &str) {
        assert_eq!(parts(path), expected);
    }

    #[test]
    fn queries_are_decoded() {
        let query = Query::of(Some("labelSelector=a%3Db%2Cc&watch&x=1+2&bad=%zz"));
        assert_eq!(query.get("labelSelector"), Some("a=b,c"));
        assert_eq!(query.get("x"), Some("1 2"));
        assert_eq!(query.get("bad"), None);
        assert!(query.flag("watch") && !query.flag("absent"));
    }
}
