//! Objects and lists in the form that a client asked for.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::negotiate::{Encoding, Form, Wanted};
use super::request::Query;
use crate::cluster::Cluster;
use crate::registry::Served;
use crate::schema::to_yaml;
use crate::status::Refusal;
use crate::store::Stored;
use crate::table::{Include, Options};
use crate::verbs::list::Page;

/// What the rows of a table hold (`includeObject`).
pub(super) fn include(query: &Query) -> Result<Include, Refusal> {
    Include::parse(query.get("includeObject").unwrap_or_default())
}

/// Encodes a document as it is.
pub(super) fn document(code: u16, wanted: Wanted, document: &Value) -> Answer {
    match wanted.encoding {
        Encoding::Json => answer::json(code, document),
        Encoding::Yaml => answer::whole(code, Encoding::Yaml.content_type(), to_yaml(document)),
        Encoding::Protobuf => match crate::proto::encode(document) {
            Ok(bytes) => answer::whole(code, Encoding::Protobuf.content_type(), bytes),
            Err(error) => Refusal::internal(&error.to_string()).into(),
        },
    }
}

fn no_table(object: &Value) -> bool {
    matches!(object["kind"].as_str(), Some("Status" | "Table"))
}

/// A table of objects in the resource's columns. A subresource's objects may be of another kind, with columns of their own.
pub(super) fn table(
    cluster: &Cluster,
    served: &Served,
    subresource: &str,
    objects: &[&Value],
    metadata: Value,
    options: Options<'_>,
) -> Value {
    let now = cluster.clock();
    if let Some(custom) = served.custom().filter(|_| subresource.is_empty() || subresource == "status") {
        let rows = objects.iter().map(|o| crate::table::row(&served.resource, custom.cells(o, now), o, options)).collect();
        return crate::table::assemble(custom.column_definitions(), rows, metadata, options);
    }
    let resource = if subresource.is_empty() { served.resource.clone() } else { format!("{}/{subresource}", served.resource) };
    crate::table::table(&served.group, &resource, objects, metadata, options, now)
}

/// Only the metadata of an object.
pub(super) fn metadata_only(served: &Served, object: &Value, version: &str) -> Value {
    crate::table::partial(&served.resource, object, &format!("meta.k8s.io/{version}"))
}

/// One object.
pub(super) fn object(
    cluster: &Cluster,
    served: &Served,
    subresource: &str,
    query: &Query,
    code: u16,
    wanted: Wanted,
    object: &Value,
) -> Answer {
    match wanted.form {
        Form::Table(version) if !no_table(object) => {
            let include = match include(query) {
                Ok(include) => include,
                Err(refusal) => return refusal.into(),
            };
            let api_version = format!("meta.k8s.io/{version}");
            let options = Options { include, headers: true, api_version: &api_version };
            let metadata = match object["metadata"]["resourceVersion"].as_str() {
                Some(version) if !version.is_empty() => json!({"resourceVersion": version}),
                _ => json!({}),
            };
            answer::json(code, &table(cluster, served, subresource, &[object], metadata, options))
        }
        Form::Metadata(version) if !no_table(object) => document(code, wanted, &metadata_only(served, object, version)),
        // A single object has no list form.
        Form::MetadataList(_) => {
            let why = format!("the requested object is not a list ({})", go_type(served, &served.kind));
            Refusal::new(406, "NotAcceptable", format!("you requested PartialObjectMetadataList, but {why}")).into()
        }
        _ => document(code, wanted, object),
    }
}

/// The type that Go's API server has an object in.
fn go_type(served: &Served, kind: &str) -> String {
    if served.is_custom() {
        let list = if kind == served.list_kind { "List" } else { "" };
        return format!("*unstructured.Unstructured{list}");
    }
    let package = match served.group.split('.').next().unwrap_or_default() {
        "" => "core",
        package => package,
    };
    format!("*{package}.{kind}")
}

/// A page of a list.
pub(super) fn page(cluster: &Cluster, served: &Served, query: &Query, wanted: Wanted, page: &Page) -> Answer {
    let objects = || page.objects.iter().map(|stored| served.live(stored)).collect::<Vec<Value>>();
    match wanted.form {
        Form::Table(version) => {
            let include = match include(query) {
                Ok(include) => include,
                Err(refusal) => return refusal.into(),
            };
            let api_version = format!("meta.k8s.io/{version}");
            let options = Options { include, headers: true, api_version: &api_version };
            let objects = objects();
            let objects: Vec<&Value> = objects.iter().collect();
            answer::json(200, &table(cluster, served, "", &objects, short(&page.metadata), options))
        }
        Form::Metadata(_) => {
            let why = format!("the requested object is a list ({})", go_type(served, &served.list_kind));
            Refusal::new(406, "NotAcceptable", format!("you requested PartialObjectMetadata, but {why}")).into()
        }
        Form::MetadataList(version) => {
            let items: Vec<Value> = objects().iter().map(|o| metadata_only(served, o, version)).collect();
            let list = json!({
                "kind": "PartialObjectMetadataList",
                "apiVersion": format!("meta.k8s.io/{version}"),
                "metadata": short(&page.metadata),
                // Go's empty list is nil.
                "items": if items.is_empty() { Value::Null } else { items.into() },
            });
            document(200, wanted, &list)
        }
        Form::Object if wanted.encoding == Encoding::Json => {
            answer::whole(200, Encoding::Json.content_type(), list_json(served, &page.objects, &page.metadata))
        }
        Form::Object => {
            let items: Vec<Value> = page.objects.iter().map(|stored| served.item(stored)).collect();
            document(200, wanted, &served.list_of(items, page.metadata.clone()))
        }
    }
}

/// A list's metadata without what is empty, which only lists of custom resources have.
fn short(metadata: &Value) -> Value {
    let mut metadata = metadata.clone();
    if let Some(fields) = metadata.as_object_mut() {
        fields.retain(|_, value| value != "");
    }
    metadata
}

/// A list in JSON, pieced together from what is stored.
fn list_json(served: &Served, objects: &[Arc<Stored>], metadata: &Value) -> Bytes {
    let head = json!({"kind": served.list_kind, "apiVersion": served.api_version(), "metadata": metadata}).to_string();
    let size: usize = objects.iter().map(|o| o.json.len() + 1).sum();
    let mut out = BytesMut::with_capacity(size + head.len() + 16);
    out.put_slice(&head.as_bytes()[..head.len() - 1]);
    out.put_slice(b",\"items\":[");
    for (index, stored) in objects.iter().enumerate() {
        if index > 0 {
            out.put_u8(b',');
        }
        match served.stored_form(stored) {
            Some(json) => out.put_slice(json),
            None => out.put_slice(served.item(stored).to_string().as_bytes()),
        }
    }
    out.put_slice(b"]}\n");
    out.freeze()
}
