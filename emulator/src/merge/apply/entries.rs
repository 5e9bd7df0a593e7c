//! `metadata.managedFields`: apimachinery's `util/managedfields/internal/managedfields.go`.

use serde_json::{Map, Value, json};

use super::set::Set;
use crate::field::quote;

/// What one manager owns by one operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Entry {
    pub(crate) manager: String,
    /// Whether by apply, else by update.
    pub(crate) applied: bool,
    pub(crate) api_version: String,
    pub(crate) subresource: String,
    pub(crate) time: Option<String>,
    pub(crate) set: Set,
}

/// Who makes a request. Appliers keep their entry when they change to another version.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Who<'a> {
    pub(crate) manager: &'a str,
    pub(crate) applied: bool,
    pub(crate) api_version: &'a str,
    pub(crate) subresource: &'a str,
}

impl Who<'_> {
    /// His entry, if there is one.
    pub(crate) fn find(&self, entries: &[Entry]) -> Option<usize> {
        entries.iter().position(|entry| {
            entry.manager == self.manager
                && entry.applied == self.applied
                && entry.subresource == self.subresource
                && (self.applied || entry.api_version == self.api_version)
        })
    }

    pub(crate) fn entry(&self, set: Set, time: Option<&str>) -> Entry {
        Entry {
            manager: self.manager.to_owned(),
            applied: self.applied,
            api_version: self.api_version.to_owned(),
            subresource: self.subresource.to_owned(),
            time: time.map(str::to_owned),
            set,
        }
    }
}

impl Entry {
    pub(crate) fn who(&self) -> Who<'_> {
        Who { manager: &self.manager, applied: self.applied, api_version: &self.api_version, subresource: &self.subresource }
    }

    fn operation(&self) -> &'static str {
        if self.applied { "Apply" } else { "Update" }
    }

    /// What apimachinery keys entries by; managers are sorted by it in messages.
    pub(crate) fn identifier(&self) -> String {
        let mut parts = Vec::new();
        let version = if self.applied { "" } else { &self.api_version };
        for (name, value) in [
            ("manager", self.manager.as_str()),
            ("operation", self.operation()),
            ("apiVersion", version),
            ("subresource", &self.subresource),
        ] {
            if !value.is_empty() {
                parts.push(format!("\"{name}\":{}", Value::from(value)));
            }
        }
        format!("{{{}}}", parts.join(","))
    }

    /// As messages about conflicts name him.
    pub(crate) fn shown(&self) -> String {
        let mut out = quote(&self.manager);
        if !self.subresource.is_empty() {
            out.push_str(" with subresource ");
            out.push_str(&quote(&self.subresource));
        }
        if !self.applied {
            out.push_str(" using ");
            out.push_str(&self.api_version);
        }
        out
    }

    /// When it was last changed; an entry without a time is the oldest.
    pub(crate) fn seconds(&self) -> i64 {
        let time = self.time.as_deref().and_then(|time| time.parse::<jiff::Timestamp>().ok());
        time.map_or(0, jiff::Timestamp::as_second)
    }

    fn read(index: usize, entry: &Value) -> Result<Self, String> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).unwrap_or_default();
        let applied = match text("operation") {
            "Apply" => true,
            "Update" => false,
            _ => return Err("operation must be `Apply` or `Update`".into()),
        };
        if text("apiVersion").is_empty() {
            return Err("apiVersion must not be empty".into());
        }
        match text("fieldsType") {
            "FieldsV1" => {}
            "" => return Err(format!("missing fieldsType in managed fields entry {index}")),
            other => return Err(format!("invalid fieldsType {} in managed fields entry {index}", quote(other))),
        }
        let set = match entry.get("fieldsV1") {
            None | Some(Value::Null) => Set::default(),
            Some(fields) => Set::from_json(fields).map_err(|why| format!("error decoding set: {why}"))?,
        };
        Ok(Self {
            manager: text("manager").to_owned(),
            applied,
            api_version: text("apiVersion").to_owned(),
            subresource: text("subresource").to_owned(),
            time: entry.get("time").and_then(Value::as_str).map(str::to_owned),
            set,
        })
    }

    fn write(&self) -> Value {
        let mut out = Map::new();
        for (name, value) in [
            ("apiVersion", self.api_version.as_str()),
            ("fieldsType", "FieldsV1"),
            ("manager", &self.manager),
            ("operation", self.operation()),
            ("subresource", &self.subresource),
            ("time", self.time.as_deref().unwrap_or_default()),
        ] {
            if !value.is_empty() {
                out.insert(name.to_owned(), value.into());
            }
        }
        out.insert("fieldsV1".to_owned(), self.set.to_json());
        Value::Object(out)
    }
}

/// Reads the entries of an object; of two by the same manager the later counts.
pub(crate) fn read(object: &Value) -> Result<Vec<Entry>, String> {
    let mut out: Vec<Entry> = Vec::new();
    let entries = object.pointer("/metadata/managedFields").and_then(Value::as_array);
    for (index, entry) in entries.into_iter().flatten().enumerate() {
        let entry = Entry::read(index, entry)?;
        match entry.who().find(&out) {
            Some(at) => out[at] = entry,
            None => out.push(entry),
        }
    }
    Ok(out)
}

/// Whether the object asks for its entries to be forgotten: by an empty list or by one empty entry.
pub(crate) fn is_reset(object: &Value) -> bool {
    match object.pointer("/metadata/managedFields").and_then(Value::as_array).map(Vec::as_slice) {
        Some([]) => true,
        Some([only]) => *only == json!({}),
        _ => false,
    }
}

/// Takes the entries out of an object.
pub(crate) fn clear(object: &mut Value) {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
}

/// The entries in the API's form and order.
pub(crate) fn to_json(mut entries: Vec<Entry>) -> Option<Value> {
    if entries.is_empty() {
        return None;
    }
    if entries.len() > 1 {
        entries.sort_by_cached_key(|entry| {
            (!entry.applied, entry.seconds(), entry.manager.clone(), entry.api_version.clone(), entry.subresource.clone())
        });
    }
    Some(entries.iter().map(Entry::write).collect())
}

/// Writes the entries into an object, or takes out what it has.
pub(crate) fn write(object: &mut Value, entries: Vec<Entry>) {
    set(object, to_json(entries));
}

/// The same, of entries in the API's form.
pub(crate) fn set(object: &mut Value, entries: Option<Value>) {
    let Some(entries) = entries else { return clear(object) };
    if let Some(object) = object.as_object_mut() {
        let metadata = object.entry("metadata").or_insert_with(|| json!({}));
        if metadata.is_null() {
            *metadata = json!({});
        }
        if let Some(metadata) = metadata.as_object_mut() {
            metadata.insert("managedFields".to_owned(), entries);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(manager: &str, applied: bool, time: Option<&str>) -> Entry {
        Who { manager, applied, api_version: "v1", subresource: "" }.entry(Set::of_names(&["data"]), time)
    }

    // internal/managedfields_test.go
    #[test]
    fn sorts() {
        let times = [None, Some("2002-01-01T01:00:00Z"), Some("2003-01-01T01:00:00Z")];
        let entries = vec![
            entry("c", false, times[2]),
            entry("b", false, times[1]),
            entry("a", true, times[2]),
            entry("a", false, None),
            entry("b", true, times[1]),
        ];
        let out = to_json(entries).unwrap();
        let order: Vec<_> = out
            .as_array()
            .unwrap()
            .iter()
            .map(|e| format!("{}/{}", e["operation"].as_str().unwrap(), e["manager"].as_str().unwrap()))
            .collect();
        assert_eq!(order, ["Apply/b", "Apply/a", "Update/a", "Update/b", "Update/c"]);
    }

    #[test]
    fn names_managers() {
        let mut one = entry("kubectl", false, None);
        assert_eq!(one.identifier(), r#"{"manager":"kubectl","operation":"Update","apiVersion":"v1"}"#);
        one.subresource = "scale".into();
        assert_eq!(one.shown(), r#""kubectl" with subresource "scale" using v1"#);
        assert_eq!(entry("a", true, None).shown(), r#""a""#);
    }

    #[test]
    fn refuses_entries() {
        let object = |entry: Value| json!({"metadata": {"managedFields": [entry]}});
        for (given, why) in [
            (json!({"operation": "Foo"}), "operation must be `Apply` or `Update`"),
            (json!({"operation": "Apply"}), "apiVersion must not be empty"),
            (json!({"operation": "Apply", "apiVersion": "v1"}), "missing fieldsType in managed fields entry 0"),
            (
                json!({"operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV2"}),
                r#"invalid fieldsType "FieldsV2" in managed fields entry 0"#,
            ),
        ] {
            assert_eq!(read(&object(given)).unwrap_err(), why);
        }
        assert!(is_reset(&object(json!({}))));
        assert!(is_reset(&json!({"metadata": {"managedFields": []}})));
        assert!(!is_reset(&json!({"metadata": {}})));
    }
}
