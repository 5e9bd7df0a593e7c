//! `tar`, without compression: it is what `kubectl cp` runs in a container.

use std::io::{self, Read};

use k3s_arc_container::files::{Kind, Metadata, Open};
use tar::{Archive, Builder, EntryType, Header};

use super::show::all_of;
use crate::applet::{Applet, Ended, Options};
use crate::deep::with_stack;
use crate::held::Held;
use crate::reason::reason;
use crate::view::View;

/// `cf` in front is `-cf`.
fn with_dash(applet: &mut Applet) {
    if let Some(first) = applet.args.first_mut()
        && !first.starts_with('-')
    {
        first.insert(0, '-');
    }
}

pub(super) async fn tar(mut applet: Applet) -> Ended {
    with_dash(&mut applet);
    let (options, paths) = applet.options("cxtvf:C:mpkhOozjJaT:X:", &[("no-same-owner", 'o'), ("no-same-permissions", 'm')])?;
    if let Some(letter) = options.iter().find(|letter| "zjJaTXhO".contains(*letter)) {
        return Err(applet.fail(format_args!("-{letter} is not emulated")));
    }
    let modes = ['c', 'x', 't'].into_iter().filter(|letter| options.has(*letter)).count();
    if modes != 1 {
        return Err(applet.misused());
    }
    let file = options.value('f').unwrap_or("-").to_owned();
    let outer = applet.view.clone();
    if let Some(directory) = options.value('C') {
        applet.view.cwd = outer.path(directory);
        if !applet.view.metadata(".", true).is_ok_and(|found| found.kind == Kind::Directory) {
            return Err(applet.fail(format_args!("can't change directory to '{directory}': No such file or directory")));
        }
    }
    if options.has('c') {
        create(&mut applet, &outer, &options, &file, &paths).await
    } else {
        extract(&mut applet, &outer, &options, &file, &paths).await
    }
}

async fn create(applet: &mut Applet, outer: &View, options: &Options, file: &str, paths: &[String]) -> Ended {
    if paths.is_empty() {
        return Err(applet.fail("empty archive"));
    }
    let mut archive = Builder::new(Vec::new());
    let mut held = Held::new(&applet.view.container.memory);
    let mut names = Vec::new();
    let mut status = 0;
    for path in paths {
        collect(applet, path.trim_end_matches('/'), &mut names, &mut status);
    }
    let mut told = String::new();
    for (path, found) in names {
        if let Err(error) = add(&applet.view, &mut archive, &path, &found) {
            applet.complain(format_args!("{path}: {}", reason(&error)));
            status = 1;
        }
        if options.has('v') {
            told += &format!("{path}\n");
        }
        held.cover(archive.get_ref().len()).await.map_err(|_| applet.fail("out of memory"))?;
    }
    let bytes = archive.into_inner().map_err(|error| applet.fail(reason(&error)))?;
    if file == "-" {
        let _ = io::Write::write_all(&mut applet.stderr.clone(), told.as_bytes());
        applet.put(bytes).await?;
    } else {
        outer
            .files()
            .write(outer.path(file), bytes)
            .map_err(|error| applet.fail(format_args!("can't open '{file}': {}", reason(&error))))?;
        applet.put(told).await?;
    }
    if status > 0 {
        applet.complain("error exit delayed from previous errors");
    }
    applet.end(status).await
}

/// A path and all below it, in order.
fn collect(applet: &Applet, path: &str, names: &mut Vec<(String, Metadata)>, status: &mut i32) {
    let path = if path.is_empty() { "/" } else { path };
    match applet.view.metadata(path, false) {
        Ok(found) => {
            names.push((path.to_owned(), found));
            if found.kind == Kind::Directory {
                for name in applet.view.files().read_dir(applet.view.path(path)).unwrap_or_default() {
                    with_stack(|| collect(applet, &format!("{}/{name}", path.trim_end_matches('/')), names, status));
                }
            }
        }
        Err(error) => {
            applet.complain(format_args!("{path}: {}", reason(&error)));
            *status = 1;
        }
    }
}

fn add(view: &View, archive: &mut Builder<Vec<u8>>, path: &str, found: &Metadata) -> io::Result<()> {
    let mut header = Header::new_gnu();
    header.set_mode(found.mode);
    header.set_uid(found.uid.into());
    header.set_gid(found.gid.into());
    header.set_mtime(u64::try_from(found.modified).unwrap_or(0));
    header.set_size(0);
    // Absolute paths are kept relative, so that they can be unpacked anywhere.
    let name = path.trim_start_matches('/');
    let name = if name.is_empty() { "." } else { name };
    match found.kind {
        Kind::Directory => {
            header.set_entry_type(EntryType::Directory);
            archive.append_data(&mut header, format!("{name}/"), io::empty())
        }
        Kind::Link => {
            header.set_entry_type(EntryType::Symlink);
            archive.append_link(&mut header, name, view.files().read_link(view.path(path))?)
        }
        Kind::File => {
            let content = view.files().read(view.path(path))?;
            header.set_entry_type(EntryType::Regular);
            header.set_size(content.len() as u64);
            archive.append_data(&mut header, name, content.as_slice())
        }
        Kind::Other => Ok(()),
    }
}

async fn extract(applet: &mut Applet, outer: &View, options: &Options, file: &str, wanted: &[String]) -> Ended {
    let content = if file == "-" {
        all_of(applet, &mut applet.stdin.input()).await?
    } else {
        outer
            .files()
            .read(outer.path(file))
            .map_err(|error| applet.fail(format_args!("can't open '{file}': {}", reason(&error))))?
    };
    let failed = |applet: &Applet, error: &io::Error| applet.fail(format_args!("corrupted archive: {}", reason(error)));
    let mut told = String::new();
    let mut archive = Archive::new(content.as_slice());
    let entries = archive.entries().map_err(|error| failed(applet, &error))?;
    for entry in entries {
        let mut entry = entry.map_err(|error| failed(applet, &error))?;
        let path = entry.path().map_err(|error| failed(applet, &error))?.to_string_lossy().into_owned();
        let is_wanted = wanted.is_empty()
            || wanted.iter().any(|name| {
                path.trim_end_matches('/') == name.trim_end_matches('/')
                    || path.starts_with(&format!("{}/", name.trim_end_matches('/')))
            });
        if !is_wanted {
            continue;
        }
        if options.has('t') && options.has('v') {
            let header = entry.header();
            let (mode, size) = (header.mode().unwrap_or(0) & 0o7777, header.size().unwrap_or(0));
            let kind = if header.entry_type().is_dir() { 'd' } else { '-' };
            let (user, group) = (header.uid().unwrap_or(0), header.gid().unwrap_or(0));
            told += &format!("{kind}{} {user}/{group} {size:>9} {path}\n", crate::mode::letters(mode));
        } else if options.has('v') || options.has('t') {
            told += &format!("{path}\n");
        }
        if !options.has('t') {
            put(&applet.view, &mut entry, &path, options)
                .map_err(|error| applet.fail(format_args!("can't create '{path}': {}", reason(&error))))?;
        }
    }
    applet.put(told).await?;
    applet.end(0).await
}

/// Makes what an archive has, below the working directory and nowhere else.
fn put(view: &View, entry: &mut tar::Entry<'_, &[u8]>, path: &str, options: &Options) -> io::Result<()> {
    let name = path.trim_start_matches('/').trim_end_matches('/');
    if name.split('/').any(|step| step == "..") {
        return Err(io::Error::other("name with '..' is not unpacked"));
    }
    let at = view.path(name);
    let files = view.files();
    let (mode, modified) = (entry.header().mode()? & 0o7777, i64::try_from(entry.header().mtime()?).unwrap_or(0));
    if let Some(parent) = at.parent() {
        files.create_dir_all(parent)?;
    }
    match entry.header().entry_type() {
        EntryType::Directory => {
            files.create_dir_all(&at)?;
            files.set_mode(&at, mode)?;
        }
        EntryType::Symlink => {
            let target = entry.link_name()?.unwrap_or_default().into_owned();
            // What is there already is in the way.
            let _ = files.remove_file(&at);
            return files.symlink(target, &at);
        }
        EntryType::Regular | EntryType::Continuous => {
            let mut content = Vec::new();
            entry.read_to_end(&mut content)?;
            if !options.has('k') || !files.exists(&at) {
                let mut file = files.open(&at, Open::CREATE)?;
                io::Write::write_all(&mut file, &content)?;
            }
            files.set_mode(&at, mode)?;
        }
        // Devices and the like are not made.
        _ => return Ok(()),
    }
    if options.has('m') { Ok(()) } else { files.set_modified(&at, Some(modified)) }
}
