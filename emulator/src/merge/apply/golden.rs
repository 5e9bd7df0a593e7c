//! structured-merge-diff's own test cases: `testdata/merges.json` holds each step of `merge/*_test.go` with what the library
//! makes of it.

use serde_json::Value;

use super::entries::{Entry, Who};
use super::set::Set;
use super::shape::Shape;
use super::update::{Failure, Updater, Versions};
use crate::schema::{Type, Types};

fn entries(managers: &Value) -> Vec<Entry> {
    let managers = managers.as_object().unwrap();
    let one = |(name, entry): (&String, &Value)| {
        // The library knows managers by name alone; whether they applied makes no difference to it.
        let who = Who { manager: name, applied: true, api_version: entry["version"].as_str().unwrap(), subresource: "" };
        who.entry(Set::from_json(&entry["fields"]).unwrap(), None)
    };
    managers.iter().map(one).collect()
}

fn sorted(mut entries: Vec<Entry>) -> Vec<Entry> {
    entries.sort_by(|a, b| a.manager.cmp(&b.manager));
    entries
}

/// The library's tests take all versions for the same.
struct Same<'a>(Option<Type<'a>>);

impl Versions for Same<'_> {
    fn at(&self, object: &Value, _: &str) -> Option<(Value, Option<Type<'_>>)> {
        Some((object.clone(), self.0))
    }
}

fn check(types: &Types, case: &Value) {
    let ty = match case["type"].as_str().unwrap() {
        "__untyped_deduced_" => None,
        name => types.get(name),
    };
    let versions = Same(ty);
    let reset = case.get("reset").map(|reset| Set::from_json(reset).unwrap()).unwrap_or_default();
    let version = case["version"].as_str().unwrap();
    let updater = Updater {
        shape: Shape::of_object(ty, None),
        api_version: version,
        reset: &reset,
        metadata: None,
        versions: Some(&versions),
    };
    let mut kept = entries(&case["managers"]);
    let who = Who { manager: case["manager"].as_str().unwrap(), applied: true, api_version: version, subresource: "" };
    let (live, object) = (&case["live"], &case["object"]);
    if case["op"] == "update" {
        let set = updater.update(live, object, &mut kept).unwrap();
        let before = who.find(&kept).map(|at| kept.remove(at).set).unwrap_or_default();
        let set = before.union(set).recursive_difference(&reset);
        if !set.is_empty() {
            kept.push(who.entry(set, None));
        }
        assert_eq!(sorted(kept), sorted(entries(&case["after"])), "{case}");
        return;
    }
    match updater.apply(live, object, &mut kept, who, case["force"].as_bool().unwrap()) {
        Ok(result) => {
            assert!(case.get("conflicts").is_none(), "{case}");
            assert_eq!(result.is_none(), case["noop"].as_bool().unwrap(), "{case}");
            assert_eq!(result.unwrap_or(Value::Null), case["result"], "{case}");
            assert_eq!(sorted(kept), sorted(entries(&case["after"])), "{case}");
        }
        Err(Failure::Conflicts(conflicts)) => {
            let mut found: Vec<_> = conflicts.iter().map(|c| (c.owner.clone(), c.field())).collect();
            let name = |owner: &str| format!(r#"{{"manager":"{owner}","operation":"Apply"}}"#);
            let expected = case["conflicts"].as_array().unwrap().iter();
            let mut expected: Vec<_> =
                expected.map(|c| (name(c[0].as_str().unwrap()), c[1].as_str().unwrap().to_owned())).collect();
            found.sort();
            expected.sort();
            assert_eq!(found, expected, "{case}");
        }
        Err(Failure::Error(why)) => assert_eq!(Some(why.as_str()), case["error"].as_str(), "{case}"),
    }
}

#[test]
fn merges_like_the_library() {
    let golden: Value = serde_json::from_str(include_str!("../testdata/merges.json")).unwrap();
    let types: Vec<_> =
        golden["types"].as_array().unwrap().iter().map(|types| Types::from_components(types.as_object().unwrap())).collect();
    for case in golden["cases"].as_array().unwrap() {
        let at = case["components"].as_u64().unwrap();
        check(&types[usize::try_from(at).unwrap()], case);
    }
}
