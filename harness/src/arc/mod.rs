//! Arc data services: their custom resources and the table of their components.
//!
//! The stand-in, which plays them, and the checks, which read what runs against them, share these facts.

pub use k3s_arc_standin::arc::*;
