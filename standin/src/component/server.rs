//! What a component answers over HTTP.
//!
//! `/healthz`: it runs. `/readyz`: it has written to each volume and read it back. `/about`: who it is
//! ([`About`]). `PUT` and `GET /data/<key>`: a value on its data volume.

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

use axum::{
    Json, Router,
    body::Bytes,
    extract::{Path as UrlPath, State as AppState},
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::get,
};
use k3s_arc_container::{
    Files,
    files::{Kind, Open},
};
use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    Options,
    store::{Key, Store, write_and_read_back},
};
use crate::arc::components::Volume;

/// Who answers: the body of `/about`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// The component played.
    pub name: String,
    /// The pod it runs in.
    pub pod: String,
    /// The stand-in's version.
    pub version: String,
    /// When this process started (RFC 3339).
    pub started: String,
    /// Its volumes.
    pub volumes: Vec<VolumeState>,
    /// What it did since it started.
    pub counters: Counters,
}

/// A volume as a component sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VolumeState {
    /// `data` or `logs`.
    pub name: String,
    /// Where it is mounted.
    pub path: PathBuf,
    /// Whether the component has written to it and read that back.
    pub usable: bool,
    /// How many files the component finds on it.
    pub files: u64,
    /// How many bytes they hold.
    pub bytes: u64,
}

/// What a component did since it started.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counters {
    /// Values stored.
    pub writes: u64,
    /// Values given.
    pub reads: u64,
}

#[derive(Debug)]
struct Mounted {
    volume: Volume,
    path: PathBuf,
    usable: AtomicBool,
}

#[derive(Debug)]
pub(super) struct State {
    name: String,
    pod: String,
    started: Timestamp,
    files: Files,
    volumes: Vec<Mounted>,
    store: Option<Arc<Store>>,
    writes: AtomicU64,
    reads: AtomicU64,
}

impl State {
    pub(super) fn new(options: Options, files: Files) -> Self {
        let Options { name, pod, data, logs } = options;
        let store = data.clone().map(|directory| Arc::new(Store::new(files.clone(), directory)));
        let volumes = [(Volume::Data, data), (Volume::Logs, logs)]
            .into_iter()
            .filter_map(|(volume, path)| Some(Mounted { volume, path: path?, usable: AtomicBool::new(false) }))
            .collect();
        let (writes, reads) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { name, pod, started: Timestamp::now(), files, volumes, store, writes, reads }
    }

    /// Adds a line about this start to the component's log file.
    pub(super) async fn log_start(&self) -> io::Result<()> {
        let Some(logs) = self.volumes.iter().find(|mounted| mounted.volume == Volume::Logs) else { return Ok(()) };
        let path = logs.path.join(format!("{}.log", self.name));
        let line = format!("{} {} starts in pod {}\n", self.started, self.name, self.pod);
        let files = self.files.clone();
        blocking(move || files.open(path, Open::APPEND)?.write_all(line.as_bytes())).await
    }

    /// Tries the volumes that have not been tried with success yet.
    async fn ready(&self) -> Result<(), String> {
        for mounted in self.volumes.iter().filter(|mounted| !mounted.usable.load(Ordering::Relaxed)) {
            let (files, path, text) = (self.files.clone(), mounted.path.clone(), format!("{} {}", self.pod, self.started));
            let tried = blocking(move || write_and_read_back(&files, &path, &text)).await;
            tried.map_err(|error| format!("volume {} at {}: {error}", mounted.volume.name(), mounted.path.display()))?;
            mounted.usable.store(true, Ordering::Relaxed);
        }
        Ok(())
    }

    async fn about(&self) -> About {
        let mut volumes = Vec::new();
        for mounted in &self.volumes {
            let (own, path) = (self.files.clone(), mounted.path.clone());
            let (files, bytes) = blocking(move || Ok(contents(&own, &path))).await.unwrap_or_default();
            volumes.push(VolumeState {
                name: mounted.volume.name().into(),
                path: mounted.path.clone(),
                usable: mounted.usable.load(Ordering::Relaxed),
                files,
                bytes,
            });
        }
        About {
            name: self.name.clone(),
            pod: self.pod.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
            started: self.started.to_string(),
            volumes,
            counters: Counters { writes: self.writes.load(Ordering::Relaxed), reads: self.reads.load(Ordering::Relaxed) },
        }
    }
}

pub(super) fn router(state: Arc<State>) -> Router {
    Router::new()
        .route("/healthz", get(async || "ok"))
        .route("/readyz", get(readyz))
        .route("/about", get(async |AppState(state): AppState<Arc<State>>| Json(state.about().await)))
        .route("/data/{key}", get(get_value).put(put_value))
        .with_state(state)
}

/// What a request is refused with.
type Refusal = (StatusCode, String);

async fn readyz(AppState(state): AppState<Arc<State>>) -> Result<&'static str, Refusal> {
    state.ready().await.map(|()| "ok").map_err(|why| (StatusCode::SERVICE_UNAVAILABLE, why))
}

async fn get_value(AppState(state): AppState<Arc<State>>, UrlPath(key): UrlPath<String>) -> Result<Response, Refusal> {
    let (key, store) = find(&state, &key)?;
    let value = blocking(move || store.get(&key)).await.map_err(refuse)?;
    let value = value.ok_or((StatusCode::NOT_FOUND, "no value of this key is kept".to_owned()))?;
    state.reads.fetch_add(1, Ordering::Relaxed);
    Ok(value.into_response())
}

async fn put_value(
    AppState(state): AppState<Arc<State>>,
    UrlPath(key): UrlPath<String>,
    value: Bytes,
) -> Result<StatusCode, Refusal> {
    let (key, store) = find(&state, &key)?;
    blocking(move || store.put(&key, &value)).await.map_err(refuse)?;
    state.writes.fetch_add(1, Ordering::Relaxed);
    Ok(StatusCode::NO_CONTENT)
}

fn find(state: &State, key: &str) -> Result<(Key, Arc<Store>), Refusal> {
    let store = state.store.clone().ok_or_else(|| (StatusCode::NOT_FOUND, format!("{} has no data volume", state.name)))?;
    let key = Key::new(key).map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    Ok((key, store))
}

fn refuse(error: io::Error) -> Refusal {
    let status = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StatusCode::INSUFFICIENT_STORAGE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, error.to_string())
}

/// How many files a directory holds, and how many bytes they do.
fn contents(files: &Files, directory: &Path) -> (u64, u64) {
    let names = files.read_dir(directory).unwrap_or_default().into_iter();
    names
        .filter_map(|name| files.symlink_metadata(directory.join(name)).ok())
        .filter(|found| found.kind == Kind::File)
        .fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.size))
}

/// Runs what waits for a disk where it does not keep the server from answering.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests {
    use std::fs;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
    };

    use super::*;
    use crate::{component::serve, log::tests::Written, shutdown::Shutdown};

    /// Sends one request to a component that runs with these volumes, and gives status and body.
    async fn ask(volumes: (Option<&Path>, Option<&Path>), requests: &[(&str, &str, &str)]) -> Vec<(u16, String)> {
        let options = Options {
            name: "controldb".into(),
            pod: "controldb-0".into(),
            data: volumes.0.map(Path::to_owned),
            logs: volumes.1.map(Path::to_owned),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (trigger, shutdown) = Shutdown::by_hand();
        let server = tokio::spawn(serve(options, listener, Files::native(), Written::default().log(false), shutdown));
        let mut replies = Vec::new();
        for (method, path, body) in requests {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let length = body.len();
            let request =
                format!("{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}");
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut reply = String::new();
            stream.read_to_string(&mut reply).await.unwrap();
            let (head, body) = reply.split_once("\r\n\r\n").unwrap();
            replies.push((head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned()));
        }
        trigger.pull();
        server.await.unwrap().unwrap();
        replies
    }

    #[tokio::test]
    async fn it_is_ready_once_its_volumes_work() {
        let (data, logs) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let volumes = (Some(data.path()), Some(logs.path()));
        let replies = ask(volumes, &[("GET", "/healthz", ""), ("GET", "/readyz", ""), ("GET", "/about", "")]).await;
        assert_eq!(replies[..2], [(200, "ok".to_owned()), (200, "ok".to_owned())]);
        let about: About = serde_json::from_str(&replies[2].1).unwrap();
        assert_eq!((about.name.as_str(), about.pod.as_str()), ("controldb", "controldb-0"));
        assert_eq!(
            about.volumes.iter().map(|volume| (volume.name.as_str(), volume.usable)).collect::<Vec<_>>(),
            [("data", true), ("logs", true)]
        );
        let logged = fs::read_to_string(logs.path().join("controldb.log")).unwrap();
        assert!(logged.ends_with(" controldb starts in pod controldb-0\n"), "{logged}");
    }

    #[tokio::test]
    async fn it_is_not_ready_without_its_volume() {
        let directory = tempfile::tempdir().unwrap();
        let gone = directory.path().join("gone");
        let replies = ask((Some(&gone), None), &[("GET", "/healthz", ""), ("GET", "/readyz", "")]).await;
        assert_eq!(replies[0].0, 200);
        assert_eq!(replies[1].0, 503);
        assert!(replies[1].1.starts_with("volume data at "), "{}", replies[1].1);
    }

    #[tokio::test]
    async fn values_outlive_the_process() {
        let data = tempfile::tempdir().unwrap();
        let first = ask((Some(data.path()), None), &[("PUT", "/data/k", "v"), ("GET", "/data/k", "")]).await;
        assert_eq!(first, [(204, String::new()), (200, "v".to_owned())]);
        let second = ask((Some(data.path()), None), &[("GET", "/data/k", ""), ("GET", "/data/other", "")]).await;
        assert_eq!(second[0], (200, "v".to_owned()));
        assert_eq!(second[1].0, 404);
    }

    #[tokio::test]
    async fn keys_do_not_lead_out_of_the_volume() {
        let data = tempfile::tempdir().unwrap();
        let requests = [("PUT", "/data/..%2Fx", "v"), ("GET", "/data/..%2F..%2Fetc%2Fpasswd", ""), ("PUT", "/data/..", "v")];
        let replies = ask((Some(data.path()), None), &requests).await;
        assert_eq!(replies.iter().map(|reply| reply.0).collect::<Vec<_>>(), [400, 400, 400]);
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0);
    }

    #[tokio::test]
    async fn who_is_killed_answers_no_more_on_any_connection() {
        let options = Options { name: "control".into(), pod: "control-x".into(), data: None, logs: None };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (_trigger, shutdown) = Shutdown::by_hand();
        let server = tokio::spawn(serve(options, listener, Files::native(), Written::default().log(false), shutdown));
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await.unwrap();
        assert_ne!(stream.read(&mut [0; 1024]).await.unwrap(), 0);
        server.abort();
        assert_eq!(stream.read(&mut [0; 1024]).await.unwrap(), 0, "the connection is closed");
        assert!(TcpStream::connect(address).await.is_err());
    }
}
