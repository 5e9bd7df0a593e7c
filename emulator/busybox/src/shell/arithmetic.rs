//! `$(( ))`: 64-bit integers, C's operators (`shell/math.c`).

/// What an expression needs of the shell.
pub(super) trait Variables {
    fn get(&self, name: &str) -> Option<String>;
    /// Gives a variable a value; says what is wrong if that cannot be.
    fn set(&mut self, name: &str, value: i64) -> Result<(), String>;
}

/// Names that stand for names that stand for names.
const DEEPEST: u32 = 30;

/// An expression's value, or what is wrong with it.
pub(super) fn evaluate(text: &str, variables: &mut dyn Variables) -> Result<i64, String> {
    at_depth(text, variables, 0)
}

fn at_depth(text: &str, variables: &mut dyn Variables, depth: u32) -> Result<i64, String> {
    if depth > DEEPEST {
        return Err("expression recursion loop detected".to_owned());
    }
    let mut expression = Expression { text: text.as_bytes(), at: 0, variables, depth, dry: false };
    expression.blanks();
    if expression.at == text.len() {
        return Ok(0);
    }
    let value = expression.comma()?;
    expression.blanks();
    if expression.at < text.len() { Err(SYNTAX.to_owned()) } else { Ok(value) }
}

const SYNTAX: &str = "arithmetic syntax error";

struct Expression<'a> {
    text: &'a [u8],
    at: usize,
    variables: &'a mut dyn Variables,
    depth: u32,
    /// Nothing is done: the branch is not taken.
    dry: bool,
}

/// The binary operators, the longest of those with a common start first, and how strongly they bind.
const BINARY: [(&str, u8); 19] = [
    ("||", 1),
    ("&&", 2),
    ("|", 3),
    ("^", 4),
    ("&", 5),
    ("==", 6),
    ("!=", 6),
    ("<<", 8),
    (">>", 8),
    ("<=", 7),
    (">=", 7),
    ("<", 7),
    (">", 7),
    ("+", 9),
    ("-", 9),
    ("**", 11),
    ("*", 10),
    ("/", 10),
    ("%", 10),
];
const ASSIGNMENTS: [&str; 11] = ["<<=", ">>=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=", "="];

impl Expression<'_> {
    fn blanks(&mut self) {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
    }

    fn looking_at(&self, what: &str) -> bool {
        self.text[self.at..].starts_with(what.as_bytes())
    }

    fn skip(&mut self, what: &str) -> bool {
        self.blanks();
        let here = self.looking_at(what);
        if here {
            self.at += what.len();
        }
        here
    }

    fn deeper<T>(&mut self, parse: impl FnOnce(&mut Self) -> Result<T, String>) -> Result<T, String> {
        if self.depth > DEEPEST {
            return Err(SYNTAX.to_owned());
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    fn comma(&mut self) -> Result<i64, String> {
        let mut value = self.assignment()?;
        while self.skip(",") {
            value = self.assignment()?;
        }
        Ok(value)
    }

    fn name(&mut self) -> Option<String> {
        self.blanks();
        let rest = &self.text[self.at..];
        if !rest.first().is_some_and(|first| *first == b'_' || first.is_ascii_alphabetic()) {
            return None;
        }
        let length = rest.iter().take_while(|next| **next == b'_' || next.is_ascii_alphanumeric()).count();
        self.at += length;
        Some(String::from_utf8_lossy(&rest[..length]).into_owned())
    }

    fn assignment(&mut self) -> Result<i64, String> {
        let from = self.at;
        if let Some(name) = self.name() {
            self.blanks();
            let operator = ASSIGNMENTS.into_iter().find(|operator| self.looking_at(operator));
            if let Some(operator) = operator.filter(|operator| *operator != "=" || !self.looking_at("==")) {
                self.at += operator.len();
                let right = self.deeper(Self::assignment)?;
                let value = match operator.strip_suffix('=') {
                    Some(binary) if !binary.is_empty() => {
                        let left = self.value_of(&name)?;
                        self.apply(binary, left, right)?
                    }
                    _ => right,
                };
                return self.set(&name, value);
            }
            self.at = from;
        }
        let condition = self.binary(1)?;
        if !self.skip("?") {
            return Ok(condition);
        }
        let was_dry = self.dry;
        self.dry = was_dry || condition == 0;
        let yes = self.deeper(Self::assignment)?;
        if !self.skip(":") {
            return Err("malformed ?: operator".to_owned());
        }
        self.dry = was_dry || condition != 0;
        let no = self.deeper(Self::assignment)?;
        self.dry = was_dry;
        Ok(if condition == 0 { no } else { yes })
    }

    /// An operator of at least that strength, which is not the start of an assignment.
    fn operator(&self, least: u8) -> Option<(&'static str, u8)> {
        let found = BINARY.into_iter().find(|(operator, _)| self.looking_at(operator))?;
        let longer = ASSIGNMENTS.iter().any(|assignment| assignment.len() > found.0.len() && self.looking_at(assignment));
        (found.1 >= least && !longer).then_some(found)
    }

    fn binary(&mut self, least: u8) -> Result<i64, String> {
        let mut left = self.unary()?;
        loop {
            self.blanks();
            let Some((operator, strength)) = self.operator(least) else { return Ok(left) };
            self.at += operator.len();
            let was_dry = self.dry;
            self.dry |= (operator == "||" && left != 0) || (operator == "&&" && left == 0);
            // A power's power comes first.
            let right = self.deeper(|inner| inner.binary(if operator == "**" { strength } else { strength + 1 }))?;
            left = self.apply(operator, left, right)?;
            self.dry = was_dry;
        }
    }

    fn apply(&self, operator: &str, left: i64, right: i64) -> Result<i64, String> {
        let shift = u32::try_from(right & 63).unwrap_or(0);
        Ok(match operator {
            "||" => i64::from(left != 0 || right != 0),
            "&&" => i64::from(left != 0 && right != 0),
            "|" => left | right,
            "^" => left ^ right,
            "&" => left & right,
            "==" => i64::from(left == right),
            "!=" => i64::from(left != right),
            "<=" => i64::from(left <= right),
            ">=" => i64::from(left >= right),
            "<" => i64::from(left < right),
            ">" => i64::from(left > right),
            "<<" => left.wrapping_shl(shift),
            ">>" => left.wrapping_shr(shift),
            "+" => left.wrapping_add(right),
            "-" => left.wrapping_sub(right),
            "*" => left.wrapping_mul(right),
            "**" if right < 0 => return Err("exponent less than 0".to_owned()),
            "**" => left.wrapping_pow(u32::try_from(right).unwrap_or(u32::MAX)),
            _ if right == 0 && self.dry => 0,
            _ if right == 0 => return Err("divide by zero".to_owned()),
            "/" => left.wrapping_div(right),
            _ => left.wrapping_rem(right),
        })
    }

    fn unary(&mut self) -> Result<i64, String> {
        self.blanks();
        for step in ["++", "--"] {
            let from = self.at;
            if self.skip(step) {
                if let Some(name) = self.name() {
                    let value = self.value_of(&name)?.wrapping_add(if step == "++" { 1 } else { -1 });
                    return self.set(&name, value);
                }
                self.at = from;
            }
        }
        match self.text.get(self.at) {
            Some(operator @ (b'-' | b'+' | b'!' | b'~')) => {
                self.at += 1;
                let value = self.deeper(Self::unary)?;
                Ok(match operator {
                    b'-' => value.wrapping_neg(),
                    b'+' => value,
                    b'!' => i64::from(value == 0),
                    _ => !value,
                })
            }
            Some(b'(') => {
                self.at += 1;
                let value = self.deeper(Self::comma)?;
                if self.skip(")") { Ok(value) } else { Err(SYNTAX.to_owned()) }
            }
            Some(b'0'..=b'9') => self.number(),
            _ => self.variable(),
        }
    }

    fn number(&mut self) -> Result<i64, String> {
        let rest = &self.text[self.at..];
        let length = rest.iter().take_while(|next| next.is_ascii_alphanumeric() || **next == b'#').count();
        self.at += length;
        let digits = String::from_utf8_lossy(&rest[..length]).to_ascii_lowercase();
        let (digits, radix) = match () {
            () if digits.starts_with("0x") => (&digits[2..], 16),
            () if digits.contains('#') => {
                let (radix, digits) = digits.split_once('#').unwrap_or_default();
                (digits, radix.parse().ok().filter(|radix| (2..=36).contains(radix)).ok_or(SYNTAX)?)
            }
            () if digits.len() > 1 && digits.starts_with('0') => (&digits[1..], 8),
            () => (digits.as_str(), 10),
        };
        // As strtoull: what is too large is the largest.
        match u64::from_str_radix(digits, radix) {
            Ok(value) => Ok(value.cast_signed()),
            Err(error) if *error.kind() == std::num::IntErrorKind::PosOverflow => Ok(-1),
            Err(_) => Err(SYNTAX.to_owned()),
        }
    }

    fn variable(&mut self) -> Result<i64, String> {
        let Some(name) = self.name() else { return Err(SYNTAX.to_owned()) };
        let value = self.value_of(&name)?;
        for step in ["++", "--"] {
            if self.skip(step) {
                self.set(&name, value.wrapping_add(if step == "++" { 1 } else { -1 }))?;
                break;
            }
        }
        Ok(value)
    }

    fn value_of(&mut self, name: &str) -> Result<i64, String> {
        match self.variables.get(name) {
            Some(text) => at_depth(&text, self.variables, self.depth + 1),
            None => Ok(0),
        }
    }

    fn set(&mut self, name: &str, value: i64) -> Result<i64, String> {
        if !self.dry {
            self.variables.set(name, value)?;
        }
        Ok(value)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use rstest::rstest;

    use super::*;

    impl Variables for BTreeMap<String, String> {
        fn get(&self, name: &str) -> Option<String> {
            BTreeMap::get(self, name).cloned()
        }

        fn set(&mut self, name: &str, value: i64) -> Result<(), String> {
            self.insert(name.to_owned(), value.to_string());
            Ok(())
        }
    }

    #[rstest]
    #[case("1+2*3", Ok(7))]
    #[case("(1+2)*3", Ok(9))]
    #[case("2**3**2", Ok(512))]
    #[case("-7/2", Ok(-3))]
    #[case("7%-3", Ok(1))]
    #[case("1<<4|1", Ok(17))]
    #[case("x=5,x+1", Ok(6))]
    #[case("n+=2", Ok(5))]
    #[case("n++ + n", Ok(7))]
    #[case("--n", Ok(2))]
    #[case("m", Ok(3))]
    #[case("n>2?10:20", Ok(10))]
    #[case("0&&1/0", Ok(0))]
    #[case("0x1f+010", Ok(39))]
    #[case("!3", Ok(0))]
    #[case("n==3", Ok(3 - 2))]
    #[case("", Ok(0))]
    #[case("1/0", Err("divide by zero"))]
    #[case("1+", Err(SYNTAX))]
    #[case("1 2", Err(SYNTAX))]
    #[case("loop", Err("expression recursion loop detected"))]
    #[case("9223372036854775807+1", Ok(i64::MIN))]
    fn expressions(#[case] text: &str, #[case] expected: Result<i64, &str>) {
        let pairs = [("n", "3"), ("m", "n"), ("loop", "loop")];
        let mut variables: BTreeMap<_, _> = pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        assert_eq!(evaluate(text, &mut variables), expected.map_err(str::to_owned));
    }
}
