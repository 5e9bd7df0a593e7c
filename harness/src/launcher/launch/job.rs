//! The launcher's Job in what was rendered, and what is changed in it.

use std::collections::BTreeMap;

use kube::{ResourceExt, core::DynamicObject};
use serde_json::{Value, json};

use super::{LaunchError, LauncherMode};

/// The launcher's container, and its image's name in the base.
const CONTAINER: &str = "arc-ci-launcher";

/// The launcher's Job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct LauncherJob {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) container: String,
    /// The image that runs.
    pub(super) image: String,
}

impl LauncherJob {
    /// Finds the Job, and sets its mode, the labels of its pod, and, if the stand-in is to play the launcher, its image.
    ///
    /// The stand-in gives what it makes the labels of its pod, so that all of it can be told from others'.
    pub(super) fn adjust(
        objects: &mut [DynamicObject],
        standin: Option<&str>,
        mode: LauncherMode,
        labels: &BTreeMap<String, String>,
    ) -> Result<Self, LaunchError> {
        for object in objects.iter_mut().filter(|object| is_job(object)) {
            let (namespace, name) = (object.namespace().unwrap_or_else(|| "default".to_owned()), object.name_any());
            let containers = object.data.pointer_mut("/spec/template/spec/containers").and_then(Value::as_array_mut);
            let Some(container) =
                containers.and_then(|containers| containers.iter_mut().find(|container| container["name"] == CONTAINER))
            else {
                continue;
            };
            if let Some(image) = standin {
                container["image"] = image.into();
                // It is on the node already, and in no registry.
                container["imagePullPolicy"] = "IfNotPresent".into();
            }
            if let Some(mode) = mode.variable() {
                set_variable(container, "LAUNCHER_MODE", mode);
            }
            let image = container["image"].as_str().unwrap_or_default().to_owned();
            for (label, value) in labels {
                object.data["spec"]["template"]["metadata"]["labels"][label] = value.as_str().into();
            }
            return Ok(Self { namespace, name, container: CONTAINER.to_owned(), image });
        }
        Err(LaunchError::NoLauncher { container: CONTAINER })
    }
}

pub(super) fn is_job(object: &DynamicObject) -> bool {
    object.types.as_ref().is_some_and(|types| types.kind == "Job" && types.api_version.starts_with("batch/"))
}

fn set_variable(container: &mut Value, name: &str, value: &str) {
    if !container["env"].is_array() {
        container["env"] = json!([]);
    }
    if let Some(env) = container["env"].as_array_mut() {
        env.retain(|variable| variable["name"] != name);
        env.push(json!({"name": name, "value": value}));
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;
    use crate::launcher::Rendered;

    const RECORDED: &str = include_str!("../../../../tests/fixtures/rendered/k3s.yaml");

    fn labels() -> BTreeMap<String, String> {
        [("k3s-arc.run".to_owned(), "mine".to_owned())].into()
    }

    #[test]
    fn its_pod_carries_the_labels_beside_its_own() {
        let mut objects = Rendered::parse(
            "apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {template: {metadata: {labels: {a: b}}, \
             spec: {containers: [{name: arc-ci-launcher, image: i}]}}}\n",
        )
        .unwrap()
        .into_objects();
        LauncherJob::adjust(&mut objects, None, LauncherMode::Full, &labels()).unwrap();
        assert_eq!(objects[0].data["spec"]["template"]["metadata"]["labels"], json!({"a": "b", "k3s-arc.run": "mine"}));
    }

    fn adjusted(standin: Option<&str>, mode: LauncherMode) -> (LauncherJob, Value) {
        let mut objects = Rendered::parse(RECORDED).unwrap().into_objects();
        let job = LauncherJob::adjust(&mut objects, standin, mode, &labels()).unwrap();
        let container = objects.last().unwrap().data.pointer("/spec/template/spec/containers/0").unwrap().clone();
        (job, container)
    }

    #[test]
    fn the_trees_own_image_is_left_as_it_is() {
        let (job, container) = adjusted(None, LauncherMode::Full);
        assert_eq!(job.image, "mcr.microsoft.com/arcdata/arc-ci-launcher:v1.40.0_2025-08-12");
        assert_eq!((job.namespace.as_str(), job.name.as_str()), ("arc-ci-launcher", "arc-ci-launcher"));
        assert_eq!(container["imagePullPolicy"], "Always");
    }

    #[test]
    fn the_stand_in_takes_its_place_without_a_pull() {
        let (job, container) = adjusted(Some("k3s-arc-standin:1"), LauncherMode::Full);
        assert_eq!(job.image, "k3s-arc-standin:1");
        assert_eq!(container["image"], "k3s-arc-standin:1");
        assert_eq!(container["imagePullPolicy"], "IfNotPresent");
    }

    #[rstest]
    #[case(LauncherMode::Full, None)]
    #[case(LauncherMode::SetupOnly, Some("SETUP_ONLY"))]
    #[case(LauncherMode::CleanOnly, Some("CLEAN_ONLY"))]
    fn the_mode_is_in_its_environment(#[case] mode: LauncherMode, #[case] expected: Option<&str>) {
        let (_, container) = adjusted(None, mode);
        let env = container["env"].as_array().unwrap();
        let found =
            env.iter().find(|variable| variable["name"] == "LAUNCHER_MODE").map(|variable| variable["value"].as_str().unwrap());
        assert_eq!(found, expected);
        assert_eq!(env.len(), 3 + usize::from(expected.is_some()), "the others stay");
    }

    #[test]
    fn a_tree_without_a_launcher_is_refused() {
        let mut objects =
            Rendered::parse("apiVersion: batch/v1\nkind: Job\nmetadata: {name: x}\nspec: {}\n").unwrap().into_objects();
        let error = LauncherJob::adjust(&mut objects, None, LauncherMode::Full, &labels()).unwrap_err();
        assert!(matches!(error, LaunchError::NoLauncher { .. }), "{error}");
    }
}
