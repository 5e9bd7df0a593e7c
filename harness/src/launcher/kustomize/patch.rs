//! Patches: what they are, and which objects they are for. Ported from `api/internal/builtins/PatchTransformer.go` and
//! its two older brothers.

use k3s_arc_emulator::{
    merge::{self, Strictness},
    schema::yaml,
    selector::Selector,
};
use regex::Regex;
use serde_json::Value;

use super::{
    file::{At, Patch, Target},
    files::Folder,
    node::Node,
    resource::{self, Id, Resource},
    schema,
};

/// Applies an entry of `patches`.
pub(super) fn apply(resources: &mut Vec<Resource>, patch: &Patch, folder: &Folder) -> Result<(), String> {
    let text = text(patch, folder)?;
    let (strategic, json) = (resource::parse(&text), operations(&text));
    match (strategic, json) {
        (Ok(patches), Err(_)) if patches.is_empty() => Err("the patch is empty".to_owned()),
        (Ok(patches), Err(_)) => match (&patch.target, patches.as_slice()) {
            (None, patches) => patches.iter().try_for_each(|patch| merge_into_its_own(resources, patch)),
            (Some(target), [patch]) => {
                let selected = select(resources, target)?;
                merge_into_selected(resources, patch, &selected)
            }
            (Some(_), _) => Err("a patch with a target may hold one object alone".to_owned()),
        },
        (Err(_), Ok(operations)) => {
            let target = patch.target.as_ref().ok_or("a JSON patch needs a target")?;
            let selected = select(resources, target)?;
            for resource in selected.iter().filter_map(|id| find(resources, id)).collect::<Vec<_>>() {
                resources[resource].remember();
                apply_operations(&mut resources[resource], &operations)?;
            }
            Ok(())
        }
        (Ok(_), Ok(_)) => Err("it could be a strategic merge patch and a JSON patch".to_owned()),
        (Err(strategic), Err(json)) => {
            Err(format!("it is neither a strategic merge patch ({strategic}) nor a JSON patch ({json})"))
        }
    }
}

/// Applies an entry of `patchesStrategicMerge`: a path, or the patch itself.
pub(super) fn apply_strategic(resources: &mut Vec<Resource>, entry: &str, folder: &Folder) -> Result<(), String> {
    let patches = match resource::parse(entry) {
        Ok(patches) => patches,
        Err(_) => {
            let text = folder.read_text(entry)?;
            resource::parse(&text).map_err(|error| format!("{}: {error}", folder.path(entry).display()))?
        }
    };
    if patches.is_empty() {
        return Err("the patch is empty".to_owned());
    }
    for patch in patches {
        let id = unique(resources, &patch)?;
        merge_into_selected(resources, &patch, &[id])?;
    }
    Ok(())
}

/// Applies an entry of `patchesJson6902`.
pub(super) fn apply_json(resources: &mut [Resource], patch: &Patch, folder: &Folder) -> Result<(), String> {
    let target = patch.target.as_ref().filter(|target| !target.name.is_empty()).ok_or("it needs a target with a name")?;
    let operations = operations(&text(patch, folder)?)?;
    for id in select(resources, target)? {
        if let Some(index) = find(resources, &id) {
            apply_operations(&mut resources[index], &operations)?;
        }
    }
    Ok(())
}

fn text(patch: &Patch, folder: &Folder) -> Result<String, String> {
    let inline = patch.inline.value.trim();
    match (inline, patch.path.value.as_str()) {
        ("", "") => Err("one of `path` and `patch` must be given".to_owned()),
        (inline, "") => Ok(inline.to_owned()),
        ("", path) => folder.read_text(path),
        _ => Err("`path` and `patch` cannot be given both".to_owned()),
    }
}

/// The operations of a JSON patch, itself in JSON or in YAML.
fn operations(text: &str) -> Result<Value, String> {
    let (node, _) = yaml::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    let value = node.to_value().map_err(|number| format!("JSON has no number {number}"))?;
    match &value {
        Value::Array(operations) if operations.iter().all(Value::is_object) => Ok(value),
        _ => Err("it is no list of operations".to_owned()),
    }
}

fn apply_operations(resource: &mut Resource, operations: &Value) -> Result<(), String> {
    let notes = resource.notes();
    let current = resource.node.to_json()?;
    let body = operations.to_string();
    let patched = merge::patch(merge::Patch::Json, None, &current, body.as_bytes(), Strictness::Ignore)
        .map_err(|_| format!("the JSON patch cannot be applied to {}", resource.id()))?;
    if !patched.value.is_object() {
        return Err(format!("the JSON patch leaves no object of {}", resource.id()));
    }
    resource.node = Node::from_patched(&patched.value);
    let mut annotations = resource.annotations();
    annotations.extend(notes);
    resource.set_annotations(&annotations);
    Ok(())
}

fn find(resources: &[Resource], id: &Id) -> Option<usize> {
    resources.iter().position(|resource| !resource.is_gone() && resource.id() == *id)
}

/// The one object that a patch without a target is for.
fn unique(resources: &[Resource], patch: &Resource) -> Result<Id, String> {
    let id = patch.original();
    let mut found = resources.iter().filter(|resource| !resource.is_gone() && resource.was(&id));
    match (found.next(), found.next()) {
        (Some(one), None) => Ok(one.id()),
        (None, _) => Err(format!("there is no {id} to patch")),
        (Some(_), Some(_)) => Err(format!("there are several {id} to patch")),
    }
}

fn merge_into_its_own(resources: &mut Vec<Resource>, patch: &Resource) -> Result<(), String> {
    let id = unique(resources, patch)?;
    if let Some(index) = find(resources, &id) {
        merge_one(&mut resources[index], patch.node.clone())?;
    }
    resources.retain(|resource| !resource.is_gone());
    Ok(())
}

fn merge_into_selected(resources: &mut Vec<Resource>, patch: &Resource, selected: &[Id]) -> Result<(), String> {
    for resource in resources.iter_mut().filter(|resource| selected.contains(&resource.id())) {
        let mut own = patch.clone();
        own.take_metadata_of(patch);
        own.set_gvk(&resource.gvk());
        own.set_kind(patch.kind());
        merge_one(resource, own.node)?;
    }
    resources.retain(|resource| !resource.is_gone());
    Ok(())
}

/// Name, namespace and kind are the object's, whatever the patch says.
fn merge_one(resource: &mut Resource, patch: Node) -> Result<(), String> {
    let id = resource.id();
    let gvk = resource.gvk();
    if schema::is_dropped(&gvk) {
        return Err(format!(
            "{} of {} is no longer a type of Kubernetes: its lists cannot be merged",
            gvk.kind,
            gvk.api_version()
        ));
    }
    let (name, namespace, kind) = (resource.name().to_owned(), resource.namespace().to_owned(), resource.kind().to_owned());
    let merged = super::merge::merge(resource.node.clone(), patch).map_err(|error| format!("{id}: {error}"))?;
    let Some(merged) = merged else {
        resource.node = Node::map();
        return Ok(());
    };
    resource.node = merged;
    if !resource.is_gone() {
        resource.set_kind(&kind);
        resource.set_name(&name);
        resource.set_namespace(&namespace);
    }
    Ok(())
}

/// The objects that a target stands for, by what they are and by what they were in their files.
fn select(resources: &[Resource], target: &Target) -> Result<Vec<Id>, String> {
    let of = |field: &str| match field {
        "" => Ok(None),
        text => Regex::new(&format!("^(?:{text})$")).map(Some).map_err(|_| format!("`{text}` is no regular expression")),
    };
    let [group, version, kind, name, namespace] =
        [&target.group, &target.version, &target.kind, &target.name, &target.namespace].map(|field| of(field));
    let (group, version, kind, name, namespace) = (group?, version?, kind?, name?, namespace?);
    let labels = Selector::parse(&target.labels)?;
    let annotations = Selector::parse(&target.annotations)?;
    let fits = |pattern: &Option<Regex>, text: &str| pattern.as_ref().is_none_or(|pattern| pattern.is_match(text));
    let selected = resources.iter().filter(|resource| {
        let (id, original) = (resource.id(), resource.original());
        (fits(&namespace, &original.namespace) || fits(&namespace, &id.namespace))
            && (fits(&name, &original.name) || fits(&name, &id.name))
            && fits(&group, &id.gvk.group)
            && fits(&version, &id.gvk.version)
            && fits(&kind, &id.gvk.kind)
            && labels.matches(&serde_json::json!(resource.labels()))
            && annotations.matches(&serde_json::json!(resource.annotations()))
    });
    Ok(selected.map(Resource::id).collect())
}

/// The place in the kustomization that an entry's error is about.
pub(super) fn place(patch: &At<Patch>) -> std::ops::Range<usize> {
    [&patch.value.path, &patch.value.inline]
        .iter()
        .find(|part| !part.value.is_empty())
        .map_or(patch.at.clone(), |part| part.at.clone())
}
