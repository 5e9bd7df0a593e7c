//! `grep`.

use k3s_arc_container::files::Kind;
use regex::bytes::Regex;
use tokio::io::AsyncReadExt;

use crate::applet::{Applet, Ended, Options, Stop};
use crate::deep::with_stack;
use crate::expression::{Syntax, compile, fixed};
use crate::reason::reason;
use crate::streams::CHUNK;

/// What is searched for, and how it is told.
struct Search {
    patterns: Vec<Regex>,
    options: Options,
    with_names: bool,
    most: u64,
    before: usize,
    after: usize,
}

/// `grep`, `egrep` and `fgrep`.
pub(super) async fn grep(mut applet: Applet) -> Ended {
    let (options, mut words) = applet.options("lnqvscFiHhe:f:LorRm:wxEA:B:C:az", &[("color", 'a'), ("colour", 'a')])?;
    let syntax = Syntax {
        extended: options.has('E') || applet.known.name == "egrep",
        ignore_case: options.has('i'),
        words: options.has('w'),
        lines: options.has('x'),
    };
    let mut texts: Vec<String> = options.values('e').map(str::to_owned).collect();
    for path in options.values('f') {
        let content = applet.view.files().read_to_string(applet.view.path(path));
        let content = content.map_err(|error| broken(&applet, &format!("{path}: {}", reason(&error))))?;
        texts.extend(content.lines().map(str::to_owned));
    }
    if texts.is_empty() && !options.has('f') {
        if words.is_empty() {
            applet.misused();
            return Err(Stop(2));
        }
        texts.push(words.remove(0));
    }
    let is_fixed = options.has('F') || applet.known.name == "fgrep";
    let mut patterns = Vec::new();
    for text in texts.iter().flat_map(|text| text.split('\n')) {
        let pattern = if is_fixed { fixed(text, syntax) } else { compile(text, syntax) };
        patterns.push(pattern.map_err(|why| broken(&applet, &format!("bad regex '{text}': {why}")))?);
    }
    let recursive = options.has('r') || options.has('R');
    if words.is_empty() {
        words.push(if recursive { "." } else { "-" }.to_owned());
    }
    let mut status = 0;
    let mut files = Vec::new();
    for path in &words {
        if recursive { below(&applet, path, &mut files) } else { files.push(path.clone()) }
    }
    let number = |letter| -> Result<Option<usize>, Stop> { options.value(letter).map(|text| applet.number(text)).transpose() };
    let around = number('C')?.unwrap_or(0);
    let search = Search {
        with_names: (options.has('H') || words.len() > 1 || recursive) && !options.has('h'),
        most: number('m')?.map_or(u64::MAX, |most| most as u64),
        before: number('B')?.unwrap_or(around),
        after: number('A')?.unwrap_or(around),
        patterns,
        options,
    };
    let mut found = false;
    for path in files {
        match search.file(&mut applet, &path).await? {
            Ok(here) => found |= here,
            Err(error) => {
                if !search.options.has('s') {
                    applet.complain(format_args!("{path}: {}", reason(&error)));
                }
                status = 2;
            }
        }
        if found && search.options.has('q') {
            return Ok(0);
        }
    }
    applet.end(if status == 0 { i32::from(!found) } else { status }).await
}

fn broken(applet: &Applet, what: &str) -> Stop {
    applet.complain(what);
    Stop(2)
}

fn below(applet: &Applet, path: &str, files: &mut Vec<String>) {
    let is_directory = applet.view.metadata(path, true).is_ok_and(|found| found.kind == Kind::Directory);
    if !is_directory {
        return files.push(path.to_owned());
    }
    for name in applet.view.files().read_dir(applet.view.path(path)).unwrap_or_default() {
        with_stack(|| below(applet, &format!("{}/{name}", path.trim_end_matches('/')), files));
    }
}

impl Search {
    fn matches(&self, line: &[u8]) -> bool {
        self.patterns.iter().any(|pattern| pattern.is_match(line)) != self.options.has('v')
    }

    /// Whether a file has a line that is searched for; what was found is printed.
    async fn file(&self, applet: &mut Applet, path: &str) -> Result<std::io::Result<bool>, Stop> {
        let mut input = match applet.open(path) {
            Ok(input) => input,
            Err(error) => return Ok(Err(error)),
        };
        let shown = if path == "-" { "(standard input)" } else { path };
        let quiet = ['q', 'c', 'l', 'L'].into_iter().any(|letter| self.options.has(letter));
        let mut lines = Lines::default();
        let (mut number, mut count) = (0_u64, 0_u64);
        let (mut context, mut last_shown, mut after) = (std::collections::VecDeque::<(u64, Vec<u8>)>::new(), 0_u64, 0);
        while count < self.most || after > 0 {
            let line = match lines.next(&mut input).await {
                Ok(Some(line)) => line,
                Ok(None) => break,
                Err(error) => return Ok(Err(error)),
            };
            number += 1;
            if count < self.most && self.matches(&line) {
                count += 1;
                if self.options.has('q') || self.options.has('l') {
                    break;
                }
                if quiet {
                    continue;
                }
                for (earlier, text) in context.drain(..) {
                    self.separate(applet, earlier, &mut last_shown).await?;
                    self.show(applet, shown, earlier, '-', &text).await?;
                }
                self.separate(applet, number, &mut last_shown).await?;
                self.show_match(applet, shown, number, &line).await?;
                after = self.after;
            } else if after > 0 && !quiet {
                after -= 1;
                self.separate(applet, number, &mut last_shown).await?;
                self.show(applet, shown, number, '-', &line).await?;
            } else if self.before > 0 {
                context.push_back((number, line));
                if context.len() > self.before {
                    context.pop_front();
                }
            }
        }
        if self.options.has('l') && count > 0 || self.options.has('L') && count == 0 {
            applet.line(shown).await?;
        } else if self.options.has('c') {
            let name = if self.with_names { format!("{shown}:") } else { String::new() };
            applet.line(format!("{name}{count}")).await?;
        }
        // What comes in slowly was passed on as it came.
        Ok(Ok(count > 0))
    }

    /// Between parts that are not next to each other there is a line.
    async fn separate(&self, applet: &mut Applet, number: u64, last: &mut u64) -> Result<(), Stop> {
        let gap = (self.before > 0 || self.after > 0) && *last > 0 && number > *last + 1;
        *last = number;
        if gap { applet.put("--\n").await } else { Ok(()) }
    }

    async fn show(&self, applet: &mut Applet, path: &str, number: u64, mark: char, text: &[u8]) -> Result<(), Stop> {
        if self.with_names {
            applet.put(format!("{path}{mark}")).await?;
        }
        if self.options.has('n') {
            applet.put(format!("{number}{mark}")).await?;
        }
        applet.put(text).await?;
        applet.put("\n").await?;
        applet.flush().await
    }

    async fn show_match(&self, applet: &mut Applet, path: &str, number: u64, line: &[u8]) -> Result<(), Stop> {
        if !self.options.has('o') {
            return self.show(applet, path, number, ':', line).await;
        }
        if self.options.has('v') {
            return Ok(());
        }
        let mut at = 0;
        while at <= line.len() {
            let first = self
                .patterns
                .iter()
                .filter_map(|pattern| pattern.find_at(line, at))
                .min_by_key(|found| (found.start(), usize::MAX - found.end()));
            let Some(found) = first else { break };
            if !found.is_empty() {
                self.show(applet, path, number, ':', found.as_bytes()).await?;
            }
            at = found.end().max(at + 1);
        }
        Ok(())
    }
}

/// Lines, as they come in.
#[derive(Default)]
pub(super) struct Lines {
    ahead: Vec<u8>,
    at: usize,
    done: bool,
}

impl Lines {
    /// The next one, without its newline.
    pub(super) async fn next(&mut self, input: &mut k3s_arc_container::Input) -> std::io::Result<Option<Vec<u8>>> {
        self.next_with_end(input).await.map(|line| line.map(|(line, _)| line))
    }

    /// The next one, and whether a newline ends it.
    pub(super) async fn next_with_end(
        &mut self,
        input: &mut k3s_arc_container::Input,
    ) -> std::io::Result<Option<(Vec<u8>, bool)>> {
        let mut searched = self.at;
        loop {
            if let Some(end) = self.ahead[searched..].iter().position(|byte| *byte == b'\n') {
                let line = self.ahead[self.at..searched + end].to_vec();
                self.at = searched + end + 1;
                return Ok(Some((line, true)));
            }
            if self.done {
                let line = self.ahead[self.at..].to_vec();
                self.at = self.ahead.len();
                return Ok((!line.is_empty()).then_some((line, false)));
            }
            self.ahead.drain(..self.at);
            self.at = 0;
            searched = self.ahead.len();
            let mut buffer = [0; CHUNK];
            let read = input.read(&mut buffer).await?;
            k3s_arc_container::breathe().await;
            self.done = read == 0;
            self.ahead.extend_from_slice(&buffer[..read]);
        }
    }
}
