//! The Common Expression Language as Kubernetes has it (`apiserver/pkg/cel`), for the rules of custom resources and for
//! admission policies.
//!
//! The parser is the `cel` crate's. The checker and the evaluator are our own: errors at creation are the checker's, which the
//! crate has not; and what a rule may cost in time, memory and depth must be bounded, since anyone who may create a
//! CustomResourceDefinition writes them.

mod check;
pub(crate) mod cost;
mod eval;
mod functions;
mod library;
mod strings;
pub(crate) mod types;
pub(crate) mod value;

use std::collections::BTreeMap;
use std::fmt;

use cel::common::ast::{EntryExpr, Expr, IdedExpr};

use check::{Checked, Unfit};
use types::Type;
use value::Val;

/// How much one evaluation may cost (`PerCallLimit`).
pub(crate) const CALL_LIMIT: u64 = 1_000_000;

/// How deep an expression may nest, which bounds the recursion over it.
const DEEPEST: usize = 100;

/// How long an expression may be.
const LONGEST: usize = 20_000;

/// Parsing recurses with the expression; a thread with this much stack has room for the longest.
const STACK: usize = 512 << 20;

/// Why an evaluation has no value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    /// The budget is used up: nothing can make good for it.
    pub(crate) exhausted: bool,
}

impl Fault {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), exhausted: false }
    }

    fn no_overload() -> Self {
        Self::new("no such overload")
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Why an expression is no program.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum CompileError {
    Compilation(String),
    Instantiation(String),
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Compilation(why) => write!(f, "compilation failed: {why}"),
            Self::Instantiation(why) => write!(f, "instantiation failed: {why}"),
        }
    }
}

/// What is left to spend.
#[derive(Debug)]
pub(crate) struct Budget {
    left: u64,
}

impl Budget {
    pub(crate) fn new(left: u64) -> Self {
        Self { left }
    }

    pub(crate) fn left(&self) -> u64 {
        self.left
    }

    fn spend(&mut self, cost: u64) -> Result<(), Fault> {
        match self.left.checked_sub(cost) {
            Some(left) => {
                self.left = left;
                Ok(())
            }
            None => {
                self.left = 0;
                let message = "operation cancelled: actual cost limit exceeded".to_owned();
                Err(Fault { message, exhausted: true })
            }
        }
    }
}

/// What the variables of an expression are.
pub(crate) trait Scope<'a> {
    /// The value of a variable; `None` for one that is not there.
    fn get(&self, name: &str, budget: &mut Budget) -> Option<Result<Val<'a>, Fault>>;
}

/// An expression that is fit to be evaluated.
#[derive(Debug)]
pub(crate) struct Program {
    checked: Checked,
}

impl Program {
    /// Parses and checks; an error is worded as cel-go words it.
    pub(crate) fn compile(source: &str, vars: &BTreeMap<String, Type>) -> Result<Self, CompileError> {
        let size = source.chars().count();
        if size > LONGEST {
            let why = format!("ERROR: <input>:-1:0: expression code point size exceeds limit: size: {size}, limit {LONGEST}");
            return Err(CompileError::Compilation(why));
        }
        let work = || Self::compile_here(source, vars);
        std::thread::scope(|scope| match std::thread::Builder::new().stack_size(STACK).spawn_scoped(scope, work) {
            Ok(thread) => {
                let failed = || CompileError::Compilation("ERROR: <input>:1:1: the parser failed".to_owned());
                thread.join().unwrap_or_else(|_| Err(failed()))
            }
            Err(e) => Err(CompileError::Compilation(format!("ERROR: <input>:1:1: no thread to parse in: {e}"))),
        })
    }

    fn compile_here(source: &str, vars: &BTreeMap<String, Type>) -> Result<Self, CompileError> {
        // An environment without macros: the checker has its own.
        let parser = ::cel::Env::default().parser().max_recursion_depth(250);
        let (expr, info) = parser.parse_with_source_info(source).map_err(|errors| {
            let at = |n: isize| usize::try_from(n).unwrap_or(0).max(1);
            // What the crate adds about its own tree is no news.
            let real = errors.errors.iter().filter(|e| !e.msg.starts_with("Incomplete"));
            let each = real.map(|e| located(source, at(e.pos.0), at(e.pos.1), &expecting(&e.msg)));
            CompileError::Compilation(each.collect::<Vec<_>>().join("\n"))
        })?;
        if !is_shallow(&expr) {
            let why = format!("expression recursion limit exceeded: {DEEPEST}");
            return Err(CompileError::Compilation(located(source, 1, 1, &why)));
        }
        match check::check(&expr, &info, vars) {
            Ok(checked) => Ok(Self { checked }),
            Err(Unfit::Instantiation(why)) => Err(CompileError::Instantiation(why)),
            Err(Unfit::Errors(errors)) => {
                let each = errors.iter().map(|(at, message)| {
                    let before: String = source.chars().take(*at).collect();
                    let line = before.matches('\n').count() + 1;
                    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
                    located(source, line, column, message)
                });
                Err(CompileError::Compilation(each.collect::<Vec<_>>().join("\n")))
            }
        }
    }

    /// The type of its value.
    pub(crate) fn ty(&self) -> &Type {
        &self.checked.ty
    }

    /// Whether it mentions a variable.
    pub(crate) fn uses(&self, variable: &str) -> bool {
        self.checked.uses.iter().any(|used| used == variable)
    }

    pub(crate) fn evaluate<'a>(&'a self, scope: &dyn Scope<'a>, budget: &mut Budget) -> Result<Val<'a>, Fault> {
        eval::evaluate(&self.checked.node, scope, budget)
    }
}

/// Syntax errors name what was expected; cel-go's parser knows better than the crate's what can follow an expression.
fn expecting(message: &str) -> String {
    let Some((before, set)) = message.split_once("expecting {") else { return message.to_owned() };
    let only = |token: &str| format!("{before}expecting {token}");
    if set.starts_with("<EOF>, '=='") {
        only("<EOF>")
    } else if set.starts_with("'=='") && set.contains("':'") {
        only("':'")
    } else {
        message.to_owned()
    }
}

/// A message with its place, as cel-go's `common.Error` prints it.
fn located(source: &str, line: usize, column: usize, message: &str) -> String {
    let mut out = format!("ERROR: <input>:{line}:{column}: {message}");
    if let Some(text) = source.split('\n').nth(line - 1) {
        let dots = ".".repeat(column - 1);
        out.push_str(&format!("\n | {}\n | {dots}^", text.replace('\t', " ")));
    }
    out
}

/// Whether an expression nests no deeper than [`DEEPEST`]; without recursion.
fn is_shallow(root: &IdedExpr) -> bool {
    let mut open = vec![(root, 1)];
    while let Some((expr, depth)) = open.pop() {
        if depth > DEEPEST {
            return false;
        }
        let mut below = |expr| open.push((expr, depth + 1));
        match &expr.expr {
            Expr::Call(call) => call.target.iter().map(AsRef::as_ref).chain(&call.args).for_each(below),
            Expr::Select(select) => below(&select.operand),
            Expr::List(list) => list.elements.iter().for_each(below),
            Expr::Map(map) => {
                for entry in &map.entries {
                    if let EntryExpr::MapEntry(entry) = &entry.expr {
                        below(&entry.key);
                        below(&entry.value);
                    }
                }
            }
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests;
