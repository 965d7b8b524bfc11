//! An administrator who changes users of ours in the cluster, or revokes their login, has one
//! replica check them again, and expects every replica to have put them right a second later.

use crate::support::{Why, pause};
use crate::{
    Chance, World,
    cluster::{Cluster, Edit, Edited},
    directory::STEADY,
    support::{http::Answer, stage::GATEWAY_KEY},
};
use http::Method;
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

pub(crate) async fn meddle(world: Arc<World>, mut chance: Chance) {
    // In the first seconds users are made.
    pause(Why::Pace, Duration::from_secs(3)).await;
    while Instant::now() + Duration::from_secs(2) < world.end {
        let place = usize::try_from(chance.below(STEADY as u64)).unwrap();
        // An administrator waits for a cluster that is whole.
        let is_whole = world
            .cluster
            .nodes()
            .is_none_or(|nodes| nodes.health().is_whole());
        if is_whole && let Some(name) = world.directory.take_aside(place).await {
            world.known.forget(place);
            let what = usize::try_from(chance.below(4)).unwrap();
            let edits = [Edit::Delete, Edit::Superuser, Edit::OtherPassword];
            let Some(edit) = edits.get(what).copied() else {
                revoke(&world, &name, &mut chance).await;
                world.directory.let_back(place);
                continue;
            };
            match world.cluster.edit(&name, edit).await {
                Edited::Done => world.report.count("users changed by somebody else"),
                Edited::NotThere => {}
                // It may come late, and nobody would look for it then: the user stays aside for
                // good.
                Edited::Unknown => {
                    world
                        .report
                        .count("users set aside after an edit of unknown end");
                    continue;
                }
            }
            recheck(&world, &name, &mut chance).await;
            // For the others to hear of it.
            pause(Why::Pace, Duration::from_secs(1)).await;
            world.directory.let_back(place);
        }
        pause(Why::Pace, Duration::from_millis(100 + chance.below(400))).await;
    }
}

/// Ends a login at one replica. Nobody uses it meanwhile. Afterwards the cluster refuses all that
/// the user was ever given.
async fn revoke(world: &World, name: &str, chance: &mut Chance) {
    let Cluster::StandIn(cluster) = &world.cluster else {
        return;
    };
    let gateways = world.gateways.read().unwrap().clone();
    let gateway = &gateways[usize::try_from(chance.below(gateways.len() as u64)).unwrap()];
    let path = format!("/elastauth/admin/users/{name}/revoke");
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    let answer = gateway.try_ask(Method::POST, &path, &key, None).await;
    match answer {
        Ok(answer) if answer.status == 200 && !answer.text().contains("90 seconds") => {
            world.report.count("logins revoked");
            let logins = world.past.of(name);
            if logins.iter().any(|login| cluster.accepts(login)) {
                match world.lates.found_late(name, None) {
                    Some(why) => world.report.allowed("revoked login", why),
                    None => world.report.violation(
                        "revoked login",
                        format!("a login of {name} is accepted after {}", answer.text()),
                    ),
                }
            }
        }
        Ok(_) | Err(_) => world.report.count("revocations that did not end well"),
    }
    // Where the replicas do not hear each other, an operator tells each.
    recheck(world, name, chance).await;
    pause(Why::Pace, Duration::from_secs(1)).await;
}

/// Asks one replica; all of them where they do not hear each other, or where the one that was asked
/// says so.
async fn recheck(world: &World, name: &str, chance: &mut Chance) {
    let gateways = world.gateways.read().unwrap().clone();
    let first = usize::try_from(chance.below(gateways.len() as u64)).unwrap();
    let alone = world.faults.lock().unwrap().unheard().is_none();
    for n in 0..gateways.len() {
        let path = format!("/elastauth/admin/users/{name}/recheck");
        let gateway = &gateways[(first + n) % gateways.len()];
        let answer = gateway
            .try_ask(
                Method::POST,
                &path,
                &[("x-elastauth-key", GATEWAY_KEY)],
                None,
            )
            .await;
        if alone && answer.is_ok_and(|answer| has_reported(&answer)) {
            return;
        }
    }
}

fn has_reported(answer: &Answer) -> bool {
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["other_replicas"] == "told"
}
