//! Server-side apply and the tracking of who owns which fields.

mod collect;
mod combine;
mod compare;
mod configuration;
mod element;
mod entries;
#[cfg(test)]
mod golden;
mod manager;
#[cfg(test)]
mod recorded;
mod remove;
mod reset;
mod scale;
mod set;
mod shape;
mod times;
mod update;
mod user;
mod validate;

pub use configuration::Configuration;
pub use manager::Manager;
pub use reset::{custom_reset_fields, reset_fields};
pub use scale::Scaling;
pub use times::keep_times;
pub use update::Versions;
pub use user::{check_field_manager, manager_name};

use serde_json::{Value, json};

/// Whether `managedFields` of an object can be read; the reason if not.
///
/// # Errors
/// What is wrong, in apimachinery's words.
pub fn check_entries(object: &Value) -> Result<(), String> {
    entries::read(object).map(drop)
}

/// Whether an object, as it was sent, asks for its entries to be forgotten goes over to what was decoded from it: decoding
/// loses the empty list that says so. To be called before [`Manager::update`].
pub fn keep_reset(sent: &Value, decoded: &mut Value) {
    if entries::is_reset(sent)
        && let Some(metadata) = decoded.get_mut("metadata").and_then(Value::as_object_mut)
    {
        metadata.insert("managedFields".to_owned(), json!([{}]));
    }
}
