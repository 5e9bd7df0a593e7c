//! What a client selects objects by in a list, a watch or a deletecollection.

pub(crate) mod fields;
pub(crate) mod labels;

pub use labels::Selector;
