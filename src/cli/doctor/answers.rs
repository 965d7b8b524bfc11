//! What the gateway's answers show: a forged request must get the same answer as one without the
//! forged header.

use super::types::{
    Answer, CannotAsk, Check, FORGED_BASIC, FORGED_USER, GUESSED_KEY, MARK, Names, Probe, RUN_AS,
    Subject, Verdict, spellings,
};
use super::wire::Way;
use http::{HeaderValue, Method, header};

/// Requests on one kept connection, half of them of the signed-in user.
const MIXED: usize = 20;

/// A byte that no UTF-8 text has. elastauth refuses an identity header with it (400) before
/// anything is looked up, so a header that is believed shows itself and nothing is written.
const NOT_UTF8: &[u8] = b"elastauth-doctor-\xff";

/// Somebody who sends requests through the gateway: nobody, or the user who is signed in.
struct Asker<'a> {
    way: &'a Way,
    /// How the text names them.
    who: &'static str,
    /// Their answer without anything forged.
    usual: Answer,
    /// elastauth itself answers, and judges a client's key.
    is_proxy: bool,
}

/// What a forged request got, if it was another answer than usual.
enum Seen {
    Same,
    Other(Answer),
    /// The usual answer itself has changed.
    Unsteady,
}

impl Asker<'_> {
    async fn sees(&self, headers: &[(&str, &str)]) -> Result<Seen, CannotAsk> {
        self.sees_probe(Probe::get(headers)).await
    }

    async fn sees_probe(&self, probe: Probe) -> Result<Seen, CannotAsk> {
        let answer = self.way.ask(probe).await?;
        if answer.is_like(&self.usual) {
            return Ok(Seen::Same);
        }
        let again = self.way.ask(Probe::get(&[])).await?;
        Ok(if again.is_like(&self.usual) {
            Seen::Other(answer)
        } else {
            Seen::Unsteady
        })
    }

    /// A check of one forged request, which must change nothing.
    async fn must_not_matter(
        &self,
        subject: Subject,
        what: &str,
        headers: &[(&str, &str)],
    ) -> Result<Check, CannotAsk> {
        let (who, usual) = (self.who, self.usual.shown());
        Ok(match self.sees(headers).await? {
            Seen::Same => {
                let seen = format!("{what} of {who} changes nothing: {usual}");
                Check::new(subject, Verdict::Good, seen)
            }
            Seen::Other(answer)
                if self.is_proxy && answer.code().as_deref() == Some("gateway_key") =>
            {
                let seen = format!("{what} of {who} is refused: {}", answer.shown());
                Check::new(subject, Verdict::Good, seen)
            }
            Seen::Other(answer) => {
                let other = answer.shown();
                let seen = format!("{what} of {who} gets through: {other} instead of {usual}");
                Check::new(subject, Verdict::Finding, seen)
            }
            Seen::Unsteady => unsteady(subject, what),
        })
    }
}

fn unsteady(subject: Subject, what: &str) -> Check {
    let seen = format!("{what}: the answer without it has changed as well; try again");
    Check::new(subject, Verdict::NotTried, seen)
}

/// Whether the usual answer allows a judgement at all.
fn judge_usual(usual: &Answer) -> Result<Vec<Check>, CannotAsk> {
    let status = usual.status.as_u16();
    if usual.code().as_deref() == Some("gateway_key") {
        let seen = "elastauth says that the gateway shows no key, or a wrong one";
        return Ok(vec![Check::new(Subject::Key, Verdict::Finding, seen)]);
    }
    if usual.is_from_application() {
        let seen = format!("a request without identity reaches the application: {status}");
        return Ok(vec![Check::new(Subject::Closed, Verdict::Finding, seen)]);
    }
    let why = match status {
        404 => "it has no route for this host and path",
        400 => "Authelia says so to plain HTTP and to hosts that it does not know",
        301 | 307 | 308 => "ask the address that it redirects to",
        429 => "it asks to slow down",
        500.. => "elastauth, the first check or the application does not answer",
        _ => {
            let seen = format!(
                "a request without identity does not get in: {}",
                usual.shown()
            );
            return Ok(vec![Check::new(Subject::Closed, Verdict::Good, seen)]);
        }
    };
    let shown = usual.shown();
    Err(CannotAsk(format!(
        "the gateway answers {shown} to a request without identity: {why}"
    )))
}

/// All that can be seen without a session. Returns the usual answer too.
pub(super) async fn outside(
    way: &Way,
    names: &Names,
    is_proxy: bool,
) -> Result<(Answer, Vec<Check>), CannotAsk> {
    let usual = way.ask(Probe::get(&[])).await?;
    let mut checks = judge_usual(&usual)?;
    let asker = Asker {
        way,
        who: "a client without a session",
        usual,
        is_proxy,
    };
    checks.extend(user_headers(&asker, names).await?);
    let key = [("x-elastauth-key", GUESSED_KEY)];
    let what = "a guessed `X-Elastauth-Key`";
    checks.push(
        asker
            .must_not_matter(Subject::ClientKey, what, &key)
            .await?,
    );
    checks.push(authorization(&asker).await?);
    checks.push(forwarded(&asker).await?);
    checks.push(websocket(&asker).await?);
    checks.push(preflight(&asker).await?);
    Ok((asker.usual, checks))
}

/// What only shows for a user who is signed in: their request goes all the way.
pub(super) async fn inside(
    way: &Way,
    nobody: &Way,
    usual_of_nobody: &Answer,
    names: &Names,
    passes_bytes: bool,
    is_proxy: bool,
) -> Result<Vec<Check>, CannotAsk> {
    let usual = way.ask(Probe::get(&[])).await?;
    if !usual.is_from_application() {
        return Err(CannotAsk(format!(
            "the session of --cookie or --header does not get in: {}",
            usual.shown()
        )));
    }
    let asker = Asker {
        way,
        who: "a signed-in user",
        usual,
        is_proxy,
    };
    let mut checks = user_headers(&asker, names).await?;
    checks.push(groups(&asker, names, passes_bytes).await?);
    checks.push(connection(&asker, names).await?);
    checks.push(authorization(&asker).await?);
    checks.push(run_as(&asker).await?);
    checks.push(websocket(&asker).await?);
    checks.push(mixing(&asker, nobody, usual_of_nobody).await?);
    Ok(checks)
}

async fn user_headers(asker: &Asker<'_>, names: &Names) -> Result<Vec<Check>, CannotAsk> {
    let mut checks = Vec::new();
    for name in &names.users {
        let forged = (name.as_str(), FORGED_USER);
        let what = format!("a forged `{name}`");
        checks.push(
            asker
                .must_not_matter(Subject::User, &what, &[forged])
                .await?,
        );
        let what = format!("a repeated forged `{name}`");
        checks.push(
            asker
                .must_not_matter(Subject::User, &what, &[forged, forged])
                .await?,
        );
        for other in spellings(name) {
            let what = format!("a forged `{other}`");
            let forged = [(other.as_str(), FORGED_USER)];
            checks.push(
                asker
                    .must_not_matter(Subject::Spelling, &what, &forged)
                    .await?,
            );
        }
    }
    Ok(checks)
}

async fn groups(asker: &Asker<'_>, names: &Names, passes_bytes: bool) -> Result<Check, CannotAsk> {
    let name = &names.groups;
    let not_tried = |why: &str| {
        let seen = format!("a forged `{name}`: {why}; --listen shows it in any case");
        Ok(Check::new(Subject::Groups, Verdict::NotTried, seen))
    };
    if !passes_bytes {
        return not_tried("only with --kind, and not for Envoy, which would make a group of it");
    }
    let probe = |name: &str| {
        let mut probe = Probe::get(&[]);
        if let (Ok(name), Ok(value)) = (name.parse(), HeaderValue::from_bytes(NOT_UTF8)) {
            probe.headers.push((name, value));
        }
        probe
    };
    // The gateway may refuse such a byte in any header.
    if !matches!(
        asker.sees_probe(probe("x-elastauth-doctor")).await?,
        Seen::Same
    ) {
        return not_tried("something on the way refuses the byte by which it would be seen");
    }
    let (who, usual) = (asker.who, asker.usual.shown());
    Ok(match asker.sees_probe(probe(name)).await? {
        Seen::Same => {
            let seen = format!("a forged `{name}` of {who} changes nothing: {usual}");
            Check::new(Subject::Groups, Verdict::Good, seen)
        }
        Seen::Other(answer) => {
            let other = answer.shown();
            let seen =
                format!("a forged `{name}` of {who} gets through: {other} instead of {usual}");
            Check::new(Subject::Groups, Verdict::Finding, seen)
        }
        Seen::Unsteady => unsteady(Subject::Groups, &format!("a forged `{name}`")),
    })
}

/// A gateway that obeys the client's `Connection` takes out what it has set itself.
async fn connection(asker: &Asker<'_>, names: &Names) -> Result<Check, CannotAsk> {
    let mut set: Vec<&str> = names.users.iter().map(String::as_str).collect();
    set.extend(["x-elastauth-key", "authorization"]);
    set.retain(|name| !asker.way.shows_session_in(name));
    for name in set {
        let value = format!("close, {name}");
        match asker.sees(&[("connection", &value)]).await? {
            Seen::Same => {}
            Seen::Other(answer) => {
                let (shown, usual) = (answer.shown(), asker.usual.shown());
                let seen = format!(
                    "`Connection: {name}` of the client takes out what the gateway has set: \
                     {shown} instead of {usual}"
                );
                return Ok(Check::new(Subject::Connection, Verdict::Finding, seen));
            }
            Seen::Unsteady => return Ok(unsteady(Subject::Connection, "`Connection`")),
        }
    }
    let seen = "the client's `Connection` takes nothing out that the gateway has set";
    Ok(Check::new(Subject::Connection, Verdict::Good, seen))
}

/// A first check may refuse the client's password itself; what counts is that the application never
/// sees it.
async fn authorization(asker: &Asker<'_>) -> Result<Check, CannotAsk> {
    let answer = asker
        .way
        .ask(Probe::get(&[("authorization", FORGED_BASIC)]))
        .await?;
    let (who, shown) = (asker.who, answer.shown());
    let is_usual = answer.is_like(&asker.usual);
    Ok(if answer.is_from_application() && !is_usual {
        let seen = format!("`Authorization` of {who} reaches the application: {shown}");
        Check::new(Subject::Authorization, Verdict::Finding, seen)
    } else {
        let seen = format!("`Authorization` of {who} does not reach the application: {shown}");
        Check::new(Subject::Authorization, Verdict::Good, seen)
    })
}

async fn run_as(asker: &Asker<'_>) -> Result<Check, CannotAsk> {
    for name in RUN_AS {
        let value = if name.ends_with("authorization") {
            FORGED_BASIC
        } else {
            FORGED_USER
        };
        match asker.sees(&[(name, value)]).await? {
            Seen::Same => {}
            Seen::Other(answer) => {
                let (shown, usual) = (answer.shown(), asker.usual.shown());
                let seen = format!("`{name}` reaches the cluster: {shown} instead of {usual}");
                return Ok(Check::new(Subject::RunAs, Verdict::Finding, seen));
            }
            Seen::Unsteady => return Ok(unsteady(Subject::RunAs, name)),
        }
    }
    let seen = "headers to act as another user change nothing";
    Ok(Check::new(Subject::RunAs, Verdict::Good, seen))
}

/// Where a browser is sent must not follow from headers of the client.
async fn forwarded(asker: &Asker<'_>) -> Result<Check, CannotAsk> {
    const BROWSER: [(&str, &str); 2] = [
        ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
        ("sec-fetch-mode", "navigate"),
    ];
    let check = |verdict, seen: String| Ok(Check::new(Subject::Forwarded, verdict, seen));
    let usual = asker.way.ask(Probe::get(&BROWSER)).await?;
    if usual.location().is_none() {
        let status = usual.status.as_u16();
        let seen = format!("`X-Forwarded-*`: a browser gets {status} and is not sent anywhere");
        return check(Verdict::NotTried, seen);
    }
    let (host, url) = (
        format!("{MARK}.invalid"),
        format!("https://{MARK}.invalid/"),
    );
    let path = format!("/{MARK}");
    let forged = [
        ("x-forwarded-host", host.as_str()),
        ("x-forwarded-server", &host),
        ("x-forwarded-uri", &path),
        ("x-forwarded-prefix", &path),
        ("x-original-url", &url),
        ("x-rewrite-url", &path),
        ("forwarded", "host=elastauth-doctor.invalid;proto=https"),
    ];
    for one in forged {
        let answer = asker.way.ask(Probe::get(&BROWSER).with(&[one])).await?;
        let location = answer.location().unwrap_or_default();
        if location.contains(MARK) {
            let seen = format!("`{}` of the client decides where a browser is sent", one.0);
            return check(Verdict::Finding, seen);
        }
    }
    let seen = "`X-Forwarded-*` of the client do not decide where a browser is sent".to_owned();
    check(Verdict::Good, seen)
}

/// The handshake of a WebSocket.
pub(super) const UPGRADE: [(&str, &str); 5] = [
    ("connection", "Upgrade"),
    ("upgrade", "websocket"),
    ("sec-websocket-version", "13"),
    ("sec-websocket-key", "ZWxhc3RhdXRoLWRvY3Rvcg=="),
    ("sec-fetch-mode", "websocket"),
];

async fn websocket(asker: &Asker<'_>) -> Result<Check, CannotAsk> {
    let answer = asker.way.ask(Probe::get(&UPGRADE)).await?;
    let (who, shown) = (asker.who, answer.shown());
    let lets_in = asker.usual.is_from_application();
    let (verdict, seen) = match (answer.is_from_application(), lets_in) {
        (true, false) => (
            Verdict::Finding,
            format!("a WebSocket of {who} gets in: {shown}"),
        ),
        (false, false) => (
            Verdict::Good,
            format!("a WebSocket of {who} does not get in: {shown}"),
        ),
        (_, true) if answer.status == 101 => (
            Verdict::Note,
            format!("a WebSocket of {who} is opened: {shown}"),
        ),
        (_, true) => {
            let seen = format!("a WebSocket of {who} is not opened on this path: {shown}");
            (Verdict::Note, seen)
        }
    };
    Ok(Check::new(Subject::WebSocket, verdict, seen))
}

/// What browsers ask before a request of another site; it never has a credential.
pub(super) fn preflight_probe() -> Probe {
    let mut probe = Probe::get(&[
        ("origin", "https://elastauth-doctor.invalid"),
        ("access-control-request-method", "GET"),
    ]);
    probe.method = Method::OPTIONS;
    probe
}

async fn preflight(asker: &Asker<'_>) -> Result<Check, CannotAsk> {
    let answer = asker.way.ask(preflight_probe()).await?;
    let shown = answer.shown();
    let allows = answer.headers.get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    let seen = if answer.is_from_application() || allows.is_some() {
        format!("a CORS preflight (`OPTIONS`) is answered: {shown}")
    } else if answer.is_like(&asker.usual) {
        format!("a CORS preflight (`OPTIONS`) is refused like any other request: {shown}")
    } else {
        format!("a CORS preflight (`OPTIONS`) gets {shown}")
    };
    Ok(Check::new(Subject::Preflight, Verdict::Note, seen))
}

/// One kept connection, the signed-in user and nobody in turns.
async fn mixing(
    asker: &Asker<'_>,
    nobody: &Way,
    usual_of_nobody: &Answer,
) -> Result<Check, CannotAsk> {
    let (mut line, mut reconnected) = (nobody.open().await?, 0);
    for at in 0..MIXED {
        let is_user = at % 2 == 0;
        let mut probe = Probe::get(&[]);
        if is_user {
            probe
                .headers
                .extend(asker.way.own_headers().iter().cloned());
        }
        let answer = match line.ask(probe.clone()).await {
            Ok(answer) => answer,
            // The gateway may close a connection at any time.
            Err(_closed) => {
                reconnected += 1;
                line = nobody.open().await?;
                line.ask(probe).await?
            }
        };
        let expected = if is_user {
            &asker.usual
        } else {
            usual_of_nobody
        };
        if !answer.is_like(expected) {
            let (shown, usual) = (answer.shown(), expected.shown());
            let who = if is_user {
                "the signed-in user"
            } else {
                "a client without a session"
            };
            let seen = format!("on a kept connection {who} gets {shown} instead of {usual}");
            return Ok(Check::new(Subject::Mixing, Verdict::Finding, seen));
        }
    }
    let seen = format!(
        "{MIXED} requests on a kept connection, with and without the session in turns, are kept \
         apart ({reconnected} times connected again)"
    );
    Ok(Check::new(Subject::Mixing, Verdict::Good, seen))
}
