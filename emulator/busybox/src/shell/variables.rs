//! Variables, exported or not, and those that functions have for themselves.

use std::collections::BTreeMap;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) value: Option<String>,
    pub(super) exported: bool,
    pub(super) read_only: bool,
}

/// The variables of a shell.
#[derive(Debug, Clone, Default)]
pub(super) struct Variables {
    all: BTreeMap<String, Variable>,
    /// What variables were before a function made them its own, the innermost function last.
    shadowed: Vec<BTreeMap<String, Option<Variable>>>,
    /// Bytes of names and values.
    bytes: usize,
}

/// A variable that cannot be changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ReadOnly(pub(super) String);

impl Variables {
    /// Those that a process was given. What has no name that a shell could use is passed on all the same.
    pub(super) fn from_environment(environment: &BTreeMap<String, String>) -> Self {
        let mut variables = Self::default();
        for (name, value) in environment {
            variables.put(name, Some(Variable { value: Some(value.clone()), exported: true, read_only: false }));
        }
        variables
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.all.get(name)?.value.as_deref()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    fn put(&mut self, name: &str, variable: Option<Variable>) {
        let size = |variable: &Variable| variable.value.as_ref().map_or(0, String::len) + name.len();
        if let Some(new) = &variable {
            self.bytes += size(new);
        }
        let old = match variable {
            Some(new) => self.all.insert(name.to_owned(), new),
            None => self.all.remove(name),
        };
        self.bytes -= old.as_ref().map_or(0, size);
    }

    fn writable(&self, name: &str) -> Result<Variable, ReadOnly> {
        let found = self.all.get(name).cloned().unwrap_or_default();
        if found.read_only { Err(ReadOnly(name.to_owned())) } else { Ok(found) }
    }

    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) -> Result<(), ReadOnly> {
        let found = self.writable(name)?;
        self.put(name, Some(Variable { value: Some(value.into()), ..found }));
        Ok(())
    }

    /// Sets one and exports it.
    pub(super) fn export(&mut self, name: &str, value: Option<String>) -> Result<(), ReadOnly> {
        if let Some(value) = value {
            self.set(name, value)?;
        }
        let found = self.all.get(name).cloned().unwrap_or_default();
        self.put(name, Some(Variable { exported: true, ..found }));
        Ok(())
    }

    pub(super) fn unexport(&mut self, name: &str) {
        if let Some(found) = self.all.get_mut(name) {
            found.exported = false;
        }
    }

    pub(super) fn make_read_only(&mut self, name: &str, value: Option<String>) -> Result<(), ReadOnly> {
        if let Some(value) = value {
            self.set(name, value)?;
        }
        let found = self.all.get(name).cloned().unwrap_or_default();
        self.put(name, Some(Variable { read_only: true, ..found }));
        Ok(())
    }

    pub(super) fn unset(&mut self, name: &str) -> Result<(), ReadOnly> {
        self.writable(name)?;
        self.put(name, None);
        Ok(())
    }

    /// All of them, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Variable)> {
        self.all.iter().map(|(name, variable)| (name.as_str(), variable))
    }

    /// What a child is given.
    pub(super) fn environment(&self) -> BTreeMap<String, String> {
        let exported = |(name, variable): (&str, &Variable)| {
            (variable.exported).then(|| Some((name.to_owned(), variable.value.clone()?))).flatten()
        };
        self.iter().filter_map(exported).collect()
    }

    /// A function begins.
    pub(super) fn enter(&mut self) {
        self.shadowed.push(BTreeMap::new());
    }

    /// A function ends: what it had for itself is as it was before.
    pub(super) fn leave(&mut self) {
        for (name, before) in self.shadowed.pop().unwrap_or_default() {
            self.put(&name, before);
        }
    }

    /// The function has this variable for itself from now on; false where there is no function.
    pub(super) fn shadow(&mut self, name: &str) -> bool {
        let before = self.all.get(name).cloned();
        let Some(innermost) = self.shadowed.last_mut() else { return false };
        innermost.entry(name.to_owned()).or_insert(before);
        true
    }

    /// What these are now, to be put back with [`Variables::restore`].
    pub(super) fn save<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<(String, Option<Variable>)> {
        names.map(|name| (name.to_owned(), self.all.get(name).cloned())).collect()
    }

    pub(super) fn restore(&mut self, saved: Vec<(String, Option<Variable>)>) {
        for (name, before) in saved.into_iter().rev() {
            self.put(&name, before);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_has_variables_for_itself() {
        let mut variables = Variables::default();
        variables.set("x", "1").unwrap();
        variables.enter();
        assert!(variables.shadow("x") && variables.shadow("y"));
        variables.set("x", "2").unwrap();
        variables.set("y", "long").unwrap();
        assert_eq!((variables.get("x"), variables.bytes()), (Some("2"), 2 + 5));
        variables.leave();
        assert_eq!((variables.get("x"), variables.get("y"), variables.bytes()), (Some("1"), None, 2));
        assert!(!variables.shadow("x"));
        variables.make_read_only("x", None).unwrap();
        assert_eq!(variables.unset("x"), Err(ReadOnly("x".into())));
        variables.export("z", Some("3".into())).unwrap();
        assert_eq!(variables.environment(), BTreeMap::from([("z".to_owned(), "3".to_owned())]));
    }
}
