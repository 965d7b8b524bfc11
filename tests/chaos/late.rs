//! Writes that the cluster applies when their replica has long given them up: a cluster that was
//! without a master for a while.
//!
//! The replica is chosen here, and so it is known which one is uncertain. It may believe a check
//! for a second; the others find what came late within ten seconds.

use crate::support::{Why, pause, pause_until};
use crate::{
    Chance, World,
    clients::{LATER, visit},
    directory::STEADY,
    support::{http::Server, stage::question},
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour, RecordedCall, StandIn};
use std::{
    collections::HashMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::Instant;

/// How long a replica waits for the cluster's answer to a write.
const WAITS: Duration = Duration::from_secs(10);
/// For how long the failure of a write answers the same question.
const FAILURE_LASTS: Duration = Duration::from_secs(1);
/// How long the uncertain replica believes a check, and how long others may believe theirs.
const UNCERTAIN: Duration = Duration::from_secs(1);
const OTHERS: Duration = Duration::from_secs(10);
/// What lies between a moment here and the same moment there.
const SLACK: Duration = Duration::from_millis(100);
/// A write comes late by a random part of this, in milliseconds. On a real cluster it was half a
/// minute; here its replica should be alive to be held to its word.
const LATEST: u64 = 10_000;

/// The late write of each user, the latest of each.
#[derive(Debug, Default)]
pub(crate) struct Lates(Mutex<HashMap<String, Late>>);

#[derive(Debug, Clone, Copy)]
struct Late {
    /// Whose write it was, where that is certain.
    replica: Option<SocketAddr>,
    begun: Instant,
    lands: Instant,
}

impl Lates {
    /// Why a login of this user, used now, may be rejected or have other roles: a write has come
    /// late, and nobody had to find that yet. `by` is the replica that has answered, where that is
    /// known.
    pub(crate) fn found_late(&self, user: &str, by: Option<SocketAddr>) -> Option<&'static str> {
        let late = *self.0.lock().unwrap().get(user)?;
        let now = Instant::now();
        let since = |bound: Duration| {
            now + SLACK >= late.lands
                && now < late.lands + bound + Duration::from_millis(LATER) + SLACK
        };
        if by.is_some() && by == late.replica {
            since(UNCERTAIN).then_some("a write came late, and its replica checks once a second")
        } else {
            since(OTHERS)
                .then_some("a write came late, and other replicas find it within ten seconds")
        }
    }

    /// Why this replica may have no answer for the user: it waits for the cluster's to a write.
    pub(crate) fn holds_up(
        &self,
        user: &str,
        by: Option<SocketAddr>,
        asked: Instant,
    ) -> Option<&'static str> {
        let late = *self.0.lock().unwrap().get(user)?;
        let waits =
            asked < late.begun + WAITS + FAILURE_LASTS + SLACK && Instant::now() > late.begun;
        let is_it = by.is_none() || late.replica.is_none() || by == late.replica;
        (waits && is_it)
            .then_some("the replica waits ten seconds for the cluster's answer to a write")
    }

    fn is_over(&self, user: &str) -> bool {
        self.0
            .lock()
            .unwrap()
            .get(user)
            .is_none_or(|late| Instant::now() > late.lands + 2 * OTHERS)
    }
}

/// Lets one write after the other come late, until there is no time left to see what comes of it.
pub(crate) async fn write_late(world: Arc<World>, cluster: StandIn, mut chance: Chance) {
    pause(Why::Pace, Duration::from_secs(3)).await;
    loop {
        let room = world
            .end
            .saturating_duration_since(Instant::now())
            .saturating_sub(WAITS + Duration::from_secs(3));
        let room = u64::try_from(room.as_millis()).unwrap_or(0);
        if room < 500 {
            return;
        }
        let comes = WAITS + Duration::from_millis(200 + chance.below(room.min(LATEST)));
        let place = STEADY + usize::try_from(chance.below(world.pace.changing as u64)).unwrap();
        if let Some(name) = world.directory.take_aside(place).await
            && world.lates.is_over(&name)
        {
            let_one_come(&world, &cluster, place, &name, comes, &mut chance).await;
        }
        world.directory.let_back(place);
        pause(Why::Pace, Duration::from_millis(100 + chance.below(400))).await;
    }
}

/// Asks one replica for other roles than those that stand, until its write hangs.
async fn let_one_come(
    world: &Arc<World>,
    cluster: &StandIn,
    place: usize,
    name: &str,
    comes: Duration,
    chance: &mut Chance,
) {
    world.known.failed(place);
    let groups = world.directory.give_other_groups(place, cluster, chance);
    let from = cluster.count();
    cluster.fault(
        Fault::new(Endpoint::Write, Misbehaviour::LateWrite(comes))
            .about(name)
            .times(1),
    );
    let until = Instant::now() + Duration::from_secs(8);
    let which = usize::try_from(chance.below(1_000)).unwrap();
    let mut asked: Vec<SocketAddr> = Vec::new();
    let mut begun = None;
    while begun.is_none() && Instant::now() < until {
        let gateway = {
            let gateways = world.gateways.read().unwrap();
            gateways[which % gateways.len()].clone()
        };
        asked.push(gateway.address());
        let answer = tokio::spawn(ask(gateway, name.to_owned(), groups));
        while begun.is_none() && !answer.is_finished() {
            begun = hangs(cluster, name, from);
            pause(Why::Again, Duration::from_millis(5)).await;
        }
        if begun.is_none() && answer.await.is_ok_and(|granted| granted) {
            // It was cleared with the faults of others.
            break;
        }
        pause(Why::Pace, Duration::from_millis(100)).await;
    }
    // Whatever has not hit by now never will.
    cluster.clear_faults_about(name);
    let Some(begun) = begun.or_else(|| hangs(cluster, name, from)) else {
        return;
    };
    world.report.fault("a write is given up and comes late");
    // A replica that was asked before, and has ended or was slow to begin, may be the one that
    // writes.
    let certain = asked.iter().all(|one| *one == asked[0]);
    let late = Late {
        replica: certain.then_some(asked[0]),
        begun,
        lands: begun + comes,
    };
    world.lates.0.lock().unwrap().insert(name.to_owned(), late);
    tokio::spawn(keep_asking(
        Arc::clone(world),
        place,
        late,
        Chance::new(chance.below(u64::MAX), 0),
    ));
}

/// Somebody asks the uncertain replica, again and again: as soon as it has given the write up,
/// until it must have found what came late.
async fn keep_asking(world: Arc<World>, place: usize, late: Late, mut chance: Chance) {
    pause_until(Why::Pace, late.begun + WAITS).await;
    while Instant::now() < world.end.min(late.lands + UNCERTAIN * 3) {
        visit(&world, place, None, late.replica, &mut chance).await;
        pause(Why::Pace, Duration::from_millis(50 + chance.below(300))).await;
    }
}

async fn ask(gateway: Server, name: String, groups: &'static str) -> bool {
    let asked = question(
        "/elastauth",
        &[
            ("remote-user", name.as_bytes()),
            ("remote-groups", groups.as_bytes()),
        ],
    );
    gateway
        .send(asked)
        .await
        .is_ok_and(|answer| answer.status == 200)
}

/// Since when a write of this user waits to be applied late.
fn hangs(cluster: &StandIn, name: &str, from: u64) -> Option<Instant> {
    let path = format!("/_security/user/{name}?refresh=false");
    let is_it = |call: &RecordedCall| {
        call.path == path && matches!(call.met, Some(Misbehaviour::LateWrite(_)))
    };
    cluster
        .calls_since(from)
        .into_iter()
        .find(is_it)
        .map(|call| Instant::now() - call.age())
}
