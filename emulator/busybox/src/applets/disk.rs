//! Space on disks.

use k3s_arc_container::files::{Kind, Open};

use super::list::human;
use crate::applet::{Applet, Ended, Stop};
use crate::deep::with_stack;
use crate::reason::reason;
use crate::view::Opened;

/// What a disk has, in bytes.
struct Space {
    size: u64,
    used: u64,
    available: u64,
}

pub(super) async fn df(mut applet: Applet) -> Ended {
    let (options, paths) = applet.options("PkmhT:iat:B:", &[])?;
    let mounts: Vec<_> = applet.view.files().mounts().cloned().collect();
    let mut shown = Vec::new();
    let mut status = 0;
    for path in &paths {
        let at =
            applet.view.files().canonicalize(applet.view.path(path)).and_then(|at| applet.view.metadata(&at, true).map(|_| at));
        match at {
            Ok(at) => shown.extend(mounts.iter().rev().find(|mount| at.starts_with(&mount.at)).cloned()),
            Err(error) => {
                applet.complain(format_args!("{path}: {}", reason(&error)));
                status = 1;
            }
        }
    }
    if paths.is_empty() {
        shown = mounts;
    }
    let (header, unit) = match () {
        () if options.has('h') => ("     Size", 0),
        () if options.has('m') => ("1M-blocks", 1 << 20),
        () if options.has('P') => ("1024-blocks", 1024),
        () => ("1K-blocks", 1024),
    };
    let percent = if options.has('P') { "Capacity" } else { "Use%" };
    applet.line(format!("Filesystem           {header}      Used Available {percent} Mounted on")).await?;
    for mount in shown {
        let Ok(found) = rustix::fs::statvfs(&mount.source) else { continue };
        let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
        let space =
            Space { size: bytes(found.f_blocks), used: bytes(found.f_blocks - found.f_bfree), available: bytes(found.f_bavail) };
        let show = |bytes: u64| bytes.checked_div(unit).map_or_else(|| in_units(bytes), |units| units.to_string());
        let total = space.used + space.available;
        let percent = (space.used * 100).div_ceil(total.max(1));
        applet
            .line(format!(
                "{:<20} {:>9} {:>9} {:>9} {percent:3}% {}",
                "overlay",
                show(space.size),
                show(space.used),
                show(space.available),
                mount.at.display()
            ))
            .await?;
    }
    applet.end(status).await
}

/// `12.0K`: with a fraction and a unit, always.
fn in_units(bytes: u64) -> String {
    if bytes == 0 { "0".to_owned() } else { human(bytes.max(1024)) }
}

/// The bytes that a file takes on the disk.
fn taken(size: u64) -> u64 {
    size.div_ceil(4096) * 4096
}

pub(super) async fn du(mut applet: Applet) -> Ended {
    let (options, mut paths) = applet.options("aHLdcsbxmhkd:", &[])?;
    if paths.is_empty() {
        paths.push(".".to_owned());
    }
    let (mut status, mut total) = (0, 0);
    let show = |bytes: u64| match () {
        () if options.has('b') => bytes.to_string(),
        () if options.has('h') => in_units(bytes),
        () if options.has('m') => bytes.div_ceil(1 << 20).to_string(),
        () => (bytes / 1024).to_string(),
    };
    let most = match (options.has('s'), options.value('d')) {
        (true, _) => 0,
        (false, Some(text)) if !text.is_empty() => applet.number(text)?,
        _ => usize::MAX,
    };
    for path in &paths {
        let mut lines = Vec::new();
        match sum(&applet, path, options.has('b'), 0, &mut lines) {
            Ok(bytes) => total += bytes,
            Err(Stop(code)) => status = code,
        }
        for (bytes, path, depth, is_directory) in lines {
            if depth == 0 || (depth <= most && (is_directory || options.has('a'))) {
                applet.line(format!("{}\t{path}", show(bytes))).await?;
            }
        }
    }
    if options.has('c') {
        applet.line(format!("{}\ttotal", show(total))).await?;
    }
    applet.end(status).await
}

/// A path with its size, its depth, and whether it is a directory.
type Line = (u64, String, usize, bool);

fn sum(applet: &Applet, path: &str, exact: bool, depth: usize, lines: &mut Vec<Line>) -> Result<u64, Stop> {
    let found = applet.view.metadata(path, false).map_err(|error| applet.fail(format_args!("{path}: {}", reason(&error))))?;
    let is_directory = found.kind == Kind::Directory;
    let mut bytes = if exact { found.size } else { taken(found.size) };
    if is_directory {
        for name in applet.view.files().read_dir(applet.view.path(path)).unwrap_or_default() {
            // What cannot be seen was complained about.
            bytes += with_stack(|| sum(applet, &format!("{}/{name}", path.trim_end_matches('/')), exact, depth + 1, lines))
                .unwrap_or(0);
        }
    }
    lines.push((bytes, path.to_owned(), depth, is_directory));
    Ok(bytes)
}

/// `truncate`, and `fallocate`.
pub(super) async fn truncate(mut applet: Applet) -> Ended {
    let allocates = applet.known.name == "fallocate";
    let (options, paths) = applet.options(if allocates { "l:o:n" } else { "cs:" }, &[])?;
    let text = options.value(if allocates { 'l' } else { 's' }).ok_or_else(|| applet.misused())?;
    let length = applet.size(text)?;
    if paths.is_empty() {
        return Err(applet.misused());
    }
    let mut status = 0;
    for path in &paths {
        if options.has('c') && !applet.view.exists(path) {
            continue;
        }
        let opened = applet.view.open(path, Open { truncate: false, ..Open::CREATE });
        let done = opened.and_then(|opened| match opened {
            Opened::File(file) if allocates && file.metadata()?.len() >= length => Ok(()),
            Opened::File(file) => file.set_len(length),
            _ => Err(std::io::Error::other("Invalid argument")),
        });
        if let Err(error) = done {
            applet.complain(format_args!("{path}: {}", reason(&error)));
            status = 1;
        }
    }
    applet.end(status).await
}
