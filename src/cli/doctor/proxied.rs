//! What only proxy mode has to hold: clients speak to elastauth itself, and it to the cluster.

use super::{
    types::{CannotAsk, Check, FORGED_USER, Mode, Names, Probe, Subject, Verdict},
    wire::{RawAnswer, Way},
};
use http::header;
use serde_json::Value;

/// Their answers hold the login of the cluster.
const OF_GATEWAYS: [&str; 5] = [
    "/elastauth",
    "/elastauth/forward-auth",
    "/elastauth/auth-request",
    "/elastauth/ext-authz/",
    "/elastauth/clusters/default/auth-request",
];
const OF_OPERATORS: [&str; 3] = [
    "/elastauth/metrics",
    "/elastauth/config",
    "/elastauth/admin/users",
];
/// Where a cluster says whom it takes the asker for: Elasticsearch, `OpenSearch`.
const WHO_AM_I: [(&str, &str); 2] = [
    ("/_security/_authenticate", "username"),
    ("/_plugins/_security/authinfo", "user_name"),
];

/// As elastauth's health says at this address, if it is elastauth.
pub(super) async fn mode(way: &Way) -> Option<Mode> {
    let health = way.ask(at("/elastauth/health", &[])).await;
    health.ok()?.mode()
}

/// What anybody sees; `user` has a session, if there is one.
pub(super) async fn outside(
    nobody: &Way,
    user: &Way,
    names: &Names,
) -> Result<Vec<Check>, CannotAsk> {
    Ok(vec![
        endpoints(user, names).await?,
        pages(nobody).await?,
        framing(nobody).await?,
        lengths(nobody).await?,
    ])
}

/// For whom the cluster takes a session.
pub(super) async fn inside(user: &Way) -> Result<Check, CannotAsk> {
    let check = |verdict, seen: String| Ok(Check::new(Subject::Cluster, verdict, seen));
    let mut shown = String::new();
    for (path, member) in WHO_AM_I {
        let answer = user.ask(at(path, &[])).await?;
        let said = serde_json::from_slice::<Value>(&answer.body).unwrap_or_default();
        if answer.status.is_success()
            && let Some(name) = said.get(member).and_then(Value::as_str)
        {
            let seen = format!("the cluster takes the session for the user `{name}`");
            return check(Verdict::Good, seen);
        }
        if answer.code().is_some() || answer.status == 401 {
            let seen = format!("the cluster does not say whom it takes the session for ({path})");
            return check(Verdict::Finding, format!("{seen}: {}", answer.shown()));
        }
        shown = answer.shown();
    }
    let seen = "no cluster says at this address whom it takes the session for; ask that of \
                Elasticsearch or OpenSearch";
    check(Verdict::NotTried, format!("{seen}: {shown}"))
}

async fn endpoints(way: &Way, names: &Names) -> Result<Check, CannotAsk> {
    let check = |verdict, seen: String| Ok(Check::new(Subject::Endpoints, verdict, seen));
    let user = names.users.first().map_or("Remote-User", String::as_str);
    for path in OF_GATEWAYS {
        let answer = way.ask(at(path, &[(user, FORGED_USER)])).await?;
        let is_decision = answer.status.is_success()
            || answer.headers.contains_key(header::AUTHORIZATION)
            || answer.code().is_some_and(|code| code != "not_found");
        if is_decision {
            let seen = format!("{path} answers clients as it would answer a gateway");
            return check(Verdict::Finding, format!("{seen}: {}", answer.shown()));
        }
    }
    let seen = "the endpoints of gateways, whose answers hold a login, do not exist";
    check(Verdict::Good, seen.to_owned())
}

async fn pages(way: &Way) -> Result<Check, CannotAsk> {
    let check = |verdict, seen: String| Ok(Check::new(Subject::Pages, verdict, seen));
    for path in OF_OPERATORS {
        let answer = way.ask(at(path, &[])).await?;
        let is_page =
            answer.status.is_success() || answer.code().is_some_and(|code| code != "not_found");
        if !is_page {
            continue;
        }
        let shown = answer.shown();
        if way.is_local().await {
            let seen = format!(
                "{path} is shown to this machine: {shown}; run the doctor elsewhere too, where it \
                 must be 404"
            );
            return check(Verdict::Note, seen);
        }
        let seen = format!("{path} is shown to clients: {shown}");
        return check(Verdict::Finding, seen);
    }
    let seen = "no page of operators is shown at this address";
    check(Verdict::Good, seen.to_owned())
}

/// Each server has to refuse these (RFC 9112, sections 3.2, 5.1 and 6.3).
async fn framing(way: &Way) -> Result<Check, CannotAsk> {
    let host = format!("Host: {}\r\n", way.host());
    let two = format!("{host}Content-Length: 0\r\nContent-Length: 1\r\n");
    let spaced = format!("{host}Content-Length : 0\r\n");
    let twice = format!("{host}{host}");
    let check = |verdict, seen: String| Ok(Check::new(Subject::Framing, verdict, seen));
    for (what, headers) in [
        ("two lengths", &*two),
        ("a space before a colon", &*spaced),
        ("two hosts", &*twice),
        ("no host", ""),
    ] {
        let answer = way.send(malformed(way, headers, "").as_bytes()).await?;
        if !is_refused(&answer) {
            let seen = format!("a request with {what} is not refused: {}", shown(&answer));
            return check(Verdict::Finding, seen);
        }
    }
    let seen = "requests with two lengths, with a space before a colon, with two hosts and with \
                none are refused, and their connections end";
    check(Verdict::Good, seen.to_owned())
}

/// A gateway may read such a request by its chunks, and pass on a good one.
async fn lengths(way: &Way) -> Result<Check, CannotAsk> {
    let headers = format!(
        "Host: {}\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n",
        way.host()
    );
    let bytes = malformed(way, &headers, "0\r\n\r\n");
    let answer = way.send(bytes.as_bytes()).await?;
    let what = "a request with a length and with chunks";
    Ok(if is_refused(&answer) {
        let seen = format!("{what} is refused, and its connection ends");
        Check::new(Subject::Framing, Verdict::Good, seen)
    } else {
        let seen = format!(
            "something in front of elastauth accepts {what} ({}); elastauth itself refuses it",
            shown(&answer)
        );
        Check::new(Subject::Framing, Verdict::Note, seen)
    })
}

fn malformed(way: &Way, headers: &str, body: &str) -> String {
    format!(
        "GET {} HTTP/1.1\r\nUser-Agent: elastauth-doctor/{}\r\n{headers}\r\n{body}",
        way.path(),
        env!("CARGO_PKG_VERSION")
    )
}

/// 501 is for those who do not know a coding.
fn is_refused(answer: &RawAnswer) -> bool {
    answer.is_closed && matches!(answer.status, None | Some(400 | 501))
}

fn shown(answer: &RawAnswer) -> String {
    match (answer.status, answer.is_closed) {
        (None, _) => "no answer in time".to_owned(),
        (Some(status), true) => status.to_string(),
        (Some(status), false) => format!("{status}, and its connection stays open"),
    }
}

fn at(path: &str, headers: &[(&str, &str)]) -> Probe {
    let mut probe = Probe::get(headers);
    probe.path = Some(path.to_owned());
    probe
}
