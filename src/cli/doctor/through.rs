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

    /// Whether elastauth gets nothing of the client under these names.
    fn at_elastauth(&self, subject: Subject, names: &[&str]) -> Check {
        not_at("elastauth", subject, self.asked(), names)
    }

    /// Whether the application gets nothing of the client under these names.
    fn at_application(&self, subject: Subject, names: &[&str]) -> Check {
        not_at("the application", subject, self.passed(), names)
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

    /// Forged headers in groups, so that a gateway that refuses one of them hides no other.
    async fn forged(&self) -> Result<Vec<Check>, CannotAsk> {
        let mut checks = self.identity_headers().await?;
        let run_as: Vec<_> = RUN_AS.iter().map(|name| (*name, FORGED)).collect();
        let arrived = self.send(Manner::Grant, "run-as", &run_as).await?;
        checks.push(arrived.at_application(Subject::RunAs, &RUN_AS));
        let key = [(KEY, GUESSED_KEY)];
        let arrived = self.send(Manner::Grant, "key", &key).await?;
        checks.push(arrived.at_elastauth(Subject::ClientKey, &[KEY]));
        let path = format!("/{FORGED}");
        let forwarded = [
            ("x-forwarded-host", FORGED),
            ("x-forwarded-uri", &path),
            ("x-forwarded-method", "ELASTAUTH-DOCTOR-FORGED"),
            ("x-forwarded-proto", FORGED),
        ];
        let arrived = self.send(Manner::Grant, "forwarded", &forwarded).await?;
        let names = forwarded.map(|(name, _)| name);
        checks.push(arrived.at_elastauth(Subject::Forwarded, &names));
        Ok(checks)
    }

    /// Each identity header twice, and in other spellings.
    async fn identity_headers(&self) -> Result<Vec<Check>, CannotAsk> {
        let all: Vec<String> = self.names.all().map(str::to_owned).collect();
        let spelt: Vec<[String; 2]> = all.iter().map(|name| spellings(name)).collect();
        let (underscored, dotted): (Vec<&str>, Vec<&str>) = spelt
            .iter()
            .map(|[underscored, dotted]| (underscored.as_str(), dotted.as_str()))
            .unzip();
        let exact: Vec<&str> = all.iter().map(String::as_str).collect();
        let each = [&exact, &underscored, &dotted].into_iter().flatten();
        let mut headers: Vec<(&str, &str)> = each.map(|name| (*name, FORGED)).collect();
        headers.extend(exact.iter().map(|name| (*name, FORGED_USER)));
        let arrived = self.send(Manner::Grant, "identity", &headers).await?;
        let users: Vec<&str> = self.names.users.iter().map(String::as_str).collect();
        let others: Vec<&str> = self.names.others.iter().map(String::as_str).collect();
        let mut checks = vec![
            arrived.at_elastauth(Subject::User, &users),
            arrived.at_elastauth(Subject::Groups, &[&self.names.groups]),
            arrived.at_elastauth(Subject::User, &others),
            arrived.at_application(Subject::Spelling, &[exact, underscored].concat()),
        ];
        let dotted = arrived.at_application(Subject::Spelling, &dotted);
        // Hardly any application reads them so.
        if dotted.verdict == Verdict::Finding {
            checks.push(Check::new(Subject::Spelling, Verdict::Note, dotted.seen));
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
        let taken = |before: Option<&HeaderMap>, after: Option<&HeaderMap>, is_asked: bool| {
            let had = |name: &&&str| before.is_some_and(|before| before.contains_key(**name));
            let has = |name: &&&str| after.is_some_and(|after| after.contains_key(**name));
            let gone = names.iter().filter(|name| had(name) && !has(name));
            // Whoever takes their own token out of the auth request signs out.
            let is_own = |name: &str| is_asked && self.way.shows_session_in(name);
            let gone = gone.filter(|name| !is_own(name));
            gone.map(|name| format!("`{name}`"))
                .collect::<Vec<_>>()
                .join(", ")
        };
        let check = |verdict, seen: String| Ok(Check::new(Subject::Connection, verdict, seen));
        for (place, before, after) in [
            ("elastauth", usual.asked(), arrived.asked()),
            ("the application", usual.passed(), arrived.passed()),
        ] {
            let lost = taken(before, after, place == "elastauth");
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
fn not_at(place: &str, subject: Subject, headers: Option<&HeaderMap>, names: &[&str]) -> Check {
    let shown = |names: &[&str]| {
        let names = names.iter().map(|name| format!("`{name}`"));
        names.collect::<Vec<_>>().join(", ")
    };
    let Some(headers) = headers else {
        let seen = format!(
            "a request with forged {} does not get to {place}",
            shown(names)
        );
        return Check::new(subject, Verdict::Good, seen);
    };
    let is_forged = |name: &&str| {
        let name = name.parse::<HeaderName>().ok();
        let values = name.iter().flat_map(|name| headers.get_all(name));
        let mut values = values.map(|value| String::from_utf8_lossy(value.as_bytes()));
        values.any(|value| {
            let value = value.to_ascii_lowercase();
            [FORGED, FORGED_USER, GUESSED_KEY]
                .iter()
                .any(|mark| value.contains(mark))
        })
    };
    let found: Vec<&str> = names.iter().copied().filter(is_forged).collect();
    if found.is_empty() {
        let seen = format!(
            "nothing of the client arrives at {place} in {}",
            shown(names)
        );
        return Check::new(subject, Verdict::Good, seen);
    }
    let seen = format!("the client decides what {place} gets in {}", shown(&found));
    Check::new(subject, Verdict::Finding, seen)
}
