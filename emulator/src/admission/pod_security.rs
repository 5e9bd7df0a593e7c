//! PodSecurity: what namespaces' labels say of pods (`k8s.io/pod-security-admission`).

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde_json::Value;

use super::{Attributes, Objects, Operation};
use crate::field::{Errors, Path, quote};
use crate::kinds::view::{at, entries, int, list, text};
use crate::status::Refusal;

const PREFIX: &str = "pod-security.kubernetes.io/";
/// How many pods a new level is checked against.
const MAX_PODS: usize = 3000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Privileged,
    Baseline,
    Restricted,
}

impl Level {
    /// An unknown one counts as restricted.
    fn parse(text: &str) -> Result<Self, &'static str> {
        match text {
            "privileged" => Ok(Self::Privileged),
            "baseline" => Ok(Self::Baseline),
            "restricted" => Ok(Self::Restricted),
            _ => Err("must be one of privileged, baseline, restricted"),
        }
    }
}

/// The minor version whose checks apply; None: the latest.
type Minor = Option<u32>;

fn parse_version(text: &str) -> Result<Minor, &'static str> {
    const WRONG: &str = "must be \"latest\" or \"v1.x\"";
    if text == "latest" {
        return Ok(None);
    }
    let minor = text.strip_prefix("v1.").ok_or(WRONG)?;
    let good = minor == "0" || (!minor.starts_with('0') && minor.bytes().all(|c| c.is_ascii_digit()));
    if good { minor.parse().map(Some).map_err(|_| WRONG) } else { Err(WRONG) }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Standard {
    level: Level,
    version: Minor,
}

impl Standard {
    const PRIVILEGED: Self = Self { level: Level::Privileged, version: None };

    fn since(self, minor: u32) -> bool {
        self.version.is_none_or(|version| version >= minor)
    }
}

impl fmt::Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Privileged => "privileged",
            Level::Baseline => "baseline",
            Level::Restricted => "restricted",
        };
        match self.version {
            None => write!(f, "{level}:latest"),
            Some(minor) => write!(f, "{level}:v1.{minor}"),
        }
    }
}

/// What a namespace enforces and warns about. Audit leaves no trace that a client sees.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Policy {
    enforce: Standard,
    warn: Standard,
}

impl Policy {
    /// `PolicyToEvaluate`, with what is wrong with the labels.
    fn of(namespace: &Value) -> (Self, Errors) {
        let labels = &namespace["metadata"]["labels"];
        let mut errors = Errors::new();
        let mut wrong = |mode: &str, value: &str, detail: &str| {
            let path = Path::new("metadata").child("labels").key(&format!("{PREFIX}{mode}"));
            errors.invalid(&path, value, detail);
        };
        let mut standards = [Standard::PRIVILEGED; 3];
        let (mut enforced, mut warned, mut warned_version) = (false, false, false);
        for (standard, mode) in standards.iter_mut().zip(["enforce", "audit", "warn"]) {
            if let Some(level) = labels[format!("{PREFIX}{mode}")].as_str() {
                let parsed = Level::parse(level);
                if let Err(detail) = parsed {
                    wrong(mode, level, detail);
                }
                // A mistake refuses pods, but neither audits nor warns.
                standard.level = parsed.unwrap_or(if mode == "enforce" { Level::Restricted } else { Level::Privileged });
                enforced |= mode == "enforce" && parsed.is_ok();
                warned |= mode == "warn";
            }
            let version_mode = format!("{mode}-version");
            if let Some(version) = labels[format!("{PREFIX}{version_mode}")].as_str() {
                match parse_version(version) {
                    Ok(parsed) => standard.version = parsed,
                    Err(detail) => wrong(&version_mode, version, detail),
                }
                warned_version |= mode == "warn";
            }
        }
        let [enforce, _, mut warn] = standards;
        if !warned && enforced && enforce.level > warn.level {
            warn.level = enforce.level;
            if !warned_version {
                warn.version = enforce.version;
            }
        }
        (Self { enforce, warn }, errors)
    }
}

pub(super) fn validate(attributes: &Attributes, objects: &dyn Objects) -> Result<Vec<String>, Refusal> {
    match (attributes.group.as_str(), attributes.resource.as_str()) {
        ("", "namespaces") => validate_namespace(attributes, objects),
        ("", "pods") => validate_pod(attributes, objects),
        _ => Ok(warn_of_template(attributes, objects)),
    }
}

fn validate_namespace(attributes: &Attributes, objects: &dyn Objects) -> Result<Vec<String>, Refusal> {
    if !attributes.subresource.is_empty() {
        return Ok(Vec::new());
    }
    let (new, new_errors) = Policy::of(&attributes.object);
    let name = text(&attributes.object["metadata"]["name"]);
    let (old, old_errors) = Policy::of(&attributes.old);
    let update = attributes.operation == Operation::Update;
    if !new_errors.is_empty() && (!update || new_errors != old_errors) {
        return Err(Refusal::invalid("", "Namespace", name, &new_errors));
    }
    let stays = new.enforce.version == old.enforce.version && new.enforce.level <= old.enforce.level;
    if !update || stays || new.enforce.level == Level::Privileged {
        return Ok(Vec::new());
    }
    Ok(warn_of_pods(name, new.enforce, objects))
}

/// The pods of a namespace that its new level would not let in.
fn warn_of_pods(namespace: &str, standard: Standard, objects: &dyn Objects) -> Vec<String> {
    let pods = objects.list("", "pods", Some(namespace));
    let mut by_reason: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for pod in pods.iter().take(MAX_PODS) {
        let found = evaluate(pod, standard);
        if !found.is_empty() {
            let reasons: Vec<_> = found.iter().map(|violation| violation.reason).collect();
            by_reason.entry(reasons.join(", ")).or_default().insert(text(&pod["metadata"]["name"]).to_owned());
        }
    }
    let mut warnings = Vec::new();
    if pods.len() > MAX_PODS {
        let total = pods.len();
        warnings
            .push(format!("new PodSecurity enforce level only checked against the first {MAX_PODS} of {total} existing pods"));
    }
    if !by_reason.is_empty() {
        warnings.push(format!(
            "existing pods in namespace {} violate the new PodSecurity enforce level {}",
            quote(namespace),
            quote(&standard.to_string())
        ));
    }
    let mut each: Vec<_> = by_reason
        .into_iter()
        .map(|(reason, names)| {
            let first = names.first().cloned().unwrap_or_default();
            match names.len() {
                1 => format!("{first}: {reason}"),
                2 => format!("{first} (and 1 other pod): {reason}"),
                n => format!("{first} (and {} other pods): {reason}", n - 1),
            }
        })
        .collect();
    each.sort_unstable();
    warnings.append(&mut each);
    warnings
}

fn policy_here(attributes: &Attributes, objects: &dyn Objects) -> Option<Policy> {
    let namespace = objects.get("", "namespaces", "", &attributes.namespace)?;
    Some(Policy::of(&namespace).0)
}

fn validate_pod(attributes: &Attributes, objects: &dyn Objects) -> Result<Vec<String>, Refusal> {
    if !matches!(attributes.subresource.as_str(), "" | "ephemeralcontainers" | "resize") {
        return Ok(Vec::new());
    }
    let Some(policy) = policy_here(attributes, objects) else { return Ok(Vec::new()) };
    let pod = &attributes.object;
    if attributes.operation == Operation::Update && !is_significant(&attributes.old["spec"], &pod["spec"]) {
        return Ok(Vec::new());
    }
    let found = evaluate(pod, policy.enforce);
    if !found.is_empty() {
        let standard = quote(&policy.enforce.to_string());
        let why = format!("violates PodSecurity {standard}: {}", details(&found));
        return Err(Refusal::forbidden("", "pods", &attributes.name, &why));
    }
    Ok(warning(pod, policy.warn))
}

/// Only other images make a difference, and more containers.
fn is_significant(old: &Value, new: &Value) -> bool {
    let images = |spec: &Value, field: &str| -> Vec<Value> { list(&spec[field]).iter().map(|c| c["image"].clone()).collect() };
    let ephemeral: BTreeMap<_, _> = list(&old["ephemeralContainers"]).iter().map(|c| (text(&c["name"]), &c["image"])).collect();
    ["containers", "initContainers"].iter().any(|field| images(old, field) != images(new, field))
        || list(&new["ephemeralContainers"]).iter().any(|c| ephemeral.get(text(&c["name"])) != Some(&&c["image"]))
}

fn warn_of_template(attributes: &Attributes, objects: &dyn Objects) -> Vec<String> {
    let path: &[&str] = match (attributes.group.as_str(), attributes.resource.as_str()) {
        ("", "podtemplates") => &["template"],
        ("", "replicationcontrollers")
        | ("apps", "replicasets" | "deployments" | "statefulsets" | "daemonsets")
        | ("batch", "jobs") => &["spec", "template"],
        ("batch", "cronjobs") => &["spec", "jobTemplate", "spec", "template"],
        _ => return Vec::new(),
    };
    let template = at(&attributes.object, path);
    if !attributes.subresource.is_empty() || template.is_null() {
        return Vec::new();
    }
    policy_here(attributes, objects).map(|policy| warning(template, policy.warn)).unwrap_or_default()
}

fn warning(pod: &Value, standard: Standard) -> Vec<String> {
    let found = evaluate(pod, standard);
    if found.is_empty() {
        return Vec::new();
    }
    vec![format!("would violate PodSecurity {}: {}", quote(&standard.to_string()), details(&found))]
}

/// What a check found.
struct Violation {
    reason: &'static str,
    detail: String,
}

fn details(found: &[Violation]) -> String {
    found.iter().map(|v| format!("{} ({})", v.reason, v.detail)).collect::<Vec<_>>().join(", ")
}

/// Every check of the level, in the order of their names: those of the baseline first.
fn evaluate(pod: &Value, standard: Standard) -> Vec<Violation> {
    if standard.level == Level::Privileged {
        return Vec::new();
    }
    let (spec, restricted) = (&pod["spec"], standard.level == Level::Restricted);
    let mut found = Vec::new();
    found.extend(app_armor(pod));
    if !(restricted && standard.since(22)) {
        found.extend(default_capabilities(spec));
    }
    found.extend(host_namespaces(spec));
    if !restricted {
        found.extend(host_paths(spec));
    }
    found.extend(host_ports(spec));
    if standard.since(34) {
        found.extend(host_probes(spec));
    }
    let privileged = containers_that(spec, |c| c["securityContext"]["privileged"] == true);
    found.extend(named(&privileged, "privileged", "must not set securityContext.privileged=true"));
    found.extend(proc_mount(spec));
    found.extend(se_linux(spec, standard));
    if !(restricted && standard.since(19)) {
        found.extend(seccomp_baseline(spec, standard));
    }
    found.extend(sysctls(spec, standard));
    found.extend(windows_host_process(spec));
    if restricted {
        let linux = !standard.since(25) || spec["os"]["name"] != "windows";
        if standard.since(8) && linux {
            let escalating = containers_that(spec, |c| c["securityContext"]["allowPrivilegeEscalation"] != false);
            let must = "must set securityContext.allowPrivilegeEscalation=false";
            found.extend(named(&escalating, "allowPrivilegeEscalation != false", must));
        }
        if standard.since(22) && linux {
            found.extend(restricted_capabilities(spec));
        }
        found.extend(restricted_volumes(spec));
        found.extend(run_as_non_root(spec));
        if standard.since(23) {
            let set = |c: &Value| c["securityContext"]["runAsUser"] == 0;
            found.extend(
                setters(spec, set, set)
                    .map(|who| Violation { reason: "runAsUser=0", detail: format!("{who} must not set runAsUser=0") }),
            );
        }
        if standard.since(19) && linux {
            found.extend(seccomp_restricted(spec));
        }
    }
    found
}

fn containers(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers", "ephemeralContainers"].into_iter().flat_map(|field| list(&spec[field]))
}

fn containers_that(spec: &Value, test: impl Fn(&Value) -> bool) -> Vec<&str> {
    containers(spec).filter(|c| test(c)).map(|c| text(&c["name"])).collect()
}

fn join_quoted<'a>(all: impl IntoIterator<Item = &'a str>) -> String {
    let all: Vec<_> = all.into_iter().collect();
    format!("\"{}\"", all.join("\", \""))
}

fn plural<'a>(one: &'a str, many: &'a str, count: usize) -> &'a str {
    if count == 1 { one } else { many }
}

/// `container "a"`, `containers "a", "b"`.
fn name_containers(names: &[&str]) -> String {
    format!("{} {}", plural("container", "containers", names.len()), join_quoted(names.iter().copied()))
}

fn named(names: &[&str], reason: &'static str, what: &str) -> Option<Violation> {
    (!names.is_empty()).then(|| Violation { reason, detail: format!("{} {what}", name_containers(names)) })
}

/// Who sets something: `pod and container "a"`.
fn setters(spec: &Value, pod: impl Fn(&Value) -> bool, container: impl Fn(&Value) -> bool) -> Option<String> {
    let mut who = Vec::new();
    if pod(spec) {
        who.push("pod".to_owned());
    }
    let names = containers_that(spec, container);
    if !names.is_empty() {
        who.push(name_containers(&names));
    }
    (!who.is_empty()).then(|| who.join(" and "))
}

fn values<'a>(spec: &'a Value, path: &[&str]) -> impl Iterator<Item = &'a Value> {
    let path: Vec<String> = path.iter().map(|&part| part.to_owned()).collect();
    std::iter::once(spec)
        .chain(containers(spec))
        .map(move |holder| path.iter().fold(&holder["securityContext"], |value, key| &value[key.as_str()]))
}

fn app_armor(pod: &Value) -> Option<Violation> {
    let spec = &pod["spec"];
    let is_bad = |kind: &str| !matches!(kind, "RuntimeDefault" | "Localhost");
    let bad = |c: &Value| c["securityContext"]["appArmorProfile"]["type"].as_str().is_some_and(is_bad);
    let kinds = values(spec, &["appArmorProfile", "type"]).filter_map(Value::as_str).filter(|kind| is_bad(kind));
    let mut shown: Vec<String> = kinds.collect::<BTreeSet<_>>().into_iter().map(str::to_owned).collect();
    let annotations: Vec<String> = entries(&pod["metadata"]["annotations"])
        .filter(|(key, _)| key.starts_with("container.apparmor.security.beta.kubernetes.io/"))
        .filter(|(_, value)| !matches!(text(value), "" | "runtime/default") && !text(value).starts_with("localhost/"))
        .map(|(key, value)| format!("{key}={}", quote(text(value))))
        .collect();
    let mut who: Vec<String> = setters(spec, bad, bad).into_iter().collect();
    if !annotations.is_empty() {
        who.push(plural("annotation", "annotations", annotations.len()).to_owned());
        shown.extend(annotations);
    }
    if who.is_empty() {
        return None;
    }
    Some(Violation {
        reason: plural("forbidden AppArmor profile", "forbidden AppArmor profiles", shown.len()),
        detail: format!(
            "{} must not set AppArmor profile type to {}",
            who.join(" and "),
            join_quoted(shown.iter().map(String::as_str))
        ),
    })
}

const DEFAULT_CAPABILITIES: [&str; 13] = [
    "AUDIT_WRITE",
    "CHOWN",
    "DAC_OVERRIDE",
    "FOWNER",
    "FSETID",
    "KILL",
    "MKNOD",
    "NET_BIND_SERVICE",
    "SETFCAP",
    "SETGID",
    "SETPCAP",
    "SETUID",
    "SYS_CHROOT",
];

/// Containers that add capabilities other than those allowed, and which.
fn adders<'a>(spec: &'a Value, allowed: &[&str]) -> (Vec<&'a str>, BTreeSet<&'a str>) {
    let added = |c: &'a Value| {
        let all = list(&c["securityContext"]["capabilities"]["add"]).iter().map(text);
        all.filter(|capability| !allowed.contains(capability)).collect::<Vec<_>>()
    };
    let names = containers(spec).filter(|c| !added(c).is_empty()).map(|c| text(&c["name"])).collect();
    (names, containers(spec).flat_map(added).collect())
}

fn adding_text(names: &[&str], capabilities: BTreeSet<&str>) -> String {
    format!("{} must not include {} in securityContext.capabilities.add", name_containers(names), join_quoted(capabilities))
}

fn default_capabilities(spec: &Value) -> Option<Violation> {
    let (names, capabilities) = adders(spec, &DEFAULT_CAPABILITIES);
    let detail = adding_text(&names, capabilities);
    (!names.is_empty()).then_some(Violation { reason: "non-default capabilities", detail })
}

fn restricted_capabilities(spec: &Value) -> Option<Violation> {
    let mut details = Vec::new();
    let keeping = containers_that(spec, |c| {
        !list(&c["securityContext"]["capabilities"]["drop"]).iter().any(|capability| capability == "ALL")
    });
    if !keeping.is_empty() {
        details.push(format!("{} must set securityContext.capabilities.drop=[\"ALL\"]", name_containers(&keeping)));
    }
    let (names, capabilities) = adders(spec, &["NET_BIND_SERVICE"]);
    if !names.is_empty() {
        details.push(adding_text(&names, capabilities));
    }
    (!details.is_empty()).then(|| Violation { reason: "unrestricted capabilities", detail: details.join("; ") })
}

fn host_namespaces(spec: &Value) -> Option<Violation> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].iter().filter(|field| spec[**field] == true);
    let shared: Vec<_> = shared.map(|field| format!("{field}=true")).collect();
    (!shared.is_empty()).then(|| Violation { reason: "host namespaces", detail: shared.join(", ") })
}

fn host_paths(spec: &Value) -> Option<Violation> {
    let volumes = list(&spec["volumes"]).iter().filter(|volume| !volume["hostPath"].is_null());
    let names: Vec<_> = volumes.map(|volume| text(&volume["name"])).collect();
    (!names.is_empty()).then(|| Violation {
        reason: "hostPath volumes",
        detail: format!("{} {}", plural("volume", "volumes", names.len()), join_quoted(names.iter().copied())),
    })
}

fn host_ports(spec: &Value) -> Option<Violation> {
    let ports =
        |c: &Value| list(&c["ports"]).iter().map(|port| int(&port["hostPort"])).filter(|&port| port != 0).collect::<Vec<_>>();
    let names = containers_that(spec, |c| !ports(c).is_empty());
    // Sorted as texts.
    let used: BTreeSet<String> = containers(spec).flat_map(ports).map(|port| port.to_string()).collect();
    let (verb, noun) = (plural("uses", "use", names.len()), plural("hostPort", "hostPorts", used.len()));
    let ports: Vec<_> = used.into_iter().collect();
    named(&names, "hostPort", &format!("{verb} {noun} {}", ports.join(", ")))
}

fn host_probes(spec: &Value) -> Option<Violation> {
    fn hosts(container: &Value) -> Vec<&str> {
        let probes = ["livenessProbe", "readinessProbe", "startupProbe"].iter().map(|probe| &container[*probe]);
        let hooks = ["postStart", "preStop"].iter().map(|hook| &container["lifecycle"][*hook]);
        let handlers = probes.chain(hooks).flat_map(|handler| [&handler["httpGet"], &handler["tcpSocket"]]);
        handlers.map(|action| text(&action["host"])).filter(|host| !host.is_empty()).collect()
    }
    let names: BTreeSet<_> = containers_that(spec, |c| !hosts(c).is_empty()).into_iter().collect();
    let names: Vec<_> = names.into_iter().collect();
    let used: BTreeSet<_> = containers(spec).flat_map(hosts).collect();
    let noun = plural("probe or lifecycle host", "probe or lifecycle hosts", used.len());
    let what = format!("{} {noun} {}", plural("uses", "use", names.len()), join_quoted(used));
    named(&names, "probe or lifecycle host", &what)
}

fn proc_mount(spec: &Value) -> Option<Violation> {
    let kind = |c: &'_ Value| c["securityContext"]["procMount"].as_str().filter(|kind| *kind != "Default").map(str::to_owned);
    let names = containers_that(spec, |c| kind(c).is_some());
    let kinds: BTreeSet<_> = containers(spec).filter_map(kind).collect();
    let what = format!("must not set securityContext.procMount to {}", join_quoted(kinds.iter().map(String::as_str)));
    named(&names, "procMount", &what)
}

fn se_linux(spec: &Value, standard: Standard) -> Option<Violation> {
    let allowed = |kind: &str| {
        matches!(kind, "" | "container_t" | "container_init_t" | "container_kvm_t")
            || (kind == "container_engine_t" && standard.since(31))
    };
    let bad = |holder: &Value| {
        let options = &holder["securityContext"]["seLinuxOptions"];
        !allowed(text(&options["type"])) || !text(&options["user"]).is_empty() || !text(&options["role"]).is_empty()
    };
    let who = setters(spec, bad, bad)?;
    let kinds: BTreeSet<_> = values(spec, &["seLinuxOptions", "type"]).map(text).filter(|kind| !allowed(kind)).collect();
    let mut what = Vec::new();
    if !kinds.is_empty() {
        what.push(format!("{} {}", plural("type", "types", kinds.len()), join_quoted(kinds)));
    }
    for field in ["user", "role"] {
        if values(spec, &["seLinuxOptions", field]).any(|value| !text(value).is_empty()) {
            what.push(format!("{field} may not be set"));
        }
    }
    Some(Violation {
        reason: "seLinuxOptions",
        detail: format!("{who} set forbidden securityContext.seLinuxOptions: {}", what.join("; ")),
    })
}

fn is_bad_seccomp(holder: &Value) -> bool {
    let kind = &holder["securityContext"]["seccompProfile"]["type"];
    kind.as_str().is_some_and(|kind| !matches!(kind, "Localhost" | "RuntimeDefault"))
}

fn seccomp_baseline(spec: &Value, standard: Standard) -> Option<Violation> {
    if !standard.since(19) {
        return None;
    }
    let who = setters(spec, is_bad_seccomp, is_bad_seccomp)?;
    let kinds = values(spec, &["seccompProfile", "type"]).filter_map(Value::as_str);
    let bad: BTreeSet<_> = kinds.filter(|kind| !matches!(*kind, "Localhost" | "RuntimeDefault")).collect();
    let detail = format!("{who} must not set securityContext.seccompProfile.type to {}", join_quoted(bad));
    Some(Violation { reason: "seccompProfile", detail })
}

fn seccomp_restricted(spec: &Value) -> Option<Violation> {
    if let Some(violation) = seccomp_baseline(spec, Standard { level: Level::Restricted, version: None }) {
        return Some(violation);
    }
    let unset = |holder: &Value| holder["securityContext"]["seccompProfile"]["type"].is_null();
    let names = if unset(spec) { containers_that(spec, unset) } else { Vec::new() };
    (!names.is_empty()).then(|| Violation {
        reason: "seccompProfile",
        detail: format!(
            "pod or {} must set securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\"",
            name_containers(&names)
        ),
    })
}

fn sysctls(spec: &Value, standard: Standard) -> Option<Violation> {
    let allowed = |name: &str| match name {
        "kernel.shm_rmid_forced"
        | "net.ipv4.ip_local_port_range"
        | "net.ipv4.tcp_syncookies"
        | "net.ipv4.ping_group_range"
        | "net.ipv4.ip_unprivileged_port_start" => true,
        "net.ipv4.ip_local_reserved_ports" => standard.since(27),
        "net.ipv4.tcp_keepalive_time"
        | "net.ipv4.tcp_fin_timeout"
        | "net.ipv4.tcp_keepalive_intvl"
        | "net.ipv4.tcp_keepalive_probes" => standard.since(29),
        "net.ipv4.tcp_rmem" | "net.ipv4.tcp_wmem" => standard.since(32),
        _ => false,
    };
    let names = list(&spec["securityContext"]["sysctls"]).iter().map(|sysctl| text(&sysctl["name"]));
    let bad: Vec<_> = names.filter(|name| !allowed(name)).collect();
    (!bad.is_empty()).then(|| Violation { reason: "forbidden sysctls", detail: bad.join(", ") })
}

fn windows_host_process(spec: &Value) -> Option<Violation> {
    let set = |holder: &Value| holder["securityContext"]["windowsOptions"]["hostProcess"] == true;
    let who = setters(spec, set, set)?;
    let detail = format!("{who} must not set securityContext.windowsOptions.hostProcess=true");
    Some(Violation { reason: "hostProcess", detail })
}

const VOLUME_TYPES: [&str; 9] =
    ["configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image", "persistentVolumeClaim", "projected", "secret"];

fn restricted_volumes(spec: &Value) -> Option<Violation> {
    let allowed = |volume: &Value| VOLUME_TYPES.iter().any(|kind| !volume[*kind].is_null());
    let bad: Vec<_> = list(&spec["volumes"]).iter().filter(|volume| !allowed(volume)).collect();
    let kinds: BTreeSet<_> =
        bad.iter().map(|volume| entries(volume).map(|(key, _)| key).find(|key| *key != "name").unwrap_or("unknown")).collect();
    let noun = plural("restricted volume type", "restricted volume types", kinds.len());
    (!bad.is_empty()).then(|| Violation {
        reason: "restricted volume types",
        detail: format!(
            "{} {} {} {noun} {}",
            plural("volume", "volumes", bad.len()),
            join_quoted(bad.iter().map(|volume| text(&volume["name"]))),
            plural("uses", "use", bad.len()),
            join_quoted(kinds)
        ),
    })
}

fn run_as_non_root(spec: &Value) -> Option<Violation> {
    const REASON: &str = "runAsNonRoot != true";
    let is = |holder: &Value, value: bool| holder["securityContext"]["runAsNonRoot"] == value;
    if let Some(who) = setters(spec, |pod| is(pod, false), |c| is(c, false)) {
        let detail = format!("{who} must not set securityContext.runAsNonRoot=false");
        return Some(Violation { reason: REASON, detail });
    }
    let unset = |c: &Value| c["securityContext"]["runAsNonRoot"].is_null();
    let names = if is(spec, true) { Vec::new() } else { containers_that(spec, unset) };
    (!names.is_empty()).then(|| Violation {
        reason: REASON,
        detail: format!("pod or {} must set securityContext.runAsNonRoot=true", name_containers(&names)),
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_plain_pod_is_not_restricted() {
        let pod = json!({"spec": {"containers": [{"name": "c", "image": "i"}]}});
        let found = evaluate(&pod, Standard { level: Level::Restricted, version: None });
        assert_eq!(
            details(&found),
            "allowPrivilegeEscalation != false (container \"c\" must set securityContext.allowPrivilegeEscalation=false), \
             unrestricted capabilities (container \"c\" must set securityContext.capabilities.drop=[\"ALL\"]), runAsNonRoot != true \
             (pod or container \"c\" must set securityContext.runAsNonRoot=true), seccompProfile (pod or container \"c\" must set \
             securityContext.seccompProfile.type to \"RuntimeDefault\" or \"Localhost\")"
        );
        assert!(evaluate(&pod, Standard { level: Level::Baseline, version: None }).is_empty());
    }

    #[test]
    fn labels_are_read() {
        let namespace = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "baseline",
            "pod-security.kubernetes.io/enforce-version": "v1.24"}}});
        let (policy, errors) = Policy::of(&namespace);
        assert_eq!(policy.enforce.to_string(), "baseline:v1.24");
        assert_eq!(policy.warn, policy.enforce);
        assert!(errors.is_empty());
    }
}
