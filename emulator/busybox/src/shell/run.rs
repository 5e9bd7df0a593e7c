//! From a process to a shell: its command line, where its script comes from, and how it ends.

use std::collections::{BTreeMap, VecDeque};

use k3s_arc_container::Process;

use super::parse::Parser;
use super::variables::Variables;
use super::{Fd, Leave, Options, Outcome, Shell, Where};
use crate::held::Held;
use crate::reason::reason;
use crate::streams::Source;

/// Where commands are looked for unless the environment says so.
const PATH: &str = "/sbin:/usr/sbin:/bin:/usr/bin";

/// `sh`.
pub(crate) async fn sh(process: Process) -> i32 {
    let args = process.args.clone();
    let mut shell = Shell::new(process);
    let ended = shell.run_as(&args).await;
    shell.finish(ended).await
}

/// What the command line says.
struct Line {
    options: Options,
    operands: Vec<String>,
}

fn parse(args: &[String]) -> Result<Line, String> {
    let mut options = Options::default();
    let mut left = args.iter();
    let mut operands = Vec::new();
    while let Some(arg) = left.next() {
        let (on, letters) = match (arg.strip_prefix('-'), arg.strip_prefix('+')) {
            (Some("" | "-"), _) => break,
            (Some(letters), _) => (true, letters),
            (_, Some(letters)) if !letters.is_empty() => (false, letters),
            _ => {
                operands.push(arg.clone());
                break;
            }
        };
        for letter in letters.chars() {
            match letter {
                'o' => match left.next() {
                    Some(name) if options.set_name(name, on) => {}
                    Some(name) => return Err(format!("illegal option {}o {name}", if on { '-' } else { '+' })),
                    None => {}
                },
                // A login shell reads profiles, of which there are none.
                'l' => {}
                _ if options.set_letter(letter, on) => {}
                _ => return Err(format!("illegal option -{letter}")),
            }
        }
    }
    operands.extend(left.cloned());
    if options.command && operands.is_empty() {
        return Err("-c requires an argument".to_owned());
    }
    Ok(Line { options, operands })
}

impl Shell {
    fn new(process: Process) -> Self {
        let container = process.container;
        let own_pid = container.processes.pid_of(&process.signals).unwrap_or(1);
        let parent =
            container.processes.list().into_iter().find(|listed| listed.pid == own_pid).map_or(0, |listed| listed.parent);
        let input = Fd { source: Some(Source::stream(process.stdin)), sink: None };
        let output = |sink| Fd { source: None, sink: Some(sink) };
        let mut variables = Variables::from_environment(&process.env);
        let level = process.env.get("SHLVL").and_then(|level| level.parse::<i64>().ok()).unwrap_or(0);
        let cwd = process.cwd.display().to_string();
        let parent_text = parent.to_string();
        let next_level = level.saturating_add(1).to_string();
        for (name, value) in [
            ("IFS", " \t\n"),
            ("OPTIND", "1"),
            ("PPID", &parent_text),
            ("PS1", "\\w \\$ "),
            ("PS2", "> "),
            ("PS4", "+ "),
            ("PWD", &cwd),
        ] {
            // Nothing is read-only yet.
            let _ = variables.set(name, value);
        }
        let _ = variables.export("SHLVL", Some(next_level));
        let _ = variables.export("PWD", None);
        if variables.get("PATH").is_none() {
            let _ = variables.set("PATH", PATH);
        }
        Self {
            name: process.args.first().cloned().unwrap_or_else(|| "sh".to_owned()),
            positional: Vec::new(),
            variables,
            functions: BTreeMap::new(),
            options: Options::default(),
            fds: BTreeMap::from([(0, input), (1, output(process.stdout)), (2, output(process.stderr))]),
            cwd: process.cwd,
            umask: crate::inherited::umask(),
            pid: own_pid,
            own_pid,
            parent,
            signals: process.signals,
            traps: BTreeMap::new(),
            caught: VecDeque::new(),
            jobs: Vec::new(),
            last_background: None,
            status: 0,
            substituted: None,
            place: Where::default(),
            tested: 0,
            loops: 0,
            calls: 0,
            depth: 0,
            getopts_at: 0,
            held: Held::new(&container.memory),
            family: std::sync::Arc::default(),
            container,
        }
    }

    async fn run_as(&mut self, args: &[String]) -> Outcome {
        let line = match parse(args.get(1..).unwrap_or_default()) {
            Ok(line) => line,
            Err(fault) => {
                self.complain(fault).await;
                return Ok(2);
            }
        };
        self.options = line.options;
        let mut operands = line.operands.into_iter();
        if self.options.command {
            let script = operands.next().unwrap_or_default();
            if let Some(name) = operands.next() {
                self.name = name;
            }
            self.positional = operands.collect();
            return self.evaluate(&script).await;
        }
        if !self.options.stdin
            && let Some(file) = operands.next()
        {
            self.positional = operands.collect();
            return self.run_file(file).await;
        }
        self.positional = operands.collect();
        self.options.stdin = true;
        self.options.interactive |= self.fds.get(&0).and_then(|fd| fd.source.as_ref()).is_some_and(Source::is_terminal);
        self.run_input().await
    }

    async fn run_file(&mut self, file: String) -> Outcome {
        let view = self.view();
        match view.files().read(view.path(&file)) {
            Ok(text) => {
                self.name = file;
                self.place.script = true;
                self.place.line = 1;
                self.evaluate(&String::from_utf8_lossy(&text)).await
            }
            Err(error) => {
                self.complain(format!("can't open '{file}': {}", reason(&error))).await;
                Ok(2)
            }
        }
    }

    /// Runs what is typed, or piped in: line by line, though what is piped in is read in blocks, as the real one does it.
    async fn run_input(&mut self) -> Outcome {
        let (mut status, mut line, mut at_end) = (0, 1, false);
        let mut text = Vec::new();
        let mut asked = false;
        loop {
            let whole = std::str::from_utf8(&text).is_ok() && text.contains(&b'\n');
            let mut parsed = None;
            if whole || (at_end && !text.is_empty()) {
                let readable = String::from_utf8_lossy(&text).into_owned();
                let mut parser = Parser::new(&readable, line);
                let commands = parser.next_line();
                let unfinished =
                    parser.here_unfinished || commands.as_ref().is_err_and(|fault| fault.unfinished) || parser.at == 0;
                if !unfinished || at_end {
                    line = parser.line;
                    text = parser.text[parser.at..].iter().collect::<String>().into_bytes();
                    parsed = Some(commands);
                }
            }
            let Some(commands) = parsed else {
                if at_end {
                    return Ok(status);
                }
                if self.options.interactive {
                    let prompt = self.prompt(if asked { "PS2" } else { "PS1" });
                    self.print_error(&prompt).await;
                }
                asked = true;
                let Some(source) = self.fds.get(&0).and_then(|fd| fd.source.clone()) else { return Ok(status) };
                let block = self.during(source.read_block()).await.unwrap_or_default();
                self.run_traps().await?;
                at_end = block.is_empty();
                text.extend(block);
                continue;
            };
            asked = false;
            let ended = match commands {
                Ok(Some(list)) => self.list(&list).await,
                Ok(None) => Ok(status),
                Err(fault) => Err(self.fail(format!("syntax error: {}", fault.message)).await),
            };
            match ended {
                Ok(done) => status = done,
                Err(Leave::Error(failed)) if self.options.interactive => {
                    status = failed;
                    // The rest of the line is not run.
                    text.clear();
                }
                Err(leave) => return Err(leave),
            }
            self.status = status;
        }
    }

    fn prompt(&self, name: &str) -> String {
        let cwd = self.cwd.display().to_string();
        let home = self.variables.get("HOME").filter(|home| home.len() > 1);
        let shown = match home.and_then(|home| cwd.strip_prefix(home)) {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => format!("~{rest}"),
            _ => cwd,
        };
        let mark = if self.container.files.user().uid == 0 { "#" } else { "$" };
        let text = self.variables.get(name).unwrap_or("");
        text.replace("\\w", &shown).replace("\\$", mark).replace("\\h", &self.container.hostname)
    }
}
