//! Paths and what they lead to.

use crate::applet::{Applet, Ended};
use crate::reason::reason;

pub(super) async fn basename(mut applet: Applet) -> Ended {
    let (options, names) = applet.options("+as:", &[])?;
    let mut suffix = options.value('s').unwrap_or("").to_owned();
    let several = options.has('a') || options.has('s');
    if names.is_empty() || (!several && names.len() > 2) {
        return Err(applet.misused());
    }
    let count = if several { names.len() } else { 1 };
    if let (false, Some(second)) = (several, names.get(1)) {
        suffix.clone_from(second);
    }
    for name in &names[..count] {
        let trimmed = name.trim_end_matches('/');
        let last = match trimmed.rsplit('/').next() {
            Some("") if name.starts_with('/') => "/",
            Some(last) => last,
            None => "",
        };
        let shown = last.strip_suffix(suffix.as_str()).filter(|shown| !shown.is_empty()).unwrap_or(last);
        applet.line(shown).await?;
    }
    applet.end(0).await
}

pub(super) async fn dirname(mut applet: Applet) -> Ended {
    let (_, names) = applet.options("+", &[])?;
    let [name] = names.as_slice() else { return Err(applet.misused()) };
    applet.line(parent(name)).await?;
    applet.end(0).await
}

/// The directory part of a path, as it is written.
fn parent(name: &str) -> &str {
    let trimmed = name.trim_end_matches('/');
    match trimmed.rfind('/') {
        _ if trimmed.is_empty() && name.starts_with('/') => "/",
        None => ".",
        Some(at) => match trimmed[..at].trim_end_matches('/') {
            "" => "/",
            parent => parent,
        },
    }
}

pub(super) async fn pwd(mut applet: Applet) -> Ended {
    let cwd = applet.view.cwd.display().to_string();
    applet.line(cwd).await?;
    applet.end(0).await
}

pub(super) async fn readlink(mut applet: Applet) -> Ended {
    let (options, names) = applet.options("fnvsqem", &[])?;
    let [name] = names.as_slice() else { return Err(applet.misused()) };
    let path = applet.view.path(name);
    let files = applet.view.files();
    let found = if options.has('f') { applet.view.real(name) } else { files.read_link(&path) };
    match found {
        Ok(target) => {
            applet.put(target.display().to_string()).await?;
            if !options.has('n') {
                applet.put("\n").await?;
            }
            applet.end(0).await
        }
        Err(error) => {
            if options.has('v') {
                applet.complain(format_args!("{name}: {}", reason(&error)));
            }
            Ok(1)
        }
    }
}

pub(super) async fn realpath(mut applet: Applet) -> Ended {
    let (_, names) = applet.options("", &[])?;
    if names.is_empty() {
        return Err(applet.misused());
    }
    let mut status = 0;
    for name in &names {
        match applet.view.real(name) {
            Ok(target) => applet.line(target.display()).await?,
            Err(error) => {
                applet.complain(format_args!("{name}: {}", reason(&error)));
                status = 1;
            }
        }
    }
    applet.end(status).await
}

#[cfg(test)]
mod tests {
    use super::parent;

    #[test]
    fn directories_of_paths() {
        for (path, expected) in [("/a/b", "/a"), ("/a", "/"), ("a", "."), ("a/b/", "a"), ("/", "/"), ("a//b", "a"), ("", ".")] {
            assert_eq!(parent(path), expected, "{path}");
        }
    }
}
