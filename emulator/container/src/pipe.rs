//! Pipes between the processes of a container: as much as a kernel's holds, and no file descriptor.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;

/// What a pipe holds before its writers wait (`man 7 pipe`).
const CAPACITY: usize = 65536;

#[derive(Default)]
struct State {
    held: VecDeque<u8>,
    reader: Option<Waker>,
    writer_gone: bool,
    reader_gone: bool,
}

#[derive(Default)]
struct Pipe {
    state: Mutex<State>,
    /// Told when there is room again.
    room: Notify,
}

impl Pipe {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The end that is written to.
pub(crate) struct Writer(Arc<Pipe>);

/// The end that is read from.
pub(crate) struct Reader(Arc<Pipe>);

/// A pipe.
pub(crate) fn new() -> (Writer, Reader) {
    let pipe = Arc::new(Pipe::default());
    (Writer(pipe.clone()), Reader(pipe))
}

impl Writer {
    /// Writes as much as `room` lets it; returns how much that was.
    fn write(&self, bytes: &[u8], room: impl FnOnce(usize) -> usize) -> io::Result<usize> {
        let mut state = self.0.state();
        if state.reader_gone {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        let now = bytes.len().min(room(state.held.len()));
        state.held.extend(&bytes[..now]);
        if now > 0
            && let Some(reader) = state.reader.take()
        {
            reader.wake();
        }
        Ok(now)
    }

    /// Writes all of it, full or not.
    pub(crate) fn put_now(&self, bytes: &[u8]) -> io::Result<()> {
        self.write(bytes, |_| usize::MAX).map(drop)
    }

    /// Writes all of it, waiting for room.
    pub(crate) async fn put(&self, mut bytes: &[u8]) -> io::Result<()> {
        loop {
            let mut room = std::pin::pin!(self.0.room.notified());
            // From here on no notification is missed.
            room.as_mut().enable();
            bytes = &bytes[self.write(bytes, |held| CAPACITY.saturating_sub(held))?..];
            if bytes.is_empty() {
                return Ok(());
            }
            room.await;
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.writer_gone = true;
        if let Some(reader) = state.reader.take() {
            reader.wake();
        }
    }
}

impl AsyncRead for Reader {
    fn poll_read(self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut state = self.0.state();
        if state.held.is_empty() {
            if state.writer_gone {
                return Poll::Ready(Ok(()));
            }
            state.reader = Some(context.waker().clone());
            return Poll::Pending;
        }
        while buffer.remaining() > 0 && !state.held.is_empty() {
            let (front, _) = state.held.as_slices();
            let now = front.len().min(buffer.remaining());
            buffer.put_slice(&front[..now]);
            state.held.drain(..now);
        }
        drop(state);
        self.0.room.notify_waiters();
        Poll::Ready(Ok(()))
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.reader_gone = true;
        state.held.clear();
        drop(state);
        self.0.room.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt;
    use tokio::io::AsyncReadExt;

    use super::*;

    #[tokio::test]
    async fn a_full_pipe_makes_its_writer_wait() {
        let (writer, mut reader) = new();
        let bytes = vec![7; CAPACITY + 10];
        let mut writing = Box::pin(writer.put(&bytes));
        assert!(writing.as_mut().now_or_never().is_none());
        let mut read = vec![0; 20];
        reader.read_exact(&mut read).await.unwrap();
        writing.await.unwrap();
        drop(writer);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).await.unwrap();
        assert_eq!(rest.len(), CAPACITY - 10);
    }

    #[tokio::test]
    async fn nobody_writes_to_a_pipe_without_a_reader() {
        let (writer, reader) = new();
        let bytes = vec![7; CAPACITY + 1];
        let mut writing = Box::pin(writer.put(&bytes));
        assert!(writing.as_mut().now_or_never().is_none());
        drop(reader);
        assert_eq!(writing.await.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
        assert_eq!(writer.put_now(b"x").unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    }
}
