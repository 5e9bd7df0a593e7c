//! In which form an answer is wanted (`apiserver/pkg/endpoints/handlers/negotiation`).

use http::HeaderMap;
use http::header::ACCEPT;
use serde_json::json;

use crate::status::Refusal;

/// How an answer is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Json,
    Yaml,
    Protobuf,
}

impl Encoding {
    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Yaml => "application/yaml",
            Self::Protobuf => "application/vnd.kubernetes.protobuf",
        }
    }
}

/// Into what an answer is turned before it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// As it is.
    Object,
    /// `meta.k8s.io` Table; the version is the one asked for.
    Table(&'static str),
    /// `PartialObjectMetadata` (and its list).
    Metadata(&'static str),
    /// `PartialObjectMetadataList`, for lists only.
    MetadataList(&'static str),
}

/// An encoding and a form, with what the client asked for beside them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    pub(crate) encoding: Encoding,
    pub(crate) form: Form,
}

impl Wanted {
    pub(crate) const JSON: Self = Self { encoding: Encoding::Json, form: Form::Object };
}

/// What an endpoint offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Offer {
    /// A built-in resource: Go's router has looked at the media types before the API server does.
    /// Some kinds have no table.
    BuiltIn {
        watchable: bool,
        tables: bool,
    },
    Custom,
    /// A log, which the router offers as text, and the API server as an object all the same.
    Log,
    /// Discovery of groups, which no router guards.
    Document,
}

const OBJECTS: &str = "application/json, application/yaml, application/vnd.kubernetes.protobuf";
const WATCHES: &str = "application/json;stream=watch, application/vnd.kubernetes.protobuf;stream=watch";

impl Offer {
    /// 406 in the words of the API server.
    fn not_accepted(self, watch: bool) -> Refusal {
        let list = match (self, watch) {
            (Self::Custom, true) => "application/json;stream=watch",
            (_, true) => WATCHES,
            _ => OBJECTS,
        };
        Refusal::new(406, "NotAcceptable", format!("only the following media types are accepted: {list}"))
    }

    /// 406 in the words of the router; only of built-in resources.
    fn not_routed(self) -> Refusal {
        let streams = if matches!(self, Self::BuiltIn { watchable: true, .. }) { format!(", {WATCHES}") } else { String::new() };
        let message = format!("406: Not Acceptable\n\nAvailable representations: {OBJECTS}{streams}");
        Refusal::new(406, "NotAcceptable", message).with_details(json!({}))
    }
}

struct Clause<'a> {
    media: &'a str,
    parameters: Vec<(&'a str, &'a str)>,
    quality: f32,
}

impl Clause<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(key, _)| *key == name).map(|(_, value)| *value)
    }

    fn form(&self) -> Option<Form> {
        let Some(kind) = self.parameter("as") else { return Some(Form::Object) };
        let version = match (self.parameter("g"), self.parameter("v")) {
            (Some("meta.k8s.io"), Some("v1")) => "v1",
            (Some("meta.k8s.io"), Some("v1beta1")) => "v1beta1",
            _ => return None,
        };
        match kind {
            "Table" => Some(Form::Table(version)),
            "PartialObjectMetadata" => Some(Form::Metadata(version)),
            "PartialObjectMetadataList" => Some(Form::MetadataList(version)),
            _ => None,
        }
    }
}

fn clauses(header: &str) -> Vec<Clause<'_>> {
    let mut clauses: Vec<Clause<'_>> = header
        .split(',')
        .filter_map(|clause| {
            let mut parts = clause.split(';').map(str::trim);
            let media = parts.next().filter(|m| !m.is_empty())?;
            let parameters: Vec<_> = parts.filter_map(|p| p.split_once('=')).collect();
            let quality = parameters.iter().find(|(k, _)| *k == "q").and_then(|(_, v)| v.parse().ok()).unwrap_or(1.0);
            Some(Clause { media, parameters, quality })
        })
        .collect();
    clauses.sort_by(|a, b| b.quality.total_cmp(&a.quality));
    clauses
}

fn header(headers: &HeaderMap) -> String {
    let values: Vec<&str> = headers.get_all(ACCEPT).iter().filter_map(|v| v.to_str().ok()).collect();
    values.join(",")
}

/// Chooses from the `Accept` header, or says what could have been accepted.
pub(crate) fn negotiate(headers: &HeaderMap, offer: Offer, watch: bool) -> Result<Wanted, Refusal> {
    let header = header(headers);
    if header.trim().is_empty() {
        return Ok(Wanted::JSON);
    }
    let clauses = clauses(&header);
    let routed =
        |media: &str| ["*/*", "application/json", "application/yaml", "application/vnd.kubernetes.protobuf"].contains(&media);
    let is_guarded = match offer {
        Offer::BuiltIn { .. } => true,
        Offer::Log => !clauses.iter().any(|clause| clause.media == "text/plain"),
        Offer::Custom | Offer::Document => false,
    };
    if is_guarded && !clauses.iter().any(|clause| routed(clause.media)) {
        return Err(offer.not_routed());
    }
    for clause in &clauses {
        let encoding = match clause.media {
            "*/*" | "application/*" | "application/json" => Encoding::Json,
            "application/yaml" if !watch => Encoding::Yaml,
            "application/vnd.kubernetes.protobuf" if offer != Offer::Custom => Encoding::Protobuf,
            // Metadata of a custom resource is no custom resource.
            "application/vnd.kubernetes.protobuf" if clause.parameter("as").is_some() => Encoding::Protobuf,
            _ => continue,
        };
        let Some(form) = clause.form() else { continue };
        if form != Form::Object && offer == Offer::Document {
            continue;
        }
        // Tables have no protobuf form.
        let tables = encoding != Encoding::Protobuf && !matches!(offer, Offer::BuiltIn { tables: false, .. });
        if matches!(form, Form::Table(_)) && !tables {
            continue;
        }
        return Ok(Wanted { encoding, form });
    }
    Err(offer.not_accepted(watch))
}

/// How a Status is encoded for a client, whatever it asked for.
pub(crate) fn of_errors(headers: &HeaderMap) -> Encoding {
    let header = header(headers);
    // Clauses that ask for another form are not about errors.
    let plain = clauses(&header).into_iter().filter(|clause| clause.parameter("as").is_none());
    let known = plain.into_iter().find_map(|clause| match clause.media {
        "application/yaml" => Some(Encoding::Yaml),
        "application/vnd.kubernetes.protobuf" => Some(Encoding::Protobuf),
        "*/*" | "application/*" | "application/json" => Some(Encoding::Json),
        _ => None,
    });
    known.unwrap_or(Encoding::Json)
}

/// Whether a client wants the aggregated form of discovery.
pub(crate) fn wants_aggregated(headers: &HeaderMap) -> bool {
    let header = header(headers);
    let clauses = clauses(&header);
    let clause = clauses.iter().find(|clause| match clause.parameter("as") {
        Some(form) => form == "APIGroupDiscoveryList" && clause.parameter("v") == Some("v2"),
        None => true,
    });
    clause.is_some_and(|clause| clause.parameter("as").is_some() && clause.parameter("g") == Some("apidiscovery.k8s.io"))
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn wanted(accept: &'static str) -> Option<Wanted> {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        negotiate(&headers, Offer::BuiltIn { watchable: true, tables: true }, false).ok()
    }

    #[test]
    fn the_first_that_can_be_given_is_taken() {
        let kubectl =
            "application/json;as=Table;v=v1;g=meta.k8s.io,application/json;as=Table;v=v1beta1;g=meta.k8s.io,application/json";
        assert_eq!(wanted(kubectl).unwrap().form, Form::Table("v1"));
        assert_eq!(wanted("application/json;as=Unknown;v=v1;g=meta.k8s.io,application/json").unwrap().form, Form::Object);
        assert_eq!(wanted("text/html,*/*;q=0.8").unwrap(), Wanted::JSON);
        assert_eq!(wanted("application/yaml").unwrap().encoding, Encoding::Yaml);
        assert_eq!(wanted("application/json;q=0.1,application/vnd.kubernetes.protobuf").unwrap().encoding, Encoding::Protobuf);
        assert!(wanted("text/plain").is_none());
    }
}
