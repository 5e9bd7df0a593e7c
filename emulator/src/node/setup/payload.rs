//! What is written into volumes of objects' data: ConfigMaps, Secrets, the downward API, and several of them projected into one
//! (`pkg/volume/configmap`, `secret`, `downwardapi`, `projected`).

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::super::Node;
use super::atomic::{Payload, Projection};
use super::tokens::Tokens;
use super::{aggregate, all_containers, fields, id, metadata, ownership, security};
use crate::field::quote;
use crate::kinds::view::{entries, flag, list, object, text};

/// What payloads are made for.
pub(super) struct Maker<'a> {
    pub(super) node: &'a Node,
    pub(super) pod: &'a Value,
    pub(super) tokens: &'a Tokens,
    /// When the kubelet took the pod over.
    pub(super) seen: &'a str,
}

/// The entries of an object: its keys and their content.
type Data = Vec<(String, Vec<u8>)>;

impl Maker<'_> {
    fn object(&self, resource: &str, singular: &str, name: &str, source: &Value) -> Result<Value, String> {
        match self.node.cluster.object("", resource, metadata(self.pod, "namespace"), name) {
            Some(object) => Ok(object),
            None if flag(&source["optional"]) => Ok(Value::Null),
            None => Err(format!("{singular} {} not found", quote(name))),
        }
    }

    /// A volume's or a projection's `configMap`. The modes of a projection are its volume's.
    pub(super) fn config_map(&self, source: &Value, mode: u32) -> Result<Payload, String> {
        let object = self.object("configmaps", "configmap", text(&source["name"]), source)?;
        let data = [texts(&object["data"]), binaries(&object["binaryData"])].concat();
        project(&data, source, mode, "configmap references non-existent config key")
    }

    /// A volume's or a projection's `secret`, which name it differently.
    pub(super) fn secret(&self, source: &Value, mode: u32) -> Result<Payload, String> {
        let name = [&source["secretName"], &source["name"]].map(text).into_iter().find(|name| !name.is_empty());
        let object = self.object("secrets", "secret", name.unwrap_or_default(), source)?;
        project(&binaries(&object["data"]), source, mode, "references non-existent secret key")
    }

    /// A volume's or a projection's `downwardAPI`.
    pub(super) fn downward(&self, source: &Value, mode: u32) -> Result<Payload, String> {
        let (mut payload, mut errors) = (Payload::new(), Vec::new());
        let pod = self.as_taken_over();
        for item in list(&source["items"]) {
            let path: PathBuf = Path::new(text(&item["path"])).components().collect();
            let data = self.told(&pod, item).unwrap_or_else(|error| {
                errors.push(error);
                String::new()
            });
            let mode = id(&item["mode"]).unwrap_or(mode);
            payload.insert(path.to_string_lossy().into_owned(), Projection { data: data.into(), mode, owner: None });
        }
        aggregate(errors).map(|()| payload)
    }

    /// The pod as the kubelet has it: with annotations of its own.
    fn as_taken_over(&self) -> Value {
        let mut pod = self.pod.clone();
        if let Some(annotations) = pod.get_mut("metadata").and_then(|metadata| object(metadata, "annotations")) {
            annotations.insert("kubernetes.io/config.seen".to_owned(), self.seen.into());
            annotations.insert("kubernetes.io/config.source".to_owned(), "api".into());
        }
        pod
    }

    fn told(&self, pod: &Value, item: &Value) -> Result<String, String> {
        let selector = &item["resourceFieldRef"];
        if selector.is_null() {
            return fields::field(pod, text(&item["fieldRef"]["fieldPath"]));
        }
        let container = fields::container(pod, text(&selector["containerName"]))?;
        fields::resource(selector, container, &fields::allocatable(self.node))
    }

    /// A volume's `projected`.
    pub(super) fn projected(&self, source: &Value, mode: u32) -> Result<Payload, String> {
        let (mut payload, mut errors) = (Payload::new(), Vec::new());
        for source in list(&source["sources"]) {
            match self.source(source, mode) {
                Ok(more) => payload.extend(more),
                Err(error) => errors.push(error),
            }
        }
        aggregate(errors).map(|()| payload)
    }

    fn source(&self, source: &Value, mode: u32) -> Result<Payload, String> {
        let of = |kind: &str| Some(&source[kind]).filter(|source| !source.is_null());
        if let Some(secret) = of("secret") {
            return self.secret(secret, mode);
        }
        if let Some(map) = of("configMap") {
            return self.config_map(map, mode);
        }
        if let Some(downward) = of("downwardAPI") {
            return self.downward(downward, mode);
        }
        if let Some(token) = of("serviceAccountToken") {
            return self.token(token, mode);
        }
        let kind = entries(source).map(|(kind, _)| kind).next().unwrap_or_default();
        Err(format!("projected sources of kind {kind} are not emulated"))
    }

    /// A token is for its user's eyes only, where it is known who that is.
    fn token(&self, source: &Value, mode: u32) -> Result<Payload, String> {
        let owner = only_user(self.pod);
        let mode = if owner.is_some() || ownership::group(self.pod).is_some() { 0o600 } else { mode };
        let data = self.tokens.get(self.node, self.pod, source)?.into_bytes();
        Ok(Payload::from([(text(&source["path"]).to_owned(), Projection { data, mode, owner })]))
    }
}

/// The user that all containers of a pod say they run as (`FsUserFrom`).
fn only_user(pod: &Value) -> Option<u32> {
    let mut users = all_containers(pod).map(|container| id(security(pod, container, "runAsUser")));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then_some(first)
}

fn texts(data: &Value) -> Data {
    entries(data).map(|(key, value)| (key.to_owned(), text(value).into())).collect()
}

fn binaries(data: &Value) -> Data {
    entries(data).map(|(key, value)| (key.to_owned(), STANDARD.decode(text(value)).unwrap_or_default())).collect()
}

/// All of the data, or what `items` choose of it (`MakePayload`).
fn project(data: &Data, source: &Value, mode: u32, missing: &str) -> Result<Payload, String> {
    let projection = |data: &[u8], mode: u32| Projection { data: data.to_owned(), mode, owner: None };
    let items = list(&source["items"]);
    if items.is_empty() {
        return Ok(data.iter().map(|(key, data)| (key.clone(), projection(data, mode))).collect());
    }
    let mut payload = Payload::new();
    for item in items {
        let wanted = text(&item["key"]);
        match data.iter().find(|(key, _)| key == wanted) {
            Some((_, data)) => {
                let mode = id(&item["mode"]).unwrap_or(mode);
                payload.insert(text(&item["path"]).to_owned(), projection(data, mode));
            }
            None if flag(&source["optional"]) => {}
            None => return Err(format!("{missing}: {wanted}")),
        }
    }
    Ok(payload)
}
