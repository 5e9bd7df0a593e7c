//! The emulator's table of types, taken from what a running K3s says of itself (its OpenAPI documents and its discovery)
//! and, for what OpenAPI leaves out, from Kubernetes' Go types.

mod go;

use std::collections::BTreeSet;
use std::path::PathBuf;

use miette::{Context as _, IntoDiagnostic as _, miette};
use serde_json::{Map, Value};

use crate::cluster::Cluster;

/// Where from and where to.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The kubeconfig of the cluster to ask.
    #[arg(long)]
    kubeconfig: PathBuf,
    /// The directory `k8s.io` of Go's module cache, after `go mod download` of k8s.io/api, apimachinery,
    /// apiextensions-apiserver, kube-aggregator and metrics in the cluster's version.
    #[arg(long)]
    go_modules: PathBuf,
    /// The directory to write to, such as `emulator/src/schema/v1.34.1`.
    #[arg(long)]
    out: PathBuf,
}

const JSON: &str = "application/json";
const DISCOVERY: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// Of its fields `kubectl explain` tells for every custom resource, and Kubernetes' conformance tests look whether it does.
const DESCRIBED: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// Asks the cluster and writes the table.
pub(crate) async fn run(arguments: &Arguments) -> miette::Result<()> {
    let cluster = Cluster::from_kubeconfig(&arguments.kubeconfig)?;
    let version = cluster.get_json("/version", JSON).await?;
    let custom = custom_groups(&cluster).await?;
    let schemas = schemas(&cluster, &custom).await?;
    let groups = groups(&cluster, &custom).await?;

    // v1.34.1+k3s1: the Go modules know the part before the plus.
    let release = version["gitVersion"].as_str().unwrap_or_default().trim_start_matches('v');
    let release = release.split('+').next().unwrap_or_default();
    let fields = go::Sources::new(&arguments.go_modules, release).table(schemas.keys().filter(|name| is_go(name)).cloned())?;

    let write = |name: &str, text: String| {
        let file = arguments.out.join(name);
        std::fs::write(&file, text).into_diagnostic().wrap_err_with(|| file.display().to_string())
    };
    std::fs::create_dir_all(&arguments.out).into_diagnostic()?;
    write("version.json", lines(&version))?;
    write("schemas.json", lines(&Value::Object(schemas)))?;
    write("discovery.json", lines(&groups))?;
    write("fields.txt", fields)
}

/// Whether the schema is of a Go type; `io.k8s.api...` is, `com.cattle.k3s...` comes from a custom resource definition.
fn is_go(name: &str) -> bool {
    name.starts_with("io.k8s.") && !name.contains(".pkg.version.")
}

/// Compact, yet a line per entry: that is what reviews and diffs need.
fn lines(value: &Value) -> String {
    let body: Vec<String> = match value {
        Value::Object(map) => map.iter().map(|(key, value)| format!("{}:{value}", Value::from(key.as_str()))).collect(),
        Value::Array(items) => items.iter().map(Value::to_string).collect(),
        other => return format!("{other}\n"),
    };
    let (open, close) = if value.is_array() { ('[', ']') } else { ('{', '}') };
    format!("{open}\n{}\n{close}\n", body.join(",\n"))
}

/// The groups that come from CustomResourceDefinitions: the emulator learns these when they are created.
async fn custom_groups(cluster: &Cluster) -> miette::Result<BTreeSet<String>> {
    let list = cluster.get_json("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", JSON).await?;
    let definitions = list["items"].as_array().into_iter().flatten();
    Ok(definitions.filter_map(|definition| definition["spec"]["group"].as_str()).map(str::to_owned).collect())
}

/// `components.schemas` of all documents, without prose but for [`DESCRIBED`].
async fn schemas(cluster: &Cluster, custom: &BTreeSet<String>) -> miette::Result<Map<String, Value>> {
    let index = cluster.get_json("/openapi/v3", JSON).await?;
    let paths = index["paths"].as_object().ok_or_else(|| miette!("the index of /openapi/v3 has no paths"))?;
    let mut all = Map::new();
    for (path, entry) in paths {
        // Only `api/v1` and `apis/GROUP/VERSION` have types; the rest describes discovery.
        let serves_types = matches!(path.split('/').collect::<Vec<_>>().as_slice(), ["api", _] | ["apis", _, _]);
        if !serves_types || path.split('/').nth(1).is_some_and(|group| custom.contains(group)) {
            continue;
        }
        let url = entry["serverRelativeURL"].as_str().ok_or_else(|| miette!("{path} has no URL"))?;
        let mut document = cluster.get_json(url, JSON).await?;
        if let Value::Object(schemas) = document["components"]["schemas"].take() {
            all.extend(schemas.into_iter().filter(|(name, _)| name.starts_with("io.k8s.")));
        }
    }
    all.iter_mut().filter(|(name, _)| *name != DESCRIBED).for_each(|(_, schema)| strip(schema));
    Ok(all)
}

/// Drops descriptions, and `default: {}` stays: it is data. A property may itself be called `description`.
fn strip(schema: &mut Value) {
    let Some(schema) = schema.as_object_mut() else { return };
    schema.remove("description");
    for key in ["items", "additionalProperties"] {
        if let Some(below) = schema.get_mut(key) {
            strip(below);
        }
    }
    if let Some(Value::Object(fields)) = schema.get_mut("properties") {
        fields.values_mut().for_each(strip);
    }
}

/// The groups of `/api` and `/apis` in the aggregated form, each resource with the hash that only the older form has.
async fn groups(cluster: &Cluster, custom: &BTreeSet<String>) -> miette::Result<Value> {
    let mut all = Vec::new();
    for root in ["/api", "/apis"] {
        let mut found = cluster.get_json(root, DISCOVERY).await?;
        let Value::Array(items) = found["items"].take() else { return Err(miette!("{root} lists nothing")) };
        for mut group in items {
            let name = group["metadata"]["name"].as_str().unwrap_or_default().to_owned();
            if custom.contains(&name) {
                continue;
            }
            let base = if name.is_empty() { root.to_owned() } else { format!("{root}/{name}") };
            for version in group["versions"].as_array_mut().into_iter().flatten() {
                add_hashes(cluster, &base, version).await?;
            }
            if let Some(metadata) = group["metadata"].as_object_mut() {
                metadata.remove("creationTimestamp");
            }
            all.push(group);
        }
    }
    Ok(Value::Array(all))
}

async fn add_hashes(cluster: &Cluster, base: &str, version: &mut Value) -> miette::Result<()> {
    let path = format!("{base}/{}", version["version"].as_str().unwrap_or_default());
    let legacy = cluster.get_json(&path, JSON).await?;
    for resource in version["resources"].as_array_mut().into_iter().flatten() {
        let known = legacy["resources"].as_array().into_iter().flatten();
        if let Some(hash) = known.filter(|old| old["name"] == resource["resource"]).find_map(|old| old.get("storageVersionHash"))
        {
            resource["storageVersionHash"] = hash.clone();
        }
    }
    Ok(())
}
