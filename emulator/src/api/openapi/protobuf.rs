//! The document of OpenAPI version 2 in gnostic's protobuf form (`openapiv2/OpenAPIv2.proto`), the only one that clients such as
//! kubectl before 1.24 ask for.

use serde_json::{Map, Value};

/// What it is sent as; who asks for [`DEPRECATED_MEDIA_TYPE`] gets it by this name too.
pub(super) const MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
/// Its former name, which is no valid media type.
pub(super) const DEPRECATED_MEDIA_TYPE: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";

/// The message of a document that [`super::swagger`] has made.
pub(super) fn encode(document: &Value) -> Vec<u8> {
    let mut out = Message::default();
    out.text(1, &document["swagger"]);
    out.message(2, |info| {
        info.text(1, &document["info"]["title"]);
        info.text(2, &document["info"]["version"]);
    });
    out.message(8, |paths| named(paths, 2, &document["paths"], path_item));
    out.message(9, |definitions| named(definitions, 1, &document["definitions"], schema));
    for requirement in list(&document["security"]) {
        out.message(12, |security| named(security, 1, requirement, |_, _| {}));
    }
    out.message(13, |definitions| {
        named(definitions, 1, &document["securityDefinitions"], |item, value| item.message(2, |key| api_key(key, value)));
    });
    out.bytes
}

/// A protobuf message under construction.
#[derive(Default)]
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    fn raw(&mut self, field: u32, bytes: &[u8]) {
        self.varint(u64::from(field) << 3 | 2);
        self.varint(bytes.len() as u64);
        self.bytes.extend_from_slice(bytes);
    }

    /// A string, if the value is one.
    fn text(&mut self, field: u32, value: &Value) {
        if let Some(text) = value.as_str() {
            self.raw(field, text.as_bytes());
        }
    }

    fn texts(&mut self, field: u32, values: &Value) {
        list(values).for_each(|value| self.text(field, value));
    }

    fn flag(&mut self, field: u32, value: &Value) {
        if value == &Value::Bool(true) {
            self.varint(u64::from(field) << 3);
            self.varint(1);
        }
    }

    fn integer(&mut self, field: u32, value: &Value) {
        if let Some(number) = value.as_i64() {
            self.varint(u64::from(field) << 3);
            self.varint(number.cast_unsigned());
        }
    }

    fn double(&mut self, field: u32, value: &Value) {
        if let Some(number) = value.as_f64() {
            self.varint(u64::from(field) << 3 | 1);
            self.bytes.extend_from_slice(&number.to_le_bytes());
        }
    }

    fn message(&mut self, field: u32, fill: impl FnOnce(&mut Message)) {
        let mut inner = Message::default();
        fill(&mut inner);
        self.raw(field, &inner.bytes);
    }

    /// An `Any` as gnostic has it: YAML, of which JSON is a form.
    fn any(&mut self, field: u32, value: &Value) {
        self.message(field, |any| any.raw(2, format!("{value}\n").as_bytes()));
    }

    /// The keywords that begin with `x-`, as `NamedAny`.
    fn extensions(&mut self, field: u32, map: &Map<String, Value>) {
        for (key, value) in map.iter().filter(|(key, _)| key.starts_with("x-")) {
            self.message(field, |named| {
                named.raw(1, key.as_bytes());
                named.any(2, value);
            });
        }
    }
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// A map as messages of a name and a value.
fn named(out: &mut Message, field: u32, map: &Value, fill: impl Fn(&mut Message, &Value)) {
    for (name, value) in map.as_object().into_iter().flatten() {
        out.message(field, |entry| {
            entry.raw(1, name.as_bytes());
            entry.message(2, |message| fill(message, value));
        });
    }
}

fn api_key(out: &mut Message, value: &Value) {
    for (field, key) in [(1, "type"), (2, "name"), (3, "in"), (4, "description")] {
        out.text(field, &value[key]);
    }
}

fn path_item(out: &mut Message, item: &Value) {
    for (field, method) in [(2, "get"), (3, "put"), (4, "post"), (5, "delete"), (8, "patch")] {
        if let Some(value) = item.get(method) {
            out.message(field, |message| operation(message, value));
        }
    }
    list(&item["parameters"]).for_each(|one| out.message(9, |message| parameters_item(message, one)));
}

fn operation(out: &mut Message, value: &Value) {
    out.texts(1, &value["tags"]);
    out.text(5, &value["operationId"]);
    out.texts(6, &value["produces"]);
    out.texts(7, &value["consumes"]);
    list(&value["parameters"]).for_each(|one| out.message(8, |message| parameters_item(message, one)));
    out.message(9, |responses| {
        // ResponseValue, and in it a Response.
        named(responses, 1, &value["responses"], |message, one| message.message(1, |message| response(message, one)));
    });
    out.texts(10, &value["schemes"]);
    if let Some(map) = value.as_object() {
        out.extensions(13, map);
    }
}

fn response(out: &mut Message, value: &Value) {
    out.text(1, &value["description"]);
    if let Some(of) = value.get("schema") {
        out.message(2, |item| item.message(1, |message| schema(message, of)));
    }
}

/// Either of the body or of one of the other places, each with a message of its own.
fn parameters_item(out: &mut Message, value: &Value) {
    out.message(1, |parameter| {
        if value["in"] == "body" {
            parameter.message(1, |body| {
                body.text(2, &value["name"]);
                body.text(3, &value["in"]);
                body.flag(4, &value["required"]);
                body.message(5, |message| schema(message, &value["schema"]));
            });
            return;
        }
        let in_path = value["in"] == "path";
        parameter.message(2, |other| {
            other.message(if in_path { 4 } else { 3 }, |sub| {
                sub.flag(1, &value["required"]);
                sub.text(2, &value["in"]);
                sub.text(4, &value["name"]);
                sub.text(if in_path { 5 } else { 6 }, &value["type"]);
                sub.flag(if in_path { 19 } else { 20 }, &value["uniqueItems"]);
            });
        });
    });
}

fn schema(out: &mut Message, value: &Value) {
    let Some(map) = value.as_object() else { return };
    for (field, key) in [(1, "$ref"), (2, "format"), (3, "title"), (4, "description"), (13, "pattern")] {
        out.text(field, &value[key]);
    }
    for (field, key) in [(6, "multipleOf"), (7, "maximum"), (9, "minimum")] {
        out.double(field, &value[key]);
    }
    for (field, key) in [(8, "exclusiveMaximum"), (10, "exclusiveMinimum"), (16, "uniqueItems")] {
        out.flag(field, &value[key]);
    }
    let counts =
        [(11, "maxLength"), (12, "minLength"), (14, "maxItems"), (15, "minItems"), (17, "maxProperties"), (18, "minProperties")];
    for (field, key) in counts {
        out.integer(field, &value[key]);
    }
    out.texts(19, &value["required"]);
    list(&value["enum"]).for_each(|one| out.any(20, one));
    match map.get("additionalProperties") {
        Some(Value::Bool(any)) => out.message(21, |item| {
            // Of the two forms the second is the boolean; false is its default, which is not written.
            item.flag(2, &Value::Bool(*any));
        }),
        Some(of) => out.message(21, |item| item.message(1, |message| schema(message, of))),
        None => {}
    }
    if map.contains_key("type") {
        out.message(22, |ty| ty.text(1, &value["type"]));
    }
    if let Some(of) = map.get("items") {
        out.message(23, |items| items.message(1, |message| schema(message, of)));
    }
    if map.contains_key("properties") {
        out.message(25, |properties| named(properties, 1, &value["properties"], schema));
    }
    out.extensions(31, map);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn encodes_a_schema() {
        let mut out = Message::default();
        schema(&mut out, &json!({"type": "object", "required": ["a"], "x-b": {"c": 1}}));
        let expected: &[u8] = &[
            0x9a, 0x01, 1, b'a', // required
            0xb2, 0x01, 8, 0x0a, 6, b'o', b'b', b'j', b'e', b'c', b't', // type
            0xfa, 0x01, 17, 0x0a, 3, b'x', b'-', b'b', 0x12, 10, 0x12, 8, b'{', b'"', b'c', b'"', b':', b'1', b'}', b'\n',
        ];
        assert_eq!(out.bytes, expected);
    }
}
