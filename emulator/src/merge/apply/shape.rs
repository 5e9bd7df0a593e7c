//! Types as server-side apply sees them: which of scalar, list and map a value may be, and what of it is merged and what
//! replaced (kube-openapi's `schemaconv` and structured-merge-diff's `schema`).

use serde_json::Value;

use super::element::Element;
use crate::field::quote;
use crate::schema::Type;

const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";
const RAW_EXTENSION: &str = "io.k8s.apimachinery.pkg.runtime.RawExtension";

/// The type of a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Shape<'a> {
    /// One of the table.
    Known(Known<'a>),
    /// Whatever the value is; maps are merged.
    Deduced,
    /// Whatever the value is; replaced as a whole.
    Opaque,
    /// A string, such as a custom resource's `kind`.
    Text,
}

/// A type of the table and what it inherits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Known<'a> {
    ty: Type<'a>,
    /// Whether unknown fields are kept, as above it.
    keeps: bool,
    /// `ObjectMeta`, which the schema of a custom resource only hints at.
    metadata: Option<Type<'a>>,
    root: bool,
}

/// What a scalar may be.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Scalar {
    Numeric,
    String,
    Boolean,
    Any,
}

/// How a map or an object is merged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct MapOf<'a> {
    of: Shape<'a>,
    pub(crate) atomic: bool,
}

/// How a list is merged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ListOf<'a> {
    of: Shape<'a>,
    pub(crate) atomic: bool,
}

/// What a type permits.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Atom<'a> {
    pub(crate) scalar: Option<Scalar>,
    pub(crate) list: Option<ListOf<'a>>,
    pub(crate) map: Option<MapOf<'a>>,
}

/// What of it a value is.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Form<'a> {
    Scalar(Scalar),
    List(ListOf<'a>),
    Map(MapOf<'a>),
}

impl Form<'_> {
    fn rank(&self) -> u8 {
        match self {
            Self::Scalar(_) => 0,
            Self::List(_) => 1,
            Self::Map(_) => 2,
        }
    }
}

impl<'a> Atom<'a> {
    fn any(of: Shape<'a>, list_atomic: bool, map_atomic: bool) -> Self {
        Self {
            scalar: Some(Scalar::Any),
            list: Some(ListOf { of, atomic: list_atomic }),
            map: Some(MapOf { of, atomic: map_atomic }),
        }
    }

    fn of_scalar(scalar: Scalar) -> Self {
        Self { scalar: Some(scalar), ..Self::default() }
    }

    /// The form of a value that fits, if it does.
    fn fitting(&self, value: &Value) -> Option<Form<'a>> {
        match value {
            Value::Null => None,
            Value::Array(_) => self.list.map(Form::List),
            Value::Object(_) => self.map.map(Form::Map),
            _ => self.scalar.map(Form::Scalar),
        }
    }

    /// What a value is treated as: null and what does not fit as the first that is permitted.
    pub(crate) fn form(&self, value: &Value) -> Option<Form<'a>> {
        self.fitting(value).or_else(|| self.first())
    }

    fn first(&self) -> Option<Form<'a>> {
        self.map.map(Form::Map).or_else(|| self.scalar.map(Form::Scalar)).or_else(|| self.list.map(Form::List))
    }

    /// The forms in which two values are to be compared or merged: one, or two when they differ.
    pub(crate) fn forms(&self, left: Option<&Value>, right: Option<&Value>) -> Result<(Option<Form<'a>>, Form<'a>), String> {
        let invalid = || "schema error: invalid atom: inlined".to_owned();
        let (left, right) = match (left, right) {
            (None, None) => return Err("at least one of lhs and rhs must be provided".into()),
            (Some(value), None) | (None, Some(value)) => return self.form(value).map(|form| (None, form)).ok_or_else(invalid),
            (Some(left), Some(right)) => (left, right),
        };
        let single = u8::from(self.scalar.is_some()) + u8::from(self.list.is_some()) + u8::from(self.map.is_some()) == 1;
        let (fits_left, fits_right) = (self.fitting(left), self.fitting(right));
        let right = fits_right.or_else(|| self.first()).ok_or_else(invalid)?;
        let alike = match (fits_left, fits_right) {
            (Some(a), Some(b)) => a.rank() == b.rank(),
            (None, None) => true,
            _ => false,
        };
        if single || alike { Ok((None, right)) } else { Ok((fits_left.or_else(|| self.first()), right)) }
    }
}

impl<'a> Shape<'a> {
    /// The type of a whole object; none means that it is deduced. `metadata` is `ObjectMeta`, for custom resources.
    pub(crate) fn of_object(ty: Option<Type<'a>>, metadata: Option<Type<'a>>) -> Self {
        match ty {
            Some(ty) => Self::Known(Known { ty, keeps: false, metadata, root: true }),
            None => Self::Deduced,
        }
    }

    /// What it permits.
    pub(crate) fn atom(self) -> Atom<'a> {
        let known = match self {
            Self::Deduced => return Atom::any(self, true, false),
            Self::Opaque => return Atom::any(self, true, true),
            Self::Text => return Atom::of_scalar(Scalar::String),
            Self::Known(known) => known,
        };
        match known.ty.name() {
            Some(QUANTITY) => return Atom::of_scalar(Scalar::Any),
            Some(RAW_EXTENSION) => return Self::Opaque.atom(),
            _ => {}
        }
        let map = || Some(MapOf { of: self, atomic: known.ty.is_atomic_map() });
        let list = || Some(ListOf { of: self, atomic: known.relationship() == Relationship::Atomic });
        match known.ty.keyword("type").and_then(Value::as_str) {
            None | Some("") => Atom { scalar: Some(Scalar::Any), list: list(), map: map() },
            Some("object") => Atom { map: map(), ..Atom::default() },
            Some("array") => Atom { list: list(), ..Atom::default() },
            Some("integer" | "number") => Atom::of_scalar(Scalar::Numeric),
            Some("boolean") => Atom::of_scalar(Scalar::Boolean),
            Some("string") if matches!(known.ty.format(), None | Some("" | "byte")) => Atom::of_scalar(Scalar::String),
            Some(_) => Atom::of_scalar(Scalar::Any),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Relationship<'a> {
    Atomic,
    Set,
    /// By the schema's list-map-keys.
    Keys,
    /// By the merge key of a strategic merge patch.
    Key(&'a str),
}

impl<'a> Known<'a> {
    /// The type of `metadata`, where a custom resource has the fields of every object without saying so.
    fn own_metadata(self) -> Option<Type<'a>> {
        self.metadata.filter(|_| self.root || self.ty.is_embedded_resource())
    }

    fn keeps(self) -> bool {
        self.keeps || self.ty.preserves_unknown()
    }

    fn inside(self, ty: Type<'a>) -> Shape<'a> {
        // What is known by its name does not inherit.
        let keeps = ty.name().is_none() && self.keeps();
        Shape::Known(Known { ty, keeps, metadata: self.metadata, root: false })
    }

    fn field(self, name: &str) -> Option<Shape<'a>> {
        if let Some(metadata) = self.own_metadata() {
            match name {
                "metadata" => return Some(Shape::Known(Known { ty: metadata, keeps: false, metadata: None, root: false })),
                "apiVersion" | "kind" => return Some(Shape::Text),
                _ => {}
            }
        }
        self.ty.field(name).map(|ty| self.inside(ty))
    }

    fn element(self) -> Option<Shape<'a>> {
        if let Some(ty) = self.ty.values() {
            return Some(self.inside(ty));
        }
        match self.ty.keyword("additionalProperties") {
            Some(Value::Bool(allowed)) => allowed.then_some(Shape::Deduced),
            _ if self.keeps() => Some(Shape::Deduced),
            // It has at least the fields of every object.
            _ if self.own_metadata().is_some() => None,
            _ => self.ty.fields().next().is_none().then_some(Shape::Deduced),
        }
    }

    fn relationship(self) -> Relationship<'a> {
        match self.ty.keyword("x-kubernetes-list-type").and_then(Value::as_str) {
            Some("set") => Relationship::Set,
            Some("map") => Relationship::Keys,
            Some(_) => Relationship::Atomic,
            None => match self.ty.keyword("x-kubernetes-patch-strategy").and_then(Value::as_str) {
                Some("merge" | "merge,retainKeys") => match self.ty.patch_merge_key() {
                    Some(key) => Relationship::Key(key),
                    None => Relationship::Set,
                },
                _ => Relationship::Atomic,
            },
        }
    }
}

impl<'a> MapOf<'a> {
    /// The type of a declared field.
    pub(crate) fn field(&self, name: &str) -> Option<Shape<'a>> {
        match self.of {
            Shape::Known(known) => known.field(name),
            _ => None,
        }
    }

    /// The type of all others; none when there may be no others.
    pub(crate) fn element(&self) -> Option<Shape<'a>> {
        match self.of {
            Shape::Known(known) => known.element(),
            of => Some(of),
        }
    }

    /// The type below a key.
    pub(crate) fn below(&self, name: &str) -> Option<Shape<'a>> {
        self.field(name).or_else(|| self.element())
    }

    /// Whether nothing is known of it: no fields, any values.
    pub(crate) fn is_deduced(&self) -> bool {
        match self.of {
            Shape::Deduced => true,
            Shape::Known(known) => {
                matches!(known.element(), Some(Shape::Deduced))
                    && known.ty.fields().next().is_none()
                    && known.own_metadata().is_none()
            }
            Shape::Opaque | Shape::Text => false,
        }
    }
}

impl<'a> ListOf<'a> {
    /// The type of the items.
    pub(crate) fn item(&self) -> Shape<'a> {
        match self.of {
            Shape::Known(known) => known.ty.items().map_or(Shape::Opaque, |ty| known.inside(ty)),
            _ => Shape::Opaque,
        }
    }

    /// How an item of an associative list is told from others.
    pub(crate) fn element(&self, item: &Value) -> Result<Element, String> {
        let Shape::Known(known) = self.of else { return Err("invalid indexing of non-associative list".into()) };
        match known.relationship() {
            Relationship::Atomic => Err("invalid indexing of non-associative list".into()),
            Relationship::Set => set_element(item),
            Relationship::Keys => keyed_element(known, &known.ty.keys().collect::<Vec<_>>(), item),
            Relationship::Key(key) => keyed_element(known, &[key], item),
        }
    }
}

fn set_element(item: &Value) -> Result<Element, String> {
    match item {
        Value::Object(_) => Err("associative list without keys has an element that's a map type".into()),
        Value::Array(_) => Err("not supported: associative list with lists as elements".into()),
        Value::Null => Err("associative list without keys has an element that's an explicit null".into()),
        scalar => Ok(Element::Value(scalar.clone())),
    }
}

fn keyed_element(list: Known<'_>, names: &[&str], item: &Value) -> Result<Element, String> {
    let fields = match item {
        Value::Object(fields) => fields,
        Value::Null => return Err("associative list with keys may not have a null element".into()),
        _ => return Err("associative list with keys may not have non-map elements".into()),
    };
    let mut keys = Vec::new();
    for &name in names {
        let value = fields.get(name).or_else(|| list.ty.items()?.field(name)?.default());
        if let Some(value) = value {
            keys.push((name.to_owned(), value.clone()));
        }
    }
    if keys.is_empty() {
        let names: Vec<_> = names.iter().map(|name| quote(name)).collect();
        return Err(format!(
            "associative list with keys has an element that omits all key fields [{}] (and doesn't have default values for any key fields)",
            names.join(" ")
        ));
    }
    keys.sort_by(|(a, _), (b, _)| a.cmp(b));
    Ok(Element::Key(keys))
}
