//! What the shell does itself.

mod control;
mod io;
mod jobs;
mod options;
mod place;
mod variables;

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

pub(super) async fn run(shell: &mut Shell, name: &str, args: &[String]) -> Outcome {
    match name {
        ":" | "true" | "hash" | "times" | "unalias" => Ok(0),
        "false" => Ok(1),
        "." | "source" => control::source(shell, args).await,
        "break" | "continue" => control::leave_loops(shell, name, args).await,
        "command" => control::command(shell, args).await,
        "eval" => {
            let text = args.join(" ");
            shell.evaluate(&text).await
        }
        "exit" => control::exit(shell, args).await,
        "return" => control::end_call(shell, args).await,
        "type" => control::describe(shell, args, true).await,
        "cd" | "chdir" => place::cd(shell, args).await,
        "pwd" => place::pwd(shell, args).await,
        "umask" => place::umask(shell, args).await,
        "echo" => {
            let text = crate::echo::echo(args);
            shell.put(1, text).await
        }
        "printf" => io::printf(shell, args).await,
        "read" => io::read(shell, args).await,
        "test" | "[" | "[[" => io::test(shell, name, args).await,
        "let" => variables::evaluate(shell, args).await,
        "export" | "readonly" => variables::mark(shell, name, args).await,
        "local" => variables::local(shell, args).await,
        "shift" => variables::shift(shell, args).await,
        "unset" => variables::unset(shell, args).await,
        "getopts" => variables::getopts(shell, args).await,
        "set" => options::set(shell, args).await,
        "wait" => jobs::wait(shell, args).await,
        "jobs" => jobs::jobs(shell).await,
        "kill" => jobs::kill(shell, args).await,
        "trap" => jobs::trap(shell, args).await,
        "sleep" => jobs::sleep(shell, args).await,
        "alias" if args.is_empty() => Ok(0),
        "ulimit" if args.is_empty() => shell.put(1, "unlimited\n").await,
        other => {
            shell.complain_as("sh", format!("{other}: not emulated")).await;
            Ok(1)
        }
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
