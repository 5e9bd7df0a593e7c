//! What the shell prints, reads and asks.

use std::time::Duration;

use super::super::{Outcome, Shell};
use crate::condition::{Asked, holds};
use crate::held::{Held, OutOfMemory};

pub(super) async fn printf(shell: &mut Shell, args: &[String]) -> Outcome {
    let args = if args.first().is_some_and(|arg| arg == "--") { &args[1..] } else { args };
    let Some((format, args)) = args.split_first() else {
        shell.complain_as("sh", "usage: printf FORMAT [ARGUMENT...]").await;
        return Ok(2);
    };
    let printed = crate::printf::printf(format, args);
    for complaint in &printed.complaints {
        shell.complain_as("sh", complaint).await;
    }
    let status = shell.put(1, printed.text).await?;
    Ok(status.max(printed.status))
}

pub(super) async fn test(shell: &mut Shell, name: &str, args: &[String]) -> Outcome {
    let closing = match name {
        "[" => "]",
        "[[" => "]]",
        _ => "",
    };
    let args = match args.split_last() {
        _ if closing.is_empty() => args,
        Some((last, args)) if last == closing => args,
        _ => {
            shell.complain_as("sh", format!("missing {closing}")).await;
            return Ok(2);
        }
    };
    let view = shell.view();
    let terminals: Vec<u32> = shell.fds.iter().filter(|(_, fd)| is_terminal(fd)).map(|(number, _)| *number).collect();
    let asked = Asked { view: &view, is_terminal: &|fd| terminals.contains(&fd), patterns: name == "[[" };
    match holds(args, &asked) {
        Ok(holds) => Ok(i32::from(!holds)),
        Err(fault) => {
            shell.complain_as("sh", fault).await;
            Ok(2)
        }
    }
}

fn is_terminal(fd: &super::super::Fd) -> bool {
    fd.sink.as_ref().is_some_and(k3s_arc_container::Output::is_terminal)
        || fd.source.as_ref().is_some_and(crate::streams::Source::is_terminal)
}

/// `read`: a line, split into variables.
pub(super) async fn read(shell: &mut Shell, args: &[String]) -> Outcome {
    let (options, names) = super::letters(shell, "rp:u:t:n:d:s", args).await?;
    let option = |wanted: char| options.iter().find(|(letter, _)| *letter == wanted).map(|(_, value)| value.as_str());
    let raw = option('r').is_some();
    let fd = match option('u') {
        Some(text) => super::number(shell, text).await?,
        None => 0,
    };
    let end = option('d').map_or(b'\n', |text| text.bytes().next().unwrap_or(0));
    let timeout = option('t').and_then(crate::duration::duration);
    if let Some(prompt) = option('p') {
        shell.print_error(prompt).await;
    }
    let Some(source) = shell.fds.get(&fd).and_then(|fd| fd.source.clone()) else { return Ok(1) };
    let (mut held, mut whole) = (Held::new(&shell.container.memory), Held::new(&shell.container.memory));
    let reading = async {
        let mut text = Vec::new();
        loop {
            let line = source.read_until(end, &mut held).await.unwrap_or_default();
            let ended = line.last() == Some(&end);
            text.extend_from_slice(&line);
            // With what is made of it, character by character.
            whole.cover(text.len() * (1 + size_of::<Character>())).await?;
            let continued = !raw && ended && text.iter().rev().skip(1).take_while(|byte| **byte == b'\\').count() % 2 == 1;
            if !continued {
                return Ok::<_, OutOfMemory>((text, ended));
            }
            text.truncate(text.len() - 2);
        }
    };
    let reading = shell.during(tokio::time::timeout(timeout.unwrap_or(Duration::from_secs(u64::from(u32::MAX))), reading));
    let Ok(read) = reading.await else { return Ok(1) };
    let Ok((mut text, ended)) = read else { return Err(shell.fail("out of memory").await) };
    if ended {
        text.pop();
    }
    let mut text: String = String::from_utf8_lossy(&text).replace('\0', "");
    if let Some(most) = option('n').and_then(|text| text.parse().ok()) {
        text = text.chars().take(most).collect();
    }
    assign(shell, &text, raw, names).await?;
    Ok(i32::from(!ended))
}

/// A character, and whether it was escaped, and so separates nothing.
type Character = (char, bool);

async fn assign(shell: &mut Shell, text: &str, raw: bool, names: &[String]) -> Result<(), super::Leave> {
    let mut characters: Vec<Character> = Vec::new();
    let mut left = text.chars();
    while let Some(character) = left.next() {
        match character {
            '\\' if !raw => characters.extend(left.next().map(|escaped| (escaped, true))),
            other => characters.push((other, false)),
        }
    }
    let whole = || characters.iter().map(|(character, _)| *character).collect::<String>();
    if names.is_empty() {
        return shell.assign("REPLY", whole()).await;
    }
    let separators = shell.variables.get("IFS").unwrap_or(" \t\n").to_owned();
    let fields = split(&characters, &separators, names.len());
    for (index, name) in names.iter().enumerate() {
        if !super::super::parse::is_name(name) {
            return Err(shell.fail(format!("{name}: bad variable name")).await);
        }
        shell.assign(name, fields.get(index).cloned().unwrap_or_default()).await?;
    }
    Ok(())
}

/// At most so many fields, the last of which has all that is left.
fn split(characters: &[Character], separators: &str, most: usize) -> Vec<String> {
    let separates = |(character, escaped): &Character| !escaped && separators.contains(*character);
    let blank = |one: &Character| separates(one) && one.0.is_ascii_whitespace();
    let skip_blanks = |at: &mut usize| {
        while characters.get(*at).is_some_and(blank) {
            *at += 1;
        }
    };
    let text = |from: usize, to: usize| characters[from..to].iter().map(|(character, _)| *character).collect::<String>();
    let mut fields = Vec::new();
    let mut at = 0;
    skip_blanks(&mut at);
    while at < characters.len() {
        let from = at;
        if fields.len() + 1 == most {
            let mut to = characters.len();
            while to > from && blank(&characters[to - 1]) {
                to -= 1;
            }
            // A single separator at the end ends this field.
            if to > from && separates(&characters[to - 1]) && !characters[from..to - 1].iter().any(separates) {
                to -= 1;
            }
            fields.push(text(from, to));
            break;
        }
        while at < characters.len() && !separates(&characters[at]) {
            at += 1;
        }
        fields.push(text(from, at));
        skip_blanks(&mut at);
        if characters.get(at).is_some_and(|one| separates(one) && !blank(one)) {
            at += 1;
            skip_blanks(&mut at);
        }
    }
    fields
}
