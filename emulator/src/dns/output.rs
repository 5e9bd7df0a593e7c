//! CoreDNS's log: lines without a time, on standard output.

use std::io::Write as _;

use k3s_arc_container::Output;

#[derive(Debug, Clone)]
pub(super) struct Log(Output);

impl Log {
    pub(super) fn new(output: Output) -> Self {
        Self(output)
    }

    pub(super) fn line(&self, line: &str) {
        // Who does not read the log misses it.
        let _ = writeln!(self.0.clone(), "{line}");
    }
}
