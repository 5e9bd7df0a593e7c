//! A DaemonSet whose template has changed: old pods make room for new ones, a few at a time (`daemon/update.go`).

use std::sync::Arc;

use serde_json::Value;

use super::{Look, Plan};
use crate::controllers::disruption::share;
use crate::controllers::pods;

/// How many pods there may be beside those that a node is to have.
pub(super) fn surge(set: &Value, desired: usize) -> i64 {
    count(&set["spec"]["updateStrategy"]["rollingUpdate"]["maxSurge"], desired)
}

fn count(value: &Value, desired: usize) -> i64 {
    // One that cannot be read was refused when it was written.
    share(value, i64::try_from(desired).unwrap_or(i64::MAX), true).unwrap_or_default()
}

/// The new and the old pod of a node; none when that is not clear yet, and `manage` has to see to it.
type Pair = Option<(Option<Arc<Value>>, Option<Arc<Value>>)>;

impl Look<'_> {
    /// What is to be replaced now (`rollingUpdate`).
    pub(super) fn rollout(&self) -> Plan {
        let desired = self.places.values().filter(|place| place.should_run).count();
        let rolling = &self.set["spec"]["updateStrategy"]["rollingUpdate"];
        let (surge, unavailable) = (surge(self.set, desired), count(&rolling["maxUnavailable"], desired));
        if surge > 0 { self.add_before_removing(surge) } else { self.remove_before_adding(unavailable.max(1)) }
    }

    fn pair(&self, pods: &[Arc<Value>]) -> Pair {
        let alive = pods.iter().filter(|pod| !pods::is_going(pod)).cloned();
        let (new, old): (Vec<_>, Vec<_>) = alive.partition(|pod| self.is_new(pod));
        (new.len() < 2 && old.len() < 2).then(|| (new.into_iter().next(), old.into_iter().next()))
    }

    /// The set's pods, by node, in the order of the nodes.
    fn by_node(&self) -> impl Iterator<Item = (&String, &Vec<Arc<Value>>)> {
        self.places.keys().filter_map(|node| Some((node, self.on.get(node)?)))
    }

    fn remove_before_adding(&self, allowed: i64) -> Plan {
        let mut unavailable = 0;
        let (mut broken, mut candidates) = (Vec::new(), Vec::new());
        for (_, pods) in self.by_node() {
            match self.pair(pods) {
                None | Some((None, None) | (Some(_), Some(_))) => unavailable += 1,
                Some((Some(new), None)) => unavailable += i64::from(!self.is_available(&new)),
                // One that does not work is not missed.
                Some((None, Some(old))) if !self.is_available(&old) => broken.push(old),
                Some((None, Some(old))) => candidates.push(old),
            }
        }
        let room = usize::try_from(allowed - unavailable).unwrap_or_default();
        Plan { missing: Vec::new(), unwanted: broken.into_iter().chain(candidates.into_iter().take(room)).collect() }
    }

    fn add_before_removing(&self, allowed: i64) -> Plan {
        let mut surging = 0;
        let mut unwanted = Vec::new();
        let (mut broken, mut candidates) = (Vec::new(), Vec::new());
        for (node, pods) in self.by_node() {
            match self.pair(pods) {
                None => surging += 1,
                Some((_, None)) => {}
                Some((None, Some(old))) if !self.is_available(&old) => broken.push(node.clone()),
                Some((None, Some(_))) => candidates.push(node.clone()),
                Some((Some(new), Some(old))) if self.is_available(&new) => unwanted.push(old),
                Some((Some(_), Some(_))) => surging += 1,
            }
        }
        let room = usize::try_from(allowed - surging).unwrap_or_default();
        Plan { missing: broken.into_iter().chain(candidates.into_iter().take(room)).collect(), unwanted }
    }
}
