//! Strategic merge patch: apimachinery's `util/strategicpatch/patch.go`, as the API server uses it.

use std::collections::{BTreeSet, HashMap, HashSet};

use serde_json::{Map, Value};

use super::{go, without_nulls};
use crate::field::quote;
use crate::schema::{Shape, Type};
use crate::status::Refusal;

const DIRECTIVE: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList";
const SET_ORDER: &str = "$setElementOrder";

/// Why a patch cannot be applied.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Failure {
    /// It is malformed.
    Format(&'static str),
    ListOfLists,
    /// Anything else, which the API server takes for its own error.
    Other(String),
}

const BAD_PRIMITIVE_LIST: Failure = Failure::Format("invalid patch format of primitive list");
const BAD_RETAIN_KEYS: Failure = Failure::Format("invalid patch format of retainKeys");
const BAD_SET_ORDER: Failure = Failure::Format("invalid patch format of setElementOrder list");

impl From<Failure> for Refusal {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Format(why) => Self::bad_request(why),
            Failure::ListOfLists => super::unprocessable(),
            Failure::Other(why) => Self::new(500, "", why),
        }
    }
}

fn bad_argument(expected: &str, found: &Value) -> Failure {
    let found = if found.is_null() { "%!s(<nil>)" } else { go::type_name(found) };
    Failure::Other(format!("expected a {expected}, but received a {found}"))
}

fn no_merge_key(item: &Map<String, Value>, key: &str) -> Failure {
    let shown = go::show(&Value::Object(item.clone()));
    Failure::Other(format!("map: {shown} does not contain declared merge key: {key}"))
}

fn bad_directive(directive: &Value, patch: &Map<String, Value>) -> Failure {
    let shown = go::show(&Value::Object(patch.clone()));
    Failure::Other(format!("unknown patch type: {} in map: {shown}", go::text(directive)))
}

type Object = Map<String, Value>;
type List = Vec<Value>;

/// Merges a patch into an object. Of the patch the directives are consumed, as they are by the API server, which shows what
/// is left in its messages.
pub(crate) fn merge(ty: Type<'_>, original: Object, patch: &mut Object) -> Result<Object, Failure> {
    merge_objects(Some(ty), original, patch)
}

/// What the field of an object says about patches to it.
struct Field<'a> {
    /// Its type, of a list that of the items.
    ty: Option<Type<'a>>,
    strategy: &'a str,
    key: &'a str,
}

fn look_up<'a>(ty: Option<Type<'a>>, name: &str) -> Result<Field<'a>, Failure> {
    let not_struct =
        |kind: &str| Failure::Other(format!("merging an object in json but data type is not struct, instead is: {kind}"));
    let Some(ty) = ty else { return Err(not_struct("interface")) };
    match ty.shape() {
        Shape::Map => return Err(not_struct("map")),
        Shape::List => return Err(not_struct("slice")),
        _ => {}
    }
    let field = ty.field(name).or_else(|| ty.fields().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, ty)| ty));
    let Some(field) = field else {
        let short = ty.name().and_then(|name| name.rsplit('.').next()).unwrap_or_default();
        return Err(Failure::Other(format!("unable to find api field in struct {short} for the json field {}", quote(name))));
    };
    let strategies = field.keyword("x-kubernetes-patch-strategy").and_then(Value::as_str).unwrap_or_default();
    let strategy = match strategies.split_once(',') {
        None if strategies == "retainKeys" => "",
        None => strategies,
        Some(("retainKeys", other) | (other, "retainKeys")) => other,
        Some(_) => {
            let shown = strategies.replace(',', " ");
            return Err(Failure::Other(format!("unexpected patch strategy: [{shown}]")));
        }
    };
    let ty = if field.shape() == Shape::List { field.items() } else { Some(field) };
    Ok(Field { ty, strategy, key: field.patch_merge_key().unwrap_or_default() })
}

fn merge_objects(ty: Option<Type<'_>>, mut original: Object, patch: &mut Object) -> Result<Object, Failure> {
    if let Some(directive) = patch.get(DIRECTIVE).cloned() {
        return match directive.as_str() {
            Some("replace") => {
                patch.remove(DIRECTIVE);
                Ok(patch.clone())
            }
            Some("delete") => Ok(Map::new()),
            _ => Err(bad_directive(&directive, patch)),
        };
    }
    retain_keys(&mut original, patch)?;
    order_lists(ty, &mut original, patch)?;
    for (name, patched) in patch.iter_mut() {
        let is_deletion = name.starts_with(DELETE_FROM);
        let name = if is_deletion { prefixed(name, DELETE_FROM, BAD_PRIMITIVE_LIST)? } else { name };
        if patched.is_null() {
            original.remove(name);
            continue;
        }
        let merged = match (original.get_mut(name), patched) {
            (Some(Value::Object(current)), Value::Object(patched)) => {
                let field = look_up(ty, name)?;
                Some(Value::Object(if field.strategy == "replace" {
                    patched.clone()
                } else {
                    merge_objects(field.ty, std::mem::take(current), patched)?
                }))
            }
            (Some(Value::Array(current)), Value::Array(patched)) => {
                let field = look_up(ty, name)?;
                Some(Value::Array(merge_field_lists(&field, std::mem::take(current), patched, is_deletion)?))
            }
            _ if is_deletion => continue,
            (_, patched) => without_directives(without_nulls(patched.clone())),
        };
        match merged {
            Some(value) => drop(original.insert(name.to_owned(), value)),
            None => drop(original.remove(name)),
        }
    }
    Ok(original)
}

/// The name after `$directive/`.
fn prefixed<'n>(name: &'n str, prefix: &str, error: Failure) -> Result<&'n str, Failure> {
    match name.split_once('/') {
        Some((before, name)) if before == prefix => Ok(name),
        _ => Err(error),
    }
}

/// `$retainKeys`: clears what it does not list.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<(), Failure> {
    let Some(listed) = patch.remove(RETAIN_KEYS) else { return Ok(()) };
    let Value::Array(listed) = listed else { return Err(BAD_RETAIN_KEYS) };
    let is_listed = |name: &String| listed.iter().any(|one| one.as_str() == Some(name));
    let stray = patch.iter().any(|(name, value)| {
        !value.is_null() && !name.starts_with(DELETE_FROM) && !name.starts_with(SET_ORDER) && !is_listed(name)
    });
    if stray {
        return Err(BAD_RETAIN_KEYS);
    }
    original.retain(|name, _| is_listed(name));
    Ok(())
}

/// `$setElementOrder/<list>`: merges the list and puts its items into that order.
fn order_lists(ty: Option<Type<'_>>, original: &mut Object, patch: &mut Object) -> Result<(), Failure> {
    let directives: Vec<String> = patch.keys().filter(|name| name.starts_with(SET_ORDER)).cloned().collect();
    for directive in directives {
        let order = match patch.remove(&directive) {
            Some(Value::Array(order)) => order,
            Some(other) => return Err(bad_argument("[]interface {}", &other)),
            None => continue,
        };
        let name = prefixed(&directive, SET_ORDER, BAD_SET_ORDER)?;
        let current = match original.get(name) {
            None => None,
            Some(Value::Array(list)) => Some(list.clone()),
            Some(other) => return Err(bad_argument("[]interface {}", other)),
        };
        let mut patched = match patch.get(name) {
            None => None,
            Some(Value::Array(list)) => Some(list.clone()),
            Some(other) => return Err(bad_argument("[]interface {}", other)),
        };
        let field = look_up(ty, name)?;
        check_order(patched.as_deref().unwrap_or_default(), &order, field.key)?;
        let merged = match (&current, &mut patched) {
            (None, None) => continue,
            (Some(current), None) => current.clone(),
            (None, Some(patched)) => patched.iter().cloned().filter_map(without_directives).collect(),
            (Some(current), Some(patched)) => merge_field_lists(&field, current.clone(), patched, false)?,
        };
        let (patch_items, server_items) = partition(merged, &order, field.key)?;
        let mut current = current.unwrap_or_default();
        let patched = patched.unwrap_or_default();
        let is_maps = holds_maps(&current, &patched)?;
        if is_maps && field.strategy == "merge" {
            current = in_place(current, &patched, field.key)?;
        }
        let sorted = interleave(patch_items, server_items, &order, &current, field.key, is_maps)?;
        original.insert(name.to_owned(), Value::Array(sorted));
        patch.remove(name);
    }
    Ok(())
}

/// The items of the patch must be among those ordered, and in that order.
fn check_order(patched: &[Value], order: &[Value], key: &str) -> Result<(), Failure> {
    if patched.is_empty() || order.is_empty() {
        return Ok(());
    }
    let mut kept: Vec<&Value> = patched.iter().collect();
    if !key.is_empty() {
        for item in patched {
            if !item.is_object() {
                return Err(bad_argument("map[string]interface {}", item));
            }
        }
        kept.retain(|item| item.get(DIRECTIVE).and_then(Value::as_str) != Some("delete"));
    }
    let (mut at, mut at_order) = (0, 0);
    while at < kept.len() && at_order < order.len() {
        if kept[at].get(DIRECTIVE).is_some() {
            at += 1;
            continue;
        }
        if alike(kept[at], &order[at_order], key)? {
            at += 1;
        }
        at_order += 1;
    }
    if at < kept.len() && at_order >= order.len() {
        let (patched, order) = (go::show(&patched.into()), go::show(&order.into()));
        return Err(Failure::Other(format!("The order in patch list:\n{patched}\n doesn't match {SET_ORDER} list:\n{order}\n")));
    }
    Ok(())
}

fn alike(left: &Value, right: &Value, key: &str) -> Result<bool, Failure> {
    if key.is_empty() {
        return Ok(left == right);
    }
    Ok(merge_key(left, key)? == merge_key(right, key)?)
}

fn merge_key<'v>(item: &'v Value, key: &str) -> Result<&'v Value, Failure> {
    let fields = item.as_object().ok_or_else(|| bad_argument("map[string]interface {}", item))?;
    fields.get(key).ok_or_else(|| no_merge_key(fields, key))
}

fn merge_field_lists(field: &Field<'_>, original: List, patch: &mut List, is_deletion: bool) -> Result<List, Failure> {
    // A list of deletions deletes whatever the strategy.
    if field.strategy == "merge" || is_deletion { merge_lists(field, original, patch, is_deletion) } else { Ok(patch.clone()) }
}

fn merge_lists(field: &Field<'_>, original: List, patch: &mut List, is_deletion: bool) -> Result<List, Failure> {
    if original.is_empty() && patch.is_empty() {
        return Ok(original);
    }
    let key = field.key;
    if !holds_maps(&original, patch)? {
        if is_deletion {
            let deleted = places(patch, "");
            return Ok(original.into_iter().filter(|item| !deleted.contains_key(&item.to_string())).collect());
        }
        let both = original.iter().chain(patch.iter()).cloned().collect();
        let (patch_items, server_items) = partition(once_each(both), patch, key)?;
        return interleave(patch_items, server_items, patch, &original, key, false);
    }
    if key.is_empty() {
        let kind = field.ty.map_or("interface", |ty| if ty.shape() == Shape::Map { "map" } else { "struct" });
        return Err(Failure::Other(format!("cannot merge lists without merge key for {kind}")));
    }
    let (original, mut patch) = special_items(original, patch, key)?;
    let mut merged = original.clone();
    let mut places = places(&merged, key);
    for item in &mut patch {
        let name = merge_key(item, key)?.to_string();
        let Some(patched) = item.as_object_mut() else { continue };
        match places.get(&name).copied() {
            Some(at) => {
                let current = match merged[at].take() {
                    Value::Object(current) => current,
                    _ => Map::new(),
                };
                merged[at] = Value::Object(merge_objects(field.ty, current, patched)?);
            }
            None => {
                places.insert(name, merged.len());
                merged.push(Value::Object(patched.clone()));
            }
        }
    }
    let (patch_items, server_items) = partition(merged, &patch, key)?;
    interleave(patch_items, server_items, &patch, &original, key, true)
}

/// What an item is told from others by, written: the merge key of a map, a scalar itself.
fn name(item: &Value, key: &str) -> Option<String> {
    if key.is_empty() { Some(item.to_string()) } else { item.get(key).map(Value::to_string) }
}

/// Where each item is, the first of those alike. Lists may be long, and looking through them for each item would take as
/// long again.
fn places(items: &[Value], key: &str) -> HashMap<String, usize> {
    let mut places = HashMap::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        if let Some(name) = name(item, key) {
            places.entry(name).or_insert(at);
        }
    }
    places
}

/// Obeys the items that are directives, and returns the others.
fn special_items(mut original: List, patch: &List, key: &str) -> Result<(List, List), Failure> {
    let mut rest = Vec::with_capacity(patch.len());
    let mut replace = false;
    let mut deleted = HashSet::new();
    for item in patch {
        let Some(fields) = item.as_object() else { continue };
        let Some(directive) = fields.get(DIRECTIVE) else {
            rest.push(item.clone());
            continue;
        };
        match directive.as_str() {
            Some("delete") => {
                deleted.insert(fields.get(key).ok_or_else(|| no_merge_key(fields, key))?.to_string());
            }
            Some("replace") => replace = true,
            Some("merge") => return Err(Failure::Other("merging lists cannot yet be specified in the patch".into())),
            _ => return Err(bad_directive(directive, fields)),
        }
    }
    if !deleted.is_empty() {
        original.retain(|item| name(item, key).is_none_or(|name| !deleted.contains(&name)));
    }
    Ok(if replace { (rest, Vec::new()) } else { (original, rest) })
}

/// What merging leaves of the server's list where it lies in memory: the library goes by that for the server's order, so
/// that new items take the places of deleted ones.
fn in_place(list: List, patch: &List, key: &str) -> Result<List, Failure> {
    let length = list.len();
    let replaces = patch.iter().any(|item| item.get(DIRECTIVE).and_then(Value::as_str) == Some("replace"));
    let (mut list, added) = if replaces { (list, Vec::new()) } else { special_items(list, patch, key)? };
    let mut there = places(&list, key);
    for item in added {
        if let Some(name) = name(&item, key)
            && there.insert(name, 0).is_none()
        {
            list.push(item);
        }
    }
    list.truncate(length);
    Ok(list)
}

/// Whether two lists hold maps; all items must be of one type.
fn holds_maps(left: &[Value], right: &[Value]) -> Result<bool, Failure> {
    let mut items = left.iter().chain(right);
    let Some(first) = items.next() else {
        return Err(Failure::Other("no elements in any of the given slices".into()));
    };
    if first.is_array() {
        return Err(Failure::ListOfLists);
    }
    let kind = go::type_name(first);
    if items.any(|item| go::type_name(item) != kind) {
        let shown = [left, right].map(|list| go::show(&list.into())).join(" ");
        return Err(Failure::Other(format!("list element types are not identical: [{shown}]")));
    }
    Ok(first.is_object())
}

/// Drops repeated scalars the way the library does: the last one takes the place of a repeated one.
fn once_each(mut items: List) -> List {
    let mut places: HashMap<String, BTreeSet<usize>> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        places.entry(item.to_string()).or_default().insert(at);
    }
    let mut at = 0;
    while at < items.len() {
        let name = items[at].to_string();
        while let Some(again) = places.get(&name).and_then(|all| all.range(at + 1..).next().copied()) {
            let last = items.len() - 1;
            let moved = items[last].to_string();
            items.swap_remove(again);
            if let Some(all) = places.get_mut(&name) {
                all.remove(&again);
            }
            if again != last
                && let Some(all) = places.get_mut(&moved)
            {
                all.remove(&last);
                all.insert(again);
            }
        }
        at += 1;
    }
    items
}

/// The items that are also in `by`, and the others.
fn partition(items: List, by: &[Value], key: &str) -> Result<(List, List), Failure> {
    let (mut inside, mut outside) = (Vec::new(), Vec::new());
    let by = places(by, key);
    for item in items {
        let name = if key.is_empty() { item.to_string() } else { merge_key(&item, key)?.to_string() };
        if by.contains_key(&name) { inside.push(item) } else { outside.push(item) }
    }
    Ok((inside, outside))
}

/// Sorts the items of the patch by its order and the others by the server's, and puts the others between the former where
/// the server had them, or else after them.
fn interleave(
    patch: List,
    server: List,
    patch_order: &[Value],
    server_order: &[Value],
    key: &str,
    is_maps: bool,
) -> Result<List, Failure> {
    let key = if is_maps { key } else { "" };
    let (patch_places, server_places) = (places(patch_order, key), places(server_order, key));
    let place = |places: &HashMap<String, usize>, item: &Value| places.get(&name(item, key)?).copied();
    let sort = |mut items: List, order: &[Value], places| -> Result<List, Failure> {
        if is_maps {
            for item in items.iter().chain(order) {
                merge_key(item, key)?;
            }
        }
        items.sort_by_cached_key(|item| {
            let deleted = is_maps && item.get(DIRECTIVE).and_then(Value::as_str) == Some("delete");
            (deleted, place(places, item).unwrap_or(usize::MAX))
        });
        Ok(items)
    };
    let mut left = sort(server, server_order, &server_places)?.into_iter().peekable();
    let mut right = sort(patch, patch_order, &patch_places)?.into_iter().peekable();
    let mut out = Vec::with_capacity(left.len() + right.len());
    while let (Some(ours), Some(theirs)) = (left.peek(), right.peek()) {
        let first = matches!((place(&server_places, ours), place(&server_places, theirs)), (Some(a), Some(b)) if a < b);
        out.extend(if first { left.next() } else { right.next() });
    }
    out.extend(right);
    out.extend(left);
    Ok(out)
}

/// A value of the patch without its directives; none if it is one.
fn without_directives(value: Value) -> Option<Value> {
    match value {
        Value::Object(fields) if fields.contains_key(DIRECTIVE) => None,
        Value::Object(fields) => {
            Some(Value::Object(fields.into_iter().filter_map(|(name, v)| Some((name, without_directives(v)?))).collect()))
        }
        Value::Array(items) => Some(Value::Array(items.into_iter().filter_map(without_directives).collect())),
        other => Some(other),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema::Types;

    // The cases of strategicpatch/patch_test.go with what the library makes of them.
    #[test]
    fn patches_like_the_library() {
        let golden: Value = serde_json::from_str(include_str!("testdata/strategic.json")).unwrap();
        let types = Types::from_components(golden["types"].as_object().unwrap());
        let ty = types.get("mergeItem").unwrap();
        for case in golden["cases"].as_array().unwrap() {
            let original = case["original"].as_object().unwrap().clone();
            let mut patch = case["patch"].as_object().unwrap().clone();
            match merge(ty, original, &mut patch) {
                Ok(result) => assert_eq!(Value::Object(result), case["result"], "{case}"),
                Err(failure) => {
                    let why = match failure {
                        Failure::Format(why) => why.to_owned(),
                        Failure::ListOfLists => "lists of lists are not supported".to_owned(),
                        Failure::Other(why) => why,
                    };
                    assert_eq!(Some(why.as_str()), case["error"].as_str(), "{case}");
                }
            }
        }
    }

    fn pod() -> Type<'static> {
        crate::schema::table::builtin().type_of("", "v1", "Pod").unwrap()
    }

    fn patched(original: &Value, patch: Value) -> Result<Value, Failure> {
        let Value::Object(mut patch) = patch else { panic!("no object") };
        merge(pod(), original.as_object().unwrap().clone(), &mut patch).map(Value::Object)
    }

    #[test]
    fn merges_long_lists() {
        let of = |from: usize| (from..from + 20_000).map(|n| json!(format!("a.b/{n}"))).collect::<Vec<_>>();
        let original = json!({"metadata": {"finalizers": of(0)}});
        let out = patched(&original, json!({"metadata": {"finalizers": of(10_000)}})).unwrap();
        assert_eq!(out["metadata"]["finalizers"].as_array().unwrap().len(), 30_000);
    }

    #[test]
    fn puts_new_items_first() {
        let original = json!({"spec": {"containers": [{"name": "a", "image": "x"}]}});
        let patch = json!({"spec": {"containers": [{"name": "b", "image": "y"}]}});
        let out = patched(&original, patch).unwrap();
        assert_eq!(out, json!({"spec": {"containers": [{"name": "b", "image": "y"}, {"name": "a", "image": "x"}]}}));
    }

    #[test]
    fn words_errors() {
        let original = json!({"spec": {"containers": [{"name": "a", "image": "x"}]}});
        for (patch, why) in [
            (json!({"spec": {"containers": [{"image": "y"}]}}), "map: map[image:y] does not contain declared merge key: name"),
            (
                json!({"spec": {"$setElementOrder/nothing": []}}),
                r#"unable to find api field in struct PodSpec for the json field "nothing""#,
            ),
            (json!({"spec": {"$patch": 5}}), "unknown patch type: %!s(int64=5) in map: map[$patch:5]"),
            (json!({"spec": {"$patch": "other"}}), "unknown patch type: other in map: map[$patch:other]"),
            (json!({"spec": {"containers": [{"$patch": "merge"}]}}), "merging lists cannot yet be specified in the patch"),
        ] {
            assert_eq!(patched(&original, patch), Err(Failure::Other(why.into())));
        }
    }
}
