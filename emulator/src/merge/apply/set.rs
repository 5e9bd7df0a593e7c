//! Sets of fields: structured-merge-diff's `fieldpath/set.go` and `serialize.go`.

use std::cmp::Ordering;

use serde_json::{Map, Value};

use super::element::Element;

/// A tree of fields. The set at the root is the object itself, which nobody owns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Set {
    /// Whether this field itself is a member, not only some below it.
    pub(crate) owned: bool,
    /// What is below, sorted; none of them is empty.
    pub(crate) below: Vec<(Element, Set)>,
}

impl Set {
    /// One field and nothing below it.
    pub(crate) fn leaf() -> Self {
        Self { owned: true, below: Vec::new() }
    }

    /// Fields by dotted names: `metadata.labels`.
    pub(crate) fn of_names(paths: &[&str]) -> Self {
        let mut set = Self::default();
        for path in paths {
            let mut here = &mut set;
            for name in path.split('.') {
                here = here.child(Element::Field(name.to_owned()));
            }
            here.owned = true;
        }
        set
    }

    /// The set below an element, made if it is missing.
    pub(crate) fn child(&mut self, element: Element) -> &mut Self {
        let at = match self.below.binary_search_by(|(here, _)| here.cmp(&element)) {
            Ok(at) => at,
            Err(at) => {
                self.below.insert(at, (element, Self::default()));
                at
            }
        };
        &mut self.below[at].1
    }

    /// Adds a field below this one, unless there is nothing in `set`. Elements must come in order, but for the few that
    /// don't.
    pub(crate) fn push(&mut self, element: Element, set: Self) {
        if set.is_empty() {
            return;
        }
        if self.below.last().is_none_or(|(last, _)| *last < element) {
            self.below.push((element, set));
        } else {
            let child = self.child(element);
            *child = std::mem::take(child).union(set);
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        !self.owned && self.below.is_empty()
    }

    /// The set below an element.
    pub(crate) fn get(&self, element: &Element) -> Option<&Self> {
        let at = self.below.binary_search_by(|(here, _)| here.cmp(element)).ok()?;
        Some(&self.below[at].1)
    }

    /// Whether the field at the end of a path is a member.
    pub(crate) fn has(&self, path: &[Element]) -> bool {
        path.iter().try_fold(self, |set, element| set.get(element)).is_some_and(|set| set.owned)
    }

    /// What is in either.
    pub(crate) fn union(self, other: Self) -> Self {
        if self.is_empty() {
            return other;
        }
        if other.is_empty() {
            return self;
        }
        let owned = self.owned || other.owned;
        if other.below.is_empty() {
            return Self { owned, below: self.below };
        }
        let mut below = Vec::with_capacity(self.below.len() + other.below.len());
        let mut left = self.below.into_iter().peekable();
        let mut right = other.below.into_iter().peekable();
        loop {
            let order = match (left.peek(), right.peek()) {
                (Some((a, _)), Some((b, _))) => a.cmp(b),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (None, None) => return Self { owned, below },
            };
            match order {
                Ordering::Less => below.extend(left.next()),
                Ordering::Greater => below.extend(right.next()),
                Ordering::Equal => {
                    if let (Some((element, a)), Some((_, b))) = (left.next(), right.next()) {
                        below.push((element, a.union(b)));
                    }
                }
            }
        }
    }

    /// What is in both.
    pub(crate) fn intersection(&self, other: &Self) -> Self {
        let mut out = Self { owned: self.owned && other.owned, below: Vec::new() };
        let (mut left, mut right) = (self.below.iter().peekable(), other.below.iter().peekable());
        while let (Some((a, set_a)), Some((b, set_b))) = (left.peek(), right.peek()) {
            match a.cmp(b) {
                Ordering::Less => drop(left.next()),
                Ordering::Greater => drop(right.next()),
                Ordering::Equal => {
                    let both = set_a.intersection(set_b);
                    if !both.is_empty() {
                        out.below.push((a.clone(), both));
                    }
                    left.next();
                    right.next();
                }
            }
        }
        out
    }

    /// What is in this one and not in the other.
    pub(crate) fn difference(mut self, other: &Self) -> Self {
        self.owned &= !other.owned;
        if !other.below.is_empty() {
            self.each_common(other, |set, removed| std::mem::take(set).difference(removed));
        }
        self
    }

    /// The same, where a field of the other takes all below it along.
    pub(crate) fn recursive_difference(mut self, other: &Self) -> Self {
        self.owned &= !other.owned;
        if !other.below.is_empty() {
            self.each_common(other, |set, removed| {
                if removed.owned { Self::default() } else { std::mem::take(set).recursive_difference(removed) }
            });
        }
        self
    }

    fn each_common(&mut self, other: &Self, change: impl Fn(&mut Self, &Self) -> Self) {
        let mut right = other.below.iter().peekable();
        self.below.retain_mut(|(element, set)| {
            while right.peek().is_some_and(|(b, _)| b < element) {
                right.next();
            }
            if let Some((b, removed)) = right.peek()
                && b == element
            {
                *set = change(set, removed);
            }
            !set.is_empty()
        });
    }

    /// Calls `visit` with the path of each member: those right below before those deeper, as conflicts are listed.
    pub(crate) fn each(&self, visit: &mut impl FnMut(&[Element])) {
        self.each_below(&mut Vec::new(), visit);
    }

    fn each_below(&self, path: &mut Vec<Element>, visit: &mut impl FnMut(&[Element])) {
        for (element, set) in &self.below {
            if set.owned {
                path.push(element.clone());
                visit(path);
                path.pop();
            }
        }
        for (element, set) in &self.below {
            if !set.below.is_empty() {
                path.push(element.clone());
                set.each_below(path, visit);
                path.pop();
            }
        }
    }

    /// The form of `fieldsV1`.
    pub(crate) fn to_json(&self) -> Value {
        let mut fields = Map::new();
        if self.owned && !self.below.is_empty() {
            fields.insert(".".into(), Value::Object(Map::new()));
        }
        for (element, set) in &self.below {
            fields.insert(element.serialize(), set.to_json());
        }
        Value::Object(fields)
    }

    /// Reads `fieldsV1`.
    pub(crate) fn from_json(fields: &Value) -> Result<Self, String> {
        let mut set = Self::read(fields)?;
        // The object as a whole is no member.
        set.owned = false;
        Ok(set)
    }

    fn read(fields: &Value) -> Result<Self, String> {
        let fields = match fields {
            Value::Object(fields) => fields,
            Value::Null => return Ok(Self::leaf()),
            _ => return Err("ReadMapCB: expect { or n".into()),
        };
        let mut set = Self::default();
        for (key, value) in fields {
            if key == "." {
                set.owned = true;
            } else if let Some(element) = Element::parse(key).map_err(|e| format!("parsing key as path element: {e}"))? {
                set.push(element, Self::read(value)?);
            }
        }
        if set.below.is_empty() {
            set.owned = true;
        }
        Ok(set)
    }
}

/// A path as messages show it: `.spec.containers[name="a"].image`.
pub(crate) fn show(path: &[Element]) -> String {
    path.iter().map(ToString::to_string).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn set(fields: Value) -> Set {
        Set::from_json(&fields).unwrap()
    }

    // fieldpath/serialize_test.go
    #[rstest]
    #[case(json!({}))]
    #[case(json!({"f:aaa": {"k:{\"name\":\"first\"}": {}, "k:{\"name\":\"second\"}": {".": {}, "v:3": {"f:alive": {}}}, "v:1": {"f:i": {".": {}, "f:j": {}}}, "v:true": {}}}))]
    #[case(json!({"f:foo": {"i:5": {"f:i": {}}, "v:3": {}}}))]
    fn round_trips(#[case] fields: Value) {
        assert_eq!(set(fields.clone()).to_json(), fields);
    }

    #[test]
    fn drops_what_it_does_not_know() {
        assert_eq!(set(json!({"f:a": {"x:b": {}}})).to_json(), json!({"f:a": {}}));
    }

    #[test]
    fn combines() {
        let a = set(json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        let b = set(json!({"f:a": {"f:b": {}, "f:d": {}}}));
        assert_eq!(a.clone().union(b.clone()).to_json(), json!({"f:a": {".": {}, "f:b": {}, "f:d": {}}, "f:c": {}}));
        assert_eq!(a.intersection(&b).to_json(), json!({"f:a": {"f:b": {}}}));
        assert_eq!(a.clone().difference(&b).to_json(), json!({"f:a": {}, "f:c": {}}));
        let whole = Set::of_names(&["a"]);
        assert_eq!(a.clone().difference(&whole).to_json(), json!({"f:a": {"f:b": {}}, "f:c": {}}));
        assert_eq!(a.recursive_difference(&whole).to_json(), json!({"f:c": {}}));
    }

    #[test]
    fn lists_members_before_their_children() {
        let mut paths = Vec::new();
        set(json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}})).each(&mut |path| paths.push(show(path)));
        assert_eq!(paths, [".a", ".c", ".a.b"]);
    }

    fn any_set() -> impl Strategy<Value = Set> {
        let element = prop_oneof![
            "[a-c]{1,2}".prop_map(Element::Field),
            (0i64..3).prop_map(Element::Index),
            (0i64..3).prop_map(|n| Element::Value(json!(n))),
            "[a-c]".prop_map(|n| Element::Key(vec![("name".into(), json!(n))])),
        ];
        let leaf = Just(Set::leaf());
        leaf.prop_recursive(4, 32, 4, move |inner| {
            (any::<bool>(), prop::collection::vec((element.clone(), inner), 0..4)).prop_map(|(owned, below)| {
                let mut set = Set { owned, below: Vec::new() };
                for (element, child) in below {
                    set.push(element, child);
                }
                set.owned |= set.below.is_empty();
                set
            })
        })
        .prop_map(|mut set| {
            set.owned = false;
            set
        })
    }

    proptest! {
        #[test]
        fn json_keeps_it(set in any_set()) {
            prop_assert_eq!(Set::from_json(&set.to_json()).unwrap(), set);
        }

        #[test]
        fn is_the_union_of_its_parts(a in any_set(), b in any_set()) {
            let parts = a.clone().difference(&b).union(a.intersection(&b));
            prop_assert_eq!(parts, a);
        }

        #[test]
        fn reading_never_panics(text in "\\PC*") {
            let _ = Element::parse(&text);
            let _ = Set::from_json(&json!({text: {}}));
        }
    }
}
