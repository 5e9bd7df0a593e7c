//! Requests about resources: which verb of which resource, with what body, and the answer.

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::negotiate::{Offer, Wanted, negotiate};
use super::options::{ListOptions, Write, WriteOptions};
use super::request::{Query, Target, verb};
use super::{Asked, body, no_such_method, no_such_resource, nowhere, proxy, respond, reviews, subresources, watch};
use crate::cluster::Cluster;
use crate::field::quote;
use crate::kinds::meta::Part;
use crate::kinds::names;
use crate::registry::Served;
use crate::status::Refusal;
use crate::verbs::list::{Selection, list};
use crate::verbs::{Call, DeleteOptions};

/// The most that a body may have: 3 MiB, as the API server's `MaxRequestBodyBytes`.
const MOST: usize = 3 * 1024 * 1024;

/// How long a client may take for a body (the API server's `--request-timeout`).
const PATIENCE: Duration = Duration::from_secs(60);

/// A request about a served resource.
pub(super) struct Request<'a> {
    pub(super) cluster: &'a Arc<Cluster>,
    pub(super) asked: &'a Asked,
    pub(super) target: &'a Target,
    pub(super) served: &'a Arc<Served>,
    pub(super) wanted: Wanted,
    pub(super) body: Vec<u8>,
}

impl Request<'_> {
    pub(super) fn query(&self) -> &Query {
        &self.asked.query
    }

    /// The `Content-Type` without its parameters.
    pub(super) fn content_type(&self) -> &str {
        let header = self.asked.parts.headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
        header.split(';').next().unwrap_or_default().trim()
    }

    /// Whether there is a `Content-Type` that names none.
    pub(super) fn has_odd_content_type(&self) -> bool {
        let header = self.asked.parts.headers.get(CONTENT_TYPE);
        header.is_some_and(|v| !v.is_empty()) && self.content_type().is_empty()
    }

    /// The call that a write is.
    pub(super) fn call(&self, options: WriteOptions) -> Call<'_> {
        Call {
            cluster: self.cluster,
            served: self.served,
            user: &self.asked.user,
            namespace: &self.target.namespace,
            name: &self.target.name,
            subresource: &self.target.subresource,
            options,
            uid_is_condition: self.asked.parts.method == Method::PUT,
            agent: self.asked.agent(),
            warnings: RefCell::default(),
        }
    }

    /// One object as the answer.
    pub(super) fn object(&self, code: u16, object: &Value) -> Answer {
        respond::object(self.cluster, self.served, &self.target.subresource, self.query(), code, self.wanted, object)
    }

    /// The same, with what the client is to be told beside it.
    pub(super) fn told(&self, call: &Call<'_>, done: Result<Answer, Refusal>) -> Answer {
        let mut answer = done.unwrap_or_else(Answer::from);
        answer::warn(answer.headers_mut(), &call.warnings.borrow());
        answer
    }
}

/// Answers a request about a resource.
pub(super) async fn answer(cluster: &Arc<Cluster>, asked: &Asked, target: &Target, body: Incoming) -> Result<Answer, Answer> {
    let registry = cluster.registry();
    let Some(served) = registry.get(&target.group, &target.version, &target.resource) else {
        return Err(if registry.answers_for(&target.group) { no_such_resource().into() } else { nowhere() });
    };
    let deprecated: Vec<String> = served.deprecation().into_iter().collect();
    let mut answer = of_served(cluster, asked, target, served, body).await.unwrap_or_else(|answer| answer);
    // A method that it does not have is refused before anything is known of it.
    if answer.status() != http::StatusCode::METHOD_NOT_ALLOWED || asked.parts.method == Method::GET {
        answer::warn(answer.headers_mut(), &deprecated);
    }
    Ok(answer)
}

async fn of_served(
    cluster: &Arc<Cluster>,
    asked: &Asked,
    target: &Target,
    served: &Arc<Served>,
    body: Incoming,
) -> Result<Answer, Answer> {
    let collection_of_all = served.namespaced && target.namespace.is_empty() && !target.name.is_empty();
    if served.is_custom() && (collection_of_all || (!served.namespaced && !target.namespace.is_empty())) {
        // These are no resources to Go's router, and there is no other.
        return Err(nowhere());
    }
    if !target.namespace.is_empty() && !served.namespaced && !served.is("", "namespaces") {
        return Err(no_such_resource().into());
    }
    if !target.subresource.is_empty() && !served.subresources.contains_key(&target.subresource) {
        return Err(if served.is_custom() { served.not_found(&target.name) } else { no_such_resource() }.into());
    }
    if let Some(refusal) = served.custom().and_then(|custom| custom.unconvertible.clone()) {
        return Err(refusal.into());
    }
    let method = &asked.parts.method;
    if let Some(wrong) = names::path_segment(&target.name, false).first() {
        let message = format!("Name parameter invalid: {}: {wrong}", quote(&target.name));
        return Err(Refusal::bad_request(message).into());
    }
    if *method == Method::HEAD && target.subresource != "proxy" {
        return Err(no_such_method().into());
    }
    if reviews::is_review(served) && !target.name.is_empty() {
        return Err(no_such_resource().into());
    }
    let verb = verb(method, target, &asked.query);
    if verb == "watch" && served.allows("", "list") && !served.allows("", "watch") {
        return Err(Refusal::method_not_supported(&served.group, &served.resource, "watch").into());
    }
    // One object is made by its collection, and changed by its name.
    let misplaced = match verb {
        "create" => !target.name.is_empty() && target.subresource.is_empty(),
        "update" | "patch" => target.name.is_empty(),
        _ => false,
    };
    if misplaced && served.is_custom() && verb != "create" {
        return Err(Refusal::bad_request("name must be provided").into());
    }
    if misplaced || !served.allows(&target.subresource, verb) {
        return Err(no_such_method().into());
    }
    // What is in namespaces is changed in one.
    if served.namespaced && target.namespace.is_empty() && !["list", "watch"].contains(&verb) && !reviews::is_review(served) {
        return Err(no_such_method().into());
    }
    let offer = if served.is_custom() {
        Offer::Custom
    } else if served.is("", "pods") && target.subresource == "log" {
        Offer::Log
    } else {
        let collection = target.name.is_empty() && is_read(method);
        let printed = if target.subresource.is_empty() {
            served.resource.clone()
        } else {
            format!("{}/{}", served.resource, target.subresource)
        };
        Offer::BuiltIn {
            watchable: collection && served.allows("", "watch"),
            tables: crate::table::is_printable(&served.group, &printed),
        }
    };
    let wanted = negotiate(&asked.parts.headers, offer, verb == "watch")?;
    let body = read(body).await?;
    let request = Request { cluster, asked, target, served, wanted, body };
    if verb == "watch" {
        return Ok(watch::answer(&request)?);
    }
    if reviews::is_review(served) {
        return Ok(reviews::answer(&request)?);
    }
    if served.is("", "bindings") {
        return Ok(subresources::bindings(&request));
    }
    if target.subresource == "proxy" {
        return Ok(proxy::answer(&request).await?);
    }
    if !target.subresource.is_empty() && target.subresource != "status" {
        return Ok(subresources::answer(&request, verb));
    }
    Ok(match verb {
        "get" => get(&request)?,
        "list" => list_(&request)?,
        "create" => create(&request),
        "update" => update(&request),
        "patch" => patch(&request),
        "delete" => delete(&request),
        "deletecollection" => delete_collection(&request)?,
        _ => return Err(no_such_method().into()),
    })
}

async fn read(body: Incoming) -> Result<Vec<u8>, Answer> {
    let Ok(read) = tokio::time::timeout(PATIENCE, Limited::new(body, MOST).collect()).await else {
        let message = "Timeout: request did not complete within the allotted timeout";
        return Err(Refusal::new(504, "Timeout", message).with_details(json!({})).into());
    };
    match read {
        Ok(whole) => Ok(whole.to_bytes().into()),
        Err(error) if error.is::<LengthLimitError>() => {
            let message = format!("Request entity too large: limit is {MOST}");
            Err(Refusal::new(413, "RequestEntityTooLarge", message).into())
        }
        Err(error) => Err(Refusal::new(500, "", error.to_string()).into()),
    }
}

fn get(request: &Request<'_>) -> Result<Answer, Refusal> {
    let Request { cluster, served, target, .. } = request;
    crate::verbs::list::version(request.query().get("resourceVersion").unwrap_or_default())
        .map_err(|why| Refusal::new(500, "", why))
        .and_then(|version| match version {
            Some(wanted) if wanted > cluster.store.revision() => {
                Err(crate::verbs::list::too_large(wanted, cluster.store.revision()))
            }
            _ => Ok(()),
        })?;
    let object = served.fetch(cluster, &target.namespace, &target.name);
    let call = request.call(WriteOptions::default());
    let found = object.map(|object| request.object(200, &object)).ok_or_else(|| served.not_found(&target.name));
    Ok(request.told(&call, found))
}

fn list_(request: &Request<'_>) -> Result<Answer, Refusal> {
    let Request { cluster, served, target, .. } = request;
    let options = ListOptions::of(request.query(), false)?;
    let selection = Selection::of(served, &target.namespace, "", &options)?;
    let page = list(cluster, served, &selection, &options)?;
    let call = request.call(WriteOptions::default());
    let answer = respond::page(cluster, served, request.query(), request.wanted, &page);
    Ok(request.told(&call, Ok(answer)))
}

fn create(request: &Request<'_>) -> Answer {
    let options = match WriteOptions::of(request.query(), Write::Create) {
        Ok(options) => options,
        Err(refusal) => return refusal.into(),
    };
    let call = request.call(options);
    let done = body::object(request, &call).and_then(|object| call.create(object)).map(|object| request.object(201, &object));
    request.told(&call, done)
}

fn part(request: &Request<'_>) -> Part {
    if request.target.subresource == "status" { Part::Status } else { Part::Whole }
}

fn update(request: &Request<'_>) -> Answer {
    let options = match WriteOptions::of(request.query(), Write::Update) {
        Ok(options) => options,
        Err(refusal) => return refusal.into(),
    };
    let call = request.call(options);
    let done = body::object(request, &call).and_then(|mut object| {
        body::check_place(request, &mut object)?;
        call.deduplicate_owners(&mut object, false);
        let (object, created) = call.update(part(request), false, &|live| Ok(request.served.own(live, object.clone(), &call)))?;
        Ok(request.object(if created { 201 } else { 200 }, &object))
    });
    request.told(&call, done)
}

fn patch(request: &Request<'_>) -> Answer {
    let patch = match body::Patch::of(request) {
        Ok(patch) => patch,
        Err(refusal) => return refusal.into(),
    };
    let write = if patch.is_apply() { Write::Apply } else { Write::Patch };
    let options = match WriteOptions::of(request.query(), write) {
        Ok(options) => options,
        Err(refusal) => return refusal.into(),
    };
    let call = request.call(options);
    let change = |live: &Value| {
        let mut object = patch.patched(request, &call, live)?;
        body::check_place(request, &mut object)?;
        Ok(object)
    };
    let done = call.update(part(request), patch.is_apply(), &change);
    let done = done.map(|(object, created)| request.object(if created { 201 } else { 200 }, &object));
    request.told(&call, done)
}

fn delete_options(request: &Request<'_>) -> Result<DeleteOptions, Refusal> {
    let options =
        if request.body.is_empty() { body::delete_options_of(request.query())? } else { body::delete_options(request)? };
    DeleteOptions::of(&options)
}

fn delete(request: &Request<'_>) -> Answer {
    let call = request.call(WriteOptions::default());
    let served = request.served;
    let done = delete_options(request).and_then(|options| {
        warn_of_orphans(&call, &options);
        let (object, gone) = match call.delete(&options)? {
            crate::verbs::Deleted::Gone(object) => (object, true),
            crate::verbs::Deleted::Going(object) => (object, false),
        };
        let code = if !gone && options.orphan == Some(false) { 202 } else { 200 };
        if !gone || served.returns_deleted() {
            return Ok(request.object(code, &object));
        }
        Ok(request.object(code, &deleted_status(served, &object)))
    });
    request.told(&call, done)
}

/// Jobs leave their pods behind, which surprises people.
fn warn_of_orphans(call: &Call<'_>, options: &DeleteOptions) {
    if call.served.is("batch", "jobs") && options.orphan.is_none() && options.propagation.is_none() {
        call.warn(["child pods are preserved by default when jobs are deleted; set propagationPolicy=Background to remove \
                    them or set propagationPolicy=Orphan to suppress this warning"
            .to_owned()]);
    }
}

/// What a client is told of an object that is gone.
fn deleted_status(served: &Served, object: &Value) -> Value {
    let mut details = json!({
        "name": object["metadata"]["name"],
        "kind": served.resource,
        "uid": object["metadata"]["uid"],
    });
    if !served.group.is_empty() {
        details["group"] = served.group.clone().into();
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

fn delete_collection(request: &Request<'_>) -> Result<Answer, Refusal> {
    let Request { cluster, served, target, .. } = request;
    let options = ListOptions::of(request.query(), false)?;
    let selection = Selection::of(served, &target.namespace, "", &options)?;
    let delete = delete_options(request)?;
    let call = request.call(WriteOptions::default());
    warn_of_orphans(&call, &delete);
    let page = list(cluster, served, &selection, &options)?;
    call.delete_all(&page.objects, &delete)?;
    Ok(request.told(&call, Ok(respond::page(cluster, served, request.query(), request.wanted, &page))))
}

/// For what is the same for every method that has no body of its own.
pub(super) fn is_read(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}
