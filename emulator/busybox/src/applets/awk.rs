//! `awk`, as far as `print` goes: patterns, fields, concatenation. What is more is refused.

use regex::bytes::Regex;

use super::grep::Lines;
use crate::applet::{Applet, Ended, Stop};
use crate::expression::{Syntax, compile};

/// Which lines a rule is for.
enum Pattern {
    Always,
    Matching { value: Option<Value>, pattern: Regex, negated: bool },
    Compared { left: Value, operator: String, right: Value },
}

/// Something that is printed or compared.
enum Value {
    Text(String),
    Number(f64),
    Field(usize),
    /// `$NF`
    LastField,
    LineNumber,
    FieldCount,
}

/// What is printed: values that are next to each other, separated by blanks where there were commas.
type Print = Vec<Vec<Value>>;

struct Rule {
    pattern: Pattern,
    prints: Vec<Print>,
}

struct Parser<'a> {
    text: Vec<char>,
    at: usize,
    applet: &'a Applet,
}

impl Parser<'_> {
    fn refuse(&self) -> Stop {
        self.applet.fail("only patterns and print are emulated")
    }

    fn peek(&self) -> Option<char> {
        self.text.get(self.at).copied()
    }

    fn blanks(&mut self) {
        while self.peek().is_some_and(|next| next == ' ' || next == '\t') {
            self.at += 1;
        }
    }

    fn skip(&mut self, what: &str) -> bool {
        self.blanks();
        let here = what.chars().enumerate().all(|(index, wanted)| self.text.get(self.at + index) == Some(&wanted));
        if here {
            self.at += what.len();
        }
        here
    }

    /// Up to a delimiter, which may be escaped.
    fn quoted(&mut self, delimiter: char) -> Result<String, Stop> {
        let mut text = String::new();
        loop {
            let Some(next) = self.peek() else { return Err(self.applet.fail("unexpected end of string")) };
            self.at += 1;
            match next {
                _ if next == delimiter => return Ok(text),
                '\\' => {
                    let escaped = self.peek();
                    self.at += 1;
                    if escaped != Some(delimiter) {
                        text.push('\\');
                    }
                    text.extend(escaped);
                }
                other => text.push(other),
            }
        }
    }

    fn word(&mut self) -> String {
        let from = self.at;
        while self.peek().is_some_and(|next| next.is_ascii_alphanumeric() || next == '_' || next == '.') {
            self.at += 1;
        }
        self.text[from..self.at].iter().collect()
    }

    fn value(&mut self) -> Result<Option<Value>, Stop> {
        self.blanks();
        match self.peek() {
            Some('"') => {
                self.at += 1;
                let text = self.quoted('"')?;
                let text = crate::escapes::unescape(text.as_bytes()).0;
                Ok(Some(Value::Text(String::from_utf8_lossy(&text).into_owned())))
            }
            Some('$') => {
                self.at += 1;
                match self.word().as_str() {
                    "NF" => Ok(Some(Value::LastField)),
                    number => number.parse().map(|field| Some(Value::Field(field))).map_err(|_| self.refuse()),
                }
            }
            Some(next) if next.is_ascii_alphanumeric() => match self.word().as_str() {
                "NR" => Ok(Some(Value::LineNumber)),
                "NF" => Ok(Some(Value::FieldCount)),
                number => number.parse().map(|number| Some(Value::Number(number))).map_err(|_| self.refuse()),
            },
            _ => Ok(None),
        }
    }

    fn regex(&mut self) -> Result<Option<Regex>, Stop> {
        if !self.skip("/") {
            return Ok(None);
        }
        let text = self.quoted('/')?;
        let syntax = Syntax { extended: true, ..Syntax::default() };
        compile(&text, syntax).map(Some).map_err(|why| self.applet.fail(format_args!("bad regex '{text}': {why}")))
    }

    fn pattern(&mut self) -> Result<Pattern, Stop> {
        let negated = self.skip("!");
        if let Some(pattern) = self.regex()? {
            return Ok(Pattern::Matching { value: None, pattern, negated });
        }
        let Some(left) = self.value()? else {
            return if negated { Err(self.refuse()) } else { Ok(Pattern::Always) };
        };
        for operator in ["==", "!=", "<=", ">=", "!~", "~", "<", ">"] {
            if !self.skip(operator) {
                continue;
            }
            if operator.ends_with('~') {
                let pattern = self.regex()?.ok_or_else(|| self.refuse())?;
                return Ok(Pattern::Matching { value: Some(left), pattern, negated: operator == "!~" });
            }
            let right = self.value()?.ok_or_else(|| self.refuse())?;
            return Ok(Pattern::Compared { left, operator: operator.to_owned(), right });
        }
        // A value alone holds where it is neither 0 nor empty.
        Ok(Pattern::Compared { left, operator: "!=".to_owned(), right: Value::Number(0.0) })
    }

    fn print(&mut self) -> Result<Print, Stop> {
        if !self.skip("print") {
            return Err(self.refuse());
        }
        let mut all = vec![Vec::new()];
        loop {
            if self.skip(",") {
                all.push(Vec::new());
            }
            match self.value()? {
                Some(value) => {
                    if let Some(last) = all.last_mut() {
                        last.push(value);
                    }
                }
                None => return Ok(all),
            }
        }
    }

    fn rules(&mut self) -> Result<Vec<Rule>, Stop> {
        let mut rules = Vec::new();
        loop {
            while self.skip("\n") || self.skip(";") {}
            if self.at >= self.text.len() {
                return Ok(rules);
            }
            let pattern = self.pattern()?;
            let mut prints = Vec::new();
            if self.skip("{") {
                while !self.skip("}") {
                    prints.push(self.print()?);
                    while self.skip("\n") || self.skip(";") {}
                }
            } else if matches!(pattern, Pattern::Always) {
                return Err(self.refuse());
            } else {
                prints.push(vec![Vec::new()]);
            }
            rules.push(Rule { pattern, prints });
        }
    }
}

/// A line, split into fields.
struct Line {
    text: String,
    fields: Vec<String>,
    number: u64,
}

impl Line {
    fn show(&self, value: &Value) -> String {
        match value {
            Value::Text(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Field(0) => self.text.clone(),
            Value::Field(field) => self.fields.get(field - 1).cloned().unwrap_or_default(),
            Value::LastField => self.fields.last().cloned().unwrap_or_default(),
            Value::LineNumber => self.number.to_string(),
            Value::FieldCount => self.fields.len().to_string(),
        }
    }

    fn fulfils(&self, pattern: &Pattern) -> bool {
        match pattern {
            Pattern::Always => true,
            Pattern::Matching { value, pattern, negated } => {
                let text = value.as_ref().map_or_else(|| self.text.clone(), |value| self.show(value));
                pattern.is_match(text.as_bytes()) != *negated
            }
            Pattern::Compared { left, operator, right } => {
                let (one, two) = (self.show(left), self.show(right));
                let strings = matches!(left, Value::Text(_)) || matches!(right, Value::Text(_));
                let order = match (one.trim().parse::<f64>(), two.trim().parse::<f64>()) {
                    (Ok(one), Ok(two)) if !strings => one.total_cmp(&two),
                    _ => one.cmp(&two),
                };
                match operator.as_str() {
                    "==" => order.is_eq(),
                    "!=" => order.is_ne(),
                    "<" => order.is_lt(),
                    "<=" => order.is_le(),
                    ">" => order.is_gt(),
                    _ => order.is_ge(),
                }
            }
        }
    }
}

/// What separates fields (`-F`).
enum Separator {
    Blanks,
    Text(Regex),
}

impl Separator {
    fn split(&self, text: &str) -> Vec<String> {
        match self {
            Self::Blanks => text.split_whitespace().map(str::to_owned).collect(),
            Self::Text(_) if text.is_empty() => Vec::new(),
            Self::Text(pattern) => {
                pattern.split(text.as_bytes()).map(|field| String::from_utf8_lossy(field).into_owned()).collect()
            }
        }
    }
}

pub(super) async fn awk(mut applet: Applet) -> Ended {
    let (options, mut words) = applet.options("+F:v:f:e:", &[])?;
    if options.has('v') || options.has('f') || options.has('e') {
        return Err(applet.fail("only patterns and print are emulated"));
    }
    if words.is_empty() {
        return Err(applet.misused());
    }
    let program = words.remove(0);
    let rules = Parser { text: program.chars().collect(), at: 0, applet: &applet }.rules()?;
    let separator = match options.value('F') {
        None | Some(" ") => Separator::Blanks,
        Some(text) => {
            let text = if text == "t" { "\t" } else { text };
            // One character means itself.
            let literal = text.chars().count() == 1 || text == "\\t";
            let pattern = if literal && text != "\\t" { regex::escape(text) } else { text.to_owned() };
            Separator::Text(Regex::new(&pattern).map_err(|_| applet.fail(format_args!("bad regex '{text}'")))?)
        }
    };
    if words.is_empty() {
        words.push("-".to_owned());
    }
    let (mut status, mut number) = (0, 0);
    for path in &words {
        let Some(mut input) = applet.open_or_warn(path) else {
            status = 1;
            continue;
        };
        let mut lines = Lines::default();
        while let Ok(Some(line)) = lines.next(&mut input).await {
            number += 1;
            let text = String::from_utf8_lossy(&line).into_owned();
            let line = Line { fields: separator.split(&text), text, number };
            for rule in rules.iter().filter(|rule| line.fulfils(&rule.pattern)) {
                for print in &rule.prints {
                    let parts: Vec<String> =
                        print.iter().map(|values| values.iter().map(|value| line.show(value)).collect()).collect();
                    let text = if print.iter().all(Vec::is_empty) { line.text.clone() } else { parts.join(" ") };
                    applet.line(text).await?;
                }
            }
        }
    }
    applet.end(status).await
}
