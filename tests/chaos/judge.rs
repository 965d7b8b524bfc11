//! What is held against every answer, and what the documented bounds allow.

use crate::{
    World,
    clients::LATER,
    directory::{Visit, roles},
    known::waited_for_a_boundary,
    support::http::Answer,
};
use std::{collections::BTreeSet, time::Duration};
use tokio::time::Instant;

pub(crate) fn refused(world: &World, visit: &Visit, answer: Option<&Answer>) {
    let Visit { name, asked, .. } = visit;
    let faults = world.faults.lock().unwrap().clone();
    let stands = world.directory.stands_for(visit, &world.pace);
    let what = match (visit.known, stands) {
        (true, true) => "failed answer for somebody who stands",
        (true, false) => "failed answer",
        (false, _) => "failed first login",
    };
    let held_up = world.lates.holds_up(name, visit.by, *asked);
    match held_up
        .or_else(|| faults.excuse(*asked))
        .or_else(|| world.cluster.excuse(*asked, !stands))
    {
        Some(why) => world.report.allowed(what, why),
        None if !stands && waited_for_a_boundary(&world.pace, name, *asked) => {
            world.report.allowed(
                what,
                "it had to wait for a boundary, and the machine was slow after it",
            );
        }
        None if world.report.has_stalled_since(*asked) => {
            world.report.allowed(what, "the machine stood still");
        }
        None => {
            let detail = answer.map_or("no replica answered".to_owned(), |answer| {
                format!("{} {}", answer.status, answer.text())
            });
            let detail = format!(
                "{what}: {name} after {:?}: {detail}; faults: {faults:?}{}",
                asked.elapsed(),
                world.cluster.detail()
            );
            world.report.violation("failed answer", detail);
        }
    }
}

/// The cluster has rejected a login. Whoever has seen it may know of something at the cluster that
/// allows it.
pub(crate) fn rejected(world: &World, visit: &Visit, why: Option<&'static str>, detail: &str) {
    if let Some(why) = world.lates.found_late(&visit.name, visit.by).or(why) {
        world.report.allowed("rejected login", why);
    } else if world.report.has_stalled_since(Instant::now()) {
        world
            .report
            .allowed("rejected login", "the machine stood still");
    } else {
        let faults = world.faults.lock().unwrap().clone();
        world.report.violation(
            "rejected login",
            format!(
                "{}, {detail}; faults: {faults:?}{}",
                visit.name,
                world.cluster.detail()
            ),
        );
    }
}

/// Whether a write that was given up has put an older password in the place of the present one. Its
/// own replica finds that within a second, the others within ten.
pub(crate) async fn stands_in_an_older_period(world: &World, visit: &Visit) -> bool {
    let Some(nodes) = world.cluster.nodes() else {
        return false;
    };
    let may_be_late =
        world.directory.gave_up(visit.place, None) && nodes.health().may_carry_out_late();
    may_be_late
        && nodes
            .period(&visit.name)
            .await
            .is_some_and(|stands| stands < world.pace.period(&visit.name).0)
}

/// Holds the roles that stand in the cluster against those that the request's groups give.
pub(crate) fn judge_roles(
    world: &World,
    visit: &Visit,
    standing: &BTreeSet<String>,
    when: &'static str,
) {
    let Visit {
        place,
        groups,
        ref name,
        by,
        ..
    } = *visit;
    let faults = world.faults.lock().unwrap().clone();
    let given = roles(groups);
    let (excess, missing) = (
        standing.difference(&given).count(),
        given.difference(standing).count(),
    );
    if excess + missing == 0 {
        return;
    }
    // Two requests with different groups at once, or shortly after each other, change one user:
    // that is the documented bound between replicas.
    let other = world.directory.other_groups(place, groups);
    let what = if excess > 0 {
        "excess roles"
    } else {
        "missing roles"
    };
    let later = if when == "later" {
        Duration::from_millis(LATER)
    } else {
        Duration::ZERO
    };
    let carried_out_late = || {
        let nodes = world.cluster.nodes()?;
        let late =
            nodes.health().may_carry_out_late() && world.directory.gave_up(place, Some(groups));
        late.then_some("a write that was given up may have been carried out late")
    };
    if other.is_some_and(|ago| ago < Duration::from_secs(1) + later) {
        world.report.allowed(
            what,
            "another request of the user with other groups within a second",
        );
    } else if let Some(why) = world.lates.found_late(name, by) {
        world.report.allowed(what, why);
    } else if faults
        .unheard()
        .is_some_and(|bound| other.is_some_and(|ago| ago < bound + later))
    {
        world.report.allowed(
            what,
            "Redis was away, and memory is believed for ten seconds",
        );
    } else if world.report.has_stalled_since(Instant::now()) {
        world.report.allowed(what, "the machine stood still");
    } else if let Some(why) = carried_out_late() {
        world.report.allowed(what, why);
    } else {
        let detail = format!(
            "{name}, used {when}: {standing:?} stands, {given:?} is given, others {other:?} ago; \
             faults: {faults:?}"
        );
        world
            .report
            .violation(what, detail + &world.cluster.detail());
    }
}
