//! Custom resources: their definitions, and what the API server does to their objects.
//!
//! [`CustomVersion`] is one version of a resource. A create is [`CustomVersion::shape`], [`CustomVersion::default`],
//! [`CustomVersion::prepare_create`], [`CustomVersion::validate`]; an update the same with `prepare_update` and
//! `validate_update`, through `…/status` with `prepare_status` and `validate_status`. What is read from the store is brought
//! into the request's version by [`CustomVersion::adopt`], then shaped and defaulted again. The generic parts (metadata's
//! decoding and validation, names, managed fields) are the caller's.

pub(crate) mod cel;
mod columns;
pub(crate) mod definition;
mod embedded;
mod formats;
mod internal;
pub(crate) mod jsonpath;
mod openapi;
mod resource;
mod rules;
mod schema;
mod shape;
mod structural;
mod validate;

pub(crate) use resource::CustomVersion;
pub(crate) use schema::Schema;
