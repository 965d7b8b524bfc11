//! Two real nodes, seen from outside: what each says of a login, and all the while, whether it can
//! read its users, and whether it can write one.
//!
//! A node that has no security index refuses every user whom it does not happen to remember, with
//! the very answer that a wrong password gets. So a refusal is held against whether the same node
//! can read a user whom nobody touches.

use crate::support::{Why, pause};
use crate::{
    World,
    cluster::{Edit, Edited, Seen},
    health::{BLIND, Health},
    support::elasticsearch::{Elasticsearch, admin},
    support::http::{Answer, Server},
};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};
use tokio::time::Instant;

/// A user whom nobody touches.
const WITNESS: &str = "/_security/user/witness";
/// A user who is written again and again.
const WRITTEN: &str = "written";
/// Another replica has written the user, and the one that gave the login has seen it at one copy of
/// the index before the other had it.
pub(crate) const ON_ITS_WAY: &str =
    "a write of another replica had reached one copy of the index and not the other";
/// A login may come late to a node that is busy or stopped. Used later than this it may meet a
/// newer password: the grace is not much longer.
const IN_TIME: Duration = Duration::from_millis(600);
/// What a node is given for a question, and for a write. Both take it some tens of milliseconds.
const PATIENCE: Duration = Duration::from_millis(800);

#[derive(Debug)]
pub(crate) struct Nodes {
    servers: [Server; 2],
    /// The same for an administrator, who waits.
    patient: [Server; 2],
    health: Mutex<Health>,
}

impl Nodes {
    /// With the users that it needs for itself.
    pub(crate) async fn new(nodes: &[Elasticsearch; 2]) -> Self {
        nodes[0]
            .put(
                WITNESS,
                &json!({ "password": "password-of-the-witness", "roles": ["viewer"] }),
            )
            .await;
        let servers = |patience: Duration| {
            nodes
                .each_ref()
                .map(|node| node.server().clone().within(patience))
        };
        Self {
            servers: servers(PATIENCE),
            patient: servers(10 * PATIENCE),
            health: Mutex::default(),
        }
    }

    /// What is known of them.
    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap()
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers
            .iter()
            .map(|server| format!("http://{}", server.address()))
            .collect()
    }

    /// Where they listen, one that is well first, as a balancer with an eye on their health has it.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let health = self.health();
        let mut places: Vec<usize> = (0..self.servers.len()).collect();
        places.sort_by_key(|place| !health.is_well(*place));
        places
            .into_iter()
            .map(|place| self.servers[place].address())
            .collect()
    }

    pub(crate) async fn whoami(&self, login: &HeaderValue, first: u64) -> Seen {
        let (begun, first) = (Instant::now(), usize::try_from(first % 2).unwrap());
        let login = login.to_str().unwrap_or_default();
        let mut unsaid = "no node was there for a login";
        // As a balancer with an eye on their health does.
        let first = if self.health().is_well(first) {
            first
        } else {
            1 - first
        };
        for place in [first, 1 - first] {
            let answer = self
                .ask(place, Method::GET, "/_security/_authenticate", login, None)
                .await;
            let late = begun.elapsed() > IN_TIME;
            match answer {
                Some(answer) if answer.status == StatusCode::OK => return taken(&answer),
                _ if late => {
                    return Seen::Unsaid(
                        "a node kept a login waiting for longer than a gateway does",
                    );
                }
                Some(answer) if answer.status == StatusCode::UNAUTHORIZED => {
                    if !self.sees(place).await {
                        unsaid = BLIND;
                        continue;
                    }
                    // It may have found its users just in between, or have read a copy of them that
                    // a write has not reached yet.
                    let whole = self.health().is_whole();
                    for again in [place, 1 - place, place, 1 - place] {
                        let answer = self
                            .ask(again, Method::GET, "/_security/_authenticate", login, None)
                            .await;
                        if answer.is_some_and(|answer| answer.status == StatusCode::OK) {
                            return Seen::Unsaid(if whole { ON_ITS_WAY } else { BLIND });
                        }
                    }
                    return Seen::Refused {
                        detail: format!("at node {place}"),
                        standing: None,
                    };
                }
                Some(_) | None => {}
            }
        }
        Seen::Unsaid(unsaid)
    }

    /// Whether it can read its users, and could a moment ago.
    async fn sees(&self, place: usize) -> bool {
        if self.health().was_blind(place) {
            return false;
        }
        let answer = self.ask(place, Method::GET, WITNESS, &admin(), None).await;
        answer.is_some_and(|answer| answer.status == StatusCode::OK)
    }

    /// As the administrator.
    pub(crate) async fn edit(&self, name: &str, edit: Edit) -> Edited {
        let path = format!("/_security/user/{name}?refresh=false");
        let found = match self
            .order(0, Method::GET, &format!("/_security/user/{name}"), None)
            .await
        {
            Some(answer) if answer.status == StatusCode::OK => answer.json()[name].clone(),
            Some(_) | None => return Edited::NotThere,
        };
        let user = |roles: &str| {
            json!({ "roles": [roles], "metadata": found["metadata"],
            "full_name": found["full_name"], "email": found["email"] })
        };
        let (method, body) = match edit {
            Edit::Delete => (Method::DELETE, None),
            Edit::Superuser => (Method::PUT, Some(user("superuser"))),
            Edit::OtherPassword => {
                let mut body = user("viewer");
                body["password"] = "another password".into();
                (Method::PUT, Some(body))
            }
        };
        let answer = self.order(0, method, &path, body.as_ref()).await;
        if answer.is_some_and(|answer| answer.status.is_success()) {
            Edited::Done
        } else {
            Edited::Unknown
        }
    }

    /// The password period for which a user stands there.
    pub(crate) async fn period(&self, name: &str) -> Option<u64> {
        let answer = self
            .order(0, Method::GET, &format!("/_security/user/{name}"), None)
            .await
            .filter(|answer| answer.status == StatusCode::OK)?;
        answer.json()[name]["metadata"]["elastauth"]["epoch"].as_u64()
    }

    /// Gives the service account a password, as the administrator, as often as it takes.
    pub(crate) async fn set_password(&self, account: &str, password: &str) {
        let (path, body) = (
            format!("/_security/user/{account}/_password"),
            json!({ "password": password }),
        );
        let end = Instant::now() + Duration::from_mins(1);
        let mut turn = 0;
        while !self
            .order(turn % 2, Method::PUT, &path, Some(&body))
            .await
            .is_some_and(|answer| answer.status.is_success())
        {
            assert!(
                Instant::now() < end,
                "the password of {account} cannot be changed"
            );
            turn += 1;
            pause(Why::Again, Duration::from_millis(100)).await;
        }
    }

    async fn ask(
        &self,
        place: usize,
        method: Method,
        path: &str,
        login: &str,
        body: Option<&Value>,
    ) -> Option<Answer> {
        self.servers[place]
            .try_ask(method, path, &[("authorization", login)], body)
            .await
            .ok()
    }

    /// As the administrator, who waits for as long as it takes.
    async fn order(
        &self,
        place: usize,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Option<Answer> {
        self.patient[place]
            .try_ask(method, path, &[("authorization", &admin())], body)
            .await
            .ok()
    }
}

fn taken(answer: &Answer) -> Seen {
    let body = answer.json();
    let roles = body["roles"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|role| role.as_str().map(str::to_owned))
        .collect();
    Seen::Taken {
        name: body["username"].as_str().unwrap_or_default().to_owned(),
        roles,
    }
}

/// Looks at one node until the end: whether it can read its users, and how long it cannot.
pub(crate) async fn watch_reads(world: Arc<World>, nodes: Arc<Nodes>, place: usize) {
    while Instant::now() < world.end {
        let asked = Instant::now();
        let answer = nodes.ask(place, Method::GET, WITNESS, &admin(), None).await;
        let was_blind =
            nodes
                .health()
                .read(place, answer.map(|answer| answer.status), asked.elapsed());
        if let Some(time) = was_blind {
            world
                .report
                .lasted("a node without the security index", time);
        }
        pause(Why::Pace, Duration::from_millis(75)).await;
    }
}

/// Looks at one node until the end: whether it can write.
pub(crate) async fn watch_writes(world: Arc<World>, nodes: Arc<Nodes>, place: usize) {
    let body = json!({ "password_hash": format!("{{PBKDF2}}1000${}=${}=", "A".repeat(43),
        "A".repeat(43)), "roles": [] });
    let path = format!("/_security/user/{WRITTEN}-{place}?refresh=false");
    while Instant::now() < world.end {
        let asked = Instant::now();
        let answer = nodes
            .ask(place, Method::PUT, &path, &admin(), Some(&body))
            .await;
        nodes.health().wrote(
            place,
            answer.is_some_and(|answer| answer.status.is_success()),
            asked.elapsed(),
        );
        pause(Why::Pace, Duration::from_millis(250)).await;
    }
}
