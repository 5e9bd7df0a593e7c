//! Security contexts of pods and containers.

use serde_json::Value;

use super::super::internal;
use super::super::names;
use super::super::view::{count, flag, int, list, text};
use super::enumerated;
use super::volumes::descending;
use crate::field::{Errors, Path};

/// User and group ids.
fn validate_id(id: i64, path: &Path, errors: &mut Errors) {
    if !(0..=i64::from(i32::MAX)).contains(&id) {
        errors.invalid(path, id, &names::range_error(0, i64::from(i32::MAX)));
    }
}

fn validate_ids(context: &Value, fields: &[&str], path: &Path, errors: &mut Errors) {
    for field in fields.iter().filter(|field| !context[**field].is_null()) {
        validate_id(int(&context[*field]), &path.child(field), errors);
    }
}

/// `validatePodSpecSecurityContext`; the host's namespaces are fields of the spec.
pub(super) fn validate_pod(spec: &Value, path: &Path, errors: &mut Errors) {
    let context = &spec["securityContext"];
    validate_ids(context, &["fsGroup", "runAsUser", "runAsGroup"], path, errors);
    for (i, group) in list(&context["supplementalGroups"]).iter().enumerate() {
        validate_id(int(group), &path.child("supplementalGroups").index(i), errors);
    }
    if flag(&spec["shareProcessNamespace"]) && flag(&spec["hostPID"]) {
        let text = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.invalid(&path.child("shareProcessNamespace"), true, text);
    }
    validate_sysctls(spec, &path.child("sysctls"), errors);
    let policy_path = path.child("fsGroupChangePolicy");
    enumerated(&context["fsGroupChangePolicy"], &["Always", "OnRootMismatch"], &policy_path, errors);
    validate_seccomp(&context["seccompProfile"], &path.child("seccompProfile"), errors);
    validate_windows(&context["windowsOptions"], &path.child("windowsOptions"), errors);
    validate_app_armor(&context["appArmorProfile"], &path.child("appArmorProfile"), errors);
    let policy_path = path.child("supplementalGroupsPolicy");
    enumerated(&context["supplementalGroupsPolicy"], &["Merge", "Strict"], &policy_path, errors);
    let policy_path = path.child("seLinuxChangePolicy");
    // `MountOption` belongs to a feature that is off.
    enumerated(&context["seLinuxChangePolicy"], &["Recursive"], &policy_path, errors);
}

/// `ValidateSecurityContext`.
pub(super) fn validate_container(context: &Value, host_users: bool, path: &Path, errors: &mut Errors) {
    if context.is_null() {
        return;
    }
    validate_ids(context, &["runAsUser", "runAsGroup"], path, errors);
    let mount = &context["procMount"];
    enumerated(mount, &["Default", "Unmasked"], &path.child("procMount"), errors);
    if host_users && text(mount) == "Unmasked" {
        errors.invalid(&path.child("procMount"), "Unmasked", "`hostUsers` must be false to use `Unmasked`");
    }
    validate_seccomp(&context["seccompProfile"], &path.child("seccompProfile"), errors);
    if context["allowPrivilegeEscalation"] == false {
        let mut refuse = |why: &str| {
            let what = internal::invalid("SecurityContext", context, why);
            errors.other(crate::field::Kind::Invalid, &path.to_string(), what);
        };
        if flag(&context["privileged"]) {
            refuse("cannot set `allowPrivilegeEscalation` to false and `privileged` to true");
        }
        for _ in list(&context["capabilities"]["add"]).iter().filter(|one| text(one) == "CAP_SYS_ADMIN") {
            refuse("cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN");
        }
    }
    validate_windows(&context["windowsOptions"], &path.child("windowsOptions"), errors);
    validate_app_armor(&context["appArmorProfile"], &path.child("appArmorProfile"), errors);
}

const PROFILES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

/// `validateSeccompProfileField`.
fn validate_seccomp(profile: &Value, path: &Path, errors: &mut Errors) {
    if profile.is_null() {
        return;
    }
    let (kind, local, local_path) = (text(&profile["type"]), &profile["localhostProfile"], path.child("localhostProfile"));
    if kind.is_empty() {
        errors.required(&path.child("type"), "type is required when seccompProfile is set");
    } else {
        enumerated(&profile["type"], &PROFILES, &path.child("type"), errors);
    }
    match (kind == "Localhost", local.is_null()) {
        (true, true) => errors.required(&local_path, "must be set when seccomp type is Localhost"),
        (true, false) => descending(text(local), &local_path, errors),
        (false, false) => {
            let what = internal::invalid("SeccompProfile", profile, "can only be set when seccomp type is Localhost");
            errors.other(crate::field::Kind::Invalid, &local_path.to_string(), what);
        }
        (false, true) => {}
    }
}

/// `ValidateAppArmorProfileField`.
pub(super) fn validate_app_armor(profile: &Value, path: &Path, errors: &mut Errors) {
    if profile.is_null() {
        return;
    }
    const NEEDED: &str = "must be set when AppArmor type is Localhost";
    const LONGEST: usize = 4095;
    let (local, local_path) = (&profile["localhostProfile"], path.child("localhostProfile"));
    match text(&profile["type"]) {
        "Localhost" if local.is_null() => errors.required(&local_path, NEEDED),
        "Localhost" => {
            let local = text(local);
            if local.trim() != local {
                errors.invalid(&local_path, local, "must not be padded with whitespace");
            } else if local.is_empty() {
                errors.required(&local_path, NEEDED);
            }
            if local.len() > LONGEST {
                errors.too_long(&local_path, LONGEST);
            }
        }
        "RuntimeDefault" | "Unconfined" => {
            if !local.is_null() {
                errors.invalid(&local_path, text(local), "can only be set when AppArmor type is Localhost");
            }
        }
        "" => errors.required(&path.child("type"), "type is required when appArmorProfile is set"),
        other => errors.not_supported(&path.child("type"), other, &PROFILES),
    }
}

fn is_sysctl(name: &str) -> bool {
    let is_inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_segment = |segment: &str| {
        segment.starts_with(is_inner)
            && segment.ends_with(is_inner)
            && segment.chars().all(|c| is_inner(c) || matches!(c, '-' | '_'))
    };
    name.len() <= 253 && name.split(['.', '/']).all(is_segment)
}

fn validate_sysctls(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut seen: Vec<&str> = Vec::new();
    for (i, sysctl) in list(&spec["securityContext"]["sysctls"]).iter().enumerate() {
        let (name, path) = (text(&sysctl["name"]), path.index(i).child("name"));
        if name.is_empty() {
            errors.required(&path, "");
        } else if !is_sysctl(name) {
            let text = "must have at most 253 characters and match regex \
                        ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.invalid(&path, name, text);
        } else if seen.contains(&name) {
            errors.duplicate(&path, name);
        }
        seen.push(name);
        // Which separator comes first tells which one separates.
        let dotted = if name.find('.') < name.find('/') && name.contains('.') || !name.contains('/') {
            name.to_owned()
        } else {
            name.replace('/', ".")
        };
        if flag(&spec["hostNetwork"]) && dotted.starts_with("net.") {
            errors.invalid(&path, name, "may not be specified when 'hostNetwork' is true");
        } else if flag(&spec["hostIPC"])
            && (["kernel.shm", "kernel.msg", "fs.mqueue."].iter().any(|prefix| dotted.starts_with(prefix))
                || dotted == "kernel.sem")
        {
            errors.invalid(&path, name, "may not be specified when 'hostIPC' is true");
        }
    }
}

/// `validateWindowsSecurityContextOptions`.
fn validate_windows(options: &Value, path: &Path, errors: &mut Errors) {
    let spec_name = &options["gmsaCredentialSpecName"];
    if !spec_name.is_null() {
        for why in names::subdomain(text(spec_name)) {
            errors.invalid(&path.child("gmsaCredentialSpecName"), text(spec_name), &why);
        }
    }
    const LARGEST: usize = 64 * 1024;
    let (spec, spec_path) = (&options["gmsaCredentialSpec"], path.child("gmsaCredentialSpec"));
    if !spec.is_null() && text(spec).is_empty() {
        errors.invalid(&spec_path, "", "gmsaCredentialSpec cannot be an empty string");
    } else if text(spec).len() > LARGEST {
        errors.invalid(&spec_path, text(spec), "gmsaCredentialSpec size must be under 64 KiB");
    }
    let name = text(&options["runAsUserName"]);
    if options["runAsUserName"].is_null() {
        return;
    }
    let mut refuse = |why: &str| errors.invalid(&path.child("runAsUserName"), name, why);
    if name.is_empty() {
        return refuse("runAsUserName cannot be an empty string");
    }
    if name.chars().any(|c| c.is_ascii_control()) {
        return refuse("runAsUserName cannot contain control characters");
    }
    let (domain, user) = match name.split('\\').collect::<Vec<_>>()[..] {
        [user] => (None, user),
        [domain, user] => (Some(domain), user),
        _ => return refuse("runAsUserName cannot contain more than one backslash"),
    };
    if domain.is_some_and(|domain| domain.len() >= 256) {
        refuse("runAsUserName's Domain length must be under 256 characters");
    }
    let is_net_bios = |domain: &str| {
        (1..=15).contains(&domain.chars().count())
            && !domain.starts_with('.')
            && !domain.contains(['/', ':', '*', '?', '"', '<', '>', '|'])
    };
    let is_dns = |domain: &str| {
        domain.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
        })
    };
    if domain.is_some_and(|domain| !is_net_bios(domain) && !is_dns(domain)) {
        refuse("runAsUserName's Domain doesn't match the NetBios nor the DNS format");
    }
    if user.is_empty() {
        refuse("runAsUserName's User cannot be empty");
    } else if user.len() > 104 {
        refuse("runAsUserName's User length must not be longer than 104 characters");
    }
    if !user.is_empty() && user.chars().all(|c| matches!(c, '.' | ' ')) {
        refuse("runAsUserName's User cannot contain only periods or spaces");
    }
    if user.contains(['"', '/', '\\', ':', ';', '|', '=', ',', '+', '*', '?', '<', '>', '@', '[', ']']) {
        refuse("runAsUserName's User cannot contain the following characters: \"/\\:;|=,+*?<>@[]");
    }
}

/// `validateWindowsHostProcessPod`.
pub(super) fn validate_host_process(spec: &Value, path: &Path, errors: &mut Errors) {
    let of_pod = &spec["securityContext"]["windowsOptions"]["hostProcess"];
    let (mut total, mut found) = (0, 0);
    super::visit(spec, path, |container, path| {
        total += 1;
        let own = &container["securityContext"]["windowsOptions"]["hostProcess"];
        if !of_pod.is_null() && !own.is_null() && of_pod != own {
            let path = path.child("securityContext").child("windowsOptions").child("hostProcess");
            let text = format!("pod hostProcess value must be identical if both are specified, was {of_pod}");
            errors.invalid(&path, own.clone(), &text);
        }
        if flag(if own.is_null() { of_pod } else { own }) {
            found += 1;
        }
    });
    if found == 0 {
        return;
    }
    if found != total {
        errors.invalid(path, "", "If pod contains any hostProcess containers then all containers must be HostProcess containers");
    }
    if !flag(&spec["hostNetwork"]) {
        let text = "hostNetwork must be true if pod contains any hostProcess containers";
        errors.invalid(&path.child("hostNetwork"), false, text);
    }
}

/// `validateHostUsers`.
pub(super) fn validate_host_users(spec: &Value, path: &Path, errors: &mut Errors) {
    if spec["hostUsers"] != false {
        return;
    }
    for (field, shown) in [("hostNetwork", "hostNetwork"), ("hostPID", "HostPID"), ("hostIPC", "HostIPC")] {
        if flag(&spec[field]) {
            errors.forbidden(&path.child(shown), "when `hostUsers` is false");
        }
    }
    super::visit(spec, path, |container, path| {
        if count(&container["volumeDevices"]) > 0 {
            errors.forbidden(&path.child("volumeDevices"), "when `hostUsers` is false");
        }
    });
}

/// What a pod cannot have when it names its operating system (`validateOS`, `validateLinux`, `validateWindows`).
pub(super) fn validate_os(spec: &Value, path: &Path, errors: &mut Errors) {
    let system = &spec["os"];
    if system.is_null() {
        return;
    }
    let context_path = path.child("securityContext");
    match text(&system["name"]) {
        "" => errors.required(&path.child("os").child("name"), ""),
        "linux" => {
            const REFUSED: &str = "windows options cannot be set for a linux pod";
            if !spec["securityContext"]["windowsOptions"].is_null() {
                errors.forbidden(&context_path.child("windowsOptions"), REFUSED);
            }
            super::visit(spec, path, |container, path| {
                if !container["securityContext"]["windowsOptions"].is_null() {
                    errors.forbidden(&path.child("securityContext").child("windowsOptions"), REFUSED);
                }
            });
        }
        "windows" => validate_not_linux(spec, path, errors),
        other => errors.not_supported(&path.child("os"), other, &["linux", "windows"]),
    }
}

fn validate_not_linux(spec: &Value, path: &Path, errors: &mut Errors) {
    const REFUSED: &str = "cannot be set for a windows pod";
    // In this order; those without a context of their own are fields of the spec.
    const OF_POD: [(bool, &str); 15] = [
        (true, "appArmorProfile"),
        (true, "seLinuxOptions"),
        (false, "hostUsers"),
        (false, "hostPID"),
        (false, "hostIPC"),
        (true, "seccompProfile"),
        (true, "fsGroup"),
        (true, "fsGroupChangePolicy"),
        (true, "sysctls"),
        (false, "shareProcessNamespace"),
        (true, "runAsUser"),
        (true, "runAsGroup"),
        (true, "supplementalGroups"),
        (true, "supplementalGroupsPolicy"),
        (true, "seLinuxChangePolicy"),
    ];
    const OF_CONTAINER: [&str; 10] = [
        "appArmorProfile",
        "seLinuxOptions",
        "seccompProfile",
        "capabilities",
        "readOnlyRootFilesystem",
        "privileged",
        "allowPrivilegeEscalation",
        "procMount",
        "runAsUser",
        "runAsGroup",
    ];
    let context_path = path.child("securityContext");
    for (in_context, field) in OF_POD {
        let (value, path) = if in_context {
            (&spec["securityContext"][field], context_path.child(field))
        } else {
            (&spec[field], path.child(field))
        };
        let is_set = match field {
            "hostPID" | "hostIPC" => flag(value),
            "sysctls" => count(value) > 0,
            _ => !value.is_null(),
        };
        if is_set {
            errors.forbidden(&path, REFUSED);
        }
    }
    super::visit(spec, path, |container, path| {
        for field in OF_CONTAINER {
            if !container["securityContext"][field].is_null() {
                errors.forbidden(&path.child("securityContext").child(field), REFUSED);
            }
        }
    });
}
