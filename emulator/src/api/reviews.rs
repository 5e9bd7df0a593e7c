//! Reviews: questions about access, asked by creating an object that is answered and never stored.

use serde_json::{Value, json};

use super::answer::Answer;
use super::authenticate::bearer;
use super::body;
use super::options::{Write, WriteOptions};
use super::resources::Request;
use crate::access::rbac::{Action, Rule};
use crate::access::{User, tokens};
use crate::field::{Errors, Path};
use crate::registry::Served;
use crate::status::Refusal;

/// Whether objects of the resource are questions.
pub(super) fn is_review(served: &Served) -> bool {
    served.resource.ends_with("reviews") && ["authorization.k8s.io", "authentication.k8s.io"].contains(&served.group.as_str())
}

pub(super) fn answer(request: &Request<'_>) -> Result<Answer, Refusal> {
    let options = WriteOptions::of(request.query(), Write::Create)?;
    let call = request.call(options);
    let done =
        body::object(request, &call).map(|review| request.served.own(&Value::Null, review, &call)).and_then(|mut review| {
            review["status"] = match request.served.resource.as_str() {
                "subjectaccessreviews" | "localsubjectaccessreviews" => subject(request, &review)?,
                "selfsubjectaccessreviews" => own(request, &review)?,
                "selfsubjectrulesreviews" => {
                    let rules = rules(request, &review)?;
                    // The question is not repeated.
                    review["spec"] = json!({});
                    review["metadata"] = json!({});
                    rules
                }
                "tokenreviews" => token(request, &review)?,
                "selfsubjectreviews" => {
                    review["metadata"]["creationTimestamp"] = request.cluster.now().into();
                    json!({"userInfo": request.asked.user.to_json()})
                }
                _ => return Err(super::no_such_resource()),
            };
            Ok(request.object(201, &review))
        });
    Ok(request.told(&call, done))
}

fn invalid(request: &Request<'_>, errors: &Errors) -> Refusal {
    // The API server names no kind.
    Refusal::invalid(&request.served.group, "", "", errors)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

/// What a review asks about.
fn action(spec: &Value) -> Action {
    let resource = &spec["resourceAttributes"];
    if resource.is_object() {
        return Action {
            verb: text(&resource["verb"]),
            group: text(&resource["group"]),
            resource: text(&resource["resource"]),
            subresource: text(&resource["subresource"]),
            namespace: text(&resource["namespace"]),
            name: text(&resource["name"]),
            path: String::new(),
        };
    }
    let path = &spec["nonResourceAttributes"];
    Action { verb: text(&path["verb"]), path: text(&path["path"]), ..Action::default() }
}

fn check(review: &Value, errors: &mut Errors) {
    let spec = &review["spec"];
    let path = Path::new("spec");
    match (spec["resourceAttributes"].is_object(), spec["nonResourceAttributes"].is_object()) {
        (true, true) => errors.invalid(
            &path.child("nonResourceAttributes"),
            path_attributes(spec),
            "cannot be specified in combination with resourceAttributes",
        ),
        (false, false) => errors.invalid(
            &path.child("resourceAttributes"),
            Value::Null,
            "exactly one of nonResourceAttributes or resourceAttributes must be specified",
        ),
        _ => {}
    }
    let labels = &spec["resourceAttributes"]["labelSelector"];
    if !text(&labels["rawSelector"]).is_empty() && labels["requirements"].as_array().is_some_and(|r| !r.is_empty()) {
        let path = path.child("resourceAttributes").child("labelSelector").child("rawSelector");
        errors.invalid(&path, text(&labels["rawSelector"]), "may not specified at the same time as requirements");
    }
}

/// As the API server's internal type shows them.
fn path_attributes(spec: &Value) -> Value {
    let attributes = &spec["nonResourceAttributes"];
    json!({"Path": text(&attributes["path"]), "Verb": text(&attributes["verb"])})
}

fn decision(request: &Request<'_>, user: &User, action: &Action) -> Value {
    let reason = request.cluster.allows(user, action);
    let mut status = json!({"allowed": reason.is_some()});
    if let Some(reason) = reason.filter(|r| !r.is_empty()) {
        status["reason"] = reason.into();
    }
    status
}

fn subject(request: &Request<'_>, review: &Value) -> Result<Value, Refusal> {
    let spec = &review["spec"];
    let mut errors = Errors::new();
    check(review, &mut errors);
    let groups = spec["groups"].as_array().cloned().unwrap_or_default();
    if text(&spec["user"]).is_empty() && groups.is_empty() {
        errors.invalid(&Path::new("spec").child("user"), text(&spec["user"]), "at least one of user or group must be specified");
    }
    if request.served.namespaced {
        if spec["nonResourceAttributes"].is_object() {
            let why = "disallowed on this kind of request";
            errors.invalid(&Path::new("spec").child("nonResourceAttributes"), path_attributes(spec), why);
        }
        let asked = &spec["resourceAttributes"];
        if asked.is_object() && text(&asked["namespace"]) != request.target.namespace {
            errors.invalid(
                &Path::new("spec").child("resourceAttributes").child("namespace"),
                text(&asked["namespace"]),
                "must match metadata.namespace",
            );
        }
    }
    if !errors.is_empty() {
        return Err(invalid(request, &errors));
    }
    let extra = spec["extra"].as_object().cloned().unwrap_or_default();
    let user = User {
        name: text(&spec["user"]),
        uid: text(&spec["uid"]),
        groups: groups.iter().map(text).collect(),
        extra: extra.into_iter().map(|(k, v)| (k, v.as_array().into_iter().flatten().map(text).collect())).collect(),
    };
    Ok(decision(request, &user, &action(spec)))
}

fn own(request: &Request<'_>, review: &Value) -> Result<Value, Refusal> {
    let mut errors = Errors::new();
    check(review, &mut errors);
    if !errors.is_empty() {
        return Err(invalid(request, &errors));
    }
    Ok(decision(request, &request.asked.user, &action(&review["spec"])))
}

fn rules(request: &Request<'_>, review: &Value) -> Result<Value, Refusal> {
    let namespace = text(&review["spec"]["namespace"]);
    if namespace.is_empty() {
        return Err(Refusal::bad_request("no namespace on request"));
    }
    let all = request.cluster.rules(&request.asked.user, &namespace);
    let of = |wanted: fn(&Rule) -> bool| all.iter().filter(|r| wanted(r)).map(Rule::to_json).collect::<Vec<_>>();
    Ok(json!({
        "resourceRules": of(|r| !r.resources.is_empty()),
        "nonResourceRules": of(|r| !r.non_resource_urls.is_empty()),
        "incomplete": false,
    }))
}

fn token(request: &Request<'_>, review: &Value) -> Result<Value, Refusal> {
    let spec = &review["spec"];
    let given = text(&spec["token"]);
    if given.is_empty() {
        return Err(Refusal::bad_request("token is required for TokenReview in authentication"));
    }
    let wanted: Vec<String> = spec["audiences"].as_array().into_iter().flatten().map(text).collect();
    let wanted: Vec<&str> =
        if wanted.is_empty() { tokens::AUDIENCES.to_vec() } else { wanted.iter().map(String::as_str).collect() };
    Ok(match bearer(request.cluster, &given, &wanted) {
        Ok((user, audiences)) => json!({"authenticated": true, "user": user.to_json(), "audiences": audiences}),
        Err(why) => json!({"user": {}, "error": why}),
    })
}
