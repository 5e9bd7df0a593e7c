//! One cluster: its objects, what it serves, who may do what.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, RwLock, RwLockReadGuard};

use jiff::Timestamp;
use serde_json::Value;

use crate::access::User;
use crate::access::authority::Authority;
use crate::access::rbac::{Action, Authorizer};
use crate::admission::Objects;
use crate::clock::Clock;
use crate::controllers;
use crate::custom::definition;
use crate::faults::ServerFaults;
use crate::kinds::core::allocation;
use crate::net::Network;
use crate::node::Nodes;
use crate::registry::{Registry, Served};
use crate::status::Refusal;
use crate::store::{Key, Range, Store, Stored};

/// The state behind a server. Requests and controllers share it.
pub(crate) struct Cluster {
    pub(crate) store: Store,
    pub(crate) authority: Authority,
    /// The kubelets of its nodes.
    pub(crate) nodes: Nodes,
    /// Its pods' and services' addresses.
    pub(crate) network: Arc<Network>,
    /// Its clock: who waits for something of the cluster's waits by it.
    pub(crate) time: Clock,
    /// What is wrong with its server.
    pub(crate) faults: ServerFaults,
    authorizer: Authorizer,
    registry: RwLock<Arc<Registry>>,
    settling: Mutex<()>,
    /// Shared from when a quota is charged for an object until the object is there.
    charging: RwLock<()>,
}

/// A time as the API writes it: seconds, UTC.
pub(crate) fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

impl Cluster {
    pub(crate) fn new(store: Store, authority: Authority, network: Arc<Network>, time: Clock) -> Self {
        let registry = RwLock::new(Arc::new(Registry::builtin()));
        let cluster = Self {
            store,
            authority,
            nodes: Nodes::default(),
            network,
            time,
            faults: ServerFaults::default(),
            authorizer: Authorizer::default(),
            registry,
            settling: Mutex::default(),
            charging: RwLock::default(),
        };
        cluster.settle_definitions();
        cluster
    }

    /// A new cluster in memory, in which nothing happens by itself.
    #[cfg(test)]
    #[allow(clippy::unwrap_used)] // Of tests.
    pub(crate) fn new_in_memory() -> Arc<Self> {
        let network = Arc::new(Network::new(([127, 0, 0, 1], 6443).into()));
        let (store, authority) = (Store::open(None).unwrap(), Authority::open(None).unwrap());
        let cluster = Arc::new(Self::new(store, authority, network, Clock::default()));
        cluster.network.serve(&cluster);
        crate::boot::boot(&cluster, "k3s").unwrap();
        cluster
    }

    /// The time.
    pub(crate) fn clock(&self) -> Timestamp {
        self.time.now()
    }

    /// The time as objects have it.
    pub(crate) fn now(&self) -> String {
        time(self.clock())
    }

    /// What is served at the moment.
    pub(crate) fn registry(&self) -> Arc<Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// 403 unless the user may.
    pub(crate) fn authorize(&self, user: &User, action: &Action) -> Result<(), Refusal> {
        if self.allows(user, action).is_some() {
            return Ok(());
        }
        Err(Refusal::forbidden(&action.group, &action.resource, &action.name, &action.refusal(user)))
    }

    /// Why the user may, if so.
    pub(crate) fn allows(&self, user: &User, action: &Action) -> Option<String> {
        self.authorizer.allows(&self.store, user, action)
    }

    /// The rules that hold for a user in a namespace.
    pub(crate) fn rules(&self, user: &User, namespace: &str) -> Vec<crate::access::rbac::Rule> {
        self.authorizer.rules(&self.store, user, namespace)
    }

    /// An object of a built-in resource, parsed.
    pub(crate) fn object(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Value> {
        let served = self.registry().any_version(group, resource)?;
        let stored = self.store.get(&Key::new(&served.table, namespace, name))?;
        Some(served.live(&stored))
    }

    /// Gives an object what only the cluster can: addresses and ports.
    pub(crate) fn allocate(
        &self,
        served: &Served,
        object: &mut Value,
        old: Option<&Value>,
        dry_run: bool,
    ) -> Result<(), Refusal> {
        if !served.is("", "services") {
            return Ok(());
        }
        match old {
            None => allocation::create(object, self, dry_run),
            Some(old) => allocation::update(old, object, self, dry_run),
        }
    }

    /// Stores an object that was read and changed by the cluster itself.
    pub(crate) fn put(&self, group: &str, resource: &str, object: &Value) -> Result<(), Refusal> {
        let Some(served) = self.registry().any_version(group, resource) else { return Ok(()) };
        let text = |key: &str| object["metadata"][key].as_str().unwrap_or_default();
        let key = Key::new(&served.table, text("namespace"), text("name"));
        let seen = text("resourceVersion").parse().unwrap_or_default();
        let stored = self.store.replace(&key, seen, served.to_stored(object.clone()));
        let why = "the object has been modified; please apply your changes to the latest version and try again";
        stored.map(drop).map_err(|_| Refusal::conflict(group, resource, text("name"), why))
    }

    /// Begins to charge quotas for an object. Until what is returned is dropped, nobody counts.
    pub(crate) fn begin_charge(&self) -> RwLockReadGuard<'_, ()> {
        self.charging.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts what objects use: all that was charged is there, and nothing is charged meanwhile.
    pub(crate) fn count<T>(&self, count: impl FnOnce() -> T) -> T {
        let _nobody = self.charging.write().unwrap_or_else(PoisonError::into_inner);
        count()
    }

    /// Stores what quotas count as used. False when one has changed meanwhile: what it allows must be asked anew.
    pub(crate) fn charge(&self, quotas: &[Value]) -> bool {
        quotas.iter().all(|quota| self.put("", "resourcequotas", quota).is_ok())
    }

    /// Reads the definitions anew, lets each settle with the others, and serves what they define.
    fn settle_definitions(&self) {
        // One at a time: who comes second must not put what it read before in the place of what the first one read after.
        let _turn = self.settling.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(served) = self.registry().any_version("apiextensions.k8s.io", "customresourcedefinitions") else { return };
        let all = || -> Vec<(Arc<Stored>, Arc<Value>)> {
            let (_, all) = self.store.list(&served.table, &Range::default(), None).unwrap_or_default();
            all.into_iter().map(|stored| (stored.clone(), Arc::new(served.live(&stored)))).collect()
        };
        let user = User::system();
        let mut definitions = all();
        // What one is given may leave less to another; each is given what it needs once.
        for index in 0..definitions.len() {
            let (stored, live) = definitions[index].clone();
            let values: Vec<_> = definitions.iter().map(|(_, value)| value.clone()).collect();
            let Some(settled) = definition::settle(&live, &values, &self.now()) else { continue };
            let status = controllers::call(self, &user, &served, "", &stored.name, "status");
            let owned = served.own(&live, settled, &status);
            let key = Key::new(&served.table, "", &stored.name);
            // Who changed it meanwhile settles it too.
            let _ = self.store.replace(&key, stored.revision, served.to_stored(owned));
            definitions = all();
            if definitions.len() <= index {
                break;
            }
        }
        let established = definitions.into_iter().map(|(_, value)| value).filter(|value| definition::is_established(value));
        let registry = Arc::new(Registry::with(established.collect()));
        *self.registry.write().unwrap_or_else(PoisonError::into_inner) = registry;
    }

    /// A service's addresses are objects of their own, which live as long as it does.
    fn keep_addresses(&self, service: &Value) {
        let registry = self.registry();
        let Some(addresses) = registry.get("networking.k8s.io", "v1", "ipaddresses") else { return };
        let user = User::system();
        for address in allocation::ip_addresses(service) {
            let name = address["metadata"]["name"].as_str().unwrap_or_default();
            if self.store.get(&Key::new(&addresses.table, "", name)).is_none() {
                // One that is there already is another service's, which came first.
                let _ = controllers::call(self, &user, addresses, "", "", "").create(address);
            }
        }
    }

    fn release_addresses(&self, service: &Value) {
        let registry = self.registry();
        let Some(addresses) = registry.get("networking.k8s.io", "v1", "ipaddresses") else { return };
        for address in allocation::ip_addresses(service) {
            let name = address["metadata"]["name"].as_str().unwrap_or_default();
            let key = Key::new(&addresses.table, "", name);
            if let Some(stored) = self.store.get(&key) {
                let _ = self.store.remove(&key, stored.revision);
            }
        }
    }

    /// Told of every object that was written: what serves requests must know of it before the request is answered.
    pub(crate) fn committed(&self, served: &Served, stored: &Stored) {
        if served.is("apiextensions.k8s.io", "customresourcedefinitions") {
            self.settle_definitions();
        }
        if served.is("", "services") {
            self.keep_addresses(&served.live(stored));
        }
    }

    /// Told of every object that was removed.
    pub(crate) fn removed(&self, served: &Served, last: &Stored) {
        if served.is("", "services") {
            self.release_addresses(&served.live(last));
        } else {
            self.committed(served, last);
        }
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("network", &self.network).field("time", &self.time).finish_non_exhaustive()
    }
}

impl Objects for Cluster {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.object(group, resource, namespace, name).map(Arc::new)
    }

    fn list(&self, group: &str, resource: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        let Some(served) = self.registry().any_version(group, resource) else { return Vec::new() };
        let range = Range { namespace: namespace.map(str::to_owned), after: None };
        let listed = self.store.list(&served.table, &range, None);
        let (_, objects) = listed.unwrap_or_else(|e| (e.oldest, Vec::new()));
        objects.iter().map(|o| Arc::new(served.live(o))).collect()
    }
}
