//! Many users at once over kept connections, in both versions of HTTP, with clients that hang up in
//! the middle; and the same while elastauth is killed and started again.

use crate::{
    application::RECORD,
    client::{Client, Http2, answer},
    draft::Draft,
    gateway::{ELASTICSEARCH, Form, Program},
    message::Message,
    stage::Stage,
    support::{Why, find, pause},
};
use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::task::JoinSet;

const USERS: usize = 50;
/// Connections of HTTP/1.1, each with a client, and of HTTP/2, each with several.
const CONNECTIONS: usize = 8;
const STREAMS: usize = 4;
/// How many requests a client sends if nobody stops it.
const REQUESTS: usize = 40;
/// Every so many requests a client hangs up before the answer.
const HANGS_UP: usize = 5;

const WITHIN: Duration = Duration::from_mins(1);

/// What a client got.
#[derive(Debug)]
struct Got {
    user: String,
    /// `None` where the connection was closed without an answer.
    status: Option<u16>,
    record: Option<String>,
}

/// The users, each with the header line that shows who they are.
type Users = Arc<Vec<(String, String)>>;

/// What tells clients to stop, and what they tell.
#[derive(Debug, Clone, Default)]
struct Signals {
    stop: Arc<AtomicBool>,
    served: Arc<AtomicUsize>,
}

/// Each request reaches the application as its own user.
pub(crate) async fn mixed(program: &Program, form: Form) {
    let stage = Stage::new(program, form).await;
    let got = finished(clients(&stage, REQUESTS, &Signals::default())).await;
    let refused: Vec<&Got> = got.iter().filter(|got| got.status != Some(200)).collect();
    assert!(
        refused.is_empty(),
        "{}: {} of {} were not served, such as {:?}\n{}",
        program.name,
        refused.len(),
        got.len(),
        refused[0],
        stage.gateway.process.log()
    );
    hold(program, &stage, &got);
    let users: BTreeSet<&str> = got.iter().map(|got| got.user.as_str()).collect();
    assert_eq!(users.len(), USERS, "{}", program.name);
}

/// Nothing but right logins and refusals while elastauth is killed, away, and there again.
pub(crate) async fn restarted(program: &Program, form: Form) {
    let mut stage = Stage::new(program, form).await;
    let signals = Signals::default();
    let working = clients(&stage, usize::MAX, &signals);
    let served = async |count: usize| {
        let count = signals.served.load(SeqCst) + count;
        find("requests that are served", WITHIN, async || {
            (signals.served.load(SeqCst) >= count).then_some(())
        })
        .await;
    };
    for _ in 0..2 {
        served(100).await;
        stage.elastauth.kill();
        // Some requests meet nobody.
        pause(Why::Pace, Duration::from_millis(300)).await;
        stage.restart_elastauth().await;
    }
    served(100).await;
    signals.stop.store(true, SeqCst);
    let got = finished(working).await;
    hold(program, &stage, &got);
}

/// What has arrived and what came back.
fn hold(program: &Program, stage: &Stage, got: &[Got]) {
    let who = |record: &Message| record.header("x-who").unwrap_or_default().to_owned();
    for record in stage.elasticsearch.since(0) {
        let user = who(&record);
        if let Err(fault) = stage.judge(&record, &user) {
            panic!("{}: a request of {user} arrived with {fault}", program.name);
        }
    }
    for got in got {
        match (got.status, &got.record) {
            (Some(200), Some(number)) => {
                let record = stage.elasticsearch.record(number).expect("a record");
                assert_eq!(who(&record), got.user, "{}", program.name);
            }
            (Some(status), None) => assert!(status >= 400, "{}: {got:?}", program.name),
            (None, None) => {}
            (_, Some(_)) => panic!("{}: {got:?}", program.name),
        }
    }
}

fn clients(stage: &Stage, requests: usize, signals: &Signals) -> JoinSet<Vec<Got>> {
    let users = (0..USERS).map(|number| {
        let name = format!("user-{number:02}");
        let shown = stage.signed_in(&name);
        (name, shown)
    });
    let users: Users = Arc::new(users.collect());
    let mut working = JoinSet::new();
    for number in 0..CONNECTIONS {
        let own = |more: usize| Requests {
            users: Arc::clone(&users),
            next: number * 7 + more * 13,
            left: requests,
            signals: signals.clone(),
        };
        let client = stage.gateway.client.clone();
        working.spawn(over_http1(client, own(0)));
        let client = stage.gateway.client.clone();
        let streams: Vec<Requests> = (1..=STREAMS).map(own).collect();
        if number % 2 == 0 {
            working.spawn(over_http2(client, streams));
        }
    }
    working
}

async fn finished(working: JoinSet<Vec<Got>>) -> Vec<Got> {
    working.join_all().await.into_iter().flatten().collect()
}

/// The requests of a client.
#[derive(Debug)]
struct Requests {
    users: Users,
    next: usize,
    left: usize,
    signals: Signals,
}

impl Requests {
    /// A request, whose it is, and whether its client hangs up.
    fn next(&mut self) -> Option<(Draft, String, bool)> {
        if self.left == 0 || self.signals.stop.load(SeqCst) {
            return None;
        }
        self.left -= 1;
        self.next += 11;
        let (user, shown) = &self.users[self.next % USERS];
        let mut draft = Draft::get(ELASTICSEARCH, "/_search");
        draft
            .line("Accept: application/json")
            .line(&format!("X-Who: {user}"))
            .line("Remote-User: mallory")
            .line(shown);
        Some((draft, user.clone(), self.left.is_multiple_of(HANGS_UP)))
    }

    fn got(&self, user: String, answer: Option<&Message>) -> Got {
        let got = Got {
            user,
            status: answer.map(Message::status),
            record: answer
                .and_then(|answer| answer.header(RECORD))
                .map(str::to_owned),
        };
        if got.status == Some(200) {
            self.signals.served.fetch_add(1, SeqCst);
        }
        got
    }
}

async fn over_http1(client: Client, mut requests: Requests) -> Vec<Got> {
    let mut got = Vec::new();
    let mut kept = None;
    while let Some((draft, user, hangs_up)) = requests.next() {
        let mut wire = match kept.take() {
            Some(wire) => wire,
            None => match client.connect(ELASTICSEARCH).await {
                Ok(wire) => wire,
                Err(_) => continue,
            },
        };
        let sent = wire.send(&draft.bytes()).await;
        if hangs_up {
            continue;
        }
        let reply = match sent {
            Ok(()) => answer(&mut wire, "GET").await.ok().flatten(),
            Err(_) => None,
        };
        got.push(requests.got(user, reply.as_ref()));
        let is_kept = reply.is_some_and(|answer| {
            let closes = |value: &str| value.eq_ignore_ascii_case("close");
            !answer.header("connection").is_some_and(closes)
        });
        kept = is_kept.then_some(wire);
    }
    got
}

/// Several clients on one connection at once.
async fn over_http2(client: Client, streams: Vec<Requests>) -> Vec<Got> {
    let Ok(connection) = client.http2(ELASTICSEARCH).await else {
        panic!("no connection of HTTP/2");
    };
    let mut working = JoinSet::new();
    for requests in streams {
        working.spawn(on_a_stream(client.clone(), connection.clone(), requests));
    }
    finished(working).await
}

async fn on_a_stream(client: Client, mut connection: Http2, mut requests: Requests) -> Vec<Got> {
    let mut got = Vec::new();
    while let Some((draft, user, hangs_up)) = requests.next() {
        if hangs_up {
            // The stream is reset when the request is dropped.
            tokio::select! {
                _ = connection.send(&draft) => {}
                () = pause(Why::Pace, Duration::from_millis(1)) => {}
            }
            continue;
        }
        let reply = connection.send(&draft).await.ok();
        got.push(requests.got(user, reply.as_ref()));
        // A gateway may end a connection after some requests.
        if reply.is_none()
            && let Ok(another) = client.http2(ELASTICSEARCH).await
        {
            connection = another;
        }
    }
    got
}
