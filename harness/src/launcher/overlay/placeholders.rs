//! A template filled in for the stand-in, which talks to nobody outside the cluster.

/// The template with a harmless value for each `${NAME}`; `tag` is the launcher image's.
pub(super) fn filled(template: &str, tag: &str) -> String {
    let mut text = String::with_capacity(template.len());
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("${") {
        text.push_str(before);
        match after.split_once('}') {
            Some((name, after)) if name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') => {
                text.push_str(harmless(name, tag));
                rest = after;
            }
            _ => {
                text.push_str("${");
                rest = after;
            }
        }
    }
    text + rest
}

/// A value that the validation accepts and that leads nowhere.
fn harmless<'a>(name: &str, tag: &'a str) -> &'a str {
    match name {
        "CONNECTIVITY_MODE" => "indirect",
        "ARC_DATASERVICES_EXTENSION_RELEASE_TRAIN" => "stable",
        "ARC_DATASERVICES_EXTENSION_VERSION_TAG" | "DOCKER_TAG" => tag,
        "DOCKER_REGISTRY" => "mcr.microsoft.com",
        "DOCKER_REPOSITORY" => "arcdata",
        "DOCKER_IMAGE_POLICY" => "IfNotPresent",
        "CUSTOM_LOCATION_OID" | "SPN_CLIENT_ID" | "SPN_TENANT_ID" | "SUBSCRIPTION_ID" => "00000000-0000-0000-0000-000000000000",
        "SPN_CLIENT_SECRET" => "the-stand-in-needs-none",
        "LOCATION" => "eastus",
        "RESOURCE_GROUP_NAME" => "k3s-arc",
        "CONTROLLER_PROFILE" => "azure-arc-kubeadm",
        "DEPLOYMENT_INFRASTRUCTURE" => "onpremises",
        "KUBERNETES_STORAGECLASS" => "local-path",
        // The workspace and the storage account for logs may be absent.
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::launcher::TestEnv;

    #[test]
    fn every_placeholder_is_filled_and_nothing_else_is_touched() {
        assert_eq!(filled("# ${...}\nA=\"${LOCATION}\" B=${DOCKER_TAG} ${", "v1"), "# ${...}\nA=\"eastus\" B=v1 ${");
    }

    #[test]
    fn a_filled_template_is_valid() {
        for placeholders_only in [false, true] {
            let mut template = include_str!("../../../../tests/fixtures/launcher/base/configs/.test.env.tmpl").to_owned();
            if placeholders_only {
                // As upstream's is.
                for name in [
                    "CONNECTIVITY_MODE",
                    "DOCKER_TAG",
                    "DOCKER_REGISTRY",
                    "CONTROLLER_PROFILE",
                    "DEPLOYMENT_INFRASTRUCTURE",
                    "KUBERNETES_STORAGECLASS",
                ] {
                    let line = template.lines().find(|line| line.contains(&format!("{name}="))).unwrap().to_owned();
                    template = template.replace(&line, &format!("export {name}=\"${{{name}}}\""));
                }
            }
            assert_eq!(TestEnv::parse(".test.env", &filled(&template, "v1")).unwrap().warnings().len(), 0);
        }
    }
}
