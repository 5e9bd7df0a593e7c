//! `test`, `[` and `[[`.

use k3s_arc_container::files::{Kind, Metadata};

use crate::view::View;

/// What conditions are asked of.
pub(crate) struct Asked<'a> {
    pub(crate) view: &'a View,
    /// Whether an open file is a terminal.
    pub(crate) is_terminal: &'a (dyn Fn(u32) -> bool + Sync),
    /// `[[`: text is compared with patterns, `&&` and `||` stand for `-a` and `-o`.
    pub(crate) patterns: bool,
}

/// How deep parentheses may be nested.
const DEEPEST: u32 = 50;

/// Whether a condition holds, or what is wrong with it.
pub(crate) fn holds(args: &[String], asked: &Asked<'_>) -> Result<bool, String> {
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let mut condition = Condition { args: &args, at: 0, asked, depth: 0 };
    let few = condition.few()?;
    if let Some(holds) = few {
        return Ok(holds);
    }
    let holds = condition.or()?;
    match condition.peek() {
        Some(left) => Err(format!("{left}: unknown operand")),
        None => Ok(holds),
    }
}

struct Condition<'a> {
    args: &'a [&'a str],
    at: usize,
    asked: &'a Asked<'a>,
    depth: u32,
}

const BINARY: [&str; 15] = ["=", "==", "!=", "<", ">", "=~", "-eq", "-ne", "-lt", "-le", "-gt", "-ge", "-nt", "-ot", "-ef"];
const UNARY: &str = "nzefdrwxsLhpStbcugkOG";

fn is_unary(arg: &str) -> bool {
    arg.strip_prefix('-').is_some_and(|letter| letter.len() == 1 && UNARY.contains(letter))
}

impl Condition<'_> {
    /// Few arguments mean what POSIX says, whatever they look like.
    fn few(&self) -> Result<Option<bool>, String> {
        match self.args {
            [] => Ok(Some(false)),
            [text] => Ok(Some(!text.is_empty())),
            ["!", text] => Ok(Some(text.is_empty())),
            [left, operator, right] if BINARY.contains(operator) => self.binary(left, operator, right).map(Some),
            ["!", operator, operand] if is_unary(operator) => self.unary(operator, operand).map(|holds| Some(!holds)),
            _ => Ok(None),
        }
    }

    fn peek(&self) -> Option<&str> {
        self.args.get(self.at).copied()
    }

    fn skip(&mut self, what: &[&str]) -> bool {
        let here = self.peek().is_some_and(|next| what.contains(&next));
        self.at += usize::from(here);
        here
    }

    fn or(&mut self) -> Result<bool, String> {
        let mut holds = self.and()?;
        while self.skip(if self.asked.patterns { &["-o", "||"] } else { &["-o"] }) {
            holds |= self.and()?;
        }
        Ok(holds)
    }

    fn and(&mut self) -> Result<bool, String> {
        let mut holds = self.not()?;
        while self.skip(if self.asked.patterns { &["-a", "&&"] } else { &["-a"] }) {
            holds &= self.not()?;
        }
        Ok(holds)
    }

    fn not(&mut self) -> Result<bool, String> {
        let mut negated = false;
        while self.at + 1 < self.args.len() && self.skip(&["!"]) {
            negated = !negated;
        }
        Ok(self.primary()? != negated)
    }

    fn primary(&mut self) -> Result<bool, String> {
        let rest = &self.args[self.at..];
        match rest {
            [] => Err("argument expected".to_owned()),
            [left, operator, right, ..] if BINARY.contains(operator) => {
                self.at += 3;
                self.binary(left, operator, right)
            }
            [left, operator] if BINARY.contains(operator) && !is_unary(left) => Err(format!("{operator}: argument expected")),
            ["(", ..] => {
                if self.depth > DEEPEST {
                    return Err("nested too deeply".to_owned());
                }
                self.at += 1;
                self.depth += 1;
                let holds = self.or()?;
                self.depth -= 1;
                if self.skip(&[")"]) { Ok(holds) } else { Err("closing paren expected".to_owned()) }
            }
            [operator, operand, ..] if is_unary(operator) => {
                self.at += 2;
                self.unary(operator, operand)
            }
            [text, ..] => {
                self.at += 1;
                Ok(!text.is_empty())
            }
        }
    }

    fn unary(&self, operator: &str, operand: &str) -> Result<bool, String> {
        let view = self.asked.view;
        let found = |test: &dyn Fn(Metadata) -> bool| view.metadata(operand, true).is_ok_and(test);
        Ok(match operator {
            "-n" => !operand.is_empty(),
            "-z" => operand.is_empty(),
            "-e" => view.exists(operand),
            "-f" => found(&|file| file.kind == Kind::File),
            "-d" => found(&|file| file.kind == Kind::Directory),
            "-r" => view.exists(operand) && view.may(operand, 'r'),
            "-w" => view.exists(operand) && view.may(operand, 'w'),
            "-x" => view.exists(operand) && view.may(operand, 'x'),
            "-s" => found(&|file| file.size > 0),
            "-L" | "-h" => view.metadata(operand, false).is_ok_and(|file| file.kind == Kind::Link),
            "-t" => number(operand).map(|fd| u32::try_from(fd).is_ok_and(self.asked.is_terminal))?,
            "-c" => found(&|file| file.kind == Kind::Other),
            "-u" => found(&|file| file.mode & 0o4000 != 0),
            "-g" => found(&|file| file.mode & 0o2000 != 0),
            "-k" => found(&|file| file.mode & 0o1000 != 0),
            "-O" => found(&|file| file.uid == view.files().user().uid),
            "-G" => found(&|file| file.gid == view.files().user().gid),
            // No pipes, sockets or block devices have names here.
            _ => false,
        })
    }

    fn binary(&self, left: &str, operator: &str, right: &str) -> Result<bool, String> {
        let files = |test: &dyn Fn(Metadata, Metadata) -> bool| {
            let view = self.asked.view;
            matches!((view.metadata(left, true), view.metadata(right, true)), (Ok(one), Ok(two)) if test(one, two))
        };
        let same = || {
            if self.asked.patterns {
                let characters = |text: &str| text.chars().collect::<Vec<_>>();
                crate::shell::matches(&characters(right), &characters(left))
            } else {
                left == right
            }
        };
        let (one, two) = (|| number(left), || number(right));
        Ok(match operator {
            "=" | "==" => same(),
            "!=" => !same(),
            "<" => left < right,
            ">" => left > right,
            "=~" => regex::Regex::new(right).is_ok_and(|pattern| pattern.is_match(left)),
            "-eq" => one()? == two()?,
            "-ne" => one()? != two()?,
            "-lt" => one()? < two()?,
            "-le" => one()? <= two()?,
            "-gt" => one()? > two()?,
            "-ge" => one()? >= two()?,
            "-nt" => files(&|one, two| one.modified > two.modified),
            "-ot" => files(&|one, two| one.modified < two.modified),
            _ => files(&|one, two| one.inode == two.inode),
        })
    }
}

fn number(text: &str) -> Result<i64, String> {
    let trimmed = text.trim();
    match trimmed.strip_prefix('+').unwrap_or(trimmed).parse() {
        Ok(number) => Ok(number),
        Err(error) if matches!(error.kind(), std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow) => {
            Err(format!("{text}: out of range"))
        }
        Err(_) => Err(format!("{text}: bad number")),
    }
}
