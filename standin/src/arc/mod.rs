//! Arc data services: their custom resources and the table of their components.

pub mod components;
pub mod data_controller;
pub mod kin;

pub use self::{
    components::{COMPONENTS, Component},
    data_controller::{DataController, DataControllerSpec, DataControllerStatus},
};

/// The API groups of Arc data services end in this.
pub const GROUP_SUFFIX: &str = "arcdata.microsoft.com";
