//! Files to be seen, or counted: as a whole, at one end, as they grow.

use std::collections::VecDeque;
use std::time::Duration;

use k3s_arc_container::files::Open;
use tokio::io::AsyncReadExt;

use crate::applet::{Applet, Ended, Stop};
use crate::held::Held;
use crate::reason::reason;
use crate::streams::CHUNK;

/// The files of the arguments, or standard input.
fn or_stdin(files: Vec<String>) -> Vec<String> {
    if files.is_empty() { vec!["-".to_owned()] } else { files }
}

impl Applet {
    /// What is wrong with reading a file that could be opened.
    fn read_error(&self, path: &str, error: &std::io::Error) {
        match (self.known.name, error.kind()) {
            ("head", std::io::ErrorKind::IsADirectory) => self.complain(format_args!("{path}: Input/output error")),
            ("wc", _) => self.complain(format_args!("{path}: {}", reason(error))),
            _ => self.complain(format_args!("read error: {}", reason(error))),
        }
    }
}

pub(super) async fn cat(mut applet: Applet) -> Ended {
    let (options, files) = applet.options("nbvteAu", &[])?;
    let numbers = options.has('n') || options.has('b');
    let mut status = 0;
    let mut line = 0_u64;
    let mut at_start = true;
    for path in or_stdin(files) {
        let Some(mut input) = applet.open_or_complain(&path) else {
            status = 1;
            continue;
        };
        let mut buffer = vec![0; CHUNK];
        loop {
            let read = match input.read(&mut buffer).await {
                Ok(0) => break,
                Ok(read) => read,
                Err(error) => {
                    applet.read_error(&path, &error);
                    status = 1;
                    break;
                }
            };
            if numbers {
                for piece in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
                    if at_start && !(options.has('b') && piece == b"\n") {
                        line += 1;
                        applet.put(format!("{line:6}\t")).await?;
                    }
                    applet.put(piece).await?;
                    at_start = piece.ends_with(b"\n");
                }
            } else {
                applet.put(&buffer[..read]).await?;
            }
            // What comes in slowly is passed on as it comes.
            if read < buffer.len() {
                applet.flush().await?;
            }
        }
    }
    applet.end(status).await
}

pub(super) async fn tee(mut applet: Applet) -> Ended {
    let (options, files) = applet.options("ai", &[])?;
    let how = if options.has('a') { Open::APPEND } else { Open::CREATE };
    let mut status = 0;
    let mut outputs = Vec::new();
    for path in &files {
        match applet.create(path, how) {
            Ok(output) => outputs.push(output),
            Err(error) => {
                applet.complain(format_args!("{path}: {}", reason(&error)));
                status = 1;
            }
        }
    }
    let mut input = applet.stdin.input();
    let mut buffer = vec![0; CHUNK];
    while let Ok(read @ 1..) = input.read(&mut buffer).await {
        applet.put(&buffer[..read]).await?;
        applet.flush().await?;
        for output in &outputs {
            if let Err(error) = output.put(&buffer[..read]).await {
                applet.complain(reason(&error));
                status = 1;
            }
        }
    }
    applet.end(status).await
}

/// How much of a file.
#[derive(Clone, Copy)]
enum Amount {
    Lines(u64),
    Bytes(u64),
}

/// `-5` in front is `-n 5`.
fn with_old_style(applet: &mut Applet) {
    let Some(first) = applet.args.first_mut() else { return };
    let digits = first.strip_prefix('-').filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()));
    if let Some(digits) = digits {
        *first = format!("-n{digits}");
    }
}

pub(super) async fn head(mut applet: Applet) -> Ended {
    with_old_style(&mut applet);
    let (options, files) = applet.options("n:c:qv", &[])?;
    let from_end = |text: &str| text.starts_with('-');
    let text = options.value('c').or(options.value('n')).unwrap_or("10");
    let number = applet.size(text.strip_prefix('-').unwrap_or(text))?;
    let amount = if options.has('c') { Amount::Bytes(number) } else { Amount::Lines(number) };
    let but_last = from_end(text);
    let mut status = 0;
    let files = or_stdin(files);
    let headers = (files.len() > 1 && !options.has('q')) || options.has('v');
    for (index, path) in files.iter().enumerate() {
        let Some(mut input) = applet.open_or_warn(path) else {
            status = 1;
            continue;
        };
        if headers {
            header(&mut applet, path, index).await?;
        }
        if but_last {
            let content = all_of(&applet, &mut input).await?;
            let end = start_of_last(&content, amount);
            applet.put(&content[..end]).await?;
            continue;
        }
        if let Err(error) = first(&mut applet, &mut input, amount).await? {
            applet.read_error(path, &error);
            status = 1;
        }
    }
    applet.end(status).await
}

async fn header(applet: &mut Applet, path: &str, index: usize) -> Result<(), Stop> {
    let shown = if path == "-" { "standard input" } else { path };
    let gap = if index > 0 { "\n" } else { "" };
    applet.put(format!("{gap}==> {shown} <==\n")).await
}

/// Prints the first part.
async fn first(applet: &mut Applet, input: &mut k3s_arc_container::Input, amount: Amount) -> Result<std::io::Result<()>, Stop> {
    let mut left = match amount {
        Amount::Lines(number) | Amount::Bytes(number) => number,
    };
    let mut buffer = vec![0; CHUNK];
    while left > 0 {
        let read = match input.read(&mut buffer).await {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        let mut end = 0;
        match amount {
            Amount::Bytes(_) => {
                end = read.min(usize::try_from(left).unwrap_or(usize::MAX));
                left -= end as u64;
            }
            Amount::Lines(_) => {
                for piece in buffer[..read].split_inclusive(|byte| *byte == b'\n') {
                    if left == 0 {
                        break;
                    }
                    end += piece.len();
                    left -= u64::from(piece.ends_with(b"\n"));
                }
            }
        }
        applet.put(&buffer[..end]).await?;
        if read < buffer.len() {
            applet.flush().await?;
        }
    }
    Ok(Ok(()))
}

/// All that there is to read, accounted for.
pub(super) async fn all_of(applet: &Applet, input: &mut k3s_arc_container::Input) -> Result<Vec<u8>, Stop> {
    let mut held = Held::new(&applet.view.container.memory);
    let mut content = Vec::new();
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = input.read(&mut buffer).await.map_err(|error| applet.fail(format_args!("read error: {}", reason(&error))))?;
        if read == 0 {
            return Ok(content);
        }
        content.extend_from_slice(&buffer[..read]);
        held.cover(content.len()).await.map_err(|_| applet.fail("out of memory"))?;
        k3s_arc_container::breathe().await;
    }
}

/// Where the last part begins.
fn start_of_last(content: &[u8], amount: Amount) -> usize {
    let count = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    match amount {
        Amount::Bytes(number) => content.len().saturating_sub(count(number)),
        Amount::Lines(0) => content.len(),
        Amount::Lines(number) => {
            let body = content.strip_suffix(b"\n").unwrap_or(content);
            let newlines = body.iter().enumerate().rev().filter(|(_, byte)| **byte == b'\n');
            newlines.map(|(at, _)| at + 1).nth(count(number) - 1).unwrap_or(0)
        }
    }
}

/// What `tail` keeps of what it reads.
struct Kept {
    pieces: VecDeque<Vec<u8>>,
    bytes: usize,
    newlines: u64,
    held: Held,
}

impl Kept {
    /// Keeps a piece, and drops pieces that are certainly too early.
    async fn keep(&mut self, piece: &[u8], amount: Amount) -> Result<(), crate::held::OutOfMemory> {
        self.bytes += piece.len();
        self.newlines += newlines(piece);
        match self.pieces.back_mut() {
            Some(last) if last.len() < CHUNK => last.extend_from_slice(piece),
            _ => self.pieces.push_back(piece.to_vec()),
        }
        while let Some(first) = self.pieces.front() {
            let enough = match amount {
                Amount::Bytes(number) => self.bytes - first.len() >= usize::try_from(number).unwrap_or(usize::MAX),
                Amount::Lines(number) => self.newlines - newlines(first) > number,
            };
            if !enough || self.pieces.len() == 1 {
                break;
            }
            self.bytes -= first.len();
            self.newlines -= newlines(first);
            self.pieces.pop_front();
        }
        self.held.cover(self.bytes).await
    }
}

fn newlines(piece: &[u8]) -> u64 {
    piece.iter().filter(|byte| **byte == b'\n').count() as u64
}

pub(super) async fn tail(mut applet: Applet) -> Ended {
    with_old_style(&mut applet);
    let (options, files) = applet.options("n:c:fFqvs:", &[])?;
    let text = options.value('c').or(options.value('n')).unwrap_or("10").to_owned();
    let (from_start, digits) = text.strip_prefix('+').map_or((false, text.trim_start_matches('-')), |rest| (true, rest));
    let number = applet.size(digits)?;
    let amount = if options.has('c') { Amount::Bytes(number) } else { Amount::Lines(number) };
    let follow = options.has('f') || options.has('F');
    let files = or_stdin(files);
    let headers = (files.len() > 1 && !options.has('q')) || options.has('v');
    let mut status = 0;
    let mut followed = Vec::new();
    for (index, path) in files.iter().enumerate() {
        let mut input = match applet.open(path) {
            Ok(input) => input,
            Err(error) => {
                let why = if options.has('F') { "No such file or directory".to_owned() } else { reason(&error) };
                applet.complain(format_args!("can't open '{path}': {why}"));
                status = 1;
                if options.has('F') {
                    followed.push((path.clone(), None));
                }
                continue;
            }
        };
        if headers {
            header(&mut applet, path, index).await?;
        }
        let read =
            if from_start { skip(&mut applet, &mut input, amount).await } else { last(&mut applet, &mut input, amount).await };
        if let Err(error) = read? {
            applet.read_error(path, &error);
            status = 1;
        }
        followed.push((path.clone(), Some(input)));
    }
    applet.flush().await?;
    if followed.is_empty() {
        return Err(applet.fail("no files"));
    }
    if follow {
        return follow_all(&mut applet, followed).await;
    }
    applet.end(status).await
}

/// Prints what is added to files, for ever.
async fn follow_all(applet: &mut Applet, mut followed: Vec<(String, Option<k3s_arc_container::Input>)>) -> Ended {
    loop {
        tokio::time::sleep(Duration::from_millis(200)).await;
        for (path, input) in &mut followed {
            if input.is_none() {
                *input = applet.open(path).ok();
            }
            let mut buffer = vec![0; CHUNK];
            while let Some(input) = input
                && let Ok(read @ 1..) = input.read(&mut buffer).await
            {
                applet.put(&buffer[..read]).await?;
            }
        }
        applet.flush().await?;
    }
}

/// Prints all but the first part: `-n +3` begins with the third line.
async fn skip(applet: &mut Applet, input: &mut k3s_arc_container::Input, amount: Amount) -> Result<std::io::Result<()>, Stop> {
    let mut left = match amount {
        Amount::Lines(number) | Amount::Bytes(number) => number.saturating_sub(1),
    };
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = match input.read(&mut buffer).await {
            Ok(0) => return Ok(Ok(())),
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        let mut start = 0;
        while left > 0 && start < read {
            start += match amount {
                Amount::Bytes(_) => {
                    let some = (read - start).min(usize::try_from(left).unwrap_or(usize::MAX));
                    left -= some as u64;
                    some
                }
                Amount::Lines(_) => match buffer[start..read].iter().position(|byte| *byte == b'\n') {
                    Some(at) => {
                        left -= 1;
                        at + 1
                    }
                    None => read - start,
                },
            };
        }
        applet.put(&buffer[start..read]).await?;
    }
}

/// Prints the last part, which is held until it is known.
async fn last(applet: &mut Applet, input: &mut k3s_arc_container::Input, amount: Amount) -> Result<std::io::Result<()>, Stop> {
    let mut kept = Kept { pieces: VecDeque::new(), bytes: 0, newlines: 0, held: Held::new(&applet.view.container.memory) };
    let mut buffer = vec![0; CHUNK];
    loop {
        k3s_arc_container::breathe().await;
        match input.read(&mut buffer).await {
            Ok(0) => break,
            Ok(read) => kept.keep(&buffer[..read], amount).await.map_err(|_| applet.fail("out of memory"))?,
            Err(error) => return Ok(Err(error)),
        }
    }
    let content: Vec<u8> = kept.pieces.into_iter().flatten().collect();
    applet.put(&content[start_of_last(&content, amount)..]).await?;
    Ok(Ok(()))
}

/// What there is to count.
#[derive(Default, Clone, Copy)]
struct Counts {
    lines: u64,
    words: u64,
    characters: u64,
    bytes: u64,
    longest: u64,
}

pub(super) async fn wc(mut applet: Applet) -> Ended {
    let (options, files) = applet.options("cmlwL", &[])?;
    let shown: Vec<char> = match "lwmcL".chars().filter(|letter| options.has(*letter)).collect::<Vec<_>>() {
        none if none.is_empty() => vec!['l', 'w', 'c'],
        some => some,
    };
    let mut status = 0;
    let mut total = Counts::default();
    let named = !files.is_empty();
    let count = files.len();
    for path in or_stdin(files) {
        let Some(mut input) = applet.open_or_warn(&path) else {
            status = 1;
            continue;
        };
        let (counts, read) = counts_of(&mut input).await;
        if let Err(error) = read {
            applet.read_error(&path, &error);
            status = 1;
        }
        total.lines += counts.lines;
        total.words += counts.words;
        total.characters += counts.characters;
        total.bytes += counts.bytes;
        total.longest = total.longest.max(counts.longest);
        let label = if named { path.as_str() } else { "" };
        applet.line(counts.shown(&shown, label, count > 1)).await?;
    }
    if count > 1 {
        applet.line(total.shown(&shown, "total", true)).await?;
    }
    applet.end(status).await
}

impl Counts {
    fn shown(&self, shown: &[char], label: &str, several: bool) -> String {
        let number = |letter: &char| match letter {
            'l' => self.lines,
            'w' => self.words,
            'm' => self.characters,
            'L' => self.longest,
            _ => self.bytes,
        };
        let numbers: Vec<String> = match shown {
            [one] if !several => vec![number(one).to_string()],
            several => several.iter().map(|letter| format!("{:9}", number(letter))).collect(),
        };
        let text = numbers.join(" ");
        if label.is_empty() { text } else { format!("{text} {label}") }
    }
}

async fn counts_of(input: &mut k3s_arc_container::Input) -> (Counts, std::io::Result<()>) {
    let mut counts = Counts::default();
    let (mut in_word, mut column) = (false, 0);
    let mut buffer = vec![0; CHUNK];
    loop {
        k3s_arc_container::breathe().await;
        let read = match input.read(&mut buffer).await {
            Ok(0) => return (counts, Ok(())),
            Ok(read) => read,
            Err(error) => return (counts, Err(error)),
        };
        counts.bytes += read as u64;
        for byte in &buffer[..read] {
            // The bytes of a character after its first one do not count.
            counts.characters += u64::from(byte & 0xc0 != 0x80);
            if *byte == b'\n' {
                counts.lines += 1;
                column = 0;
            } else {
                column += 1;
                counts.longest = counts.longest.max(column);
            }
            let blank = byte.is_ascii_whitespace();
            counts.words += u64::from(!blank && !in_word);
            in_word = !blank;
        }
    }
}
