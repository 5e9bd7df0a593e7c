//! Suite `controldb`: the controller's database keeps what it is given.

use super::{NamedTest, Target, component, expect, test};
use crate::{component::About, probe::http::Call};

pub(super) fn tests(target: &Target) -> Vec<NamedTest> {
    let (keeps, by_pod, volumes) = (target.clone(), target.clone(), target.clone());
    vec![
        test("keeps a value", async move {
            let controldb = component("controldb")?;
            let value = format!("written by {}", keeps.data_controller);
            keeps.put(controldb, "launcher-value", &value).await?;
            let found = keeps.get(controldb, "/data/launcher-value").await?;
            expect("the value read back through the Service", found, value)
        }),
        test("answers by its pod's name", async move {
            let controldb = component("controldb")?;
            let headless = controldb.headless_service().ok_or("controldb has no headless Service")?;
            let host = format!("{0}-0.{headless}", controldb.name);
            let about = about(&by_pod.ask(Call::Get(by_pod.url(controldb, &host, "/about"))).await?)?;
            expect("the pod that answers", about.pod, format!("{}-0", controldb.name))
        }),
        test("has its volumes", async move {
            let controldb = component("controldb")?;
            let about = about(&volumes.get(controldb, "/about").await?)?;
            let usable = about.volumes.iter().filter(|volume| volume.usable).map(|volume| volume.name.as_str());
            let expected = controldb.volumes.iter().map(|volume| volume.name());
            expect("the volumes it has written to and read back", usable.collect::<Vec<_>>(), expected.collect())
        }),
    ]
}

pub(super) fn about(body: &str) -> Result<About, String> {
    serde_json::from_str(body).map_err(|error| format!("/about answered something else: {error}"))
}
