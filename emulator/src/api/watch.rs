//! Watches over HTTP: events as they happen, one after the other in a body without end.

use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Value, json};

use super::answer::{self, Answer};
use super::negotiate::{Encoding, Form, Wanted};
use super::options::ListOptions;
use super::resources::Request;
use super::respond;
use crate::cluster::Cluster;
use crate::registry::Served;
use crate::status::Refusal;
use crate::table::{Include, Options};
use crate::verbs::list::Selection;
use crate::verbs::watch::{Sent, Watching, bookmark};

pub(super) fn answer(request: &Request<'_>) -> Result<Answer, Refusal> {
    let options = ListOptions::of(request.query(), true)?;
    let selection = Selection::of(request.served, &request.target.namespace, &request.target.name, &options)?;
    let include = respond::include(request.query())?;
    let mut watching = Watching::begin(request.cluster, request.served, selection, &options)?;
    let mut events = Events {
        cluster: request.cluster.clone(),
        served: request.served.clone(),
        wanted: request.wanted,
        include,
        headers: true,
    };
    let content_type = match request.wanted.encoding {
        Encoding::Json | Encoding::Yaml => "application/json".to_owned(),
        Encoding::Protobuf => format!("{};stream=watch", Encoding::Protobuf.content_type()),
    };
    let (answer, sender) = answer::stream(&content_type);
    let mut cut = request.cluster.faults.watches();
    tokio::spawn(async move {
        loop {
            let sent = tokio::select! {
                sent = watching.next() => sent,
                () = sender.closed() => None,
                _ = cut.changed() => None,
            };
            let Some(sent) = sent else { return };
            let last = matches!(sent, Sent::Error(_));
            // A client that is gone, or that no longer reads, ends its own watch only.
            if sender.send(events.encode(&sent)).await.is_err() || last {
                return;
            }
        }
    });
    Ok(answer)
}

/// How one client gets its events.
struct Events {
    cluster: Arc<Cluster>,
    served: Arc<Served>,
    wanted: Wanted,
    include: Include,
    /// The next table says what its columns are.
    headers: bool,
}

impl Events {
    fn encode(&mut self, sent: &Sent) -> Bytes {
        let kind = sent.kind();
        let object = match sent {
            Sent::Added(stored) | Sent::Modified(stored) | Sent::Deleted(stored) => {
                if self.wanted == Wanted::JSON || (self.wanted.encoding == Encoding::Json && self.wanted.form == Form::Object) {
                    let json = self.served.json(stored);
                    let mut out = Vec::with_capacity(json.len() + 40);
                    out.extend_from_slice(format!("{{\"type\":\"{kind}\",\"object\":").as_bytes());
                    out.extend_from_slice(&json);
                    out.extend_from_slice(b"}\n");
                    return out.into();
                }
                self.formed(self.served.live(stored))
            }
            Sent::Bookmark(revision, initial_end) => self.formed(bookmark(&self.served, *revision, *initial_end)),
            Sent::Error(refusal) => refusal.to_json(),
        };
        match self.wanted.encoding {
            Encoding::Protobuf => crate::proto::watch_frame(kind, &object).unwrap_or_default().into(),
            Encoding::Json | Encoding::Yaml => format!("{}\n", json!({"type": kind, "object": object})).into(),
        }
    }

    fn formed(&mut self, object: Value) -> Value {
        match self.wanted.form {
            Form::Object => object,
            Form::Metadata(version) | Form::MetadataList(version) => respond::metadata_only(&self.served, &object, version),
            Form::Table(version) => {
                let api_version = format!("meta.k8s.io/{version}");
                let options = Options { include: self.include, headers: self.headers, api_version: &api_version };
                self.headers = false;
                let metadata = json!({"resourceVersion": object["metadata"]["resourceVersion"]});
                respond::table(&self.cluster, &self.served, "", &[&object], metadata, options)
            }
        }
    }
}
