//! The checker: resolves names and overloads, finds types, words errors as cel-go does, and turns the parser's tree into one
//! that can be evaluated.

use std::collections::BTreeMap;
use std::sync::Arc;

use cel::common::ast::{CallExpr, EntryExpr, Expr, IdedExpr, LiteralValue, SourceInfo};

use super::functions::{self, Function};
use super::types::{Type, escape};

/// What can be evaluated.
#[derive(Debug)]
pub(crate) enum Node {
    Literal(Literal),
    /// A variable, or one bound by a macro.
    Ident(String),
    /// A field: `a.b`, `has(a.b)`, `a.?b`.
    Field {
        of: Box<Node>,
        name: String,
        access: Access,
    },
    Index {
        of: Box<Node>,
        index: Box<Node>,
        optional: bool,
    },
    Call {
        function: &'static Function,
        args: Vec<Node>,
    },
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    /// Items, and whether each is optional.
    List(Vec<(Node, bool)>),
    Map(Vec<(Node, Node, bool)>),
    Loop(Box<Loop>),
    /// `x.optMap(v, e)` and `x.optFlatMap(v, e)`.
    OptMap {
        of: Box<Node>,
        var: String,
        body: Box<Node>,
        flat: bool,
    },
    /// The name of a type.
    Type(&'static str),
}

/// How a field is looked at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Access {
    Plain,
    Test,
    Optional,
}

/// A macro over a list or a map.
#[derive(Debug)]
pub(crate) struct Loop {
    pub(crate) kind: LoopKind,
    pub(crate) range: Node,
    pub(crate) var: String,
    /// Of the macros with two variables: then `var` is the key or the index.
    pub(crate) second: Option<String>,
    pub(crate) filter: Option<Node>,
    pub(crate) body: Node,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum LoopKind {
    All,
    Exists,
    ExistsOne,
    Filter,
    /// `map` and `transformList`.
    List,
    /// `transformMap`
    Map,
    /// `transformMapEntry`
    Entries,
}

#[derive(Clone, Debug)]
pub(crate) enum Literal {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    String(Arc<str>),
    Bytes(Arc<[u8]>),
}

/// Why an expression is none that can be evaluated.
pub(crate) enum Unfit {
    /// Each with its place.
    Errors(Vec<(usize, String)>),
    Instantiation(String),
}

/// An expression that was checked.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) node: Node,
    pub(crate) ty: Type,
    /// The variables that it mentions.
    pub(crate) uses: Vec<String>,
}

pub(crate) fn check(expr: &IdedExpr, info: &SourceInfo, vars: &BTreeMap<String, Type>) -> Result<Checked, Unfit> {
    let mut checker = Checker {
        info,
        vars,
        locals: Vec::new(),
        bound: Vec::new(),
        errors: Vec::new(),
        uses: Vec::new(),
        instantiation: None,
        late: Vec::new(),
        mixed: false,
    };
    let (node, ty) = checker.expr(expr);
    if checker.errors.is_empty() {
        checker.errors = std::mem::take(&mut checker.late);
    }
    if checker.errors.is_empty() {
        let ty = checker.resolve(&ty);
        match checker.instantiation {
            Some(why) => Err(Unfit::Instantiation(why)),
            None => Ok(Checked { node, ty, uses: checker.uses }),
        }
    } else {
        checker.errors.sort_by_key(|(at, _)| *at);
        Err(Unfit::Errors(checker.errors))
    }
}

struct Checker<'a> {
    info: &'a SourceInfo,
    vars: &'a BTreeMap<String, Type>,
    locals: Vec<(String, Type)>,
    /// What type variables stand for.
    bound: Vec<Option<Type>>,
    errors: Vec<(usize, String)>,
    uses: Vec<String>,
    /// What keeps the program from being made although the expression is well-formed.
    instantiation: Option<String>,
    /// What validators find that run once types are known to be right.
    late: Vec<(usize, String)>,
    /// Whether the elements of the list to come may be of several types.
    mixed: bool,
}

type Typed = (Node, Type);

const NOTHING: Typed = (Node::Literal(Literal::Null), Type::Error);

impl Checker<'_> {
    fn error(&mut self, expr: &IdedExpr, message: String) -> Typed {
        let at = self.place(expr);
        if !self.errors.contains(&(at, message.clone())) {
            self.errors.push((at, message));
        }
        NOTHING
    }

    fn place(&self, expr: &IdedExpr) -> usize {
        self.info.offset_for(expr.id).map_or(0, |(start, _)| start as usize)
    }

    fn fresh(&mut self) -> Type {
        self.bound.push(None);
        Type::Var(self.bound.len() - 1)
    }

    /// A type with what is known of its variables; unknown ones are dynamic.
    fn resolve(&self, ty: &Type) -> Type {
        match self.shallow(ty) {
            Type::Var(_) => Type::Dyn,
            Type::List(of) => Type::list(self.resolve(&of)),
            Type::Map(key, value) => Type::map(self.resolve(&key), self.resolve(&value)),
            Type::Optional(of) => Type::optional(self.resolve(&of)),
            Type::Type(of) => Type::Type(Arc::new(self.resolve(&of))),
            other => other,
        }
    }

    fn shallow(&self, ty: &Type) -> Type {
        let mut ty = ty.clone();
        while let Type::Var(i) = ty {
            match self.bound.get(i) {
                Some(Some(known)) => ty = known.clone(),
                _ => break,
            }
        }
        ty
    }

    fn mentions(&self, ty: &Type, var: usize) -> bool {
        match self.shallow(ty) {
            Type::Var(i) => i == var,
            Type::List(of) | Type::Optional(of) | Type::Type(of) => self.mentions(&of, var),
            Type::Map(key, value) => self.mentions(&key, var) || self.mentions(&value, var),
            _ => false,
        }
    }

    /// Whether a value of `actual` can be where `wanted` is; finds out variables on the way.
    fn fits(&mut self, wanted: &Type, actual: &Type) -> bool {
        let (wanted, actual) = (self.shallow(wanted), self.shallow(actual));
        match (&wanted, &actual) {
            (Type::Var(a), Type::Var(b)) if a == b => true,
            (Type::Var(var), other) | (other, Type::Var(var)) => {
                if self.mentions(other, *var) {
                    return false;
                }
                self.bound[*var] = Some(other.clone());
                true
            }
            (Type::Dyn | Type::Error, _) | (_, Type::Dyn | Type::Error) => true,
            (Type::Null, other) | (other, Type::Null) if other.is_nullable() => true,
            (Type::List(a), Type::List(b)) | (Type::Optional(a), Type::Optional(b)) => self.fits(a, b),
            (Type::Type(_), Type::Type(_)) => true,
            (Type::Map(k, v), Type::Map(l, w)) => self.fits(k, l) && self.fits(v, w),
            (a, b) => a == b,
        }
    }

    fn all_fit(&mut self, wanted: &[Type], actual: &[Type]) -> bool {
        let before = self.bound.clone();
        let good = wanted.len() == actual.len() && wanted.iter().zip(actual).all(|(w, a)| self.fits(w, a));
        if !good {
            self.bound = before;
        }
        good
    }

    /// The type of two alternatives.
    fn join(&mut self, a: &Type, b: &Type) -> Type {
        let before = self.bound.clone();
        if self.fits(a, b) {
            return if matches!(self.shallow(a), Type::Null) || self.shallow(b) == Type::Dyn { b.clone() } else { a.clone() };
        }
        self.bound = before;
        Type::Dyn
    }

    fn expr(&mut self, expr: &IdedExpr) -> Typed {
        match &expr.expr {
            Expr::Literal(literal) => literal_node(literal),
            Expr::Ident(name) => self.ident(expr, name),
            Expr::Select(select) => {
                if let Some(found) = self.qualified(expr) {
                    return found;
                }
                let access = if select.test { Access::Test } else { Access::Plain };
                self.select(expr, &select.operand, &select.field, access)
            }
            Expr::Call(call) => self.call(expr, call),
            Expr::List(list) => {
                let mixed = std::mem::replace(&mut self.mixed, false);
                let mut ty: Option<Type> = None;
                let mut nodes = Vec::new();
                for (i, element) in list.elements.iter().enumerate() {
                    let optional = list.optional_indices.contains(&i);
                    let (node, mut item) = self.expr(element);
                    if optional {
                        item = match self.shallow(&item) {
                            Type::Optional(of) => of.as_ref().clone(),
                            _ => Type::Dyn,
                        };
                    }
                    if mixed {
                        ty = Some(Type::Dyn);
                    } else {
                        ty = Some(self.element(element, ty, item));
                    }
                    nodes.push((node, optional));
                }
                let ty = ty.unwrap_or_else(|| self.fresh());
                (Node::List(nodes), Type::list(ty))
            }
            Expr::Map(map) => self.map(map.entries.iter().map(|e| &e.expr)),
            Expr::Struct(s) => {
                let name = s.type_name.clone();
                self.error(expr, format!("undeclared reference to '{name}' (in container '')"))
            }
            // Macros are not expanded by the parser.
            Expr::Comprehension(_) | Expr::Unspecified => self.error(expr, "unsupported expression".to_owned()),
        }
    }

    /// All elements of a list, and all keys and values of a map, have one type.
    fn element(&mut self, at: &IdedExpr, so_far: Option<Type>, ty: Type) -> Type {
        match so_far {
            None => ty,
            Some(first) => {
                let before = self.bound.clone();
                if self.fits(&first, &ty) {
                    return first;
                }
                self.bound = before;
                let (wanted, actual) = (self.resolve(&first), self.resolve(&ty));
                self.error(at, format!("expected type '{wanted}' but found '{actual}'"));
                first
            }
        }
    }

    fn map<'e>(&mut self, entries: impl Iterator<Item = &'e EntryExpr>) -> Typed {
        let (mut keys, mut values) = (None, None);
        let mut nodes = Vec::new();
        for entry in entries {
            let EntryExpr::MapEntry(entry) = entry else { continue };
            let (key, key_type) = self.expr(&entry.key);
            let (value, mut value_type) = self.expr(&entry.value);
            if entry.optional {
                value_type = match self.shallow(&value_type) {
                    Type::Optional(of) => of.as_ref().clone(),
                    _ => Type::Dyn,
                };
            }
            keys = Some(self.element(&entry.key, keys, key_type));
            values = Some(self.element(&entry.value, values, value_type));
            nodes.push((key, value, entry.optional));
        }
        let key = keys.unwrap_or_else(|| self.fresh());
        let value = values.unwrap_or_else(|| self.fresh());
        (Node::Map(nodes), Type::map(key, value))
    }

    fn ident(&mut self, expr: &IdedExpr, name: &str) -> Typed {
        if let Some((_, ty)) = self.locals.iter().rev().find(|(local, _)| local == name) {
            return (Node::Ident(name.to_owned()), ty.clone());
        }
        if let Some(ty) = self.vars.get(name) {
            if !self.uses.iter().any(|used| used == name) {
                self.uses.push(name.to_owned());
            }
            return (Node::Ident(name.to_owned()), ty.clone());
        }
        match type_name(name) {
            Some((name, ty)) => (Node::Type(name), Type::Type(Arc::new(ty))),
            None => self.error(expr, format!("undeclared reference to '{name}' (in container '')")),
        }
    }

    /// A variable or a type whose name has dots: `google.protobuf.Timestamp`.
    fn qualified(&mut self, expr: &IdedExpr) -> Option<Typed> {
        let name = dotted(expr)?;
        let root = name.split('.').next()?;
        if self.locals.iter().any(|(local, _)| local == root) {
            return None;
        }
        if let Some(ty) = self.vars.get(&name) {
            self.uses.push(name.clone());
            return Some((Node::Ident(name), ty.clone()));
        }
        let (name, ty) = type_name(&name)?;
        Some((Node::Type(name), Type::Type(Arc::new(ty))))
    }

    fn select(&mut self, expr: &IdedExpr, operand: &IdedExpr, field: &str, access: Access) -> Typed {
        let (node, ty) = self.expr(operand);
        let mut ty = self.shallow(&ty);
        let mut through = false;
        if let Type::Optional(of) = ty {
            ty = self.shallow(&of);
            through = true;
        }
        let found = match &ty {
            Type::Error => return NOTHING,
            Type::Dyn | Type::Var(_) => Type::Dyn,
            Type::Map(_, value) => value.as_ref().clone(),
            // Reserved words may be written as they are.
            Type::Object(object) => match object.fields.get(field).or_else(|| object.fields.get(&escape(field)?)) {
                Some(ty) => ty.clone(),
                None => return self.error(expr, format!("undefined field '{field}'")),
            },
            other => {
                let other = self.resolve(other);
                return self.error(expr, format!("type '{other}' does not support field selection"));
            }
        };
        let ty = match access {
            Access::Test => Type::Bool,
            Access::Optional => Type::optional(found),
            Access::Plain if through => Type::optional(found),
            Access::Plain => found,
        };
        (Node::Field { of: Box::new(node), name: field.to_owned(), access }, ty)
    }

    fn call(&mut self, expr: &IdedExpr, call: &CallExpr) -> Typed {
        let args = &call.args;
        if let Some(target) = &call.target {
            if let Some(found) = self.member_macro(expr, target, &call.func_name, args) {
                return found;
            }
            // A function in a namespace, unless the namespace is a variable.
            if let Some(prefix) = dotted(target) {
                let root = prefix.split('.').next().unwrap_or_default();
                let known = self.vars.contains_key(root) || self.locals.iter().any(|(local, _)| local == root);
                if let Some(function) = functions::find(&format!("{prefix}.{}", call.func_name)).filter(|_| !known) {
                    return self.overload(expr, function, None, args);
                }
            }
            return match functions::find(&call.func_name) {
                Some(function) => self.overload(expr, function, Some(target), args),
                None => {
                    self.expr(target);
                    args.iter().for_each(|arg| drop(self.expr(arg)));
                    self.error(expr, format!("undeclared reference to '{}' (in container '')", call.func_name))
                }
            };
        }
        match (call.func_name.as_str(), args.as_slice()) {
            ("has", [arg]) => match &arg.expr {
                Expr::Select(select) => self.select(expr, &select.operand, &select.field, Access::Test),
                _ => self.error(arg, "invalid argument to has() macro".to_owned()),
            },
            ("_&&_" | "_||_", [first, rest @ ..]) => {
                let (mut node, ty) = self.expr(first);
                self.must_be_bool(first, &ty);
                for arg in rest {
                    let (right, ty) = self.expr(arg);
                    self.must_be_bool(arg, &ty);
                    let pair = (Box::new(node), Box::new(right));
                    node = if call.func_name == "_&&_" { Node::And(pair.0, pair.1) } else { Node::Or(pair.0, pair.1) };
                }
                (node, Type::Bool)
            }
            ("_?_:_", [condition, yes, no]) => {
                let ((c, ct), (y, yt), (n, nt)) = (self.expr(condition), self.expr(yes), self.expr(no));
                let types = [ct.clone(), yt.clone(), nt.clone()];
                let branch = self.fresh();
                if !self.fits(&Type::Bool, &ct) || !self.fits(&branch, &yt) || !self.fits(&branch, &nt) {
                    return self.no_overload(expr, "_?_:_", &types, false);
                }
                let ty = self.join(&yt, &nt);
                (Node::If(Box::new(c), Box::new(y), Box::new(n)), ty)
            }
            ("_[_]" | "_[?_]", [of, index]) => self.index(expr, of, index, call.func_name == "_[?_]"),
            ("_?._", [of, field]) => {
                let name = match &field.expr {
                    Expr::Literal(LiteralValue::String(name)) => name.inner().to_owned(),
                    _ => return self.error(field, "unsupported optional field selection".to_owned()),
                };
                self.select(expr, of, &name, Access::Optional)
            }
            (name, args) => match functions::find(name) {
                Some(function) => self.overload(expr, function, None, args),
                None => {
                    args.iter().for_each(|arg| drop(self.expr(arg)));
                    self.error(expr, format!("undeclared reference to '{name}' (in container '')"))
                }
            },
        }
    }

    fn index(&mut self, expr: &IdedExpr, of: &IdedExpr, index: &IdedExpr, optional: bool) -> Typed {
        let ((node, ty), (key_node, key)) = (self.expr(of), self.expr(index));
        let mut inner = self.shallow(&ty);
        let mut optional_result = optional;
        if let Type::Optional(of) = inner {
            inner = self.shallow(&of);
            optional_result = true;
        }
        let found = match &inner {
            Type::List(item) if self.fits(&Type::Int, &key) => item.as_ref().clone(),
            Type::Map(wanted, value) if self.fits(wanted, &key) => value.as_ref().clone(),
            Type::Dyn | Type::Var(_) | Type::Error => Type::Dyn,
            _ => return self.no_overload(expr, if optional { "_[?_]" } else { "_[_]" }, &[ty, key], false),
        };
        let ty = if optional_result { Type::optional(found) } else { found };
        (Node::Index { of: Box::new(node), index: Box::new(key_node), optional }, ty)
    }

    fn no_overload(&mut self, expr: &IdedExpr, name: &str, types: &[Type], member: bool) -> Typed {
        if types.iter().any(|ty| matches!(self.shallow(ty), Type::Error)) {
            return NOTHING;
        }
        let names: Vec<_> = types.iter().map(|ty| self.resolve(ty).to_string()).collect();
        let applied = match names.split_first() {
            Some((target, args)) if member => format!("{target}.({})", args.join(", ")),
            _ => format!("({})", names.join(", ")),
        };
        self.error(expr, format!("found no matching overload for '{name}' applied to '{applied}'"))
    }

    fn overload(&mut self, expr: &IdedExpr, function: &'static Function, target: Option<&IdedExpr>, args: &[IdedExpr]) -> Typed {
        let (mut nodes, mut types) = (Vec::new(), Vec::new());
        let mixed = std::mem::replace(&mut self.mixed, false);
        for (i, arg) in target.into_iter().chain(args).enumerate() {
            // What a text is formatted with may be of any types.
            self.mixed = i == 1 && function.name == "format";
            let (node, ty) = self.expr(arg);
            self.mixed = false;
            nodes.push(node);
            types.push(ty);
        }
        self.mixed = mixed;
        self.literals(expr, &function.name, target, args);
        let mut result: Option<Type> = None;
        for overload in function.overloads.iter().filter(|o| o.member == target.is_some()) {
            let mut params = BTreeMap::new();
            let wanted: Vec<_> = overload.args.iter().map(|ty| self.instantiate(ty, &mut params)).collect();
            if self.all_fit(&wanted, &types) {
                let ty = self.instantiate(&overload.result, &mut params);
                result = Some(match result {
                    None => ty,
                    Some(before) if self.resolve(&before) == self.resolve(&ty) => before,
                    Some(_) => Type::Dyn,
                });
            }
        }
        match result {
            Some(ty) => (Node::Call { function, args: nodes }, ty),
            None => self.no_overload(expr, &function.name, &types, target.is_some()),
        }
    }

    /// Literals that certain functions would refuse when evaluated are errors at once.
    fn literals(&mut self, expr: &IdedExpr, name: &str, target: Option<&IdedExpr>, args: &[IdedExpr]) {
        if let ("format", Some(target), [list]) = (name, target, args) {
            return self.format_literal(expr, target, list);
        }
        if let ("find" | "findAll", Some(_), [pattern, ..]) = (name, target, args) {
            if let Expr::Literal(LiteralValue::String(text)) = &pattern.expr
                && let Err(why) = regex::Regex::new(text.inner())
            {
                let why = crate::custom::structural::go_regex_error(text.inner(), &why.to_string());
                self.instantiation.get_or_insert(why);
            }
            return;
        }
        let arg = match (name, target, args) {
            ("matches", Some(_), [arg]) | ("matches", None, [_, arg]) | ("duration" | "timestamp", None, [arg]) => arg,
            _ => return,
        };
        let Expr::Literal(LiteralValue::String(text)) = &arg.expr else { return };
        let good = match name {
            "matches" => regex::Regex::new(text.inner()).is_ok(),
            "duration" => super::value::parse_duration(text.inner()).is_some(),
            _ => text.inner().parse::<jiff::Timestamp>().is_ok(),
        };
        if !good {
            self.late.push((self.place(arg), format!("invalid {name} argument")));
        }
    }

    fn format_literal(&mut self, expr: &IdedExpr, target: &IdedExpr, list: &IdedExpr) {
        let (Expr::Literal(LiteralValue::String(text)), Expr::List(items)) = (&target.expr, &list.expr) else { return };
        let mut wanted = 0;
        let mut chars = text.inner().chars();
        while let Some(c) = chars.next() {
            wanted += usize::from(c == '%' && chars.next() != Some('%'));
        }
        let given = items.elements.len();
        if given != wanted {
            let how = if given > wanted { "too many" } else { "not enough" };
            let why = format!("{how} arguments supplied to string.format (expected {wanted}, got {given})");
            self.late.push((self.place(expr), why));
        }
    }

    fn instantiate(&mut self, ty: &Type, params: &mut BTreeMap<char, Type>) -> Type {
        match ty {
            Type::Param(name) => match params.get(name) {
                Some(ty) => ty.clone(),
                None => {
                    let fresh = self.fresh();
                    params.insert(*name, fresh.clone());
                    fresh
                }
            },
            Type::List(of) => Type::list(self.instantiate(of, params)),
            Type::Map(key, value) => Type::map(self.instantiate(key, params), self.instantiate(value, params)),
            Type::Optional(of) => Type::optional(self.instantiate(of, params)),
            Type::Type(of) => Type::Type(Arc::new(self.instantiate(of, params))),
            other => other.clone(),
        }
    }

    fn member_macro(&mut self, expr: &IdedExpr, target: &IdedExpr, name: &str, args: &[IdedExpr]) -> Option<Typed> {
        let (kind, second) = match (name, args.len()) {
            ("all", 2) => (LoopKind::All, false),
            ("exists", 2) => (LoopKind::Exists, false),
            ("exists_one" | "existsOne", 2) => (LoopKind::ExistsOne, false),
            ("filter", 2) => (LoopKind::Filter, false),
            ("map", 2 | 3) => (LoopKind::List, false),
            ("all", 3) => (LoopKind::All, true),
            ("exists", 3) => (LoopKind::Exists, true),
            ("existsOne", 3) => (LoopKind::ExistsOne, true),
            ("transformList", 3 | 4) => (LoopKind::List, true),
            ("transformMap", 3 | 4) => (LoopKind::Map, true),
            ("transformMapEntry", 3 | 4) => (LoopKind::Entries, true),
            ("optMap" | "optFlatMap", 2) => return Some(self.opt_map(expr, target, name == "optFlatMap", args)),
            _ => return None,
        };
        let unfit =
            if matches!(name, "map" | "filter") { "argument is not an identifier" } else { "argument must be a simple name" };
        let simple = |arg: &IdedExpr| match &arg.expr {
            Expr::Ident(name) => Some(name.clone()),
            _ => None,
        };
        let Some(var) = args.first().and_then(simple) else {
            return args.first().map(|arg| self.error(arg, unfit.to_owned()));
        };
        let second_var = args.get(1).filter(|_| second).map(simple);
        if second_var == Some(None) {
            return args.get(1).map(|arg| self.error(arg, unfit.to_owned()));
        }
        let second_var = second_var.flatten();
        if second_var.as_ref() == Some(&var) {
            return args.get(1).map(|arg| self.error(arg, format!("duplicate variable name: {var}")));
        }
        let rest = &args[if second { 2 } else { 1 }..];
        let (filter, body) = match rest {
            [filter, body] => (Some(filter), body),
            [body] => (None, body),
            _ => return None,
        };
        Some(self.comprehension(expr, kind, target, var, second_var, filter, body))
    }

    #[allow(clippy::too_many_arguments)]
    fn comprehension(
        &mut self,
        expr: &IdedExpr,
        kind: LoopKind,
        target: &IdedExpr,
        var: String,
        second: Option<String>,
        filter: Option<&IdedExpr>,
        body: &IdedExpr,
    ) -> Typed {
        let (range, ty) = self.expr(target);
        let (first_type, second_type, item) = match self.shallow(&ty) {
            Type::List(of) if second.is_some() => (Type::Int, of.as_ref().clone(), of.as_ref().clone()),
            Type::List(of) => (of.as_ref().clone(), Type::Dyn, of.as_ref().clone()),
            Type::Map(key, value) => (key.as_ref().clone(), value.as_ref().clone(), key.as_ref().clone()),
            Type::Dyn | Type::Error | Type::Var(_) => (Type::Dyn, Type::Dyn, Type::Dyn),
            other => {
                let other = self.resolve(&other);
                let message =
                    format!("expression of type '{other}' cannot be range of a comprehension (must be list, map, or dynamic)");
                self.error(target, message);
                (Type::Error, Type::Error, Type::Error)
            }
        };
        let depth = self.locals.len();
        self.locals.push((var.clone(), first_type.clone()));
        if let Some(second) = &second {
            self.locals.push((second.clone(), second_type));
        }
        let filter = filter.map(|f| self.expr(f));
        let (body_node, body_type) = self.expr(body);
        self.locals.truncate(depth);
        let filter_node = filter.map(|(node, ty)| {
            let step = Type::list(body_type.clone());
            self.must_select(expr, &ty, &step);
            node
        });
        let ty = match kind {
            LoopKind::All | LoopKind::Exists => {
                self.must_be_bool(body, &body_type);
                Type::Bool
            }
            LoopKind::ExistsOne => {
                self.must_select(expr, &body_type, &Type::Int);
                Type::Bool
            }
            LoopKind::Filter => {
                let list = Type::list(item);
                self.must_select(expr, &body_type, &list);
                list
            }
            LoopKind::List => Type::list(body_type),
            LoopKind::Map => Type::map(first_type, body_type),
            LoopKind::Entries => match self.shallow(&body_type) {
                ty @ (Type::Map(..) | Type::Dyn | Type::Error) => ty,
                _ => {
                    let map = Type::map(Type::Dyn, Type::Dyn);
                    return self.no_overload(expr, "cel.@mapInsert", &[map, body_type], false);
                }
            },
        };
        (Node::Loop(Box::new(Loop { kind, range, var, second, filter: filter_node, body: body_node })), ty)
    }

    fn must_be_bool(&mut self, at: &IdedExpr, ty: &Type) {
        if !self.fits(&Type::Bool, ty) {
            let actual = self.resolve(ty);
            self.error(at, format!("expected type 'bool' but found '{actual}'"));
        }
    }

    /// A macro's condition: cel-go expands those to conditional expressions over what is collected.
    fn must_select(&mut self, at: &IdedExpr, condition: &Type, collected: &Type) {
        if !self.fits(&Type::Bool, condition) {
            self.no_overload(at, "_?_:_", &[condition.clone(), collected.clone(), collected.clone()], false);
        }
    }

    fn opt_map(&mut self, expr: &IdedExpr, target: &IdedExpr, flat: bool, args: &[IdedExpr]) -> Typed {
        let Expr::Ident(var) = &args[0].expr else {
            return self.error(&args[0], "optMap() variable name must be a simple identifier".to_owned());
        };
        let (of, ty) = self.expr(target);
        let inner = match self.shallow(&ty) {
            Type::Optional(of) => of.as_ref().clone(),
            Type::Dyn | Type::Error => Type::Dyn,
            _ => {
                let name = if flat { "optFlatMap" } else { "optMap" };
                return self.no_overload(expr, name, &[ty], true);
            }
        };
        self.locals.push((var.clone(), inner));
        let (body, ty) = self.expr(&args[1]);
        self.locals.pop();
        let ty = if flat { ty } else { Type::optional(ty) };
        (Node::OptMap { of: Box::new(of), var: var.clone(), body: Box::new(body), flat }, ty)
    }
}

fn literal_node(literal: &LiteralValue) -> Typed {
    match literal {
        LiteralValue::Null => (Node::Literal(Literal::Null), Type::Null),
        LiteralValue::Boolean(b) => (Node::Literal(Literal::Bool(*b.inner())), Type::Bool),
        LiteralValue::Int(n) => (Node::Literal(Literal::Int(*n.inner())), Type::Int),
        LiteralValue::UInt(n) => (Node::Literal(Literal::Uint(*n.inner())), Type::Uint),
        LiteralValue::Double(n) => (Node::Literal(Literal::Double(*n.inner())), Type::Double),
        LiteralValue::String(text) => (Node::Literal(Literal::String(text.inner().into())), Type::String),
        LiteralValue::Bytes(bytes) => (Node::Literal(Literal::Bytes(bytes.inner().into())), Type::Bytes),
    }
}

/// `a.b.c` as text, if the expression is nothing else.
fn dotted(expr: &IdedExpr) -> Option<String> {
    match &expr.expr {
        Expr::Ident(name) => Some(name.clone()),
        Expr::Select(select) if !select.test => Some(format!("{}.{}", dotted(&select.operand)?, select.field)),
        _ => None,
    }
}

fn type_name(name: &str) -> Option<(&'static str, Type)> {
    Some(match name {
        "bool" => ("bool", Type::Bool),
        "int" => ("int", Type::Int),
        "uint" => ("uint", Type::Uint),
        "double" => ("double", Type::Double),
        "string" => ("string", Type::String),
        "bytes" => ("bytes", Type::Bytes),
        "list" => ("list", Type::list(Type::Dyn)),
        "map" => ("map", Type::map(Type::Dyn, Type::Dyn)),
        "null_type" => ("null_type", Type::Null),
        "type" => ("type", Type::Type(Arc::new(Type::Dyn))),
        "dyn" => ("dyn", Type::Dyn),
        "optional_type" => ("optional_type", Type::optional(Type::Dyn)),
        "google.protobuf.Timestamp" => ("google.protobuf.Timestamp", Type::Timestamp),
        "google.protobuf.Duration" => ("google.protobuf.Duration", Type::Duration),
        "net.IP" => ("net.IP", Type::Named("net.IP")),
        "net.CIDR" => ("net.CIDR", Type::Named("net.CIDR")),
        "kubernetes.URL" => ("kubernetes.URL", Type::Named("kubernetes.URL")),
        "kubernetes.Quantity" => ("kubernetes.Quantity", Type::Named("kubernetes.Quantity")),
        _ => return None,
    })
}
