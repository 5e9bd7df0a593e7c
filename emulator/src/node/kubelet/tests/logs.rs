//! What the API server asks for.

use std::sync::Mutex;

use k3s_arc_container::Input;
use tokio::io::AsyncWriteExt as _;

use super::*;
use crate::node::kubelet::{ExecError, Streams};

/// An output, and what was written to it.
fn kept() -> (Output, Arc<Mutex<Vec<u8>>>) {
    let kept = Arc::new(Mutex::new(Vec::new()));
    let keep = kept.clone();
    let output = Output::new(move |bytes| {
        keep.lock().unwrap().extend_from_slice(bytes);
        Ok(())
    });
    (output, kept)
}

#[tokio::test]
async fn logs_are_those_of_the_container_that_is_meant() {
    let world = World::at_speed(50.0);
    world.run("p", &["print", "once\n", "1"], json!({}), json!({}));
    world.when("p", |pod| first(pod)["restartCount"] == 1 && !first(pod)["lastState"]["terminated"].is_null()).await;
    let previous = LogOptions { previous: true, ..LogOptions::default() };
    assert_eq!(world.log("p", "c", previous.clone()).await, "once\n");
    world.run("q", &["pause"], json!({}), json!({}));
    world.running("q").await;
    assert_eq!(world.log("q", "c", LogOptions::default()).await, "");
    let refusal = world.kubelet.log(NS, "q", "c", &previous).unwrap_err();
    let expected = "previous terminated container \"c\" in pod \"q\" not found";
    assert_eq!((refusal.code, refusal.message.as_str()), (400, expected));
    let refusal = world.kubelet.log(NS, "q", "d", &LogOptions::default()).unwrap_err();
    assert_eq!(refusal.message, "container \"d\" in pod \"q\" is not available");
}

#[tokio::test]
async fn commands_run_in_running_containers() {
    let world = World::new();
    world.run("p", &["pause"], json!({}), json!({}));
    world.running("p").await;
    let run = |command: &[&str]| {
        let command: Vec<String> = command.iter().map(|&word| word.to_owned()).collect();
        let (stdout, kept) = kept();
        let kubelet = world.kubelet.clone();
        async move {
            let streams = Streams { stdin: Input::empty(), stdout, stderr: Output::null() };
            let ended = kubelet.exec(NS, "p", "c", &command, streams).await;
            (ended, String::from_utf8(kept.lock().unwrap().clone()).unwrap())
        }
    };
    let (code, output) = run(&["print", "hello", "7"]).await;
    assert_eq!((code.unwrap(), output.as_str()), (7, "hello"));
    assert_eq!(run(&["panic"]).await.0.unwrap(), 139);
    let Err(ExecError::NotStarted(why)) = run(&["nothere"]).await.0 else { panic!("it must not start") };
    let expected = "OCI runtime exec failed: exec failed: unable to start container process: exec: \"nothere\": executable file not \
                    found in $PATH";
    assert_eq!(why, expected);
    // With its container, a command ends.
    let endless = tokio::spawn(run(&["stubborn"]));
    tokio::task::yield_now().await;
    world.delete("p");
    assert_eq!(endless.await.unwrap().0.unwrap(), 137);
    world.gone("p").await;
    let Err(ExecError::Refused(refusal)) = run(&["pause"]).await.0 else { panic!("it must be refused") };
    assert!(refusal.message.contains("unable to upgrade connection: "), "{refusal}");
}

#[tokio::test]
async fn who_attaches_reads_and_writes_what_the_first_process_does() {
    let world = World::new();
    world.run("p", &["echo-input"], json!({"stdin": true, "stdinOnce": true}), json!({"restartPolicy": "Never"}));
    world.running("p").await;
    let (mut near, far) = tokio::io::duplex(64);
    let (stdout, kept) = kept();
    near.write_all(b"to and fro").await.unwrap();
    drop(near);
    let streams = Streams { stdin: Input::new(far), stdout, stderr: Output::null() };
    world.kubelet.attach(NS, "p", "c", streams).await.unwrap();
    assert_eq!(*kept.lock().unwrap(), b"to and fro");
    assert_eq!(world.over("p").await["status"]["phase"], "Succeeded");
    assert_eq!(world.log("p", "c", LogOptions::default()).await, "to and fro");
}

#[tokio::test]
async fn ports_of_pods_are_reached() {
    let world = World::new();
    world.run("p", &["serve", "80", "204"], json!({}), json!({}));
    world.running("p").await;
    let answer = async {
        let mut stream = loop {
            match world.kubelet.port_forward(NS, "p", 80).await {
                Ok(stream) => break stream,
                Err(_) => tokio::task::yield_now().await,
            }
        };
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    assert!(answer.await.starts_with("HTTP/1.1 204"));
    assert!(world.kubelet.port_forward(NS, "p", 81).await.is_err());
}
