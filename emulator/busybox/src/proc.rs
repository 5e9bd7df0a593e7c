//! `/proc`, as far as test pods look at it.

use std::fmt::Write as _;

use crate::view::{Node, View};

/// What is at a path below `/proc`.
pub(crate) fn node(view: &View, path: &str) -> Option<Node> {
    let text = |text: String| Some(Node::Text(text.into_bytes()));
    let (first, rest) = path.split_once('/').unwrap_or((path, ""));
    if let Some(pid) = if first == "self" { Some(view.pid) } else { first.parse().ok() } {
        return of_process(view, pid, rest);
    }
    match path {
        "" => {
            let mut names: Vec<String> = view.container.processes.list().iter().map(|process| process.pid.to_string()).collect();
            names.extend(["cpuinfo", "loadavg", "meminfo", "mounts", "self", "sys", "uptime", "version"].map(str::to_owned));
            Some(Node::Directory(names))
        }
        "cpuinfo" => text(cpuinfo()),
        "meminfo" => text(meminfo(view)),
        "mounts" => text(mounts(view)),
        "loadavg" => text("0.00 0.00 0.00 1/1 1\n".to_owned()),
        "uptime" => text(format!("{}.00 0.00\n", uptime())),
        "version" => text("Linux version 6.1.0 (emulated)\n".to_owned()),
        "sys" => Some(Node::Directory(vec!["kernel".to_owned()])),
        "sys/kernel" => Some(Node::Directory(vec!["hostname".to_owned()])),
        "sys/kernel/hostname" => text(format!("{}\n", view.container.hostname)),
        _ => None,
    }
}

fn of_process(view: &View, pid: u32, file: &str) -> Option<Node> {
    let process = view.container.processes.list().into_iter().find(|process| process.pid == pid)?;
    let name: String = process.args.first().and_then(|arg| arg.rsplit('/').next()).unwrap_or("").chars().take(15).collect();
    match file {
        "" => Some(Node::Directory(["cmdline", "comm", "mounts", "status"].map(str::to_owned).to_vec())),
        "cmdline" => {
            let mut line = process.args.join("\0").into_bytes();
            line.push(0);
            Some(Node::Text(line))
        }
        "comm" => Some(Node::Text(format!("{name}\n").into_bytes())),
        "mounts" => Some(Node::Text(mounts(view).into_bytes())),
        "status" => {
            let uid = process.uid;
            let text = format!(
                "Name:\t{name}\nState:\tS (sleeping)\nTgid:\t{pid}\nPid:\t{pid}\nPPid:\t{}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nVmRSS:\t{} kB\n",
                process.parent,
                view.container.memory.used() / 1024,
            );
            Some(Node::Text(text.into_bytes()))
        }
        _ => None,
    }
}

/// The CPUs of this machine: a limit does not change what a container sees of them.
fn cpuinfo() -> String {
    let cpus = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    (0..cpus).fold(String::new(), |mut text, cpu| {
        let _ = writeln!(text, "processor\t: {cpu}\nmodel name\t: emulated\n");
        text
    })
}

/// Kibibytes of a node's memory: a limit does not change what a container sees of it.
const NODE_KIB: u64 = 8 << 20;

fn meminfo(view: &View) -> String {
    let free = NODE_KIB.saturating_sub(view.container.memory.used() / 1024);
    format!("MemTotal:       {NODE_KIB:8} kB\nMemFree:        {free:8} kB\nMemAvailable:   {free:8} kB\n")
}

/// What is at a path below `/sys/fs/cgroup`, of version 2.
pub(crate) fn cgroup(view: &View, file: &str) -> Option<Node> {
    let (memory, cpu) = (&view.container.memory, &view.container.cpu);
    let throttling = cpu.throttling();
    let or_max = |value: Option<u64>| value.map_or("max".to_owned(), |value| value.to_string());
    let text = match file {
        "" => return Some(Node::Directory(["cpu.max", "cpu.stat", "memory.current", "memory.max"].map(str::to_owned).to_vec())),
        "memory.max" => format!("{}\n", or_max(memory.limit())),
        "memory.current" => format!("{}\n", memory.used()),
        "cpu.max" => format!("{} 100000\n", or_max(cpu.quota_us())),
        "cpu.stat" => format!(
            "nr_periods {}\nnr_throttled {}\nthrottled_usec {}\n",
            throttling.periods, throttling.throttled_periods, throttling.throttled_us
        ),
        _ => return None,
    };
    Some(Node::Text(text.into_bytes()))
}

fn mounts(view: &View) -> String {
    view.files().mounts().fold(String::new(), |mut text, mount| {
        let how = if mount.read_only { "ro" } else { "rw" };
        let _ = writeln!(text, "overlay {} overlay {how},relatime 0 0", mount.at.display());
        text
    })
}

/// Seconds since this process began, for want of the machine's own.
pub(crate) fn uptime() -> u64 {
    static BEGAN: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    BEGAN.elapsed().as_secs()
}
