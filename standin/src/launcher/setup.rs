//! Stage 5: the data controller is deployed, and waited for until it is ready.

use std::{collections::BTreeMap, time::Duration};

use futures::future::try_join_all;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{
    Api, Client, CustomResourceExt, Resource, ResourceExt,
    api::PostParams,
    core::{ApiResource, DynamicObject},
};
use serde_json::Value;

use super::{LaunchError, names::Names, objects, wait::until};
use crate::{
    arc::{DataController, data_controller::READY},
    kubernetes::{Attempted, FIELD_MANAGER},
    log::Log,
    subset,
};

/// How long the API server may take to serve a new kind.
const SERVED_WITHIN: Duration = Duration::from_secs(60);

/// Creates the definitions, the namespace with its accounts and rights, the bootstrapper, and the DataController
/// of `document`; then waits until it is ready.
pub(super) async fn set_up(
    client: &Client,
    names: &Names,
    image: &str,
    labels: &BTreeMap<String, String>,
    document: &Value,
    ready_within: Duration,
    log: &Log,
) -> Result<(), LaunchError> {
    let mut definitions = objects::definitions()?;
    let mut objects = objects::objects(names, image)?;
    for manifest in definitions.iter_mut().chain(&mut objects) {
        manifest.object.labels_mut().extend(labels.clone());
    }
    log.info(format_args!("creating {} custom resource definitions", definitions.len()));
    try_join_all(definitions.iter().map(|definition| definition.apply(client))).await?;
    for object in objects {
        object.apply(client).await?;
        log.info(format_args!("created {}", object.title()));
    }
    served(client, DataController::crd_name()).await?;
    create(client, names, document, log).await?;
    // Only the tests need the other kinds.
    let others = definitions.iter().map(|definition| definition.object.name_any());
    let others = others.map(async |name| served(client, &name).await);
    futures::try_join!(try_join_all(others), wait_until_ready(client, names, ready_within, log))?;
    Ok(())
}

async fn served(client: &Client, definition: &str) -> Result<(), LaunchError> {
    let api = Api::<CustomResourceDefinition>::all(client.clone());
    until(api, definition, format!("{definition} is served"), SERVED_WITHIN, established).await?;
    Ok(())
}

async fn create(client: &Client, names: &Names, document: &Value, log: &Log) -> Result<(), LaunchError> {
    let resource = ApiResource::erase::<DataController>(&());
    let api = Api::<DynamicObject>::namespaced_with(client.clone(), &names.namespace, &resource);
    let parameters = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..Default::default() };
    let created = api.create(&parameters, &serde_json::from_value(document.clone())?).await;
    let created = created.attempted(|| format!("creating DataController {}", names.data_controller))?;
    log.info(format_args!("created DataController {}", names.data_controller));
    if let Some(path) = subset::missing(document, &serde_json::to_value(&created)?) {
        log.warn(format_args!("the cluster did not keep {path} of control.json: the DataController has no such field"));
    }
    Ok(())
}

async fn wait_until_ready(client: &Client, names: &Names, within: Duration, log: &Log) -> Result<(), LaunchError> {
    let name = &names.data_controller;
    let api = Api::<DataController>::namespaced(client.clone(), &names.namespace);
    let mut told = String::new();
    until(api, name, format!("DataController {name} is {READY}"), within, |seen| {
        let (state, why) = state(seen);
        // The message changes with every component; a line for each is enough.
        let line = format!("DataController {name}: {state}: {why}");
        if line != told {
            log.info(&line);
            told = line;
        }
        if state == READY { Ok(()) } else { Err(format!("{state}: {why}")) }
    })
    .await?;
    Ok(())
}

/// A DataController's state, and the reason for it.
pub(super) fn state(data_controller: Option<&DataController>) -> (&str, &str) {
    let Some(data_controller) = data_controller else { return ("missing", "there is no such DataController") };
    let Some(status) = &data_controller.status else { return ("new", "the bootstrapper has not looked at it yet") };
    if status.observed_generation != data_controller.meta().generation {
        return ("changed", "the bootstrapper has not looked at it since");
    }
    let why = status.conditions.first().map_or("no reason given", |condition| &condition.message);
    (status.state.as_deref().unwrap_or("without a state"), why)
}

fn established(definition: Option<&CustomResourceDefinition>) -> Result<(), String> {
    let status = definition.and_then(|definition| definition.status.as_ref());
    let conditions = status.and_then(|status| status.conditions.as_deref()).unwrap_or_default();
    let established = conditions.iter().find(|condition| condition.type_ == "Established");
    match established {
        Some(condition) if condition.status == "True" => Ok(()),
        Some(condition) => Err(condition.message.clone().unwrap_or_else(|| "it is not established".into())),
        None => Err("it has no condition Established".into()),
    }
}
