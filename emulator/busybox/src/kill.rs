//! `kill`.

use k3s_arc_container::{Processes, TERMINATE};

use crate::shell::{signal_name, signal_number};

/// What came of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Killed {
    pub(crate) text: String,
    pub(crate) complaints: Vec<String>,
    pub(crate) status: i32,
}

impl Killed {
    fn failed(complaint: impl Into<String>) -> Self {
        Self { complaints: vec![complaint.into()], status: 1, ..Self::default() }
    }
}

/// Sends a signal to processes of a container, or lists the signals.
pub(crate) fn kill(processes: &Processes, args: &[String]) -> Killed {
    let mut left = args;
    let mut signal = TERMINATE;
    if let Some(option) = args.first().and_then(|arg| arg.strip_prefix('-')) {
        left = &args[1..];
        let name = match option {
            "l" => return list(left),
            "-" => None,
            "s" | "n" => {
                let name = left.first();
                left = left.get(1..).unwrap_or_default();
                name.map(String::as_str)
            }
            name => Some(name),
        };
        if let Some(name) = name {
            let Some(number) = signal_number(name) else { return Killed::failed(format!("bad signal name '{name}'")) };
            signal = number;
        }
    }
    if left.first().is_some_and(|arg| arg == "--") {
        left = &left[1..];
    }
    if left.is_empty() {
        return Killed::failed("you need to specify whom to kill");
    }
    let mut killed = Killed::default();
    for arg in left {
        // A process group is here what its number says.
        let Ok(pid) = arg.strip_prefix('-').unwrap_or(arg).parse::<u32>() else {
            killed.complaints.push(format!("invalid number '{arg}'"));
            killed.status = 1;
            continue;
        };
        if !processes.kill(pid, signal) {
            killed.complaints.push(format!("can't kill pid {arg}: No such process"));
            killed.status = 1;
        }
    }
    killed
}

fn list(args: &[String]) -> Killed {
    let mut killed = Killed::default();
    if args.is_empty() {
        for number in 1..32 {
            killed.text += &format!("{number:2}) {}\n", signal_name(number).unwrap_or(""));
        }
    }
    for arg in args {
        let Some(number) = signal_number(arg) else { return Killed::failed(format!("unknown signal '{arg}'")) };
        let name = arg.parse::<i32>().is_ok();
        let shown = if name { signal_name(number & 127).unwrap_or("").to_owned() } else { number.to_string() };
        killed.text += &format!("{shown}\n");
    }
    killed
}
