//! The story in the terminal: an invitation with commands to paste, what happens as it happens, and
//! the tour that takes itself.

use super::{error::DemoError, gateway::Trip, settings::EXPIRATION, site::News, stage::Stage};
use bytes::Bytes;
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use std::{io::Write, time::Duration};
use tokio::time::Instant;

type Out<'a> = &'a mut (dyn Write + Send);

/// Where the page is, and what can be pasted instead.
pub(super) fn invite(stage: &Stage, out: Out<'_>) -> Result<(), DemoError> {
    let at = stage.addr;
    writeln!(
        out,
        "elastauth demo: a gateway, elastauth and a stand-in for Elasticsearch, all on this machine.

  Open    http://{at}/

  Or paste, and watch what is told here:

  Ada has signed in and asks the cluster who she is
    curl -b who=ada http://{at}/_security/_authenticate

  Nobody has signed in
    curl -i http://{at}/_security/_authenticate

  Nobody has signed in, but claims to be Grace
    curl -i -H 'Remote-User: grace' http://{at}/_security/_authenticate

  Ada gets a second group; ask again: the roles are there at once
    curl -X POST 'http://{at}/demo/api/people/ada?groups=analysts,editors'

  An administrator disables Ada in the cluster; enabled=true undoes it
    curl -X POST 'http://{at}/demo/api/cluster/ada?enabled=false'

  Ctrl-C ends it.
"
    )?;
    out.flush()?;
    Ok(())
}

/// Tells what happens, one block an event, for as long as the stage stands.
pub(super) async fn follow(stage: &mut Stage, out: Out<'_>) -> Result<(), DemoError> {
    while let Some(news) = stage.news.recv().await {
        match news {
            News::Trip(trip) => {
                let who = trip.who.as_deref().unwrap_or("nobody");
                writeln!(out, "{who} asks: {}", trip.request)?;
                tell_trip(&trip, out)?;
            }
            News::Groups { login, groups } => {
                writeln!(out, "{login} is now in: {}", listed(&groups))?;
            }
            News::Enabled {
                login,
                enabled: false,
            } => {
                let seconds = EXPIRATION.as_secs();
                writeln!(
                    out,
                    "{login} is disabled in the cluster, which refuses at once; elastauth notices within {seconds} s"
                )?;
            }
            News::Enabled {
                login,
                enabled: true,
            } => writeln!(out, "{login} is enabled in the cluster again")?,
        }
        out.flush()?;
    }
    Ok(())
}

fn tell_trip(trip: &Trip, out: Out<'_>) -> Result<(), DemoError> {
    if !trip.struck_out.is_empty() {
        writeln!(
            out,
            "   gateway    strikes out what only a gateway may say: {}",
            trip.struck_out.join(", ")
        )?;
    }
    let decision = &trip.decision;
    let status = decision
        .status
        .map_or("no answer".to_owned(), |status| status.to_string());
    let message = decision
        .message
        .as_deref()
        .map_or(String::new(), |message| format!(": {message}"));
    for call in &trip.cluster_calls {
        let took = call.ms.map_or(String::new(), |ms| format!(", {ms:.1} ms"));
        writeln!(
            out,
            "   elastauth  asks the cluster: {} (as {}{took})",
            call.line, call.by
        )?;
    }
    if trip.cluster_calls.is_empty() && decision.status == Some(200) {
        writeln!(out, "   elastauth  remembers: no call to the cluster")?;
    }
    writeln!(
        out,
        "   elastauth  {status}{message} ({:.1} ms)",
        decision.ms
    )?;
    if let Some(arrival) = &trip.arrival {
        let status = arrival
            .status
            .map_or("no answer".to_owned(), |status| status.to_string());
        let said = if arrival.body.get("username").is_some() {
            format!(
                ": you are {}, with the roles {}",
                name_in(&arrival.body),
                listed(&roles_in(&arrival.body))
            )
        } else {
            String::new()
        };
        writeln!(out, "   cluster    {status}{said} ({:.1} ms)", arrival.ms)?;
    }
    writeln!(out)?;
    Ok(())
}

/// Takes the tour over the gateway's real socket.
pub(super) async fn take(stage: &mut Stage, out: Out<'_>) -> Result<(), DemoError> {
    let client = Client::builder(TokioExecutor::new()).build_http();
    let mut tour = Tour {
        stage,
        out,
        client,
        step: 0,
    };
    tour.first_login().await?;
    tour.new_groups().await?;
    tour.disabled().await?;
    tour.strangers().await?;
    tour.steady().await?;
    writeln!(tour.out, "All five went as told.")?;
    tour.out.flush()?;
    Ok(())
}

struct Tour<'a> {
    stage: &'a mut Stage,
    out: Out<'a>,
    client: Client<HttpConnector, Empty<Bytes>>,
    step: u8,
}

/// What a visitor saw.
struct Seen {
    status: StatusCode,
    body: Value,
    trip: Box<Trip>,
}

/// Every exchange is on this machine: what takes longer than this is broken.
const DEADLINE: Duration = Duration::from_secs(10);

impl Tour<'_> {
    async fn first_login(&mut self) -> Result<(), DemoError> {
        self.begin("Ada has signed in at the gateway, and the cluster has never heard of her")?;
        let seen = self.visit(Some("ada"), None).await?;
        self.tell(&seen)?;
        self.expect(&seen, 200, Some(("ada", &["viewer"])))
    }

    async fn new_groups(&mut self) -> Result<(), DemoError> {
        self.begin("Ada joins the editors: the very next request has the new role")?;
        self.post("/demo/api/people/ada?groups=analysts,editors")
            .await?;
        let seen = self.visit(Some("ada"), None).await?;
        self.tell(&seen)?;
        self.expect(&seen, 200, Some(("ada", &["editor", "viewer"])))
    }

    async fn disabled(&mut self) -> Result<(), DemoError> {
        self.begin("An administrator disables Ada in the cluster, and it stays that way")?;
        let seconds = EXPIRATION.as_secs();
        writeln!(
            self.out,
            "   (The cluster refuses her at once. elastauth believes what it saw for {seconds} s here, an hour by default.)"
        )?;
        self.post("/demo/api/cluster/ada?enabled=false").await?;
        let at_once = self.visit(Some("ada"), None).await?;
        self.tell(&at_once)?;
        if at_once.status.is_success() {
            return Err(self.failed(format!(
                "the cluster let a disabled user in ({})",
                at_once.status
            )));
        }
        let refused = self.until(403).await?;
        self.tell(&refused)?;
        if self
            .stage
            .site
            .gateway
            .standin
            .user("ada")
            .is_none_or(|user| user.enabled)
        {
            return Err(self.failed("elastauth switched the user on again".to_owned()));
        }
        self.post("/demo/api/cluster/ada?enabled=true").await?;
        self.until(200).await?;
        writeln!(self.out, "   Enabled again, she is back.\n")?;
        Ok(())
    }

    async fn strangers(&mut self) -> Result<(), DemoError> {
        self.begin("Nobody has signed in; then somebody claims to be Grace; then a reserved name")?;
        for (who, claim, status) in [
            (None, None, 401),
            (None, Some("grace"), 401),
            (Some("elastic"), None, 403),
        ] {
            writeln!(
                self.out,
                "   browser    {}",
                who.map_or("sends no cookie".to_owned(), |who| format!(
                    "is signed in as {who}"
                ))
            )?;
            let seen = self.visit(who, claim).await?;
            self.tell(&seen)?;
            self.expect(&seen, status, None)?;
            if let Some(call) = seen.trip.cluster_calls.first() {
                return Err(self.failed(format!("the cluster was asked: {}", call.line)));
            }
        }
        Ok(())
    }

    async fn steady(&mut self) -> Result<(), DemoError> {
        const REQUESTS: u32 = 500;
        self.begin("Ada goes on working: the cluster is not asked again")?;
        // A change makes elastauth look right now, so that the time until it looks again is known.
        self.post("/demo/api/people/ada?groups=analysts").await?;
        let seen = self.visit(Some("ada"), None).await?;
        self.expect(&seen, 200, Some(("ada", &["viewer"])))?;
        let gateway = &self.stage.site.gateway;
        let (before, began, mut asked) = (gateway.standin.count(), Instant::now(), 0);
        // A busy machine gets through fewer of them before elastauth looks again.
        while asked < REQUESTS && began.elapsed() < EXPIRATION / 2 {
            match gateway.decide("ada").await {
                Some(StatusCode::OK) => asked += 1,
                other => return Err(self.failed(format!("request {asked} got {other:?}"))),
            }
        }
        let (took, calls) = (began.elapsed(), gateway.calls_since(before));
        if !calls.is_empty() {
            let lines: Vec<&str> = calls.iter().map(|call| call.line.as_str()).collect();
            return Err(self.failed(format!("{asked} requests made calls: {}", lines.join(", "))));
        }
        let each = took.as_secs_f64() * 1_000.0 / f64::from(asked.max(1));
        writeln!(
            self.out,
            "   elastauth  answered {asked} requests with 0 calls to the cluster ({each:.2} ms each, one after the other)\n"
        )?;
        Ok(())
    }

    fn begin(&mut self, title: &str) -> Result<(), DemoError> {
        self.step += 1;
        writeln!(self.out, "{}. {title}", self.step)?;
        self.out.flush()?;
        Ok(())
    }

    fn tell(&mut self, seen: &Seen) -> Result<(), DemoError> {
        tell_trip(&seen.trip, self.out)
    }

    fn expect(
        &self,
        seen: &Seen,
        status: u16,
        whoami: Option<(&str, &[&str])>,
    ) -> Result<(), DemoError> {
        let found = (
            seen.status.as_u16(),
            name_in(&seen.body),
            roles_in(&seen.body),
        );
        let as_told = found.0 == status
            && whoami.is_none_or(|(name, roles)| found.1 == name && found.2 == roles);
        if as_told {
            return Ok(());
        }
        let (name, roles) = whoami.unwrap_or(("", &[]));
        Err(self.failed(format!(
            "expected {status} {name} {roles:?}, got {} {} {:?}",
            found.0, found.1, found.2
        )))
    }

    fn failed(&self, why: String) -> DemoError {
        DemoError::Tour {
            step: self.step,
            why,
        }
    }

    /// Asks as Ada until elastauth has looked again; the bound is what it believes, and time for a
    /// slow machine.
    async fn until(&mut self, status: u16) -> Result<Seen, DemoError> {
        let began = Instant::now();
        loop {
            let seen = self.visit(Some("ada"), None).await?;
            if seen.status.as_u16() == status {
                return Ok(seen);
            }
            if began.elapsed() > EXPIRATION + DEADLINE {
                return Err(self.failed(format!(
                    "still {} after {:?}, expected {status}",
                    seen.status,
                    began.elapsed()
                )));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// One request through the gateway, as the printed commands make it.
    async fn visit(&mut self, who: Option<&str>, claim: Option<&str>) -> Result<Seen, DemoError> {
        let mut request = Request::new(Empty::new());
        let headers = request.headers_mut();
        headers.insert(
            header::ACCEPT,
            header::HeaderValue::from_static("application/json"),
        );
        let cookie = who.map(|who| format!("who={who}"));
        for (name, value) in [
            (header::COOKIE, cookie),
            (REMOTE_USER, claim.map(str::to_owned)),
        ] {
            if let Some(value) = value.and_then(|value| value.parse().ok()) {
                headers.insert(name, value);
            }
        }
        let (status, body) = self.exchange(request, "/_security/_authenticate").await?;
        let heard = tokio::time::timeout(DEADLINE, async {
            loop {
                if let News::Trip(trip) = self.stage.news.recv().await? {
                    return Some(trip);
                }
            }
        });
        let trip = heard.await.ok().flatten();
        let trip =
            trip.ok_or_else(|| self.failed("the gateway told nothing of the trip".to_owned()))?;
        Ok(Seen { status, body, trip })
    }

    async fn post(&mut self, target: &str) -> Result<(), DemoError> {
        let mut request = Request::new(Empty::new());
        *request.method_mut() = Method::POST;
        match self.exchange(request, target).await? {
            (StatusCode::OK, _) => Ok(()),
            (status, _) => Err(self.failed(format!("{target} got {status}"))),
        }
    }

    async fn exchange(
        &self,
        mut request: Request<Empty<Bytes>>,
        target: &str,
    ) -> Result<(StatusCode, Value), DemoError> {
        let url = format!("http://{}{target}", self.stage.addr);
        *request.uri_mut() = url.parse().map_err(|_| DemoError::Address)?;
        let exchange = async {
            let (head, body) = self.client.request(request).await.ok()?.into_parts();
            let body = Limited::new(body, super::gateway::MAX_BODY)
                .collect()
                .await
                .ok()?
                .to_bytes();
            Some((
                head.status,
                serde_json::from_slice(&body).unwrap_or(Value::Null),
            ))
        };
        let heard = tokio::time::timeout(DEADLINE, exchange)
            .await
            .ok()
            .flatten();
        heard.ok_or_else(|| self.failed(format!("no whole answer from {url}")))
    }
}

const REMOTE_USER: header::HeaderName = header::HeaderName::from_static("remote-user");

fn name_in(body: &Value) -> &str {
    body.get("username")
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Sorted: the order of roles means nothing.
fn roles_in(body: &Value) -> Vec<&str> {
    let mut roles: Vec<&str> = body
        .get("roles")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    roles.sort_unstable();
    roles
}

fn listed(items: &[&str]) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}
