//! Two real nodes, seen from outside: what each says of a login, and all the while, whether it can read its users, and whether it can write one.
//!
//! A node that has no security index refuses every user whom it does not happen to remember, with the very answer that a wrong password gets. So a refusal is held
//! against whether the same node can read a user whom nobody touches.

use crate::{
    World,
    cluster::{Edit, Edited, Seen},
    elasticsearch::{Elasticsearch, admin},
    http::{Answer, Server},
};
use http::{HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::time::{Instant, sleep};

/// A user whom nobody touches.
const WITNESS: &str = "/_security/user/witness";
/// A user who is written again and again.
const WRITTEN: &str = "written";
const STARVED: &str = "the machine leaves the nodes too little";
const BLIND: &str = "a node without the security index refuses whom it does not remember";
/// A login may come late to a node that is busy or stopped. Used later than this it may meet a newer password: the grace is not much longer.
const IN_TIME: Duration = Duration::from_millis(600);
/// What a node is given for a question, and for a write. Both take it some tens of milliseconds.
const PATIENCE: Duration = Duration::from_millis(800);
/// A question that takes longer shows a machine on which three of them, one after another, may not fit between the grace and what a gateway waits.
const SLOW: Duration = Duration::from_millis(250);
/// How long a failure answers the same question, and for how long who asked before may still be waiting.
const A_FAILURE_LASTS: Duration = Duration::from_secs(1);
/// Flights that have waited with the cluster end after it is back, and those who joined them get their failure then.
const AFTERMATH: Duration = Duration::from_secs(3);
/// The cluster's own time-outs: so long what was given up may still be carried out.
const CARRIED_OUT_LATE: Duration = Duration::from_secs(90);

#[derive(Debug)]
pub(crate) struct Nodes {
    servers: [Server; 2],
    /// The same for an administrator, who waits.
    patient: [Server; 2],
    known: Mutex<Known>,
}

#[derive(Debug, Default, Clone)]
struct Known {
    nodes: [Node; 2],
    /// What happens to a node at the moment, or did last.
    outage: Option<Outage>,
    account: Option<Outage>,
}

#[derive(Debug, Default, Clone)]
struct Node {
    /// When it could last read its users, could not, did not answer at all.
    sees: Option<Instant>,
    blind: Option<Instant>,
    silent: Option<Instant>,
    /// When it last took its time for that.
    slow: Option<Instant>,
    /// When it last failed to write although it was there.
    unwritten: Option<Instant>,
    /// It was killed and does not listen yet.
    is_gone: bool,
}

#[derive(Debug, Clone)]
struct Outage {
    what: &'static str,
    began: Instant,
    over: Option<Instant>,
}

impl Nodes {
    /// With the users that it needs for itself.
    pub(crate) async fn new(nodes: &[Elasticsearch; 2]) -> Self {
        nodes[0].put(WITNESS, &json!({ "password": "password-of-the-witness", "roles": ["viewer"] })).await;
        let servers = |patience: Duration| nodes.each_ref().map(|node| node.server().clone().within(patience));
        Self { servers: servers(PATIENCE), patient: servers(10 * PATIENCE), known: Mutex::default() }
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.servers.iter().map(|server| format!("http://{}", server.address())).collect()
    }

    /// Where they listen, the one that was there last first, as a balancer with an eye on their health has it.
    pub(crate) fn addresses(&self) -> Vec<SocketAddr> {
        let known = self.known.lock().unwrap();
        let mut places: Vec<usize> = (0..self.servers.len()).collect();
        places.sort_by_key(|place| known.nodes[*place].silent > known.nodes[*place].sees);
        places.into_iter().map(|place| self.servers[place].address()).collect()
    }

    pub(crate) async fn whoami(&self, login: &HeaderValue, first: u64) -> Seen {
        let (begun, first) = (Instant::now(), usize::try_from(first % 2).unwrap());
        let login = login.to_str().unwrap_or_default();
        let mut unsaid = "no node was there for a login";
        // As a balancer with an eye on their health does.
        let first = if self.hangs(first) { 1 - first } else { first };
        for place in [first, 1 - first] {
            let answer = self.ask(place, Method::GET, "/_security/_authenticate", login, None).await;
            let late = begun.elapsed() > IN_TIME;
            match answer {
                Some(answer) if answer.status == StatusCode::OK => return taken(&answer),
                _ if late => return Seen::Unsaid("a node kept a login waiting for longer than a gateway does"),
                Some(answer) if answer.status == StatusCode::UNAUTHORIZED => {
                    if !self.sees(place).await {
                        unsaid = BLIND;
                    } else if self.is_whole() {
                        return Seen::Refused(format!("node {place}; {}", self.told()));
                    } else {
                        // It may have found its users just in between.
                        match self.ask(place, Method::GET, "/_security/_authenticate", login, None).await {
                            Some(answer) if answer.status == StatusCode::UNAUTHORIZED && begun.elapsed() < IN_TIME => {
                                return Seen::Refused(format!("node {place}, twice; {}", self.told()));
                            }
                            Some(_) | None => unsaid = BLIND,
                        }
                    }
                }
                Some(_) | None => {}
            }
        }
        Seen::Unsaid(unsaid)
    }

    fn hangs(&self, place: usize) -> bool {
        let node = &self.known.lock().unwrap().nodes[place];
        node.silent > node.sees
    }

    /// Whether it can read its users, and could a moment ago.
    async fn sees(&self, place: usize) -> bool {
        let blind = self.known.lock().unwrap().nodes[place].blind;
        if blind.is_some_and(|at| at.elapsed() < Duration::from_millis(200)) {
            return false;
        }
        let answer = self.ask(place, Method::GET, WITNESS, &admin(), None).await;
        answer.is_some_and(|answer| answer.status == StatusCode::OK)
    }

    /// What is known of the nodes, for a message.
    pub(crate) fn told(&self) -> String {
        let known = self.known.lock().unwrap();
        let ago = |at: Option<Instant>| at.map_or("never".to_owned(), |at| format!("{:.1?} ago", at.elapsed()));
        let node = |node: &Node| {
            let (sees, blind, silent) = (ago(node.sees), ago(node.blind), ago(node.silent));
            format!("saw its users {sees}, blind {blind}, silent {silent}, slow {}, wrote nothing {}", ago(node.slow), ago(node.unwritten))
        };
        let outage = |outage: &Option<Outage>| {
            outage.as_ref().map(|o| format!("{} since {:.1?}, over {}", o.what, o.began.elapsed(), ago(o.over))).unwrap_or_default()
        };
        let [zero, one] = &known.nodes;
        format!("{} [0: {}] [1: {}] {}; {}", clock(), node(zero), node(one), outage(&known.outage), outage(&known.account))
    }

    /// As the administrator.
    pub(crate) async fn edit(&self, name: &str, edit: Edit) -> Edited {
        let path = format!("/_security/user/{name}?refresh=false");
        let found = match self.order(0, Method::GET, &format!("/_security/user/{name}"), None).await {
            Some(answer) if answer.status == StatusCode::OK => answer.json()[name].clone(),
            Some(_) | None => return Edited::NotThere,
        };
        let user = |roles: &str| json!({ "roles": [roles], "metadata": found["metadata"], "full_name": found["full_name"], "email": found["email"] });
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
        if answer.is_some_and(|answer| answer.status.is_success()) { Edited::Done } else { Edited::Unknown }
    }

    /// Gives the service account a password, as the administrator, as often as it takes.
    pub(crate) async fn set_password(&self, account: &str, password: &str) {
        let (path, body) = (format!("/_security/user/{account}/_password"), json!({ "password": password }));
        let end = Instant::now() + Duration::from_mins(1);
        let mut turn = 0;
        while !self.order(turn % 2, Method::PUT, &path, Some(&body)).await.is_some_and(|answer| answer.status.is_success()) {
            assert!(Instant::now() < end, "the password of {account} cannot be changed");
            turn += 1;
            sleep(Duration::from_millis(100)).await;
        }
    }

    async fn ask(&self, place: usize, method: Method, path: &str, login: &str, body: Option<&Value>) -> Option<Answer> {
        self.servers[place].try_ask(method, path, &[("authorization", login)], body).await.ok()
    }

    /// As the administrator, who waits for as long as it takes.
    async fn order(&self, place: usize, method: Method, path: &str, body: Option<&Value>) -> Option<Answer> {
        self.patient[place].try_ask(method, path, &[("authorization", &admin())], body).await.ok()
    }

    /// Why a request that was asked then could not be answered, whether it needed a write or not: one of the nodes that can say who somebody is does for what
    /// needs none.
    pub(crate) fn excuse(&self, asked: Instant, writes: bool) -> Option<&'static str> {
        let known = self.known.lock().unwrap();
        let within = |outage: &&Outage| outage.over.is_none_or(|over| asked < over + AFTERMATH);
        let of = |outage: &Option<Outage>| outage.as_ref().filter(within).map(|outage| outage.what);
        if let (true, Some(why)) = (writes, of(&known.account).or_else(|| of(&known.outage))) {
            return Some(why);
        }
        let lately = |at: Option<Instant>| at.is_some_and(|at| at + A_FAILURE_LASTS >= asked);
        if known.nodes.iter().all(|node| lately(node.blind) || lately(node.silent)) {
            let in_calm = known.nodes.iter().all(|node| !lately(node.blind)) && of(&known.outage).is_none();
            return Some(if in_calm { STARVED } else { "no node could say who anybody is" });
        }
        let starved = known.nodes.iter().any(|node| lately(node.slow) || lately(node.unwritten));
        (writes && starved).then_some(STARVED)
    }

    /// Whether a node refused every native user, or hung, at some moment since then.
    pub(crate) fn is_unwell(&self, asked: Instant) -> Option<&'static str> {
        let known = self.known.lock().unwrap();
        let since = |at: Option<Instant>| at.is_some_and(|at| at + Duration::from_millis(200) >= asked);
        if known.nodes.iter().any(|node| since(node.blind)) {
            return Some(BLIND);
        }
        known.nodes.iter().any(|node| since(node.silent)).then_some("a node was away or hung under the gateway's request")
    }

    /// Whether what was given up may still be carried out.
    pub(crate) fn may_carry_out_late(&self) -> bool {
        let known = self.known.lock().unwrap();
        known.outage.as_ref().is_some_and(|outage| outage.over.is_none_or(|over| over.elapsed() < CARRIED_OUT_LATE))
    }

    pub(crate) fn is_whole(&self) -> bool {
        let known = self.known.lock().unwrap();
        let calm = |outage: &Option<Outage>| outage.as_ref().is_none_or(|outage| outage.over.is_some());
        calm(&known.outage) && calm(&known.account)
    }

    /// What the nodes go through now, for who counts.
    pub(crate) fn phase(&self) -> &'static str {
        let known = self.known.lock().unwrap();
        match &known.outage {
            Some(outage) if outage.over.is_none() => "while a node is away or hangs",
            Some(outage) if outage.over.is_some_and(|over| over.elapsed() < Duration::from_secs(5)) => "in the five seconds after",
            Some(_) | None => "in calm",
        }
    }

    pub(crate) fn outage_begins(&self, place: usize, what: &'static str) {
        println!("{} {what} (node {place})", clock());
        self.known.lock().unwrap().outage = Some(Outage { what, began: Instant::now(), over: None });
    }

    pub(crate) fn outage_is_over(&self) {
        println!("{} whole again", clock());
        if let Some(outage) = &mut self.known.lock().unwrap().outage {
            outage.over = Some(Instant::now());
        }
    }

    pub(crate) fn account_begins(&self, what: &'static str) {
        println!("{} {what}", clock());
        self.known.lock().unwrap().account = Some(Outage { what, began: Instant::now(), over: None });
    }

    pub(crate) fn account_is_over(&self) {
        println!("{} the old password again", clock());
        if let Some(outage) = &mut self.known.lock().unwrap().account {
            outage.over = Some(Instant::now());
        }
    }

    /// Whether it was killed and does not listen yet.
    pub(crate) fn is_gone(&self, place: usize, is_gone: bool) {
        println!("{} node {place} {}", clock(), if is_gone { "is killed" } else { "listens again" });
        self.known.lock().unwrap().nodes[place].is_gone = is_gone;
    }
}

/// The time of day as the logs have it, to be held against them.
fn clock() -> String {
    format!("{:.3}", jiff::Timestamp::now())
}

fn taken(answer: &Answer) -> Seen {
    let told = answer.json();
    let roles = told["roles"].as_array().into_iter().flatten().filter_map(|role| role.as_str().map(str::to_owned)).collect();
    Seen::Taken { name: told["username"].as_str().unwrap_or_default().to_owned(), roles }
}

/// Looks at one node until the end: whether it can read its users, and how long it cannot.
pub(crate) async fn watch_reads(world: Arc<World>, nodes: Arc<Nodes>, place: usize) {
    let mut blind_since = None;
    while Instant::now() < world.end {
        let asked = Instant::now();
        let answer = nodes.ask(place, Method::GET, WITNESS, &admin(), None).await;
        let now = Instant::now();
        {
            let node = &mut nodes.known.lock().unwrap().nodes[place];
            if asked.elapsed() > SLOW {
                node.slow = Some(now);
            }
            match answer.map(|answer| answer.status) {
                Some(StatusCode::OK) => {
                    node.sees = Some(now);
                    if let Some(since) = blind_since.take() {
                        println!("{} node {place} reads its users again", clock());
                        world.report.lasted("a node without the security index", now.duration_since(since));
                    }
                }
                Some(status) => {
                    if blind_since.is_none() {
                        println!("{} node {place} cannot read its users: {status}", clock());
                    }
                    node.blind = Some(now);
                    blind_since.get_or_insert(now);
                }
                None => {
                    if node.silent < node.sees {
                        println!("{} node {place} says nothing", clock());
                    }
                    node.silent = Some(now);
                }
            }
        }
        sleep(Duration::from_millis(75)).await;
    }
}

/// Looks at one node until the end: whether it can write.
pub(crate) async fn watch_writes(world: Arc<World>, nodes: Arc<Nodes>, place: usize) {
    let body = json!({ "password_hash": format!("{{PBKDF2}}1000${}=${}=", "A".repeat(43), "A".repeat(43)), "roles": [] });
    let path = format!("/_security/user/{WRITTEN}-{place}?refresh=false");
    while Instant::now() < world.end {
        let asked = Instant::now();
        let answer = nodes.ask(place, Method::PUT, &path, &admin(), Some(&body)).await;
        let written = answer.is_some_and(|answer| answer.status.is_success());
        {
            let node = &mut nodes.known.lock().unwrap().nodes[place];
            if asked.elapsed() > SLOW {
                node.slow = Some(Instant::now());
            }
            if !written && !node.is_gone {
                node.unwritten = Some(Instant::now());
            }
        }
        sleep(Duration::from_millis(250)).await;
    }
}
