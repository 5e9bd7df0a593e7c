//! Standard streams.

use std::fmt;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

/// Takes what is written.
type Sink = dyn Fn(&[u8]) -> io::Result<()> + Send + Sync;

/// Standard output or error. It does not wait: whoever is behind it keeps what it is given. Clones write to the same.
#[derive(Clone)]
pub struct Output(Arc<Sink>);

impl Output {
    /// What is written goes to `sink`; an error of kind `BrokenPipe` tells that nobody reads any more.
    pub fn new(sink: impl Fn(&[u8]) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(sink))
    }

    /// Into nothing (`/dev/null`).
    #[must_use]
    pub fn null() -> Self {
        Self::new(|_| Ok(()))
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)(bytes).map(|()| bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Output")
    }
}

/// Standard input.
pub struct Input(Box<dyn AsyncRead + Send + Unpin>);

impl Input {
    /// Reads from there.
    pub fn new(from: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self(Box::new(from))
    }

    /// Nothing to read (`/dev/null`).
    #[must_use]
    pub fn empty() -> Self {
        Self::new(tokio::io::empty())
    }
}

impl AsyncRead for Input {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Input")
    }
}
