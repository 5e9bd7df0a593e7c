//! The machine that the node is: killed, paused, started again, gone; or nobody says.

use super::Vitals;
use crate::{
    cluster::{Machine, MachineState},
    diagnosis::{Finding, Standing},
};

pub(super) fn findings(vitals: &Vitals) -> Vec<Finding> {
    let machine = match &vitals.machine {
        None => return Vec::new(),
        Some(Err(answer)) => {
            return vec![Finding::new(
                Standing::Stuck,
                "whoever runs the cluster's node does not answer",
                vec![answer.clone()],
                "see that it runs (`docker info`, `multipass list`); a restart of the Docker Engine ends the clusters in it: run again after one",
            )];
        }
        Some(Ok(machine)) => machine,
    };
    let what = format!("{} {}, the cluster's node,", machine.kind, machine.name);
    let of_state = match &machine.state {
        MachineState::Running => None,
        MachineState::Paused => Some((
            "frozen: connections to it are accepted, and nothing is answered".to_owned(),
            format!("let it go on{}, and see what paused it", by_host(machine, "docker unpause", "multipass start")),
        )),
        MachineState::Unreachable => Some((
            "it has no address, or does not answer who asks it".to_owned(),
            format!(
                "something took its network away (a VPN or firewall on the host, one that slept), or it is overloaded{}",
                by_host(machine, "docker inspect", "multipass info")
            ),
        )),
        MachineState::Stopped => Some((
            "shut down".to_owned(),
            format!(
                "something outside the run stopped it, or the host was started anew; to go on with it, start it{}, else run again",
                by_host(machine, "docker start", "multipass start")
            ),
        )),
        MachineState::Ended { at, .. } => Some((
            format!("ended at {at}"),
            format!(
                "something outside the run killed or stopped it (a restart of the Docker Engine ends all containers), or the host ran \
                 out of memory (`dmesg`); its log has K3s's last lines{}",
                by_host(machine, "docker logs", "multipass info")
            ),
        )),
        MachineState::Gone => Some(("removed".to_owned(), "something outside the run removed it: run again".to_owned())),
    };
    let of_state =
        of_state.map(|(seen, remedy)| Finding::new(Standing::Stuck, format!("{what} {}", machine.state), vec![seen], remedy));
    let again = machine.restarted.as_ref().map(|since| {
        Finding::new(
            // What ran on it is gone for good.
            Standing::Stuck,
            format!("{what} was started again after this test had come to it: what ran on it then was killed"),
            vec![format!("started at {since}")],
            "ask again; `docker events --since 10m` says what started it again",
        )
    });
    of_state.into_iter().chain(again).collect()
}

/// The command that does it, by who runs the machine.
fn by_host(machine: &Machine, docker: &str, multipass: &str) -> String {
    match machine.kind.as_str() {
        "container" => format!(" (`{docker} {}`)", machine.name),
        "VM" => format!(" (`{multipass} {}`)", machine.name),
        _ => String::new(),
    }
}
