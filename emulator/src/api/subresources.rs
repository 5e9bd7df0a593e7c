//! The subresources that are not `status`: scale, eviction, binding, tokens, a namespace's end.

use serde_json::{Value, json};

use super::answer::Answer;
use super::options::{Write, WriteOptions};
use super::resources::Request;
use super::{body, no_such_method, pods};
use crate::access::tokens;
use crate::field::Errors;
use crate::kinds::core::namespace::validate_finalize;
use crate::kinds::meta::Part;
use crate::kinds::{eviction, scale};
use crate::merge::apply::{Manager, Scaling, manager_name};
use crate::schema::table::builtin;
use crate::status::Refusal;
use crate::verbs::{Call, DeleteOptions};

/// Answers a request about a subresource that the resource has.
pub(super) fn answer(request: &Request<'_>, verb: &str) -> Answer {
    let write = match verb {
        "create" => Write::Create,
        "patch" if request.content_type() == "application/apply-patch+yaml" => Write::Apply,
        "patch" => Write::Patch,
        _ => Write::Update,
    };
    let options = match WriteOptions::of(request.query(), write) {
        Ok(options) => options,
        Err(refusal) => return refusal.into(),
    };
    let call = request.call(options);
    let done = match (request.served.resource.as_str(), request.target.subresource.as_str(), verb) {
        (_, "scale", "get") => get_scale(request),
        (_, "scale", "update") => update_scale(request, &call),
        (_, "scale", "patch") => patch_scale(request, &call),
        ("pods", "eviction", "create") => evict(request, &call),
        ("pods", "binding", "create") => bind(request, &call),
        ("serviceaccounts", "token", "create") => token(request, &call),
        ("namespaces", "finalize", "update") => finalize(request, &call),
        (_, "ephemeralcontainers" | "resize" | "approval", "get") => whole(request),
        (_, "ephemeralcontainers" | "resize" | "approval", "update" | "patch") => through(request, &call, verb),
        // What runs is the node's.
        ("pods", "log" | "exec" | "attach" | "portforward", _) => pods::answer(request),
        _ => Err(no_such_method()),
    };
    request.told(&call, done)
}

pub(super) fn present(request: &Request<'_>) -> Result<Value, Refusal> {
    let Request { cluster, served, target, .. } = request;
    let absent = || Refusal::not_found(&served.group, &served.resource, &target.name);
    served.fetch(cluster, &target.namespace, &target.name).ok_or_else(absent)
}

fn whole(request: &Request<'_>) -> Result<Answer, Refusal> {
    Ok(request.object(200, &present(request)?))
}

/// A subresource that is the whole object, of which a write changes a part.
fn through(request: &Request<'_>, call: &Call<'_>, verb: &str) -> Result<Answer, Refusal> {
    let subresource = request.target.subresource.as_str();
    let part = match subresource {
        "ephemeralcontainers" => Part::EphemeralContainers,
        "resize" => Part::Resize,
        _ => Part::Approval,
    };
    let (object, _) = if verb == "patch" {
        let patch = body::Patch::of(request)?;
        call.update(part, false, &|live| {
            let mut object = patch.patched(request, call, live)?;
            body::check_place(request, &mut object)?;
            Ok(object)
        })?
    } else {
        let mut object = body::object(request, call)?;
        body::check_place(request, &mut object)?;
        call.update(part, false, &|live| Ok(request.served.own(live, object.clone(), call)))?
    };
    Ok(request.object(200, &object))
}

/// The Scale of an object, in autoscaling/v1.
fn scale_of(request: &Request<'_>, object: &Value) -> Result<Value, Refusal> {
    match request.served.custom() {
        Some(custom) => custom.get_scale(object),
        None => scale::scale_of(&request.served.group, &request.served.resource, object),
    }
}

fn get_scale(request: &Request<'_>) -> Result<Answer, Refusal> {
    let object = present(request)?;
    Ok(request.object(200, &scale_of(request, &object)?))
}

/// The object with what a Scale says, once `change` has made that from the present one. The replicas' owner becomes the
/// object's: that of the Scale is its own for the time between.
fn scaled(
    request: &Request<'_>,
    live: &Value,
    change: &dyn Fn(&Value, &Manager<'_>) -> Result<Value, Refusal>,
) -> Result<Value, Refusal> {
    let served = request.served;
    let replicas = served.replicas().unwrap_or_default();
    let scaling = Scaling { api_version: served.api_version(), replicas: &replicas, others: &[] };
    let mut present = scale_of(request, live)?;
    scaling.lend(live, &mut present);
    let empty = json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": {}, "spec": {}, "status": {"replicas": 0}});
    let manager = Manager {
        ty: builtin().type_of("autoscaling", "v1", "Scale"),
        metadata: None,
        api_version: "autoscaling/v1",
        kind: "Scale",
        subresource: "scale",
        empty: &empty,
        reset: &[],
        versions: None,
    };
    let next = change(&present, &manager)?;
    let text = |scale: &Value, key: &str| scale["metadata"][key].as_str().unwrap_or_default().to_owned();
    let (uid, live_uid) = (text(&next, "uid"), text(&present, "uid"));
    if !uid.is_empty() && uid != live_uid {
        return Err(served.other_uid(&request.target.namespace, &request.target.name, &uid, &live_uid));
    }
    let mut object = match served.custom() {
        Some(custom) => custom.set_scale(live, &next)?,
        None => scale::with_scale(live, &next)?,
    };
    scaling.give_back(&mut object, &next);
    Ok(object)
}

fn update_scale(request: &Request<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let mut scale = body::other(request, call, "autoscaling", "v1", "Scale")?;
    body::check_place(request, &mut scale)?;
    store_scale(request, call, &|present, manager| Ok(owned(manager, call, present, scale.clone())))
}

fn patch_scale(request: &Request<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let patch = body::Patch::of(request)?;
    store_scale(request, call, &|present, manager| {
        let mut scale = patch.patched_scale(call, present, manager)?;
        body::check_place(request, &mut scale)?;
        Ok(if patch.is_apply() { scale } else { owned(manager, call, present, scale) })
    })
}

fn owned(manager: &Manager<'_>, call: &Call<'_>, present: &Value, scale: Value) -> Value {
    let name = manager_name(&call.options.manager, call.agent);
    manager.update(present, scale, &name, &call.cluster.now())
}

fn store_scale(
    request: &Request<'_>,
    call: &Call<'_>,
    change: &dyn Fn(&Value, &Manager<'_>) -> Result<Value, Refusal>,
) -> Result<Answer, Refusal> {
    let (object, _) = call.update(Part::Whole, false, &|live| scaled(request, live, change))?;
    Ok(request.object(200, &scale_of(request, &object)?))
}

fn done(code: u16) -> Value {
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": code})
}

fn evict(request: &Request<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let Request { cluster, target, .. } = request;
    let eviction = body::other(request, call, "policy", "v1", "Eviction")?;
    let name = eviction["metadata"]["name"].as_str().unwrap_or_default();
    if name != target.name {
        return Err(Refusal::bad_request("name in URL does not match name in Eviction object"));
    }
    let options = DeleteOptions::of(&eviction["deleteOptions"])?;
    let pod = present(request)?;
    let budget = eviction::charge(&pod, cluster.as_ref(), &cluster.now())?;
    if call.options.dry_run || options.dry_run {
        return Ok(request.object(201, &done(201)));
    }
    if let Some(budget) = budget {
        cluster.put("policy", "poddisruptionbudgets", &budget)?;
        call.update(Part::Binding, false, &|live| {
            let mut marked = live.clone();
            eviction::mark(&mut marked, &cluster.now());
            Ok(marked)
        })?;
    }
    call.delete(&options)?;
    Ok(request.object(201, &done(201)))
}

fn bind(request: &Request<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let binding = body::other(request, call, "", "v1", "Binding")?;
    let now = request.cluster.now();
    call.update(Part::Binding, false, &|live| crate::kinds::pod::bind(live, &binding, &now))?;
    Ok(request.object(201, &done(201)))
}

fn token(request: &Request<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let Request { cluster, target, .. } = request;
    let account = present(request)?;
    let mut answer = body::other(request, call, "authentication.k8s.io", "v1", "TokenRequest")?;
    crate::kinds::token::default(&mut answer);
    // What is filled in below is nobody's.
    let mut answer = owned_request(&answer, call);
    tokens::issue(cluster, &account, &mut answer)?;
    answer["metadata"]["name"] = target.name.clone().into();
    answer["metadata"]["namespace"] = target.namespace.clone().into();
    answer["metadata"]["creationTimestamp"] = cluster.now().into();
    Ok(request.object(201, &answer))
}

/// A request for a token says who sent it, as any object does.
fn owned_request(request: &Value, call: &Call<'_>) -> Value {
    let empty = json!({
        "kind": "TokenRequest",
        "apiVersion": "authentication.k8s.io/v1",
        "spec": {"audiences": null, "expirationSeconds": null, "boundObjectRef": null},
    });
    let manager = Manager {
        ty: builtin().type_of("authentication.k8s.io", "v1", "TokenRequest"),
        metadata: None,
        api_version: "authentication.k8s.io/v1",
        kind: "TokenRequest",
        subresource: "token",
        empty: &empty,
        reset: &["status"],
        versions: None,
    };
    owned(&manager, call, &Value::Null, request.clone())
}

/// The end of a namespace, which its controller announces this way.
fn finalize(request: &Request<'_>, call: &Call<'_>) -> Result<Answer, Refusal> {
    let mut object = body::object(request, call)?;
    body::check_place(request, &mut object)?;
    let (object, _) = call.update(Part::Finalize, false, &|live| {
        let mut next = object.clone();
        next["status"] = live["status"].clone();
        let mut errors = Errors::new();
        validate_finalize(&next, &mut errors);
        if !errors.is_empty() {
            return Err(Refusal::invalid("", "Namespace", &request.target.name, &errors));
        }
        Ok(request.served.own(live, next, call))
    })?;
    Ok(request.object(200, &object))
}

/// A binding by way of the collection `bindings`.
pub(super) fn bindings(request: &Request<'_>) -> Answer {
    let options = match WriteOptions::of(request.query(), Write::Create) {
        Ok(options) => options,
        Err(refusal) => return refusal.into(),
    };
    let asked = request.call(options);
    let done = body::other(request, &asked, "", "v1", "Binding").and_then(|binding| {
        let registry = request.cluster.registry();
        let pods = registry.get("", "v1", "pods").ok_or_else(super::no_such_resource)?;
        let name = binding["metadata"]["name"].as_str().unwrap_or_default();
        let (served, options) = (pods.as_ref(), asked.options.clone());
        let call = Call { served, name, subresource: "binding", options, warnings: std::cell::RefCell::default(), ..asked };
        let now = request.cluster.now();
        call.update(Part::Binding, false, &|live| crate::kinds::pod::bind(live, &binding, &now))?;
        Ok(request.object(201, &done(201)))
    });
    done.unwrap_or_else(Answer::from)
}
