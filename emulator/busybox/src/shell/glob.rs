//! Patterns to the files that they describe.

use super::pattern::{is_special, matches, unescape};
use crate::view::View;

impl View {
    /// The paths that a pattern describes, in order.
    pub(crate) fn glob(&self, pattern: &str) -> Vec<String> {
        let mut found = vec![if pattern.starts_with('/') { "/".to_owned() } else { String::new() }];
        let steps: Vec<&str> = pattern.split('/').filter(|step| !step.is_empty()).collect();
        for (index, step) in steps.iter().enumerate() {
            let last = index + 1 == steps.len();
            let mut next = Vec::new();
            for base in found {
                self.glob_step(&base, step, last, &mut next);
            }
            found = next;
        }
        found.sort();
        if pattern.ends_with('/') { found.into_iter().map(|path| path + "/").collect() } else { found }
    }

    fn glob_step(&self, base: &str, step: &str, last: bool, found: &mut Vec<String>) {
        let join =
            |name: &str| if base.is_empty() || base.ends_with('/') { format!("{base}{name}") } else { format!("{base}/{name}") };
        if !is_special(step) {
            let path = join(&unescape(step));
            if self.metadata(&path, !last).is_ok() {
                found.push(path);
            }
            return;
        }
        let pattern: Vec<char> = step.chars().collect();
        let hidden = pattern.first() == Some(&'.') || step.starts_with("\\.");
        let mut names = self.read_dir(if base.is_empty() { "." } else { base }).unwrap_or_default();
        names.extend([".".to_owned(), "..".to_owned()]);
        for name in names.iter().filter(|name| hidden || !name.starts_with('.')) {
            if matches(&pattern, &name.chars().collect::<Vec<_>>()) {
                found.push(join(name));
            }
        }
    }
}
