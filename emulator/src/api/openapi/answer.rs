//! The OpenAPI documents as they are asked for: in which form, whether they changed, by which hash
//! (kube-openapi, `pkg/handler` and `pkg/handler3`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::HeaderMap;
use http::header::{ACCEPT, CACHE_CONTROL, ETAG, EXPIRES, HeaderName, HeaderValue, IF_NONE_MATCH, LOCATION, VARY};
use serde_json::Value;

use super::{document, hash, index, protobuf, swagger};
use crate::api::answer::{self, Answer};
use crate::api::nowhere;

const JSON: &str = "application/json";

/// The documents of the definitions of one time, each made when it is first asked for.
#[derive(Debug, Default)]
pub(crate) struct Documents {
    definitions: Vec<Arc<Value>>,
    /// By path and media type; None for a path that has no document.
    made: Mutex<HashMap<(String, &'static str), Option<Bytes>>>,
}

impl Documents {
    /// Of the built-in types and of these CustomResourceDefinitions.
    pub(crate) fn new(definitions: Vec<Arc<Value>>) -> Self {
        Self { definitions, made: Mutex::default() }
    }

    fn definitions(&self) -> Vec<&Value> {
        self.definitions.iter().map(AsRef::as_ref).collect()
    }

    fn get(&self, path: &str, media: &'static str, make: impl FnOnce(&[&Value]) -> Option<Vec<u8>>) -> Option<Bytes> {
        let key = (path.to_owned(), media);
        let lock = || self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = lock().get(&key) {
            return made.clone();
        }
        let made = make(&self.definitions()).map(Bytes::from);
        // A path that has no document is not worth remembering: anyone can think of more.
        if made.is_some() {
            lock().insert(key, made.clone());
        }
        made
    }

    /// Answers `/openapi/...`; `wanted` is the query's `hash`.
    pub(crate) fn answer(&self, path: &str, wanted: Option<&str>, headers: &HeaderMap) -> Answer {
        match path.strip_prefix("/openapi/") {
            Some("v2") => self.version_2(headers),
            Some("v3") => match self.get(path, JSON, |all| Some(index(all).to_string().into())) {
                Some(body) => answer::whole(200, "text/plain; charset=utf-8", body),
                None => nowhere(),
            },
            Some(rest) => rest.strip_prefix("v3/").map_or_else(nowhere, |name| self.version_3(name, wanted, headers)),
            None => nowhere(),
        }
    }

    fn version_2(&self, headers: &HeaderMap) -> Answer {
        let offered = [JSON, protobuf::MEDIA_TYPE, protobuf::DEPRECATED_MEDIA_TYPE];
        let media = match accepted(headers, &offered) {
            None => return varying(answer::whole(406, "", Bytes::new())),
            Some(protobuf::DEPRECATED_MEDIA_TYPE) => protobuf::MEDIA_TYPE,
            Some(media) => media,
        };
        let make = |all: &[&Value]| {
            let document = swagger(all);
            Some(if media == JSON { document.to_string().into_bytes() } else { protobuf::encode(&document) })
        };
        let Some(body) = self.get("v2", media, make) else { return nowhere() };
        let tag = hash("", &self.definitions());
        unless_known(headers, tag, answer::whole(200, media, body))
    }

    fn version_3(&self, name: &str, wanted: Option<&str>, headers: &HeaderMap) -> Answer {
        if accepted(headers, &[JSON]).is_none() {
            return varying(answer::whole(406, "", Bytes::new()));
        }
        let Some(body) = self.get(name, JSON, |all| document(name, all).map(|made| made.to_string().into_bytes())) else {
            return answer::whole(404, "", Bytes::new());
        };
        let tag = hash(name, &self.definitions());
        let Some(wanted) = wanted.filter(|wanted| !wanted.is_empty()) else {
            return unless_known(headers, tag, answer::whole(200, JSON, body));
        };
        if wanted != tag {
            let mut moved = answer::whole(301, JSON, Bytes::new());
            set(&mut moved, LOCATION, &format!("/openapi/v3/{name}?hash={tag}"));
            set(&mut moved, ETAG, &format!("\"{tag}\""));
            return varying(moved);
        }
        // By its hash a document can be kept for ever.
        let mut answer = answer::whole(200, JSON, body);
        set(&mut answer, CACHE_CONTROL, "public, immutable");
        let expires = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC).saturating_add(jiff::Span::new().years(1));
        set(&mut answer, EXPIRES, &expires.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string());
        unless_known(headers, tag, answer)
    }
}

fn set(answer: &mut Answer, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        answer.headers_mut().insert(name, value);
    }
}

fn varying(mut answer: Answer) -> Answer {
    set(&mut answer, VARY, "Accept");
    answer
}

/// The answer with its tag, or 304 if the client has it already.
fn unless_known(headers: &HeaderMap, tag: String, mut answer: Answer) -> Answer {
    let tag = format!("\"{tag}\"");
    let known = headers
        .get(IF_NONE_MATCH)
        .and_then(|value| value.to_str().ok())
        .is_some_and(|known| known == "*" || known.contains(&tag));
    if known {
        answer = answer::whole(304, "", Bytes::new());
    }
    set(&mut answer, ETAG, &tag);
    varying(answer)
}

/// The first of the offered media types that the best clause of `Accept` allows.
fn accepted(headers: &HeaderMap, offered: &[&'static str]) -> Option<&'static str> {
    let header = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).filter(|text| !text.is_empty()).unwrap_or("*/*");
    let mut clauses: Vec<(f32, &str)> = header
        .split(',')
        .map(|clause| {
            let (media, parameters) = clause.split_once(';').unwrap_or((clause, ""));
            let quality = parameters.split(';').find_map(|one| one.trim().strip_prefix("q=")?.parse().ok());
            (quality.unwrap_or(1.0), media.trim())
        })
        .collect();
    clauses.sort_by(|a, b| b.0.total_cmp(&a.0));
    clauses.iter().find_map(|(_, media)| {
        offered.iter().find(|offer| *media == **offer || matches!(*media, "*/*" | "application/*")).copied()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(path: &str, wanted: Option<&str>, accept: &str) -> Answer {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(accept).unwrap());
        Documents::default().answer(path, wanted, &headers)
    }

    #[test]
    fn gives_what_is_accepted() {
        let content_type = |answer: &Answer| answer.headers()["content-type"].to_str().unwrap().to_owned();
        let old = ask("/openapi/v2", None, protobuf::DEPRECATED_MEDIA_TYPE);
        assert_eq!((old.status().as_u16(), content_type(&old).as_str()), (200, protobuf::MEDIA_TYPE));
        assert_eq!(content_type(&ask("/openapi/v2", None, "*/*")), JSON);
        assert_eq!(ask("/openapi/v2", None, "text/html").status(), 406);
        assert_eq!(ask("/openapi/v3/apis/apps/v1", None, "application/json, */*;q=0.1").status(), 200);
        assert_eq!(ask("/openapi/v3/apis/nope/v1", None, "*/*").status(), 404);
    }

    #[test]
    fn leads_to_the_right_hash() {
        let moved = ask("/openapi/v3/api/v1", Some("AB"), "*/*");
        assert_eq!(moved.status(), 301);
        let location = moved.headers()[LOCATION].to_str().unwrap();
        let right = location.split_once("hash=").unwrap().1;
        let found = ask("/openapi/v3/api/v1", Some(right), "*/*");
        assert_eq!(found.status(), 200);
        assert_eq!(found.headers()[CACHE_CONTROL], "public, immutable");
    }

    #[test]
    fn says_what_is_unchanged() {
        let documents = Documents::default();
        let first = documents.answer("/openapi/v2", None, &HeaderMap::new());
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, first.headers()[ETAG].clone());
        assert_eq!(documents.answer("/openapi/v2", None, &headers).status(), 304);
    }
}
