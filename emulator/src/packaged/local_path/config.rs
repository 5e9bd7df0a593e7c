//! The provisioner's `config.json`: which folders it may use on which node.

use std::collections::BTreeMap;

use k3s_arc_container::Files;
use serde::Deserialize;

/// For nodes that are not named.
const OTHERS: &str = "DEFAULT_PATH_FOR_NON_LISTED_NODES";
/// Seconds that a helper pod may take.
const PATIENCE: i64 = 120;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    #[serde(default)]
    node: String,
    #[serde(default)]
    paths: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    node_path_map: Vec<Node>,
    #[serde(default)]
    shared_file_system_path: String,
    #[serde(default)]
    cmd_timeout_seconds: i64,
    #[serde(default)]
    storage_class_configs: serde_json::Map<String, serde_json::Value>,
}

/// A valid one.
#[derive(Debug)]
pub(super) struct Config {
    nodes: BTreeMap<String, Vec<String>>,
    /// Seconds that a helper pod may take.
    pub(super) patience: i64,
}

/// The file that the arguments name.
pub(super) fn path(args: &[String]) -> String {
    let named = args.iter().position(|arg| arg == "--config").and_then(|at| args.get(at + 1));
    named.map_or("/etc/config/config.json", String::as_str).to_owned()
}

impl Config {
    /// Reads it; the real one reads it anew twice a minute, this one whenever it is asked for something.
    pub(super) fn read(files: &Files, path: &str) -> Result<Self, String> {
        let failed = |why: String| format!("fail to load config file {path}: {why}");
        let text = files.read_to_string(path).map_err(|error| failed(format!("open {path}: {error}")))?;
        let document: Document = serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
        Self::of(document)
    }

    fn of(document: Document) -> Result<Self, String> {
        if !document.shared_file_system_path.is_empty() || !document.storage_class_configs.is_empty() {
            return Err("sharedFileSystemPath and storageClassConfigs are not emulated".into());
        }
        let failed = |why: String| format!("StorageClass config canonicalization failed: {why}");
        let mut nodes = BTreeMap::new();
        for Node { node, paths } in document.node_path_map {
            for path in &paths {
                if !path.starts_with('/') {
                    return Err(failed(format!("path must start with / for path {path} on node {node}")));
                }
                if path.trim_end_matches('/').is_empty() {
                    return Err(failed(format!("cannot use root ('/') as path on node {node}")));
                }
            }
            if nodes.contains_key(&node) {
                return Err(failed(format!("duplicate node {node}")));
            }
            nodes.insert(node, paths);
        }
        let patience = if document.cmd_timeout_seconds > 0 { document.cmd_timeout_seconds } else { PATIENCE };
        Ok(Self { nodes, patience })
    }

    /// Where volumes of a node lie; at `requested`, if the class asks for one of several.
    pub(super) fn path_on(&self, node: &str, requested: &str) -> Result<&str, String> {
        if self.nodes.is_empty() {
            return Err("both nodePathMap and sharedFileSystemPath are unconfigured".into());
        }
        let paths = self.nodes.get(node).or_else(|| self.nodes.get(OTHERS));
        let paths = paths.ok_or_else(|| format!("config doesn't contain node {node}, and no {OTHERS} available"))?;
        let first = paths.first().ok_or_else(|| format!("no local path available on node {node}"))?;
        if requested.is_empty() {
            return Ok(first);
        }
        let found = paths.iter().find(|path| *path == requested);
        found.map(String::as_str).ok_or_else(|| format!("config doesn't contain path {requested} on node {node}"))
    }
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    fn config(json: &str) -> Result<Config, String> {
        Config::of(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn a_node_has_its_own_paths_or_those_of_the_others() {
        let config =
            config(r#"{"nodePathMap": [{"node": "DEFAULT_PATH_FOR_NON_LISTED_NODES", "paths": ["/a"]}, {"node": "n", "paths": ["/b", "/c"]}]}"#)
                .unwrap();
        assert_eq!(config.path_on("other", ""), Ok("/a"));
        assert_eq!(config.path_on("n", ""), Ok("/b"));
        assert_eq!(config.path_on("n", "/c"), Ok("/c"));
        assert_eq!(config.path_on("n", "/a"), Err("config doesn't contain path /a on node n".into()));
        assert_eq!(config.patience, 120);
    }

    #[rstest]
    #[case(r#"{"nodePathMap": [{"node": "n", "paths": ["a"]}]}"#, "path must start with / for path a on node n")]
    #[case(r#"{"nodePathMap": [{"node": "n", "paths": ["/"]}]}"#, "cannot use root ('/') as path on node n")]
    #[case(r#"{"nodePathMap": [{"node": "n"}, {"node": "n"}]}"#, "duplicate node n")]
    #[case(r#"{"sharedFileSystemPath": "/a"}"#, "not emulated")]
    fn what_is_wrong_is_said(#[case] json: &str, #[case] why: &str) {
        let error = config(json).unwrap_err();
        assert!(error.contains(why), "{error}");
    }
}
