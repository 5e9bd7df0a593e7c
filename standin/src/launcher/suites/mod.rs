//! Stage 7: the suites.
//!
//! About 375 tests in 27 suites exist upstream, run by Sonobuoy. The stand-in has a few small ones of its own under
//! their names, and one for every name that it does not know. Each asks the real cluster.

mod billing;
mod components;
mod controldb;
mod direct;
mod junit;
mod kube_rbac;

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{
    FutureExt,
    future::{BoxFuture, join_all},
};
use k3s_arc_container::Container;
use kube::{Api, Client};

use crate::{
    arc::{Component, DataController},
    kubernetes::explain,
    log::Log,
    probe::http::{self, Call},
};

/// For how many milliseconds a call that fails is made again, since nothing announces that DNS and kube-proxy have
/// followed the API: three times as long as the cluster's DNS remembers that there was no such name (5 s, the TTL of
/// CoreDNS's plugin `kubernetes`).
const PATIENCE_MS: u64 = 15_000;

/// What the suites test.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) client: Client,
    /// Where the components are called from.
    pub(super) container: Arc<Container>,
    /// The namespace of the data services.
    pub(super) namespace: String,
    /// The DataController's name.
    pub(super) data_controller: String,
}

/// How a test ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Test {
    name: String,
    took: Duration,
    /// What was wrong; none if it passed.
    failure: Option<String>,
}

/// How a suite ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Suite {
    name: String,
    took: Duration,
    tests: Vec<Test>,
}

impl Suite {
    fn failures(&self) -> usize {
        self.tests.iter().filter(|test| test.failure.is_some()).count()
    }
}

/// Runs the suites in parallel, as often as asked, tells how each ended, and writes their JUnit file into `results`
/// where it can. Gives the number of tests that failed.
pub(super) async fn run(target: &Target, suites: &[String], repeat: u32, results: &Path, log: &Log) -> usize {
    let mut ended = Vec::new();
    for round in 1..=repeat {
        if repeat > 1 {
            log.info(format_args!("round {round} of {repeat}"));
        }
        let running: Vec<_> = suites.iter().map(|name| run_one(name, target)).collect();
        for suite in join_all(running).await {
            tell(&suite, log);
            ended.push(suite);
        }
    }
    let file = results.join("junit.xml");
    let files = &target.container.files;
    match files.create_dir_all(results).and_then(|()| files.write(&file, junit::xml(&ended))) {
        Ok(()) => log.info(format_args!("JUnit results are in {}", file.display())),
        Err(error) => log.warn(format_args!("JUnit results cannot be written to {}: {error}", file.display())),
    }
    let (tests, failures) = (ended.iter().map(|suite| suite.tests.len()).sum::<usize>(), ended.iter().map(Suite::failures).sum());
    log.info(format_args!("{tests} tests in {} suites: {} passed, {failures} failed", ended.len(), tests - failures));
    failures
}

async fn run_one(name: &str, target: &Target) -> Suite {
    let started = Instant::now();
    let tests = match name {
        "billing" => billing::tests(target),
        "controldb" => controldb::tests(target),
        "direct-crud" => direct::crud_tests(target),
        "direct-hydration" => direct::hydration_tests(target),
        "kube-rbac" => kube_rbac::tests(target),
        _ => components::tests(target),
    };
    let mut ended = Vec::new();
    for (name, test) in tests {
        let started = Instant::now();
        let failure = test.await.err();
        ended.push(Test { name, took: started.elapsed(), failure });
    }
    Suite { name: name.to_owned(), took: started.elapsed(), tests: ended }
}

fn tell(suite: &Suite, log: &Log) {
    let failures = suite.failures();
    let passed = suite.tests.len() - failures;
    let summary = format!("suite {}: {passed} passed, {failures} failed in {:.1} s", suite.name, suite.took.as_secs_f64());
    if failures == 0 {
        log.info(summary)
    } else {
        log.error(summary)
    }
    for test in &suite.tests {
        match &test.failure {
            None => log.debug(format_args!("  {}: passed", test.name)),
            Some(why) => log.error(format_args!("  {}: failed: {why}", test.name)),
        }
    }
}

/// A test by its name: nothing if it passes, else what is wrong.
type NamedTest = (String, BoxFuture<'static, Result<(), String>>);

fn test(name: impl Into<String>, body: impl Future<Output = Result<(), String>> + Send + 'static) -> NamedTest {
    (name.into(), body.boxed())
}

impl Target {
    async fn data_controller(&self) -> Result<DataController, String> {
        let api = Api::<DataController>::namespaced(self.client.clone(), &self.namespace);
        api.get(&self.data_controller).await.map_err(|error| format!("reading the DataController: {}", explain(&error)))
    }

    /// Where a component answers: by `host`, which names a Service or a pod in the namespace.
    fn url(&self, component: &Component, host: &str, path: &str) -> String {
        format!("http://{host}.{}.svc:{}{path}", self.namespace, component.port)
    }

    /// Asks a component by its Service.
    async fn get(&self, component: &Component, path: &str) -> Result<String, String> {
        self.ask(Call::Get(self.url(component, component.name, path))).await
    }

    /// Stores a value in a component by its Service.
    async fn put(&self, component: &Component, key: &str, value: &str) -> Result<(), String> {
        let url = self.url(component, component.name, &format!("/data/{key}"));
        self.ask(Call::Put { url, body: value.to_owned() }).await.map(drop)
    }

    /// Makes a call as a pod makes it, names resolved by the cluster's DNS; the body of a reply of success.
    async fn ask(&self, call: Call) -> Result<String, String> {
        let target = call.target().to_owned();
        let request = http::Request { calls: vec![call], patience_ms: PATIENCE_MS };
        let answer = http::answer(request, &self.container).await?;
        let reply = answer.replies.into_iter().next().unwrap_or_else(|| Err("no call was made".into()))?;
        if reply.is_success() {
            Ok(reply.body)
        } else {
            Err(format!("{target} answered {}: {}", reply.status, reply.body.trim()))
        }
    }
}

fn component(name: &str) -> Result<&'static Component, String> {
    Component::named(name).ok_or_else(|| format!("there is no component {name}"))
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?}, not {expected:?}")) }
}
