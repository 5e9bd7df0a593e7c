//! Plugins: each answers a question, or asks the next one, and may change what that says (`plugin.Handler`).

pub(super) mod cache;
pub(super) mod errors;
pub(super) mod forward;
pub(super) mod hosts;
pub(super) mod kubernetes;
pub(super) mod loadbalance;
pub(super) mod log;
pub(super) mod metrics;
pub(super) mod recursion;
pub(super) mod rewrite;

use futures::future::BoxFuture;
use hickory_proto::op::{Message, ResponseCode};

use super::message::Request;
use super::server::Server;

/// What comes of a question.
#[derive(Debug)]
pub(super) enum Outcome {
    /// A reply.
    Told(Box<Message>),
    /// None: the server makes one of the code. With what went wrong, if something did.
    Failed(ResponseCode, Option<String>),
}

impl From<Message> for Outcome {
    fn from(message: Message) -> Self {
        Self::Told(Box::new(message))
    }
}

impl Outcome {
    pub(super) fn broken(why: impl Into<String>) -> Self {
        Self::Failed(ResponseCode::ServFail, Some(why.into()))
    }

    /// The reply changed.
    pub(super) fn map(self, change: impl FnOnce(Message) -> Message) -> Self {
        match self {
            Self::Told(message) => change(*message).into(),
            failed @ Self::Failed(..) => failed,
        }
    }
}

/// A part of a server's chain.
pub(super) trait Plugin: Send + Sync {
    fn name(&self) -> &'static str;

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome>;
}

/// The plugins that come after one.
#[derive(Clone, Copy)]
pub(super) struct Next<'a> {
    rest: &'a [Box<dyn Plugin>],
    /// The plugin that asks.
    from: &'static str,
    server: &'a Server,
}

impl<'a> Next<'a> {
    pub(super) fn new(rest: &'a [Box<dyn Plugin>], server: &'a Server) -> Self {
        Self { rest, from: "", server }
    }

    /// Asks the next plugin.
    pub(super) fn serve(self, request: &'a Request) -> BoxFuture<'a, Outcome> {
        match self.rest.split_first() {
            Some((first, rest)) => first.serve(request, Self { rest, from: first.name(), server: self.server }),
            None => {
                let why = format!("plugin/{}: no next plugin found", self.from);
                Box::pin(std::future::ready(Outcome::broken(why)))
            }
        }
    }

    /// Asks the whole server another question.
    pub(super) async fn lookup(self, request: &Request) -> Message {
        self.server.serve(request).await
    }
}
