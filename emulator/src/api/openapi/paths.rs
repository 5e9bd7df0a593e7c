//! The operations of the OpenAPI documents: which requests each resource takes, with what parameters, body and answers.
//! kubectl looks here for whether the server validates fields and knows dry runs.
//!
//! Left out are the subresources that stream (exec, attach, port-forward, proxy, log): no client reads these.

use crate::schema::table::{Resource, Subresource};

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";

/// One path and what can be done with it.
pub(super) struct Path {
    pub(super) path: String,
    pub(super) operations: Vec<Operation>,
}

/// One method of a path.
pub(super) struct Operation {
    pub(super) method: &'static str,
    /// `x-kubernetes-action`.
    pub(super) action: &'static str,
    pub(super) id: String,
    pub(super) tag: String,
    /// Group, version and kind of what it is about.
    pub(super) kind: [String; 3],
    pub(super) parameters: Vec<Parameter>,
    /// The schema of the body, and whether there must be one.
    pub(super) body: Option<(String, bool)>,
    pub(super) consumes: &'static [&'static str],
    /// Statuses and the schema of the answers.
    pub(super) codes: &'static [u16],
    pub(super) answer: String,
    pub(super) produces: &'static [&'static str],
}

/// A parameter of the query or of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Parameter {
    pub(super) name: &'static str,
    /// `query` or `path`.
    pub(super) place: &'static str,
    pub(super) ty: &'static str,
}

const fn query(name: &'static str, ty: &'static str) -> Parameter {
    Parameter { name, place: "query", ty }
}

const PRETTY: Parameter = query("pretty", "string");
const NAME: Parameter = Parameter { name: "name", place: "path", ty: "string" };
const NAMESPACE: Parameter = Parameter { name: "namespace", place: "path", ty: "string" };
const DRY_RUN: Parameter = query("dryRun", "string");
const FORCE: Parameter = query("force", "boolean");
const LIST: [Parameter; 10] = [
    query("allowWatchBookmarks", "boolean"),
    query("continue", "string"),
    query("fieldSelector", "string"),
    query("labelSelector", "string"),
    query("limit", "integer"),
    query("resourceVersion", "string"),
    query("resourceVersionMatch", "string"),
    query("sendInitialEvents", "boolean"),
    query("timeoutSeconds", "integer"),
    query("watch", "boolean"),
];
const WRITE: [Parameter; 3] = [DRY_RUN, query("fieldManager", "string"), query("fieldValidation", "string")];
const DELETE: [Parameter; 5] = [
    DRY_RUN,
    query("gracePeriodSeconds", "integer"),
    query("ignoreStoreReadErrorWithClusterBreakingPotential", "boolean"),
    query("orphanDependents", "boolean"),
    query("propagationPolicy", "string"),
];

const ANY: &[&str] = &["*/*"];
const CUSTOM: &[&str] = &["application/json", "application/yaml"];
const BUILT_IN: &[&str] = &["application/json", "application/yaml", "application/vnd.kubernetes.protobuf"];
const STREAMED: &[&str] = &[
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/json;stream=watch",
    "application/vnd.kubernetes.protobuf;stream=watch",
];
const CUSTOM_PATCHES: &[&str] = &["application/json-patch+json", "application/merge-patch+json", "application/apply-patch+yaml"];
const PATCHES: &[&str] = &[
    "application/json-patch+json",
    "application/merge-patch+json",
    "application/strategic-merge-patch+json",
    "application/apply-patch+yaml",
];

/// What identifiers and tags make of a group or a version: letters and digits, each word capitalised.
fn identifier(text: &str, mut capitalize: bool) -> String {
    let mut out = String::new();
    for (index, c) in text.char_indices() {
        if c.is_alphabetic() || c == '_' || (index != 0 && c.is_numeric()) {
            if capitalize {
                out.extend(c.to_uppercase());
            } else {
                out.push(c);
            }
            capitalize = false;
        } else {
            capitalize = true;
        }
    }
    out
}

/// The tag `apps_v1`, and `AppsV1` for the identifiers.
pub(super) fn names(group: &str, version: &str) -> (String, String) {
    let group = if group.is_empty() { "core" } else { group.strip_suffix(".k8s.io").unwrap_or(group) };
    let tag = format!("{}_{}", identifier(group, false), identifier(version, false));
    (tag, format!("{}{}", identifier(group, true), identifier(version, true)))
}

/// The OpenAPI name of a kind's schema, by group, version and kind.
pub(super) type Namer = fn(&str, &str, &str) -> String;

struct Builder<'a> {
    resource: &'a Resource,
    custom: bool,
    namer: Namer,
    tag: String,
    title: String,
}

/// The paths of a resource.
pub(super) fn of(resource: &Resource, custom: bool, namer: Namer) -> Vec<Path> {
    let (tag, title) = names(&resource.group, &resource.version);
    Builder { resource, custom, namer, tag, title }.paths()
}

impl Builder<'_> {
    fn paths(&self) -> Vec<Path> {
        let Resource { group, version, plural, kind, namespaced, .. } = self.resource;
        let base = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let scope = if *namespaced { "/namespaces/{namespace}" } else { "" };
        let root = format!("{base}{scope}/{plural}");
        let named = format!("{root}/{{name}}");
        let mut paths =
            vec![Path { operations: self.collection(), path: root }, Path { operations: self.object(), path: named.clone() }];
        for sub in &self.resource.subresources {
            paths.push(Path { operations: self.subresource(sub), path: format!("{named}/{}", sub.name) });
        }
        if *namespaced && self.has("list") {
            let list = self.list(&format!("{kind}ForAllNamespaces"), &[PRETTY]);
            paths.push(Path { path: format!("{base}/{plural}"), operations: vec![list] });
        }
        if !self.custom && self.has("watch") {
            paths.extend(self.watches(&base, scope));
        }
        paths.retain(|path| !path.operations.is_empty());
        paths
    }

    /// The watches by a path of their own, which are deprecated yet served.
    fn watches(&self, base: &str, scope: &str) -> Vec<Path> {
        let (plural, kind, prefix) = (&self.resource.plural, &self.resource.kind, self.namespaced());
        let mut of_one = self.in_scope();
        of_one.push(NAME);
        let mut all = vec![
            (scope, "", self.watch("watchlist", &format!("{prefix}{kind}List"), &self.in_scope())),
            (scope, "/{name}", self.watch("watch", &format!("{prefix}{kind}"), &of_one)),
        ];
        if self.resource.namespaced {
            all.push(("", "", self.watch("watchlist", &format!("{kind}ListForAllNamespaces"), &[PRETTY])));
        }
        let path =
            |(scope, rest, operation)| Path { path: format!("{base}/watch{scope}/{plural}{rest}"), operations: vec![operation] };
        all.into_iter().map(path).collect()
    }

    fn has(&self, verb: &str) -> bool {
        self.resource.verbs.iter().any(|known| known == verb)
    }

    fn namespaced(&self) -> &'static str {
        if self.resource.namespaced { "Namespaced" } else { "" }
    }

    /// The parameters that every operation within the resource's scope has.
    fn in_scope(&self) -> Vec<Parameter> {
        if self.resource.namespaced { vec![NAMESPACE, PRETTY] } else { vec![PRETTY] }
    }

    fn schema(&self, kind: &str) -> String {
        (self.namer)(&self.resource.group, &self.resource.version, kind)
    }

    fn operation(
        &self,
        method: &'static str,
        action: &'static str,
        id: String,
        scope: &[Parameter],
        own: &[Parameter],
    ) -> Operation {
        let mut parameters: Vec<Parameter> = scope.iter().chain(own).copied().collect();
        parameters.sort_unstable();
        Operation {
            method,
            action,
            id,
            tag: self.tag.clone(),
            kind: [self.resource.group.clone(), self.resource.version.clone(), self.resource.kind.clone()],
            parameters,
            body: None,
            consumes: if self.custom { CUSTOM } else { ANY },
            codes: &[200],
            answer: self.schema(&self.resource.kind),
            produces: if self.custom { CUSTOM } else { BUILT_IN },
        }
    }

    fn list(&self, id: &str, scope: &[Parameter]) -> Operation {
        Operation {
            answer: self.schema(&format!("{}List", self.resource.kind)),
            produces: if self.custom { CUSTOM } else { STREAMED },
            ..self.operation("get", "list", format!("list{}{id}", self.title), scope, &LIST)
        }
    }

    fn watch(&self, action: &'static str, id: &str, scope: &[Parameter]) -> Operation {
        Operation {
            answer: format!("{META}WatchEvent"),
            produces: STREAMED,
            ..self.operation("get", action, format!("watch{}{id}", self.title), scope, &LIST)
        }
    }

    fn collection(&self) -> Vec<Operation> {
        let scope = self.in_scope();
        let (title, prefix, kind) = (&self.title, self.namespaced(), &self.resource.kind);
        let mut all = Vec::new();
        if self.has("list") {
            all.push(self.list(&format!("{prefix}{kind}"), &scope));
        }
        if self.has("create") {
            all.push(Operation {
                body: Some((self.schema(kind), true)),
                codes: &[200, 201, 202],
                ..self.operation("post", "post", format!("create{title}{prefix}{kind}"), &scope, &WRITE)
            });
        }
        if self.has("deletecollection") {
            let selected = LIST.iter().filter(|one| self.custom || !["allowWatchBookmarks", "watch"].contains(&one.name));
            let options: &[Parameter] = if self.custom { &[] } else { &DELETE };
            let options: Vec<Parameter> = selected.chain(options).copied().collect();
            let id = format!("delete{title}Collection{prefix}{kind}");
            all.push(Operation {
                answer: format!("{META}Status"),
                body: (!self.custom).then(|| (format!("{META}DeleteOptions"), false)),
                ..self.operation("delete", "deletecollection", id, &scope, &options)
            });
        }
        all
    }

    fn object(&self) -> Vec<Operation> {
        let id = format!("{}{}{}", self.title, self.namespaced(), self.resource.kind);
        let schema = self.schema(&self.resource.kind);
        ["get", "update", "delete", "patch"]
            .into_iter()
            .filter(|verb| self.has(verb))
            .map(|verb| self.verb(verb, &id, &schema))
            .collect()
    }

    fn subresource(&self, sub: &Subresource) -> Vec<Operation> {
        // A subresource that connects takes options, not an object.
        if sub.kind.ends_with("Options") || sub.name == "log" {
            return Vec::new();
        }
        let id = format!("{}{}{}{}", self.title, self.namespaced(), self.resource.kind, identifier(&sub.name, true));
        let schema = if self.custom && sub.kind != "Scale" {
            self.schema(&sub.kind)
        } else {
            (self.namer)(&sub.group, &sub.version, &sub.kind)
        };
        let mut all = Vec::new();
        for verb in ["get", "create", "update", "patch"] {
            if sub.verbs.iter().any(|known| known == verb) {
                let mut operation = self.verb(verb, &id, &schema);
                // In the documents of custom resources even the scale is of the resource's own kind.
                if !self.custom {
                    operation.kind = [sub.group.clone(), sub.version.clone(), sub.kind.clone()];
                }
                all.push(operation);
            }
        }
        all
    }

    /// What is done to one object or a subresource of it.
    fn verb(&self, verb: &str, id: &str, schema: &str) -> Operation {
        let mut scope = self.in_scope();
        scope.push(NAME);
        let body = Some((schema.to_owned(), true));
        let mut operation = match verb {
            "get" => {
                let own: &[Parameter] = if self.custom { &[query("resourceVersion", "string")] } else { &[] };
                self.operation("get", "get", format!("read{id}"), &scope, own)
            }
            "create" => Operation {
                body,
                codes: &[200, 201, 202],
                ..self.operation("post", "post", format!("create{id}"), &scope, &WRITE)
            },
            "update" => {
                Operation { body, codes: &[200, 201], ..self.operation("put", "put", format!("replace{id}"), &scope, &WRITE) }
            }
            "patch" => {
                let mut options = WRITE.to_vec();
                options.push(FORCE);
                Operation {
                    body: Some((format!("{META}Patch"), true)),
                    consumes: if self.custom { CUSTOM_PATCHES } else { PATCHES },
                    codes: if self.custom { &[200] } else { &[200, 201] },
                    ..self.operation("patch", "patch", format!("patch{id}"), &scope, &options)
                }
            }
            _ => Operation {
                body: Some((format!("{META}DeleteOptions"), false)),
                codes: &[200, 202],
                ..self.operation("delete", "delete", format!("delete{id}"), &scope, &DELETE)
            },
        };
        operation.answer = match verb {
            "delete" if !answers_with_itself(self.resource) => format!("{META}Status"),
            _ => schema.to_owned(),
        };
        operation
    }
}

/// Some kinds come back from their deletion whole.
fn answers_with_itself(resource: &Resource) -> bool {
    match resource.group.as_str() {
        "" => [
            "persistentvolumeclaims",
            "persistentvolumes",
            "pods",
            "podtemplates",
            "resourcequotas",
            "serviceaccounts",
            "services",
        ]
        .contains(&resource.plural.as_str()),
        "storage.k8s.io" => resource.plural != "csistoragecapacities",
        "resource.k8s.io" => true,
        _ => false,
    }
}
