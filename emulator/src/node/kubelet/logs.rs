//! What containers print, kept in lines as containerd writes them to files (`internal/cri/io/logger.go`), and read as the kubelet
//! reads those (`k8s.io/cri-client/pkg/logs`).

use std::collections::VecDeque;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use k3s_arc_container::Output;
use tokio::sync::{mpsc, watch};

use super::LogOptions;

/// A longer line is cut (`max_container_log_line_size`).
const LONGEST_LINE: usize = 16 * 1024;
/// The oldest lines go when there is more than this (`containerLogMaxSize`: what is in a rotated file is not read any more).
const MOST_BYTES: usize = 10 * 1024 * 1024;
/// How much is sent at once.
const PIECE: usize = 32 * 1024;

/// A line, or a part of one. It ends with a newline unless more follows, or nothing does.
#[derive(Debug)]
struct Line {
    at: Timestamp,
    text: Bytes,
}

impl Line {
    /// What it holds: many short lines are more than their text.
    fn size(&self) -> usize {
        size_of::<Self>() + self.text.len()
    }
}

/// One who has attached to the container.
#[derive(Debug)]
struct Listener {
    number: u64,
    outputs: [Output; 2],
}

#[derive(Debug, Default)]
struct Inner {
    lines: VecDeque<Line>,
    /// How many were dropped before those.
    dropped: u64,
    bytes: usize,
    /// By stream: what has no newline yet.
    pending: [BytesMut; 2],
    listeners: Vec<Listener>,
    /// How many there have been.
    listened: u64,
}

/// Listens until it is dropped.
pub(super) struct Listening {
    log: Arc<Log>,
    number: u64,
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.log.inner().listeners.retain(|listener| listener.number != self.number);
    }
}

impl Inner {
    fn push(&mut self, text: Bytes, at: Timestamp) {
        let line = Line { at, text };
        self.bytes += line.size();
        self.lines.push_back(line);
        while self.bytes > MOST_BYTES
            && let Some(gone) = self.lines.pop_front()
        {
            self.bytes -= gone.size();
            self.dropped += 1;
        }
    }

    fn end(&self) -> u64 {
        self.dropped + self.lines.len() as u64
    }
}

/// What is written to, and read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stream {
    Out,
    Err,
}

/// What one container has printed.
pub(super) struct Log {
    inner: Mutex<Inner>,
    /// How many lines there have been, and whether it is over.
    grown: watch::Sender<(u64, bool)>,
    clock: Clock,
}

/// What tells the time.
type Clock = Box<dyn Fn() -> Timestamp + Send + Sync>;

impl Log {
    pub(super) fn new(clock: impl Fn() -> Timestamp + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::default(), grown: watch::Sender::new((0, false)), clock: Box::new(clock) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where a process writes to.
    pub(super) fn output(self: &Arc<Self>, stream: Stream) -> Output {
        let log = self.clone();
        Output::new(move |bytes| {
            log.print(stream, bytes);
            Ok(())
        })
    }

    pub(super) fn print(&self, stream: Stream, bytes: &[u8]) {
        self.write(stream, bytes, (self.clock)());
    }

    fn write(&self, stream: Stream, mut bytes: &[u8], now: Timestamp) {
        let mut inner = self.inner();
        // Who does not listen any more is forgotten.
        inner.listeners.retain_mut(|listener| listener.outputs[stream as usize].write_all(bytes).is_ok());
        while !bytes.is_empty() {
            let pending = &mut inner.pending[stream as usize];
            let room = LONGEST_LINE - pending.len();
            let newline = bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1);
            let taken = newline.unwrap_or(bytes.len()).min(room);
            pending.extend_from_slice(&bytes[..taken]);
            bytes = &bytes[taken..];
            if pending.ends_with(b"\n") || pending.len() >= LONGEST_LINE {
                let line = pending.split().freeze();
                inner.push(line, now);
            }
        }
        let end = inner.end();
        drop(inner);
        self.grown.send_modify(|(lines, _)| *lines = end);
    }

    /// Gives what is printed from now on to someone as well.
    pub(super) fn listen(self: &Arc<Self>, stdout: Output, stderr: Output) -> Listening {
        let mut inner = self.inner();
        inner.listened += 1;
        let number = inner.listened;
        inner.listeners.push(Listener { number, outputs: [stdout, stderr] });
        Listening { log: self.clone(), number }
    }

    /// Nothing is printed any more.
    pub(super) fn close(&self, now: Timestamp) {
        let mut inner = self.inner();
        for stream in 0..2 {
            let rest = inner.pending[stream].split().freeze();
            if !rest.is_empty() {
                inner.push(rest, now);
            }
        }
        let end = inner.end();
        drop(inner);
        self.grown.send_replace((end, true));
    }

    /// The last lines, as far as they fit.
    pub(super) fn tail(&self, lines: usize, bytes: usize) -> String {
        let inner = self.inner();
        let skipped = inner.lines.len().saturating_sub(lines);
        let all: Vec<u8> = inner.lines.iter().skip(skipped).flat_map(|line| line.text.iter().copied()).collect();
        String::from_utf8_lossy(&all[all.len().saturating_sub(bytes)..]).into_owned()
    }

    /// What is asked for, piece by piece.
    pub(super) fn read(self: &Arc<Self>, options: LogOptions) -> mpsc::Receiver<Bytes> {
        let (sender, receiver) = mpsc::channel(4);
        let log = self.clone();
        tokio::spawn(async move { log.send(&options, &sender).await });
        receiver
    }

    async fn send(&self, options: &LogOptions, to: &mpsc::Sender<Bytes>) {
        let mut grown = self.grown.subscribe();
        let mut next = match options.tail {
            Some(lines) => self.inner().end().saturating_sub(lines as u64),
            None => 0,
        };
        let mut left = options.limit.unwrap_or(usize::MAX);
        loop {
            let over = grown.borrow_and_update().1;
            loop {
                let (piece, after) = self.piece(next, options);
                if after == next {
                    break;
                }
                next = after;
                let piece = piece.slice(..piece.len().min(left));
                left -= piece.len();
                if !piece.is_empty() && to.send(piece).await.is_err() || left == 0 {
                    return;
                }
            }
            if over || !options.follow {
                return;
            }
            tokio::select! {
                changed = grown.changed() => if changed.is_err() { return },
                () = to.closed() => return,
            }
        }
    }

    /// The lines from one on that fit into a piece, and the one after them.
    fn piece(&self, next: u64, options: &LogOptions) -> (Bytes, u64) {
        let inner = self.inner();
        let next = next.max(inner.dropped);
        let skipped = usize::try_from(next - inner.dropped).unwrap_or(usize::MAX);
        let (mut piece, mut after) = (BytesMut::new(), next);
        for line in inner.lines.iter().skip(skipped) {
            after += 1;
            if options.since.is_some_and(|since| line.at < since) {
                continue;
            }
            if options.timestamps {
                piece.extend_from_slice(line.at.strftime("%Y-%m-%dT%H:%M:%S.%9fZ ").to_string().as_bytes());
            }
            piece.extend_from_slice(&line.text);
            if piece.len() >= PIECE {
                break;
            }
        }
        (piece.freeze(), after)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(log: &Arc<Log>, options: LogOptions) -> String {
        let (mut pieces, mut all) = (log.read(options), Vec::new());
        while let Some(piece) = pieces.recv().await {
            all.extend_from_slice(&piece);
        }
        String::from_utf8(all).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    #[tokio::test]
    async fn lines_are_read_as_asked_for() {
        let log = Log::new(Timestamp::now);
        log.write(Stream::Out, b"one\ntw", at(1));
        log.write(Stream::Err, b"error\n", at(2));
        log.write(Stream::Out, b"o\nthree", at(3));
        assert_eq!(text(&log, LogOptions::default()).await, "one\nerror\ntwo\n");
        log.close(at(4));
        assert_eq!(text(&log, LogOptions::default()).await, "one\nerror\ntwo\nthree");
        assert_eq!(text(&log, LogOptions { tail: Some(2), ..LogOptions::default() }).await, "two\nthree");
        assert_eq!(text(&log, LogOptions { limit: Some(6), ..LogOptions::default() }).await, "one\ner");
        let options = LogOptions { since: Some(at(3)), timestamps: true, tail: Some(10), ..LogOptions::default() };
        assert_eq!(text(&log, options).await, "1970-01-01T00:00:03.000000000Z two\n1970-01-01T00:00:04.000000000Z three");
        assert_eq!((log.tail(2, 100), log.tail(80, 7)), ("two\nthree".to_owned(), "o\nthree".to_owned()));
    }

    #[tokio::test]
    async fn a_follower_reads_on_until_it_is_over() {
        let log = Log::new(Timestamp::now);
        let mut pieces = log.read(LogOptions { follow: true, ..LogOptions::default() });
        log.write(Stream::Out, b"a\n", at(1));
        assert_eq!(pieces.recv().await.unwrap(), "a\n");
        log.write(Stream::Out, b"b\nc", at(1));
        assert_eq!(pieces.recv().await.unwrap(), "b\n");
        log.close(at(2));
        assert_eq!(pieces.recv().await.unwrap(), "c");
        assert_eq!(pieces.recv().await, None);
    }

    #[tokio::test]
    async fn long_lines_are_cut_and_old_ones_dropped() {
        let log = Log::new(Timestamp::now);
        let line = [b'x'; LONGEST_LINE + 1];
        log.write(Stream::Out, &line, at(1));
        log.write(Stream::Out, b"\n", at(1));
        assert_eq!(text(&log, LogOptions { tail: Some(1), ..LogOptions::default() }).await, "x\n");
        for _ in 0..MOST_BYTES / LONGEST_LINE {
            log.write(Stream::Out, &line[..LONGEST_LINE - 1], at(2));
            log.write(Stream::Out, b"\n", at(2));
        }
        let kept = MOST_BYTES / (LONGEST_LINE + size_of::<Line>());
        assert_eq!(text(&log, LogOptions::default()).await.len(), kept * LONGEST_LINE);
        for _ in 0..200 {
            log.write(Stream::Out, &[b'\n'; 4096], at(3));
        }
        assert_eq!(text(&log, LogOptions::default()).await.len(), MOST_BYTES / (1 + size_of::<Line>()));
    }
}
