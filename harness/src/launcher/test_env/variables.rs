//! The variables that the launcher knows, and what may be in them.
//!
//! Names, enumerations and what is required come from "Automated validation testing" in the Azure Arc
//! documentation (`automated-integration-testing.md`) and from the template that Microsoft publishes
//! (`arc_data_services/test/launcher/base/configs/.test.env.tmpl` in `microsoft/azure_arc`).

use super::ConnectivityMode;

/// When a launch cannot do without a variable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Needed {
    Always,
    In(ConnectivityMode),
    /// The mode's suites, unless the suites are skipped.
    SuitesIn(ConnectivityMode),
    Never,
}

/// What a value must look like. An empty value is an absent one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Text,
    OneOf(&'static [&'static str]),
    Uuid,
    /// `0`, `1` or empty.
    Flag,
    /// A whole number above 0.
    Count,
    /// An image's tag, as in the OCI distribution specification.
    Tag,
    /// A Kubernetes object's name: a DNS subdomain, RFC 1123.
    ObjectName,
    Url,
}

/// A variable of `.test.env`.
#[derive(Debug)]
pub(super) struct Variable {
    pub(super) name: &'static str,
    pub(super) needed: Needed,
    pub(super) form: Form,
}

const fn variable(name: &'static str, needed: Needed, form: Form) -> Variable {
    Variable { name, needed, form }
}

use ConnectivityMode::{Direct, Indirect};
use Form::{Count, Flag, ObjectName, OneOf, Tag, Text, Url, Uuid};
use Needed::{Always, In, Never, SuitesIn};

/// Every variable that is known, in the template's order.
pub(super) const VARIABLES: &[Variable] = &[
    variable("CONNECTIVITY_MODE", Always, OneOf(&["direct", "indirect"])),
    variable("ARC_DATASERVICES_EXTENSION_RELEASE_TRAIN", In(Direct), OneOf(&["stable", "preview"])),
    variable("ARC_DATASERVICES_EXTENSION_VERSION_TAG", In(Direct), Text),
    variable("DOCKER_IMAGE_POLICY", Never, OneOf(&["Always", "IfNotPresent", "Never"])),
    variable("DOCKER_REGISTRY", Always, Text),
    variable("DOCKER_REPOSITORY", Always, Text),
    variable("DOCKER_TAG", Always, Tag),
    variable("DOCKER_USERNAME", Never, Text),
    variable("DOCKER_PASSWORD", Never, Text),
    variable("ARC_DATASERVICES_WHL_OVERRIDE", Never, Url),
    variable("CUSTOM_LOCATION_OID", In(Direct), Uuid),
    variable("LOCATION", Always, Text),
    variable("RESOURCE_GROUP_NAME", Always, Text),
    variable("SPN_CLIENT_ID", Always, Uuid),
    variable("SPN_CLIENT_SECRET", Always, Text),
    variable("SPN_TENANT_ID", Always, Uuid),
    variable("SUBSCRIPTION_ID", Always, Uuid),
    variable("WORKSPACE_ID", Never, Uuid),
    variable("WORKSPACE_SHARED_KEY", Never, Text),
    variable("CONTROLLER_PROFILE", Always, Text),
    variable("DEPLOYMENT_INFRASTRUCTURE", Always, OneOf(&["alibaba", "aws", "azure", "gcp", "onpremises", "other"])),
    variable("KUBERNETES_STORAGECLASS", Always, ObjectName),
    variable("AZDATA_USERNAME", Never, Text),
    variable("AZDATA_PASSWORD", Never, Text),
    variable("LOGS_STORAGE_ACCOUNT", Never, Text),
    variable("LOGS_STORAGE_ACCOUNT_SAS", Never, Text),
    variable("LOGS_STORAGE_CONTAINER", Never, Text),
    variable("SQL_HA_TEST_REPLICA_COUNT", Never, Count),
    variable("TESTS_DIRECT", SuitesIn(Direct), Text),
    variable("TESTS_INDIRECT", SuitesIn(Indirect), Text),
    variable("TEST_REPEAT_COUNT", Never, Count),
    variable("TEST_TYPE", Never, Text),
    variable("SKIP_PRECLEAN", Never, Flag),
    variable("SKIP_SETUP", Never, Flag),
    variable("SKIP_TEST", Never, Flag),
    variable("SKIP_POSTCLEAN", Never, Flag),
    variable("SKIP_UPLOAD", Never, Flag),
];

/// The variable of this name.
pub(super) fn known(name: &str) -> Option<&'static Variable> {
    VARIABLES.iter().find(|variable| variable.name == name)
}

/// The variable that somebody who wrote `name` may have meant.
pub(super) fn similar(name: &str) -> Option<&'static str> {
    let upper = name.to_uppercase();
    let closest = VARIABLES.iter().max_by(|a, b| likeness(&upper, a.name).total_cmp(&likeness(&upper, b.name)))?;
    // Below this, names share little but their prefix (`SPN_`, `SKIP_`).
    (likeness(&upper, closest.name) >= 0.75).then_some(closest.name)
}

fn likeness(a: &str, b: &str) -> f64 {
    strsim::normalized_damerau_levenshtein(a, b)
}

impl Form {
    /// What is wrong with a value that is not empty.
    pub(super) fn fault(self, value: &str) -> Option<String> {
        let sound = match self {
            Text => return placeholder(value).then(|| "still holds a sample's placeholder".to_owned()),
            OneOf(allowed) => allowed.contains(&value),
            Uuid => is_uuid(value),
            Flag => matches!(value, "0" | "1"),
            Count => value.parse::<u32>().is_ok_and(|count| count > 0),
            Tag => is_tag(value),
            ObjectName => is_object_name(value),
            Url => value.starts_with("https://") || value.starts_with("http://"),
        };
        (!sound).then(|| self.to_string())
    }
}

/// What a value must be.
impl std::fmt::Display for Form {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Text => f.write_str("must be text"),
            OneOf(allowed) => write!(f, "must be one of {}", allowed.join(", ")),
            Uuid => f.write_str("must be a UUID, as 00000000-0000-0000-0000-000000000000"),
            Flag => f.write_str("must be 0, 1 or empty"),
            Count => f.write_str("must be a whole number above 0"),
            Tag => f.write_str(
                "must be an image's tag: letters, digits, `_`, `.` and `-`, 128 at most, not beginning with `.` or `-`",
            ),
            ObjectName => f.write_str("must be a Kubernetes name: lower-case letters, digits, `-` and `.`"),
            Url => f.write_str("must be a URL, or empty"),
        }
    }
}

/// What the tutorial's samples write where a value belongs: `...`, `<your-storage-account>`, `sig=...`.
fn placeholder(value: &str) -> bool {
    value.contains("...") || value.starts_with('<') && value.ends_with('>')
}

fn is_uuid(value: &str) -> bool {
    let parts: Vec<&str> = value.split('-').collect();
    parts.iter().map(|part| part.len()).eq([8, 4, 4, 4, 12])
        && parts.iter().all(|part| part.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Whether this can be an image's tag (OCI distribution specification, "Pulling manifests").
pub(crate) fn is_tag(value: &str) -> bool {
    (1..=128).contains(&value.len())
        && !value.starts_with(['.', '-'])
        && value.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

/// Whether this can be the name of a Kubernetes object (a DNS subdomain, RFC 1123).
pub(crate) fn is_object_name(value: &str) -> bool {
    let label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
    };
    value.len() <= 253 && value.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    #[rstest]
    #[case(Uuid, "0A000000-0000-0000-0000-00000000000f", true)]
    #[case(Uuid, "00000000-0000-0000-0000-0000000000000", false)]
    #[case(Uuid, "00000000-0000-0000-0000-00000000000g", false)]
    #[case(Flag, "1", true)]
    #[case(Flag, "true", false)]
    #[case(Count, "3", true)]
    #[case(Count, "0", false)]
    #[case(Count, "-1", false)]
    #[case(Tag, "v1.40.0_2025-08-12", true)]
    #[case(Tag, "v1/2", false)]
    #[case(Tag, "-v1", false)]
    #[case(ObjectName, "local-path", true)]
    #[case(ObjectName, "Local_Path", false)]
    #[case(ObjectName, "a..b", false)]
    #[case(OneOf(&["a"]), "A", false)]
    #[case(Url, "arcdata.whl", false)]
    #[case(Text, "?sv=2021&sig=...", false)]
    #[case(Text, "<your-storage-account>", false)]
    #[case(Text, "eastus", true)]
    fn values_are_judged_by_their_form(#[case] form: Form, #[case] value: &str, #[case] sound: bool) {
        assert_eq!(form.fault(value).is_none(), sound);
    }

    #[rstest]
    #[case("SPN_CLIENT_SECRT", Some("SPN_CLIENT_SECRET"))]
    #[case("subscription_id", Some("SUBSCRIPTION_ID"))]
    #[case("SKIP_POST_CLEAN", Some("SKIP_POSTCLEAN"))]
    #[case("HTTPS_PROXY", None)]
    fn a_misspelt_name_is_recognised(#[case] written: &str, #[case] meant: Option<&str>) {
        assert_eq!(similar(written), meant);
    }
}
