//! What arrives behind the gateway: the doctor is elastauth and the application at the same time.

use super::{
    answers::{UPGRADE, preflight_probe},
    arrivals::{Arrival, Manner, Place, StandIn},
    types::{
        CannotAsk, Check, FORGED, FORGED_BASIC, FORGED_BEARER, FORGED_USER, GUESSED_KEY, MARK,
        Names, Probe, RUN_AS, Subject, Verdict, spellings,
    },
    wire::Way,
};
use http::{HeaderMap, HeaderName, HeaderValue, header};

/// Requests on each of two kept connections.
const MIXED: usize = 12;
/// Shorter ones are not accepted by elastauth.
const KEY: &str = "x-elastauth-key";

/// What arrived of one request.
struct Arrived {
    elastauth: Vec<Arrival>,
    application: Vec<Arrival>,
}

impl Arrived {
    fn of(all: Vec<Arrival>) -> Self {
        let (elastauth, application) = all
            .into_iter()
            .partition(|arrival| arrival.place == Place::Elastauth);
        Self {
            elastauth,
            application,
        }
    }

    /// The headers of the last auth request.
    fn asked(&self) -> Option<&HeaderMap> {
        self.elastauth.last().map(|arrival| &arrival.headers)
    }

    /// The headers of the request at the application.
    fn passed(&self) -> Option<&HeaderMap> {
        self.application.last().map(|arrival| &arrival.headers)
    }
}

struct Route<'a> {
    way: &'a Way,
    stand_in: &'a StandIn,
    names: &'a Names,
}

/// All checks, with this way through the gateway: the session's, if there is one.
pub(super) async fn all(
    way: &Way,
    stand_in: &StandIn,
    names: &Names,
) -> Result<Vec<Check>, CannotAsk> {
    let route = Route {
        way,
        stand_in,
        names,
    };
    let mut checks = Vec::new();
    checks.extend(route.closed().await?);
    let usual = route.send(Manner::Grant, "usual", &[]).await?;
    // Nobody asks elastauth, so there is nothing else to look at.
    if usual.asked().is_none() && usual.passed().is_some() {
        return Ok(checks);
    }
    checks.extend(judge_usual(&usual)?);
    checks.extend(route.forged().await?);
    checks.push(route.authorization().await?);
    checks.push(route.connection(&usual).await?);
    checks.extend(route.other_requests().await?);
    checks.push(route.mixing().await?);
    Ok(checks)
}

impl Route<'_> {
    async fn send(
        &self,
        manner: Manner,
        id: &str,
        headers: &[(&str, &str)],
    ) -> Result<Arrived, CannotAsk> {
        self.send_probe(manner, id, Probe::get(headers)).await
    }

    async fn send_probe(
        &self,
        manner: Manner,
        id: &str,
        mut probe: Probe,
    ) -> Result<Arrived, CannotAsk> {
        self.stand_in.expect(manner);
        probe.path = Some(format!("/{MARK}/{id}"));
        self.way.ask(probe).await?;
        Ok(Arrived::of(self.stand_in.arrived()))
    }

    /// Whether the application is reached while elastauth refuses or has a fault.
    async fn closed(&self) -> Result<Vec<Check>, CannotAsk> {
        let mut checks = Vec::new();
        for (subject, manner, does) in [
            (Subject::Closed, Manner::Refuse, "refuses"),
            (Subject::FailsClosed, Manner::Fail, "answers 500"),
        ] {
            let arrived = self
                .send(manner, "closed", &[("authorization", FORGED_BASIC)])
                .await?;
            let also = self.send(manner, "closed", &[]).await?;
            if [&arrived, &also]
                .iter()
                .any(|arrived| arrived.passed().is_some())
            {
                let seen = format!("the application is reached although elastauth {does}");
                checks.push(Check::new(subject, Verdict::Finding, seen));
                continue;
            }
            if also.asked().is_none() {
                return Err(CannotAsk(
                    "no auth request arrived at --listen, below /elastauth: is elastauth's address \
                     on this route the doctor's, and does a first check need --cookie?"
                        .to_owned(),
                ));
            }
            let seen = format!("the application is not reached while elastauth {does}");
            checks.push(Check::new(subject, Verdict::Good, seen));
        }
        Ok(checks)
    }

    /// Everything forged at once, each header under its own name.
    async fn forged(&self) -> Result<Vec<Check>, CannotAsk> {
        let path = format!("/{FORGED}");
        let all: Vec<String> = self.names.all().map(str::to_owned).collect();
        let others: Vec<String> = all.iter().flat_map(|name| spellings(name)).collect();
        let mut headers: Vec<(&str, &str)> = Vec::new();
        headers.extend(all.iter().map(|name| (name.as_str(), FORGED)));
        headers.extend(all.iter().map(|name| (name.as_str(), FORGED_USER)));
        headers.extend(others.iter().map(|name| (name.as_str(), FORGED)));
        headers.extend(RUN_AS.iter().map(|name| (*name, FORGED)));
        headers.push((KEY, GUESSED_KEY));
        let forwarded = [
            ("x-forwarded-host", FORGED),
            ("x-forwarded-uri", &path),
            ("x-forwarded-method", "ELASTAUTH-DOCTOR-FORGED"),
            ("x-forwarded-proto", FORGED),
        ];
        headers.extend(forwarded);
        let arrived = self.send(Manner::Grant, "forged", &headers).await?;
        let (Some(asked), passed) = (arrived.asked(), arrived.passed()) else {
            let seen = "a request with forged headers is refused before elastauth is asked";
            return Ok(vec![Check::new(Subject::User, Verdict::Good, seen)]);
        };
        let mut checks = Vec::new();
        let users = self.names.users.iter().map(String::as_str);
        checks.push(not_at("elastauth", Subject::User, asked, users));
        let groups = std::iter::once(self.names.groups.as_str());
        checks.push(not_at("elastauth", Subject::Groups, asked, groups));
        let mails = self.names.others.iter().map(String::as_str);
        checks.push(not_at("elastauth", Subject::User, asked, mails));
        checks.push(not_at(
            "elastauth",
            Subject::ClientKey,
            asked,
            [KEY].into_iter(),
        ));
        let forwarded = forwarded.iter().map(|(name, _)| *name);
        checks.push(not_at("elastauth", Subject::Forwarded, asked, forwarded));
        if let Some(passed) = passed {
            let (dotted, names): (Vec<_>, Vec<_>) = all
                .iter()
                .chain(&others)
                .map(String::as_str)
                .partition(|name| name.contains('.'));
            let names = names.into_iter();
            checks.push(not_at("the application", Subject::Spelling, passed, names));
            let dotted = not_at(
                "the application",
                Subject::Spelling,
                passed,
                dotted.into_iter(),
            );
            // Hardly any application reads them so.
            if dotted.verdict == Verdict::Finding {
                checks.push(Check::new(Subject::Spelling, Verdict::Note, dotted.seen));
            }
            let run_as = RUN_AS.into_iter();
            checks.push(not_at("the application", Subject::RunAs, passed, run_as));
        }
        Ok(checks)
    }

    async fn authorization(&self) -> Result<Check, CannotAsk> {
        let own = self.way.own_headers().iter();
        let own = own.filter(|(name, _)| name == header::AUTHORIZATION);
        let own: Vec<&HeaderValue> = own.map(|(_, value)| value).collect();
        let check = |verdict, seen: String| Ok(Check::new(Subject::Authorization, verdict, seen));
        // The session's own must be replaced as well.
        let forged: &[&str] = if own.is_empty() {
            &[FORGED_BASIC, FORGED_BEARER]
        } else {
            &[""]
        };
        let mut replaced = false;
        for value in forged {
            let header = [("authorization", *value)];
            let headers = if value.is_empty() { &[][..] } else { &header };
            let arrived = self.send(Manner::Grant, "authorization", headers).await?;
            let Some(passed) = arrived.passed() else {
                continue;
            };
            let values: Vec<_> = passed.get_all(header::AUTHORIZATION).iter().collect();
            if values == [&self.stand_in.login("authorization")] {
                replaced = true;
                continue;
            }
            let is_clients = values.iter().any(|found| {
                let text = String::from_utf8_lossy(found.as_bytes());
                own.contains(found) || (!value.is_empty() && text.contains(value))
            });
            let seen = match (values.len(), is_clients) {
                (0, _) => "no `Authorization` arrives at the application".to_owned(),
                (_, true) => "the client's `Authorization` arrives at the application".to_owned(),
                (count, false) => {
                    format!("{count} `Authorization` arrive, and not the login of this request")
                }
            };
            return check(Verdict::Finding, seen);
        }
        let seen = if replaced {
            "the login replaces the client's `Authorization` at the application"
        } else {
            "a request with an `Authorization` of the client does not get through"
        };
        check(Verdict::Good, seen.to_owned())
    }

    /// Whether the client takes headers out by naming them in `Connection`.
    async fn connection(&self, usual: &Arrived) -> Result<Check, CannotAsk> {
        let names: Vec<&str> = self.names.all().chain([KEY, "authorization"]).collect();
        let value = format!("close, {}", names.join(", "));
        let arrived = self
            .send(Manner::Grant, "usual", &[("connection", &value)])
            .await?;
        let taken = |before: Option<&HeaderMap>, after: Option<&HeaderMap>| {
            let had = |name: &&&str| before.is_some_and(|before| before.contains_key(**name));
            let has = |name: &&&str| after.is_some_and(|after| after.contains_key(**name));
            let gone = names.iter().filter(|name| had(name) && !has(name));
            gone.map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let check = |verdict, seen: String| Ok(Check::new(Subject::Connection, verdict, seen));
        for (place, before, after) in [
            ("elastauth", usual.asked(), arrived.asked()),
            ("the application", usual.passed(), arrived.passed()),
        ] {
            let lost = taken(before, after);
            if !lost.is_empty() {
                let seen = format!("the client's `Connection` takes out {lost} before {place}");
                return check(Verdict::Finding, seen);
            }
        }
        let seen = "the client's `Connection` takes nothing out that the gateway has set";
        check(Verdict::Good, seen.to_owned())
    }

    async fn other_requests(&self) -> Result<Vec<Check>, CannotAsk> {
        let mut checks = Vec::new();
        let arrived = self
            .send_probe(Manner::Refuse, "preflight", preflight_probe())
            .await?;
        let (verdict, seen) = match (arrived.passed(), arrived.asked()) {
            (Some(passed), _) if passed.contains_key(header::AUTHORIZATION) => (
                Verdict::Finding,
                "a CORS preflight reaches the application with a login",
            ),
            (Some(passed), _) if passed.contains_key(header::COOKIE) => (
                Verdict::Finding,
                "a CORS preflight reaches the application without a check, and keeps its cookies",
            ),
            (Some(_), _) => (
                Verdict::Note,
                "a CORS preflight reaches the application without a credential",
            ),
            (None, Some(_)) => (Verdict::Note, "elastauth is asked about a CORS preflight"),
            (None, None) => (Verdict::Note, "the gateway answers a CORS preflight itself"),
        };
        checks.push(Check::new(Subject::Preflight, verdict, seen));
        let refused = self
            .send_probe(Manner::Refuse, "websocket", Probe::get(&UPGRADE))
            .await?;
        let granted = self
            .send_probe(Manner::Grant, "websocket", Probe::get(&UPGRADE))
            .await?;
        let is_upgrade = |headers: &HeaderMap| headers.contains_key(header::UPGRADE);
        let (verdict, seen) = match (refused.passed(), granted.passed()) {
            (Some(_), _) => (
                Verdict::Finding,
                "a WebSocket reaches the application although elastauth refuses",
            ),
            (None, Some(passed)) if is_upgrade(passed) => {
                (Verdict::Note, "a WebSocket passes, and only with a login")
            }
            (None, _) => (Verdict::Note, "a WebSocket does not pass"),
        };
        checks.push(Check::new(Subject::WebSocket, verdict, seen));
        Ok(checks)
    }

    /// Many users over two kept connections: each request has the login of its own auth request.
    async fn mixing(&self) -> Result<Check, CannotAsk> {
        let check = |verdict, seen: String| Ok(Check::new(Subject::Mixing, verdict, seen));
        let mut lines = [self.way.open().await?, self.way.open().await?];
        for at in 0..MIXED {
            for (which, line) in lines.iter_mut().enumerate() {
                let id = format!("mixed-{which}-{at}");
                let mut probe = Probe::get(&[]);
                probe.path = Some(format!("/{MARK}/{id}"));
                self.stand_in.expect(Manner::Grant);
                if line.ask(probe.clone()).await.is_err() {
                    *line = self.way.open().await?;
                    line.ask(probe).await?;
                }
                let arrived = Arrived::of(self.stand_in.arrived());
                let found = arrived
                    .passed()
                    .map(|headers| headers.get(header::AUTHORIZATION));
                let Some(found) = found.flatten() else {
                    let seen = "mixed users: no login arrives at the application";
                    return check(Verdict::NotTried, seen.to_owned());
                };
                if found == self.stand_in.login("") {
                    let seen = "mixed users: no path arrives at elastauth, so logins look the same";
                    return check(Verdict::NotTried, seen.to_owned());
                }
                if found != self.stand_in.login(&id) {
                    let seen = "on a kept connection a request has the login of another one";
                    return check(Verdict::Finding, seen.to_owned());
                }
            }
        }
        let all = lines.len() * MIXED;
        let seen = format!("{all} users over two kept connections each have their own login");
        check(Verdict::Good, seen)
    }
}

/// What a request without anything forged shows.
fn judge_usual(usual: &Arrived) -> Result<Vec<Check>, CannotAsk> {
    let (Some(asked), Some(passed)) = (usual.asked(), usual.passed()) else {
        return Err(CannotAsk(
            "a request that elastauth grants does not arrive at --listen: is the application's \
             address on this route the doctor's?"
                .to_owned(),
        ));
    };
    let mut checks = Vec::new();
    let keys = asked.get_all(KEY).iter().count();
    let (verdict, seen) = match keys {
        1 => (
            Verdict::Good,
            "the gateway shows a key to elastauth".to_owned(),
        ),
        0 => (
            Verdict::Finding,
            "the gateway shows no key: every program that reaches elastauth's port may name \
             anybody, unless client certificates or the network keep others out"
                .to_owned(),
        ),
        _ => (Verdict::Finding, format!("the gateway shows {keys} keys")),
    };
    checks.push(Check::new(Subject::Key, verdict, seen));
    if passed.contains_key(KEY) {
        let seen = "the gateway's key arrives at the application";
        checks.push(Check::new(Subject::Key, Verdict::Finding, seen));
    }
    let missing: Vec<&str> = ["proto", "host", "uri", "method"]
        .into_iter()
        .filter(|name| !asked.contains_key(format!("x-forwarded-{name}")))
        .collect();
    let is_envoy = asked.contains_key("x-envoy-expected-rq-timeout-ms");
    if !missing.is_empty() && !is_envoy {
        let seen = format!(
            "no `X-Forwarded-` `{}` arrives at elastauth: `login_url` and the log need it",
            missing.join("`, `")
        );
        checks.push(Check::new(Subject::Forwarded, Verdict::Note, seen));
    }
    Ok(checks)
}

/// Whether none of these headers holds what the client has forged.
fn not_at<'a>(
    place: &str,
    subject: Subject,
    headers: &HeaderMap,
    names: impl Iterator<Item = &'a str>,
) -> Check {
    let is_forged = |name: &HeaderName| {
        let values = headers.get_all(name).iter();
        let mut values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.any(|value| {
            let value = value.to_ascii_lowercase();
            [FORGED, FORGED_USER, GUESSED_KEY]
                .iter()
                .any(|mark| value.contains(mark))
        })
    };
    let names: Vec<&str> = names.collect();
    let (mut found, mut clean) = (Vec::new(), Vec::new());
    for name in names {
        let parsed = name.parse::<HeaderName>();
        if parsed.is_ok_and(|name| is_forged(&name)) {
            found.push(format!("`{name}`"));
        } else {
            clean.push(format!("`{name}`"));
        }
    }
    if found.is_empty() {
        let seen = format!(
            "nothing of the client arrives at {place} in {}",
            clean.join(", ")
        );
        Check::new(subject, Verdict::Good, seen)
    } else {
        let seen = format!(
            "the client decides what {place} gets in {}",
            found.join(", ")
        );
        Check::new(subject, Verdict::Finding, seen)
    }
}
