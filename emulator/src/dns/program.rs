//! CoreDNS as a process: reads its Corefile, serves, follows the Corefile, ends when it is told to (`coremain/run.go`, Caddy).
//!
//! CoreDNS looks at its Corefile every half minute. Here nothing looks until a ConfigMap of the cluster has changed; from then on, it is
//! looked at for as long as a kubelet may take to bring the change to the container.

use std::collections::{BTreeMap, HashMap};
use std::io::Write as _;
use std::sync::{Arc, Weak};
use std::time::Duration;

use k3s_arc_container::{INTERRUPT, Process, TERMINATE};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::instance::{Instance, Page, World};
use super::output::Log;
use super::pages;
use super::plugin::metrics::Counts;
use super::plugin::recursion::Found;
use super::server::Server;
use super::sockets::Sockets;
use super::{COMMIT, GO, VERSION, corefile};
use crate::cluster::Cluster;

/// The first wait before the Corefile is looked at again after a change; it doubles.
const FIRST_LOOK: Duration = Duration::from_millis(100);
/// A kubelet brings changes within a minute and a half.
const LAST_LOOK: Duration = Duration::from_secs(60);

/// Runs it to its end.
pub(super) async fn run(mut process: Process, cluster: Weak<Cluster>) -> i32 {
    let log = Log::new(process.stdout.clone());
    let options = match Options::read(&process.args) {
        Ok(options) => options,
        Err(why) => return fail(&mut process, &why, 2),
    };
    if options.version {
        show_version(&log);
        return 0;
    }
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    log.line(&format!("maxprocs: Leaving GOMAXPROCS={cpus}: CPU quota undefined"));
    let mut running = Running::new(&process, options, cluster, log);
    if let Err(why) = running.start().await {
        return fail(&mut process, &why, 1);
    }
    running.run(&mut process).await
}

fn fail(process: &mut Process, why: &str, code: i32) -> i32 {
    // Nobody may be there to read it.
    let _ = writeln!(process.stderr, "{why}");
    code
}

fn show_version(log: &Log) {
    log.line(&format!("CoreDNS-{VERSION}"));
    log.line(&format!("linux/amd64, {GO}, {COMMIT}"));
}

#[derive(Debug)]
struct Options {
    corefile: String,
    quiet: bool,
    version: bool,
}

impl Options {
    fn read(arguments: &[String]) -> Result<Self, String> {
        let mut options = Self { corefile: "Corefile".to_owned(), quiet: false, version: false };
        let mut rest = arguments.iter().skip(1);
        while let Some(argument) = rest.next() {
            let Some(flag) = argument.strip_prefix('-') else {
                let all: Vec<_> = std::iter::once(argument).chain(rest).map(String::as_str).collect();
                return Err(format!("extra command line arguments: [{}]", all.join(" ")));
            };
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            match flag.split_once('=').unwrap_or((flag, "")) {
                ("conf", "") => options.corefile = rest.next().cloned().ok_or("flag needs an argument: -conf")?,
                ("conf", file) => options.corefile = file.to_owned(),
                ("quiet", _) => options.quiet = true,
                ("version", _) => options.version = true,
                (name @ ("plugins" | "pidfile" | "p" | "dns.port"), _) => {
                    return Err(format!("the flag -{name} is not emulated"));
                }
                (name, _) => return Err(format!("flag provided but not defined: -{name}")),
            }
        }
        Ok(options)
    }
}

/// What serves a port.
struct Port {
    current: watch::Sender<Arc<Server>>,
    task: AbortHandle,
}

struct Running {
    options: Options,
    container: Arc<k3s_arc_container::Container>,
    cwd: std::path::PathBuf,
    env: BTreeMap<String, String>,
    cluster: Weak<Cluster>,
    log: Log,
    counts: Counts,
    loops: Found,
    tasks: JoinSet<()>,
    ports: HashMap<u16, Port>,
    pages: HashMap<u16, (Page, AbortHandle)>,
    lame_duck: Duration,
    reloads: bool,
    /// The sum of the configuration that was looked at last.
    sum: String,
    /// What was wrong with it then.
    told: String,
}

impl Running {
    fn new(process: &Process, options: Options, cluster: Weak<Cluster>, log: Log) -> Self {
        Self {
            options,
            container: process.container.clone(),
            cwd: process.cwd.clone(),
            env: process.env.clone(),
            cluster,
            log,
            counts: Counts::default(),
            loops: Found::new(None),
            tasks: JoinSet::new(),
            ports: HashMap::new(),
            pages: HashMap::new(),
            lame_duck: Duration::ZERO,
            reloads: false,
            sum: String::new(),
            told: String::new(),
        }
    }

    fn world(&self) -> World<'_> {
        World {
            filename: &self.options.corefile,
            cwd: &self.cwd,
            files: &self.container.files,
            env: &self.env,
            net: &self.container.net,
            cluster: &self.cluster,
            log: &self.log,
            counts: &self.counts,
            loops: &self.loops,
        }
    }

    fn read(&self) -> Result<String, String> {
        let file = &self.options.corefile;
        let content = self.container.files.read(self.cwd.join(file)).map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => format!("open {file}: no such file or directory"),
            _ => format!("open {file}: {error}"),
        })?;
        Ok(String::from_utf8_lossy(&content).into_owned())
    }

    async fn start(&mut self) -> Result<(), String> {
        let text = self.read()?;
        let instance = self.world().instance(&text)?;
        let lines = instance.start_lines();
        self.serve(instance).await?;
        if !self.options.quiet {
            lines.iter().for_each(|line| self.log.line(line));
        }
        self.remember(&text)?;
        if !self.options.quiet {
            show_version(&self.log);
        }
        Ok(())
    }

    /// Tells what is served now, if it is to be followed.
    fn remember(&mut self, text: &str) -> Result<(), String> {
        if self.reloads {
            self.sum = corefile::sum(&self.world().blocks(text, false)?);
            self.log.line(&format!("[INFO] plugin/reload: Running configuration SHA512 = {}", self.sum));
        }
        Ok(())
    }

    /// Serves a configuration in the place of the one before. Ports that both have stay open.
    async fn serve(&mut self, instance: Instance) -> Result<(), String> {
        let net = self.container.net.clone();
        // What cannot be bound is found out before anything changes.
        let mut opened = Vec::new();
        for port in instance.servers.keys().filter(|port| !self.ports.contains_key(port)) {
            opened.push((*port, Sockets::open(&*net, *port).await?));
        }
        let mut listening = Vec::new();
        for (port, page) in &instance.pages {
            if !self.pages.contains_key(port) {
                let listener = net.listen(*port).await.map_err(|error| format!("listen tcp :{port}: bind: {error}"))?;
                listening.push((*port, *page, listener));
            }
        }
        self.ports.retain(|port, served| instance.servers.contains_key(port) || stop(&served.task));
        self.pages.retain(|port, (page, task)| instance.pages.get(port) == Some(page) || stop(task));
        let mut opened: HashMap<_, _> = opened.into_iter().collect();
        for (port, server) in instance.servers {
            let server = Arc::new(server);
            match (opened.remove(&port), self.ports.get(&port)) {
                (Some(sockets), _) => {
                    let (current, changes) = watch::channel(server);
                    let task = self.tasks.spawn(sockets.serve(changes));
                    self.ports.insert(port, Port { current, task });
                }
                (None, Some(served)) => drop(served.current.send_replace(server)),
                (None, None) => {}
            }
        }
        for (port, page, listener) in listening {
            let task = self.tasks.spawn(pages::serve(listener, page, self.counts.clone()));
            self.pages.insert(port, (page, task));
        }
        for begun in instance.begun {
            self.tasks.spawn(begun);
        }
        (self.lame_duck, self.reloads) = (instance.lame_duck, instance.reloads);
        Ok(())
    }

    async fn run(&mut self, process: &mut Process) -> i32 {
        let mut loops = self.loops.subscribe();
        let mut changes = self.cluster.upgrade().and_then(|cluster| {
            let store = &cluster.store;
            store.watch(&"configmaps".into(), store.revision()).ok()
        });
        let mut looks = Looks::default();
        loop {
            let changed = async {
                match &mut changes {
                    Some(watch) => watch.changed().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                signal = process.signals.next() => match signal {
                    TERMINATE => {
                        self.log.line("[INFO] SIGTERM: Shutting down servers then terminating");
                        self.end().await;
                        return 0;
                    }
                    INTERRUPT => {
                        self.log.line("[INFO] SIGINT: Shutting down");
                        self.end().await;
                        return 0;
                    }
                    _ => {}
                },
                Ok(()) = loops.changed() => {
                    let why = loops.borrow_and_update().clone().unwrap_or_default();
                    self.log.line(&format!("[FATAL] plugin/loop: {why}"));
                    return 1;
                }
                there = changed => match there {
                    true => looks.begin(),
                    false => changes = None,
                },
                () = looks.due() => if self.reloads {
                    self.look().await;
                },
                Some(_) = self.tasks.join_next() => {}
            }
        }
    }

    /// Takes the Corefile's new configuration, if it has one.
    async fn look(&mut self) {
        // One that is not there, or not whole, is looked at again.
        let Ok(text) = self.read() else { return };
        let blocks = match self.world().blocks(&text, false) {
            Ok(blocks) => blocks,
            Err(why) => {
                if self.told != why {
                    self.log.line(&format!("[WARNING] plugin/reload: Corefile parse failed: {why}"));
                    self.told = why;
                }
                return;
            }
        };
        let sum = corefile::sum(&blocks);
        if sum == self.sum {
            return;
        }
        // The same file is not tried twice, even though it is wrong.
        (self.sum, self.told) = (sum, String::new());
        self.log.line("[INFO] Reloading");
        if let Err(why) = self.restart(&text).await {
            self.log.line(&format!("[ERROR] Restart failed: {why}"));
            let why = format!("starting with listener file descriptors: {why}");
            self.log.line(&format!("[ERROR] plugin/reload: Corefile changed but reload failed: {why}"));
            return;
        }
        self.log.line("[INFO] Reloading complete");
    }

    async fn restart(&mut self, text: &str) -> Result<(), String> {
        let instance = self.world().instance(text)?;
        self.serve(instance).await?;
        self.remember(text)
    }

    /// Is not ready any more, but answers for a while.
    async fn end(&mut self) {
        self.pages.retain(|_, (page, task)| *page != Page::Ready || stop(task));
        if !self.lame_duck.is_zero() {
            self.log.line(&format!("[INFO] plugin/health: Going into lameduck mode for {:?}", self.lame_duck));
            let outside = self.cluster.upgrade().map_or(self.lame_duck, |cluster| cluster.time.outside(self.lame_duck));
            tokio::time::sleep(outside).await;
        }
        self.tasks.shutdown().await;
    }
}

fn stop(task: &AbortHandle) -> bool {
    task.abort();
    false
}

/// When the Corefile is to be looked at.
#[derive(Debug, Default)]
struct Looks {
    next: Option<(Instant, Duration)>,
}

impl Looks {
    /// Something has changed: from now on, at first often, then ever less.
    fn begin(&mut self) {
        self.next = Some((Instant::now() + FIRST_LOOK, FIRST_LOOK));
    }

    async fn due(&mut self) {
        let Some((at, wait)) = self.next else { return std::future::pending().await };
        sleep_until(at).await;
        let wait = wait.saturating_mul(2);
        self.next = (wait <= LAST_LOOK).then(|| (at + wait, wait));
    }
}
