//! What the controllers that act on objects share: a view of the cluster's objects, writes under the manager's name, second tries,
//! and one loop that wakes each of them when what it looks at has changed.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::call;
use super::events::{Events, Note, Source};
use super::series::{Report, Series};
use crate::access::User;
use crate::admission::Objects;
use crate::cluster::Cluster;
use crate::kinds::meta::Part;
use crate::kinds::view::text;
use crate::registry::Served;
use crate::scheduler;
use crate::schema::codec;
use crate::status::Refusal;
use crate::store::Range;
use crate::verbs::DeleteOptions;

/// A resource by group and plural.
pub(crate) type Resource = (&'static str, &'static str);

pub(crate) const CLAIMS: Resource = ("", "persistentvolumeclaims");
pub(crate) const CRON_JOBS: Resource = ("batch", "cronjobs");
pub(crate) const DAEMON_SETS: Resource = ("apps", "daemonsets");
pub(crate) const DEPLOYMENTS: Resource = ("apps", "deployments");
pub(crate) const JOBS: Resource = ("batch", "jobs");
pub(crate) const NODES: Resource = ("", "nodes");
pub(crate) const PODS: Resource = ("", "pods");
pub(crate) const REPLICA_SETS: Resource = ("apps", "replicasets");
pub(crate) const REPLICATION_CONTROLLERS: Resource = ("", "replicationcontrollers");
pub(crate) const REVISIONS: Resource = ("apps", "controllerrevisions");
pub(crate) const SERVICES: Resource = ("", "services");
pub(crate) const STATEFUL_SETS: Resource = ("apps", "statefulsets");
pub(crate) const VOLUMES: Resource = ("", "persistentvolumes");

/// One that brings objects to what they ask for.
pub(crate) struct Controller {
    /// What it looks at.
    pub(crate) watches: &'static [Resource],
    /// Looks at everything once and does what is to be done. It is called again after each change of what it watches, its own
    /// writes included, and when the time that it gave to [`Desk::wake_at`] has come.
    pub(crate) settle: fn(&Desk),
}

/// How long a burst of writes is given before it is looked at.
const BURST: Duration = Duration::from_millis(2);
/// The first wait after a failure; it doubles with each further one (`DefaultControllerRateLimiter`).
const FIRST_RETRY: SignedDuration = SignedDuration::from_millis(5);
const LAST_RETRY: SignedDuration = SignedDuration::from_secs(1000);
/// More failures than these are forgotten, oldest objects or not: most of them are of objects that are gone.
const FAILURES: usize = 10_000;

/// The objects of a table as they were when it was last looked at.
#[derive(Default)]
struct Table {
    /// Whether it was looked at in this look already.
    fresh: bool,
    objects: BTreeMap<(String, String), (u64, Arc<Value>)>,
}

/// What the controllers work at.
pub(crate) struct Desk {
    pub(crate) cluster: Arc<Cluster>,
    user: User,
    tables: RefCell<HashMap<(String, String), Table>>,
    wake: Cell<Option<Timestamp>>,
    events: RefCell<Events>,
    series: RefCell<Series>,
    /// What the scheduler remembers from one look to the next.
    pub(crate) scheduler: RefCell<scheduler::Memory>,
    /// The nodes that pods are bound to and that are not there, and since when that is known.
    pub(super) missing_nodes: RefCell<HashMap<String, Timestamp>>,
    /// By uid: the pods that a taint drives away some day, and since when it is known.
    pub(super) leaving: RefCell<HashMap<String, Timestamp>>,
    /// By uid: how often in a row something went wrong, and when it may be tried again.
    failures: RefCell<HashMap<String, (u32, Timestamp)>>,
}

/// Runs controllers for ever.
pub(crate) async fn run(cluster: Arc<Cluster>, controllers: &'static [Controller]) {
    let mut follow = cluster.store.follow();
    let desk = Desk::new(cluster);
    let mut seen: Vec<(Option<u64>, Option<Timestamp>)> = vec![(None, None); controllers.len()];
    loop {
        let mut idle = true;
        for (controller, (seen, wake)) in controllers.iter().zip(&mut seen) {
            let changed = controller.watches.iter().map(|resource| desk.changed_at(*resource)).max();
            let due = wake.is_some_and(|at| at <= desk.cluster.clock());
            if *seen == changed && !due {
                continue;
            }
            idle = false;
            *seen = changed;
            *wake = desk.settle(controller);
            // Each may take a while: others on this thread want to go on.
            tokio::task::yield_now().await;
        }
        if !idle {
            continue;
        }
        let next = seen.iter().filter_map(|(_, wake)| *wake).min();
        let wait = next
            .map(|at| desk.cluster.time.outside(Duration::try_from(at.duration_since(desk.cluster.clock())).unwrap_or_default()));
        tokio::select! {
            changed = follow.changed() => {
                if changed.is_err() {
                    return;
                }
                tokio::time::sleep(BURST).await;
                follow.mark_unchanged();
            }
            () = sleep(wait) => {}
        }
    }
}

/// For ever when there is nothing to wait for.
async fn sleep(wait: Option<Duration>) {
    match wait {
        Some(wait) => tokio::time::sleep(wait).await,
        None => std::future::pending().await,
    }
}

impl Desk {
    pub(crate) fn new(cluster: Arc<Cluster>) -> Self {
        Self {
            cluster,
            user: User::system(),
            tables: RefCell::default(),
            wake: Cell::default(),
            events: RefCell::default(),
            series: RefCell::default(),
            scheduler: RefCell::default(),
            missing_nodes: RefCell::default(),
            leaving: RefCell::default(),
            failures: RefCell::default(),
        }
    }

    /// Lets a controller look once; when it wants to look again though nothing changes.
    pub(crate) fn settle(&self, controller: &Controller) -> Option<Timestamp> {
        self.look(controller.settle);
        self.wake.take()
    }

    /// Lets someone look at the newest of everything.
    pub(crate) fn look(&self, settle: fn(&Self)) {
        for table in self.tables.borrow_mut().values_mut() {
            table.fresh = false;
        }
        self.wake.set(None);
        settle(self);
    }

    fn served(&self, (group, resource): (&str, &str)) -> Option<Arc<Served>> {
        self.cluster.registry().any_version(group, resource)
    }

    /// The revision of the newest change of a resource's objects.
    pub(crate) fn changed_at(&self, (group, resource): Resource) -> u64 {
        let table = if group.is_empty() { resource.to_owned() } else { format!("{resource}.{group}") };
        self.cluster.store.changed_at(&table)
    }

    /// The time, as long as one look takes it to be.
    pub(crate) fn clock(&self) -> Timestamp {
        self.cluster.clock()
    }

    pub(crate) fn now(&self) -> String {
        self.cluster.now()
    }

    /// The controller that is looking wants to look again then.
    pub(crate) fn wake_at(&self, at: Timestamp) {
        self.wake.set(Some(self.wake.get().map_or(at, |before| before.min(at))));
    }

    /// The objects of a resource in the order of their namespaces and names, without their managed fields.
    pub(crate) fn all(&self, resource: Resource) -> Vec<Arc<Value>> {
        self.list(resource.0, resource.1, None)
    }

    /// Those of one namespace.
    pub(crate) fn within(&self, resource: Resource, namespace: &str) -> Vec<Arc<Value>> {
        self.list(resource.0, resource.1, Some(namespace))
    }

    /// Brings the view of a table up to date, once a look.
    fn refresh(&self, group: &str, resource: &str) {
        let mut tables = self.tables.borrow_mut();
        let table = tables.entry((group.to_owned(), resource.to_owned())).or_default();
        if std::mem::replace(&mut table.fresh, true) {
            return;
        }
        let Some(served) = self.served((group, resource)) else { return };
        let (_, stored) = self.cluster.store.list(&served.table, &Range::default(), None).unwrap_or_default();
        let mut before = std::mem::take(&mut table.objects);
        for stored in stored {
            let key = (stored.namespace.clone(), stored.name.clone());
            let known = before.remove(&key).filter(|(revision, _)| *revision == stored.revision);
            let known = known.unwrap_or_else(|| {
                let mut object = served.live(&stored);
                if let Some(metadata) = object["metadata"].as_object_mut() {
                    // They are half of an object, and nobody here reads them.
                    metadata.remove("managedFields");
                }
                (stored.revision, Arc::new(object))
            });
            table.objects.insert(key, known);
        }
    }

    /// Creates an object, with the defaults of its type.
    pub(crate) fn create(&self, resource: Resource, namespace: &str, mut object: Value) -> Result<Value, Refusal> {
        let Some(served) = self.served(resource) else { return Err(Refusal::internal("no such resource")) };
        served.default(&mut object);
        object = typed(&served, object);
        call(&self.cluster, &self.user, &served, namespace, "", "").create(object)
    }

    /// Changes the object of that uid, or one of its parts. Returns it as it is then.
    pub(crate) fn update(
        &self,
        resource: Resource,
        object: &Value,
        part: Part,
        edit: &dyn Fn(&mut Value),
    ) -> Result<Value, Refusal> {
        let Some(served) = self.served(resource) else { return Err(Refusal::internal("no such resource")) };
        let metadata = &object["metadata"];
        let subresource = if part == Part::Status { "status" } else { "" };
        let call = call(&self.cluster, &self.user, &served, text(&metadata["namespace"]), text(&metadata["name"]), subresource);
        let changed = call.update(part, false, &|live| {
            if live["metadata"]["uid"] != metadata["uid"] {
                // Another object of the same name is none of our business.
                return Err(served.not_found(text(&metadata["name"])));
            }
            let mut next = live.clone();
            edit(&mut next);
            served.default(&mut next);
            Ok(served.own(live, typed(&served, next), &call))
        });
        changed.map(|(object, _)| object)
    }

    /// Binds a pod to a node, as the subresource `binding` does.
    pub(crate) fn bind(&self, pod: &Value, node: &str) -> Result<Value, Refusal> {
        let Some(served) = self.served(PODS) else { return Err(Refusal::internal("no such resource")) };
        let metadata = &pod["metadata"];
        let call = call(&self.cluster, &self.user, &served, text(&metadata["namespace"]), text(&metadata["name"]), "binding");
        let binding = json!({
            "metadata": {"name": metadata["name"], "namespace": metadata["namespace"], "uid": metadata["uid"]},
            "target": {"kind": "Node", "name": node},
        });
        let now = self.now();
        let bound = call.update(Part::Binding, false, &|live| crate::kinds::pod::bind(live, &binding, &now));
        bound.map(|(object, _)| object)
    }

    /// Gives an object its status, unless it has it. Returns whether it has it now.
    pub(crate) fn set_status(&self, resource: Resource, object: &Value, mut status: Value) -> bool {
        without_new_nothings(&object["status"], &mut status);
        self.set_whole_status(resource, object, &status)
    }

    /// The same, if the object is still as it was looked at; who changed it meanwhile has woken whoever looks at it again.
    pub(crate) fn set_status_of_unchanged(&self, resource: Resource, object: &Value, mut status: Value) {
        without_new_nothings(&object["status"], &mut status);
        if object["status"] == status {
            return;
        }
        let version = &object["metadata"]["resourceVersion"];
        let written = self.update(resource, object, Part::Status, &|live| {
            if live["metadata"]["resourceVersion"] == *version {
                live["status"] = status.clone();
            }
        });
        self.heard(object, written);
    }

    /// The same for one that counts zeros.
    pub(crate) fn set_whole_status(&self, resource: Resource, object: &Value, status: &Value) -> bool {
        if object["status"] == *status {
            return true;
        }
        let written = self.update(resource, object, Part::Status, &|live| live["status"] = status.clone());
        self.heard(object, written).is_some()
    }

    /// Deletes an object, if it still is that one.
    pub(crate) fn delete(&self, resource: Resource, object: &Value, propagation: Option<&str>) -> Result<(), Refusal> {
        let options = DeleteOptions {
            uid: object["metadata"]["uid"].as_str().map(str::to_owned),
            propagation: propagation.map(str::to_owned),
            ..DeleteOptions::default()
        };
        self.delete_with(resource, object, &options)
    }

    /// Removes an object without grace, if it still is that one.
    pub(crate) fn delete_now(&self, resource: Resource, object: &Value) -> Result<(), Refusal> {
        let uid = object["metadata"]["uid"].as_str().map(str::to_owned);
        self.delete_with(resource, object, &DeleteOptions { uid, grace: Some(0), ..DeleteOptions::default() })
    }

    fn delete_with(&self, resource: Resource, object: &Value, options: &DeleteOptions) -> Result<(), Refusal> {
        let Some(served) = self.served(resource) else { return Err(Refusal::internal("no such resource")) };
        let metadata = &object["metadata"];
        let call = call(&self.cluster, &self.user, &served, text(&metadata["namespace"]), text(&metadata["name"]), "");
        call.delete(options).map(drop)
    }

    /// Takes note of a write that was refused: of an object that is gone or was changed meanwhile, all is well.
    pub(crate) fn heard<T>(&self, object: &Value, outcome: Result<T, Refusal>) -> Option<T> {
        match outcome {
            Ok(done) => Some(done),
            Err(refusal) => {
                if !matches!(refusal.reason.as_str(), "NotFound" | "Conflict") {
                    let name = text(&object["metadata"]["name"]);
                    tracing::warn!(kind = text(&object["kind"]), name, %refusal, "a controller's write was refused");
                }
                None
            }
        }
    }

    /// Tells of something that happened to an object.
    pub(crate) fn tell(&self, about: &Value, component: &str, warning: bool, reason: &str, message: &str) {
        self.record(&note(about, component, warning, reason, message));
    }

    /// The same for one who says more of himself.
    pub(crate) fn record(&self, note: &Note<'_>) {
        self.events.borrow_mut().record(&self.cluster, &self.user, note);
    }

    /// Whether anything was told of an object by that component.
    pub(crate) fn has_told(&self, about: &Value, component: &str) -> bool {
        self.events.borrow().knows(&note(about, component, false, "", ""))
    }

    /// The same as [`Self::tell`] for what lasts: it is told when it begins.
    pub(crate) fn tell_once(&self, about: &Value, component: &str, warning: bool, reason: &str, message: &str) {
        let note = note(about, component, warning, reason, message);
        if !self.events.borrow().has(&note) {
            self.record(&note);
        }
    }

    /// Tells of something in the way of `events.k8s.io`.
    pub(crate) fn report(&self, report: &Report<'_>) {
        self.series.borrow_mut().record(&self.cluster, &self.user, report);
    }

    /// Ends the series of events in which nothing has happened for a while, and sees to it that the others end.
    pub(crate) fn finish_series(&self) {
        if let Some(at) = self.series.borrow_mut().finish(&self.cluster, &self.user) {
            self.wake_at(at);
        }
    }

    /// Whether what failed for this object may be tried again. If not yet, the controller is woken when it may.
    pub(crate) fn may_try(&self, object: &Value) -> bool {
        match self.failures.borrow().get(text(&object["metadata"]["uid"])) {
            Some((_, next)) if *next > self.clock() => {
                self.wake_at(*next);
                false
            }
            _ => true,
        }
    }

    /// Something failed for this object: it is tried again after a while, which grows.
    pub(crate) fn failed(&self, object: &Value) {
        let mut failures = self.failures.borrow_mut();
        if failures.len() >= FAILURES {
            failures.clear();
        }
        let entry = failures.entry(text(&object["metadata"]["uid"]).to_owned()).or_insert((0, Timestamp::UNIX_EPOCH));
        let wait = FIRST_RETRY.checked_mul(1 << entry.0.min(18)).unwrap_or(LAST_RETRY).min(LAST_RETRY);
        let next = self.clock().checked_add(wait).unwrap_or(Timestamp::MAX);
        *entry = (entry.0.saturating_add(1), next);
        self.wake_at(next);
    }

    /// All is well with this object.
    pub(crate) fn succeeded(&self, object: &Value) {
        self.failures.borrow_mut().remove(text(&object["metadata"]["uid"]));
    }
}

/// What a controller tells of an object.
fn note<'a>(about: &'a Value, component: &'a str, warning: bool, reason: &'a str, message: &'a str) -> Note<'a> {
    Note { about, part: "", source: Source { component, host: "" }, warning, reason, message }
}

/// An object as a typed client sends it: without the zeros that its type leaves out, so that nobody owns them.
fn typed(served: &Served, object: Value) -> Value {
    match served.ty() {
        Some(ty) => codec::encode(ty, object),
        None => object,
    }
}

/// Zeros and the like that the old one has not either: the API leaves most of them out.
fn without_new_nothings(old: &Value, new: &mut Value) {
    let nothing = |value: &Value| match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(number) => number.as_i64() == Some(0),
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
    };
    if let Value::Object(fields) = new {
        fields.retain(|key, value| !nothing(value) || (!value.is_null() && old.get(key) == Some(value)));
    }
}

impl Objects for Desk {
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>> {
        self.refresh(group, resource);
        let tables = self.tables.borrow();
        let table = tables.get(&(group.to_owned(), resource.to_owned()))?;
        table.objects.get(&(namespace.to_owned(), name.to_owned())).map(|(_, object)| object.clone())
    }

    fn list(&self, group: &str, resource: &str, namespace: Option<&str>) -> Vec<Arc<Value>> {
        self.refresh(group, resource);
        let tables = self.tables.borrow();
        let Some(table) = tables.get(&(group.to_owned(), resource.to_owned())) else { return Vec::new() };
        match namespace {
            None => table.objects.values().map(|(_, object)| object.clone()).collect(),
            Some(namespace) => {
                let of_it = table.objects.range((namespace.to_owned(), String::new())..);
                of_it.take_while(|((ns, _), _)| ns == namespace).map(|(_, (_, object))| object.clone()).collect()
            }
        }
    }
}
