//! What a container runs: its own command and arguments, or those of its image (`ExpandContainerCommandAndArgs`, and containerd's
//! `WithProcessArgs`).

use std::collections::BTreeMap;

use k3s_arc_container::Image;
use serde_json::Value;

use super::environment::is_of_runtime;
use super::expansion::{expand, unknown};
use crate::kinds::view::{list, text};

/// The words to execute; none when neither the container nor its image says any.
pub(crate) fn command(container: &Value, image: &Image, env: &BTreeMap<String, String>) -> Vec<String> {
    // The kubelet expands what it knows of; what the runtime adds later it does not.
    let value_of = |name: &str| match env.get(name) {
        Some(value) if !is_of_runtime(name, value, container, image) => value.clone(),
        _ => unknown(name),
    };
    let words =
        |field: &str| -> Vec<String> { list(&container[field]).iter().map(|word| expand(text(word), value_of)).collect() };
    let (command, args) = (words("command"), words("args"));
    match (command.is_empty(), args.is_empty()) {
        (true, true) => [image.entrypoint.clone(), image.command.clone()].concat(),
        (true, false) => [image.entrypoint.clone(), args].concat(),
        (false, _) => [command, args].concat(),
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    #[rstest]
    #[case::of_the_image(json!({}), &["/entry", "image-arg"])]
    #[case::arguments(json!({"args": ["a"]}), &["/entry", "a"])]
    #[case::command(json!({"command": ["c"]}), &["c"])]
    #[case::both(json!({"command": ["c"], "args": ["a", "b"]}), &["c", "a", "b"])]
    #[case::expanded(json!({"command": ["$(A)"], "args": ["$(B)", "$$(A)", "$(A)$(A)"]}), &["1", "$(B)", "$(A)", "11"])]
    #[case::not_of_the_image(json!({"args": ["$(IMAGE) $(HOSTNAME) $(PATH)"]}), &["/entry", "$(IMAGE) $(HOSTNAME) $(PATH)"])]
    #[case::declared(
        json!({"args": ["$(HOSTNAME) $(IMAGE)"], "env": [{"name": "HOSTNAME", "value": "h"}, {"name": "IMAGE", "value": "i"}]}),
        &["/entry", "h i"]
    )]
    fn words_to_execute(#[case] container: Value, #[case] expected: &[&str]) {
        let image = Image::new().entrypoint(["/entry"]).command(["image-arg"]).env("IMAGE", "i");
        let env = [("A", "1"), ("HOSTNAME", "h"), ("IMAGE", "i"), ("PATH", "/bin")];
        let env = env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(command(&container, &image, &env), expected);
    }
}
