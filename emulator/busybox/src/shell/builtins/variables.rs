//! Variables and positional parameters.

use super::super::parse::is_name;
use super::super::variables::ReadOnly;
use super::super::{Leave, Outcome, Shell};
use super::{letters, number};

/// `export` and `readonly`.
pub(super) async fn mark(shell: &mut Shell, name: &str, args: &[String]) -> Outcome {
    let (options, words) = letters(shell, if name == "export" { "pn" } else { "p" }, args).await?;
    if words.is_empty() {
        let marked =
            |variable: &super::super::variables::Variable| if name == "export" { variable.exported } else { variable.read_only };
        let lines: String = shell
            .variables
            .iter()
            .filter(|(_, variable)| marked(variable))
            .map(|(variable, found)| match &found.value {
                Some(value) => format!("{name} {variable}={}\n", super::options::quoted(value)),
                None => format!("{name} {variable}\n"),
            })
            .collect();
        return shell.put(1, lines).await;
    }
    for word in words {
        let (variable, value) = split(word);
        if !is_name(variable) {
            return Err(shell.fail(format!("{variable}: bad variable name")).await);
        }
        let marked = match name {
            "export" if options.iter().any(|(letter, _)| *letter == 'n') => {
                shell.variables.unexport(variable);
                Ok(())
            }
            "export" => shell.variables.export(variable, value),
            _ => shell.variables.make_read_only(variable, value),
        };
        if let Err(ReadOnly(variable)) = marked {
            return Err(shell.fail(format!("{variable}: is read only")).await);
        }
    }
    shell.account().await?;
    Ok(0)
}

fn split(word: &str) -> (&str, Option<String>) {
    word.split_once('=').map_or((word, None), |(name, value)| (name, Some(value.to_owned())))
}

pub(super) async fn local(shell: &mut Shell, args: &[String]) -> Outcome {
    for word in args {
        let (name, value) = split(word);
        if !is_name(name) {
            return Err(shell.fail(format!("{name}: bad variable name")).await);
        }
        if !shell.variables.shadow(name) {
            return Err(shell.fail("not in a function").await);
        }
        match value {
            Some(value) => shell.assign(name, value).await?,
            // What it was outside is back afterwards.
            None => drop(shell.variables.unset(name)),
        }
    }
    Ok(0)
}

pub(super) async fn shift(shell: &mut Shell, args: &[String]) -> Outcome {
    let count = match args.first() {
        Some(text) => number(shell, text).await? as usize,
        None => 1,
    };
    if count > shell.positional.len() {
        return Ok(1);
    }
    shell.positional.drain(..count);
    Ok(0)
}

pub(super) async fn unset(shell: &mut Shell, args: &[String]) -> Outcome {
    let (options, names) = letters(shell, "vf", args).await?;
    let functions = options.iter().any(|(letter, _)| *letter == 'f');
    for name in names {
        if functions {
            shell.functions.remove(name);
        } else if let Err(ReadOnly(name)) = shell.variables.unset(name) {
            return Err(shell.fail(format!("{name}: is read only")).await);
        }
    }
    Ok(0)
}

/// `let`: the last expression's truth.
pub(super) async fn evaluate(shell: &mut Shell, args: &[String]) -> Outcome {
    let mut value = 0;
    if args.is_empty() {
        return Err(shell.fail("expression expected").await);
    }
    for arg in args {
        value = shell.calculate(arg).await?;
    }
    Ok(i32::from(value == 0))
}

pub(super) async fn getopts(shell: &mut Shell, args: &[String]) -> Outcome {
    let [known, name, words @ ..] = args else {
        return Err(shell.fail("usage: getopts optstring var [arg]").await);
    };
    let words = if words.is_empty() { shell.positional.clone() } else { words.to_vec() };
    let mut index = shell.variables.get("OPTIND").and_then(|text| text.parse::<usize>().ok()).unwrap_or(1).max(1);
    let mut at = shell.getopts_at;
    let word = words.get(index - 1).cloned().unwrap_or_default();
    if at == 0 {
        if word == "--" {
            index += 1;
        }
        if !word.starts_with('-') || word == "-" || word == "--" {
            shell.assign("OPTIND", index.to_string()).await?;
            shell.assign(name, "?").await?;
            return Ok(1);
        }
        at = 1;
    }
    let letter = word[at..].chars().next().unwrap_or('?');
    at += letter.len_utf8();
    let mut rest = word.get(at..).unwrap_or_default().to_owned();
    let (silent, known) = known.strip_prefix(':').map_or((false, known.as_str()), |known| (true, known));
    let position = known.find(letter).filter(|_| letter != ':');
    let takes_value = position.is_some_and(|position| known[position + letter.len_utf8()..].starts_with(':'));
    let mut found = letter;
    let mut value = None;
    if position.is_none() {
        found = '?';
        if silent {
            value = Some(letter.to_string());
        } else {
            shell.print_error(&format!("Illegal option -{letter}\n")).await;
        }
    } else if takes_value {
        if rest.is_empty() {
            index += 1;
            match words.get(index - 1) {
                Some(next) => rest.clone_from(next),
                None if silent => (found, rest) = (':', letter.to_string()),
                None => {
                    shell.print_error(&format!("No arg for -{letter} option\n")).await;
                    found = '?';
                }
            }
        }
        value = Some(std::mem::take(&mut rest));
    }
    if rest.is_empty() {
        index += 1;
        at = 0;
    }
    store(shell, name, found, value, index).await?;
    shell.getopts_at = at;
    Ok(0)
}

async fn store(shell: &mut Shell, name: &str, found: char, value: Option<String>, index: usize) -> Result<(), Leave> {
    match value {
        Some(value) => shell.assign("OPTARG", value).await?,
        None => drop(shell.variables.unset("OPTARG")),
    }
    shell.assign(name, found.to_string()).await?;
    shell.assign("OPTIND", index.to_string()).await
}
