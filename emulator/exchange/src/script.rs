//! Scripts and the answers that were kept of them, as files: `AREA.yaml` and `AREA.json`.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Error, text};

/// What is asked of a cluster, in order.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Script {
    /// Namespaces made before (anew, with their default service account) and removed after.
    #[serde(default)]
    pub namespaces: Vec<String>,
    /// Paths of objects removed before and after.
    #[serde(default)]
    pub remove: Vec<String>,
    /// Abbreviations: `$(name)` in any text of the script.
    #[serde(default, rename = "let")]
    pub abbreviations: BTreeMap<String, String>,
    /// Why the emulator is not measured by this script yet.
    #[serde(default)]
    pub not_yet: Option<String>,
    /// What holds for every exchange.
    #[serde(default)]
    pub always: Always,
    /// The exchanges.
    pub exchanges: Vec<Exchange>,
    /// The file as it is: what is written there is no accident of one cluster, so it is never normalised.
    #[serde(skip)]
    pub source: String,
}

/// What is to be made of every answer of a script, besides what its exchange says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Always {
    /// As an exchange's.
    #[serde(default)]
    pub volatile: Vec<String>,
    /// As an exchange's.
    #[serde(default)]
    pub unordered: Vec<String>,
    /// As an exchange's.
    #[serde(default)]
    pub without: Vec<String>,
    /// What generated names begin with that are told of, though their objects are not looked at.
    #[serde(default)]
    pub generated: Vec<String>,
}

/// One request, and what is to be made of its answer.
///
/// `$(name)` in a path, header or body stands for what an earlier exchange kept under that name, or for an
/// abbreviation; `$(fill N)` for N letters `x`, `$(nest N)` for a list in a list, N deep.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Exchange {
    /// `METHOD path?query`.
    #[serde(rename = "do")]
    pub request: String,
    /// What it is about, when the request does not say.
    #[serde(default)]
    pub it: Option<String>,
    /// `anonymous` or an `Authorization` header; otherwise the kubeconfig's user.
    #[serde(default)]
    pub who: Option<String>,
    /// More headers; a list is a header repeated.
    #[serde(default)]
    pub headers: BTreeMap<String, OneOrMany>,
    /// The body, sent as JSON.
    #[serde(default)]
    pub body: Option<Value>,
    /// The body as it is.
    #[serde(default)]
    pub raw: Option<String>,
    /// Which patch the body is.
    #[serde(default)]
    pub patch: Option<Patch>,
    /// Names for parts of the answer's body, by JSON pointer.
    #[serde(default)]
    pub keep: BTreeMap<String, String>,
    /// The answer is a stream of events, of which so many are read, or as many as come within a while.
    #[serde(default)]
    pub watch: Option<usize>,
    /// The connection becomes a WebSocket with channels, on which this is sent.
    #[serde(default)]
    pub channels: Option<Vec<Piece>>,
    /// What is asked while the watch is open, before its events are read.
    #[serde(default)]
    pub meanwhile: Vec<Exchange>,
    /// Asked again until the answer's body has these values at these pointers (`status` is the HTTP status, `text` a body that
    /// is no JSON). Only for what a controller or a node does in its own time.
    #[serde(default)]
    pub until: BTreeMap<String, Wanted>,
    /// How many seconds to wait for that at most, where it takes long by nature.
    #[serde(default)]
    pub patience: Option<u64>,
    /// Pointers to what differs between clusters for good reason: only its type is kept.
    #[serde(default)]
    pub volatile: Vec<String>,
    /// Pointers to lists whose order means nothing, or, with `*`, to any of them.
    #[serde(default)]
    pub unordered: Vec<String>,
    /// Pointers to lists and maps of what the whole cluster has, in which what others have brought to it is left out:
    /// what has `example.com` in its name.
    #[serde(default)]
    pub foreign: Vec<String>,
    /// Pointers to what is sometimes there and sometimes not: it is left out.
    #[serde(default)]
    pub without: Vec<String>,
    /// Pointers to the only parts of a large body that are kept.
    #[serde(default)]
    pub only: Vec<String>,
}

impl Exchange {
    /// Whether it changes nothing, and may as well be asked twice.
    pub(super) fn only_looks(&self) -> bool {
        self.request.starts_with("GET ") && self.watch.is_none() && self.channels.is_none()
    }
}

/// What is sent on a channel: `{on: 0, text: ...}`, or that no more will be: `{close: 0}`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Piece {
    /// Text.
    Send {
        /// Which channel.
        on: u8,
        /// What.
        text: String,
    },
    /// The end.
    Close {
        /// Which channel.
        close: u8,
    },
}

/// What a value is waited for to be.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum Wanted {
    /// One of several, `{any: [...]}`.
    Any(Any),
    /// Something else, `{not: ...}`.
    Not(Not),
    /// A text with this in it, `{contains: ...}`.
    Contains(Contains),
    /// This one.
    Value(Value),
}

/// See [`Wanted::Any`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Any {
    any: Vec<Value>,
}

/// See [`Wanted::Not`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Not {
    not: Value,
}

/// See [`Wanted::Contains`].
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contains {
    contains: String,
}

impl Wanted {
    pub(super) fn holds(&self, found: &Value) -> bool {
        match self {
            Self::Any(Any { any }) => any.contains(found),
            Self::Not(Not { not }) => not != found,
            Self::Contains(Contains { contains }) => found.as_str().is_some_and(|found| found.contains(contains)),
            Self::Value(value) => value == found,
        }
    }
}

/// A value of a header, or several.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    /// One.
    One(String),
    /// Several.
    Many(Vec<String>),
}

impl OneOrMany {
    pub(super) fn values(&self) -> &[String] {
        match self {
            Self::One(value) => std::slice::from_ref(value),
            Self::Many(values) => values,
        }
    }
}

/// The four kinds of patches.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Patch {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// Kubernetes' own.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl Patch {
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

impl Script {
    /// Reads `AREA.yaml`.
    ///
    /// # Errors
    /// When it cannot be read or is no script.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let source = std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
        // Otherwise `n` and `y` would be booleans.
        let options = serde_saphyr::options! { strict_booleans: true };
        let mut script: Self =
            serde_saphyr::from_str_with_options(&source, options).map_err(|error| format!("{}: {error}", path.display()))?;
        script.source = source;
        script.name_all();
        script.spread();
        Ok(script)
    }

    /// The scripts of a folder, by area, in the order of their names.
    ///
    /// # Errors
    /// When one cannot be read or is no script.
    pub fn read_all(folder: &Path) -> Result<Vec<(String, Self)>, Error> {
        let mut paths: Vec<PathBuf> =
            std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
        paths.retain(|path| path.extension().is_some_and(|extension| extension == "yaml"));
        paths.sort();
        paths
            .into_iter()
            .map(|path| {
                let area = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
                Ok((area, Self::read(&path)?))
            })
            .collect()
    }

    /// Lets every exchange say itself what holds always.
    fn spread(&mut self) {
        fn spread(always: &Always, exchanges: &mut [Exchange]) {
            for exchange in exchanges {
                exchange.volatile.extend_from_slice(&always.volatile);
                exchange.unordered.extend_from_slice(&always.unordered);
                exchange.without.extend_from_slice(&always.without);
                spread(always, &mut exchange.meanwhile);
            }
        }
        spread(&self.always, &mut self.exchanges);
    }

    /// Gives every exchange a name of its own, by which it is found again in the recording.
    fn name_all(&mut self) {
        let mut taken = BTreeSet::new();
        for exchange in &mut self.exchanges {
            let wanted = exchange.it.take().unwrap_or_else(|| exchange.request.clone());
            let mut name = wanted.clone();
            let mut count = 1;
            while !taken.insert(name.clone()) {
                count += 1;
                name = format!("{wanted} #{count}");
            }
            exchange.it = Some(name);
        }
    }
}

/// The answers to a script.
#[derive(Debug, Deserialize, Serialize)]
pub struct Recording {
    /// The version of the cluster that gave them.
    pub version: String,
    /// By exchange, in order.
    pub answers: Vec<Answer>,
    /// The exchanges in which what was waited for did not come.
    #[serde(skip)]
    pub late: Vec<String>,
    /// The exchanges that were answered as by another cluster, but not at once.
    #[serde(skip)]
    pub at_second_look: Vec<String>,
}

/// One answer, normalised.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Answer {
    /// Of the exchange.
    pub name: String,
    /// Status, headers and body.
    pub answer: Value,
}

impl Recording {
    /// Reads `AREA.json`.
    ///
    /// # Errors
    /// When it cannot be read or is no recording.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let text = std::fs::read(path).map_err(|error| format!("{}: {error}", path.display()))?;
        Ok(serde_json::from_slice(&text).map_err(|error| format!("{}: {error}", path.display()))?)
    }

    /// Writes it so that a change of one answer is a change of few lines.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        Ok(std::fs::write(path, text::pretty(&serde_json::to_value(self)?) + "\n")?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn wanted(text: &str) -> Wanted {
        serde_saphyr::from_str(text).unwrap()
    }

    #[test]
    fn what_is_waited_for_is_a_value_or_says_what_it_may_be() {
        assert!(wanted("Running").holds(&json!("Running")));
        assert!(!wanted("Running").holds(&json!("Pending")));
        assert!(wanted("{any: [a, b]}").holds(&json!("b")));
        assert!(!wanted("{any: [a, b]}").holds(&json!("c")));
        assert!(wanted("{not: 0}").holds(&json!(1)));
        assert!(!wanted("{not: null}").holds(&Value::Null));
        assert!(wanted("{contains: back-off}").holds(&json!("a back-off of 10s")));
        assert!(!wanted("{contains: back-off}").holds(&Value::Null));
        // An object that only looks like one of them.
        assert!(wanted("{any: [a], of: b}").holds(&json!({"any": ["a"], "of": "b"})));
    }
}
