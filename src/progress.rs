//! What is being done now: a spinner on a terminal, plain lines elsewhere. The only place that prints.

use std::{
    fmt,
    io::{IsTerminal, Write},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{Layer, filter::Targets, layer::Context, layer::SubscriberExt, util::SubscriberInitExt};

/// Shows what the harness says it does, until this is dropped.
pub(crate) struct Progress(ProgressBar);

impl Progress {
    /// Starts to show it. There can be one in a process.
    pub(crate) fn start() -> Self {
        let terminal = std::io::stderr().is_terminal();
        let target = if terminal { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{spinner} {elapsed:>4} {wide_msg}")
            .unwrap_or_else(|_| ProgressStyle::default_spinner());
        let bar = ProgressBar::with_draw_target(None, target).with_style(style);
        if terminal {
            bar.enable_steady_tick(Duration::from_millis(120));
        }
        let lines = Lines { bar: bar.clone(), terminal, since: Instant::now() };
        let ours = Targets::new().with_target("k3s_arc", Level::INFO);
        // A second subscriber is refused; the first goes on showing.
        let _ = tracing_subscriber::registry().with(lines.with_filter(ours)).try_init();
        Self(bar)
    }
}

impl Progress {
    /// Prints results while more is being done.
    pub(crate) fn print(&self, text: &str) {
        self.0.suspend(|| print(text));
    }

    /// Prints an error while more is being done.
    pub(crate) fn print_error(&self, text: &str) {
        self.0.suspend(|| print_error(text));
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.0.finish_and_clear();
    }
}

struct Lines {
    bar: ProgressBar,
    terminal: bool,
    since: Instant,
}

impl<S: Subscriber> Layer<S> for Lines {
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let mut message = Message::default();
        event.record(&mut message);
        let warning = *event.metadata().level() <= Level::WARN;
        match (self.terminal, warning) {
            // The spinner has one line; evidence and the like are for the report.
            (true, false) => self.bar.set_message(message.0.lines().next().unwrap_or_default().to_owned()),
            (true, true) => self.bar.println(format!("warning: {}", message.0)),
            (false, false) => print_error(&format!("{:6.1} s  {}", self.since.elapsed().as_secs_f64(), message.0)),
            (false, true) => print_error(&format!("{:6.1} s  warning: {}", self.since.elapsed().as_secs_f64(), message.0)),
        }
    }
}

#[derive(Default)]
struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

/// How wide a table may be: the terminal's width, or enough for a log.
pub(crate) fn width() -> u16 {
    let columns = console::Term::stdout().size_checked().map(|(_, columns)| columns);
    columns.unwrap_or(120).clamp(60, 160)
}

/// Prints a line of results. A reader that went away (`| head`) is no error of ours.
pub(crate) fn print(text: &str) {
    let _ = writeln!(std::io::stdout(), "{text}");
}

/// Prints a line of progress or error.
pub(crate) fn print_error(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
