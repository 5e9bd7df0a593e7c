//! Commands that run commands, and tell of them.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k3s_arc_container::processes::Ended as How;
use k3s_arc_container::{Input, KILL, NotFound, Process, Program, Signals, TERMINATE};

use super::show::all_of;
use crate::applet::{Applet, Ended, Stop};
use crate::duration::duration;
use crate::inherited::with_umask;
use crate::shell::{signal_name, signal_number};
use crate::users::User;

impl Applet {
    /// A command's program, and a process for it; `signals` are those that it hears.
    fn command(
        &self,
        words: &[String],
        env: BTreeMap<String, String>,
        stdin: Input,
        signals: Signals,
    ) -> Result<(Arc<dyn Program>, Process), Stop> {
        let container = &self.view.container;
        let path = env.get("PATH").or_else(|| self.env.get("PATH")).cloned();
        let found = container.executable(&words[0], &self.view.cwd, path.as_deref()).map_err(|error| {
            let (status, why) = match error {
                NotFound::NotExecutable(_) | NotFound::Directory(_) => (126, "Permission denied"),
                NotFound::WrongFormat(_) => (126, "Exec format error"),
                NotFound::InPath(_) | NotFound::NoFile(_) => (127, "No such file or directory"),
            };
            let name = &words[0];
            match self.known.name {
                "xargs" => self.complain(format_args!("{name}: {why}")),
                _ => self.complain(format_args!("can't execute '{name}': {why}")),
            }
            Stop(status)
        })?;
        let mut args = words.to_vec();
        if !found.args.is_empty() {
            args.splice(..1, found.args);
        }
        let process = Process {
            args,
            env,
            cwd: self.view.cwd.clone(),
            stdin,
            stdout: self.stdout.clone(),
            stderr: self.stderr.clone(),
            signals,
            container: container.clone(),
        };
        Ok((found.program, process))
    }

    /// Runs a command as a child.
    async fn execute(&self, words: &[String], env: BTreeMap<String, String>, stdin: Input) -> Result<How, Stop> {
        let (program, process) = self.command(words, env, stdin, Signals::by_hand().1)?;
        let entry = self.view.container.processes.enter(self.view.pid, &process);
        Ok(with_umask(self.view.umask, entry.run(program.run(process))).await)
    }

    /// Becomes a command (`execve`): its number and its signals are those of this process.
    async fn become_command(&self, words: &[String], env: BTreeMap<String, String>) -> Ended {
        let (program, process) = self.command(words, env, self.stdin.input(), self.signals.clone())?;
        self.view.container.processes.rename(self.view.pid, &process.args);
        Ok(with_umask(self.view.umask, program.run(process)).await)
    }
}

pub(super) async fn env(mut applet: Applet) -> Ended {
    let (options, words) = applet.options("+i0u:", &[("ignore-environment", 'i'), ("unset", 'u')])?;
    let mut env =
        if options.has('i') || words.first().is_some_and(|word| word == "-") { BTreeMap::new() } else { applet.env.clone() };
    for name in options.values('u') {
        env.remove(name);
    }
    let words = if words.first().is_some_and(|word| word == "-") { &words[1..] } else { &words[..] };
    let assignments = words.iter().take_while(|word| word.contains('=')).count();
    for (name, value) in words[..assignments].iter().filter_map(|word| word.split_once('=')) {
        env.insert(name.to_owned(), value.to_owned());
    }
    if words.len() > assignments {
        return applet.become_command(&words[assignments..], env).await;
    }
    for (name, value) in env {
        applet.line(format!("{name}={value}")).await?;
    }
    applet.end(0).await
}

pub(super) async fn nohup(applet: Applet) -> Ended {
    let (_, words) = applet.options("+", &[])?;
    if words.is_empty() {
        return Err(applet.misused());
    }
    // SIGHUP
    applet.signals.catch(1);
    applet.become_command(&words, applet.env.clone()).await
}

pub(super) async fn timeout(applet: Applet) -> Ended {
    let (options, words) = applet.options("+s:k:", &[])?;
    let signal = match options.value('s') {
        None => TERMINATE,
        Some(name) => signal_number(name).ok_or_else(|| applet.fail(format_args!("bad signal name '{name}'")))?,
    };
    let [length, words @ ..] = words.as_slice() else { return Err(applet.misused()) };
    if words.is_empty() {
        return Err(applet.misused());
    }
    let parse = |text: &str| duration(text).ok_or_else(|| applet.fail(format_args!("invalid number '{text}'")));
    let length = parse(length)?;
    let patience = options.value('k').map(parse).transpose()?;
    // The command takes the place of this process; a child of it keeps the time.
    let watching = async {
        let processes = &applet.view.container.processes;
        crate::duration::sleep(length).await;
        processes.kill(applet.view.pid, signal);
        if let Some(patience) = patience {
            crate::duration::sleep(patience).await;
            processes.kill(applet.view.pid, KILL);
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        biased;
        ended = applet.become_command(words, applet.env.clone()) => ended,
        () = watching => Ok(0),
    }
}

pub(super) async fn time(applet: Applet) -> Ended {
    let (options, words) = applet.options("+pvf:o:a", &[])?;
    if words.is_empty() {
        return Err(applet.misused());
    }
    let began = Instant::now();
    let ended = applet.execute(&words, applet.env.clone(), applet.stdin.input()).await?;
    let taken = began.elapsed();
    let how = match ended {
        How::Exited(0) => String::new(),
        How::Exited(status) => format!("Command exited with non-zero status {status}\n"),
        How::Signalled(signal) => format!("Command terminated by signal {signal}\n"),
    };
    // CPU time is nobody's in particular here.
    let shown = |length: Duration| {
        let seconds = length.as_secs_f64();
        if options.has('p') { format!("{seconds:.2}") } else { format!("{}m {:.2}s", length.as_secs() / 60, seconds % 60.0) }
    };
    let gap = if options.has('p') { " " } else { "\t" };
    let none = Duration::ZERO;
    let text = format!("{how}real{gap}{}\nuser{gap}{}\nsys{gap}{}\n", shown(taken), shown(none), shown(none));
    let _ = applet.stderr.clone().write_all(text.as_bytes());
    Ok(ended.code())
}

pub(super) async fn xargs(applet: Applet) -> Ended {
    let (options, mut words) = applet.options("+prtxe:E:n:s:I:0P:", &[("null", '0'), ("no-run-if-empty", 'r')])?;
    if words.is_empty() {
        words.push("echo".to_owned());
    }
    let content = all_of(&applet, &mut applet.stdin.input()).await?;
    let text = String::from_utf8_lossy(&content).into_owned();
    let items: Vec<String> = match () {
        () if options.has('0') => text.split('\0').filter(|item| !item.is_empty()).map(str::to_owned).collect(),
        () if options.has('I') => text.lines().map(|line| line.trim_start().to_owned()).filter(|line| !line.is_empty()).collect(),
        () => split(&text).map_err(|()| applet.fail("unmatched quote"))?,
    };
    let most = options.value('n').map(|text| applet.number::<usize>(text)).transpose()?.unwrap_or(usize::MAX).max(1);
    let commands: Vec<Vec<String>> = if let Some(mark) = options.value('I') {
        items.iter().map(|item| words.iter().map(|word| word.replace(mark, item)).collect()).collect()
    } else if items.is_empty() {
        if options.has('r') { Vec::new() } else { vec![words.clone()] }
    } else {
        items.chunks(most.min(items.len())).map(|chunk| words.iter().chain(chunk).cloned().collect()).collect()
    };
    let mut status = 0;
    for command in commands {
        if options.has('t') {
            let _ = applet.stderr.clone().write_all(format!("{}\n", command.join(" ")).as_bytes());
        }
        match applet.execute(&command, applet.env.clone(), Input::empty()).await? {
            How::Exited(0) => {}
            How::Exited(255) => return Err(Stop(124)),
            How::Exited(_) => status = 123,
            How::Signalled(_) => return Err(Stop(125)),
        }
    }
    Ok(status)
}

/// Words, in which quotes and backslashes keep blanks.
fn split(text: &str) -> Result<Vec<String>, ()> {
    let mut items = Vec::new();
    let mut current: Option<String> = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match character {
            quote @ ('"' | '\'') => {
                let word = current.get_or_insert_default();
                loop {
                    match characters.next() {
                        Some(next) if next == quote => break,
                        None | Some('\n') => return Err(()),
                        Some(next) => word.push(next),
                    }
                }
            }
            '\\' => current.get_or_insert_default().extend(characters.next()),
            blank if blank.is_ascii_whitespace() => items.extend(current.take()),
            other => current.get_or_insert_default().push(other),
        }
    }
    items.extend(current);
    Ok(items)
}

pub(super) async fn ps(mut applet: Applet) -> Ended {
    let (options, _) = applet.options("o:TAefwxaul", &[])?;
    let listed = applet.view.container.processes.list();
    if let Some(columns) = options.value('o') {
        let columns: Vec<(String, String)> = columns
            .split(',')
            .map(|column| {
                let (name, header) = column.split_once('=').unwrap_or((column, ""));
                (
                    name.to_owned(),
                    if header.is_empty() { name.to_uppercase().replace("ARGS", "COMMAND") } else { header.to_owned() },
                )
            })
            .collect();
        applet.line(columns.iter().map(|(_, header)| header.as_str()).collect::<Vec<_>>().join(" ")).await?;
        for process in listed {
            let mut shown = Vec::new();
            for (name, _) in &columns {
                shown.push(match name.as_str() {
                    "pid" => process.pid.to_string(),
                    "ppid" => process.parent.to_string(),
                    "user" => name_of(&applet, process.uid),
                    "args" => process.args.join(" "),
                    "comm" => process.args.first().and_then(|arg| arg.rsplit('/').next()).unwrap_or_default().to_owned(),
                    other => return Err(applet.fail(format_args!("bad -o argument '{other}'"))),
                });
            }
            applet.line(shown.join(" ")).await?;
        }
        return applet.end(0).await;
    }
    applet.put("PID   USER     TIME  COMMAND\n").await?;
    for process in listed {
        let user = name_of(&applet, process.uid);
        applet.line(format!("{:5} {user:<8}  0:00 {}", process.pid, process.args.join(" "))).await?;
    }
    applet.end(0).await
}

fn name_of(applet: &Applet, uid: u32) -> String {
    User::numbered(&applet.view, uid).map_or(uid.to_string(), |user| user.name)
}

pub(super) async fn kill(mut applet: Applet) -> Ended {
    let killed = crate::kill::kill(&applet.view.container.processes, &applet.args);
    for complaint in &killed.complaints {
        applet.complain(complaint);
    }
    applet.put(&killed.text).await?;
    applet.end(killed.status).await
}

/// `pidof`, and `killall`.
pub(super) async fn by_name(mut applet: Applet) -> Ended {
    let kills = applet.known.name == "killall";
    let mut signal = TERMINATE;
    if kills && let Some(name) = applet.args.first().and_then(|arg| arg.strip_prefix('-')).map(str::to_owned) {
        applet.args.remove(0);
        if name != "q" {
            signal = signal_number(&name)
                .filter(|number| signal_name(*number).is_some())
                .ok_or_else(|| applet.fail(format_args!("bad signal name '{name}'")))?;
        }
    }
    let mut found = Vec::new();
    for name in &applet.args {
        let named = |process: &&k3s_arc_container::processes::Listed| {
            process.pid != applet.view.pid && process.args.first().and_then(|arg| arg.rsplit('/').next()) == Some(name)
        };
        let pids: Vec<u32> = applet.view.container.processes.list().iter().filter(named).map(|process| process.pid).collect();
        if kills && pids.is_empty() {
            applet.complain(format_args!("{name}: no process killed"));
        }
        found.extend(pids);
    }
    let status = i32::from(found.is_empty());
    if kills {
        for pid in found {
            applet.view.container.processes.kill(pid, signal);
        }
    } else if !found.is_empty() {
        let pids: Vec<String> = found.iter().rev().map(ToString::to_string).collect();
        applet.line(pids.join(" ")).await?;
    }
    applet.end(status).await
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn quotes_keep_blanks() {
        assert_eq!(split("a 'b c'\nd\\ e \"f\"g").unwrap(), ["a", "b c", "d e", "fg"]);
        assert_eq!(split(" \n"), Ok(vec![]));
        assert_eq!(split("'a"), Err(()));
    }
}
