//! ConfigMaps and Secrets (`pkg/registry/core/{configmap,secret}/strategy.go`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::field::{Errors, Path};
use crate::kinds::view::{count, entries, fill_text, flag, immutable, object, remove, text};
use crate::kinds::{Rules, meta, names};

/// What the values of either may weigh together.
const MAX_SIZE: usize = 1024 * 1024;

pub(super) const CONFIG_MAP: Rules = Rules {
    validate: validate_config_map,
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        validate_immutable(old, new, &["data", "binaryData"], errors);
        meta::validate(new, true, names::dns1123_subdomain, errors);
        validate_config_map(new, errors);
    },
    ..Rules::PLAIN
};

pub(super) const SECRET: Rules = Rules {
    default: |secret| {
        fill_text(secret, "type", "Opaque");
        absorb_string_data(secret);
    },
    validate: validate_secret,
    validate_update: |old, new, errors| {
        meta::validate_update(old, new, errors);
        immutable(&old["type"], &new["type"], &Path::new("type"), errors);
        validate_immutable(old, new, &["data"], errors);
        meta::validate(new, true, names::dns1123_subdomain, errors);
        validate_secret(new, errors);
    },
    warnings: |secret, _| key_pair_problem(secret).into_iter().collect(),
    fields: |secret| vec![("type", text(&secret["type"]).to_owned())],
    ..Rules::PLAIN
};

/// What `tls.X509KeyPair` says of a certificate and a key that are no PEM.
fn key_pair_problem(secret: &Value) -> Option<String> {
    if secret["type"] != "kubernetes.io/tls" {
        return None;
    }
    let bytes = |key: &str| STANDARD.decode(text(&secret["data"][key])).unwrap_or_default();
    let kinds = |pem: &[u8]| x509_parser::pem::Pem::iter_from_buffer(pem).flatten().map(|block| block.label).collect::<Vec<_>>();
    let (certificate, key) = (kinds(&bytes("tls.crt")), kinds(&bytes("tls.key")));
    if certificate.is_empty() {
        return Some("tls: failed to find any PEM data in certificate input".to_owned());
    }
    if !certificate.iter().any(|kind| kind == "CERTIFICATE") {
        return Some(match &certificate[..] {
            [one] if one.ends_with("PRIVATE KEY") => {
                "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM inputs may have been \
                 switched"
                    .to_owned()
            }
            other => format!(
                "tls: failed to find \"CERTIFICATE\" PEM block in certificate input after skipping PEM blocks of the following types: \
                 [{}]",
                other.join(" ")
            ),
        });
    }
    key.is_empty().then(|| "tls: failed to find any PEM data in key input".to_owned())
}

/// `stringData` is a way to write `data` (`Convert_v1_Secret_To_core_Secret`).
fn absorb_string_data(secret: &mut Value) {
    let given = secret["stringData"].clone();
    remove(secret, "stringData");
    if count(&given) == 0 {
        return;
    }
    if let Some(data) = object(secret, "data") {
        for (key, value) in entries(&given) {
            data.insert(key.to_owned(), STANDARD.encode(text(value)).into());
        }
    }
}

/// The bytes that base64 stands for.
pub(crate) fn decoded_len(value: &Value) -> usize {
    let text = text(value);
    text.len() / 4 * 3 - text.bytes().rev().take(2).filter(|&c| c == b'=').count().min(text.len() / 4 * 3)
}

fn validate_keys(data: &Value, path: &Path, errors: &mut Errors) {
    for (key, _) in entries(data) {
        for wrong in names::config_key(key) {
            errors.invalid(&path.key(key), key, &wrong);
        }
    }
}

fn validate_config_map(map: &Value, errors: &mut Errors) {
    let (data, binary) = (&map["data"], &map["binaryData"]);
    let path = Path::new("data");
    for (key, _) in entries(data) {
        for wrong in names::config_key(key) {
            errors.invalid(&path.key(key), key, &wrong);
        }
        if binary.get(key).is_some() {
            errors.invalid(&path.key(key), key, "duplicate of key present in binaryData");
        }
    }
    validate_keys(binary, &Path::new("binaryData"), errors);
    let size = entries(data).map(|(_, value)| text(value).len()).sum::<usize>()
        + entries(binary).map(|(_, value)| decoded_len(value)).sum::<usize>();
    if size > MAX_SIZE {
        // The whole object, whose path Go prints so.
        errors.too_long(&Path::new("[]"), MAX_SIZE);
    }
}

fn validate_immutable(old: &Value, new: &Value, fields: &[&str], errors: &mut Errors) {
    const DETAIL: &str = "field is immutable when `immutable` is set";
    if !flag(&old["immutable"]) {
        return;
    }
    if !flag(&new["immutable"]) {
        errors.forbidden(&Path::new("immutable"), DETAIL);
    }
    for field in fields {
        if old[*field] != new[*field] {
            errors.forbidden(&Path::new(field), DETAIL);
        }
    }
}

fn validate_secret(secret: &Value, errors: &mut Errors) {
    let (data, path) = (&secret["data"], Path::new("data"));
    validate_keys(data, &path, errors);
    if entries(data).map(|(_, value)| decoded_len(value)).sum::<usize>() > MAX_SIZE {
        errors.too_long(&path, MAX_SIZE);
    }
    let has = |key: &str| data.get(key).is_some();
    match text(&secret["type"]) {
        "kubernetes.io/service-account-token" => {
            const NAME: &str = "kubernetes.io/service-account.name";
            if text(&secret["metadata"]["annotations"][NAME]).is_empty() {
                errors.required(&Path::new("metadata").child("annotations").key(NAME), "");
            }
        }
        "kubernetes.io/dockercfg" => validate_json(data, ".dockercfg", &path, errors),
        "kubernetes.io/dockerconfigjson" => validate_json(data, ".dockerconfigjson", &path, errors),
        "kubernetes.io/basic-auth" if !has("username") && !has("password") => {
            errors.required(&path.key("username"), "");
            errors.required(&path.key("password"), "");
        }
        "kubernetes.io/ssh-auth" if text(&data["ssh-privatekey"]).is_empty() => {
            errors.required(&path.key("ssh-privatekey"), "");
        }
        "kubernetes.io/tls" => {
            for key in ["tls.crt", "tls.key"] {
                if !has(key) {
                    errors.required(&path.key(key), "");
                }
            }
        }
        _ => {}
    }
}

/// The value must be a JSON object.
fn validate_json(data: &Value, key: &str, path: &Path, errors: &mut Errors) {
    let path = path.key(key);
    let Some(value) = data.get(key) else {
        errors.required(&path, "");
        return;
    };
    let bytes = STANDARD.decode(text(value)).unwrap_or_default();
    if let Err(wrong) = go_json_object(&bytes) {
        errors.invalid(&path, "<secret contents redacted>", &wrong);
    }
}

/// What Go's encoding/json says about bytes that are to be an object, for the commonest mistakes.
fn go_json_object(bytes: &[u8]) -> Result<(), String> {
    match serde_json::from_slice::<Value>(bytes) {
        Ok(Value::Object(_) | Value::Null) => Ok(()),
        Ok(other) => {
            let kind = match other {
                Value::String(_) => "string",
                Value::Array(_) => "array",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            Err(format!("json: cannot unmarshal {kind} into Go value of type map[string]interface {{}}"))
        }
        Err(error) if error.is_eof() => Err("unexpected end of JSON input".to_owned()),
        Err(error) => {
            let text = String::from_utf8_lossy(bytes);
            let line = text.lines().nth(error.line().saturating_sub(1)).unwrap_or_default();
            let at = line.chars().nth(error.column().saturating_sub(1)).unwrap_or('?');
            let place = if error.line() == 1 && line[..].trim_start().starts_with(at) {
                "looking for beginning of value"
            } else {
                "looking for beginning of object key string"
            };
            Err(format!("invalid character '{at}' {place}"))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn string_data_becomes_data() {
        let mut secret = json!({"data": {"a": "YQ=="}, "stringData": {"a": "b", "c": ""}});
        (SECRET.default)(&mut secret);
        assert_eq!(secret, json!({"type": "Opaque", "data": {"a": "Yg==", "c": ""}}));
    }

    #[test]
    fn keys_are_checked() {
        let mut errors = Errors::new();
        validate_config_map(&json!({"data": {"a/b": ""}}), &mut errors);
        assert_eq!(
            errors.aggregate().unwrap(),
            "data[a/b]: Invalid value: \"a/b\": a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. \
             'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
        );
    }
}
