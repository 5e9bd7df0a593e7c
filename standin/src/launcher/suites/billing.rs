//! Suite `billing`: the controller keeps usage records, under the subscription it was deployed with.

use super::{NamedTest, Target, component, expect, test};

pub(super) fn tests(target: &Target) -> Vec<NamedTest> {
    let (enabled, records) = (target.clone(), target.clone());
    vec![
        test("is enabled", async move {
            let spec = enabled.data_controller().await?.spec;
            expect("settings.controller.enableBilling", spec.settings.controller.enable_billing, true)
        }),
        test("keeps a usage record", async move {
            let azure = records.data_controller().await?.spec.settings.azure;
            let record = serde_json::json!({
                "exportType": "usages",
                "name": records.data_controller,
                "namespace": records.namespace,
                "subscriptionId": azure.subscription,
                "resourceGroup": azure.resource_group,
                "location": azure.location,
            });
            let (control, record) = (component("control")?, record.to_string());
            records.put(control, "usage", &record).await?;
            expect("the record that the controller kept", records.get(control, "/data/usage").await?, record)
        }),
    ]
}
