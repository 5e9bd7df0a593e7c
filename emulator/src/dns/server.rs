//! A server at a port: finds the block whose zone a question is for, and asks its plugins (`core/dnsserver/server.go`).

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::{DNSClass, Name, RecordType};

use super::message::Request;
use super::plugin::{Next, Outcome, Plugin};

/// The plugins of a block, in the order in which they are asked.
pub(super) type Chain = Arc<Vec<Box<dyn Plugin>>>;

/// What is served at one port.
pub(super) struct Server {
    /// The zones with the plugins that serve them.
    pub(super) zones: Vec<(Name, Chain)>,
}

impl Server {
    /// Answers a question, whatever comes.
    pub(super) fn serve<'a>(&'a self, request: &'a Request) -> BoxFuture<'a, Message> {
        async move {
            if let Some(refusal) = request.bad_version() {
                return refusal;
            }
            let mut reply = match self.ask(request).await {
                Outcome::Told(reply) => *reply,
                Outcome::Failed(code, _) => request.reply(code),
            };
            request.fit(&mut reply);
            reply
        }
        .boxed()
    }

    async fn ask(&self, request: &Request) -> Outcome {
        let foreign = request.query().query_class != DNSClass::IN;
        // Questions of other classes are for those alone who may forward them.
        if foreign && !self.zones.iter().any(|(_, chain)| chain.iter().any(|plugin| plugin.name() == "forward")) {
            return Outcome::Failed(ResponseCode::Refused, None);
        }
        let mut fitting: Vec<&(Name, Chain)> = self.zones.iter().filter(|(zone, _)| zone.zone_of(request.name())).collect();
        fitting.sort_by_key(|(zone, _)| zone.num_labels());
        let chosen = match request.kind() {
            // A DS record is in the zone above the one that it is of; the root is asked when there is no other.
            RecordType::DS => fitting.iter().find(|(zone, _)| !zone.is_root()).or(fitting.first()),
            _ => fitting.last(),
        };
        match chosen {
            Some((_, chain)) if !chain.is_empty() => Next::new(chain, self).serve(request).await,
            _ => Outcome::Failed(ResponseCode::Refused, None),
        }
    }
}
