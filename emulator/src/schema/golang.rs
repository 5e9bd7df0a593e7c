//! The Go types behind the built-in kinds: what they are called in error messages, what they leave out when written, which of
//! them read themselves. The table is generated with the rest (`fields.txt`).
//!
//! It has lines of four forms: `package io.k8s.api.core.v1`, `type Name underlying`, `struct Name`, and below a struct its
//! fields, each after a space: `name type`, the name marked `?` for `omitempty`, `!` for `omitzero`, `>` for an embedded struct.

use std::collections::HashMap;
use std::sync::OnceLock;

/// One type in the table.
pub(crate) type Id = usize;

/// When a field is left out of what is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Omit {
    Never,
    /// `omitempty`: false, 0, "", nil, no elements; never for a struct.
    Empty,
    /// `omitzero`.
    Zero,
}

/// A field of a struct; those of embedded structs are found here too.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: &'static str,
    /// The names of the embedded structs on the way to it, each followed by a dot.
    pub(crate) through: String,
    pub(crate) ty: Id,
    pub(crate) omit: Omit,
}

/// The types that have methods to read and write themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Special {
    Time,
    MicroTime,
    Duration,
    Quantity,
    IntOrString,
    /// Whatever was written: `RawExtension`, `FieldsV1`, `JSON`.
    Raw,
    SchemaOrBool,
    SchemaOrArray,
    SchemaOrStrings,
}

#[derive(Clone, Debug)]
pub(crate) enum Kind {
    String,
    Bool,
    /// Of that many bits.
    Int(u32),
    Float,
    Bytes,
    Any,
    Pointer(Id),
    Slice(Id),
    Map(Id),
    Struct(Vec<Field>),
    Special(Special),
}

#[derive(Clone, Debug)]
pub(crate) struct GoType {
    /// As Go prints it: `[]v1.Container`.
    pub(crate) shown: String,
    pub(crate) kind: Kind,
}

/// All of them.
#[derive(Debug, Default)]
pub(crate) struct GoTypes {
    types: Vec<GoType>,
    /// By expression: `io.k8s.api.core.v1.Pod`, `[]string`.
    ids: HashMap<String, Id>,
}

/// The table of the Kubernetes version that is emulated.
pub(crate) fn table() -> &'static GoTypes {
    static TABLE: OnceLock<GoTypes> = OnceLock::new();
    TABLE.get_or_init(|| GoTypes::read(include_str!("v1.34.1/fields.txt")))
}

/// A field as the table writes it.
struct Line {
    name: &'static str,
    mark: Option<char>,
    ty: &'static str,
}

enum Declared {
    Struct(Vec<Line>),
    Other(&'static str),
}

type Declarations = HashMap<String, (&'static str, Declared)>;

impl GoTypes {
    fn read(text: &'static str) -> Self {
        let declarations = declarations(text);
        let mut types = Self::default();
        let mut names: Vec<&String> = declarations.keys().collect();
        names.sort();
        for name in names {
            types.intern(name, "", &declarations);
        }
        types
    }

    pub(crate) fn get(&self, id: Id) -> &GoType {
        &self.types[id]
    }

    /// The type of that OpenAPI name: `io.k8s.api.core.v1.Pod`.
    pub(crate) fn named(&self, name: &str) -> Option<Id> {
        self.ids.get(name).copied()
    }

    fn add(&mut self, key: String, shown: String, kind: Kind) -> Id {
        let id = self.types.len();
        self.types.push(GoType { shown, kind });
        self.ids.insert(key, id);
        id
    }

    /// The type of an expression within a package.
    fn intern(&mut self, expression: &str, package: &str, all: &Declarations) -> Id {
        let compound = expression.starts_with(['*', '[']) || expression.starts_with("map[");
        let local = !expression.contains('.') && !compound && !package.is_empty();
        let full = if local { format!("{package}.{expression}") } else { expression.to_owned() };
        let key = match all.get(&full) {
            Some(_) => full,
            // Compound types are told apart by the package they are written in too.
            None if compound => format!("{package} {expression}"),
            None => expression.to_owned(),
        };
        if let Some(&id) = self.ids.get(&key) {
            return id;
        }
        if let Some((package, declared)) = all.get(&key) {
            return self.declare(&key, package, declared, all);
        }
        let element = |rest: &str, types: &mut Self| types.intern(rest, package, all);
        let (shown, kind) = if let Some(rest) = expression.strip_prefix('*') {
            let id = element(rest, self);
            (format!("*{}", self.types[id].shown), Kind::Pointer(id))
        } else if expression == "[]byte" {
            ("[]uint8".to_owned(), Kind::Bytes)
        } else if let Some(rest) = expression.strip_prefix("[]") {
            let id = element(rest, self);
            (format!("[]{}", self.types[id].shown), Kind::Slice(id))
        } else if let Some((from, to)) = expression.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
            let (from, to) = (element(from, self), element(to, self));
            (format!("map[{}]{}", self.types[from].shown, self.types[to].shown), Kind::Map(to))
        } else {
            (expression.to_owned(), basic(expression))
        };
        self.add(key, shown, kind)
    }

    fn declare(&mut self, key: &str, package: &str, declared: &Declared, all: &Declarations) -> Id {
        let shown = shown(key);
        if let Some(special) = special(key) {
            return self.add(key.to_owned(), shown, Kind::Special(special));
        }
        match declared {
            Declared::Other(underlying) => {
                let id = self.intern(underlying, package, all);
                let kind = self.types[id].kind.clone();
                self.add(key.to_owned(), shown, kind)
            }
            Declared::Struct(lines) => {
                // First of all the name: a struct may contain itself.
                let id = self.add(key.to_owned(), shown, Kind::Struct(Vec::new()));
                let mut fields = Vec::new();
                for line in lines {
                    let ty = self.intern(line.ty, package, all);
                    match (line.mark, &self.types[ty].kind) {
                        (Some('>'), Kind::Struct(embedded)) => fields.extend(
                            embedded
                                .iter()
                                .map(|field| Field { through: format!("{}.{}", line.name, field.through), ..field.clone() }),
                        ),
                        (mark, _) => fields.push(Field {
                            name: line.name,
                            through: String::new(),
                            ty,
                            omit: match mark {
                                Some('?') => Omit::Empty,
                                Some('!') => Omit::Zero,
                                _ => Omit::Never,
                            },
                        }),
                    }
                }
                self.types[id].kind = Kind::Struct(fields);
                id
            }
        }
    }
}

impl Kind {
    /// The field of that name, if it is a struct's.
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        match self {
            Self::Struct(fields) => fields.iter().find(|field| field.name == name),
            _ => None,
        }
    }
}

fn declarations(text: &'static str) -> Declarations {
    let mut all = Declarations::new();
    let mut package = "";
    let mut current: Option<(String, Vec<Line>)> = None;
    for line in text.lines() {
        if let Some((first, ty)) = line.strip_prefix(' ').and_then(|field| field.split_once(' ')) {
            if let Some((_, fields)) = &mut current {
                let name = first.trim_end_matches(['?', '!', '>']);
                fields.push(Line { name, mark: first[name.len()..].chars().next(), ty });
            }
            continue;
        }
        if let Some((name, fields)) = current.take() {
            all.insert(name, (package, Declared::Struct(fields)));
        }
        match line.split(' ').collect::<Vec<_>>().as_slice() {
            ["package", name] => package = name,
            ["struct", name] => current = Some((format!("{package}.{name}"), Vec::new())),
            ["type", name, underlying] => {
                all.insert(format!("{package}.{name}"), (package, Declared::Other(underlying)));
            }
            _ => {}
        }
    }
    if let Some((name, fields)) = current {
        all.insert(name, (package, Declared::Struct(fields)));
    }
    all
}

fn basic(name: &str) -> Kind {
    match name {
        "string" => Kind::String,
        "bool" => Kind::Bool,
        "int32" => Kind::Int(32),
        "int" | "int64" => Kind::Int(64),
        "float64" => Kind::Float,
        _ => Kind::Any,
    }
}

/// Go names a type by the last element of its package: `v1.Pod`.
fn shown(full: &str) -> String {
    let mut parts = full.rsplit('.');
    let name = parts.next().unwrap_or_default();
    match parts.next() {
        Some(package) => format!("{package}.{name}"),
        None => name.to_owned(),
    }
}

fn special(full: &str) -> Option<Special> {
    const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.";
    const EXTENSIONS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.";
    if let Some(name) = full.strip_prefix(META) {
        return Some(match name {
            "Time" => Special::Time,
            "MicroTime" => Special::MicroTime,
            "Duration" => Special::Duration,
            "FieldsV1" => Special::Raw,
            _ => return None,
        });
    }
    if let Some(name) = full.strip_prefix(EXTENSIONS) {
        return Some(match name {
            "JSON" => Special::Raw,
            "JSONSchemaPropsOrBool" => Special::SchemaOrBool,
            "JSONSchemaPropsOrArray" => Special::SchemaOrArray,
            "JSONSchemaPropsOrStringArray" => Special::SchemaOrStrings,
            _ => return None,
        });
    }
    match full {
        "io.k8s.apimachinery.pkg.api.resource.Quantity" => Some(Special::Quantity),
        "io.k8s.apimachinery.pkg.util.intstr.IntOrString" => Some(Special::IntOrString),
        "io.k8s.apimachinery.pkg.runtime.RawExtension" => Some(Special::Raw),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(name: &str, field: &str) -> (String, Omit) {
        let types = table();
        let kind = &types.get(types.named(name).unwrap()).kind;
        let field = kind.field(field).unwrap();
        (types.get(field.ty).shown.clone(), field.omit)
    }

    #[test]
    fn knows_fields() {
        assert_eq!(show("io.k8s.api.apps.v1.DeploymentSpec", "replicas"), ("*int32".into(), Omit::Empty));
        assert_eq!(show("io.k8s.api.core.v1.PodSpec", "containers"), ("[]v1.Container".into(), Omit::Never));
        assert_eq!(show("io.k8s.api.core.v1.Secret", "data"), ("map[string][]uint8".into(), Omit::Empty));
        assert_eq!(show("io.k8s.api.core.v1.Secret", "type"), ("v1.SecretType".into(), Omit::Empty));
        assert_eq!(show("io.k8s.api.core.v1.Secret", "kind"), ("string".into(), Omit::Empty));
        assert_eq!(show("io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta", "creationTimestamp"), ("v1.Time".into(), Omit::Zero));
    }

    #[test]
    fn leaves_no_type_unknown() {
        let any: Vec<&str> = table().types.iter().filter(|ty| matches!(ty.kind, Kind::Any)).map(|ty| ty.shown.as_str()).collect();
        assert_eq!(any, Vec::<&str>::new());
    }

    #[test]
    fn flattens_embedded_structs() {
        let types = table();
        let probe = &types.get(types.named("io.k8s.api.core.v1.Probe").unwrap()).kind;
        assert_eq!(probe.field("httpGet").unwrap().through, "ProbeHandler.");
    }
}
