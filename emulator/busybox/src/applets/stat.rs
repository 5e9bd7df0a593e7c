//! `stat`.

use k3s_arc_container::files::{Kind, Metadata};

use crate::applet::{Applet, Ended};
use crate::mode::letters;
use crate::reason::reason;
use crate::users::{User, group_numbered};

/// What a kind of file is called.
fn kind(found: &Metadata) -> &'static str {
    match found.kind {
        Kind::File if found.size == 0 => "regular empty file",
        Kind::File => "regular file",
        Kind::Directory => "directory",
        Kind::Link => "symbolic link",
        Kind::Other => "character special file",
    }
}

/// The kind's bits in a mode (`S_IFMT`).
fn kind_bits(found: &Metadata) -> u32 {
    match found.kind {
        Kind::File => 0o100_000,
        Kind::Directory => 0o040_000,
        Kind::Link => 0o120_000,
        Kind::Other => 0o020_000,
    }
}

/// The letters of a mode, with the kind's in front.
pub(super) fn all_letters(found: &Metadata) -> String {
    let first = match found.kind {
        Kind::File => '-',
        Kind::Directory => 'd',
        Kind::Link => 'l',
        Kind::Other => 'c',
    };
    format!("{first}{}", letters(found.mode))
}

pub(super) fn user_name(applet: &Applet, uid: u32) -> Option<String> {
    User::numbered(&applet.view, uid).map(|user| user.name)
}

pub(super) async fn stat(mut applet: Applet) -> Ended {
    let (options, paths) = applet.options("ltfLc:", &[])?;
    if paths.is_empty() {
        return Err(applet.misused());
    }
    if options.has('f') {
        return Err(applet.fail("file systems are not emulated"));
    }
    let mut status = 0;
    for path in &paths {
        let found = match applet.view.metadata(path, options.has('L')) {
            Ok(found) => found,
            Err(error) => {
                applet.complain(format_args!("can't stat '{path}': {}", reason(&error)));
                status = 1;
                continue;
            }
        };
        let text = match (options.value('c'), options.has('t')) {
            (Some(format), _) => formatted(&applet, path, &found, format) + "\n",
            (None, true) => formatted(&applet, path, &found, "%n %s %b %f %u %g %D %i %h %t %T %X %Y %Z %o") + "\n",
            (None, false) => told(&applet, path, &found),
        };
        applet.put(text).await?;
    }
    applet.end(status).await
}

fn quoted_name(applet: &Applet, path: &str, found: &Metadata) -> String {
    match applet.view.files().read_link(applet.view.path(path)) {
        Ok(target) if found.kind == Kind::Link => format!("'{path}' -> '{}'", target.display()),
        _ => path.to_owned(),
    }
}

fn told(applet: &Applet, path: &str, found: &Metadata) -> String {
    let name = |name: Option<String>| name.unwrap_or_else(|| "UNKNOWN".to_owned());
    let time = super::date::full(found.modified);
    format!(
        "  File: {}\n  Size: {:<10}\tBlocks: {:<10} IO Block: 4096   {}\nDevice: 1h/1d\tInode: {:<10}  Links: {}\n\
         Access: ({:04o}/{})  Uid: ({:5}/{:>8})   Gid: ({:5}/{:>8})\nAccess: {time}\nModify: {time}\nChange: {time}\n",
        quoted_name(applet, path, found),
        found.size,
        found.size.div_ceil(512),
        kind(found),
        found.inode,
        found.links,
        found.mode,
        all_letters(found),
        found.uid,
        name(user_name(applet, found.uid)),
        found.gid,
        name(group_numbered(&applet.view, found.gid)),
    )
}

fn formatted(applet: &Applet, path: &str, found: &Metadata, format: &str) -> String {
    let mut text = String::new();
    let mut characters = format.chars();
    while let Some(character) = characters.next() {
        if character != '%' {
            text.push(character);
            continue;
        }
        let name = |name: Option<String>| name.unwrap_or_else(|| "UNKNOWN".to_owned());
        let shown = match characters.next() {
            Some('n') => path.to_owned(),
            Some('N') => quoted_name(applet, path, found),
            Some('a') => format!("{:o}", found.mode),
            Some('A') => all_letters(found),
            Some('u') => found.uid.to_string(),
            Some('g') => found.gid.to_string(),
            Some('U') => name(user_name(applet, found.uid)),
            Some('G') => name(group_numbered(&applet.view, found.gid)),
            Some('s') => found.size.to_string(),
            Some('b') => found.size.div_ceil(512).to_string(),
            Some('B') => "512".to_owned(),
            Some('o') => "4096".to_owned(),
            Some('f') => format!("{:x}", kind_bits(found) | found.mode),
            Some('F') => kind(found).to_owned(),
            Some('i') => found.inode.to_string(),
            Some('h') => found.links.to_string(),
            Some('d' | 'D') => "1".to_owned(),
            Some('t' | 'T') => "0".to_owned(),
            Some('X' | 'Y' | 'Z') => found.modified.to_string(),
            Some('x' | 'y' | 'z') => super::date::full(found.modified),
            Some(other) => other.to_string(),
            None => "%".to_owned(),
        };
        text.push_str(&shown);
    }
    text
}
