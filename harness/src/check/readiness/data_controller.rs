//! The DataController's state.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::{
    Api,
    api::{ApiResource, DynamicObject},
    core::GroupVersionKind,
};
use serde_json::Value;

use crate::check::{Access, Area, Check, Context, Evidence, Failure};

/// Is the DataController Ready, and was it within its budget?
pub const DATA_CONTROLLER: Check = Check {
    area: Area::Readiness,
    name: "data_controller",
    question: "Is the DataController Ready, and was it within its budget?",
    needs: &[],
    access: Access::Shared,
    on_arc: true,
    ask: |cx, evidence| Box::pin(ask(cx, evidence)),
};

/// What the stand-in may take: eight pods and eight claims on two cores take half a minute; our choice.
const STANDIN_BUDGET: Duration = Duration::from_secs(120);
/// What Microsoft's may take, with images of 2.5 GB each to pull: our choice.
const BUDGET: Duration = Duration::from_secs(30 * 60);

async fn ask(cx: &Context, evidence: &mut Evidence) -> Result<(), Failure> {
    let launch = cx.launch()?;
    // The version that the 1.34 release of Arc data services serves.
    let resource = ApiResource::from_gvk(&GroupVersionKind::gvk("arcdata.microsoft.com", "v5", "DataController"));
    let controllers: Api<DynamicObject> = Api::namespaced_with(cx.client(), &launch.namespace, &resource);
    let controller = controllers.get(&launch.data_controller).await?;
    let status = controller.data.get("status").cloned().unwrap_or_default();
    let state = status.get("state").and_then(Value::as_str).unwrap_or("none");
    evidence.saw(format!("state of DataController {}", launch.data_controller), state);
    evidence.saw("running version", status.get("runningVersion").and_then(Value::as_str).unwrap_or("none"));
    evidence.require(state == "Ready", "its .status.state is Ready", format!("{state}: {}", reason(&status)))?;

    let took = ready_after(controller.metadata.creation_timestamp.as_ref().map(|time| time.0), &status, launch.took);
    let budget = if launch.standin { STANDIN_BUDGET } else { BUDGET };
    let told = format!("{:.1} s", took.as_secs_f64());
    evidence.saw("Ready after at most", &told);
    evidence.require(took <= budget, format!("it is Ready within {} s", budget.as_secs()), told)?;
    Ok(())
}

/// What the status says about not being ready.
fn reason(status: &Value) -> &str {
    ready_condition(status).and_then(|condition| condition.get("message")?.as_str()).unwrap_or("no reason given")
}

fn ready_condition(status: &Value) -> Option<&Value> {
    let conditions = status.get("conditions")?.as_array()?;
    conditions.iter().find(|condition| condition.get("type").and_then(Value::as_str) == Some("Ready"))
}

/// How long it took from creation to Ready. The whole launch is the most it can have been: it waits for Ready, and a
/// transition after its end is one back from something else.
fn ready_after(created: Option<Timestamp>, status: &Value, launch: Duration) -> Duration {
    let since =
        ready_condition(status).and_then(|condition| condition.get("lastTransitionTime")?.as_str()?.parse::<Timestamp>().ok());
    let took: Option<SignedDuration> = created.zip(since).map(|(created, since)| since.duration_since(created));
    took.and_then(|took| Duration::try_from(took).ok()).map_or(launch, |took| took.min(launch))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;
    use serde_json::json;

    use super::*;

    fn ready_at(time: &str) -> Value {
        json!({"state": "Ready", "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": time}]})
    }

    #[rstest]
    #[case::as_the_condition_says(ready_at("2026-11-23T10:00:25Z"), 25)]
    #[case::ready_again_much_later(ready_at("2026-11-23T11:00:00Z"), 60)]
    #[case::a_clock_that_went_back(ready_at("2026-11-23T09:59:59Z"), 60)]
    #[case::without_conditions(json!({"state": "Ready"}), 60)]
    fn the_time_to_ready_is_at_most_the_launchs(#[case] status: Value, #[case] seconds: u64) {
        let created = "2026-11-23T10:00:00Z".parse().unwrap();
        assert_eq!(ready_after(Some(created), &status, Duration::from_secs(60)), Duration::from_secs(seconds));
    }
}
