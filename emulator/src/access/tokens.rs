//! Service-account tokens: JSON Web Tokens signed by the cluster.
//!
//! They are signed with ECDSA (ES256) where K3s uses RSA: making an RSA key takes longer than everything else of a boot.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use rcgen::{KeyPair, PublicKeyData as _, SigningKey as _};
use ring::signature::{ECDSA_P256_SHA256_ASN1, UnparsedPublicKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::{AUTHENTICATED, User};
use crate::cluster::Cluster;
use crate::field::quote;
use crate::kinds::token::{self, Bound};
use crate::status::Refusal;

/// Who issues the tokens, and the first of those they are meant for.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// K3s's API server accepts tokens for these.
pub(crate) const AUDIENCES: [&str; 2] = [ISSUER, "k3s"];

/// What a token says, once its signature and times are right.
#[derive(Debug)]
pub(crate) struct Claims(Value);

/// A token that asks for this lifetime, as the tokens of pods do, and is for the API server itself, lives longer: clients of old that
/// never read theirs again are to be found out before they fail (`WarnOnlyBoundTokenExpirationSeconds`).
const EXTENDED: i64 = 3607;
const EXTENDED_TO: i64 = 365 * 24 * 60 * 60;

/// A token to be.
pub(crate) struct Request<'a> {
    pub(crate) namespace: &'a str,
    /// The service account's name and uid.
    pub(crate) account: (&'a str, &'a str),
    /// The object whose end ends the token.
    pub(crate) bound: Option<&'a Bound>,
    pub(crate) audiences: &'a [String],
    pub(crate) seconds: i64,
}

/// A token for a service account.
pub(crate) fn sign(key: &KeyPair, request: &Request<'_>, now: i64) -> Option<String> {
    let Request { namespace, account: (name, uid), bound, audiences, mut seconds } = *request;
    let mut private = json!({"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}});
    if let Some(bound) = bound {
        private[bound.kind.to_lowercase()] = json!({"name": bound.name, "uid": bound.uid});
        if let Some((name, uid)) = &bound.node {
            private["node"] = json!({"name": name});
            if !uid.is_empty() {
                private["node"]["uid"] = uid.clone().into();
            }
        }
        let is_for_api = audiences.iter().all(|audience| AUDIENCES.contains(&audience.as_str()));
        if bound.kind == "Pod" && seconds == EXTENDED && is_for_api {
            private["warnafter"] = (now + seconds).into();
            seconds = EXTENDED_TO;
        }
    }
    let claims = json!({
        "aud": audiences,
        "exp": now + seconds,
        "iat": now,
        "iss": ISSUER,
        "jti": uuid::Uuid::new_v4().to_string(),
        "kubernetes.io": private,
        "nbf": now,
        "sub": format!("system:serviceaccount:{namespace}:{name}"),
    });
    let header = json!({"alg": "ES256", "kid": key_id(key)});
    let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
    let signature = fixed(&key.sign(signed.as_bytes()).ok()?)?;
    Some(format!("{signed}.{}", BASE64.encode(signature)))
}

/// Answers a TokenRequest of an account: completes it, and gives it a status.
pub(crate) fn issue(cluster: &Cluster, account: &Value, request: &mut Value) -> Result<(), Refusal> {
    let bound = token::prepare(request, account, cluster)?;
    let given = request["spec"]["audiences"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let mut audiences: Vec<String> = given.map(str::to_owned).collect();
    if audiences.is_empty() {
        audiences = AUDIENCES.map(str::to_owned).to_vec();
        request["spec"]["audiences"] = json!(audiences);
    }
    let seconds = request["spec"]["expirationSeconds"].as_i64().unwrap_or(3600);
    let [namespace, name, uid] =
        ["namespace", "name", "uid"].map(|field| account["metadata"][field].as_str().unwrap_or_default());
    let asked = Request { namespace, account: (name, uid), bound: bound.as_ref(), audiences: &audiences, seconds };
    let now = cluster.clock();
    let token = sign(&cluster.authority.tokens, &asked, now.as_second());
    let end = now.checked_add(jiff::SignedDuration::from_secs(seconds)).unwrap_or(now);
    request["status"] = json!({
        "token": token.ok_or_else(|| Refusal::internal("the token could not be signed"))?,
        "expirationTimestamp": crate::cluster::time(end),
    });
    Ok(())
}

/// Names the key that signed a token.
pub(crate) fn key_id(key: &KeyPair) -> String {
    BASE64.encode(Sha256::digest(key.der_bytes()))
}

/// Checks a token's form, signature, issuer, audience and times. `Err` is what a review says of it.
pub(crate) fn verify(key: &KeyPair, token: &str, audiences: &[&str], now: i64) -> Result<Claims, String> {
    const BAD: &str = "invalid bearer token";
    let mut parts = token.split('.');
    let (Some(header), Some(payload), Some(signature), None) = (parts.next(), parts.next(), parts.next(), parts.next()) else {
        return Err(BAD.into());
    };
    let signature = BASE64.decode(signature).ok().and_then(|s| asn1(&s)).ok_or(BAD)?;
    let public = UnparsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, key.der_bytes());
    public.verify(format!("{header}.{payload}").as_bytes(), &signature).map_err(|_| BAD)?;
    let claims: Value = BASE64.decode(payload).ok().and_then(|p| serde_json::from_slice(&p).ok()).ok_or(BAD)?;
    if claims["iss"] != ISSUER {
        return Err(BAD.into());
    }
    if claims["exp"].as_i64().is_none_or(|exp| exp <= now) {
        return Err("[invalid bearer token, service account token has expired]".into());
    }
    let claims = Claims(claims);
    if claims.audiences(audiences).is_empty() {
        let list = |all: &[&str]| all.iter().map(|one| quote(one)).collect::<Vec<_>>().join(" ");
        let own: Vec<&str> = claims.0["aud"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let why = format!("token audiences [{}] is invalid for the target audiences [{}]", list(&own), list(audiences));
        return Err(format!("[invalid bearer token, {why}]"));
    }
    Ok(claims)
}

impl Claims {
    fn text(&self, pointer: &str) -> &str {
        self.0.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    /// Those of `wanted` that the token is for.
    pub(crate) fn audiences<'a>(&self, wanted: &[&'a str]) -> Vec<&'a str> {
        let has = |one: &str| self.0["aud"].as_array().is_some_and(|all| all.iter().any(|a| a == one));
        wanted.iter().copied().filter(|w| has(w)).collect()
    }

    pub(crate) fn namespace(&self) -> &str {
        self.text("/kubernetes.io/namespace")
    }

    /// The service account's name and uid.
    pub(crate) fn account(&self) -> (&str, &str) {
        (self.text("/kubernetes.io/serviceaccount/name"), self.text("/kubernetes.io/serviceaccount/uid"))
    }

    /// The resource (plural), name and uid of the object that the token is bound to.
    pub(crate) fn bound(&self) -> Option<(&'static str, &str, &str)> {
        for (kind, resource) in [("pod", "pods"), ("secret", "secrets"), ("node", "nodes")] {
            if let Some(bound) = self.0["kubernetes.io"].get(kind) {
                return Some((resource, bound["name"].as_str()?, bound["uid"].as_str()?));
            }
        }
        None
    }

    /// Who the bearer is.
    pub(crate) fn user(&self) -> User {
        let namespace = self.namespace();
        let (name, uid) = self.account();
        let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}"), AUTHENTICATED];
        let mut user = User {
            name: format!("system:serviceaccount:{namespace}:{name}"),
            uid: uid.to_owned(),
            groups: groups.map(str::to_owned).to_vec(),
            ..User::default()
        };
        let mut extra = |key: &str, value: String| user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
        extra("credential-id", format!("JTI={}", self.text("/jti")));
        if let Some(("pods", name, uid)) = self.bound() {
            extra("pod-name", name.to_owned());
            extra("pod-uid", uid.to_owned());
        }
        if let Some(node) = self.0["kubernetes.io"].get("node") {
            for (key, field) in [("node-name", "name"), ("node-uid", "uid")] {
                if let Some(value) = node[field].as_str() {
                    extra(key, value.to_owned());
                }
            }
        }
        user
    }
}

/// A signature as JSON Web Tokens have it (two numbers of 32 bytes) from ASN.1.
fn fixed(asn1: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(64);
    let mut rest = asn1.strip_prefix(&[0x30])?.get(1..)?;
    for _ in 0..2 {
        let (&length, after) = rest.strip_prefix(&[0x02])?.split_first()?;
        let (number, after) = after.split_at_checked(length.into())?;
        let number = number.iter().position(|&b| b != 0).map_or(&[][..], |first| &number[first..]);
        out.resize(out.len() + 32_usize.checked_sub(number.len())?, 0);
        out.extend_from_slice(number);
        rest = after;
    }
    Some(out)
}

/// The way back.
fn asn1(fixed: &[u8]) -> Option<Vec<u8>> {
    if fixed.len() != 64 {
        return None;
    }
    let mut body = Vec::with_capacity(72);
    for half in fixed.chunks(32) {
        let first = half.iter().position(|&b| b != 0).unwrap_or(31);
        let number = &half[first..];
        let pad = usize::from(number[0] & 0x80 != 0);
        body.extend([0x02, u8::try_from(number.len() + pad).ok()?]);
        body.resize(body.len() + pad, 0);
        body.extend_from_slice(number);
    }
    let mut out = vec![0x30, u8::try_from(body.len()).ok()?];
    out.extend(body);
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(key: &KeyPair, now: i64) -> String {
        signed(key, now, 600, &AUDIENCES.map(String::from))
    }

    fn signed(key: &KeyPair, now: i64, seconds: i64, audiences: &[String]) -> String {
        let [kind, name, uid] = ["Pod", "p", "u2"].map(str::to_owned);
        let bound = Bound { kind, name, uid, node: Some(("n1".into(), "u3".into())) };
        let request = Request { namespace: "ns", account: ("sa", "u1"), bound: Some(&bound), audiences, seconds };
        sign(key, &request, now).unwrap()
    }

    #[test]
    fn a_token_says_who_its_bearer_is() {
        let key = KeyPair::generate().unwrap();
        let claims = verify(&key, &token(&key, 1000), &["k3s"], 1599).unwrap();
        let user = claims.user();
        assert_eq!(user.name, "system:serviceaccount:ns:sa");
        assert_eq!(user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]);
        assert_eq!(claims.bound(), Some(("pods", "p", "u2")));
        assert_eq!(user.extra["authentication.kubernetes.io/node-name"], ["n1"]);
        assert_eq!(user.extra["authentication.kubernetes.io/node-uid"], ["u3"]);
    }

    #[test]
    fn the_tokens_of_pods_live_for_a_year() {
        let key = KeyPair::generate().unwrap();
        let extended = verify(&key, &signed(&key, 1000, 3607, &AUDIENCES.map(String::from)), &["k3s"], 1001).unwrap();
        assert_eq!(extended.0["exp"], 1000 + 31_536_000);
        assert_eq!(extended.0["kubernetes.io"]["warnafter"], 4607);
        let others = verify(&key, &signed(&key, 1000, 3607, &["else".to_owned()]), &["else"], 1001).unwrap();
        assert_eq!(others.0["exp"], 4607);
    }

    #[test]
    fn a_token_is_refused_when_late_or_for_others_or_forged() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let good = token(&key, 1000);
        assert!(verify(&key, &good, &["k3s"], 1600).unwrap_err().contains("expired"));
        assert!(verify(&key, &good, &["else"], 1100).unwrap_err().contains("audiences"));
        assert!(verify(&other, &good, &["k3s"], 1100).is_err());
        for bad in ["", ".", "a.b.c", "a.b.c.d", &good[..good.len() - 4], &good.replace('.', "")] {
            assert!(verify(&key, bad, &["k3s"], 1100).is_err(), "{bad}");
        }
    }

    #[test]
    fn signatures_survive_their_two_forms() {
        let key = KeyPair::generate().unwrap();
        for n in 0..200_u32 {
            let asn = key.sign(&n.to_le_bytes()).unwrap();
            assert_eq!(asn1(&fixed(&asn).unwrap()).unwrap(), asn);
        }
    }
}
