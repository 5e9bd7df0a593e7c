//! The store's log on disk: a line of JSON for each write. It is written anew, without what was replaced, whenever it is opened.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use super::Key;
use crate::access::authority::private;

const FILE: &str = "store.jsonl";

#[derive(Serialize, Deserialize)]
struct Line<'a> {
    revision: u64,
    table: String,
    namespace: String,
    name: String,
    /// None for a removal.
    #[serde(borrow)]
    object: Option<&'a RawValue>,
}

#[derive(Debug)]
pub(super) struct Log {
    /// None once a write has failed: what follows it would make no sense without it.
    file: Option<File>,
}

type Objects = Vec<(Key, Value)>;

impl Log {
    /// Reads what is there and begins a log that has just that. A last line without its end is the trace of a crash
    /// and is left out; any other that cannot be read is an error.
    pub(super) fn open(directory: &Path) -> io::Result<(Self, u64, Objects)> {
        fs::create_dir_all(directory)?;
        let path = directory.join(FILE);
        let mut objects: BTreeMap<(String, String, String), Value> = BTreeMap::new();
        let mut revision = 0;
        if path.exists() {
            let mut reader = BufReader::new(File::open(&path)?);
            let mut text = String::new();
            let mut number = 0;
            while reader.read_line(&mut text)? > 0 {
                number += 1;
                if !text.ends_with('\n') {
                    break;
                }
                let unread = |e| io::Error::new(io::ErrorKind::InvalidData, format!("{}:{number}: {e}", path.display()));
                let line: Line<'_> = serde_json::from_str(&text).map_err(unread)?;
                revision = line.revision;
                let key = (line.table, line.namespace, line.name);
                match line.object {
                    Some(object) => {
                        objects.insert(key, super::read(object.get().as_bytes()).map_err(unread)?);
                    }
                    None => {
                        objects.remove(&key);
                    }
                }
                text.clear();
            }
        }
        let objects: Objects = objects
            .into_iter()
            .map(|((table, namespace, name), value)| (Key { table: Arc::from(table), namespace, name }, value))
            .collect();
        let fresh = directory.join("store.jsonl.new");
        let mut writer = BufWriter::new(private(&fresh)?);
        for (key, value) in &objects {
            line(&mut writer, key, revision, Some(value.to_string().as_bytes()))?;
        }
        writer.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&fresh, &path)?;
        let file = OpenOptions::new().append(true).open(&path)?;
        Ok((Self { file: Some(file) }, revision, objects))
    }

    /// Adds a write. Once the disk refuses one, the process goes on from memory, and says so.
    pub(super) fn write(&mut self, key: &Key, revision: u64, object: Option<&Bytes>) {
        let Some(file) = &mut self.file else { return };
        let mut text = Vec::new();
        let done = line(&mut text, key, revision, object.map(AsRef::as_ref)).and_then(|()| file.write_all(&text));
        if let Err(error) = done {
            tracing::error!(%error, revision, "a write could not be kept on disk, nor will those after it");
            self.file = None;
        }
    }
}

fn line(to: &mut impl Write, key: &Key, revision: u64, object: Option<&[u8]>) -> io::Result<()> {
    let object = object.map(serde_json::from_slice::<&RawValue>).transpose()?;
    let line = Line { revision, table: key.table.to_string(), namespace: key.namespace.clone(), name: key.name.clone(), object };
    serde_json::to_writer(&mut *to, &line)?;
    to.write_all(b"\n")
}
