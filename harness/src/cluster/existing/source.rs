//! Which cluster: the context that was named, in the kubeconfig that was given, and nothing that is taken for granted.

use std::{ffi::OsString, path::PathBuf};

use kube::config::{Kubeconfig, KubeconfigError};

use super::ExistingError;
use crate::config::Config;

/// Parts of names that people give to what must not be tried things on, wherever in a name they are.
const TELLING_PARTS: [&str; 2] = ["prod", "prd"];
/// Words that say so only where they stand alone: `live` is in `delivery`, too.
const TELLING_WORDS: [&str; 2] = ["live", "critical"];

/// A cluster that exists, and the way to it.
#[derive(Debug, Clone)]
pub(super) struct Source {
    /// Of the whole kubeconfig only what the context needs.
    pub(super) kubeconfig: Kubeconfig,
    pub(super) context: String,
    /// Where its API is.
    pub(super) server: String,
}

impl Source {
    /// The one that the configuration names.
    pub(super) fn choose(config: &Config) -> Result<Self, ExistingError> {
        let paths = paths(config);
        let whole = read(&paths)?;
        let contexts: Vec<String> = whole.contexts.iter().map(|context| context.name.clone()).collect();
        let Some(context) = &config.context else { return Err(ExistingError::NoContext { contexts }) };
        if !contexts.contains(context) {
            return Err(ExistingError::UnknownContext { context: context.clone(), contexts });
        }
        let source = Self::of(whole, context)?;
        if !config.yes {
            source.refuse_production()?;
        }
        Ok(source)
    }

    /// What the context needs of a kubeconfig.
    fn of(whole: Kubeconfig, name: &str) -> Result<Self, ExistingError> {
        let incomplete = |what: String| ExistingError::Incomplete { context: name.to_owned(), what };
        let named = whole.contexts.into_iter().find(|context| context.name == name);
        let context = named.as_ref().and_then(|named| named.context.clone()).ok_or_else(|| incomplete("a content".to_owned()))?;
        let cluster = whole.clusters.into_iter().find(|cluster| cluster.name == context.cluster);
        let cluster = cluster.ok_or_else(|| incomplete(format!("the cluster {}", context.cluster)))?;
        let server = cluster.cluster.as_ref().and_then(|cluster| cluster.server.clone());
        let server = server.ok_or_else(|| incomplete(format!("the server of the cluster {}", context.cluster)))?;
        let user = match &context.user {
            None => None,
            Some(user) => {
                let known = whole.auth_infos.into_iter().find(|known| known.name == *user);
                Some(known.ok_or_else(|| incomplete(format!("the user {user}")))?)
            }
        };
        let kubeconfig = Kubeconfig {
            kind: Some("Config".to_owned()),
            api_version: Some("v1".to_owned()),
            current_context: Some(name.to_owned()),
            contexts: named.into_iter().collect(),
            clusters: vec![cluster],
            auth_infos: user.into_iter().collect(),
            ..Kubeconfig::default()
        };
        Ok(Self { kubeconfig, context: name.to_owned(), server })
    }

    fn refuse_production(&self) -> Result<(), ExistingError> {
        let cluster = self.kubeconfig.clusters.first().map_or("", |cluster| &cluster.name);
        let names = [("context", self.context.as_str()), ("cluster", cluster), ("server", self.server.as_str())];
        match names.into_iter().find(|(_, name)| looks_like_production(name)) {
            Some((what, name)) => Err(ExistingError::Production { context: self.context.clone(), what, name: name.to_owned() }),
            None => Ok(()),
        }
    }
}

fn looks_like_production(name: &str) -> bool {
    let name = name.to_lowercase();
    let word = |word: &str| TELLING_WORDS.contains(&word.trim_end_matches(|digit: char| digit.is_ascii_digit()));
    TELLING_PARTS.iter().any(|part| name.contains(part)) || name.split(|letter: char| !letter.is_alphanumeric()).any(word)
}

/// Where kubectl would look, if nobody says better.
fn paths(config: &Config) -> Vec<PathBuf> {
    if let Some(path) = &config.kubeconfig {
        return vec![path.clone()];
    }
    let listed: OsString = std::env::var_os("KUBECONFIG").unwrap_or_default();
    let listed: Vec<PathBuf> = std::env::split_paths(&listed).filter(|path| !path.as_os_str().is_empty()).collect();
    if listed.is_empty() { std::env::home_dir().map(|home| home.join(".kube/config")).into_iter().collect() } else { listed }
}

/// Reads them together; the first to say a thing counts.
fn read(paths: &[PathBuf]) -> Result<Kubeconfig, ExistingError> {
    let unreadable = |path: &PathBuf, source| ExistingError::Kubeconfig { path: path.clone(), source: Box::new(source) };
    let mut whole = Kubeconfig::default();
    for path in paths {
        // Absolute, as what it names relative to itself is read from elsewhere later.
        let found = path.canonicalize().map_err(|error| KubeconfigError::ReadConfig(error, path.clone()));
        let read = found.and_then(Kubeconfig::read_from).and_then(|read| whole.merge(read));
        whole = read.map_err(|error| unreadable(path, error))?;
    }
    Ok(whole)
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    const TWO: &str = "apiVersion: v1\nkind: Config\ncurrent-context: edge\n\
        clusters:\n\
        - {name: edge, cluster: {server: 'https://10.0.0.1:6443', certificate-authority: ca.crt}}\n\
        - {name: shop, cluster: {server: 'https://shop-prod.example:6443'}}\n\
        contexts:\n\
        - {name: edge, context: {cluster: edge, user: me}}\n\
        - {name: shop, context: {cluster: shop, user: plugin}}\n\
        - {name: lost, context: {cluster: gone, user: me}}\n\
        users:\n\
        - {name: me, user: {token: s3cret}}\n\
        - {name: plugin, user: {exec: {apiVersion: client.authentication.k8s.io/v1, command: ./login, args: [a], \
           env: [{name: X, value: y}], interactiveMode: Never, provideClusterInfo: true}}}\n";

    fn chosen(context: &'static str, more: &'static [(&'static str, &'static str)]) -> Result<Source, ExistingError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("config");
        std::fs::write(&path, TWO).unwrap();
        let config = Config::read(|name| match name {
            "K3S_ARC_KUBECONFIG" => Some(path.clone().into()),
            "K3S_ARC_CONTEXT" => Some(context.into()),
            _ => more.iter().find(|(known, _)| *known == name).map(|(_, value)| value.into()),
        });
        Source::choose(&config.unwrap())
    }

    #[test]
    fn no_context_is_taken_for_granted() {
        let error = chosen("", &[]).unwrap_err();
        assert!(matches!(&error, ExistingError::NoContext { contexts } if *contexts == ["edge", "shop", "lost"]), "{error}");
        assert!(matches!(chosen("prod", &[]).unwrap_err(), ExistingError::UnknownContext { .. }));
        let error = chosen("lost", &[]).unwrap_err().to_string();
        assert!(error.contains("the cluster gone"), "{error}");
    }

    #[test]
    fn only_what_the_context_needs_is_kept_and_paths_become_absolute() {
        let source = chosen("edge", &[]).unwrap();
        assert_eq!((source.context.as_str(), source.server.as_str()), ("edge", "https://10.0.0.1:6443"));
        let kept = serde_saphyr::to_string(&source.kubeconfig).unwrap();
        let again = Kubeconfig::from_yaml(&kept).unwrap();
        assert_eq!((again.clusters.len(), again.auth_infos.len(), again.contexts.len()), (1, 1, 1));
        assert_eq!(again.current_context.as_deref(), Some("edge"));
        let authority = again.clusters[0].cluster.as_ref().unwrap().certificate_authority.clone().unwrap();
        assert!(authority.starts_with('/') && authority.ends_with("/ca.crt"), "{authority}");
        assert!(kept.contains("s3cret"), "the reaper logs in with it");
    }

    #[test]
    fn a_plug_in_is_kept_with_all_it_is_given() {
        let source = chosen("shop", &[("K3S_ARC_YES", "1")]).unwrap();
        let again = Kubeconfig::from_yaml(&serde_saphyr::to_string(&source.kubeconfig).unwrap()).unwrap();
        let (before, after) = (&source.kubeconfig.auth_infos[0].auth_info, &again.auth_infos[0].auth_info);
        let exec = after.as_ref().unwrap().exec.clone().unwrap();
        assert!(exec.command.as_deref().unwrap().starts_with('/'), "{:?}", exec.command);
        let before = before.as_ref().unwrap().exec.clone().unwrap();
        assert_eq!(serde_json::to_value(exec).unwrap(), serde_json::to_value(before).unwrap());
    }

    #[test]
    fn what_looks_like_production_is_refused_until_somebody_says_yes() {
        let error = chosen("shop", &[]).unwrap_err();
        assert!(matches!(&error, ExistingError::Production { what: "server", .. }), "{error}");
        assert!(chosen("shop", &[("K3S_ARC_YES", "0")]).is_err());
        assert!(chosen("shop", &[("K3S_ARC_YES", "1")]).is_ok());
    }

    #[rstest]
    #[case("prod", true)]
    #[case("aks-PROD-weu", true)]
    #[case("myproduction1", true)]
    #[case("shop.prd.example", true)]
    #[case("eu-live2", true)]
    #[case("kind-delivery", false)]
    #[case("k3d-test", false)]
    #[case("default", false)]
    fn names_tell(#[case] name: &str, #[case] production: bool) {
        assert_eq!(looks_like_production(name), production);
    }
}
