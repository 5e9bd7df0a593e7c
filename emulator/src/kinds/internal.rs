//! How Go prints Kubernetes' internal types, which errors about whole structures show: the fields in the order in which
//! they are declared, by their Go names, absent ones as null or zero. The declarations are in `internal.txt`.

use std::collections::HashMap;
use std::sync::LazyLock;

use serde_json::{Map, Value};

/// The declarations of `pkg/apis/{core,apps,batch}/types.go` and apimachinery's `meta/v1/types.go`. A line without an
/// indent names a type. Below it is a line for each field: the name that Go prints (with `?` when it omits empty values),
/// the name in the API, the type (`*` pointer, `[]` list, `{}` map); or `+` and an embedded type.
static DECLARATIONS: LazyLock<HashMap<&str, Vec<Member>>> = LazyLock::new(|| {
    let mut types: HashMap<&str, Vec<Member>> = HashMap::new();
    let mut members = None;
    for line in include_str!("internal.txt").lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match (words[..].first(), &words[..], members.take()) {
            (_, [name], _) => members = Some(types.entry(name).or_default()),
            (_, ["+", embedded], Some(own)) => {
                own.push(Member { shown: "", omits_empty: false, field: "", of: embedded });
                members = Some(own);
            }
            (_, [shown, field, of], Some(own)) => {
                let (shown, omits_empty) = shown.strip_suffix('?').map_or((*shown, false), |shown| (shown, true));
                own.push(Member { shown, omits_empty, field, of });
                members = Some(own);
            }
            (_, _, own) => members = own,
        }
    }
    types
});

struct Member {
    shown: &'static str,
    omits_empty: bool,
    field: &'static str,
    of: &'static str,
}

/// The text of an "Invalid value" error that shows a structure.
pub(crate) fn invalid(of: &str, value: &Value, detail: &str) -> String {
    format!("Invalid value: {}: {detail}", json(of, value))
}

/// The structure of that internal type as `json.Marshal` writes it.
pub(crate) fn json(of: &str, value: &Value) -> String {
    let mut out = Writer { out: String::new(), pretty: false, depth: 0 };
    out.write(of, value);
    out.out
}

/// The same with a line per value, indented by a blank per level (`json.MarshalIndent`).
pub(crate) fn pretty(of: &str, value: &Value) -> String {
    let mut out = Writer { out: String::new(), pretty: true, depth: 0 };
    out.write(of, value);
    out.out
}

struct Writer {
    out: String,
    pretty: bool,
    depth: usize,
}

impl Writer {
    fn write(&mut self, of: &str, value: &Value) {
        if let Some(target) = of.strip_prefix('*') {
            return if value.is_null() { self.out.push_str("null") } else { self.write(target, value) };
        }
        if let Some(item) = of.strip_prefix("[]") {
            return match value {
                Value::Array(items) => self.enclosed('[', ']', items.iter(), |out, one| out.write(item, one)),
                _ => self.out.push_str("null"),
            };
        }
        if let Some(item) = of.strip_prefix("{}") {
            return match value {
                Value::Object(entries) => self.enclosed('{', '}', entries.iter(), |out, (key, one)| {
                    out.key(key);
                    out.write(item, one);
                }),
                _ => self.out.push_str("null"),
            };
        }
        match of {
            "string" => self.string(value.as_str().unwrap_or_default()),
            "int" => self.out.push_str(&value.as_i64().unwrap_or_default().to_string()),
            "bool" => self.out.push_str(if value == &Value::Bool(true) { "true" } else { "false" }),
            "quantity" => self.string(value.as_str().unwrap_or("0")),
            "time" => match value {
                Value::String(time) => self.string(time),
                _ => self.out.push_str("null"),
            },
            // An IntOrString is 0 until it is set.
            "any" => match value {
                Value::Null => self.out.push('0'),
                Value::String(text) => self.string(text),
                other => self.out.push_str(&other.to_string()),
            },
            _ => {
                let moved = moved_fields(of, value);
                let mut fields = Vec::new();
                collect(of, moved.as_ref().unwrap_or(value), &mut fields);
                self.enclosed('{', '}', fields.into_iter(), |out, (member, value)| {
                    out.key(member.shown);
                    out.write(member.of, value);
                });
            }
        }
    }

    fn key(&mut self, key: &str) {
        self.string(key);
        self.out.push_str(if self.pretty { ": " } else { ":" });
    }

    fn enclosed<T>(&mut self, open: char, close: char, all: impl Iterator<Item = T>, write: impl Fn(&mut Self, T)) {
        self.out.push(open);
        self.depth += 1;
        let mut is_first = true;
        for one in all {
            if !is_first {
                self.out.push(',');
            }
            is_first = false;
            self.line();
            write(self, one);
        }
        self.depth -= 1;
        if !is_first {
            self.line();
        }
        self.out.push(close);
    }

    fn line(&mut self) {
        if self.pretty {
            self.out.push('\n');
            self.out.extend(std::iter::repeat_n(' ', self.depth));
        }
    }

    /// Like any JSON but for what Go escapes for the sake of HTML.
    fn string(&mut self, text: &str) {
        for c in Value::from(text).to_string().chars() {
            match c {
                '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => self.out.push_str(&format!("\\u{:04x}", u32::from(c))),
                c => self.out.push(c),
            }
        }
    }
}

static NULL: Value = Value::Null;

/// The fields of a type with their values, embedded types' among its own.
fn collect<'a>(of: &str, value: &'a Value, fields: &mut Vec<(&'static Member, &'a Value)>) {
    for member in DECLARATIONS.get(of).into_iter().flatten() {
        if member.shown.is_empty() {
            // Kubernetes inlines ObjectMeta into templates in Go, not in the API.
            let of_metadata = member.of == "ObjectMeta";
            collect(member.of, if of_metadata { &value["metadata"] } else { value }, fields);
            continue;
        }
        let own = value.get(member.field).unwrap_or(&NULL);
        let is_empty = match own {
            Value::Null => true,
            Value::Array(items) => items.is_empty(),
            Value::Object(entries) => entries.is_empty(),
            Value::String(text) => text.is_empty() && !member.of.starts_with('*'),
            _ => false,
        };
        if !(member.omits_empty && is_empty) {
            fields.push((member, own));
        }
    }
}

/// Fields that are the spec's in the API are the security context's inside.
fn moved_fields(of: &str, value: &Value) -> Option<Value> {
    if of != "PodSpec" {
        return None;
    }
    let mut moved = value.clone();
    let mut context = match value.get("securityContext") {
        Some(Value::Object(context)) => context.clone(),
        _ => Map::new(),
    };
    for field in ["hostNetwork", "hostPID", "hostIPC", "shareProcessNamespace", "hostUsers"] {
        if let Some(own) = value.get(field) {
            context.insert(field.to_owned(), own.clone());
        }
    }
    moved.as_object_mut()?.insert("securityContext".to_owned(), Value::Object(context));
    Some(moved)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn structures() {
        assert_eq!(json("DeploymentStrategy", &json!({"type": "Foo"})), r#"{"Type":"Foo","RollingUpdate":null}"#);
        assert_eq!(
            json("DeploymentStrategy", &json!({"type": "a", "rollingUpdate": {"maxSurge": "25%"}})),
            r#"{"Type":"a","RollingUpdate":{"MaxUnavailable":0,"MaxSurge":"25%"}}"#
        );
        assert_eq!(json("SeccompProfile", &json!({"type": "<a>"})), r#"{"Type":"\u003ca\u003e","LocalhostProfile":null}"#);
    }

    #[test]
    fn templates() {
        let shown = json("PodTemplateSpec", &json!({"metadata": {"labels": {"a": "b"}}, "spec": {"hostNetwork": true}}));
        assert!(shown.starts_with(r#"{"labels":{"a":"b"},"Spec":{"Volumes":null,"InitContainers":null,"#), "{shown}");
        assert!(shown.contains(r#""SecurityContext":{"HostNetwork":true,"HostPID":false,"#), "{shown}");
    }

    #[test]
    fn indented() {
        assert_eq!(pretty("[]Capability", &json!([])), "[]");
        assert_eq!(pretty("SeccompProfile", &json!({"type": "a"})), "{\n \"Type\": \"a\",\n \"LocalhostProfile\": null\n}");
    }
}
