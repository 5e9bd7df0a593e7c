//! What the API server warns of when it accepts a pod or a template (`pkg/api/pod/warnings.go`).

use serde_json::Value;

use super::super::quantity::Quantity;
use super::super::view::{count, entries, int, list, text};
use super::super::{ip, names};
use super::{annotations, env, visit};
use crate::field::{Path, quote};

/// `WarningsOnCreate` of pods; updates warn of nothing.
pub(super) fn of_pod(pod: &Value, old: Option<&Value>) -> Vec<String> {
    if old.is_some() {
        return Vec::new();
    }
    let mut warnings: Vec<String> = of_name(pod, "the Pod's hostname").into_iter().collect();
    collect(pod, None, &mut warnings);
    app_armor(pod, &mut warnings);
    warnings
}

/// `GetWarningsForPodTemplate`.
pub(crate) fn of_template(template: &Value, path: &Path) -> Vec<String> {
    let mut warnings = Vec::new();
    if !template.is_null() {
        collect(template, Some(path), &mut warnings);
    }
    warnings
}

/// A name that is no DNS label is no good for what is named after it: `use_` tells what.
pub(crate) fn of_name(object: &Value, use_: &str) -> Option<String> {
    let wrong = names::label(text(&object["metadata"]["name"]));
    (!wrong.is_empty()).then(|| {
        format!(
            "metadata.name: this is used in {use_}, which can result in surprising behavior; a DNS label is recommended: [{}]",
            wrong.join(" ")
        )
    })
}

/// A pod's annotations that did not become fields, and those that did (`applyAppArmorVersionSkew`).
fn app_armor(pod: &Value, warnings: &mut Vec<String>) {
    let annotations = &pod["metadata"]["annotations"];
    if text(&pod["spec"]["os"]["name"]) == "windows" {
        return;
    }
    let of_pod = &pod["spec"]["securityContext"]["appArmorProfile"];
    visit(&pod["spec"], &Path::root(), |container, _| {
        let key = format!("{}{}", annotations::APP_ARMOR, text(&container["name"]));
        let Some(annotation) = annotations.get(&key) else { return };
        let profile = annotations::app_armor_field(text(annotation));
        let own = &container["securityContext"]["appArmorProfile"];
        // A field equal to the annotation's is taken for one that the annotation became.
        let became = *own == profile && !own.is_null();
        if became || (own.is_null() && (profile.is_null() || profile != *of_pod)) {
            let path = Path::new("metadata").child("annotations").key(&key);
            warnings.push(format!("{path}: deprecated since v1.30; use the \"appArmorProfile\" field instead"));
        }
    });
}

fn deprecated_label(key: &str) -> Option<&'static str> {
    Some(match key {
        "beta.kubernetes.io/arch" => "deprecated since v1.14; use \"kubernetes.io/arch\" instead",
        "beta.kubernetes.io/os" => "deprecated since v1.14; use \"kubernetes.io/os\" instead",
        "failure-domain.beta.kubernetes.io/region" => "deprecated since v1.17; use \"topology.kubernetes.io/region\" instead",
        "failure-domain.beta.kubernetes.io/zone" => "deprecated since v1.17; use \"topology.kubernetes.io/zone\" instead",
        "beta.kubernetes.io/instance-type" => "deprecated since v1.17; use \"node.kubernetes.io/instance-type\" instead",
        "app.kubernetes.io/created-by" => "deprecated since v1.9",
        "scheduler.alpha.kubernetes.io/preferAvoidPods" => "deprecated since v1.22; use Taints and Tolerations instead",
        "node-role.kubernetes.io/master" => "use \"node-role.kubernetes.io/control-plane\" instead",
        _ => return None,
    })
}

fn node_term(term: &Value, check_values: bool, path: &Path, warnings: &mut Vec<String>) {
    for (i, expression) in list(&term["matchExpressions"]).iter().enumerate() {
        let (key, path) = (text(&expression["key"]), path.child("matchExpressions").index(i));
        if let Some(why) = deprecated_label(key) {
            warnings.push(format!("{}: {key} is {why}", path.child("key")));
        }
        for (i, value) in list(&expression["values"]).iter().map(text).enumerate().filter(|_| check_values) {
            for why in names::label_value(value) {
                warnings.push(format!("{}: {value} is invalid, {why}", path.child("values").index(i)));
            }
        }
    }
}

fn fraction(amounts: &Value, name: &str, path: &Path, warnings: &mut Vec<String>) {
    let amount = Quantity::of(&amounts[name]);
    if !amount.is_integer() {
        let (path, amount) = (path.key(name), quote(&amount.to_string()));
        warnings.push(format!("{path}: fractional byte value {amount} is invalid, must be an integer"));
    }
}

/// `GetWarningsForPersistentVolumeClaimSpec`.
pub(crate) fn of_claim_spec(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    for kind in ["requests", "limits"] {
        fraction(&spec["resources"][kind], "storage", &path.child("resources").child(kind), warnings);
    }
}

/// `path` is None for a pod itself.
fn collect(owner: &Value, path: Option<&Path>, warnings: &mut Vec<String>) {
    let is_template = path.is_some();
    let root = Path::root();
    let path = path.unwrap_or(&root);
    let (spec, spec_path) = (&owner["spec"], path.child("spec"));
    let (own_annotations, annotations_path) = (&owner["metadata"]["annotations"], path.child("metadata").child("annotations"));
    for (key, _) in entries(&spec["nodeSelector"]) {
        if let Some(why) = deprecated_label(key) {
            warnings.push(format!("{}: {why}", spec_path.child("nodeSelector").key(key)));
        }
    }
    node_affinity(spec, &spec_path, warnings);
    for (i, constraint) in list(&spec["topologySpreadConstraints"]).iter().enumerate() {
        let (key, path) = (text(&constraint["topologyKey"]), spec_path.child("topologySpreadConstraints").index(i));
        if let Some(why) = deprecated_label(key) {
            warnings.push(format!("{}: {key} is {why}", path.child("topologyKey")));
        }
        null_selector(constraint, &path, warnings);
    }
    for (key, why) in [
        ("scheduler.alpha.kubernetes.io/critical-pod", "non-functional in v1.16+; use the \"priorityClassName\" field instead"),
        ("security.alpha.kubernetes.io/sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
        ("security.alpha.kubernetes.io/unsafe-sysctls", "non-functional in v1.11+; use the \"sysctls\" field instead"),
    ] {
        if own_annotations.get(key).is_some() {
            warnings.push(format!("{}: {why}", annotations_path.key(key)));
        }
    }
    volumes(&spec["volumes"], &spec_path.child("volumes"), warnings);
    duplicates(spec, &spec_path, warnings);
    for name in ["memory", "ephemeral-storage"] {
        fraction(&spec["overhead"], name, &spec_path.child("overhead"), warnings);
    }
    const SECCOMP: &str = "non-functional in v1.27+; use the \"seccompProfile\" field instead";
    if spec["securityContext"]["seccompProfile"].is_null() && own_annotations.get(annotations::SECCOMP_POD).is_some() {
        warnings.push(format!("{}: {SECCOMP}", annotations_path.key(annotations::SECCOMP_POD)));
    }
    let pod_profile = &spec["securityContext"]["appArmorProfile"];
    visit(spec, &spec_path, |container, path| {
        let (name, context) = (text(&container["name"]), &container["securityContext"]);
        let key = format!("{}{name}", annotations::SECCOMP_CONTAINER);
        if context["seccompProfile"].is_null() && own_annotations.get(&key).is_some() {
            warnings.push(format!("{}: {SECCOMP}", annotations_path.key(&key)));
        }
        let key = format!("{}{name}", annotations::APP_ARMOR);
        if let Some(annotation) = own_annotations.get(&key).filter(|_| is_template && context["appArmorProfile"].is_null())
            && (pod_profile.is_null() || *pod_profile != annotations::app_armor_field(text(annotation)))
        {
            let path = annotations_path.key(&key);
            warnings.push(format!("{path}: deprecated since v1.30; use the \"appArmorProfile\" field instead"));
        }
        for name in ["memory", "ephemeral-storage"] {
            for kind in ["limits", "requests"] {
                let path = path.child("resources").child(kind);
                fraction(&container["resources"][kind], name, &path, warnings);
            }
        }
        env::warnings(&container["env"], &path.child("env"), warnings);
    });
    ports(spec, &spec_path, warnings);
    if int(&spec["terminationGracePeriodSeconds"]) < 0 {
        let path = spec_path.child("terminationGracePeriodSeconds");
        warnings.push(format!("{path}: must be >= 0; negative values are invalid and will be treated as 1"));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (own, path) = (&spec["affinity"][kind], spec_path.child("affinity").child(kind));
        let field = "requiredDuringSchedulingIgnoredDuringExecution";
        for (i, term) in list(&own[field]).iter().enumerate() {
            null_selector(term, &path.child(field).index(i), warnings);
        }
        let field = "preferredDuringSchedulingIgnoredDuringExecution";
        for (i, term) in list(&own[field]).iter().enumerate() {
            null_selector(&term["podAffinityTerm"], &path.child(field).index(i).child("podAffinityTerm"), warnings);
        }
    }
    for (i, server) in list(&spec["dnsConfig"]["nameservers"]).iter().enumerate() {
        let path = spec_path.child("dnsConfig").child("nameservers").index(i);
        warnings.extend(ip::warnings(text(server), &path.to_string()));
    }
    for (i, alias) in list(&spec["hostAliases"]).iter().enumerate() {
        let path = spec_path.child("hostAliases").index(i).child("ip");
        warnings.extend(ip::warnings(text(&alias["ip"]), &path.to_string()));
    }
}

fn null_selector(owner: &Value, path: &Path, warnings: &mut Vec<String>) {
    if owner["labelSelector"].is_null() {
        let path = path.child("labelSelector");
        warnings.push(format!("{path}: a null labelSelector results in matching no pod"));
    }
}

fn node_affinity(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    let (affinity, path) = (&spec["affinity"]["nodeAffinity"], path.child("affinity").child("nodeAffinity"));
    let field = "requiredDuringSchedulingIgnoredDuringExecution";
    for (i, term) in list(&affinity[field]["nodeSelectorTerms"]).iter().enumerate() {
        node_term(term, false, &path.child(field).child("nodeSelectorTerms").index(i), warnings);
    }
    let field = "preferredDuringSchedulingIgnoredDuringExecution";
    for (i, term) in list(&affinity[field]).iter().enumerate() {
        node_term(&term["preference"], true, &path.child(field).index(i).child("preference"), warnings);
    }
}

fn volumes(volumes: &Value, path: &Path, warnings: &mut Vec<String>) {
    const DEPRECATED: [(&str, &str); 5] = [
        ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
        ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
        ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
        ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
        ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ];
    for (i, volume) in list(volumes).iter().enumerate() {
        let path = path.index(i);
        let mut deprecated = |field: &str, why: &str| {
            if !volume[field].is_null() {
                warnings.push(format!("{}: {why}", path.child(field)));
            }
        };
        for (field, why) in DEPRECATED {
            deprecated(field, why);
        }
        let template = &volume["ephemeral"]["volumeClaimTemplate"];
        let template_path = path.child("ephemeral").child("volumeClaimTemplate").child("spec");
        let claim_path = template_path;
        if !template.is_null() {
            of_claim_spec(&template["spec"], &claim_path, warnings);
        }
        for field in ["cephfs", "rbd"] {
            if !volume[field].is_null() {
                warnings.push(format!("{}: deprecated in v1.28, non-functional in v1.31+", path.child(field)));
            }
        }
    }
    for volume in list(volumes) {
        overlaps(volume, warnings);
    }
}

/// A file of a volume, and what it comes from.
#[derive(Clone, PartialEq)]
struct File {
    path: String,
    source: String,
}

impl std::fmt::Display for File {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.source.as_str() {
            "" => f.write_str(&quote(&self.path)),
            source => write!(f, "{} ({source})", quote(&self.path)),
        }
    }
}

fn files(source: &Value, name: &str) -> Vec<File> {
    list(&source["items"]).iter().map(|item| file(text(&item["path"]), name)).collect()
}

fn file(path: &str, source: &str) -> File {
    File { path: path.trim_end_matches('/').to_owned(), source: source.to_owned() }
}

/// `warningsForOverlappingVirtualPaths`: one path within another.
fn overlaps(volume: &Value, warnings: &mut Vec<String>) {
    let name = quote(text(&volume["name"]));
    let mut warn = |what: &str, all: &mut Vec<File>, added: Vec<File>| {
        for one in added {
            for other in all.iter().filter(|other| collide(other, &one)) {
                warnings.push(format!("volume {name} ({what}): overlapping paths: {one} with {other}"));
            }
            all.push(one);
        }
    };
    let (map, secret) = (&volume["configMap"], &volume["secret"]);
    warn(&format!("ConfigMap {}", quote(text(&map["name"]))), &mut Vec::new(), files(map, ""));
    warn(&format!("Secret {}", quote(text(&secret["secretName"]))), &mut Vec::new(), files(secret, ""));
    warn("DownwardAPI", &mut Vec::new(), files(&volume["downwardAPI"], ""));
    let mut all = Vec::new();
    let mut unsourced = 0;
    for source in list(&volume["projected"]["sources"]) {
        let (map, secret, token) = (&source["configMap"], &source["secret"], &source["serviceAccountToken"]);
        let added = if count(source) == 0 {
            unsourced += 1;
            Vec::new()
        } else if !map["items"].is_null() {
            files(map, &format!("ConfigMap {}", quote(text(&map["name"]))))
        } else if !secret["items"].is_null() {
            files(secret, &format!("Secret {}", quote(text(&secret["name"]))))
        } else if !source["downwardAPI"]["items"].is_null() {
            files(&source["downwardAPI"], "DownwardAPI")
        } else if !token.is_null() {
            vec![file(text(&token["path"]), "ServiceAccountToken")]
        } else {
            Vec::new()
        };
        warn("Projected", &mut all, added);
    }
    for _ in 0..unsourced {
        warnings.push(format!("volume {name} (Projected) has no sources provided"));
    }
}

fn collide(a: &File, b: &File) -> bool {
    let contains = |outer: &File, inner: &File| format!("{}/", inner.path).starts_with(&format!("{}/", outer.path));
    !a.path.is_empty() && !b.path.is_empty() && (contains(a, b) || contains(b, a))
}

fn duplicates(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    for (field, key) in [("hostAliases", "ip"), ("imagePullSecrets", "name")] {
        let mut seen: Vec<&str> = Vec::new();
        for (i, item) in list(&spec[field]).iter().enumerate() {
            let value = text(&item[key]);
            if seen.contains(&value) {
                let path = path.child(field).index(i).child(key);
                warnings.push(format!("{path}: duplicate {key} {}", quote(value)));
            }
            seen.push(value);
        }
    }
    for (i, item) in list(&spec["imagePullSecrets"]).iter().enumerate() {
        if text(&item["name"]).is_empty() {
            let path = path.child("imagePullSecrets").index(i).child("name");
            warnings.push(format!("{path}: invalid empty name \"\""));
        }
    }
}

fn ports(spec: &Value, path: &Path, warnings: &mut Vec<String>) {
    let mut seen: Vec<(&Value, Path)> = Vec::new();
    visit_ports(spec, path, |port, path| {
        let (address, host) = (text(&port["hostIP"]), int(&port["hostPort"]));
        if !address.is_empty() && host == 0 {
            let shown = format!(
                "{{Name:{} HostPort:0 ContainerPort:{} Protocol:{} HostIP:{address}}}",
                text(&port["name"]),
                int(&port["containerPort"]),
                text(&port["protocol"]),
            );
            warnings.push(format!("{path}: hostIP set without hostPort: {shown}"));
        }
        let is_same = |other: &Value| other["containerPort"] == port["containerPort"] && other["protocol"] == port["protocol"];
        for (other, other_path) in seen.iter().filter(|(other, _)| is_same(other)) {
            let (other_address, other_host) = (text(&other["hostIP"]), int(&other["hostPort"]));
            let what = if (address, host) == (other_address, other_host) {
                "duplicate"
            } else if host == 0 || other_host == 0 {
                "overlapping"
            } else if host == other_host && address.is_empty() != other_address.is_empty() {
                "dangerously ambiguous"
            } else {
                continue;
            };
            warnings.push(format!("{path}: {what} port definition with {other_path}"));
        }
        seen.push((port, path));
    });
    let mut names: Vec<(&str, Path)> = Vec::new();
    visit_ports(spec, path, |port, path| {
        let name = text(&port["name"]);
        if name.is_empty() {
            return;
        }
        match names.iter().find(|(other, _)| *other == name) {
            Some((_, other)) => warnings.push(format!(
                "{path}: duplicate port name {} with {other}, services and probes that select ports by name will use {other}",
                quote(name)
            )),
            None => names.push((name, path)),
        }
    });
}

fn visit_ports<'a>(spec: &'a Value, path: &Path, mut visitor: impl FnMut(&'a Value, Path)) {
    for kind in ["initContainers", "containers", "ephemeralContainers"] {
        for (i, container) in list(&spec[kind]).iter().enumerate() {
            for (j, port) in list(&container["ports"]).iter().enumerate() {
                visitor(port, path.child(kind).index(i).child("ports").index(j));
            }
        }
    }
}
