//! Entries of an object as its `scale` subresource shows them, and back: apimachinery's `util/managedfields/scalehandler.go`.

use serde_json::Value;

use super::element::Element;
use super::entries::{self, Entry};
use super::set::Set;

const SCALE_VERSION: &str = "autoscaling/v1";

/// How the replicas of a kind are found.
#[derive(Clone, Copy, Debug)]
pub struct Scaling<'a> {
    /// The version of the object: `apps/v1`.
    pub api_version: &'a str,
    /// The path of the replicas in the object: `spec.replicas`.
    pub replicas: &'a str,
    /// Other versions of the kind, with the path in each (none when that version has no scale).
    pub others: &'a [(&'a str, Option<&'a str>)],
}

impl Scaling<'_> {
    /// None: no such version. `Some(None)`: it has no scale.
    fn path(&self, version: &str) -> Option<Option<&str>> {
        if version == self.api_version {
            return Some(Some(self.replicas));
        }
        self.others.iter().find(|(other, _)| *other == version).map(|(_, path)| *path)
    }

    /// How a built-in resource is scaled; none if it is not.
    #[must_use]
    pub fn of(group: &str, resource: &str) -> Option<Scaling<'static>> {
        let api_version = match (group, resource) {
            ("apps", "deployments" | "replicasets" | "statefulsets") => "apps/v1",
            ("", "replicationcontrollers") => "v1",
            _ => return None,
        };
        Some(Scaling { api_version, replicas: "spec.replicas", others: &[] })
    }

    /// Gives the scale of an object its entries: those that have the replicas. To be called before the scale is patched,
    /// and [`super::Manager::update`] or [`super::Manager::apply`] after it.
    pub fn lend(&self, object: &Value, scale: &mut Value) {
        entries::set(scale, self.of_scale(object).unwrap_or_default());
    }

    /// Gives an object its entries after its scale was written.
    pub fn give_back(&self, object: &mut Value, scale: &Value) {
        if let Ok(entries) = self.of_object(object, scale) {
            entries::set(object, entries);
        }
    }

    /// The entries that the scale has.
    fn of_scale(self, object: &Value) -> Result<Option<Value>, String> {
        let mut out = Vec::new();
        for entry in entries::read(object)? {
            let Some(Some(path)) = self.path(&entry.api_version) else { continue };
            if entry.set.has(&elements(path)) {
                out.push(Entry { set: Set::of_names(&["spec.replicas"]), api_version: SCALE_VERSION.to_owned(), ..entry });
            }
        }
        Ok(entries::to_json(out))
    }

    /// The entries that the object has afterwards.
    fn of_object(self, object: &Value, scale: &Value) -> Result<Option<Value>, String> {
        let mut scaled = entries::read(scale)?;
        let before = entries::read(object)?;
        let mut out = Vec::new();
        for mut entry in before.iter().cloned() {
            // Entries of unknown versions are dropped.
            let Some(path) = self.path(&entry.api_version) else { continue };
            if let Some(path) = path.filter(|path| entry.set.has(&elements(path))) {
                // Updaters are told apart by version too, so that those of the object are never those of its scale.
                let same = scaled.iter().position(|one| {
                    one.manager == entry.manager
                        && one.applied == entry.applied
                        && one.subresource == entry.subresource
                        && (entry.applied || one.api_version == entry.api_version)
                });
                match same {
                    Some(at) => drop(scaled.remove(at)),
                    // Somebody else has the replicas now.
                    None => entry.set = entry.set.difference(&Set::of_names(&[path])),
                }
            }
            if !entry.set.is_empty() {
                out.push(entry);
            }
        }
        for entry in scaled {
            if !entry.set.has(&elements("spec.replicas")) {
                continue;
            }
            out.push(Entry {
                set: Set::of_names(&[self.replicas]),
                api_version: self.api_version.to_owned(),
                // The time is the one that the manager had in the object, which as a rule is none.
                time: None,
                ..entry
            });
        }
        Ok(entries::to_json(out))
    }
}

fn elements(path: &str) -> Vec<Element> {
    path.split('.').map(|name| Element::Field(name.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn entry(manager: &str, operation: &str, version: &str, subresource: &str, fields: &[&str]) -> Value {
        let mut out = json!({
            "manager": manager, "operation": operation, "apiVersion": version, "fieldsType": "FieldsV1",
            "fieldsV1": Set::of_names(fields).to_json(),
        });
        if !subresource.is_empty() {
            out["subresource"] = subresource.into();
        }
        out
    }

    const SCALING: Scaling<'_> = Scaling { api_version: "apps/v1", replicas: "spec.replicas", others: &[] };
    const BOTH: &[&str] = &["spec.replicas", "spec.selector"];
    const REPLICAS: &[&str] = &["spec.replicas"];
    const SELECTOR: &[&str] = &["spec.selector"];

    // scalehandler_test.go
    #[rstest]
    #[case::apply_apply(
        vec![entry("test", "Apply", "apps/v1", "", BOTH)],
        vec![entry("test", "Apply", "autoscaling/v1", "scale", REPLICAS)],
        vec![entry("test", "Apply", "apps/v1", "", SELECTOR), entry("test", "Apply", "apps/v1", "scale", REPLICAS)],
    )]
    #[case::update_apply(
        vec![entry("test", "Update", "apps/v1", "", BOTH)],
        vec![entry("test", "Apply", "autoscaling/v1", "scale", REPLICAS)],
        vec![entry("test", "Apply", "apps/v1", "scale", REPLICAS), entry("test", "Update", "apps/v1", "", SELECTOR)],
    )]
    #[case::not_owned(
        vec![entry("test", "Apply", "apps/v1", "", SELECTOR)],
        vec![entry("scale", "Update", "autoscaling/v1", "scale", &["status.replicas"])],
        vec![entry("test", "Apply", "apps/v1", "", SELECTOR)],
    )]
    #[case::all_stolen(
        vec![entry("test", "Apply", "apps/v1", "", REPLICAS)],
        vec![entry("scale", "Update", "autoscaling/v1", "scale", REPLICAS)],
        vec![entry("scale", "Update", "apps/v1", "scale", REPLICAS)],
    )]
    #[case::shared(
        vec![entry("test", "Apply", "apps/v1", "", BOTH)],
        vec![entry("test", "Apply", "autoscaling/v1", "", REPLICAS), entry("test", "Apply", "autoscaling/v1", "scale", REPLICAS)],
        vec![entry("test", "Apply", "apps/v1", "", BOTH), entry("test", "Apply", "apps/v1", "scale", REPLICAS)],
    )]
    #[case::unknown_version(vec![entry("test", "Apply", "apps/v10", "", BOTH)], vec![], vec![])]
    fn back(#[case] object: Vec<Value>, #[case] scale: Vec<Value>, #[case] expected: Vec<Value>) {
        let object = json!({"metadata": {"managedFields": object}});
        let scale = json!({"metadata": {"managedFields": scale}});
        let out = SCALING.of_object(&object, &scale).unwrap();
        assert_eq!(out.unwrap_or_else(|| json!([])), Value::Array(expected));
    }

    /// What a real K3s makes of a deployment whose replicas somebody applied, when somebody else scales it.
    #[test]
    fn scaling_takes_the_replicas() {
        let builtin = crate::schema::table::builtin();
        let empty =
            json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {}, "spec": {}, "status": {"replicas": 0}});
        let manager = super::super::Manager {
            ty: builtin.type_of("autoscaling", "v1", "Scale"),
            metadata: None,
            api_version: "autoscaling/v1",
            kind: "Scale",
            subresource: "scale",
            empty: &empty,
            reset: &[],
            versions: None,
        };
        let mut object = json!({"metadata": {"managedFields": [entry("ssa", "Apply", "apps/v1", "", BOTH)]}});
        let mut scale = empty.clone();
        scale["metadata"] = json!({"uid": "1"});
        SCALING.lend(&object, &mut scale);
        let mut next = scale.clone();
        next["spec"]["replicas"] = 1.into();
        let next = manager.update(&scale, next, "sc", "2026-11-23T18:54:07Z");
        SCALING.give_back(&mut object, &next);
        let expected =
            json!([entry("ssa", "Apply", "apps/v1", "", SELECTOR), entry("sc", "Update", "apps/v1", "scale", REPLICAS),]);
        assert_eq!(object["metadata"]["managedFields"], expected);

        let mut scale = next.clone();
        SCALING.lend(&object, &mut scale);
        let applied =
            json!({"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": {"name": "d2"}, "spec": {"replicas": 0}});
        let refused = manager.apply(&scale, &applied, "sc2", false, "2026-11-23T18:54:08Z").unwrap_err();
        let message =
            r#"Apply failed with 1 conflict: conflict with "sc" with subresource "scale" using autoscaling/v1: .spec.replicas"#;
        assert_eq!(refused.message, message);
        let next = manager.apply(&scale, &applied, "sc2", true, "2026-11-23T18:54:08Z").unwrap();
        SCALING.give_back(&mut object, &next);
        let expected =
            json!([entry("sc2", "Apply", "apps/v1", "scale", REPLICAS), entry("ssa", "Apply", "apps/v1", "", SELECTOR),]);
        assert_eq!(object["metadata"]["managedFields"], expected);
    }
}
