//! Commands, from lists down to loops. Simple commands have a file of their own.

use std::future::Future;

use futures::FutureExt;
use futures::future::{BoxFuture, join_all};
use k3s_arc_container::Output;

use super::ast::{AndOr, Command, Connector, Item, Kind, List, Pipeline};
use super::{Fd, Leave, Outcome, Shell};
use crate::deep::Deep;
use crate::streams::Source;

/// Commands within commands, calls within calls. The real shell uses up its stack at some point, and crashes.
const DEEPEST: u32 = 2000;

impl Shell {
    /// Runs commands to the end; the status is that of the last.
    pub(super) fn list<'a>(&'a mut self, list: &'a List) -> Deep<'a, Outcome> {
        Deep::new(async move {
            let mut status = 0;
            for Item { what, background } in &list.0 {
                if self.options.noexec {
                    break;
                }
                status = if *background { self.start(what.clone()).await? } else { self.and_or(what).await? };
                self.status = status;
            }
            Ok(status)
        })
    }

    pub(super) fn and_or<'a>(&'a mut self, what: &'a AndOr) -> BoxFuture<'a, Outcome> {
        self.and_or_now(what).boxed()
    }

    async fn and_or_now(&mut self, what: &AndOr) -> Outcome {
        let mut status = 0;
        for index in 0..=what.rest.len() {
            let (connector, pipeline) = match index.checked_sub(1).and_then(|index| what.rest.get(index)) {
                Some((connector, pipeline)) => (Some(*connector), pipeline),
                None => (None, &what.first),
            };
            let skipped = match connector {
                Some(Connector::And) => status != 0,
                Some(Connector::Or) => status == 0,
                None => false,
            };
            if skipped {
                continue;
            }
            let last = index == what.rest.len();
            let tested = pipeline.negated || !last;
            self.tested += u32::from(tested);
            let ended = self.pipeline(pipeline).await;
            self.tested -= u32::from(tested);
            status = ended?;
            self.status = status;
            if self.options.errexit && status != 0 && !tested && self.tested == 0 {
                return Err(Leave::Exit(status));
            }
            self.run_traps().await?;
        }
        Ok(status)
    }

    async fn pipeline(&mut self, pipeline: &Pipeline) -> Outcome {
        let status = match pipeline.commands.as_slice() {
            [command] => self.command(command).await?,
            commands => self.pipe(commands).boxed().await?,
        };
        Ok(if pipeline.negated { i32::from(status == 0) } else { status })
    }

    /// Runs commands side by side, each in a shell of its own, the output of one being the input of the next.
    async fn pipe(&mut self, commands: &[Command]) -> Outcome {
        let mut stages = Vec::new();
        let mut input = None;
        for (index, command) in commands.iter().enumerate() {
            let mut stage = self.try_fork().await?;
            if let Some(input) = input.take() {
                stage.fds.insert(0, input);
            }
            if index + 1 < commands.len() {
                let (writer, reader) = Output::pipe();
                stage.fds.insert(1, Fd { source: None, sink: Some(writer) });
                input = Some(Fd { source: Some(Source::stream(reader)), sink: None });
            }
            stages.push(async move {
                let ended = stage.command(command).await;
                // What it had open is closed with it, which its neighbours learn by that.
                stage.finish(ended).await
            });
        }
        let statuses = self.during(join_all(stages)).await;
        let last = statuses.last().copied().unwrap_or(0);
        Ok(if self.options.pipefail { statuses.into_iter().rev().find(|status| *status != 0).unwrap_or(0) } else { last })
    }

    /// Runs what takes its time, and remembers the signals that are caught meanwhile.
    pub(super) async fn during<T>(&mut self, what: impl Future<Output = T>) -> T {
        if self.traps.is_empty() {
            return what.await;
        }
        let mut what = std::pin::pin!(what);
        loop {
            tokio::select! {
                biased;
                signal = self.signals.next() => self.note(signal),
                done = &mut what => return done,
            }
        }
    }

    pub(super) fn command<'a>(&'a mut self, command: &'a Command) -> BoxFuture<'a, Outcome> {
        async move {
            if self.depth >= DEEPEST {
                // SIGSEGV
                return Err(Leave::Gone(128 + 11));
            }
            self.place.line = command.line;
            self.depth += 1;
            let ended = match &command.kind {
                Kind::Simple { assignments, words } => self.simple(assignments, words, &command.redirects).boxed().await,
                Kind::Function { name, body } => {
                    self.functions.insert(name.clone(), body.clone());
                    Ok(0)
                }
                compound if command.redirects.is_empty() => self.compound(compound).boxed().await,
                compound => self.redirected(compound, command).boxed().await,
            };
            self.depth -= 1;
            ended
        }
        .boxed()
    }

    async fn redirected(&mut self, compound: &Kind, command: &Command) -> Outcome {
        let mut saved = Vec::new();
        let ended = match self.redirect(&command.redirects, &mut saved).await {
            Ok(()) => self.compound(compound).boxed().await,
            Err(Leave::Error(_)) => Ok(1),
            Err(leave) => Err(leave),
        };
        self.restore(saved);
        ended
    }

    async fn compound(&mut self, kind: &Kind) -> Outcome {
        match kind {
            Kind::Group(list) => self.list(list).await,
            Kind::Subshell(list) => {
                let mut child = self.try_fork().await?;
                let ended = async move {
                    let ended = child.list(list).await;
                    child.finish(ended).await
                };
                Ok(self.during(ended).await)
            }
            Kind::If { branches, otherwise } => {
                for (condition, then) in branches {
                    if self.holds(condition).await? {
                        return self.list(then).await;
                    }
                }
                match otherwise {
                    Some(list) => self.list(list).await,
                    None => Ok(0),
                }
            }
            Kind::Loop { until, condition, body } => self.repeat(*until, condition, body).boxed().await,
            Kind::For { name, words, body } => {
                let words = match words {
                    Some(words) => self.words(words).await?,
                    None => self.positional.clone(),
                };
                self.for_each(name, words, body).boxed().await
            }
            Kind::Case { word, arms } => {
                let value: Vec<char> = self.single(word).await?.chars().collect();
                for arm in arms {
                    for pattern in &arm.patterns {
                        let pattern: Vec<char> = self.pattern(pattern).await?.chars().collect();
                        if super::matches(&pattern, &value) {
                            return self.list(&arm.body).await;
                        }
                    }
                }
                Ok(0)
            }
            Kind::Simple { .. } | Kind::Function { .. } => Ok(0),
        }
    }

    /// Whether a condition holds.
    async fn holds(&mut self, condition: &List) -> Result<bool, Leave> {
        self.tested += 1;
        let ended = self.list(condition).await;
        self.tested -= 1;
        Ok(ended? == 0)
    }

    /// What is to be done after the body of a loop ended so: its status, or none to leave the loop with that.
    fn after_body(ended: Outcome, status: &mut i32) -> Result<bool, Leave> {
        match ended {
            Ok(done) => *status = done,
            Err(Leave::Break(1)) => {
                *status = 0;
                return Ok(false);
            }
            Err(Leave::Continue(1)) => *status = 0,
            Err(Leave::Break(more)) => return Err(Leave::Break(more - 1)),
            Err(Leave::Continue(more)) => return Err(Leave::Continue(more - 1)),
            Err(leave) => return Err(leave),
        }
        Ok(true)
    }

    async fn repeat(&mut self, until: bool, condition: &List, body: &List) -> Outcome {
        let mut status = 0;
        self.loops += 1;
        let ended = loop {
            match self.holds(condition).await {
                Ok(holds) if holds == until => break Ok(status),
                Ok(_) => {}
                Err(leave) => match Self::after_body(Err(leave), &mut status) {
                    Ok(true) => continue,
                    Ok(false) => break Ok(status),
                    Err(leave) => break Err(leave),
                },
            }
            let ended = self.list(body).await;
            match Self::after_body(ended, &mut status) {
                Ok(true) => {}
                Ok(false) => break Ok(status),
                Err(leave) => break Err(leave),
            }
        };
        self.loops -= 1;
        ended
    }

    async fn for_each(&mut self, name: &str, words: Vec<String>, body: &List) -> Outcome {
        let mut status = 0;
        self.loops += 1;
        let mut ended = Ok(());
        for word in words {
            let done = match self.assign(name, word).await {
                Ok(()) => self.list(body).await,
                Err(leave) => Err(leave),
            };
            match Self::after_body(done, &mut status) {
                Ok(true) => {}
                Ok(false) => break,
                Err(leave) => {
                    ended = Err(leave);
                    break;
                }
            }
        }
        self.loops -= 1;
        ended.map(|()| status)
    }
}
