//! What takes more than one request and its answer.

use super::{
    judged::{arrived_since, counts},
    types::{
        Attack,
        Must::{self, Work},
        Outcome, Sent,
    },
};
use crate::{
    application::{RECORD, accepted},
    client::{Reply, answer},
    draft::Draft,
    gateway::{ELASTICSEARCH, Form},
    stage::Stage,
    support::find,
};
use futures_util::{FutureExt as _, future::LocalBoxFuture};
use std::time::Duration;

/// How many clients send a body that does not come to its end.
const STALLED: usize = 30;
const WITHIN: Duration = Duration::from_secs(20);

const fn steps(
    name: &'static str,
    must: Must,
    steps: for<'a> fn(&'a Stage) -> LocalBoxFuture<'a, Outcome>,
) -> Attack {
    Attack {
        name,
        sent: Sent::Steps(steps),
        must,
        forms: &Form::ALL,
    }
}

pub(crate) const ATTACKS: &[Attack] = &[
    steps("a WebSocket", Work, |stage| {
        Box::pin(web_socket(stage)).map(outcome).boxed_local()
    }),
    steps(
        "a preflight of CORS with `Authorization`, `Cookie` and `Remote-User`",
        Work,
        |stage| Box::pin(preflight(stage)).map(outcome).boxed_local(),
    ),
    steps("30 bodies that stall in a chunk", Work, |stage| {
        Box::pin(stalled(stage)).map(outcome).boxed_local()
    }),
    steps(
        "one connection for alice, for nobody with claims, and for bob",
        Work,
        |stage| Box::pin(shared(stage)).map(outcome).boxed_local(),
    ),
    steps(
        "two requests in one piece: alice's, and one with claims alone",
        Work,
        |stage| Box::pin(pipelined(stage)).map(outcome).boxed_local(),
    ),
];

fn outcome(result: Result<&'static str, String>) -> Outcome {
    result.map_or_else(Outcome::Breach, Outcome::Works)
}

/// Bytes go both ways for who is signed in, and nobody else gets so far.
async fn web_socket(stage: &Stage) -> Result<&'static str, String> {
    let key = "dGhlIHNhbXBsZSBub25jZQ==";
    let upgrade = |draft: &mut Draft| {
        draft
            .line("Connection: Upgrade")
            .line("Upgrade: websocket")
            .line("Sec-WebSocket-Version: 13")
            .line(&format!("Sec-WebSocket-Key: {key}"));
    };
    let before = counts(stage);
    let mut draft = Stage::anonymous();
    draft.line("Remote-User: mallory");
    upgrade(&mut draft);
    let refused = stage.gateway.client.send(&draft).await.answer();
    if refused.status() < 300 || !arrived_since(stage, before).is_empty() {
        return Err("without a session it arrives".to_owned());
    }
    let mut draft = stage.request_of("alice");
    draft.line("Remote-User: mallory");
    upgrade(&mut draft);
    let mut wire = stage.gateway.client.connect(ELASTICSEARCH).await.unwrap();
    wire.send(&draft.bytes()).await.unwrap();
    let switched = answer(&mut wire, "GET").await.unwrap().unwrap();
    if switched.status() != 101 {
        return Err(format!("{}", switched.status()));
    }
    let accept = switched.header("sec-websocket-accept").unwrap_or_default();
    if accept != accepted(key) {
        return Err(format!("`Sec-WebSocket-Accept: {accept}`"));
    }
    for record in arrived_since(stage, before) {
        stage.judge(&record, "alice")?;
    }
    for text in ["hello", "again"] {
        wire.send(text.as_bytes()).await.unwrap();
        let mut echo = Vec::new();
        while echo.len() < text.len() {
            let more = wire.rest().await.unwrap();
            if more.is_empty() {
                break;
            }
            echo.extend(more);
        }
        if echo != text.as_bytes() {
            return Err(format!("{text} became {echo:?}"));
        }
    }
    Ok("works")
}

/// It reaches the application without any credential, also where there is one.
async fn preflight(stage: &Stage) -> Result<&'static str, String> {
    let before = counts(stage);
    let mut plain = Draft::get(ELASTICSEARCH, "/_search");
    "OPTIONS".clone_into(&mut plain.method);
    plain
        .line("Origin: https://app.example.org")
        .line("Access-Control-Request-Method: POST")
        .line("Access-Control-Request-Headers: authorization");
    let mut full = plain.clone();
    full.line("Authorization: Basic bWFsbG9yeTpzZWNyZXQ=")
        .line(&stage.signed_in("alice").replace("Authorization", "Cookie"))
        .line("Remote-User: mallory")
        .line("Remote-Groups: search-admins")
        .line("es-security-runas-user: mallory")
        .line("es-secondary-authorization: Basic bWFsbG9yeTpzZWNyZXQ=")
        .line("X-Elastauth-Key: guess");
    for draft in [plain, full] {
        for reply in [
            stage.gateway.client.send(&draft).await,
            stage.gateway.client.send_http2(&draft).await,
        ] {
            let answer = reply.answer();
            if answer.header(RECORD).is_none() {
                return Err(answer.status().to_string());
            }
        }
    }
    let arrived = arrived_since(stage, before);
    for record in &arrived {
        Stage::judge_anonymous(record)?;
        if !record.first.starts_with("OPTIONS /_search ") {
            return Err(record.first.clone());
        }
        if record.header("origin").is_none() {
            return Err("no `Origin`".to_owned());
        }
    }
    match arrived.len() {
        4 => Ok("works, without a credential"),
        count => Err(format!("{count} of 4 arrived")),
    }
}

/// While some wait for the rest of their own bodies, all others are served.
async fn stalled(stage: &Stage) -> Result<&'static str, String> {
    let before = counts(stage);
    let mut draft = stage.request_of("alice");
    draft.chunked("5\r\nhel");
    let mut open = Vec::new();
    for _ in 0..STALLED {
        let mut wire = stage.gateway.client.connect(ELASTICSEARCH).await.unwrap();
        wire.send(&draft.bytes()).await.unwrap();
        open.push(wire);
    }
    for record in arrived_since(stage, before) {
        stage.judge(&record, "alice")?;
    }
    for number in 0..10 {
        let draft = stage.request_of(&format!("other-{number}"));
        let reply = stage.gateway.client.send(&draft).await;
        if !is_served(&reply) {
            return Err(format!("others get {reply:?}"));
        }
    }
    drop(open);
    // What is left of them is nobody else's: the next attack begins when all have been cut.
    let mut count = counts(stage);
    find("the end of stalled requests", WITHIN, async || {
        let draft = stage.request_of("alice");
        let reply = stage.gateway.client.send(&draft).await;
        let now = counts(stage);
        let alone = now.iter().sum::<usize>() == count.iter().sum::<usize>() + 1;
        count = now;
        (is_served(&reply) && alone).then_some(())
    })
    .await;
    Ok("others are served")
}

fn is_served(reply: &Reply) -> bool {
    matches!(reply, Reply::Answer(answer) if answer.header(RECORD).is_some())
}

/// Who a request is has nothing to do with the one before on the same connection.
async fn shared(stage: &Stage) -> Result<&'static str, String> {
    let mut claims = Stage::anonymous();
    claims
        .line("Remote-User: mallory")
        .line("Remote-Groups: search-admins");
    let drafts = [
        ("alice", stage.request_of("alice")),
        ("", claims.clone()),
        ("bob", stage.request_of("bob")),
        ("", claims),
        ("alice", stage.request_of("alice")),
    ];
    let mut wire = stage.gateway.client.connect(ELASTICSEARCH).await.unwrap();
    let http2 = stage.gateway.client.http2(ELASTICSEARCH).await.unwrap();
    for over_http2 in [false, true] {
        for (user, draft) in &drafts {
            let before = counts(stage);
            let answer = if over_http2 {
                http2.send(draft).await.unwrap()
            } else {
                wire.send(&draft.bytes()).await.unwrap();
                let answer = answer(&mut wire, "GET").await.unwrap();
                let answer = answer.ok_or("the connection was closed")?;
                let is_closing = answer
                    .header("connection")
                    .is_some_and(|value| value.eq_ignore_ascii_case("close"));
                if is_closing {
                    wire = stage.gateway.client.connect(ELASTICSEARCH).await.unwrap();
                }
                answer
            };
            let arrived = arrived_since(stage, before);
            match (&arrived[..], user.is_empty()) {
                ([], true) if answer.status() >= 300 => {}
                ([record], false) => stage.judge(record, user)?,
                _ => return Err(format!("{user}: {}", answer.status())),
            }
        }
    }
    Ok("each as themselves")
}

/// The second one is nobody's.
async fn pipelined(stage: &Stage) -> Result<&'static str, String> {
    let before = counts(stage);
    let mut claims = Stage::anonymous();
    claims
        .line("Remote-User: mallory")
        .line("Remote-Groups: search-admins")
        .line("Connection: close");
    let both = [stage.request_of("alice").bytes(), claims.bytes()].concat();
    let mut wire = stage.gateway.client.connect(ELASTICSEARCH).await.unwrap();
    wire.send(&both).await.unwrap();
    let first = answer(&mut wire, "GET").await.unwrap().unwrap();
    if first.header(RECORD).is_none() {
        return Err(format!("alice gets {}", first.status()));
    }
    // One that does not read on closes the connection.
    if let Ok(Some(second)) = answer(&mut wire, "GET").await
        && second.status() < 300
    {
        return Err(format!("the second one gets {}", second.status()));
    }
    match &arrived_since(stage, before)[..] {
        [record] => stage.judge(record, "alice")?,
        several => return Err(format!("{} arrived", several.len())),
    }
    Ok("the second one is refused")
}
