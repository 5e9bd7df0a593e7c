//! The StorageClass that claims get which name none.

use k8s_openapi::api::storage::v1::StorageClass;
use kube::{ResourceExt, api::ListParams};

use super::{LOCAL_PATH, PROVISIONER};
use crate::{
    check::{Area, Check, Context, Evidence, Failure},
    cluster::{Access, Capability},
};

/// See its question.
pub const DEFAULT_CLASS: Check = Check {
    area: Area::Storage,
    name: "default_class",
    question: "Is local-path the one default StorageClass, with the parameters that K3s gives it?",
    needs: &[Capability::LocalPath],
    access: Access::Shared,
    on_arc: false,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

/// The annotation of the default class.
const IS_DEFAULT: &str = "storageclass.kubernetes.io/is-default-class";

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let classes = cx.api_all::<StorageClass>().list(&ListParams::default()).await?.items;
    let is_default = |class: &&StorageClass| class.annotations().get(IS_DEFAULT).is_some_and(|value| value == "true");
    let names = |classes: &mut dyn Iterator<Item = &StorageClass>| match classes.map(ResourceExt::name_any).collect::<Vec<_>>() {
        names if names.is_empty() => "none".to_owned(),
        names => names.join(", "),
    };

    let defaults = names(&mut classes.iter().filter(is_default));
    evidence.saw("StorageClasses", names(&mut classes.iter())).saw("default", &defaults);
    evidence.require(defaults == LOCAL_PATH, format!("{LOCAL_PATH} is the one default StorageClass"), &defaults)?;

    let Some(class) = classes.iter().find(is_default) else { return Ok(()) };
    let binding = class.volume_binding_mode.as_deref().unwrap_or("Immediate");
    let reclaim = class.reclaim_policy.as_deref().unwrap_or("Delete");
    let expansion = class.allow_volume_expansion.unwrap_or(false);
    evidence
        .saw("provisioner", &class.provisioner)
        .saw("volumeBindingMode", binding)
        .saw("reclaimPolicy", reclaim)
        .saw("allowVolumeExpansion", expansion);
    evidence.require(class.provisioner == PROVISIONER, format!("its provisioner is {PROVISIONER}"), &class.provisioner)?;
    // A volume is on one node, so where it comes to be is decided by where its first pod goes.
    evidence.require(
        binding == "WaitForFirstConsumer",
        "it binds a claim when a pod wants it (WaitForFirstConsumer)",
        binding,
    )?;
    evidence.require(reclaim == "Delete", "it reclaims volumes with Delete", reclaim)?;
    evidence.require(!expansion, "its volumes cannot be expanded", "allowVolumeExpansion: true")?;
    Ok(())
}
