//! Small files of the kernel's.

use std::fs;

/// A file's text, trimmed; none where there is no such file, as on systems other than Linux.
pub(super) fn read(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}
