//! `cp` and `mv`.

use std::io;

use k3s_arc_container::files::{Kind, Open};

use crate::applet::{Applet, Ended};
use crate::deep::Deep;
use crate::reason::reason;
use crate::streams::CHUNK;

/// How to copy.
#[derive(Clone, Copy)]
struct How {
    recursive: bool,
    /// Owner, mode and time, too.
    preserve: bool,
    /// Links are followed.
    follow: bool,
}

/// Sources, and where each of them goes.
fn pairs(
    applet: &Applet,
    words: &[String],
    directory: Option<&str>,
    plain: bool,
) -> Result<Vec<(String, String)>, crate::applet::Stop> {
    let (sources, destination) = match (words, directory) {
        ([], _) => return Err(applet.misused()),
        (sources, Some(directory)) => (sources, directory),
        ([_], None) => return Err(applet.misused()),
        ([sources @ .., destination], None) => (sources, destination.as_str()),
    };
    let into =
        sources.len() > 1 || (!plain && applet.view.metadata(destination, true).is_ok_and(|found| found.kind == Kind::Directory));
    let target = |source: &str| {
        if !into {
            return destination.to_owned();
        }
        let name = source.trim_end_matches('/').rsplit('/').next().unwrap_or(source);
        format!("{}/{name}", destination.trim_end_matches('/'))
    };
    Ok(sources.iter().map(|source| (source.clone(), target(source))).collect())
}

pub(super) async fn cp(mut applet: Applet) -> Ended {
    let (options, words) = applet.options("arRPLHpfinlsTuvdt:", &[])?;
    let archive = options.has('a');
    let recursive = archive || options.has('r') || options.has('R');
    let how = How {
        recursive,
        preserve: archive || options.has('p'),
        follow: options.has('L') || !(recursive || options.has('P') || options.has('d')),
    };
    let mut status = 0;
    for (source, target) in pairs(&applet, &words, options.value('t'), options.has('T'))? {
        if options.has('n') && applet.view.exists(&target) {
            continue;
        }
        if let Err(complaint) = copy(&applet, &source, &target, how).await {
            applet.complain(complaint);
            status = 1;
        }
    }
    applet.end(status).await
}

/// Copies one file, or a directory with all that is in it.
fn copy<'a>(applet: &'a Applet, source: &'a str, target: &'a str, how: How) -> Deep<'a, Result<(), String>> {
    Deep::new(async move {
        let view = &applet.view;
        let about = |path: &str, error: &io::Error| format!("can't {path}: {}", reason(error));
        let found = view.metadata(source, how.follow).map_err(|error| format!("can't stat '{source}': {}", reason(&error)))?;
        let (from, to) = (view.path(source), view.path(target));
        if found.kind == Kind::Directory {
            if !how.recursive {
                return Err(format!("omitting directory '{source}'"));
            }
            if crate::view::normal(&to).starts_with(crate::view::normal(&from)) {
                return Err(format!("recursion detected, omitting directory '{source}'"));
            }
            if !view.exists(&to) {
                view.create_dir(&to).map_err(|error| about(&format!("create directory '{target}'"), &error))?;
            }
            for name in view.read_dir(&from).map_err(|error| about(&format!("open '{source}'"), &error))? {
                let child = |path: &str| format!("{}/{name}", path.trim_end_matches('/'));
                copy(applet, &child(source), &child(target), how).await?;
            }
        } else if found.kind == Kind::Link {
            let says = view.files().read_link(&from).map_err(|error| about(&format!("read link '{source}'"), &error))?;
            // What is there already is in the way.
            let _ = view.files().remove_file(&to);
            return view.files().symlink(says, &to).map_err(|error| about(&format!("create symlink '{target}'"), &error));
        } else {
            if view.metadata(target, true).is_ok_and(|there| there.kind == Kind::File && there.inode == found.inode) {
                return Err(format!("'{source}' and '{target}' are the same file"));
            }
            let new = !view.exists(&to);
            content(applet, source, target).await?;
            if new && found.kind == Kind::File && view.node(target, true).is_none() {
                let mode = if how.preserve { found.mode } else { found.mode & 0o777 & !view.umask };
                view.files().set_mode(&to, mode).map_err(|error| about(&format!("change '{target}'"), &error))?;
            }
        }
        if how.preserve {
            // Only root can give files away, which is no reason to fail.
            let _ = view.files().set_owner(&to, found.uid, found.gid);
            let _ = view.files().set_mode(&to, found.mode);
            let _ = view.files().set_modified(&to, Some(found.modified));
        }
        Ok(())
    })
}

async fn content(applet: &Applet, source: &str, target: &str) -> Result<(), String> {
    use tokio::io::AsyncReadExt;
    let mut input = applet.open(source).map_err(|error| format!("can't open '{source}': {}", reason(&error)))?;
    let output = applet.create(target, Open::CREATE).map_err(|error| format!("can't create '{target}': {}", reason(&error)))?;
    let mut buffer = vec![0; CHUNK];
    loop {
        let read = input.read(&mut buffer).await.map_err(|error| format!("read error: {}", reason(&error)))?;
        if read == 0 {
            return Ok(());
        }
        output.put(&buffer[..read]).await.map_err(|error| format!("write error: {}", reason(&error)))?;
    }
}

pub(super) async fn mv(mut applet: Applet) -> Ended {
    let (options, words) = applet.options("finTt:v", &[])?;
    let mut status = 0;
    for (source, target) in pairs(&applet, &words, options.value('t'), options.has('T'))? {
        if options.has('n') && applet.view.exists(&target) {
            continue;
        }
        if let Err(complaint) = rename(&applet, &source, &target).await {
            applet.complain(complaint);
            status = 1;
        }
    }
    applet.end(status).await
}

async fn rename(applet: &Applet, source: &str, target: &str) -> Result<(), String> {
    let view = &applet.view;
    let files = view.files();
    let (from, to) = (view.path(source), view.path(target));
    let failed = |error: &io::Error| format!("can't rename '{source}': {}", reason(error));
    match files.rename(&from, &to) {
        Ok(()) => Ok(()),
        // Another disk: copied, and removed here.
        Err(error) if error.kind() == io::ErrorKind::CrossesDevices => {
            copy(applet, source, target, How { recursive: true, preserve: true, follow: false }).await?;
            let is_directory = files.symlink_metadata(&from).is_ok_and(|found| found.kind == Kind::Directory);
            let removed = if is_directory { files.remove_dir_all(&from) } else { files.remove_file(&from) };
            removed.map_err(|error| failed(&error))
        }
        Err(error) => Err(failed(&error)),
    }
}
