//! What is nested without end: a script that calls itself, or directories in directories, must not use up the stack of a thread.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures::FutureExt;
use futures::future::BoxFuture;

/// Where less than this is left of a stack, another one is used.
const LEAST: usize = 256 * 1024;
/// Its size.
const SIZE: usize = 4 << 20;

/// Does something that may be nested deeply.
pub(crate) fn with_stack<T>(what: impl FnOnce() -> T) -> T {
    stacker::maybe_grow(LEAST, SIZE, what)
}

/// A future that is polled, and dropped, where there is stack enough.
pub(crate) struct Deep<'a, T>(Option<BoxFuture<'a, T>>);

impl<'a, T> Deep<'a, T> {
    pub(crate) fn new(future: impl Future<Output = T> + Send + 'a) -> Self {
        Self(Some(future.boxed()))
    }
}

impl<T> Future for Deep<'_, T> {
    type Output = T;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<T> {
        match &mut self.0 {
            Some(future) => with_stack(|| future.as_mut().poll(context)),
            None => Poll::Pending,
        }
    }
}

impl<T> Drop for Deep<'_, T> {
    fn drop(&mut self) {
        let future = self.0.take();
        with_stack(|| drop(future));
    }
}
