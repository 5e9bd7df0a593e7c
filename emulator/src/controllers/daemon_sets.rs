//! DaemonSets: a pod on every node (`pkg/controller/daemon`). There are no nodes yet, so none is wanted.

use serde_json::json;

use super::desk::{Controller, DAEMON_SETS, Desk, REVISIONS};
use super::hash;
use super::pods;
use super::revisions;
use crate::kinds::selector;

pub(super) const CONTROLLER: Controller = Controller { watches: &[DAEMON_SETS, REVISIONS], settle };

fn settle(desk: &Desk) {
    for set in desk.all(DAEMON_SETS) {
        let selects_all = selector::compile(&set["spec"]["selector"]).map_or(true, |selector| selector.is_everything());
        if selects_all || pods::is_going(&set) || !desk.may_try(&set) {
            continue;
        }
        let known = revisions::of(desk, &set);
        let hash = hash::of_template(&set["spec"]["template"], set["status"]["collisionCount"].as_i64());
        let current = match revisions::current(desk, &set, &known, "controller-revision-hash", &hash, true) {
            Ok(current) => current,
            Err(refusal) => {
                if !pods::is_ending(&refusal) {
                    desk.failed(&set);
                }
                continue;
            }
        };
        desk.succeeded(&set);
        revisions::clean_up(desk, &set, &known, &|revision| revision["metadata"]["name"] == current["metadata"]["name"]);
        let mut status = json!({
            "currentNumberScheduled": 0,
            "desiredNumberScheduled": 0,
            "numberMisscheduled": 0,
            "numberReady": 0,
            "observedGeneration": set["metadata"]["generation"],
        });
        if !set["status"]["collisionCount"].is_null() {
            status["collisionCount"] = set["status"]["collisionCount"].clone();
        }
        desk.set_whole_status(DAEMON_SETS, &set, &status);
    }
}
