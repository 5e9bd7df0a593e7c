//! The functions that expressions may call, with their signatures: CEL's own, the extensions that Kubernetes enables
//! (`apiserver/pkg/cel/environment/base.go`, as of the version before the running one) and Kubernetes' libraries.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use super::types::Type;
use super::value::Val;
use super::{Budget, Fault, library, strings};

/// A function, whichever its arguments.
#[derive(Debug)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) overloads: Vec<Overload>,
}

pub(crate) type Run = for<'a> fn(&[Val<'a>], &mut Budget) -> Result<Val<'a>, Fault>;

/// One signature; a member's target is its first argument.
#[derive(Debug)]
pub(crate) struct Overload {
    pub(crate) member: bool,
    pub(crate) args: Vec<Type>,
    pub(crate) result: Type,
    run: Run,
}

static ALL: LazyLock<BTreeMap<String, Function>> = LazyLock::new(|| {
    let mut all: BTreeMap<String, Function> = BTreeMap::new();
    for (signature, run) in library::CORE.iter().chain(library::KUBERNETES).chain(strings::STRINGS) {
        // A malformed signature would be found by the tests.
        if let Some((name, overload)) = parse(signature, *run) {
            let function = all.entry(name.clone()).or_insert_with(|| Function { name, overloads: Vec::new() });
            function.overloads.push(overload);
        }
    }
    all
});

/// The function of that name: `size`, `_+_`, `sets.contains`.
pub(crate) fn find(name: &str) -> Option<&'static Function> {
    ALL.get(name)
}

impl Function {
    /// Calls the first overload whose parameters the values fit.
    pub(crate) fn call<'a>(&self, args: &[Val<'a>], budget: &mut Budget) -> Result<Val<'a>, Fault> {
        let fits = |o: &&Overload| o.args.len() == args.len() && o.args.iter().zip(args).all(|(ty, arg)| accepts(ty, arg));
        match self.overloads.iter().find(fits) {
            Some(overload) => (overload.run)(args, budget),
            None => Err(Fault::no_overload()),
        }
    }
}

fn accepts(ty: &Type, value: &Val<'_>) -> bool {
    match ty {
        Type::Null => matches!(value, Val::Null),
        Type::Bool => matches!(value, Val::Bool(_)),
        Type::Int => matches!(value, Val::Int(_)),
        Type::Uint => matches!(value, Val::Uint(_)),
        Type::Double => matches!(value, Val::Double(_)),
        Type::String => matches!(value, Val::String(_)),
        Type::Bytes => matches!(value, Val::Bytes(_)),
        Type::Timestamp => matches!(value, Val::Timestamp(_)),
        Type::Duration => matches!(value, Val::Duration(_)),
        Type::List(_) => matches!(value, Val::List(_) | Val::Items(..)),
        Type::Map(..) => matches!(value, Val::Map(_) | Val::Object(_)),
        Type::Optional(_) => matches!(value, Val::Optional(_)),
        Type::Type(_) => matches!(value, Val::Type(_)),
        Type::Named(name) => value.kind() == *name,
        Type::Dyn | Type::Error | Type::Object(_) | Type::Param(_) | Type::Var(_) => true,
    }
}

/// Reads `string.indexOf(string, int)->int` or `_+_(int, int)->int`.
fn parse(signature: &str, run: Run) -> Option<(String, Overload)> {
    let (call, result) = signature.split_once(")->")?;
    // The target, if there is one, ends with the last dot after a type; namespaces begin with a small set of names.
    let (head, args) = split_call(call)?;
    let (target, name) = match head.strip_prefix('.') {
        Some(rest) => {
            let (target, name) = rest.rsplit_once('.')?;
            (Some(target), name)
        }
        None => (None, head),
    };
    let mut types = Vec::new();
    types.extend(target.map(parse_type));
    let mut depth = 0;
    let mut start = 0;
    for (i, c) in args.char_indices().chain([(args.len(), ',')]) {
        match c {
            '(' => depth += 1,
            ')' => depth -= 1,
            ',' if depth == 0 => {
                let arg = args[start..i].trim();
                if !arg.is_empty() {
                    types.push(parse_type(arg));
                }
                start = i + 1;
            }
            _ => {}
        }
    }
    let overload =
        Overload { member: target.is_some(), args: types.into_iter().collect::<Option<_>>()?, result: parse_type(result)?, run };
    Some((name.to_owned(), overload))
}

/// `.list(A).indexOf(A` is `.list(A).indexOf` and `A`.
fn split_call(call: &str) -> Option<(&str, &str)> {
    let mut depth = 0;
    for (i, c) in call.char_indices().rev() {
        match c {
            ')' => depth += 1,
            '(' if depth == 0 => return Some((&call[..i], &call[i + 1..])),
            '(' => depth -= 1,
            _ => {}
        }
    }
    None
}

fn parse_type(text: &str) -> Option<Type> {
    let text = text.trim();
    if let Some((outer, inner)) = text.strip_suffix(')').and_then(|t| t.split_once('(')) {
        return Some(match outer {
            "list" => Type::list(parse_type(inner)?),
            "optional" => Type::optional(parse_type(inner)?),
            "type" => Type::Type(Arc::new(parse_type(inner)?)),
            "map" => {
                let (key, value) = inner.split_once(',')?;
                Type::map(parse_type(key)?, parse_type(value)?)
            }
            _ => return None,
        });
    }
    Some(match text {
        "dyn" => Type::Dyn,
        "null" => Type::Null,
        "bool" => Type::Bool,
        "int" => Type::Int,
        "uint" => Type::Uint,
        "double" => Type::Double,
        "string" => Type::String,
        "bytes" => Type::Bytes,
        "timestamp" => Type::Timestamp,
        "duration" => Type::Duration,
        "url" => Type::Named("kubernetes.URL"),
        "ip" => Type::Named("net.IP"),
        "cidr" => Type::Named("net.CIDR"),
        "quantity" => Type::Named("kubernetes.Quantity"),
        "semver" => Type::Named("kubernetes.Semver"),
        "format" => Type::Named("kubernetes.NamedFormat"),
        "authorizer" => Type::Named("kubernetes.authorization.Authorizer"),
        "path" => Type::Named("kubernetes.authorization.PathCheck"),
        "group" => Type::Named("kubernetes.authorization.GroupCheck"),
        "resource" => Type::Named("kubernetes.authorization.ResourceCheck"),
        "decision" => Type::Named("kubernetes.authorization.Decision"),
        "A" => Type::Param('A'),
        "B" => Type::Param('B'),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_well_formed() {
        for (signature, run) in library::CORE.iter().chain(library::KUBERNETES).chain(strings::STRINGS) {
            assert!(parse(signature, *run).is_some(), "{signature}");
        }
    }
}
