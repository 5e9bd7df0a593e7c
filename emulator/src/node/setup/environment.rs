//! A container's environment: what the kubelet makes of `env`, `envFrom` and services (`makeEnvironmentVariables`), on top of what
//! containerd and runc give every container.

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k3s_arc_container::{DEFAULT_PATH, Image};
use serde_json::Value;

use super::super::Node;
use super::expansion::{expand, unknown};
use super::{ConfigError, fields, host_name, metadata, services, user};
use crate::field::quote;
use crate::kinds::view::{entries, flag, list, text};

/// What the runtime sets where nobody else does.
const OF_RUNTIME: [&str; 4] = ["HOME", "HOSTNAME", "PATH", "TERM"];

/// The variables that a container starts with. `pod_ips` are its pod's addresses, which its status may not have yet.
pub(crate) fn environment(
    node: &Node,
    pod: &Value,
    container: &Value,
    image: &Image,
    pod_ips: &[IpAddr],
) -> Result<BTreeMap<String, String>, ConfigError> {
    let mut env = BTreeMap::from([("PATH".to_owned(), DEFAULT_PATH.to_owned())]);
    if flag(&container["tty"]) {
        env.insert("TERM".to_owned(), "xterm".to_owned());
    }
    env.insert("HOSTNAME".to_owned(), host_name(node, pod));
    env.extend(image.env.iter().cloned());
    env.extend(declared(node, pod, container, pod_ips)?);
    if env.get("HOME").is_none_or(String::is_empty) {
        env.insert("HOME".to_owned(), user::home(pod, container, image));
    }
    Ok(env)
}

/// Whether a variable of the whole environment is one that the kubelet has not set.
pub(super) fn is_of_runtime(name: &str, value: &str, container: &Value, image: &Image) -> bool {
    let declared = list(&container["env"]).iter().any(|variable| text(&variable["name"]) == name);
    let of_image = image.env.iter().any(|(own, set)| own == name && set == value);
    !declared && (of_image || OF_RUNTIME.contains(&name))
}

/// What the kubelet hands to the runtime.
pub(super) fn declared(
    node: &Node,
    pod: &Value,
    container: &Value,
    pod_ips: &[IpAddr],
) -> Result<BTreeMap<String, String>, ConfigError> {
    let Some(links) = pod["spec"]["enableServiceLinks"].as_bool() else {
        return Err(ConfigError::config("nil pod.spec.enableServiceLinks encountered, cannot construct envvars"));
    };
    let sources = Sources { node, pod, container, pod_ips };
    let services = services::variables(node, metadata(pod, "namespace"), links);
    let mut env = BTreeMap::new();
    for from in list(&container["envFrom"]) {
        sources.take_all(from, &mut env)?;
    }
    for variable in list(&container["env"]) {
        let given = text(&variable["value"]);
        let value = if given.is_empty() {
            sources.value(&variable["valueFrom"])?
        } else {
            let known = |name: &str| env.get(name).or_else(|| services.get(name)).cloned();
            Some(expand(given, |name| known(name).unwrap_or_else(|| unknown(name))))
        };
        if let Some(value) = value {
            env.insert(text(&variable["name"]).to_owned(), value);
        }
    }
    for (name, value) in services {
        env.entry(name).or_insert(value);
    }
    Ok(env)
}

/// Where values come from.
struct Sources<'a> {
    node: &'a Node,
    pod: &'a Value,
    container: &'a Value,
    pod_ips: &'a [IpAddr],
}

/// The two kinds of objects that variables come from.
#[derive(Clone, Copy)]
enum Kind {
    ConfigMap,
    Secret,
}

impl Kind {
    fn value(self, value: &Value) -> Result<String, ConfigError> {
        match self {
            Self::ConfigMap => Ok(text(value).to_owned()),
            // The kubelet's request to the runtime can hold no other.
            Self::Secret => String::from_utf8(STANDARD.decode(text(value)).unwrap_or_default())
                .map_err(|_| ConfigError::runtime("grpc: error while marshaling: string field contains invalid UTF-8")),
        }
    }
}

impl Sources<'_> {
    /// An object; none where an optional one is missing.
    fn object(&self, kind: Kind, reference: &Value) -> Result<Option<Value>, ConfigError> {
        let (resource, singular) = match kind {
            Kind::ConfigMap => ("configmaps", "configmap"),
            Kind::Secret => ("secrets", "secret"),
        };
        let name = text(&reference["name"]);
        match self.node.cluster.object("", resource, metadata(self.pod, "namespace"), name) {
            Some(object) => Ok(Some(object)),
            None if flag(&reference["optional"]) => Ok(None),
            None => Err(ConfigError::config(format!("{singular} {} not found", quote(name)))),
        }
    }

    /// All entries of an object, each under its key with a prefix.
    fn take_all(&self, from: &Value, env: &mut BTreeMap<String, String>) -> Result<(), ConfigError> {
        let (kind, reference) = if from["configMapRef"].is_null() {
            (Kind::Secret, &from["secretRef"])
        } else {
            (Kind::ConfigMap, &from["configMapRef"])
        };
        if reference.is_null() {
            return Ok(());
        }
        let object = self.object(kind, reference)?.unwrap_or_default();
        for (key, value) in entries(&object["data"]) {
            env.insert(format!("{}{key}", text(&from["prefix"])), kind.value(value)?);
        }
        Ok(())
    }

    /// The value of a `valueFrom`; none: the variable is left out.
    fn value(&self, from: &Value) -> Result<Option<String>, ConfigError> {
        if !from["fieldRef"].is_null() {
            return self.field(text(&from["fieldRef"]["fieldPath"])).map(Some).map_err(ConfigError::config);
        }
        if !from["resourceFieldRef"].is_null() {
            return self.resource(&from["resourceFieldRef"]).map(Some).map_err(ConfigError::config);
        }
        if !from["configMapKeyRef"].is_null() {
            return self.key(Kind::ConfigMap, &from["configMapKeyRef"]);
        }
        if !from["secretKeyRef"].is_null() {
            return self.key(Kind::Secret, &from["secretKeyRef"]);
        }
        Ok(Some(String::new()))
    }

    /// `podFieldSelectorRuntimeValue`.
    fn field(&self, path: &str) -> Result<String, String> {
        let joined = || self.pod_ips.iter().map(IpAddr::to_string).collect::<Vec<_>>().join(",");
        Ok(match path {
            "spec.nodeName" | "spec.host" => text(&self.pod["spec"]["nodeName"]).to_owned(),
            "spec.serviceAccountName" => text(&self.pod["spec"]["serviceAccountName"]).to_owned(),
            "status.hostIP" | "status.hostIPs" => self.node.address().to_string(),
            "status.podIP" => self.pod_ips.first().map(IpAddr::to_string).unwrap_or_default(),
            "status.podIPs" => joined(),
            _ => fields::field(self.pod, path)?,
        })
    }

    fn resource(&self, selector: &Value) -> Result<String, String> {
        let name = text(&selector["containerName"]);
        let container = if name.is_empty() { self.container } else { fields::container(self.pod, name)? };
        fields::resource(selector, container, &fields::pod_limits(self.node, self.pod))
    }

    fn key(&self, kind: Kind, reference: &Value) -> Result<Option<String>, ConfigError> {
        let Some(object) = self.object(kind, reference)? else { return Ok(None) };
        let key = text(&reference["key"]);
        match object["data"].get(key) {
            Some(value) => kind.value(value).map(Some),
            None if flag(&reference["optional"]) => Ok(None),
            None => {
                let what = match kind {
                    Kind::ConfigMap => "ConfigMap",
                    Kind::Secret => "Secret",
                };
                let place = format!("{}/{}", metadata(self.pod, "namespace"), text(&reference["name"]));
                Err(ConfigError::config(format!("couldn't find key {key} in {what} {place}")))
            }
        }
    }
}

#[cfg(test)]
mod tests;
