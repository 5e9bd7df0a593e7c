//! Log lines as the Arc launcher writes them: `HH:MM:SS | INFO | text`, in UTC.

use std::{
    fmt::{self, Display},
    io::Write,
    sync::{Arc, Mutex, PoisonError},
};

use k8s_openapi::jiff::Timestamp;

/// Writes log lines. Clones write to the same place.
#[derive(Clone)]
pub struct Log {
    out: Arc<Mutex<dyn Write + Send>>,
    verbose: bool,
}

impl Log {
    /// A log on any writer (on standard output `kubectl logs` finds it); [`debug`](Self::debug) lines are written if it is `verbose`.
    pub fn to(out: impl Write + Send + 'static, verbose: bool) -> Self {
        Self { out: Arc::new(Mutex::new(out)), verbose }
    }

    /// Whether [`debug`](Self::debug) lines are written.
    pub fn is_verbose(&self) -> bool {
        self.verbose
    }

    /// What somebody may want to know.
    pub fn info(&self, text: impl Display) {
        self.line("INFO", text);
    }

    /// What somebody should look at.
    pub fn warn(&self, text: impl Display) {
        self.line("WARN", text);
    }

    /// What went wrong.
    pub fn error(&self, text: impl Display) {
        self.line("ERROR", text);
    }

    /// What only somebody who searches wants to know.
    pub fn debug(&self, text: impl Display) {
        if self.verbose {
            self.line("DEBUG", text);
        }
    }

    /// A text of several lines becomes as many log lines, so that each can be told from the container's other output.
    fn line(&self, level: &str, text: impl Display) {
        let time = Timestamp::now().strftime("%H:%M:%S");
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        for line in text.to_string().lines() {
            // Where nobody reads there is nobody to tell.
            let _ = out.write_all(format!("{time} | {level} | {line}\n").as_bytes());
        }
        let _ = out.flush();
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").field("verbose", &self.verbose).finish_non_exhaustive()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A log that a test can read.
    #[derive(Clone, Default)]
    pub(crate) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(crate) fn log(&self, verbose: bool) -> Log {
            Log::to(self.clone(), verbose)
        }

        /// The lines without their times.
        pub(crate) fn lines(&self) -> Vec<String> {
            let text = String::from_utf8(self.0.lock().unwrap().clone()).unwrap();
            text.lines().map(|line| line.split_once(" | ").unwrap().1.to_owned()).collect()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_are_the_launchers() {
        let written = Written::default();
        let log = written.log(false);
        log.info("one\ntwo");
        log.debug("not shown");
        log.error("three");
        assert_eq!(written.lines(), ["INFO | one", "INFO | two", "ERROR | three"]);
        let bytes = written.0.lock().unwrap().clone();
        let time: Vec<u8> = bytes.split(|&byte| byte == b' ').next().unwrap().to_vec();
        assert_eq!(
            time.iter().map(|byte| if byte.is_ascii_digit() { '0' } else { char::from(*byte) }).collect::<String>(),
            "00:00:00"
        );
    }
}
