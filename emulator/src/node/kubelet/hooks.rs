//! What is done when a container has started, and before it stops (`pkg/kubelet/lifecycle/handlers.go`).

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::Context;
use super::attempt::Attempt;
use super::exec;
use super::http::Get;
use crate::field::quote;
use crate::kinds::view::{int, list, text};

/// The words of a command.
pub(super) fn command(action: &Value) -> Vec<String> {
    list(&action["command"]).iter().map(|word| text(word).to_owned()).collect()
}

/// Runs a hook. `pod` is how the kubelet names the pod. What fails is told as the kubelet does.
pub(super) async fn run(
    context: &Context,
    handler: &Value,
    container: &Value,
    attempt: &Arc<Attempt>,
    (pod, pod_ip): (&str, &str),
) -> Result<(), String> {
    let whose = format!("for Container {} in Pod {} failed - error:", quote(text(&container["name"])), quote(pod));
    if !handler["exec"].is_null() {
        let command = command(&handler["exec"]);
        let (why, output) = match exec::output(attempt, &command).await {
            Ok((0, _)) => return Ok(()),
            Ok((code, output)) => (format!("command '{}' exited with {code}: ", command.join(" ")), output),
            Err(why) => (why, String::new()),
        };
        return Err(format!("Exec lifecycle hook ([{}]) {whose} {why}, message: {}", command.join(" "), quote(&output)));
    }
    if !handler["httpGet"].is_null() {
        let action = &handler["httpGet"];
        let failed = |why: String| format!("HTTP lifecycle hook ({}) {whose} {why}", text(&action["path"]));
        let get = Get::of(action, container, pod_ip, "lifecycle").map_err(failed)?;
        return get.send(&attempt.recipe.container.net, None).await.map(drop).map_err(failed);
    }
    if !handler["sleep"].is_null() {
        let seconds = u64::try_from(int(&handler["sleep"]["seconds"])).unwrap_or_default();
        tokio::time::sleep(context.outside(Duration::from_secs(seconds))).await;
        return Ok(());
    }
    Err("Cannot run handler: invalid handler".to_owned())
}
