//! Whether the files that drive a launch agree with each other.
//!
//! Nothing of it prevents a launch: each combination can be meant. But each has been typed three times, and
//! the tutorial ("Automated validation testing", its table of the three image tags) says they normally agree.

use std::ops::Range;

use super::{
    control_patch::{ControlPatch, IMAGE_TAG, REGISTRY, REPOSITORY, STORAGE_CLASSES},
    input::{Problem, Source},
    test_env::TestEnv,
};

/// The class of K3s's packaged provisioner (K3s documentation, "Volumes and Storage").
const K3S_CLASS: &str = "local-path";

/// The launcher image's tag, as a kustomization sets it.
#[derive(Debug, Clone)]
pub(crate) struct LauncherTag {
    /// The tag.
    pub(crate) tag: String,
    /// The kustomization's file.
    pub(crate) source: Source,
    /// Where it says so.
    pub(crate) at: Range<usize>,
}

/// A value and where it was found.
struct Found {
    what: &'static str,
    value: String,
    place: String,
}

impl Found {
    fn told(&self) -> String {
        format!("{} is {} ({})", self.what, self.value, self.place)
    }
}

/// Warnings about what does not agree.
pub(crate) fn check(env: &TestEnv, patch: &ControlPatch, launcher: Option<&LauncherTag>) -> Vec<Problem> {
    let mut warnings = Vec::new();
    let launcher = launcher.map(|launcher| Found {
        what: "the launcher image's newTag",
        value: launcher.tag.clone(),
        place: launcher.source.place(&launcher.at),
    });
    let of_env = |name| of_env(env, name);
    let of_patch = |path| of_patch(patch, path);
    let mut agree = |name: &'static str, message: &str, found: Vec<Option<Found>>, help: &str| {
        let found: Vec<Found> = found.into_iter().flatten().collect();
        if let Some((source, at)) = env.place(name)
            && found.windows(2).any(|pair| pair[0].value != pair[1].value)
        {
            let told = found.iter().map(Found::told).collect::<Vec<_>>().join(", ");
            warnings.push(source.warning(format!("{message}: {told}"), at, "one of them", help));
        }
    };
    agree(
        "DOCKER_TAG",
        "the image tags differ",
        vec![of_env("DOCKER_TAG"), of_patch(IMAGE_TAG), launcher],
        "unless releases are mixed on purpose, give all three places the same tag",
    );
    agree(
        "DOCKER_REGISTRY",
        "the registries differ",
        vec![of_env("DOCKER_REGISTRY"), of_patch(REGISTRY)],
        "normally both are the same",
    );
    agree(
        "DOCKER_REPOSITORY",
        "the repositories differ",
        vec![of_env("DOCKER_REPOSITORY"), of_patch(REPOSITORY)],
        "normally both are the same",
    );
    let classes: Vec<Found> =
        std::iter::once(of_env("KUBERNETES_STORAGECLASS")).chain(STORAGE_CLASSES.map(of_patch)).flatten().collect();
    let others: Vec<String> = classes.iter().filter(|class| class.value != K3S_CLASS).map(Found::told).collect();
    let differ = classes.windows(2).any(|pair| pair[0].value != pair[1].value);
    if let (Some((source, at)), false) = (env.place("KUBERNETES_STORAGECLASS"), others.is_empty()) {
        let help = "a class of that name must exist before the launch, or claims stay Pending";
        if differ {
            let told = classes.iter().map(Found::told).collect::<Vec<_>>().join(", ");
            warnings.push(source.warning(format!("the storage classes differ: {told}"), at, "one of them", help));
        } else {
            let message = format!("the storage class is not K3s's own, {K3S_CLASS}: {}", others.join(", "));
            warnings.push(source.warning(message, at, "this class", help));
        }
    }
    warnings
}

fn of_env(env: &TestEnv, name: &'static str) -> Option<Found> {
    let (source, at) = env.place(name)?;
    Some(Found { what: name, value: env.get(name)?.to_owned(), place: source.place(&at) })
}

fn of_patch(patch: &ControlPatch, path: &'static str) -> Option<Found> {
    let at = patch.place(path)?;
    Some(Found { what: path, value: patch.get(path)?.as_str()?.to_owned(), place: patch.source().place(&at) })
}

#[cfg(test)]
mod tests {
    use insta::assert_snapshot;

    use super::*;
    use crate::launcher::input::rendered;

    const ENV: &str = include_str!("../../../tests/fixtures/filled.test.env");
    const PATCH: &str = include_str!("../../../tests/fixtures/launcher/overlays/k3s/configs/patch.json");
    const MISMATCH: &str = include_str!("../../../tests/fixtures/bad-inputs/mismatch.patch.json");

    fn warnings(env: &str, patch: &str, tag: &str) -> String {
        let env = TestEnv::parse("base/configs/.test.env", env).unwrap();
        let patch = ControlPatch::parse("overlays/k3s/configs/patch.json", patch).unwrap();
        let text = format!("images:\n- newTag: {tag}\n");
        let launcher =
            LauncherTag { tag: tag.to_owned(), source: Source::new("base/kustomization.yaml", &text), at: 18..18 + tag.len() };
        check(&env, &patch, Some(&launcher)).iter().map(|warning| rendered(warning)).collect()
    }

    #[test]
    fn what_agrees_is_not_warned_about() {
        assert_eq!(warnings(ENV, PATCH, "v1.40.0_2025-08-12"), "");
    }

    #[test]
    fn what_differs_is_told_with_every_place() {
        assert_snapshot!(warnings(ENV, MISMATCH, "v1.38.0_2025-06-10"));
    }

    #[test]
    fn another_class_than_k3ss_is_told() {
        assert_snapshot!(warnings(
            &ENV.replace("local-path", "longhorn"),
            &PATCH.replace("local-path", "longhorn"),
            "v1.40.0_2025-08-12"
        ));
    }
}
