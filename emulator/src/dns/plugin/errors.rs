//! `errors`: tells of what went wrong with a question.

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Next, Outcome, Plugin};
use crate::dns::corefile::Dispenser;
use crate::dns::message::Request;
use crate::dns::names;
use crate::dns::output::Log;

pub(in crate::dns) struct Errors {
    log: Log,
}

impl Errors {
    pub(in crate::dns) fn setup(words: &mut Dispenser<'_>, log: &Log) -> Result<Self, String> {
        words.next();
        match words.arguments().as_slice() {
            [] => {}
            [file] if file == "stdout" => {}
            [file] => return Err(words.error(&format!("invalid log file: {file}"))),
            _ => return Err(words.argument_error()),
        }
        while words.next_in_block() {
            match words.word() {
                // It is about panics of CoreDNS.
                "stacktrace" => {}
                "consolidate" => return Err(words.not_emulated()),
                word => return Err(words.syntax_error(&format!("Unknown field {word}"))),
            }
        }
        if words.next() {
            return Err("this plugin can only be used once per Server Block".to_owned());
        }
        Ok(Self { log: log.clone() })
    }
}

impl Plugin for Errors {
    fn name(&self) -> &'static str {
        "errors"
    }

    fn serve<'a>(&'a self, request: &'a Request, next: Next<'a>) -> BoxFuture<'a, Outcome> {
        async move {
            let outcome = next.serve(request).await;
            if let Outcome::Failed(code, Some(error)) = &outcome {
                let (name, kind) = (names::text(request.name()), request.kind());
                self.log.line(&format!("[ERROR] plugin/errors: {} {name} {kind}: {error}", u16::from(*code)));
            }
            outcome
        }
        .boxed()
    }
}
