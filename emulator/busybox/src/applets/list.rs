//! `ls`.

use k3s_arc_container::files::{Kind, Metadata};

use super::stat::{all_letters, user_name};
use crate::applet::{Applet, Ended, Options, Stop};
use crate::deep::Deep;
use crate::reason::reason;
use crate::users::group_numbered;

/// What is listed.
struct Entry {
    name: String,
    found: Metadata,
    /// What a link says.
    target: Option<String>,
}

const WIDTH: usize = 80;

pub(super) async fn ls(mut applet: Applet) -> Ended {
    let (options, mut paths) = applet.options("1AaCxdLHRFplinshrSXvctugokw:T:", &[("color", '1'), ("full-time", 'l')])?;
    if paths.is_empty() {
        paths.push(".".to_owned());
    }
    let mut status = 0;
    let (mut files, mut directories) = (Vec::new(), Vec::new());
    let several = paths.len() > 1;
    for path in paths {
        // A link is followed unless it is to be described.
        let follow = options.has('L') || options.has('H') || !(options.has('l') || options.has('d') || options.has('F'));
        match applet.view.metadata(&path, follow) {
            Ok(found) if found.kind == Kind::Directory && !options.has('d') => directories.push(path),
            Ok(found) => files.push(entry(&applet, path.clone(), &path, found)),
            Err(error) => {
                applet.complain(format_args!("{path}: {}", reason(&error)));
                status = 1;
            }
        }
    }
    sort(&mut files, &options);
    let headers = several || options.has('R');
    let mut first = files.is_empty();
    show(&mut applet, &files, &options).await?;
    directories.sort();
    if options.has('r') {
        directories.reverse();
    }
    for path in directories {
        if directory(&mut applet, &path, &options, headers, &mut first).await? > 0 {
            status = 1;
        }
    }
    applet.end(status).await
}

fn entry(applet: &Applet, name: String, path: &str, found: Metadata) -> Entry {
    let target = (found.kind == Kind::Link).then(|| applet.view.files().read_link(applet.view.path(path)).ok()).flatten();
    Entry { name, found, target: target.map(|target| target.display().to_string()) }
}

fn sort(entries: &mut [Entry], options: &Options) {
    entries.sort_by(|one, two| one.name.cmp(&two.name));
    if options.has('S') {
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.found.size));
    } else if options.has('t') {
        entries.sort_by_key(|entry| std::cmp::Reverse(entry.found.modified));
    }
    if options.has('r') {
        entries.reverse();
    }
}

fn directory<'a>(
    applet: &'a mut Applet,
    path: &'a str,
    options: &'a Options,
    header: bool,
    first: &'a mut bool,
) -> Deep<'a, Result<i32, Stop>> {
    Deep::new(async move {
        let names = match applet.view.read_dir(path) {
            Ok(names) => names,
            Err(error) => {
                applet.complain(format_args!("can't open '{path}': {}", reason(&error)));
                return Ok(1);
            }
        };
        if header {
            if !std::mem::replace(first, false) {
                applet.put("\n").await?;
            }
            applet.put(format!("{path}:\n")).await?;
        }
        let join = |name: &str| format!("{}/{name}", path.trim_end_matches('/'));
        let mut names: Vec<String> =
            names.into_iter().filter(|name| options.has('a') || options.has('A') || !name.starts_with('.')).collect();
        if options.has('a') {
            names.splice(..0, [".".to_owned(), "..".to_owned()]);
        }
        let mut entries = Vec::new();
        for name in names {
            let child = join(&name);
            // What was removed meanwhile is not listed.
            if let Ok(found) = applet.view.metadata(&child, options.has('L')) {
                entries.push(entry(applet, name, &child, found));
            }
        }
        sort(&mut entries, options);
        if options.has('l') || options.has('s') {
            // Where a link leads is kept with the link itself.
            let files = entries.iter().filter(|entry| entry.found.kind != Kind::Link);
            let blocks: u64 = files.map(|entry| entry.found.size.div_ceil(4096) * 4).sum();
            applet.put(format!("total {blocks}\n")).await?;
        }
        show(applet, &entries, options).await?;
        let mut status = 0;
        if options.has('R') {
            for entry in
                entries.iter().filter(|entry| entry.found.kind == Kind::Directory && !matches!(entry.name.as_str(), "." | ".."))
            {
                status |= directory(applet, &join(&entry.name), options, true, first).await?;
            }
        }
        Ok(status)
    })
}

async fn show(applet: &mut Applet, entries: &[Entry], options: &Options) -> Result<(), Stop> {
    let long = options.has('l') || options.has('n') && !options.has('1') || options.has('g') || options.has('o');
    let columns = !long && !options.has('1') && applet.stdout.is_terminal();
    if columns {
        return in_columns(applet, entries, options).await;
    }
    for entry in entries {
        let mut line = String::new();
        if options.has('i') {
            line += &format!("{:7} ", entry.found.inode);
        }
        if options.has('s') {
            line += &format!("{:6} ", entry.found.size.div_ceil(4096) * 4);
        }
        if long {
            line += &described(applet, entry, options);
        }
        line += &marked(entry, options);
        if let (true, Some(target)) = (long, &entry.target) {
            line += &format!(" -> {target}");
        }
        applet.line(line).await?;
    }
    Ok(())
}

fn marked(entry: &Entry, options: &Options) -> String {
    let mark = match entry.found.kind {
        Kind::Directory if options.has('F') || options.has('p') => "/",
        Kind::Link if options.has('F') => "@",
        Kind::File if options.has('F') && entry.found.mode & 0o111 != 0 => "*",
        _ => "",
    };
    format!("{}{mark}", entry.name)
}

fn described(applet: &Applet, entry: &Entry, options: &Options) -> String {
    let found = &entry.found;
    let numeric = options.has('n');
    let user = user_name(applet, found.uid).filter(|_| !numeric).unwrap_or_else(|| found.uid.to_string());
    let group = group_numbered(&applet.view, found.gid).filter(|_| !numeric).unwrap_or_else(|| found.gid.to_string());
    let size = if options.has('h') { human(found.size) } else { found.size.to_string() };
    format!("{} {:4} {user:<8} {group:<8} {size:>9} {} ", all_letters(found), found.links, super::date::short(found.modified),)
}

/// A size for people: `4.0K`.
pub(super) fn human(bytes: u64) -> String {
    if bytes < 1024 {
        return bytes.to_string();
    }
    let mut value = bytes as f64;
    let mut unit = ' ';
    for next in "KMGT".chars() {
        if value < 1024.0 {
            break;
        }
        value /= 1024.0;
        unit = next;
    }
    format!("{value:.1}{unit}")
}

async fn in_columns(applet: &mut Applet, entries: &[Entry], options: &Options) -> Result<(), Stop> {
    let names: Vec<String> = entries.iter().map(|entry| marked(entry, options)).collect();
    let width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) + 2;
    let columns = (WIDTH / width).max(1);
    let rows = names.len().div_ceil(columns);
    for row in 0..rows {
        let mut line = String::new();
        let shown: Vec<&String> = (0..columns).filter_map(|column| names.get(column * rows + row)).collect();
        for (index, name) in shown.iter().enumerate() {
            if index + 1 < shown.len() {
                line += &format!("{name:<width$}");
            } else {
                line += name;
            }
        }
        applet.line(line).await?;
    }
    Ok(())
}
