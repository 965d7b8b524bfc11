//! What clients see through a gateway when elastauth refuses, and when there is no elastauth that
//! could.

use crate::{
    application::RECORD,
    client::Reply,
    draft::Draft,
    faulty::{Fault, Faulty},
    gateway::{ELASTICSEARCH, Form, Program},
    message::Message,
    stage::Stage,
    support::{all_at_once, authelia::BYPASSED, http::Server, until},
};
use std::time::Duration;
use tokio::time::timeout;

/// What no client has to wait for.
const WITHIN: Duration = Duration::from_secs(15);
/// No gateway waits so long.
const AT_ALL: Duration = Duration::from_secs(45);

const ID: &str = "answers-0af7651916cd43dd";
const PAGE: &str = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";

/// The cell of a row, and whether it was as it has to be.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) row: &'static str,
    pub(crate) text: String,
    pub(crate) fault: Option<String>,
    /// The answer came, but not within the time that clients should have to wait.
    pub(crate) is_late: bool,
}

/// The rows: title of the table, and how each case is named.
pub(crate) const TABLES: &[(&str, &[&str])] = &[
    ("What elastauth and Authelia say", SAID),
    ("No elastauth that answers", AWAY),
];

const PLAIN: &str = "plain HTTP";

const SAID: &[&str] = &[
    "not signed in at Authelia, a script",
    "not signed in at Authelia, a browser",
    "no identity (a path that Authelia lets through), a script",
    "no identity (a path that Authelia lets through), a browser",
    "no token, a script",
    "no token, a browser",
    "an expired token",
    "no role, a script",
    "no role, a browser",
    "the cluster is away, a script",
    "the cluster is away, a browser",
    PLAIN,
];

const AWAY: &[&str] = &[
    "elastauth does not listen",
    "elastauth stands still",
    "takes connections and says nothing",
    "closes the connection",
    "begins an answer and does not end it",
    "answers what is no HTTP",
    "answers 500",
    "answers 204",
    "answers 302",
    "answers 404",
    "answers 200 without `Authorization`",
    "Authelia does not listen",
];

/// All cells of a gateway.
pub(crate) async fn run(program: &Program) -> Vec<Cell> {
    let mut cells = Vec::new();
    Box::pin(said_behind_authelia(program, &mut cells)).await;
    Box::pin(said_of_tokens(program, &mut cells)).await;
    let (mut away, mut faulty) = (Vec::new(), Vec::new());
    tokio::join!(
        Box::pin(away_or_still(program, &mut away)),
        Box::pin(faulty_ones(program, &mut faulty)),
    );
    cells.extend(away);
    cells.extend(faulty);
    cells
}

/// What must not be.
pub(crate) fn faults(program: &Program, cells: &[Cell]) -> Vec<String> {
    let is_known = |cell: &Cell| cell.is_late && program.waits.contains(&cell.row);
    let faults = cells.iter().filter(|cell| !is_known(cell));
    let mut faults: Vec<String> = faults
        .filter_map(|cell| Some(format!("{}: {}", cell.row, cell.fault.as_ref()?)))
        .collect();
    for row in program.waits {
        if !cells.iter().any(|cell| cell.row == *row && cell.is_late) {
            faults.push(format!("{row}: no client waits; delete the exception"));
        }
    }
    faults
}

/// As a script asks, and as a browser does.
fn both(draft: &Draft) -> [Draft; 2] {
    let mut script = draft.clone();
    script.line(&format!("X-Request-Id: {ID}"));
    let mut browser = script.clone();
    for line in &mut browser.lines {
        if line.starts_with("Accept:") {
            PAGE.clone_into(line);
        }
    }
    [script, browser]
}

/// What a client sees, and what has arrived.
async fn see(stage: &Stage, row: &'static str, draft: &Draft) -> Cell {
    // Several of these run at once.
    let mut draft = draft.clone();
    let mark = format!(
        "row={}",
        row.replace(|letter: char| !letter.is_alphanumeric(), "-")
    );
    draft.target = format!("{}?{mark}", draft.target);
    let mut reply = Box::pin(stage.gateway.client.within(AT_ALL, draft.host(), &draft));
    let (reply, is_late) = match timeout(WITHIN, &mut reply).await {
        Ok(reply) => (reply, false),
        Err(_) => (reply.await, true),
    };
    let arrived = stage.elasticsearch.since(0);
    let arrived = arrived.iter().find(|record| record.first.contains(&mark));
    let mut fault = None;
    let mut text = match (reply, arrived) {
        (Reply::Answer(answer), Some(record)) if answer.header(RECORD).is_some() => {
            let logins = record.all("authorization");
            if logins.is_empty() {
                "passes, without any `Authorization`".to_owned()
            } else {
                fault = Some(format!("it arrives with {logins:?}"));
                "passes".to_owned()
            }
        }
        (Reply::Answer(answer), arrived) => {
            if arrived.is_some() || answer.status() == 200 {
                fault = Some("it arrives".to_owned());
            }
            shown(&answer)
        }
        (Reply::Closed, _) => "the connection is closed".to_owned(),
        (Reply::Silent, _) => {
            fault = Some("no answer at all".to_owned());
            "no answer".to_owned()
        }
    };
    let is_late = is_late && fault.is_none();
    if is_late {
        text.push_str(", after more than 15 s");
        fault = Some("the client waits".to_owned());
    }
    Cell {
        row,
        text,
        fault,
        is_late,
    }
}

/// The answer in few words.
fn shown(answer: &Message) -> String {
    let (status, text) = (answer.status(), answer.text());
    let code = serde_json::from_str::<serde_json::Value>(&text)
        .ok()
        .and_then(|json| json["code"].as_str().map(str::to_owned));
    let body = if let Some(code) = code {
        format!("JSON (`{code}`)")
    } else if answer.header("x-answered-by") == Some("authelia") || is_of_authelia(&text) {
        "Authelia's text".to_owned()
    } else if text.contains("<dt>Request id</dt>") {
        let is_same = text.contains(ID);
        let id = if is_same { "" } else { " (another id)" };
        format!("elastauth's page{id}")
    } else if text.trim().is_empty() {
        "empty".to_owned()
    } else {
        "the gateway's own text".to_owned()
    };
    let mut parts = vec![format!("{status}, {body}")];
    for name in ["Location", "WWW-Authenticate", "Retry-After"] {
        if answer.header(name).is_some() {
            parts.push(format!("`{name}`"));
        }
    }
    parts.join(", ")
}

/// The stand-in answers with the status as its text.
fn is_of_authelia(text: &str) -> bool {
    [
        "302 Found",
        "401 Unauthorized",
        "403 Forbidden",
        "400 Bad Request",
    ]
    .contains(&text)
}

async fn said_behind_authelia(program: &Program, cells: &mut Vec<Cell>) {
    let stage = Stage::new(program, Form::Authelia).await;
    let [script, browser] = both(&Stage::anonymous());
    cells.push(see(&stage, SAID[0], &script).await);
    cells.push(see(&stage, SAID[1], &browser).await);
    let mut open = Stage::anonymous();
    open.target = format!("{BYPASSED}/_search");
    let [script, browser] = both(&open);
    cells.push(see(&stage, SAID[2], &script).await);
    cells.push(see(&stage, SAID[3], &browser).await);

    cells.push(over_plain_http(&stage).await);

    let mut no_role = Stage::anonymous();
    no_role.line(&stage.signed_in_with("norole", "others", "/others"));
    let [script, browser] = both(&no_role);
    cells.push(see(&stage, SAID[7], &script).await);
    cells.push(see(&stage, SAID[8], &browser).await);

    stage.cluster.stop();
    let [script, browser] = both(&stage.request_of("carol"));
    cells.push(see(&stage, SAID[9], &script).await);
    cells.push(see(&stage, SAID[10], &browser).await);
}

/// Whoever comes without TLS is sent to it, signed in or not, and reaches nothing else.
async fn over_plain_http(stage: &Stage) -> Cell {
    let shown = stage.signed_in("alice");
    let (name, value) = shown.split_once(": ").expect("a header line");
    let plain = Server::plain(stage.gateway.plain).host(ELASTICSEARCH);
    let answer = plain.get("/_search", &[(name, value)]).await;
    let location = answer.header("location").unwrap_or_default().to_owned();
    // The port is one of the test.
    let is_right = location.starts_with(&format!("https://{ELASTICSEARCH}"));
    let is_closed = answer.status.is_redirection() && stage.elasticsearch.count() == 0;
    Cell {
        row: PLAIN,
        text: format!("{}, `Location`", answer.status.as_u16()),
        fault: (!is_right || !is_closed).then(|| format!("{}, {location}", answer.status)),
        is_late: false,
    }
}

async fn said_of_tokens(program: &Program, cells: &mut Vec<Cell>) {
    let stage = Stage::new(program, Form::Tokens).await;
    let [script, browser] = both(&Stage::anonymous());
    cells.push(see(&stage, SAID[4], &script).await);
    cells.push(see(&stage, SAID[5], &browser).await);
    let mut expired = Stage::anonymous();
    expired.line(&stage.expired("alice"));
    let [script, _] = both(&expired);
    cells.push(see(&stage, SAID[6], &script).await);
}

async fn away_or_still(program: &Program, cells: &mut Vec<Cell>) {
    let mut stage = Stage::new(program, Form::Authelia).await;
    let [script, _] = both(&stage.request_of("alice"));
    let served = stage.gateway.client.send(&script).await.answer();
    assert!(served.header(RECORD).is_some(), "{served:?}");

    stage.elastauth.pause();
    until("that elastauth stands still", || {
        is_stopped(stage.elastauth.id())
    })
    .await;
    cells.push(see(&stage, AWAY[1], &script).await);
    stage.elastauth.go_on();
    stage.elastauth.kill();
    cells.push(see(&stage, AWAY[0], &script).await);
    // Whoever was refused meanwhile is served again.
    stage.restart_elastauth().await;
    stage.served_again(&script).await;
    stage.authelia.leave();
    cells.push(see(&stage, AWAY[11], &script).await);
}

/// Whether all threads of a process are stopped: the signal itself only asks for it.
fn is_stopped(id: u32) -> bool {
    let threads = std::fs::read_dir(format!("/proc/{id}/task")).expect("its threads");
    threads.flatten().all(|thread| {
        let stat = std::fs::read_to_string(thread.path().join("stat")).unwrap_or_default();
        stat.rsplit(')')
            .next()
            .is_some_and(|rest| rest.starts_with(" T"))
    })
}

async fn faulty_ones(program: &Program, cells: &mut Vec<Cell>) {
    let cases = [
        (AWAY[2], Fault::Silent),
        (AWAY[3], Fault::Closes),
        (
            AWAY[4],
            Fault::Begins("HTTP/1.1 200 OK\r\nAuthorization: Basic eDp5\r\n"),
        ),
        (AWAY[5], Fault::Says("hello\r\n\r\n")),
        (
            AWAY[6],
            Fault::Says("HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n"),
        ),
        (AWAY[7], Fault::Says("HTTP/1.1 204 No Content\r\n\r\n")),
        (
            AWAY[8],
            Fault::Says(
                "HTTP/1.1 302 Found\r\nLocation: https://auth.example.org/\r\n\
                 Content-Length: 0\r\n\r\n",
            ),
        ),
        (
            AWAY[9],
            Fault::Says("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"),
        ),
        (
            AWAY[10],
            Fault::Says("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        ),
    ];
    let users: Vec<String> = (0..cases.len()).map(|at| format!("faulty-{at}")).collect();
    let by_user = users.iter().cloned().zip(cases.map(|(_, fault)| fault));
    let faulty = Faulty::start(by_user.collect()).await;
    let stage = Stage::asking(program, Form::Authelia, Some(faulty.port)).await;
    let seen = users.iter().zip(cases).map(async |(user, (row, _))| {
        let [mut script, _] = both(&stage.request_of(user));
        // Authelia passes it over; it must not be what the application gets.
        script.line("Authorization: Bearer of-the-client");
        see(&stage, row, &script).await
    });
    cells.extend(all_at_once(seen).await);
}
