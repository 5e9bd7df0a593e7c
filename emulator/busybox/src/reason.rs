//! Errors in the words of the C library, which are what people and scripts look for.

use std::io::{Error, ErrorKind};

/// What went wrong (`strerror`).
pub(crate) fn reason(error: &Error) -> String {
    if error.raw_os_error().is_some() {
        let text = error.to_string();
        return text.split(" (os error").next().unwrap_or(&text).to_owned();
    }
    let known = match error.kind() {
        ErrorKind::NotFound => "No such file or directory",
        ErrorKind::PermissionDenied if error.get_ref().is_some() => "Operation not permitted",
        ErrorKind::PermissionDenied => "Permission denied",
        ErrorKind::AlreadyExists => "File exists",
        ErrorKind::NotADirectory => "Not a directory",
        ErrorKind::IsADirectory => "Is a directory",
        ErrorKind::DirectoryNotEmpty => "Directory not empty",
        ErrorKind::ReadOnlyFilesystem => "Read-only file system",
        ErrorKind::StorageFull => "No space left on device",
        ErrorKind::ResourceBusy => "Resource busy",
        ErrorKind::CrossesDevices => "Invalid cross-device link",
        ErrorKind::BrokenPipe => "Broken pipe",
        ErrorKind::ConnectionRefused => "Connection refused",
        ErrorKind::ConnectionReset => "Connection reset by peer",
        ErrorKind::HostUnreachable => "No route to host",
        ErrorKind::NetworkUnreachable => "Network is unreachable",
        ErrorKind::AddrInUse => "Address already in use",
        ErrorKind::TimedOut => "Connection timed out",
        _ => return error.to_string(),
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_worded_as_the_c_library_words_them() {
        assert_eq!(reason(&Error::from_raw_os_error(2)), "No such file or directory");
        assert_eq!(reason(&ErrorKind::NotFound.into()), "No such file or directory");
        assert_eq!(reason(&Error::new(ErrorKind::PermissionDenied, "Operation not permitted")), "Operation not permitted");
        assert_eq!(reason(&ErrorKind::PermissionDenied.into()), "Permission denied");
    }
}
