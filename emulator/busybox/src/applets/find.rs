//! `find`.

use k3s_arc_container::files::{Kind, Metadata};

use crate::applet::{Applet, Ended, Stop};
use crate::deep::Deep;
use crate::reason::reason;
use crate::shell::matches;

/// A condition, or something to be done.
enum Test {
    Name { pattern: Vec<char>, ignore_case: bool },
    Path(Vec<char>),
    Kind(Kind),
    Empty,
    Size(std::cmp::Ordering, u64),
    Minutes(std::cmp::Ordering, i64),
    Print(char),
    Prune,
    Delete,
    Not(Box<Test>),
    And(Vec<Test>),
    Or(Vec<Test>),
}

struct Find {
    test: Test,
    least: usize,
    most: usize,
    /// Nothing but conditions: what fulfils them is printed.
    prints: bool,
}

struct Parser<'a> {
    applet: &'a Applet,
    args: &'a [String],
    least: usize,
    most: usize,
    acts: bool,
    depth: u32,
}

impl Parser<'_> {
    fn next(&mut self) -> Option<&str> {
        let (first, rest) = self.args.split_first()?;
        self.args = rest;
        Some(first)
    }

    fn value(&mut self, name: &str) -> Result<String, Stop> {
        match self.next() {
            Some(value) => Ok(value.to_owned()),
            None => Err(self.applet.fail(format_args!("{name} requires an argument"))),
        }
    }

    fn or(&mut self) -> Result<Test, Stop> {
        let mut tests = vec![self.and()?];
        while self.args.first().is_some_and(|arg| arg == "-o" || arg == "-or") {
            self.next();
            tests.push(self.and()?);
        }
        Ok(Test::Or(tests))
    }

    fn and(&mut self) -> Result<Test, Stop> {
        let mut tests = Vec::new();
        while let Some(arg) = self.args.first() {
            match arg.as_str() {
                "-o" | "-or" | ")" => break,
                "-a" | "-and" => drop(self.next()),
                _ => tests.push(self.test()?),
            }
        }
        Ok(Test::And(tests))
    }

    fn test(&mut self) -> Result<Test, Stop> {
        let name = self.next().unwrap_or_default().to_owned();
        let pattern = |text: String| text.chars().collect::<Vec<_>>();
        Ok(match name.as_str() {
            "!" | "-not" => Test::Not(Box::new(self.test()?)),
            "(" => {
                if self.depth > 20 {
                    return Err(self.applet.fail("nested too deeply"));
                }
                self.depth += 1;
                let inner = self.or()?;
                self.depth -= 1;
                if self.next() != Some(")") {
                    return Err(self.applet.fail("unpaired '('"));
                }
                inner
            }
            "-name" => Test::Name { pattern: pattern(self.value(&name)?), ignore_case: false },
            "-iname" => Test::Name { pattern: pattern(self.value(&name)?.to_lowercase()), ignore_case: true },
            "-path" => Test::Path(pattern(self.value(&name)?)),
            "-type" => Test::Kind(match self.value(&name)?.as_str() {
                "f" => Kind::File,
                "d" => Kind::Directory,
                "l" => Kind::Link,
                "c" | "b" | "p" | "s" => Kind::Other,
                other => return Err(self.applet.fail(format_args!("invalid argument '{other}' to '-type'"))),
            }),
            "-empty" => Test::Empty,
            "-size" => {
                let text = self.value(&name)?;
                let (order, digits) = ordered(&text);
                let bytes = match digits.strip_suffix(['c', 'k', 'b']) {
                    Some(number) => {
                        let factor = match digits.chars().last() {
                            Some('c') => 1,
                            Some('k') => 1024,
                            _ => 512,
                        };
                        self.applet.number::<u64>(number)?.saturating_mul(factor)
                    }
                    None => self.applet.number::<u64>(digits)?.saturating_mul(512),
                };
                Test::Size(order, bytes)
            }
            "-mmin" | "-mtime" => {
                let text = self.value(&name)?;
                let (order, digits) = ordered(&text);
                let factor = if name == "-mmin" { 1 } else { 24 * 60 };
                Test::Minutes(order, self.applet.number::<i64>(digits)?.saturating_mul(factor))
            }
            "-maxdepth" => {
                let text = self.value(&name)?;
                self.most = self.applet.number(&text)?;
                Test::And(Vec::new())
            }
            "-mindepth" => {
                let text = self.value(&name)?;
                self.least = self.applet.number(&text)?;
                Test::And(Vec::new())
            }
            "-print" | "-print0" => {
                self.acts = true;
                Test::Print(if name == "-print" { '\n' } else { '\0' })
            }
            "-delete" => {
                self.acts = true;
                Test::Delete
            }
            "-prune" => Test::Prune,
            "-exec" | "-ok" => return Err(self.applet.fail(format_args!("{name} is not emulated"))),
            other => {
                self.applet.complain(format_args!("unrecognized: {other}"));
                return Err(self.applet.misused());
            }
        })
    }
}

/// `+5`, `-5` or `5`.
fn ordered(text: &str) -> (std::cmp::Ordering, &str) {
    match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(rest), _) => (std::cmp::Ordering::Greater, rest),
        (_, Some(rest)) => (std::cmp::Ordering::Less, rest),
        _ => (std::cmp::Ordering::Equal, text),
    }
}

pub(super) async fn find(mut applet: Applet) -> Ended {
    let args: Vec<String> = applet.args.iter().skip_while(|arg| matches!(arg.as_str(), "-H" | "-L" | "-P")).cloned().collect();
    let split = args.iter().position(|arg| arg.starts_with('-') || matches!(arg.as_str(), "!" | "(")).unwrap_or(args.len());
    let (paths, tests) = args.split_at(split);
    let mut parser = Parser { applet: &applet, args: tests, least: 0, most: usize::MAX, acts: false, depth: 0 };
    let test = parser.or()?;
    if let Some(left) = parser.args.first() {
        return Err(applet.fail(format_args!("unrecognized: {left}")));
    }
    let find = Find { test, least: parser.least, most: parser.most, prints: !parser.acts };
    let paths = if paths.is_empty() { vec![".".to_owned()] } else { paths.to_vec() };
    let mut status = 0;
    for path in paths {
        status |= visit(&mut applet, &find, path, 0).await?;
    }
    applet.end(status).await
}

fn visit<'a>(applet: &'a mut Applet, find: &'a Find, path: String, depth: usize) -> Deep<'a, Result<i32, Stop>> {
    Deep::new(async move {
        k3s_arc_container::breathe().await;
        let found = match applet.view.metadata(&path, false) {
            Ok(found) => found,
            Err(error) => {
                applet.complain(format_args!("{path}: {}", reason(&error)));
                return Ok(1);
            }
        };
        let mut status = 0;
        let deletes = contains_delete(&find.test);
        let mut pruned = false;
        // What is deleted is deleted before the directory that it is in.
        if !deletes {
            pruned = consider(applet, find, &path, &found, depth).await?;
        }
        if found.kind == Kind::Directory && !pruned && depth < find.most {
            match applet.view.read_dir(&path) {
                Ok(names) => {
                    for name in names {
                        status |= visit(applet, find, format!("{}/{name}", path.trim_end_matches('/')), depth + 1).await?;
                    }
                }
                Err(error) => {
                    applet.complain(format_args!("{path}: {}", reason(&error)));
                    status = 1;
                }
            }
        }
        if deletes {
            consider(applet, find, &path, &found, depth).await?;
        }
        Ok(status)
    })
}

fn contains_delete(test: &Test) -> bool {
    match test {
        Test::Delete => true,
        Test::Not(inner) => contains_delete(inner),
        Test::And(tests) | Test::Or(tests) => tests.iter().any(contains_delete),
        _ => false,
    }
}

/// Tests a file; returns whether it is not to be entered.
async fn consider(applet: &mut Applet, find: &Find, path: &str, found: &Metadata, depth: usize) -> Result<bool, Stop> {
    if depth < find.least {
        return Ok(false);
    }
    let mut seen = Seen { view: &applet.view, path, found, out: String::new(), pruned: false, complaints: Vec::new() };
    let holds = seen.holds(&find.test);
    let Seen { mut out, pruned, complaints, .. } = seen;
    if holds && find.prints {
        out = format!("{path}\n");
    }
    for complaint in complaints {
        applet.complain(complaint);
    }
    applet.put(out).await?;
    Ok(pruned)
}

struct Seen<'a> {
    view: &'a crate::view::View,
    path: &'a str,
    found: &'a Metadata,
    out: String,
    pruned: bool,
    complaints: Vec<String>,
}

impl Seen<'_> {
    fn holds(&mut self, test: &Test) -> bool {
        let characters = |text: &str| text.chars().collect::<Vec<_>>();
        match test {
            Test::Name { pattern, ignore_case } => {
                let trimmed = self.path.trim_end_matches('/');
                let name = trimmed.rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(self.path);
                let name = if *ignore_case { name.to_lowercase() } else { name.to_owned() };
                matches(pattern, &characters(&name))
            }
            Test::Path(pattern) => matches(pattern, &characters(self.path)),
            Test::Kind(kind) => self.found.kind == *kind,
            Test::Empty => match self.found.kind {
                Kind::Directory => self.view.read_dir(self.path).is_ok_and(|names| names.is_empty()),
                Kind::File => self.found.size == 0,
                _ => false,
            },
            Test::Size(order, bytes) => {
                let blocks = |bytes: u64| bytes.div_ceil(512);
                if bytes % 512 == 0 {
                    blocks(self.found.size).cmp(&blocks(*bytes)) == *order
                } else {
                    self.found.size.cmp(bytes) == *order
                }
            }
            Test::Minutes(order, minutes) => {
                let age = (jiff::Timestamp::now().as_second() - self.found.modified) / 60;
                age.cmp(minutes) == *order
            }
            Test::Print(end) => {
                self.out.push_str(self.path);
                self.out.push(*end);
                true
            }
            Test::Prune => {
                self.pruned = true;
                true
            }
            Test::Delete => {
                let path = self.view.path(self.path);
                let files = self.view.files();
                let removed = if self.found.kind == Kind::Directory { files.remove_dir(&path) } else { files.remove_file(&path) };
                if let Err(error) = &removed {
                    self.complaints.push(format!("{}: {}", self.path, reason(error)));
                }
                removed.is_ok()
            }
            Test::Not(inner) => !self.holds(inner),
            Test::And(tests) => tests.iter().all(|test| self.holds(test)),
            Test::Or(tests) => tests.iter().any(|test| self.holds(test)),
        }
    }
}
