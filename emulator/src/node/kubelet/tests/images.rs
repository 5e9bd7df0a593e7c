//! Images that have to be pulled.

use super::*;
use crate::node::images::{PullFailure, PullFault};

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_tried_again_and_again() {
    let world = World::at_speed(50.0);
    let broken = PullFault { failure: Some(PullFailure::NotFound), ..PullFault::default() };
    world.images.set_fault(IMAGE, Some(broken));
    world.run("p", &["pause"], json!({}), json!({}));
    let why = "rpc error: code = NotFound desc = failed to pull and unpack image \"docker.io/test/tool:1\": failed to resolve reference \
               \"docker.io/test/tool:1\": docker.io/test/tool:1: not found";
    let pod = world.when("p", |pod| first(pod)["state"]["waiting"]["reason"] == "ImagePullBackOff").await;
    let expected = format!("Back-off pulling image \"test/tool:1\": ErrImagePull: {why}");
    assert_eq!(first(&pod)["state"]["waiting"]["message"], expected.as_str());
    assert_eq!((&first(&pod)["image"], &first(&pod)["imageID"]), (&json!(IMAGE), &json!("")));
    for event in [
        "Pulling: Pulling image \"test/tool:1\"",
        &format!("Failed: Failed to pull image \"test/tool:1\": {why}"),
        "Failed: Error: ErrImagePull",
        "BackOff: Back-off pulling image \"test/tool:1\"",
        "Failed: Error: ImagePullBackOff",
    ] {
        world.told("p", event).await;
    }
    let refusal = world.kubelet.log(NS, "p", "c", &LogOptions::default()).unwrap_err();
    let expected = "container \"c\" in pod \"p\" is waiting to start: trying and failing to pull image";
    assert_eq!((refusal.code, refusal.message.as_str()), (400, expected));
    world.images.set_fault(IMAGE, None);
    world.running("p").await;
}

#[tokio::test]
async fn policies_decide_what_is_pulled() {
    let world = World::new();
    world.run("always", &["pause"], json!({"imagePullPolicy": "Always"}), json!({}));
    world.running("always").await;
    world.told("always", "Pulled: Successfully pulled image \"test/tool:1\" in ").await;
    world.run("never", &["pause"], json!({"imagePullPolicy": "Never", "image": "other:1"}), json!({}));
    let pod = world.when("never", |pod| first(pod)["state"]["waiting"]["reason"] == "ErrImageNeverPull").await;
    let message = "Container image \"other:1\" is not present with pull policy of Never";
    assert_eq!(first(&pod)["state"]["waiting"]["message"], message);
    world.told("never", &format!("ErrImageNeverPull: {message}")).await;
    world.run("unnameable", &["pause"], json!({"image": "Not An Image"}), json!({}));
    let pod = world.when("unnameable", |pod| first(pod)["state"]["waiting"]["reason"] == "InvalidImageName").await;
    world.told("unnameable", &format!("InspectFailed: {}", text(&first(&pod)["state"]["waiting"]["message"]))).await;
}
