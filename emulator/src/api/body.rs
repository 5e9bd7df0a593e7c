//! What requests carry: objects, patches, options of a deletion (`apimachinery/pkg/runtime/serializer`).

use serde_json::{Value, json};

use super::options::Validation;
use super::request::Query;
use super::resources::Request;
use crate::field::{Errors, Path, quote};
use crate::kinds::meta;
use crate::merge;
use crate::merge::apply::Configuration;
use crate::registry::{Served, api_version};
use crate::schema::json::{Node, parse};
use crate::schema::table::builtin;
use crate::schema::{Type, codec, yaml};
use crate::status::Refusal;
use crate::verbs::Call;

const JSON: &str = "application/json";
const YAML: &str = "application/yaml";
const PROTOBUF: &str = "application/vnd.kubernetes.protobuf";

/// Where the API server's scheme is written, as its errors about unknown kinds say.
const SCHEME: &str = "k8s.io/apimachinery@v1.34.1-k3s1/pkg/runtime/scheme.go:110";

/// What a body is read as.
struct Expected<'a> {
    group: &'a str,
    version: &'a str,
    kind: &'a str,
    ty: Option<Type<'a>>,
    custom: Option<&'a Served>,
}

impl<'a> Expected<'a> {
    fn of(served: &'a Served) -> Self {
        Self {
            group: &served.group,
            version: &served.version,
            kind: &served.kind,
            ty: served.ty(),
            custom: served.is_custom().then_some(served),
        }
    }
}

/// The object of a request, in its resource's type, with its defaults.
pub(super) fn object(request: &Request<'_>, call: &Call<'_>) -> Result<Value, Refusal> {
    let mut object = decode(request, call, &Expected::of(request.served))?;
    request.served.default(&mut object);
    Ok(object)
}

/// An object of another built-in kind, as subresources take them.
pub(super) fn other(request: &Request<'_>, call: &Call<'_>, group: &str, version: &str, kind: &str) -> Result<Value, Refusal> {
    let ty = builtin().type_of(group, version, kind);
    decode(request, call, &Expected { group, version, kind, ty, custom: None })
}

/// The document in a body.
fn document(request: &Request<'_>, expected: &Expected<'_>) -> Result<(Node, Option<String>), Refusal> {
    let body = request.body.as_slice();
    let unrecognized = |why: &str| unrecognized(expected.kind, why, body);
    let unparsed = |e: &dyn std::fmt::Display| unrecognized(&format!("couldn't get version/kind; json parse error: {e}"));
    match request.content_type() {
        "" | JSON | "*/*" if !request.has_odd_content_type() => parse(body).map(|node| (node, None)).map_err(|e| unparsed(&e)),
        YAML => yaml::parse(body).map_err(|e| unrecognized(&e.to_string())),
        PROTOBUF if expected.custom.is_none() => {
            let api_version = api_version(expected.group, expected.version);
            crate::proto::decode_request(body, &api_version, expected.kind).map(|object| (object.into(), None))
        }
        _ => {
            let list = [JSON, YAML, PROTOBUF].join(", ");
            let message = format!("the body of the request was in an unknown format - accepted media types include: {list}");
            Err(Refusal::new(415, "UnsupportedMediaType", message))
        }
    }
}

fn unrecognized(kind: &str, why: &str, body: &[u8]) -> Refusal {
    let start = &body[..body.len().min(30)];
    let start = match body.first() {
        None => "<empty>".to_owned(),
        Some(b'{') => String::from_utf8_lossy(start).into_owned(),
        Some(_) => start.iter().map(|b| format!("{b:02x}")).collect(),
    };
    let shown = if body.len() > 30 { format!("{start} ...") } else { start };
    Refusal::bad_request(format!("the object provided is unrecognized (must be of type {kind}): {why} ({shown})"))
}

fn text<'n>(node: &'n Node, key: &str) -> Result<&'n str, String> {
    let what = |is: &str| Err(format!("json: cannot unmarshal {is} into Go struct field .{key} of type string"));
    match node.get(key) {
        None | Some(Node::Null) => Ok(""),
        Some(Node::String(text)) => Ok(text),
        Some(Node::Bool(_)) => what("bool"),
        Some(Node::Number(_)) => what("number"),
        Some(Node::List(_)) => what("array"),
        Some(Node::Object(_)) => what("object"),
    }
}

fn decode(request: &Request<'_>, call: &Call<'_>, expected: &Expected<'_>) -> Result<Value, Refusal> {
    let (document, repeated) = document(request, expected)?;
    let body = request.body.as_slice();
    let unparsed =
        |why: String| unrecognized(expected.kind, &format!("couldn't get version/kind; json parse error: {why}"), body);
    if !matches!(document, Node::Object(_) | Node::Null) {
        let is = match document {
            Node::String(_) => "string",
            Node::Bool(_) => "bool",
            Node::Number(_) => "number",
            _ => "array",
        };
        return Err(unparsed(format!(
            "json: cannot unmarshal {is} into Go value of type struct {{ APIVersion string \"json:\\\"apiVersion,omitempty\\\"\"; \
             Kind string \"json:\\\"kind,omitempty\\\"\" }}"
        )));
    }
    let kind = text(&document, "kind").map_err(unparsed)?;
    let given = text(&document, "apiVersion").map_err(unparsed)?;
    if given.matches('/').count() > 1 {
        return Err(unrecognized(expected.kind, &format!("unexpected GroupVersion string: {given}"), body));
    }
    let (group, version) = given.split_once('/').unwrap_or(("", given));
    let Some(custom) = expected.custom else {
        let kind = if kind.is_empty() { expected.kind } else { kind };
        let (group, version) = if version.is_empty() { (expected.group, expected.version) } else { (group, version) };
        check_kind(expected, group, version, kind)?;
        let Some(ty) = expected.ty else { return Err(Refusal::internal("the kind has no schema")) };
        let decoded = codec::decode_document(ty, &document).map_err(|error| {
            Refusal::bad_request(format!(
                "{kind} in version {} cannot be handled as a {}: {error}",
                quote(version),
                expected.kind
            ))
        })?;
        let strict: Vec<String> = repeated.into_iter().chain(decoded.strict).collect();
        report(call, &strict, kind, version, expected.kind)?;
        let mut object = decoded.value;
        object["kind"] = expected.kind.into();
        object["apiVersion"] = api_version(expected.group, expected.version).into();
        // Decoding leaves out what is empty; this emptiness has a meaning.
        if forgets_managers(&document) {
            object["metadata"]["managedFields"] = json!([]);
        }
        return Ok(object);
    };
    custom_object(call, custom, &document, (kind, given), repeated, body)
}

fn check_kind(expected: &Expected<'_>, group: &str, version: &str, kind: &str) -> Result<(), Refusal> {
    // Evictions are also read in the version they had when the rest of their group still had it.
    let version = if (group, version, kind) == ("policy", "v1beta1", "Eviction") { "v1" } else { version };
    if (group, version, kind) == (expected.group, expected.version, expected.kind) {
        return Ok(());
    }
    let handled = format!("{kind} in version {} cannot be handled as a {}", quote(version), expected.kind);
    if builtin().type_of(group, version, kind).is_none() {
        let version = quote(&api_version(group, version));
        let why = format!("no kind {} is registered for version {version} in scheme {}", quote(kind), quote(SCHEME));
        return Err(Refusal::bad_request(format!("{handled}: {why}")));
    }
    if (group, kind) == (expected.group, expected.kind) {
        let why = format!(
            "the API version in the data ({}) does not match the expected API version ({})",
            api_version(group, version),
            api_version(expected.group, expected.version)
        );
        return Err(Refusal::bad_request(why));
    }
    let package = |group: &str| match group {
        "" => "core".to_owned(),
        group => group.split('.').next().unwrap_or(group).to_owned(),
    };
    let why = format!("converting ({version}.{kind}) to ({}.{}): unknown conversion", package(expected.group), expected.kind);
    Err(Refusal::bad_request(format!("{handled}: {why}")))
}

/// Whether an object says, by an empty list, that nobody shall manage its fields.
fn forgets_managers(document: &Node) -> bool {
    let entries = document.get("metadata").and_then(|metadata| metadata.get("managedFields"));
    matches!(entries, Some(Node::List(entries)) if entries.is_empty())
}

/// What the client is told of fields that its type has not.
fn report(call: &Call<'_>, strict: &[String], kind: &str, version: &str, expected: &str) -> Result<(), Refusal> {
    match call.options.validation {
        Validation::Strict if !strict.is_empty() => {
            let why = format!("strict decoding error: {}", strict.join(", "));
            let message = format!("{kind} in version {} cannot be handled as a {expected}: {why}", quote(version));
            Err(Refusal::bad_request(message))
        }
        Validation::Warn => {
            // go-yaml says what is wrong under a heading, a line each.
            let lines = strict.iter().flat_map(|text| text.lines().filter(|line| *line != "yaml: unmarshal errors:"));
            call.warn(lines.map(|line| line.trim_start().to_owned()));
            Ok(())
        }
        _ => Ok(()),
    }
}

fn custom_object(
    call: &Call<'_>,
    served: &Served,
    document: &Node,
    (kind, given): (&str, &str),
    repeated: Option<String>,
    body: &[u8],
) -> Result<Value, Refusal> {
    let shown = if kind.is_empty() { served.kind.as_str() } else { kind };
    let handled = |why: String| {
        let version = quote(given.rsplit('/').next().unwrap_or_default());
        Refusal::bad_request(format!("{shown} in version {version} cannot be handled as a {}: {why}", served.kind))
    };
    let number = |n: String| handled(format!("json: cannot unmarshal number {n} into Go value of type float64"));
    let object = document.to_value().map_err(number)?;
    if kind.is_empty() {
        let whole = String::from_utf8_lossy(body);
        return Err(unrecognized(&served.kind, &format!("Object 'Kind' is missing in '{whole}'"), body));
    }
    if given != served.api_version() {
        let why =
            format!("the API version in the data ({given}) does not match the expected API version ({})", served.api_version());
        return Err(Refusal::bad_request(why));
    }
    if kind != served.kind {
        let mut errors = Errors::new();
        errors.invalid(&Path::new("kind"), kind, &format!("must be {}", served.kind));
        return Err(Refusal::invalid(&served.group, kind, "", &errors));
    }
    let strict = repeated.into_iter().chain(document.duplicates()).collect();
    let (object, strict) = shaped(served, object, strict).map_err(|why| handled(why.message))?;
    report(call, &strict, &served.kind, &served.version, &served.kind)?;
    Ok(object)
}

/// Decodes metadata and drops what a custom resource's schema does not know; the texts are for strict requests.
fn shaped(served: &Served, mut object: Value, mut strict: Vec<String>) -> Result<(Value, Vec<String>), Refusal> {
    let Some(custom) = served.custom() else { return Ok((object, strict)) };
    let meta_type = builtin().types().get("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta");
    if let (Some(ty), Some(metadata)) = (meta_type, object.get("metadata")) {
        let decoded = codec::decode(ty, metadata.clone()).map_err(|e| Refusal::bad_request(e.to_string()))?;
        strict.extend(decoded.strict.iter().map(|s| s.replacen("field \"", "field \"metadata.", 1)));
        object["metadata"] = decoded.value;
    }
    let shaped = custom.shape(object);
    if let Some(why) = shaped.malformed {
        let kind = &served.kind;
        let why = format!("{kind} in version {} cannot be handled as a {kind}: {why}", quote(&served.version));
        return Err(Refusal::bad_request(why));
    }
    strict.extend(shaped.unknown.iter().map(|path| format!("unknown field {}", quote(path))));
    Ok((shaped.object, strict))
}

/// The object of an update is the one that the path names.
pub(super) fn check_place(request: &Request<'_>, object: &mut Value) -> Result<(), Refusal> {
    let namespace = if request.served.namespaced { request.target.namespace.as_str() } else { "" };
    meta::ensure_namespace(object, namespace)?;
    let name = object["metadata"]["name"].as_str().unwrap_or_default();
    let expected = request.target.name.as_str();
    if name.is_empty() {
        let message = format!("the name of the object ({expected} based on URL) was undeterminable: name must be provided");
        return Err(Refusal::bad_request(message));
    }
    if name != expected {
        let message = format!("the name of the object ({name}) does not match the name on the URL ({expected})");
        return Err(Refusal::bad_request(message));
    }
    Ok(())
}

/// `DeleteOptions` from a body.
pub(super) fn delete_options(request: &Request<'_>) -> Result<Value, Refusal> {
    let ty = builtin().types().get("io.k8s.apimachinery.pkg.apis.meta.v1.DeleteOptions");
    let expected = Expected { group: "", version: "v1", kind: "DeleteOptions", ty, custom: None };
    // These errors have no status of their own in the API server.
    let wrong = |why: String| Refusal::new(500, "", why);
    let (document, _) = match request.content_type() {
        "" | JSON | "*/*" => {
            let unparsed = |e| wrong(format!("couldn't get version/kind; json parse error: {e}"));
            (parse(&request.body).map_err(unparsed)?, None)
        }
        PROTOBUF => {
            let object = crate::proto::decode(&request.body, ("v1", expected.kind)).map_err(|e| wrong(e.to_string()))?;
            (object.into(), None)
        }
        _ => document(request, &expected)?,
    };
    let (kind, given) = (text(&document, "kind").map_err(wrong)?, text(&document, "apiVersion").map_err(wrong)?);
    if !["", "DeleteOptions"].contains(&kind) {
        let version = if given.is_empty() { "v1" } else { given };
        return Err(wrong(format!(
            "no kind {} is registered for version {} in scheme {}",
            quote(kind),
            quote(version),
            quote(SCHEME)
        )));
    }
    let Some(ty) = ty else { return Err(Refusal::internal("DeleteOptions has no schema")) };
    codec::decode_document(ty, &document).map(|d| d.value).map_err(|e| wrong(e.to_string()))
}

/// `DeleteOptions` from a query.
pub(super) fn delete_options_of(query: &Query) -> Result<Value, Refusal> {
    let mut options = json!({});
    if let Some(grace) = query.text("gracePeriodSeconds") {
        let grace: i64 = grace
            .parse()
            .map_err(|_| Refusal::bad_request(format!("strconv.ParseInt: parsing {}: invalid syntax", quote(grace))))?;
        options["gracePeriodSeconds"] = grace.into();
    }
    if query.text("orphanDependents").is_some() {
        options["orphanDependents"] = query.flag("orphanDependents").into();
    }
    if let Some(policy) = query.text("propagationPolicy") {
        options["propagationPolicy"] = policy.into();
    }
    if query.get("dryRun").is_some() {
        options["dryRun"] = json!(query.all("dryRun"));
    }
    Ok(options)
}

/// The four kinds of patches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Json,
    Merge,
    Strategic,
    Apply,
}

/// A patch, as the request carries it.
pub(super) struct Patch<'r> {
    kind: Kind,
    body: &'r [u8],
}

impl<'r> Patch<'r> {
    /// From a request's body.
    pub(super) fn of(request: &'r Request<'_>) -> Result<Self, Refusal> {
        let custom = request.served.is_custom();
        let kind = match request.content_type() {
            "application/json-patch+json" => Kind::Json,
            "application/merge-patch+json" => Kind::Merge,
            "application/strategic-merge-patch+json" if !custom => Kind::Strategic,
            "application/apply-patch+yaml" => Kind::Apply,
            _ if custom => {
                let message = "the body of the request was in an unknown format - accepted media types include: \
                               application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
                return Err(Refusal::new(415, "UnsupportedMediaType", message));
            }
            _ => {
                let refusal = Refusal::new(415, "UnsupportedMediaType", "415: Unsupported Media Type");
                return Err(refusal.with_details(json!({})));
            }
        };
        Ok(Self { kind, body: &request.body })
    }

    pub(super) fn is_apply(&self) -> bool {
        self.kind == Kind::Apply
    }

    /// The present object with the patch applied, decoded, with defaults and managed fields.
    pub(super) fn patched(&self, request: &Request<'_>, call: &Call<'_>, live: &Value) -> Result<Value, Refusal> {
        let served = request.served;
        let builtin = served.ty().filter(|_| !served.is_custom());
        let mut object = match self.kind {
            Kind::Apply => {
                let applied = Configuration::read(self.body)?;
                let manager = served.managed(call.subresource);
                let now = call.cluster.now();
                let object = manager.apply(live, &applied.value, &call.options.manager, call.options.force, &now)?;
                call.warn(applied.check(strictness(call))?);
                let wrong = |why: String| Refusal::new(500, "", why);
                match builtin {
                    Some(ty) => codec::decode(ty, object).map_err(|e| wrong(e.to_string()))?.value,
                    // What the schema does not know is dropped without a word.
                    None => shaped(served, object, Vec::new())?.0,
                }
            }
            _ => {
                let patched = merge::patch(self.way(), builtin, live, self.body, strictness(call))?;
                match builtin {
                    // Decoded already.
                    Some(_) => {
                        call.warn(patched.strict);
                        patched.value
                    }
                    None => decoded(call, served, patched.value.clone(), patched.strict.clone(), &|why| patched.refusal(&why))?,
                }
            }
        };
        if let Some(uid) = object["metadata"]["uid"].as_str().filter(|uid| live.is_null() && !uid.is_empty()) {
            let why = format!("uid mismatch: the provided object specified uid {uid}, and no existing object was found");
            return Err(Refusal::conflict(&served.group, &served.resource, call.name, &why));
        }
        object["kind"] = served.kind.clone().into();
        object["apiVersion"] = served.api_version().into();
        served.default(&mut object);
        Ok(if self.is_apply() { object } else { served.own(live, object, call) })
    }

    /// The same for a Scale, whose fields have a manager of their own.
    pub(super) fn patched_scale(
        &self,
        call: &Call<'_>,
        scale: &Value,
        manager: &merge::apply::Manager<'_>,
    ) -> Result<Value, Refusal> {
        let Some(ty) = builtin().type_of("autoscaling", "v1", "Scale") else {
            return Err(Refusal::internal("Scale has no schema"));
        };
        let value = match self.kind {
            Kind::Apply => {
                let applied = Configuration::read(self.body)?;
                manager.apply(scale, &applied.value, &call.options.manager, call.options.force, &call.cluster.now())?
            }
            _ => merge::patch(self.way(), Some(ty), scale, self.body, strictness(call))?.value,
        };
        codec::decode(ty, value).map(|d| d.value).map_err(|e| Refusal::bad_request(e.to_string()))
    }

    fn way(&self) -> merge::Patch {
        match self.kind {
            Kind::Json => merge::Patch::Json,
            Kind::Strategic => merge::Patch::Strategic,
            Kind::Merge | Kind::Apply => merge::Patch::Merge,
        }
    }
}

/// A patched custom resource in its type; `refuse` words what does not fit.
fn decoded(
    call: &Call<'_>,
    served: &Served,
    object: Value,
    strict: Vec<String>,
    refuse: &dyn Fn(String) -> Refusal,
) -> Result<Value, Refusal> {
    let (value, strict) = shaped(served, object, strict)?;
    match call.options.validation {
        Validation::Strict if !strict.is_empty() => Err(refuse(format!("strict decoding error: {}", strict.join(", ")))),
        Validation::Warn => {
            call.warn(strict);
            Ok(value)
        }
        _ => Ok(value),
    }
}

fn strictness(call: &Call<'_>) -> merge::Strictness {
    match call.options.validation {
        Validation::Ignore => merge::Strictness::Ignore,
        Validation::Warn => merge::Strictness::Warn,
        Validation::Strict => merge::Strictness::Strict,
    }
}
