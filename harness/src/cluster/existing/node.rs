//! The nodes of a cluster that exists, which are not ours to enter.

use futures::{FutureExt, future::BoxFuture};

use crate::cluster::{NodeAccess, NodeError, NodeOutput};

/// What is in the place of a node.
#[derive(Debug)]
pub(super) struct Closed;

impl Closed {
    fn refuse<T: Send + 'static>(command: String) -> BoxFuture<'static, Result<T, NodeError>> {
        let source = "nodes that are not k3s-arc's are not entered".into();
        std::future::ready(Err(NodeError::Unreachable { command, source })).boxed()
    }
}

impl NodeAccess for Closed {
    fn exec<'a>(&'a self, command: &'a [&'a str]) -> BoxFuture<'a, Result<NodeOutput, NodeError>> {
        Self::refuse(command.join(" "))
    }

    fn unpack<'a>(&'a self, _archive: Vec<u8>, directory: &'a str) -> BoxFuture<'a, Result<(), NodeError>> {
        Self::refuse(format!("tar -x -C {directory}"))
    }
}
