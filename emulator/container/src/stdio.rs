//! Standard streams.

use std::fmt;
use std::io::{self, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, ReadBuf};

use crate::{breathe, pipe};

/// Takes what is written, at once.
type Take = dyn Fn(&[u8]) -> io::Result<()> + Send + Sync;

enum Sink {
    /// At once.
    Now(Box<Take>),
    /// Can be full.
    Pipe(pipe::Writer),
}

/// Standard output or error. Clones write to the same.
///
/// As a [`Write`] it does not wait: whoever is behind it keeps what it is given. A program that prints much, or for ever, prints with
/// [`Output::put`], which waits for its reader.
#[derive(Clone)]
pub struct Output {
    to: Arc<Sink>,
    terminal: bool,
}

impl Output {
    /// What is written goes to `sink`; an error of kind `BrokenPipe` tells that nobody reads any more.
    pub fn new(sink: impl Fn(&[u8]) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self { to: Arc::new(Sink::Now(Box::new(sink))), terminal: false }
    }

    /// Into nothing (`/dev/null`).
    #[must_use]
    pub fn null() -> Self {
        Self::new(|_| Ok(()))
    }

    /// A pipe: what is written to the one end is read from the other, which is at its end once all clones of the first are gone.
    #[must_use]
    pub fn pipe() -> (Self, Input) {
        let (writer, reader) = pipe::new();
        (Self { to: Arc::new(Sink::Pipe(writer)), terminal: false }, Input::new(reader))
    }

    /// The same, as a terminal (`isatty`).
    #[must_use]
    pub fn terminal(self) -> Self {
        Self { terminal: true, ..self }
    }

    /// Whether a terminal shows it.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// Writes all of it, waiting while a pipe is full; it never keeps a thread busy.
    ///
    /// # Errors
    /// Of kind `BrokenPipe` when nobody reads any more; others as whoever is behind it says.
    pub async fn put(&self, bytes: &[u8]) -> io::Result<()> {
        breathe().await;
        match &*self.to {
            Sink::Now(sink) => sink(bytes),
            Sink::Pipe(pipe) => pipe.put(bytes).await,
        }
    }
}

impl Write for Output {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &*self.to {
            Sink::Now(sink) => sink(bytes)?,
            Sink::Pipe(pipe) => pipe.put_now(bytes)?,
        }
        Ok(bytes.len())
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
pub struct Input {
    from: Box<dyn AsyncRead + Send + Unpin>,
    terminal: bool,
}

impl Input {
    /// Reads from there.
    pub fn new(from: impl AsyncRead + Send + Unpin + 'static) -> Self {
        Self { from: Box::new(from), terminal: false }
    }

    /// Nothing to read (`/dev/null`).
    #[must_use]
    pub fn empty() -> Self {
        Self::new(tokio::io::empty())
    }

    /// The same, as a terminal (`isatty`).
    #[must_use]
    pub fn terminal(self) -> Self {
        Self { terminal: true, ..self }
    }

    /// Whether somebody types it.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }
}

impl AsyncRead for Input {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.from).poll_read(context, buffer)
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Input")
    }
}
