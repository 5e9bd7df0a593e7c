//! Files and directories, made, changed and removed.

use k3s_arc_container::files::{Kind, Open};

use crate::applet::{Applet, Ended, Stop};
use crate::deep::with_stack;
use crate::mode::change;
use crate::reason::reason;
use crate::users::{User, group_named};

pub(super) async fn mkdir(mut applet: Applet) -> Ended {
    let (options, paths) = applet.options("pm:v", &[("parents", 'p'), ("mode", 'm')])?;
    if paths.is_empty() {
        return Err(applet.misused());
    }
    let mode = match options.value('m') {
        None => None,
        Some(text) => Some(change(text, 0o777, true, 0).ok_or_else(|| applet.fail(format_args!("invalid mode '{text}'")))?),
    };
    let mut status = 0;
    for path in &paths {
        if make(&applet, path, options.has('p'), mode).is_err() {
            status = 1;
        }
    }
    applet.end(status).await
}

fn make(applet: &Applet, path: &str, parents: bool, mode: Option<u32>) -> Result<(), Stop> {
    let whole = applet.view.path(path);
    let mut way = vec![whole.as_path()];
    if parents {
        way.extend(whole.ancestors().skip(1).take_while(|parent| !applet.view.exists(parent)));
    }
    for directory in way.into_iter().rev() {
        let is_last = directory == whole;
        if parents && applet.view.metadata(directory, true).is_ok_and(|found| found.kind == Kind::Directory) {
            continue;
        }
        let made = applet.view.create_dir(directory).and_then(|()| match mode {
            Some(mode) if is_last => applet.view.files().set_mode(directory, mode),
            _ => Ok(()),
        });
        if let Err(error) = made {
            return Err(applet.fail(format_args!("can't create directory '{path}': {}", reason(&error))));
        }
    }
    Ok(())
}

pub(super) async fn rmdir(mut applet: Applet) -> Ended {
    let (options, paths) = applet.options("p", &[("ignore-fail-on-non-empty", 'p')])?;
    if paths.is_empty() {
        return Err(applet.misused());
    }
    let mut status = 0;
    for path in &paths {
        let mut left = path.as_str();
        loop {
            if let Err(error) = applet.view.files().remove_dir(applet.view.path(left)) {
                applet.complain(format_args!("'{left}': {}", reason(&error)));
                status = 1;
                break;
            }
            match left.trim_end_matches('/').rsplit_once('/') {
                Some((parent, _)) if options.has('p') && !parent.is_empty() => left = parent,
                _ => break,
            }
        }
    }
    applet.end(status).await
}

pub(super) async fn rm(mut applet: Applet) -> Ended {
    let (options, paths) = applet.options("firR", &[])?;
    let force = options.has('f');
    if paths.is_empty() && !force {
        return Err(applet.misused());
    }
    let recursive = options.has('r') || options.has('R');
    let mut status = 0;
    for path in &paths {
        if matches!(path.trim_end_matches('/').rsplit('/').next(), Some("." | "..")) {
            applet.complain("can't remove '.' or '..'");
            status = 1;
            continue;
        }
        if let Err(complaint) = remove(&applet, path, recursive, force) {
            applet.complain(complaint);
            status = 1;
        }
    }
    applet.end(status).await
}

fn remove(applet: &Applet, path: &str, recursive: bool, force: bool) -> Result<(), String> {
    let files = applet.view.files();
    let at = applet.view.path(path);
    let found = match applet.view.metadata(&at, false) {
        Ok(found) => found,
        Err(error) if force && error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(format!("can't remove '{path}': {}", reason(&error))),
    };
    if found.kind != Kind::Directory {
        let removed = files.remove_file(&at);
        return match removed {
            Err(error) if !(force && error.kind() == std::io::ErrorKind::NotFound) => {
                Err(format!("can't remove '{path}': {}", reason(&error)))
            }
            _ => Ok(()),
        };
    }
    if !recursive {
        return Err(format!("'{path}' is a directory"));
    }
    for name in files.read_dir(&at).unwrap_or_default() {
        with_stack(|| remove(applet, &format!("{}/{name}", path.trim_end_matches('/')), true, force))?;
    }
    files.remove_dir(&at).map_err(|error| format!("can't remove '{path}': {}", reason(&error)))
}

pub(super) async fn touch(mut applet: Applet) -> Ended {
    let (options, paths) = applet.options("chamd:t:r:f", &[("no-create", 'c')])?;
    if paths.is_empty() {
        return Err(applet.misused());
    }
    let time = match (options.value('r'), options.value('d').or(options.value('t'))) {
        (Some(reference), _) => {
            let found = applet
                .view
                .metadata(reference, true)
                .map_err(|error| applet.fail(format_args!("{reference}: {}", reason(&error))))?;
            Some(found.modified)
        }
        (None, Some(text)) => Some(super::date::parse(text).ok_or_else(|| applet.fail(format_args!("invalid date '{text}'")))?),
        (None, None) => None,
    };
    let mut status = 0;
    for path in &paths {
        let there = applet.view.exists(path);
        if !there && options.has('c') {
            continue;
        }
        if let Err(error) = applet.view.touch(path, time) {
            applet.complain(format_args!("{path}: {}", reason(&error)));
            status = 1;
        }
    }
    applet.end(status).await
}

impl crate::view::View {
    /// Makes a file that is missing, and says that it was changed then (none: now).
    fn touch(&self, path: &str, time: Option<i64>) -> std::io::Result<()> {
        if !self.exists(path) {
            self.open(path, Open { truncate: false, ..Open::CREATE })?;
        }
        if self.node(path, true).is_some() {
            return Ok(());
        }
        self.files().set_modified(self.path(path), time)
    }
}

/// A path and, with `-R`, all below it.
fn with_all_below(applet: &Applet, path: &str, recursive: bool) -> Vec<String> {
    let mut paths = vec![path.to_owned()];
    let is_directory = applet.view.metadata(path, false).is_ok_and(|found| found.kind == Kind::Directory);
    if recursive && is_directory {
        for name in applet.view.files().read_dir(applet.view.path(path)).unwrap_or_default() {
            paths.extend(with_stack(|| with_all_below(applet, &format!("{}/{name}", path.trim_end_matches('/')), true)));
        }
    }
    paths
}

pub(super) async fn chmod(mut applet: Applet) -> Ended {
    // `-x` is a mode here, no option.
    let is_mode = |arg: &str| arg.len() > 1 && arg.starts_with('-') && arg[1..].chars().all(|letter| "rwxXst".contains(letter));
    let mode_at = applet.args.iter().position(|arg| is_mode(arg)).unwrap_or(usize::MAX);
    let removed = (mode_at < applet.args.len()).then(|| applet.args.remove(mode_at));
    let (options, mut words) = applet.options("Rvcf", &[("recursive", 'R')])?;
    if let Some(mode) = removed {
        words.insert(0, mode);
    }
    let [mode, paths @ ..] = words.as_slice() else { return Err(applet.misused()) };
    if paths.is_empty() {
        return Err(applet.misused());
    }
    let mut status = 0;
    for path in paths {
        for path in with_all_below(&applet, path, options.has('R')) {
            let changed =
                applet.view.metadata(&path, true).map_err(|error| format!("{path}: {}", reason(&error))).and_then(|found| {
                    let new = change(mode, found.mode, found.kind == Kind::Directory, applet.view.umask);
                    let new = new.ok_or_else(|| format!("invalid mode '{mode}'"))?;
                    applet
                        .view
                        .files()
                        .set_mode(applet.view.path(&path), new)
                        .map_err(|error| format!("{path}: {}", reason(&error)))
                });
            if let Err(complaint) = changed {
                applet.complain(complaint);
                status = 1;
            }
        }
    }
    applet.end(status).await
}

/// `chown`, and `chgrp`.
pub(super) async fn chown(mut applet: Applet) -> Ended {
    let (options, words) = applet.options("RhvcfLHP", &[("recursive", 'R')])?;
    let [owner, paths @ ..] = words.as_slice() else { return Err(applet.misused()) };
    if paths.is_empty() {
        return Err(applet.misused());
    }
    let (user, group) = match owner.split_once([':', '.']) {
        _ if applet.known.name == "chgrp" => ("", owner.as_str()),
        Some((user, group)) => (user, group),
        None => (owner.as_str(), ""),
    };
    let uid = match user {
        "" => None,
        name => {
            let known = User::named(&applet.view, name).map(|user| user.uid).or_else(|| name.parse().ok());
            Some(known.ok_or_else(|| applet.fail(format_args!("unknown user {name}")))?)
        }
    };
    let gid = match group {
        "" => None,
        name => {
            let known = group_named(&applet.view, name).or_else(|| name.parse().ok());
            Some(known.ok_or_else(|| applet.fail(format_args!("unknown group {name}")))?)
        }
    };
    let mut status = 0;
    for path in paths {
        for path in with_all_below(&applet, path, options.has('R')) {
            let changed = applet.view.metadata(&path, true).and_then(|found| {
                applet.view.files().set_owner(applet.view.path(&path), uid.unwrap_or(found.uid), gid.unwrap_or(found.gid))
            });
            if let Err(error) = changed {
                applet.complain(format_args!("{path}: {}", reason(&error)));
                status = 1;
            }
        }
    }
    applet.end(status).await
}

pub(super) async fn ln(mut applet: Applet) -> Ended {
    let (options, words) = applet.options("sfnbvTt:", &[])?;
    let (targets, destination) = match words.as_slice() {
        [] => return Err(applet.misused()),
        [target] => (vec![target.clone()], ".".to_owned()),
        [targets @ .., destination] => (targets.to_vec(), destination.clone()),
    };
    let follows = !options.has('n');
    let into = !options.has('T') && applet.view.metadata(&destination, follows).is_ok_and(|found| found.kind == Kind::Directory);
    if targets.len() > 1 && !into {
        return Err(applet.fail(format_args!("{destination}: Not a directory")));
    }
    let mut status = 0;
    for target in &targets {
        let link = if into {
            let name = target.trim_end_matches('/').rsplit('/').next().unwrap_or(target);
            format!("{}/{name}", destination.trim_end_matches('/'))
        } else {
            destination.clone()
        };
        if !options.has('s') {
            applet.complain(format_args!("{link}: hard links are not emulated"));
            status = 1;
            continue;
        }
        let path = applet.view.path(&link);
        if options.has('f') && applet.view.metadata(&path, false).is_ok() {
            // What is wrong with it is told of the link.
            let _ = applet.view.files().remove_file(&path);
        }
        if let Err(error) = applet.view.files().symlink(target, &path) {
            applet.complain(format_args!("{link}: {}", reason(&error)));
            status = 1;
        }
    }
    applet.end(status).await
}
