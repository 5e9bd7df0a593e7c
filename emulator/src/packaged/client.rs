//! What a component does at the API, as the service account that it runs as.

use std::cell::RefCell;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::Value;

use crate::access::User;
use crate::api::options::WriteOptions;
use crate::cluster::Cluster;
use crate::controllers::events::{Events, Note, Source};
use crate::registry::Served;
use crate::schema::codec;
use crate::status::Refusal;
use crate::verbs::{Call, DeleteOptions};

/// A component's way to the API.
pub(super) struct Client {
    pub(super) cluster: Arc<Cluster>,
    user: User,
    /// The name that its fields are managed under.
    manager: &'static str,
    events: Mutex<Events>,
}

impl Client {
    pub(super) fn new(cluster: Arc<Cluster>, namespace: &str, account: &str, manager: &'static str) -> Self {
        let name = format!("system:serviceaccount:{namespace}:{account}");
        let groups = ["system:serviceaccounts", &format!("system:serviceaccounts:{namespace}")];
        Self { user: User::new(&name, &groups), cluster, manager, events: Mutex::new(Events::of(manager)) }
    }

    fn served(&self, resource: &str) -> Result<Arc<Served>, Refusal> {
        self.cluster.registry().any_version("", resource).ok_or_else(|| Refusal::internal("no such resource"))
    }

    fn call<'a>(&'a self, served: &'a Served, namespace: &'a str, name: &'a str) -> Call<'a> {
        Call {
            cluster: &self.cluster,
            served,
            user: &self.user,
            namespace,
            name,
            subresource: "",
            uid_is_condition: false,
            options: WriteOptions { manager: self.manager.into(), ..WriteOptions::default() },
            agent: "",
            warnings: RefCell::default(),
        }
    }

    /// Creates an object of the core group.
    pub(super) fn create(&self, resource: &str, namespace: &str, mut object: Value) -> Result<Value, Refusal> {
        let served = self.served(resource)?;
        served.default(&mut object);
        if let Some(ty) = served.ty() {
            object = codec::encode(ty, object);
        }
        self.call(&served, namespace, "").create(object)
    }

    /// Deletes one.
    pub(super) fn delete(&self, resource: &str, namespace: &str, name: &str) -> Result<(), Refusal> {
        let served = self.served(resource)?;
        self.call(&served, namespace, name).delete(&DeleteOptions::default()).map(drop)
    }

    /// Tells of something that happened to an object.
    pub(super) fn tell(&self, about: &Value, component: &str, warning: bool, reason: &str, message: &str) {
        let source = Source { component, host: "" };
        let note = Note { about, part: "", source, warning, reason, message };
        self.events.lock().unwrap_or_else(PoisonError::into_inner).record(&self.cluster, &self.user, &note);
    }
}
