//! Lines: cut, translated, sorted, counted, made.

use std::cmp::Ordering;

use k3s_arc_container::files::Open;
use tokio::io::AsyncReadExt;

use super::grep::Lines;
use super::show::all_of;
use crate::applet::{Applet, Ended, Options, Stop};
use crate::escapes::unescape;
use crate::streams::CHUNK;

fn or_stdin(files: Vec<String>) -> Vec<String> {
    if files.is_empty() { vec!["-".to_owned()] } else { files }
}

/// `1,3-5,7-`, as pairs of first and last, from 1.
fn ranges(applet: &Applet, text: &str) -> Result<Vec<(usize, usize)>, Stop> {
    let mut all = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str, missing: usize| if text.is_empty() { Ok(missing) } else { applet.number(text) };
        let (first, last) = (number(first, 1)?, number(last, usize::MAX)?);
        if first == 0 || last < first || part == "-" {
            return Err(applet.fail(format_args!("invalid range {part}")));
        }
        all.push((first, last));
    }
    Ok(all)
}

pub(super) async fn cut(mut applet: Applet) -> Ended {
    let (options, files) = applet.options("b:c:f:d:sn", &[])?;
    let Some(list) = ['b', 'c', 'f'].into_iter().find_map(|letter| options.value(letter)) else {
        return Err(applet.fail("expected a list of bytes, characters, or fields"));
    };
    let ranges = ranges(&applet, list)?;
    let wanted = |index: usize| ranges.iter().any(|(first, last)| (*first..=*last).contains(&(index + 1)));
    let delimiter = options.value('d').and_then(|text| text.bytes().next()).unwrap_or(b'\t');
    let mut status = 0;
    for path in or_stdin(files) {
        let Some(mut input) = applet.open_or_complain(&path) else {
            status = 1;
            continue;
        };
        let mut lines = Lines::default();
        while let Ok(Some(line)) = lines.next(&mut input).await {
            let cut: Vec<u8> = if options.has('f') {
                if !line.contains(&delimiter) {
                    if options.has('s') {
                        continue;
                    }
                    line
                } else {
                    let fields = line.split(|byte| *byte == delimiter).enumerate().filter(|(index, _)| wanted(*index));
                    fields.map(|(_, field)| field).collect::<Vec<_>>().join(&delimiter)
                }
            } else if options.has('c') {
                let text = String::from_utf8_lossy(&line);
                text.chars()
                    .enumerate()
                    .filter(|(index, _)| wanted(*index))
                    .map(|(_, character)| character)
                    .collect::<String>()
                    .into_bytes()
            } else {
                line.into_iter().enumerate().filter(|(index, _)| wanted(*index)).map(|(_, byte)| byte).collect()
            };
            applet.put(cut).await?;
            applet.put("\n").await?;
        }
    }
    applet.end(status).await
}

/// The bytes that `a-z`, `[:alpha:]` and escapes mean.
fn set(text: &str) -> Vec<u8> {
    let bytes = unescape(text.as_bytes()).0;
    let mut out = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let class = bytes[at..].starts_with(b"[:").then(|| bytes[at..].windows(2).position(|end| end == b":]")).flatten();
        if let Some(end) = class {
            let name = String::from_utf8_lossy(&bytes[at + 2..at + end]).into_owned();
            out.extend((0..128_u8).filter(|byte| crate::shell::is_in(&name, char::from(*byte))));
            at += end + 2;
        } else if at + 2 < bytes.len() && bytes[at + 1] == b'-' {
            out.extend(bytes[at]..=bytes[at + 2]);
            at += 3;
        } else {
            out.push(bytes[at]);
            at += 1;
        }
    }
    out
}

pub(super) async fn tr(mut applet: Applet) -> Ended {
    let (options, sets) = applet.options("+cCds", &[])?;
    let deletes = options.has('d');
    let (first, second) = match sets.as_slice() {
        [first] if deletes || options.has('s') => (set(first), Vec::new()),
        [first, second] => (set(first), set(second)),
        _ => return Err(applet.misused()),
    };
    let complement = options.has('c') || options.has('C');
    let first: Vec<u8> = if complement { (0..=255).filter(|byte| !first.contains(byte)).collect() } else { first };
    let mut map: [Option<u8>; 256] = std::array::from_fn(|byte| u8::try_from(byte).ok());
    for (index, byte) in first.iter().enumerate() {
        if deletes {
            map[usize::from(*byte)] = None;
        } else if let Some(to) = second.get(index).or(second.last()) {
            map[usize::from(*byte)] = Some(*to);
        }
    }
    // What is squeezed is what comes out.
    let squeezed = if second.is_empty() { &first } else { &second };
    let mut last = None;
    let mut input = applet.stdin.input();
    let mut buffer = vec![0; CHUNK];
    while let Ok(read @ 1..) = input.read(&mut buffer).await {
        let mut out = Vec::with_capacity(read);
        for byte in &buffer[..read] {
            let Some(byte) = map[usize::from(*byte)] else { continue };
            if options.has('s') && last == Some(byte) && squeezed.contains(&byte) {
                continue;
            }
            last = Some(byte);
            out.push(byte);
        }
        applet.put(out).await?;
        if read < buffer.len() {
            applet.flush().await?;
        }
    }
    applet.end(0).await
}

/// A key of `sort -k`.
struct Key {
    first: usize,
    last: usize,
}

pub(super) async fn sort(mut applet: Applet) -> Ended {
    let (options, files) = applet.options("ngMucszbdfiht:rVT:o:k:m", &[])?;
    let separator = options.value('t').and_then(|text| text.bytes().next());
    let mut keys = Vec::new();
    let mut letters: String = options.iter().collect();
    for text in options.values('k') {
        let (first, last) = text.split_once(',').unwrap_or((text, ""));
        let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>().parse::<usize>().ok();
        letters.extend(text.chars().filter(char::is_ascii_alphabetic));
        let first = digits(first).filter(|first| *first > 0).ok_or_else(|| applet.fail("bad key spec"))?;
        keys.push(Key { first, last: digits(last).unwrap_or(usize::MAX) });
    }
    let mut content = Vec::new();
    for path in or_stdin(files) {
        let mut input = applet.open(&path).map_err(|error| {
            applet.complain(format_args!("{path}: {}", crate::reason::reason(&error)));
            Stop(2)
        })?;
        content.extend(all_of(&applet, &mut input).await?);
        if content.last().is_some_and(|last| *last != b'\n') {
            content.push(b'\n');
        }
    }
    let mut held = crate::held::Held::new(&applet.view.container.memory);
    held.cover(content.len()).await.map_err(|_| applet.fail("out of memory"))?;
    let content = content.strip_suffix(b"\n").unwrap_or(&content);
    let mut lines: Vec<&[u8]> = if content.is_empty() { Vec::new() } else { content.split(|byte| *byte == b'\n').collect() };
    let order = Order { keys, separator, letters };
    let compare = |one: &&[u8], two: &&[u8]| order.compare(one, two);
    if options.has('c') {
        let sorted = lines.windows(2).all(|pair| compare(&pair[0], &pair[1]) != Ordering::Greater);
        return Ok(i32::from(!sorted));
    }
    lines.sort_by(|one, two| compare(one, two).then_with(|| order.last_resort(one, two)));
    if options.has('u') {
        lines.dedup_by(|one, two| compare(one, two) == Ordering::Equal);
    }
    let output = match options.value('o') {
        Some(path) => Some(
            applet
                .create(path, Open::CREATE)
                .map_err(|error| applet.fail(format_args!("{path}: {}", crate::reason::reason(&error))))?,
        ),
        None => None,
    };
    if let Some(output) = output {
        applet.stdout = output;
    }
    let text: Vec<u8> = lines.into_iter().flat_map(|line| line.iter().copied().chain(std::iter::once(b'\n'))).collect();
    applet.put(text).await?;
    applet.end(0).await
}

struct Order {
    keys: Vec<Key>,
    separator: Option<u8>,
    letters: String,
}

impl Order {
    fn compare(&self, one: &[u8], two: &[u8]) -> Ordering {
        let mut order = Ordering::Equal;
        if self.keys.is_empty() {
            order = self.values(one, two);
        }
        for key in &self.keys {
            order = order.then_with(|| self.values(&self.field(one, key), &self.field(two, key)));
        }
        if self.letters.contains('r') { order.reverse() } else { order }
    }

    /// Lines that are alike are in the order of their bytes, unless that is not wanted.
    fn last_resort(&self, one: &[u8], two: &[u8]) -> Ordering {
        if self.letters.contains('s') || self.letters.contains('u') {
            return Ordering::Equal;
        }
        if self.letters.contains('r') { two.cmp(one) } else { one.cmp(two) }
    }

    fn field(&self, line: &[u8], key: &Key) -> Vec<u8> {
        let mut fields: Vec<&[u8]> = Vec::new();
        match self.separator {
            Some(separator) => fields.extend(line.split(|byte| *byte == separator)),
            None => {
                // A field begins with the blanks before it.
                let mut start = 0;
                for at in 1..=line.len() {
                    let ends = at == line.len() || (line[at].is_ascii_whitespace() && !line[at - 1].is_ascii_whitespace());
                    if ends {
                        fields.push(&line[start..at]);
                        start = at;
                    }
                }
            }
        }
        let last = key.last.min(fields.len());
        let separator = self.separator.map(|separator| vec![separator]).unwrap_or_default();
        if key.first > last { Vec::new() } else { fields[key.first - 1..last].join(separator.as_slice()) }
    }

    fn values(&self, one: &[u8], two: &[u8]) -> Ordering {
        let has = |letter| self.letters.contains(letter);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
        if has('n') || has('g') || has('h') {
            let number = |bytes: &[u8]| leading_number(&text(bytes), has('h'));
            return number(one).total_cmp(&number(two));
        }
        if has('V') {
            return version(&text(one), &text(two));
        }
        if has('f') {
            return one.to_ascii_uppercase().cmp(&two.to_ascii_uppercase());
        }
        if has('b') { text(one).cmp(&text(two)) } else { one.cmp(two) }
    }
}

fn leading_number(text: &str, human: bool) -> f64 {
    let end = text
        .char_indices()
        .find(|(at, next)| !(next.is_ascii_digit() || *next == '.' || (*at == 0 && matches!(next, '-' | '+'))));
    let (digits, rest) = text.split_at(end.map_or(text.len(), |(at, _)| at));
    let factor = match rest.chars().next() {
        Some('K' | 'k') if human => 1024.0,
        Some('M') if human => 1_048_576.0,
        Some('G') if human => 1_073_741_824.0,
        _ => 1.0,
    };
    digits.parse::<f64>().unwrap_or(0.0) * factor
}

/// Texts in which numbers are compared as numbers.
fn version(one: &str, two: &str) -> Ordering {
    let parts = |text: &str| -> Vec<(String, u64)> {
        let mut parts = Vec::new();
        let mut rest = text;
        while !rest.is_empty() {
            let digits = rest.find(|next: char| next.is_ascii_digit()).unwrap_or(rest.len());
            let (name, after) = rest.split_at(digits);
            let end = after.find(|next: char| !next.is_ascii_digit()).unwrap_or(after.len());
            parts.push((name.to_owned(), after[..end].parse().unwrap_or(0)));
            rest = &after[end..];
        }
        parts
    };
    parts(one).cmp(&parts(two))
}

pub(super) async fn uniq(mut applet: Applet) -> Ended {
    let (options, files) = applet.options("cdiuf:s:w:", &[])?;
    let skipped: usize = options.value('s').map_or(Ok(0), |text| applet.number(text))?;
    let fields: usize = options.value('f').map_or(Ok(0), |text| applet.number(text))?;
    let path = files.first().cloned().unwrap_or_else(|| "-".to_owned());
    let Some(mut input) = applet.open_or_complain(&path) else { return Ok(1) };
    let key = |line: &[u8]| -> Vec<u8> {
        let mut rest = line;
        for _ in 0..fields {
            let blanks = rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
            let word = rest[blanks..].iter().take_while(|byte| !byte.is_ascii_whitespace()).count();
            rest = &rest[blanks + word..];
        }
        let rest = rest.get(skipped..).unwrap_or_default();
        if options.has('i') { rest.to_ascii_lowercase() } else { rest.to_vec() }
    };
    let mut lines = Lines::default();
    let mut current: Option<(Vec<u8>, u64)> = None;
    loop {
        let line = lines.next(&mut input).await.unwrap_or_default();
        match (&mut current, &line) {
            (Some((same, count)), Some(line)) if key(same) == key(line) => {
                *count += 1;
                continue;
            }
            _ => {}
        }
        if let Some((text, count)) = current.take() {
            unique(&mut applet, &options, &text, count).await?;
        }
        let Some(line) = line else { break };
        current = Some((line, 1));
    }
    applet.end(0).await
}

async fn unique(applet: &mut Applet, options: &Options, line: &[u8], count: u64) -> Result<(), Stop> {
    if (options.has('d') && count == 1) || (options.has('u') && count > 1) {
        return Ok(());
    }
    if options.has('c') {
        applet.put(format!("{count:7} ")).await?;
    }
    applet.put(line).await?;
    applet.put("\n").await
}

pub(super) async fn seq(mut applet: Applet) -> Ended {
    // Negative numbers are no options.
    let split = applet
        .args
        .iter()
        .position(|arg| !arg.starts_with('-') || arg[1..].starts_with(|next: char| next.is_ascii_digit() || next == '.'));
    let numbers = applet.args.split_off(split.unwrap_or(applet.args.len()));
    let (options, _) = applet.options("+ws:", &[])?;
    let text = |index: usize| numbers.get(index).map(String::as_str);
    let (first, step, last) = match numbers.len() {
        1 => ("1", "1", text(0)),
        2 => (text(0).unwrap_or("1"), "1", text(1)),
        3 => (text(0).unwrap_or("1"), text(1).unwrap_or("1"), text(2)),
        _ => return Err(applet.misused()),
    };
    let last = last.unwrap_or("1");
    let number = |text: &str| text.parse::<f64>().map_err(|_| applet.misused());
    let (from, by, to) = (number(first)?, number(step)?, number(last)?);
    let decimals =
        [first, step].iter().map(|text| text.split_once('.').map_or(0, |(_, fraction)| fraction.len())).max().unwrap_or(0);
    if by == 0.0 {
        return Err(applet.misused());
    }
    let separator = options.value('s').unwrap_or("\n").to_owned();
    let width = if options.has('w') { format!("{from:.decimals$}").len().max(format!("{to:.decimals$}").len()) } else { 0 };
    let mut index = 0_u64;
    loop {
        let value = from + by * index as f64;
        if if by > 0.0 { value > to } else { value < to } {
            break;
        }
        if index > 0 {
            applet.put(&separator).await?;
        }
        applet.put(format!("{value:0width$.decimals$}")).await?;
        index += 1;
        k3s_arc_container::breathe().await;
    }
    if index > 0 {
        applet.put("\n").await?;
    }
    applet.end(0).await
}

pub(super) async fn yes(mut applet: Applet) -> Ended {
    let line = if applet.args.is_empty() { "y".to_owned() } else { applet.args.join(" ") } + "\n";
    let block = line.repeat((CHUNK / line.len()).max(1));
    loop {
        applet.put(&block).await?;
        applet.flush().await?;
    }
}

pub(super) async fn tac(mut applet: Applet) -> Ended {
    let (_, files) = applet.options("", &[])?;
    let mut status = 0;
    for path in or_stdin(files) {
        let Some(mut input) = applet.open_or_complain(&path) else {
            status = 1;
            continue;
        };
        let content = all_of(&applet, &mut input).await?;
        for line in content.split_inclusive(|byte| *byte == b'\n').rev() {
            applet.put(line).await?;
        }
    }
    applet.end(status).await
}

pub(super) async fn rev(mut applet: Applet) -> Ended {
    let (_, files) = applet.options("", &[])?;
    let mut status = 0;
    for path in or_stdin(files) {
        let Some(mut input) = applet.open_or_complain(&path) else {
            status = 1;
            continue;
        };
        let mut lines = Lines::default();
        while let Ok(Some(line)) = lines.next(&mut input).await {
            let reversed: String = String::from_utf8_lossy(&line).chars().rev().collect();
            applet.line(reversed).await?;
        }
    }
    applet.end(status).await
}
