//! What the shell does itself.

mod control;
mod io;
mod jobs;
mod options;
mod place;
mod variables;

use std::future::ready;

use futures::FutureExt;
use futures::future::BoxFuture;

use super::{Leave, Outcome, Shell};

pub(super) use options::quoted_if_needed;

const NAMES: [&str; 43] = [
    ".", ":", "[", "[[", "alias", "break", "cd", "chdir", "command", "continue", "echo", "eval", "exec", "exit", "export",
    "false", "getopts", "hash", "jobs", "kill", "let", "local", "printf", "pwd", "read", "readonly", "return", "set", "shift",
    "sleep", "source", "test", "times", "trap", "true", "type", "ulimit", "umask", "unalias", "unset", "wait", "fg", "bg",
];

/// Whether there is such a builtin.
pub(super) fn exists(name: &str) -> bool {
    NAMES.contains(&name)
}

/// Runs one. Each is boxed: a shell that calls itself must not need the stack for all of them every time.
pub(super) fn run<'a>(shell: &'a mut Shell, name: &'a str, args: &'a [String]) -> BoxFuture<'a, Outcome> {
    match name {
        ":" | "true" | "hash" | "times" | "unalias" => ready(Ok(0)).boxed(),
        "false" => ready(Ok(1)).boxed(),
        "." | "source" => control::source(shell, args).boxed(),
        "break" | "continue" => control::leave_loops(shell, name, args).boxed(),
        "command" => control::command(shell, args).boxed(),
        "eval" => async move { shell.evaluate(&args.join(" ")).await }.boxed(),
        "exit" => control::exit(shell, args).boxed(),
        "return" => control::end_call(shell, args).boxed(),
        "type" => control::describe(shell, args, true).boxed(),
        "cd" | "chdir" => place::cd(shell, args).boxed(),
        "pwd" => place::pwd(shell, args).boxed(),
        "umask" => place::umask(shell, args).boxed(),
        "echo" => async move { shell.put(1, crate::echo::echo(args)).await }.boxed(),
        "printf" => io::printf(shell, args).boxed(),
        "read" => io::read(shell, args).boxed(),
        "test" | "[" | "[[" => io::test(shell, name, args).boxed(),
        "let" => variables::evaluate(shell, args).boxed(),
        "export" | "readonly" => variables::mark(shell, name, args).boxed(),
        "local" => variables::local(shell, args).boxed(),
        "shift" => variables::shift(shell, args).boxed(),
        "unset" => variables::unset(shell, args).boxed(),
        "getopts" => variables::getopts(shell, args).boxed(),
        "set" => options::set(shell, args).boxed(),
        "wait" => jobs::wait(shell, args).boxed(),
        "jobs" => jobs::jobs(shell).boxed(),
        "kill" => jobs::kill(shell, args).boxed(),
        "trap" => jobs::trap(shell, args).boxed(),
        "sleep" => jobs::sleep(shell, args).boxed(),
        "alias" if args.is_empty() => ready(Ok(0)).boxed(),
        "ulimit" if args.is_empty() => shell.put(1, "unlimited\n").boxed(),
        other => async move {
            shell.complain_as("sh", format!("{other}: not emulated")).await;
            Ok(1)
        }
        .boxed(),
    }
}

/// A number, or the end of the script.
async fn number(shell: &Shell, text: &str) -> Result<u32, Leave> {
    match text.parse() {
        Ok(number) => Ok(number),
        Err(_) => Err(shell.fail(format!("Illegal number: {text}")).await),
    }
}

/// The arguments behind single-letter options, of which there are these; letters with a `:` take a value.
async fn letters<'a>(shell: &Shell, known: &str, args: &'a [String]) -> Result<(Vec<(char, String)>, &'a [String]), Leave> {
    let mut found = Vec::new();
    let mut left = args;
    while let Some((first, rest)) = left.split_first() {
        let Some(text) = first.strip_prefix('-').filter(|text| !text.is_empty()) else { break };
        left = rest;
        if text == "-" {
            break;
        }
        let mut characters = text.chars();
        while let Some(letter) = characters.next() {
            let Some(at) = known.find(letter).filter(|_| letter != ':') else {
                return Err(shell.fail(format!("illegal option -{letter}")).await);
            };
            if known[at + 1..].starts_with(':') {
                let mut value = characters.as_str().to_owned();
                if value.is_empty() {
                    let Some((next, rest)) = left.split_first() else {
                        return Err(shell.fail(format!("no arg for -{letter} option")).await);
                    };
                    value.clone_from(next);
                    left = rest;
                }
                found.push((letter, value));
                break;
            }
            found.push((letter, String::new()));
        }
    }
    Ok((found, left))
}
