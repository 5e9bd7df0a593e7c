//! Open files, as several processes share them.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures::FutureExt;
use futures::future::BoxFuture;
use k3s_arc_container::{Input, Output, breathe, poll_breath};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::held::Held;

/// What is read at a time.
pub(crate) const CHUNK: usize = 16 * 1024;

enum Reader {
    /// With what was read of it beyond a line.
    Stream(Input, Vec<u8>),
    File(Arc<File>),
}

/// Something to be read from. Clones read on where the others stopped.
#[derive(Clone)]
pub(crate) struct Source {
    reader: Arc<Mutex<Reader>>,
    terminal: bool,
}

impl Source {
    pub(crate) fn stream(input: Input) -> Self {
        let terminal = input.is_terminal();
        Self { reader: Arc::new(Mutex::new(Reader::Stream(input, Vec::new()))), terminal }
    }

    pub(crate) fn file(file: Arc<File>) -> Self {
        Self { reader: Arc::new(Mutex::new(Reader::File(file))), terminal: false }
    }

    pub(crate) fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::stream(Input::new(io::Cursor::new(text.into())))
    }

    pub(crate) fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// For a process to read from.
    pub(crate) fn input(&self) -> Input {
        let input = Input::new(Shared { reader: self.reader.clone(), lock: None, held: None });
        if self.terminal { input.terminal() } else { input }
    }

    /// What there is to read, up to a block.
    pub(crate) async fn read_block(&self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 1023];
        let read = self.input().read(&mut buffer).await?;
        buffer.truncate(read);
        Ok(buffer)
    }

    /// Up to and with the next `end`, without NULs otherwise; less at the end of it all. What is held is accounted for.
    pub(crate) async fn read_until(&self, end: u8, held: &mut Held) -> io::Result<Vec<u8>> {
        let mut line = Vec::new();
        let mut reader = self.reader.lock().await;
        loop {
            breathe().await;
            let mut buffer = [0; 1024];
            let (read, found) = match &mut *reader {
                Reader::Stream(input, ahead) => {
                    let read = if ahead.is_empty() {
                        input.read(&mut buffer).await?
                    } else {
                        let some = ahead.len().min(buffer.len());
                        buffer[..some].copy_from_slice(&ahead[..some]);
                        ahead.drain(..some);
                        some
                    };
                    let found = buffer[..read].iter().position(|byte| *byte == end);
                    if let Some(at) = found {
                        ahead.splice(..0, buffer[at + 1..read].iter().copied());
                    }
                    (read, found)
                }
                Reader::File(file) => {
                    let mut file = &**file;
                    let read = file.read(&mut buffer)?;
                    let found = buffer[..read].iter().position(|byte| *byte == end);
                    if let Some(at) = found {
                        // Others who have the file open read on after this line.
                        let beyond = i64::try_from(read - at - 1).unwrap_or(0);
                        file.seek(SeekFrom::Current(-beyond))?;
                    }
                    (read, found)
                }
            };
            let length = found.map_or(read, |at| at + 1);
            line.extend(buffer[..length].iter().filter(|byte| **byte != 0 || end == 0));
            held.cover(line.len()).await.map_err(|_| io::ErrorKind::OutOfMemory)?;
            if read == 0 || found.is_some() {
                return Ok(line);
            }
        }
    }
}

/// A process's own view of a [`Source`].
struct Shared {
    reader: Arc<Mutex<Reader>>,
    lock: Option<BoxFuture<'static, OwnedMutexGuard<Reader>>>,
    held: Option<OwnedMutexGuard<Reader>>,
}

impl AsyncRead for Shared {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.held.is_none() {
            // What is always ready must let others run, too.
            ready!(poll_breath(context));
        }
        let mut reader = match self.held.take() {
            Some(reader) => reader,
            None => {
                let reader = self.reader.clone();
                let lock = self.lock.get_or_insert_with(|| reader.lock_owned().boxed());
                let reader = ready!(lock.poll_unpin(context));
                self.lock = None;
                reader
            }
        };
        match &mut *reader {
            Reader::Stream(input, ahead) if ahead.is_empty() => {
                let polled = Pin::new(input).poll_read(context, buffer);
                if polled.is_pending() {
                    self.held = Some(reader);
                }
                polled
            }
            Reader::Stream(_, ahead) => {
                let now = ahead.len().min(buffer.remaining());
                buffer.put_slice(&ahead[..now]);
                ahead.drain(..now);
                Poll::Ready(Ok(()))
            }
            Reader::File(file) => Poll::Ready(read_now(file, buffer)),
        }
    }
}

fn read_now(mut file: &File, buffer: &mut ReadBuf<'_>) -> io::Result<()> {
    let read = file.read(buffer.initialize_unfilled())?;
    buffer.advance(read);
    Ok(())
}

/// A file as what a process prints to.
pub(crate) fn file_output(file: Arc<File>) -> Output {
    Output::new(move |bytes| (&*file).write_all(bytes))
}

#[cfg(test)]
mod tests {
    use k3s_arc_container::Memory;

    use super::*;

    #[tokio::test]
    async fn who_shares_an_input_reads_on_where_the_other_stopped() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"one\ntwo\nthree\n").unwrap();
        file.rewind().unwrap();
        let mut held = Held::new(&Arc::new(Memory::unlimited()));
        for source in [Source::text("one\ntwo\nthree\n"), Source::file(Arc::new(file))] {
            assert_eq!(source.read_until(b'\n', &mut held).await.unwrap(), b"one\n");
            let mut next = [0; 4];
            source.input().read_exact(&mut next).await.unwrap();
            assert_eq!(&next, b"two\n");
            assert_eq!(source.clone().read_until(b'\0', &mut held).await.unwrap(), b"three\n");
            assert_eq!(source.read_until(b'\n', &mut held).await.unwrap(), b"");
        }
    }
}
