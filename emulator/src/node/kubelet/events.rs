//! Events of the kubelet. They are told by a task of its own, as the real one's broadcaster does: nobody waits for them.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender};
use tokio::sync::watch;

use super::Context;
use crate::controllers::events::{Events, Note, Source};
use crate::kinds::view::{list, text};

/// Something worth telling.
#[derive(Debug)]
struct News {
    about: Arc<Value>,
    part: String,
    warning: bool,
    reason: String,
    message: String,
}

/// Takes what is worth telling.
#[derive(Debug, Clone)]
pub(super) struct Recorder(UnboundedSender<News>);

/// What was told and is not written yet.
pub(super) struct Told(UnboundedReceiver<News>);

pub(super) fn channel() -> (Recorder, Told) {
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    (Recorder(sender), Told(receiver))
}

impl Recorder {
    pub(super) fn normal(&self, about: &Arc<Value>, part: &str, reason: &str, message: impl Into<String>) {
        self.tell(about, part, false, reason, message.into());
    }

    pub(super) fn warning(&self, about: &Arc<Value>, part: &str, reason: &str, message: impl Into<String>) {
        self.tell(about, part, true, reason, message.into());
    }

    fn tell(&self, about: &Arc<Value>, part: &str, warning: bool, reason: &str, message: String) {
        let news = News { about: about.clone(), part: part.to_owned(), warning, reason: reason.to_owned(), message };
        // Who does not listen any more is stopped.
        let _ = self.0.send(news);
    }
}

/// Writes what is told, while the node is not silent.
pub(super) async fn write(context: Arc<Context>, mut told: Told, mut silent: watch::Receiver<bool>) {
    let client = &context.client;
    let mut events = Events::default();
    while let Some(news) = told.0.recv().await {
        if silent.wait_for(|silent| !silent).await.is_err() {
            return;
        }
        let source = Source { component: "kubelet", host: context.node.name() };
        let News { about, part, warning, reason, message } = &news;
        let note = Note { about, part, source, warning: *warning, reason, message };
        events.record(&client.cluster, &client.user, &note);
        tokio::task::yield_now().await;
    }
}

/// How an event names a container of a pod (`GenerateContainerRef`).
pub(super) fn part_of(pod: &Value, container: &str) -> String {
    for key in ["containers", "initContainers", "ephemeralContainers"] {
        if list(&pod["spec"][key]).iter().any(|c| text(&c["name"]) == container) {
            return format!("spec.{key}{{{container}}}");
        }
    }
    String::new()
}
