//! Suites `direct-crud` and `direct-hydration`: what Azure would do through the cluster's API.

use kube::{
    Api, ResourceExt,
    api::{DeleteParams, Patch, PatchParams, PostParams},
    core::DynamicObject,
};
use serde_json::json;

use super::{NamedTest, Target, expect, test};
use crate::{
    arc::{data_controller::READY, kin::SQL_MANAGED_INSTANCE},
    kubernetes::{explain, unless_not_found},
};

pub(super) fn crud_tests(target: &Target) -> Vec<NamedTest> {
    let target = target.clone();
    vec![test("a SqlManagedInstance is created, read, updated and deleted", async move {
        let resource = SQL_MANAGED_INSTANCE.api_resource();
        let api = Api::<DynamicObject>::namespaced_with(target.client.clone(), &target.namespace, &resource);
        let name = "launcher-crud";
        let told = |attempted: &'static str| move |error: kube::Error| format!("{attempted}: {}", explain(&error));

        let object = DynamicObject::new(name, &resource).data(json!({"spec": {"replicas": 1, "tier": "GeneralPurpose"}}));
        api.create(&PostParams::default(), &object).await.map_err(told("creating it"))?;
        let patch = Patch::Merge(json!({"spec": {"replicas": 3}}));
        api.patch(name, &PatchParams::default(), &patch).await.map_err(told("updating it"))?;
        let read = api.get(name).await.map_err(told("reading it"))?;
        expect("spec after the update", &read.data["spec"], &json!({"replicas": 3, "tier": "GeneralPurpose"}))?;
        expect("generation after the update", read.metadata.generation, Some(2))?;
        api.delete(name, &DeleteParams::default()).await.map_err(told("deleting it"))?;
        let left = unless_not_found(api.get(name).await).map_err(told("reading it again"))?;
        expect("what is left of it", left.map(|left| left.name_any()), None)
    })]
}

pub(super) fn hydration_tests(target: &Target) -> Vec<NamedTest> {
    let target = target.clone();
    vec![test("the DataController says how it is", async move {
        let data_controller = target.data_controller().await?;
        let status = data_controller.status.ok_or("it has no status")?;
        expect("state", status.state.as_deref(), Some(READY))?;
        expect("observed generation", status.observed_generation, data_controller.metadata.generation)?;
        expect("running version", status.running_version, Some(data_controller.spec.docker.image_tag))
    })]
}
