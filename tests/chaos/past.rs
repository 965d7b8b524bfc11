//! No login outlives its period by more than it may: once everybody has gone, the cluster refuses
//! every login that was handed out.

use crate::{
    GRACE_MS, World,
    cluster::Cluster,
    support::{Why, pause},
};
use http::HeaderValue;
use std::{collections::HashMap, sync::Mutex, time::Duration};
use tokio::time::Instant;

/// Beside `credentials.park_within`: a write that a fault of the cluster had delayed comes up to
/// ten seconds late and is put right by the next look, on a machine that has other things to do.
const SLACK: Duration = Duration::from_secs(20);

/// Every login that was handed out, and whose it is.
#[derive(Debug, Default)]
pub(crate) struct Past(Mutex<HashMap<HeaderValue, String>>);

impl Past {
    pub(crate) fn granted(&self, name: &str, login: &HeaderValue) {
        let mut logins = self.0.lock().unwrap();
        logins.insert(login.clone(), name.to_owned());
    }

    /// What this user was ever given.
    pub(crate) fn of(&self, name: &str) -> Vec<HeaderValue> {
        let logins = self.0.lock().unwrap();
        let own = logins.iter().filter(|(_, user)| *user == name);
        own.map(|(login, _)| login.clone()).collect()
    }
}

/// Waits until all are refused, at most one period, `park_within` (a quarter of it, at least two
/// seconds) and the slack.
pub(crate) async fn ends(world: &World) {
    let Cluster::StandIn(cluster) = &world.cluster else {
        return;
    };
    let rotation = Duration::from_millis(world.pace.rotation);
    let park_within = (rotation / 4).max(Duration::from_secs(2));
    let grace = Duration::from_millis(GRACE_MS);
    let end = Instant::now() + rotation + grace + park_within + SLACK;
    let mut logins = std::mem::take(&mut *world.past.0.lock().unwrap());
    let all = logins.len();
    loop {
        logins.retain(|login, _| cluster.accepts(login));
        if logins.is_empty() || Instant::now() > end {
            break;
        }
        pause(Why::Pace, Duration::from_millis(500)).await;
    }
    for _ in logins.len()..all {
        world
            .report
            .count("logins of past periods that the cluster refuses");
    }
    let users: std::collections::BTreeSet<&String> = logins.values().collect();
    for user in users {
        world.report.violation(
            "login of a past period",
            format!("a login of {user} is accepted although its period is long over"),
        );
    }
}
