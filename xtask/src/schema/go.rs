//! What OpenAPI does not say of a type, read from its Go source: `omitempty`, pointers, the names and widths of Go's types.
//! The answers and the error messages of the API server depend on all of these.
//!
//! gofmt makes line by line enough to find the declarations.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use miette::{Context as _, IntoDiagnostic as _, miette};

/// A type as OpenAPI names it: `io.k8s.api.core.v1` and `Pod`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    package: String,
    name: String,
}

impl Name {
    fn parse(dotted: &str) -> Option<Self> {
        let (package, name) = dotted.rsplit_once('.')?;
        Some(Self { package: package.to_owned(), name: name.to_owned() })
    }
}

/// One line of the table: a field, or a type that is no struct.
enum Declaration {
    Struct(Vec<Field>),
    Other(String),
}

struct Field {
    /// The name in JSON; that of the type for an embedded struct.
    name: String,
    /// `>` for an embedded struct, `?` for omitempty, `!` for omitzero.
    mark: &'static str,
    ty: String,
}

/// Go's modules, as the module cache has them, and the packages read so far.
pub(crate) struct Sources {
    modules: PathBuf,
    version: String,
    packages: BTreeMap<String, BTreeMap<String, Declaration>>,
}

/// Types that read and write JSON by methods of their own; the emulator knows them by name.
const OPAQUE: [&str; 6] = ["Time", "MicroTime", "Duration", "Quantity", "IntOrString", "RawExtension"];

const BUILT_IN: [&str; 14] = [
    "bool", "string", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "float64", "byte",
];

impl Sources {
    /// `modules` is the directory of `api@v0.34.1` and the like; `version` is Kubernetes' own, such as `1.34.1`.
    pub(crate) fn new(modules: &Path, version: &str) -> Self {
        let version = version.strip_prefix("1.").map_or_else(|| version.to_owned(), |minor| format!("0.{minor}"));
        Self { modules: modules.to_owned(), version, packages: BTreeMap::new() }
    }

    /// The table of all named types and of those they are made of.
    pub(crate) fn table(mut self, names: impl Iterator<Item = String>) -> miette::Result<String> {
        let mut wanted: Vec<Name> = names.filter_map(|name| Name::parse(&name)).collect();
        let mut kept = BTreeSet::new();
        while let Some(name) = wanted.pop() {
            if !self.packages.contains_key(&name.package) {
                let read = self.read(&name.package)?;
                self.packages.insert(name.package.clone(), read);
            }
            if !kept.insert(name.clone()) {
                continue;
            }
            match self.packages[&name.package].get(&name.name) {
                Some(Declaration::Struct(fields)) => {
                    fields.iter().for_each(|field| wanted.extend(names_in(&field.ty, &name.package)))
                }
                Some(Declaration::Other(ty)) => wanted.extend(names_in(ty, &name.package)),
                None => return Err(miette!("{}.{} is not declared", name.package, name.name)),
            }
        }
        let mut text = String::new();
        for (package, declarations) in &self.packages {
            let mut head = format!("package {package}\n");
            for (name, declaration) in declarations {
                if kept.contains(&Name { package: package.clone(), name: name.clone() }) {
                    text.push_str(&std::mem::take(&mut head));
                    write_declaration(&mut text, name, declaration).into_diagnostic()?;
                }
            }
        }
        Ok(text)
    }

    fn directory(&self, package: &str) -> miette::Result<PathBuf> {
        let rest = package.strip_prefix("io.k8s.").ok_or_else(|| miette!("{package} is none of Kubernetes'"))?;
        let (module, path) = rest.split_once('.').ok_or_else(|| miette!("{package} names no package of a module"))?;
        Ok(self.modules.join(format!("{module}@v{}", self.version)).join(path.replace('.', "/")))
    }

    fn read(&self, package: &str) -> miette::Result<BTreeMap<String, Declaration>> {
        let directory = self.directory(package)?;
        let mut found = BTreeMap::new();
        let entries = std::fs::read_dir(&directory).into_diagnostic().wrap_err_with(|| directory.display().to_string())?;
        for entry in entries {
            let file = entry.into_diagnostic()?.path();
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if name.ends_with(".go") && !name.ends_with("_test.go") && !name.starts_with("zz_") && !name.starts_with("generated")
            {
                let text = std::fs::read_to_string(&file).into_diagnostic()?;
                declarations(&text, package, &mut found);
            }
        }
        Ok(found)
    }
}

fn write_declaration(out: &mut String, name: &str, declaration: &Declaration) -> std::fmt::Result {
    match declaration {
        Declaration::Other(ty) => writeln!(out, "type {name} {ty}"),
        Declaration::Struct(fields) => {
            writeln!(out, "struct {name}")?;
            fields.iter().try_for_each(|field| writeln!(out, " {}{} {}", field.name, field.mark, field.ty))
        }
    }
}

/// The named types in a type's expression; those without a dot are of the same package.
fn names_in(ty: &str, package: &str) -> Vec<Name> {
    ty.split(['*', '[', ']'])
        .filter(|part| !part.is_empty() && *part != "map" && *part != "any" && !BUILT_IN.contains(part))
        .filter_map(|part| Name::parse(part).or_else(|| Some(Name { package: package.to_owned(), name: part.to_owned() })))
        .collect()
}

/// `k8s.io/api/core/v1` as `io.k8s.api.core.v1`.
fn dotted(import: &str) -> Option<String> {
    let rest = import.strip_prefix("k8s.io/")?;
    Some(format!("io.k8s.{}", rest.replace('/', ".")))
}

/// The packages that a file imports, by the name it uses.
fn imports(text: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let lines = text.lines().map(str::trim).take_while(|line| !line.starts_with("type ") && !line.starts_with("func "));
    for line in lines {
        let line = line.strip_prefix("import ").unwrap_or(line);
        let Some((alias, rest)) = line.split_once('"') else { continue };
        let Some((import, _)) = rest.split_once('"') else { continue };
        let Some(package) = dotted(import) else { continue };
        let last = import.rsplit('/').next().unwrap_or_default();
        let alias = if alias.trim().is_empty() { last } else { alias.trim() };
        found.insert(alias.to_owned(), package);
    }
    found
}

/// A type's expression with its names in full; `any` for what is no data.
fn resolve(ty: &str, imports: &BTreeMap<String, String>) -> String {
    if let Some(rest) = ty.strip_prefix('*') {
        return format!("*{}", resolve(rest, imports));
    }
    if let Some(rest) = ty.strip_prefix("[]") {
        return format!("[]{}", resolve(rest, imports));
    }
    if let Some((key, value)) = ty.strip_prefix("map[").and_then(|rest| rest.split_once(']')) {
        return format!("map[{}]{}", resolve(key, imports), resolve(value, imports));
    }
    match ty.split_once('.') {
        None if ty == "interface{}" => "any".to_owned(),
        None => ty.to_owned(),
        Some((alias, name)) => match imports.get(alias) {
            Some(package) => format!("{package}.{name}"),
            None => "any".to_owned(),
        },
    }
}

/// Go writes `json:"name,omitempty,inline"`.
fn json_tag(tag: &str) -> Option<(&str, Vec<&str>)> {
    let (_, rest) = tag.split_once("json:\"")?;
    let (value, _) = rest.split_once('"')?;
    let mut parts = value.split(',');
    Some((parts.next()?, parts.collect()))
}

fn field(line: &str, imports: &BTreeMap<String, String>) -> Option<Field> {
    let (code, tag) = line.split_once('`').unwrap_or((line, ""));
    let code = code.split("//").next().unwrap_or_default().trim();
    let tag = json_tag(tag);
    let words: Vec<&str> = code.split_whitespace().collect();
    let (go_name, ty) = match words.as_slice() {
        [ty] => (ty.trim_start_matches('*').rsplit('.').next().unwrap_or(ty), *ty),
        [name, ty] if name.starts_with(char::is_uppercase) => (*name, *ty),
        _ => return None,
    };
    let (name, options) = tag.unwrap_or_default();
    if name == "-" {
        return None;
    }
    let ty = resolve(ty, imports);
    if name.is_empty() && words.len() == 1 {
        return Some(Field { name: go_name.to_owned(), mark: ">", ty });
    }
    // A field may be `omitzero` beside `omitempty`; for a struct only the former counts.
    let mark = match () {
        () if options.contains(&"omitzero") => "!",
        () if options.contains(&"omitempty") => "?",
        () => "",
    };
    let name = if name.is_empty() { go_name } else { name };
    Some(Field { name: name.to_owned(), mark, ty })
}

fn declarations(text: &str, package: &str, found: &mut BTreeMap<String, Declaration>) {
    let imports = imports(text);
    let mut lines = without_comments(text).into_iter();
    while let Some(line) = lines.next() {
        let Some(rest) = line.strip_prefix("type ") else { continue };
        let Some((name, ty)) = rest.split_once(' ') else { continue };
        let ty = ty.trim().trim_start_matches("= ");
        if OPAQUE.contains(&name) {
            found.insert(name.to_owned(), Declaration::Struct(Vec::new()));
        } else if ty == "struct {" {
            let body = lines.by_ref().take_while(|line| line != "}");
            let fields = body.filter_map(|line| field(line.trim(), &imports)).collect();
            found.insert(name.to_owned(), Declaration::Struct(fields));
        } else if ty.starts_with("struct") {
            found.insert(name.to_owned(), Declaration::Struct(Vec::new()));
        } else if !ty.contains(['(', '{', ' ']) {
            let ty = resolve(ty, &imports);
            let own = format!("{package}.");
            found.insert(name.to_owned(), Declaration::Other(ty.replace(&own, "")));
        }
    }
}

/// The lines of code alone.
fn without_comments(text: &str) -> Vec<String> {
    let mut inside = false;
    let mut lines = Vec::new();
    for line in text.lines() {
        let trimmed = line.trim();
        if inside || trimmed.starts_with("/*") {
            inside = !trimmed.contains("*/");
        } else if !trimmed.is_empty() && !trimmed.starts_with("//") {
            lines.push(line.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_a_struct() {
        let text = "package v1\n\nimport (\n\tmetav1 \"k8s.io/apimachinery/pkg/apis/meta/v1\"\n)\n\n// Doc.\ntype A struct {\n\t\
                    metav1.TypeMeta `json:\",inline\"`\n\t// B is.\n\tB *int32 `json:\"b,omitempty\" protobuf:\"x\"`\n\t\
                    C []D `json:\"c\"` // why\n\tE map[string]metav1.Time `json:\"e\"`\n}\n\ntype D string\n";
        let mut found = BTreeMap::new();
        declarations(text, "io.k8s.api.x.v1", &mut found);
        let mut out = String::new();
        for (name, declaration) in &found {
            write_declaration(&mut out, name, declaration).unwrap();
        }
        assert_eq!(
            out,
            "struct A\n TypeMeta> io.k8s.apimachinery.pkg.apis.meta.v1.TypeMeta\n b? *int32\n c []D\n \
             e map[string]io.k8s.apimachinery.pkg.apis.meta.v1.Time\ntype D string\n"
        );
    }
}
