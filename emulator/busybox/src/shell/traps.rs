//! Signals, and what a script does about them.

use futures::FutureExt;

use super::parse::Parser;
use super::{Leave, Outcome, Shell};

/// The signals, by their numbers.
const NAMES: [&str; 32] = [
    "EXIT", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM", "TERM",
    "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH", "POLL", "PWR",
    "SYS",
];

/// A signal's number, by number or name, with or without `SIG`.
pub(crate) fn signal_number(text: &str) -> Option<i32> {
    if let Ok(number) = text.parse::<i32>() {
        return (0..64).contains(&number).then_some(number);
    }
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let aliased = match name {
        "IO" => "POLL",
        "IOT" => "ABRT",
        "CLD" => "CHLD",
        other => other,
    };
    NAMES.iter().position(|known| *known == aliased).and_then(|number| i32::try_from(number).ok())
}

/// A signal's name.
pub(crate) fn signal_name(number: i32) -> Option<&'static str> {
    usize::try_from(number).ok().and_then(|number| NAMES.get(number)).copied()
}

/// What a shell says of a process that a signal ended; nothing, of those that are sent all the time.
pub(super) fn signal_text(signal: i32) -> Option<&'static str> {
    Some(match signal {
        1 => "Hangup",
        3 => "Quit",
        6 => "Aborted",
        9 => "Killed",
        10 => "User defined signal 1",
        11 => "Segmentation fault",
        12 => "User defined signal 2",
        14 => "Alarm clock",
        15 => "Terminated",
        _ => return None,
    })
}

impl Shell {
    /// A signal was received: it waits for its trap, if it has one.
    pub(super) fn note(&mut self, signal: i32) {
        if self.traps.get(&signal).is_some_and(|action| !action.is_empty()) {
            self.caught.push_back(signal);
        }
    }

    /// Runs the traps of the signals that were caught.
    pub(super) async fn run_traps(&mut self) -> Result<(), Leave> {
        if self.traps.is_empty() {
            return Ok(());
        }
        while let Some(signal) = self.signals.next().now_or_never() {
            self.note(signal);
        }
        while let Some(signal) = self.caught.pop_front() {
            if let Some(action) = self.traps.get(&signal).cloned() {
                self.run_trap(&action).await?;
            }
        }
        Ok(())
    }

    /// Runs a trap's commands, which do not change the status.
    async fn run_trap(&mut self, action: &str) -> Result<(), Leave> {
        let status = self.status;
        let ended = self.evaluate(action).await;
        self.status = status;
        ended.map(drop)
    }

    /// Runs commands that are given as text, line by line.
    pub(super) fn evaluate<'a>(&'a mut self, text: &'a str) -> futures::future::BoxFuture<'a, Outcome> {
        async move {
            let mut parser = Parser::new(text, self.place.line);
            let mut status = 0;
            loop {
                match parser.next_line() {
                    Ok(Some(list)) if list.0.is_empty() || self.options.noexec => {}
                    Ok(Some(list)) => status = self.list(&list).await?,
                    Ok(None) => return Ok(status),
                    Err(fault) => {
                        self.place.line = parser.line;
                        return Err(self.fail(format!("syntax error: {}", fault.message)).await);
                    }
                }
            }
        }
        .boxed()
    }

    /// The exit code of a shell that ended so, after its last trap.
    pub(super) async fn finish(&mut self, ended: Outcome) -> i32 {
        let status = match ended {
            Ok(status) => status,
            Err(Leave::Gone(status)) => return status,
            Err(leave) => leave.status(),
        };
        self.status = status;
        let Some(action) = self.traps.remove(&0).filter(|action| !action.is_empty()) else { return status };
        match self.evaluate(&action).await {
            Err(Leave::Exit(status) | Leave::Gone(status) | Leave::Error(status)) => status,
            _ => status,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_numbers_and_names() {
        assert_eq!(signal_number("TERM"), Some(15));
        assert_eq!(signal_number("sigint"), Some(2));
        assert_eq!(signal_number("0"), Some(0));
        assert_eq!(signal_number("NOPE"), None);
        assert_eq!(signal_number("99"), None);
        assert_eq!(signal_name(9), Some("KILL"));
    }
}
