//! The suite for every name that the stand-in has none for: each component answers.

use super::{NamedTest, Target, controldb::about, expect, test};
use crate::arc::COMPONENTS;

pub(super) fn tests(target: &Target) -> Vec<NamedTest> {
    let tests = COMPONENTS.iter().map(|component| {
        let target = target.clone();
        test(format!("{} answers", component.name), async move {
            let about = about(&target.get(component, "/about").await?)?;
            expect("who answers", about.name.as_str(), component.name)?;
            expect("the body of /readyz", target.get(component, "/readyz").await?.as_str(), "ok")
        })
    });
    tests.collect()
}
