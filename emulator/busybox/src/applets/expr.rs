//! `expr`.

use crate::applet::{Applet, Ended, Stop};
use crate::expression::{Syntax, compile};

/// How deep parentheses may be nested.
const DEEPEST: u32 = 50;

/// What is wrong with an expression.
type Fault = String;

pub(super) async fn expr(mut applet: Applet) -> Ended {
    let words: Vec<String> =
        applet.args.iter().skip(usize::from(applet.args.first().is_some_and(|arg| arg == "--"))).cloned().collect();
    if words.is_empty() {
        applet.complain("too few arguments");
        return Err(Stop(2));
    }
    let mut expression = Expression { words: &words, at: 0, depth: 0 };
    let value = expression.binary(0);
    let value = match value {
        Ok(_) if expression.at < words.len() => Err("syntax error".to_owned()),
        value => value,
    };
    match value {
        Ok(value) => {
            let is_null = value.is_empty() || value == "0";
            applet.line(value).await?;
            applet.end(i32::from(is_null)).await
        }
        Err(fault) => {
            applet.complain(fault);
            Err(Stop(2))
        }
    }
}

struct Expression<'a> {
    words: &'a [String],
    at: usize,
    depth: u32,
}

/// The operators, the weakest first.
const LEVELS: [&[&str]; 6] = [&["|"], &["&"], &["<", "<=", "=", "==", "!=", ">=", ">"], &["+", "-"], &["*", "/", "%"], &[":"]];

fn integer(text: &str) -> Result<i64, Fault> {
    text.parse().map_err(|_| "non-numeric argument".to_owned())
}

fn is_null(text: &str) -> bool {
    text.is_empty() || text == "0"
}

impl Expression<'_> {
    fn next(&mut self) -> Option<&str> {
        let word = self.words.get(self.at)?;
        self.at += 1;
        Some(word)
    }

    fn operand(&mut self) -> Result<String, Fault> {
        self.next().map(str::to_owned).ok_or_else(|| "syntax error".to_owned())
    }

    fn binary(&mut self, level: usize) -> Result<String, Fault> {
        let Some(operators) = LEVELS.get(level) else { return self.primary() };
        let mut left = self.binary(level + 1)?;
        while let Some(operator) = self.words.get(self.at).filter(|word| operators.contains(&word.as_str())).cloned() {
            self.at += 1;
            let right = self.binary(level + 1)?;
            left = apply(&operator, &left, &right)?;
        }
        Ok(left)
    }

    fn primary(&mut self) -> Result<String, Fault> {
        match self.operand()?.as_str() {
            "(" => {
                if self.depth > DEEPEST {
                    return Err("syntax error".to_owned());
                }
                self.depth += 1;
                let value = self.binary(0)?;
                self.depth -= 1;
                if self.next() == Some(")") { Ok(value) } else { Err("syntax error".to_owned()) }
            }
            "length" if self.at < self.words.len() => Ok(self.operand()?.chars().count().to_string()),
            "match" if self.at < self.words.len() => {
                let (text, pattern) = (self.operand()?, self.operand()?);
                apply(":", &text, &pattern)
            }
            "index" if self.at < self.words.len() => {
                let (text, wanted) = (self.operand()?, self.operand()?);
                Ok(text.chars().position(|character| wanted.contains(character)).map_or(0, |at| at + 1).to_string())
            }
            "substr" if self.at < self.words.len() => {
                let text = self.operand()?;
                let (from, length) = (integer(&self.operand()?)?, integer(&self.operand()?)?);
                let (Ok(from), Ok(length)) = (usize::try_from(from), usize::try_from(length)) else { return Ok(String::new()) };
                Ok(if from == 0 { String::new() } else { text.chars().skip(from - 1).take(length).collect() })
            }
            ")" => Err("syntax error".to_owned()),
            text => Ok(text.to_owned()),
        }
    }
}

fn apply(operator: &str, left: &str, right: &str) -> Result<String, Fault> {
    let numbers = || Ok::<_, Fault>((integer(left)?, integer(right)?));
    Ok(match operator {
        "|" if is_null(left) => right.to_owned(),
        "|" => left.to_owned(),
        "&" if is_null(left) || is_null(right) => "0".to_owned(),
        "&" => left.to_owned(),
        "<" | "<=" | "=" | "==" | "!=" | ">=" | ">" => {
            let order = match numbers() {
                Ok((one, two)) => one.cmp(&two),
                Err(_) => left.cmp(right),
            };
            let holds = match operator {
                "<" => order.is_lt(),
                "<=" => order.is_le(),
                ">=" => order.is_ge(),
                ">" => order.is_gt(),
                "!=" => order.is_ne(),
                _ => order.is_eq(),
            };
            i32::from(holds).to_string()
        }
        "+" => numbers().map(|(one, two)| one.wrapping_add(two))?.to_string(),
        "-" => numbers().map(|(one, two)| one.wrapping_sub(two))?.to_string(),
        "*" => numbers().map(|(one, two)| one.wrapping_mul(two))?.to_string(),
        "/" | "%" => match numbers()? {
            (_, 0) => return Err("division by zero".to_owned()),
            (one, two) if operator == "/" => one.wrapping_div(two).to_string(),
            (one, two) => one.wrapping_rem(two).to_string(),
        },
        _ => {
            let groups = right.contains("\\(");
            let pattern = compile(&format!("^{}", right.trim_start_matches('^')), Syntax::default())?;
            match pattern.captures(left.as_bytes()) {
                Some(found) if groups => {
                    found.get(1).map_or(String::new(), |group| String::from_utf8_lossy(group.as_bytes()).into_owned())
                }
                Some(found) => {
                    found.get(0).map_or(0, |whole| String::from_utf8_lossy(whole.as_bytes()).chars().count()).to_string()
                }
                None if groups => String::new(),
                None => "0".to_owned(),
            }
        }
    })
}
