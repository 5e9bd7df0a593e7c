//! Other processes.

use super::super::traps::{signal_name, signal_number};
use super::super::{Outcome, Shell};
use crate::duration::duration;

pub(super) async fn wait(shell: &mut Shell, args: &[String]) -> Outcome {
    if args.is_empty() {
        while let Some(job) = shell.jobs.first().cloned() {
            match shell.wait_for(&job).await {
                Ok(_) => drop(shell.jobs.remove(0)),
                Err(interrupted) => return Ok(interrupted),
            }
        }
        return Ok(0);
    }
    let mut status = 0;
    for arg in args {
        let Some(pid) = shell.job_number(arg) else {
            return Err(shell.fail(format!("Illegal number: {arg}")).await);
        };
        let Some(at) = shell.jobs.iter().position(|job| job.pid == pid) else {
            status = 127;
            continue;
        };
        let job = shell.jobs[at].clone();
        match shell.wait_for(&job).await {
            Ok(ended) => {
                shell.tell(ended).await;
                status = ended.code();
                shell.jobs.remove(at);
            }
            Err(interrupted) => return Ok(interrupted),
        }
    }
    Ok(status)
}

impl Shell {
    /// The process that `%1` or a number means.
    fn job_number(&self, text: &str) -> Option<u32> {
        match text.strip_prefix('%') {
            Some("" | "%" | "+") => self.jobs.last().map(|job| job.pid),
            Some(number) => Some(self.jobs.get(number.parse::<usize>().ok()?.checked_sub(1)?)?.pid),
            None => text.parse().ok(),
        }
    }
}

pub(super) async fn jobs(shell: &mut Shell) -> Outcome {
    let count = shell.jobs.len();
    let mark = |index: usize| match count - index {
        1 => '+',
        2 => '-',
        _ => ' ',
    };
    let lines: String = shell
        .jobs
        .iter()
        .enumerate()
        .map(|(index, job)| {
            let state = if job.is_running() { "Running" } else { "Done" };
            format!("[{}]{} {state:<27}\n", index + 1, mark(index))
        })
        .collect();
    shell.put(1, lines).await
}

pub(super) async fn kill(shell: &mut Shell, args: &[String]) -> Outcome {
    let pids: Vec<String> =
        args.iter()
            .map(|arg| {
                if arg.starts_with('%') { shell.job_number(arg).map_or(arg.clone(), |pid| pid.to_string()) } else { arg.clone() }
            })
            .collect();
    let killed = crate::kill::kill(&shell.container.processes, &pids);
    for complaint in &killed.complaints {
        shell.complain_as("sh", complaint).await;
    }
    shell.put(1, killed.text).await?;
    // What was sent to this very shell is acted on before the next command.
    tokio::task::yield_now().await;
    Ok(killed.status)
}

pub(super) async fn trap(shell: &mut Shell, args: &[String]) -> Outcome {
    let args = if args.first().is_some_and(|arg| arg == "--") { &args[1..] } else { args };
    let Some((first, rest)) = args.split_first() else {
        let lines: String = shell
            .traps
            .iter()
            .map(|(signal, action)| {
                format!("trap -- {} {}\n", super::options::quoted(action), signal_name(*signal).unwrap_or("?"))
            })
            .collect();
        return shell.put(1, lines).await;
    };
    // Without an action, or with a number for one, signals get their defaults back.
    let (action, signals) = if rest.is_empty() || first.parse::<u32>().is_ok() { (None, args) } else { (Some(first), rest) };
    let action = action.filter(|action| *action != "-");
    let mut status = 0;
    for name in signals {
        let Some(signal) = signal_number(name) else {
            shell.complain(format!("{name}: invalid signal specification")).await;
            status = 1;
            continue;
        };
        match action {
            Some(action) => {
                shell.traps.insert(signal, action.clone());
                shell.signals.catch(signal);
            }
            None => {
                shell.traps.remove(&signal);
                shell.signals.release(signal);
            }
        }
    }
    Ok(status)
}

/// `sleep`, which a signal with a trap ends early.
pub(super) async fn sleep(shell: &mut Shell, args: &[String]) -> Outcome {
    if args.is_empty() {
        shell.complain_as("sh", "sleep: missing operand").await;
        return Ok(1);
    }
    let mut length = std::time::Duration::ZERO;
    for arg in args {
        let Some(more) = duration(arg) else {
            // The real one forgets that it is not alone here.
            shell.complain_as("sh", format!("invalid number '{arg}'")).await;
            return Err(super::Leave::Exit(1));
        };
        length = length.saturating_add(more);
    }
    let asleep = crate::duration::sleep(length);
    if shell.traps.is_empty() {
        asleep.await;
        return Ok(0);
    }
    let mut asleep = std::pin::pin!(asleep);
    while shell.caught.is_empty() {
        tokio::select! {
            biased;
            signal = shell.signals.next() => shell.note(signal),
            () = &mut asleep => break,
        }
    }
    Ok(0)
}
