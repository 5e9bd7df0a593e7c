//! Simple commands: assignments, and a function, a builtin or a program of the container.

use futures::FutureExt;
use k3s_arc_container::{NotFound, Signals, breathe};

use super::ast::{Redirect, Word};
use super::parse::SPECIAL;
use super::redirect::Saved;
use super::{Leave, Outcome, Shell, builtins};
use crate::inherited::with_umask;

impl Shell {
    pub(super) async fn simple(&mut self, assignments: &[(String, Word)], words: &[Word], redirects: &[Redirect]) -> Outcome {
        // A loop of builtins must let others run, too.
        breathe().await;
        self.substituted = None;
        let args = self.words(words).boxed().await?;
        let mut saved = Saved::new();
        let special = args.first().is_none_or(|name| SPECIAL.contains(&name.as_str()));
        let redirected = if redirects.is_empty() { Ok(()) } else { self.redirect(redirects, &mut saved).boxed().await };
        let ended = match redirected {
            Err(Leave::Error(status)) if !special || args.is_empty() => Ok(status),
            // The script ends with a special builtin that fails.
            Err(leave) => Err(leave),
            Ok(()) if args.is_empty() => self.only_assign(assignments).boxed().await,
            Ok(()) => self.assign_and_run(assignments, args, &mut saved).boxed().await,
        };
        self.restore(saved);
        ended
    }

    async fn only_assign(&mut self, assignments: &[(String, Word)]) -> Outcome {
        for (name, word) in assignments {
            let value = self.value(word).await?;
            if self.options.xtrace {
                self.trace(&[format!("{name}={value}")]).await;
            }
            self.assign(name, value).await?;
        }
        Ok(self.substituted.unwrap_or(0))
    }

    async fn assign_and_run(&mut self, assignments: &[(String, Word)], args: Vec<String>, saved: &mut Saved) -> Outcome {
        let name = args[0].clone();
        let stays = SPECIAL.contains(&name.as_str()) && !self.functions.contains_key(&name);
        let before = self.variables.save(assignments.iter().map(|(name, _)| name.as_str()));
        let mut traced = Vec::new();
        for (name, word) in assignments {
            let value = self.value(word).await?;
            if self.options.xtrace {
                traced.push(format!("{name}={value}"));
            }
            self.assign(name, value).await?;
            if !stays && let Err(read_only) = self.variables.export(name, None) {
                return Err(self.fail(format!("{}: is read only", read_only.0)).await);
            }
        }
        if self.options.xtrace {
            traced.extend(args.iter().cloned());
            self.trace(&traced).await;
        }
        let ended = self.run(args, saved).boxed().await;
        if !stays {
            self.variables.restore(before);
        }
        ended
    }

    /// Prints a command before it is run (`set -x`).
    async fn trace(&mut self, words: &[String]) {
        let prefix = self.variables.get("PS4").unwrap_or("+ ").to_owned();
        let words: Vec<_> = words.iter().map(|word| builtins::quoted_if_needed(word)).collect();
        self.print_error(&format!("{prefix}{}\n", words.join(" "))).await;
    }

    async fn run(&mut self, args: Vec<String>, saved: &mut Saved) -> Outcome {
        let name = args[0].as_str();
        if name == "exec" {
            return self.exec(args, saved).boxed().await;
        }
        if let Some(body) = self.functions.get(name).cloned() {
            return self.call(&body, args).boxed().await;
        }
        if builtins::exists(name) {
            return self.builtin(args).boxed().await;
        }
        self.program(args).boxed().await
    }

    async fn call(&mut self, body: &super::ast::Command, args: Vec<String>) -> Outcome {
        let positional = std::mem::replace(&mut self.positional, args[1..].to_vec());
        self.variables.enter();
        self.calls += 1;
        let ended = self.command(body).await;
        self.calls -= 1;
        self.variables.leave();
        self.positional = positional;
        match ended {
            Err(Leave::Return(status)) => Ok(status),
            ended => ended,
        }
    }

    /// Runs a builtin. What goes wrong in one that is not special does not end the script.
    pub(super) async fn builtin(&mut self, args: Vec<String>) -> Outcome {
        let name = args[0].clone();
        let special = SPECIAL.contains(&name.as_str());
        let before = self.place.builtin.replace(name.clone());
        let ended = builtins::run(self, &name, &args[1..]).await;
        self.place.builtin = before;
        match ended {
            Err(Leave::Error(status)) if !special => Ok(status),
            ended => ended,
        }
    }

    /// Runs a program as a child.
    pub(super) async fn program(&mut self, args: Vec<String>) -> Outcome {
        let (_, signals) = Signals::by_hand();
        for (signal, action) in &self.traps {
            if action.is_empty() {
                signals.catch(*signal);
            }
        }
        let (program, process) = match self.executable(args, signals).await {
            Ok(found) => found,
            Err(ended) => return ended,
        };
        let entry = self.container.processes.enter(self.own_pid, &process);
        let running = with_umask(self.umask, entry.run(program.run(process)));
        let ended = self.during(running).await;
        self.tell(ended).await;
        Ok(ended.code())
    }

    /// The program that a command is, and a process for it; or how the command ends without one.
    async fn executable(
        &mut self,
        mut args: Vec<String>,
        signals: Signals,
    ) -> Result<(std::sync::Arc<dyn k3s_arc_container::Program>, k3s_arc_container::Process), Outcome> {
        let command = args[0].clone();
        let found = self.container.executable(&command, &self.cwd, Some(self.variables.get("PATH").unwrap_or_default()));
        let (status, why) = match found {
            Ok(found) => {
                let args = found.command(args);
                return Ok((found.program, self.child(args, signals)));
            }
            Err(NotFound::WrongFormat(path)) => {
                // What is not binary is taken for a script.
                let text = self.container.files.read(self.cwd.join(&path)).unwrap_or_default();
                let shell = self.container.executable("sh", &self.cwd, None);
                if let (false, Ok(shell)) = (text.iter().take(256).any(|byte| *byte == 0), shell) {
                    args.splice(..1, ["sh".to_owned(), path]);
                    return Ok((shell.program, self.child(args, signals)));
                }
                (126, "Exec format error")
            }
            _ if command.is_empty() => (127, "Permission denied"),
            Err(NotFound::NotExecutable(_) | NotFound::Directory(_)) => (126, "Permission denied"),
            Err(NotFound::NoFile(_) | NotFound::InPath(_)) => (127, "not found"),
        };
        self.complain(format!("{command}: {why}")).await;
        Err(Ok(status))
    }

    /// `exec`: redirections that stay, or a program in place of this shell.
    async fn exec(&mut self, args: Vec<String>, saved: &mut Saved) -> Outcome {
        let words = &args[1..];
        let words = if words.first().is_some_and(|word| word == "--") { &words[1..] } else { words };
        saved.clear();
        if words.is_empty() {
            return Ok(0);
        }
        let signals = self.signals.clone();
        let before = self.place.builtin.replace("exec".to_owned());
        let found = self.executable(words.to_vec(), signals).await;
        self.place.builtin = before;
        let (program, process) = match found {
            Ok(found) => found,
            Err(Ok(status)) => return Err(Leave::Exit(status)),
            Err(ended) => return ended,
        };
        for (signal, action) in &self.traps {
            if !action.is_empty() {
                self.signals.release(*signal);
            }
        }
        self.container.processes.rename(self.own_pid, &process.args);
        // Its ends of pipes are the new program's alone.
        self.fds.clear();
        Err(Leave::Gone(with_umask(self.umask, program.run(process)).await))
    }
}
