//! A kustomization file: what it may say, and where it says it. Everything that it says and that is not known here is an
//! error: a tree must not come out other than Kustomize would make it.

use std::{collections::BTreeMap, ops::Range};

use k3s_arc_emulator::schema::{json, yaml};

use super::{
    load,
    node::{Kind, Node, Scalar, looks_like_another_type},
};
use crate::launcher::input::{InputError, Problem, Source, unless_errors};

/// A value with its place in the file.
#[derive(Debug, Clone, Default)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) at: Range<usize>,
}

pub(super) type Pairs = BTreeMap<String, String>;

#[derive(Debug, Default)]
pub(super) struct Kustomization {
    /// The deprecated `bases` come behind.
    pub(super) resources: Vec<At<String>>,
    pub(super) namespace: At<String>,
    pub(super) name_prefix: At<String>,
    pub(super) name_suffix: At<String>,
    pub(super) common_labels: At<Pairs>,
    pub(super) labels: Vec<At<Label>>,
    pub(super) common_annotations: At<Pairs>,
    pub(super) images: Vec<At<Image>>,
    pub(super) replicas: Vec<At<Replica>>,
    pub(super) config_maps: Vec<At<Generator>>,
    pub(super) secrets: Vec<At<Generator>>,
    pub(super) generator_options: Options,
    pub(super) patches: Vec<At<Patch>>,
    pub(super) strategic_patches: Vec<At<String>>,
    pub(super) json_patches: Vec<At<Patch>>,
    pub(super) sort: Option<At<Sort>>,
}

#[derive(Debug, Default)]
pub(super) struct Label {
    pub(super) pairs: Pairs,
    pub(super) include_selectors: bool,
    pub(super) include_templates: bool,
}

#[derive(Debug, Default)]
pub(super) struct Image {
    pub(super) name: String,
    pub(super) new_name: String,
    pub(super) new_tag: String,
    pub(super) digest: String,
}

#[derive(Debug, Default)]
pub(super) struct Replica {
    pub(super) name: String,
    pub(super) count: i64,
}

#[derive(Debug, Default)]
pub(super) struct Generator {
    pub(super) name: String,
    pub(super) namespace: String,
    /// Of a Secret; empty for `Opaque`.
    pub(super) secret_type: String,
    pub(super) behavior: Behavior,
    pub(super) files: Vec<At<String>>,
    pub(super) literals: Vec<At<String>>,
    pub(super) envs: Vec<At<String>>,
    pub(super) options: Options,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Behavior {
    #[default]
    Create,
    Merge,
    Replace,
}

#[derive(Debug, Default, Clone)]
pub(super) struct Options {
    pub(super) disable_hash: bool,
    pub(super) immutable: bool,
    pub(super) labels: Pairs,
    pub(super) annotations: Pairs,
}

#[derive(Debug, Default)]
pub(super) struct Patch {
    pub(super) path: At<String>,
    pub(super) inline: At<String>,
    pub(super) target: Option<Target>,
}

#[derive(Debug, Default)]
pub(super) struct Target {
    pub(super) group: String,
    pub(super) version: String,
    pub(super) kind: String,
    pub(super) name: String,
    pub(super) namespace: String,
    pub(super) labels: String,
    pub(super) annotations: String,
}

#[derive(Debug, Clone)]
pub(super) enum Sort {
    Fifo,
    /// The order of kinds, and none for Kustomize's own.
    Legacy(Option<(Vec<String>, Vec<String>)>),
}

const VERSION: &str = "kustomize.config.k8s.io/v1beta1";

impl Kustomization {
    /// Reads a file; `name` is how it is shown.
    pub(super) fn read(name: &str, text: &str) -> Result<(Self, Source), InputError> {
        let unreadable = |message: String| {
            let source = Source::new(name, "");
            InputError::Invalid { problems: vec![source.missing(message, "see the YAML of the file")] }
        };
        let node = load::document(text, 0)
            .map_err(|error| unreadable(format!("{name}:{} is no YAML: {}", error.line, error.message)))?
            .filter(says_something)
            .ok_or_else(|| unreadable(format!("{name} is empty")))?;
        let source = Source::new(name, &without_secrets(text, &node));
        let mut reader = Reader { source: &source, problems: Vec::new() };
        let kustomization = reader.kustomization(&node);
        let problems = reader.problems;
        let (kustomization, _) = unless_errors(kustomization, problems)?;
        Ok((kustomization, source))
    }
}

/// Whether there is more in it than its version and kind.
fn says_something(node: &Node) -> bool {
    let is_type = |name: &str| name == "apiVersion" || name == "kind";
    match &node.kind {
        Kind::Map(fields) => fields.iter().any(|field| !field.value.is_null() && !is_type(&field.name)),
        _ => !node.is_null(),
    }
}

/// The text with the literals of Secrets masked, byte for byte.
fn without_secrets(text: &str, node: &Node) -> String {
    let generators = node.get("secretGenerator").map(Node::items).unwrap_or_default();
    let literals = generators.iter().filter_map(|generator| generator.get("literals")).flat_map(Node::items);
    let mut bytes = text.as_bytes().to_vec();
    for literal in literals {
        for byte in bytes.get_mut(literal.at.clone()).into_iter().flatten().filter(|byte| **byte != b'\n') {
            *byte = b'*';
        }
    }
    String::from_utf8(bytes).unwrap_or_default()
}

struct Reader<'s> {
    source: &'s Source,
    problems: Vec<Problem>,
}

impl Reader<'_> {
    fn wrong(&mut self, at: &Range<usize>, message: String, label: &str, help: &str) {
        self.problems.push(self.source.error(message, self.source.first_line(at), label, help));
    }

    /// The fields of a map that are there and not null; unknown ones are errors.
    fn fields<'n>(&mut self, node: &'n Node, of: &str, known: &[&str]) -> BTreeMap<&'n str, &'n Node> {
        if !matches!(node.kind, Kind::Map(_)) && !node.is_null() {
            self.wrong(&node.at, format!("{of} is no map"), "here", "see Kustomize's reference of this field");
        }
        for field in node.fields().iter().filter(|field| !known.contains(&field.name.as_str())) {
            let message = format!("the field `{}` of {of} is not supported", field.name);
            let help = format!("known are {}", known.join(", "));
            self.wrong(&field.at, message, "this one", &help);
        }
        node.fields().iter().filter(|field| !field.value.is_null()).map(|field| (field.name.as_str(), &field.value)).collect()
    }

    fn items<'n>(&mut self, node: Option<&'n Node>) -> &'n [Node] {
        match node.map(|node| (node, &node.kind)) {
            None => &[],
            Some((_, Kind::List(items))) => items,
            Some((node, _)) => {
                self.wrong(&node.at, "this is no list".to_owned(), "here", "begin each item with `- `");
                &[]
            }
        }
    }

    fn each<'n, T>(&mut self, node: Option<&'n Node>, mut read: impl FnMut(&mut Self, &'n Node) -> T) -> Vec<At<T>> {
        self.items(node).iter().map(|item| At { value: read(self, item), at: item.at.clone() }).collect()
    }

    /// A string, by YAML 1.1, which knows more words for true and false.
    fn string(&mut self, node: &Node) -> String {
        match &node.kind {
            Kind::Scalar(Scalar { text, quoted, .. }) if *quoted || matches!(yaml::resolve(text), json::Node::String(_)) => {
                return text.clone();
            }
            _ if node.is_null() => {}
            _ => self.wrong(&node.at, "this is no string".to_owned(), "here", "put it in quotes"),
        }
        String::new()
    }

    fn text(&mut self, node: Option<&&Node>) -> At<String> {
        node.map(|node| At { value: self.string(node), at: node.at.clone() }).unwrap_or_default()
    }

    fn texts(&mut self, node: Option<&&Node>) -> Vec<At<String>> {
        self.each(node.copied(), Self::string)
    }

    fn flag(&mut self, node: Option<&&Node>) -> bool {
        let Some(node) = node else { return false };
        if let Kind::Scalar(Scalar { text, quoted: false, .. }) = &node.kind
            && let json::Node::Bool(value) = yaml::resolve(text)
        {
            return value;
        }
        self.wrong(&node.at, "this is neither true nor false".to_owned(), "here", "write `true` or `false`");
        false
    }

    fn integer(&mut self, node: Option<&&Node>) -> i64 {
        let Some(node) = node else { return 0 };
        if let Kind::Scalar(Scalar { text, quoted: false, .. }) = &node.kind
            && let json::Node::Number(number) = yaml::resolve(text)
            && let Ok(number) = number.parse()
        {
            return number;
        }
        self.wrong(&node.at, "this is no whole number".to_owned(), "here", "write it in digits");
        0
    }

    fn pairs(&mut self, node: Option<&&Node>) -> At<Pairs> {
        let Some(node) = node else { return At::default() };
        if !matches!(node.kind, Kind::Map(_)) {
            self.wrong(&node.at, "this is no map".to_owned(), "here", "write it as `key: value`");
        }
        for field in node.fields().iter().filter(|field| !field.quoted && looks_like_another_type(&field.name)) {
            self.wrong(&field.at, format!("the key `{}` is no string", field.name), "here", "put it in quotes");
        }
        let value = node.fields().iter().map(|field| (field.name.clone(), self.string(&field.value))).collect();
        At { value, at: node.at.clone() }
    }

    fn kustomization(&mut self, node: &Node) -> Kustomization {
        let known = [
            "apiVersion",
            "kind",
            "metadata",
            "resources",
            "bases",
            "namespace",
            "namePrefix",
            "nameSuffix",
            "commonLabels",
            "labels",
            "commonAnnotations",
            "images",
            "replicas",
            "configMapGenerator",
            "secretGenerator",
            "generatorOptions",
            "patches",
            "patchesStrategicMerge",
            "patchesJson6902",
            "sortOptions",
        ];
        let fields = self.fields(node, "the kustomization", &known);
        let get = |name: &str| fields.get(name);
        for (name, expected) in [("kind", "Kustomization"), ("apiVersion", VERSION)] {
            let given = self.text(get(name));
            if !given.value.is_empty() && given.value != expected {
                let message = format!("the {name} `{}` is not supported", given.value);
                self.wrong(&given.at, message, "here", &format!("only `{expected}` is"));
            }
        }
        let mut resources = self.texts(get("resources"));
        resources.extend(self.texts(get("bases")));
        Kustomization {
            resources,
            namespace: self.text(get("namespace")),
            name_prefix: self.text(get("namePrefix")),
            name_suffix: self.text(get("nameSuffix")),
            common_labels: self.pairs(get("commonLabels")),
            labels: self.each(get("labels").copied(), Self::label),
            common_annotations: self.pairs(get("commonAnnotations")),
            images: self.each(get("images").copied(), Self::image),
            replicas: self.each(get("replicas").copied(), Self::replica),
            config_maps: self.each(get("configMapGenerator").copied(), |reader, node| reader.generator(node, false)),
            secrets: self.each(get("secretGenerator").copied(), |reader, node| reader.generator(node, true)),
            generator_options: self.options(get("generatorOptions")),
            patches: self.each(get("patches").copied(), Self::patch),
            strategic_patches: self.texts(get("patchesStrategicMerge")),
            json_patches: self.each(get("patchesJson6902").copied(), Self::patch),
            sort: get("sortOptions").and_then(|node| self.sort(node)),
        }
    }

    fn label(&mut self, node: &Node) -> Label {
        let fields = self.fields(node, "labels", &["pairs", "includeSelectors", "includeTemplates"]);
        Label {
            pairs: self.pairs(fields.get("pairs")).value,
            include_selectors: self.flag(fields.get("includeSelectors")),
            include_templates: self.flag(fields.get("includeTemplates")),
        }
    }

    fn image(&mut self, node: &Node) -> Image {
        let fields = self.fields(node, "images", &["name", "newName", "newTag", "digest"]);
        Image {
            name: self.text(fields.get("name")).value,
            new_name: self.text(fields.get("newName")).value,
            new_tag: self.text(fields.get("newTag")).value,
            digest: self.text(fields.get("digest")).value,
        }
    }

    fn replica(&mut self, node: &Node) -> Replica {
        let fields = self.fields(node, "replicas", &["name", "count"]);
        Replica { name: self.text(fields.get("name")).value, count: self.integer(fields.get("count")) }
    }

    fn generator(&mut self, node: &Node, secret: bool) -> Generator {
        let of = if secret { "secretGenerator" } else { "configMapGenerator" };
        let mut known = vec!["name", "namespace", "behavior", "files", "literals", "envs", "options"];
        if secret {
            known.push("type");
        }
        let fields = self.fields(node, of, &known);
        let behavior = self.text(fields.get("behavior"));
        Generator {
            name: self.text(fields.get("name")).value,
            namespace: self.text(fields.get("namespace")).value,
            secret_type: self.text(fields.get("type")).value,
            behavior: match behavior.value.as_str() {
                "merge" => Behavior::Merge,
                "replace" => Behavior::Replace,
                "" | "create" => Behavior::Create,
                other => {
                    let message = format!("the behavior `{other}` is not supported");
                    self.wrong(&behavior.at, message, "here", "it is create, merge or replace");
                    Behavior::Create
                }
            },
            files: self.texts(fields.get("files")),
            literals: self.texts(fields.get("literals")),
            envs: self.texts(fields.get("envs")),
            options: self.options(fields.get("options")),
        }
    }

    fn options(&mut self, node: Option<&&Node>) -> Options {
        let Some(node) = node else { return Options::default() };
        let fields =
            self.fields(node, "the generator's options", &["disableNameSuffixHash", "immutable", "labels", "annotations"]);
        Options {
            disable_hash: self.flag(fields.get("disableNameSuffixHash")),
            immutable: self.flag(fields.get("immutable")),
            labels: self.pairs(fields.get("labels")).value,
            annotations: self.pairs(fields.get("annotations")).value,
        }
    }

    fn patch(&mut self, node: &Node) -> Patch {
        let fields = self.fields(node, "patches", &["path", "patch", "target"]);
        Patch {
            path: self.text(fields.get("path")),
            inline: self.text(fields.get("patch")),
            target: fields.get("target").map(|node| self.target(node)),
        }
    }

    fn target(&mut self, node: &Node) -> Target {
        let known = ["group", "version", "kind", "name", "namespace", "labelSelector", "annotationSelector"];
        let fields = self.fields(node, "a patch's target", &known);
        Target {
            group: self.text(fields.get("group")).value,
            version: self.text(fields.get("version")).value,
            kind: self.text(fields.get("kind")).value,
            name: self.text(fields.get("name")).value,
            namespace: self.text(fields.get("namespace")).value,
            labels: self.text(fields.get("labelSelector")).value,
            annotations: self.text(fields.get("annotationSelector")).value,
        }
    }

    fn sort(&mut self, node: &Node) -> Option<At<Sort>> {
        let fields = self.fields(node, "sortOptions", &["order", "legacySortOptions"]);
        let order = self.text(fields.get("order"));
        let legacy = fields.get("legacySortOptions").map(|node| {
            let fields = self.fields(node, "legacySortOptions", &["orderFirst", "orderLast"]);
            let mut names = |name: &str| self.texts(fields.get(name)).into_iter().map(|name| name.value).collect();
            (names("orderFirst"), names("orderLast"))
        });
        let value = match (order.value.as_str(), legacy) {
            ("legacy", legacy) => Sort::Legacy(legacy),
            ("fifo", None) => Sort::Fifo,
            ("fifo", Some(_)) => {
                self.wrong(&node.at, "legacySortOptions are for the order `legacy` alone".to_owned(), "here", "leave them out");
                return None;
            }
            (other, _) => {
                self.wrong(&node.at, format!("the order `{other}` is not supported"), "here", "it is fifo or legacy");
                return None;
            }
        };
        Some(At { value, at: node.at.clone() })
    }
}
