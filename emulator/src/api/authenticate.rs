//! Who asks: by certificate or token, or as someone else.

use http::HeaderMap;
use http::header::AUTHORIZATION;

use super::answer::{self, Answer};
use super::request::percent_decoded;
use crate::access::rbac::Action;
use crate::access::{AUTHENTICATED, UNAUTHENTICATED, User, tokens};
use crate::cluster::Cluster;
use crate::field::quote;
use crate::status::Refusal;

/// 401 for everyone who is not known: K3s serves nothing to anonymous clients.
pub(super) fn authenticate(cluster: &Cluster, certificate: Option<&User>, headers: &HeaderMap) -> Result<User, Refusal> {
    if let Some(user) = certificate {
        return Ok(user.clone());
    }
    let unauthorized = || Refusal::new(401, "Unauthorized", "Unauthorized");
    let header = headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok()).ok_or_else(unauthorized)?;
    let (scheme, token) = header.split_once(' ').ok_or_else(unauthorized)?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(unauthorized());
    }
    bearer(cluster, token.trim(), &tokens::AUDIENCES).map(|(user, _)| user).map_err(|_| unauthorized())
}

/// Whose token it is, and for which of the audiences. The error is what a TokenReview says.
pub(super) fn bearer<'a>(cluster: &Cluster, token: &str, audiences: &[&'a str]) -> Result<(User, Vec<&'a str>), String> {
    let claims = tokens::verify(&cluster.authority.tokens, token, audiences, cluster.clock().as_second())?;
    let has = |resource: &str, name: &str, uid: &str| {
        let namespace = if resource == "nodes" { "" } else { claims.namespace() };
        let object = cluster.object("", resource, namespace, name);
        object.is_some_and(|o| o["metadata"]["uid"] == uid)
    };
    let (name, uid) = claims.account();
    if !has("serviceaccounts", name, uid) {
        return Err("[invalid bearer token, service account token has been invalidated]".into());
    }
    if claims.bound().is_some_and(|(resource, name, uid)| !has(resource, name, uid)) {
        return Err("[invalid bearer token, service account token has been invalidated]".into());
    }
    Ok((claims.user(), claims.audiences(audiences)))
}

/// The user that the request is made as (`Impersonate-User` and its kin), if the asker may.
pub(super) fn impersonate(cluster: &Cluster, user: User, headers: &HeaderMap, path: &str) -> Result<User, Box<Answer>> {
    // One that cannot be read must not leave the request with the asker's own rights.
    if headers.iter().any(|(name, value)| name.as_str().starts_with("impersonate-") && value.to_str().is_err()) {
        return Err(Box::new(Refusal::bad_request("an Impersonate header cannot be read").into()));
    }
    let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).unwrap_or_default().to_owned();
    let name = text("impersonate-user");
    let groups: Vec<String> =
        headers.get_all("impersonate-group").iter().filter_map(|v| v.to_str().ok()).map(str::to_owned).collect();
    let uid = text("impersonate-uid");
    let mut extra = std::collections::BTreeMap::<String, Vec<String>>::new();
    for (header, value) in headers {
        if let Some(key) = header.as_str().strip_prefix("impersonate-extra-")
            && let Ok(value) = value.to_str()
        {
            let key = percent_decoded(key).map_or_else(|| key.to_owned(), |k| k.to_ascii_lowercase());
            extra.entry(key).or_default().push(value.to_owned());
        }
    }
    if name.is_empty() {
        if groups.is_empty() && uid.is_empty() && extra.is_empty() {
            return Ok(user);
        }
        // Go prints the object references that the headers stand for.
        let mut references: Vec<String> = groups.iter().map(|group| format!("{{Group  {group}    }}")).collect();
        for (key, values) in &extra {
            references.extend(values.iter().map(|value| format!("{{UserExtra  {value}  authentication.k8s.io/v1  {key}}}")));
        }
        if !uid.is_empty() {
            references.push(format!("{{UID  {uid}  authentication.k8s.io/v1  }}"));
        }
        let why = format!("requested [{}] without impersonating a user", references.join(" "));
        return Err(Box::new(answer::text(500, &format!("Internal Server Error: {}: {why}", quote(path)))));
    }
    let may = |group: &str, resource: &str, subresource: &str, namespace: &str, name: &str| {
        let action = Action {
            verb: "impersonate".into(),
            group: group.into(),
            resource: resource.into(),
            subresource: subresource.into(),
            namespace: namespace.into(),
            name: name.into(),
            path: String::new(),
        };
        cluster.authorize(&user, &action).map_err(|refusal| Box::new(Answer::from(refusal)))
    };
    let authentication = "authentication.k8s.io";
    let mut impersonated = User { name: name.clone(), uid, groups, extra };
    match impersonated.service_account() {
        Some((namespace, account)) => {
            may("", "serviceaccounts", "", namespace, account)?;
            if impersonated.groups.is_empty() {
                let of_namespace = format!("system:serviceaccounts:{namespace}");
                impersonated.groups = vec!["system:serviceaccounts".into(), of_namespace];
            }
        }
        None => may("", "users", "", "", &name)?,
    }
    for group in &impersonated.groups {
        if !group.starts_with("system:serviceaccounts") || headers.contains_key("impersonate-group") {
            may("", "groups", "", "", group)?;
        }
    }
    for (key, values) in &impersonated.extra {
        for value in values {
            may(authentication, "userextras", key, "", value)?;
        }
    }
    if !impersonated.uid.is_empty() {
        may(authentication, "uids", "", "", &impersonated.uid)?;
    }
    let known = |group: &str| impersonated.groups.iter().any(|g| g == group);
    if !known(AUTHENTICATED) && !known(UNAUTHENTICATED) {
        let group = if impersonated.name == "system:anonymous" { UNAUTHENTICATED } else { AUTHENTICATED };
        impersonated.groups.push(group.to_owned());
    }
    Ok(impersonated)
}
