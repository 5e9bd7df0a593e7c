//! `loop`: ends a server that forwards to itself. It asks itself something that nobody else would, and counts how often that comes.

use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::op::Query;
use hickory_proto::rr::{Name, RecordType};
use k3s_arc_container::{Net, Transport};
use tokio::sync::watch;
use tokio::time::{Instant, sleep};

use super::forward::exchange;
use super::{Next, Outcome, Plugin};
use crate::dns::corefile::Dispenser;
use crate::dns::message::{Request, question};
use crate::dns::names;
use crate::kinds::meta::random_number;

const TIMES: u8 = 2;
const PATIENCE: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_secs(1);
/// For how long it is listened for after the question was answered.
const AFTERWARDS: Duration = Duration::from_secs(2);

/// What a loop is told with, once there is one.
pub(in crate::dns) type Found = watch::Sender<Option<String>>;

#[derive(Debug)]
struct State {
    zone: Name,
    asked: Name,
    port: u16,
    seen: AtomicU8,
    off: AtomicBool,
    found: Found,
    told: Mutex<()>,
}

pub(in crate::dns) struct Loop(Arc<State>);

impl Loop {
    pub(in crate::dns) fn setup(words: &mut Dispenser<'_>, block: &[String], port: u16, found: &Found) -> Result<Self, String> {
        words.next();
        if words.next_argument() {
            return Err(words.argument_error());
        }
        if words.next() {
            return Err("this plugin can only be used once per Server Block".to_owned());
        }
        let zone = names::zones(&block[..block.len().min(1)], &[]).into_iter().next().unwrap_or_else(Name::root);
        let random = || random_number(u32::MAX);
        let text = if zone.is_root() { ".".to_owned() } else { format!(".{}", zone.to_ascii()) };
        let asked = names::name(&format!("{}.{}{text}", random(), random())).unwrap_or_else(Name::root);
        let (seen, off) = (AtomicU8::new(0), AtomicBool::new(false));
        Ok(Self(Arc::new(State { zone, asked, port, seen, off, found: found.clone(), told: Mutex::default() })))
    }

    /// Asks the server itself, once it serves.
    pub(in crate::dns) fn probe(&self, net: Arc<dyn Net>) -> impl Future<Output = ()> + Send + 'static {
        let state = self.0.clone();
        async move {
            let deadline = Instant::now() + PATIENCE;
            let message = question(1, Query::query(state.asked.clone(), RecordType::HINFO));
            let own = ([127, 0, 0, 1], state.port).into();
            while Instant::now() < deadline {
                if exchange(&*net, own, Transport::Udp, &message, AFTERWARDS).await.is_ok() {
                    sleep(AFTERWARDS).await;
                    break;
                }
                state.seen.store(0, Ordering::Relaxed);
                sleep(PAUSE).await;
            }
            state.off.store(true, Ordering::Relaxed);
        }
    }
}

impl State {
    fn see(&self, request: &Request) {
        if request.kind() != RecordType::HINFO || self.off.load(Ordering::Relaxed) || *request.name() != self.asked {
            return;
        }
        if self.seen.fetch_add(1, Ordering::Relaxed) + 1 > TIMES {
            let _turn = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            let (client, zone, asked) = (request.client, self.zone.to_ascii(), self.asked.to_ascii());
            let told = format!(
                "Loop ({client} -> :{}) detected for zone {zone:?}, see https://coredns.io/plugins/loop#troubleshooting. Query: \
                 \"HINFO {asked}\"",
                self.port
            );
            self.found.send_replace(Some(told));
        }
    }
}

impl Plugin for Loop {
    fn name(&self) -> &'static str {
        "loop"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            self.0.see(request);
            next.serve(request).await
        }
        .boxed()
    }
}
