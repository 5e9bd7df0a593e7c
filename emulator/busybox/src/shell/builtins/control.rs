//! Where the shell goes next.

use super::super::parse::{KEYWORDS, SPECIAL};
use super::super::{Leave, Outcome, Shell};
use super::{exists, number, run};

pub(super) async fn source(shell: &mut Shell, args: &[String]) -> Outcome {
    let Some(file) = args.first() else { return Ok(0) };
    let mut candidates = vec![file.clone()];
    if !file.contains('/') {
        let path = shell.variables.get("PATH").unwrap_or_default();
        candidates.splice(..0, path.split(':').map(|directory| format!("{directory}/{file}")));
    }
    let view = shell.view();
    let found = candidates.into_iter().find_map(|path| view.files().read(view.path(&path)).ok());
    let Some(text) = found else {
        return Err(shell.fail(format!("can't open '{file}': No such file or directory")).await);
    };
    let text = String::from_utf8_lossy(&text).into_owned();
    let positional = (args.len() > 1).then(|| std::mem::replace(&mut shell.positional, args[1..].to_vec()));
    let place = shell.place.clone();
    (shell.place.builtin, shell.place.line, shell.place.script) = (None, 1, true);
    shell.calls += 1;
    let ended = shell.evaluate(&text).await;
    shell.calls -= 1;
    shell.place = place;
    if let Some(positional) = positional {
        shell.positional = positional;
    }
    match ended {
        Err(Leave::Return(status)) => Ok(status),
        ended => ended,
    }
}

pub(super) async fn leave_loops(shell: &mut Shell, name: &str, args: &[String]) -> Outcome {
    let count = match args.first() {
        Some(text) => number(shell, text).await?,
        None => 1,
    };
    if count == 0 {
        return Err(shell.fail("Illegal number: 0").await);
    }
    let count = count.min(shell.loops);
    match name {
        // There is no loop to leave.
        _ if count == 0 => Ok(0),
        "break" => Err(Leave::Break(count)),
        _ => Err(Leave::Continue(count)),
    }
}

pub(super) async fn exit(shell: &mut Shell, args: &[String]) -> Outcome {
    let status = match args.first() {
        Some(text) => i32::try_from(number(shell, text).await?).unwrap_or(0) & 0xff,
        None => shell.status,
    };
    Err(Leave::Exit(status))
}

pub(super) async fn end_call(shell: &mut Shell, args: &[String]) -> Outcome {
    let status = match args.first() {
        Some(text) => i32::try_from(number(shell, text).await?).unwrap_or(0),
        None => shell.status,
    };
    // Outside of functions it ends the script.
    Err(if shell.calls > 0 { Leave::Return(status) } else { Leave::Exit(status) })
}

/// `command`: not a function; `-v`: what it would be.
pub(super) async fn command(shell: &mut Shell, args: &[String]) -> Outcome {
    let (options, words) = super::letters(shell, "pvV", args).await?;
    if let Some((letter, _)) = options.iter().find(|(letter, _)| *letter != 'p') {
        let words = words[..words.len().min(1)].to_vec();
        return describe(shell, &words, *letter == 'V').await;
    }
    let Some(name) = words.first().cloned() else { return Ok(0) };
    if !exists(&name) {
        shell.place.builtin = None;
        return shell.program(words.to_vec()).await;
    }
    if name == "exec" {
        return Ok(0);
    }
    shell.place.builtin = Some(name.clone());
    match run(shell, &name, &words[1..]).await {
        Err(Leave::Error(status)) => Ok(status),
        ended => ended,
    }
}

/// `type`, and `command -v` and `-V`.
pub(super) async fn describe(shell: &mut Shell, names: &[String], wordy: bool) -> Outcome {
    let mut status = 0;
    for name in names {
        let path = shell.container.executable(name, &shell.cwd, shell.variables.get("PATH")).ok().map(|found| found.path);
        let (short, long) = match path {
            _ if KEYWORDS.contains(&name.as_str()) => (name.clone(), "a shell keyword".to_owned()),
            _ if shell.functions.contains_key(name) => (name.clone(), "a function".to_owned()),
            _ if SPECIAL.contains(&name.as_str()) => (name.clone(), "a special shell builtin".to_owned()),
            _ if exists(name) => (name.clone(), "a shell builtin".to_owned()),
            Some(path) => (path.clone(), path),
            None => {
                status = 127;
                if wordy {
                    shell.put(1, format!("{name}: not found\n")).await?;
                }
                continue;
            }
        };
        let text = if wordy { format!("{name} is {long}\n") } else { format!("{short}\n") };
        shell.put(1, text).await?;
    }
    Ok(status)
}
