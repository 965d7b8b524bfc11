//! The story in the terminal: an invitation with commands to paste, what happens as it happens, and
//! the tour that takes itself.

use super::{
    clusters::DemoCluster,
    error::DemoError,
    gateway::{ClusterCall, Hop, Trip, calls_since, request},
    settings::EXPIRATION,
    site::{DemoEvent, Stage},
};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, header};
use http_body_util::Full;
use serde_json::Value;
use std::{io::Write, time::Duration};
use tokio::time::Instant;

type Out<'a> = &'a mut (dyn Write + Send);

/// Where the page is, and what can be pasted instead.
pub(super) fn invite(stage: &Stage, out: Out<'_>) -> Result<(), DemoError> {
    let at = stage.addr;
    let other = &stage.site.gateway.clusters.search;
    let (search, whoami) = (other.host, other.whoami);
    writeln!(
        out,
        "elastauth demo: a gateway, elastauth, and stand-ins for two clusters, all on this machine:
`logs`, an Elasticsearch, and `search`, an OpenSearch.

  Open    http://{at}/

  Or paste, and watch what is told here:

  Ada has signed in and asks the cluster who she is
    curl -b who=ada http://{at}/_security/_authenticate

  Ada asks the other cluster, where the same groups give other roles
    curl -b who=ada -H 'Host: {search}' http://{at}{whoami}

  Nobody has signed in
    curl -i http://{at}/_security/_authenticate

  Nobody has signed in, but claims to be Grace
    curl -i -H 'Remote-User: grace' http://{at}/_security/_authenticate

  Ada gets a second group; ask again: the roles are there at once
    curl -X POST 'http://{at}/demo/api/people/ada?groups=analysts,editors'

  An administrator disables Ada in `logs`; enabled=true undoes it
    curl -X POST 'http://{at}/demo/api/cluster/ada?enabled=false'

  Ctrl-C ends it.
"
    )?;
    out.flush()?;
    Ok(())
}

/// Prints what happens, one block an event, until the demonstration ends.
pub(super) async fn follow(stage: &mut Stage, out: Out<'_>) -> Result<(), DemoError> {
    let seconds = EXPIRATION.as_secs();
    while let Some(event) = stage.events.recv().await {
        match event {
            DemoEvent::Trip(trip) => {
                let who = trip.who.as_deref().unwrap_or("nobody");
                writeln!(out, "{who} asks {}: {}", trip.cluster, trip.request)?;
                print(&trip, out)?;
            }
            DemoEvent::Groups { login, groups } => {
                writeln!(out, "{login} is now in: {}", listed(&groups))?;
            }
            DemoEvent::Enabled {
                login,
                cluster,
                enabled: true,
            } => writeln!(out, "{login} is enabled in {cluster} again")?,
            DemoEvent::Enabled { login, cluster, .. } => writeln!(
                out,
                "{login} is disabled in {cluster}, which refuses at once; elastauth notices \
                 within {seconds} s"
            )?,
        }
        out.flush()?;
    }
    Ok(())
}

fn print(trip: &Trip, out: Out<'_>) -> Result<(), DemoError> {
    if !trip.struck_out.is_empty() {
        let names = trip.struck_out.join(", ");
        writeln!(
            out,
            "   gateway    strikes out what only a gateway may say: {names}"
        )?;
    }
    let decision = &trip.decision;
    for ClusterCall { line, by, ms } in &trip.cluster_calls {
        let took = ms.map_or(String::new(), |ms| format!(", {ms:.1} ms"));
        writeln!(
            out,
            "   elastauth  asks the cluster: {line} (as {by}{took})"
        )?;
    }
    if trip.cluster_calls.is_empty() && decision.status == Some(200) {
        writeln!(out, "   elastauth  remembers: no call to the cluster")?;
    }
    let message = decision.message.as_ref();
    let message = message.map_or(String::new(), |message| format!(": {message}"));
    print_hop("elastauth", decision, &message, out)?;
    if let Some(arrival) = &trip.arrival {
        let (name, roles) = whoami(&arrival.body);
        let answer = if name.is_empty() {
            String::new()
        } else {
            format!(": you are {name}, with the roles {}", listed(&roles))
        };
        print_hop("cluster", arrival, &answer, out)?;
    }
    writeln!(out)?;
    Ok(())
}

fn print_hop(who: &str, hop: &Hop, what: &str, out: Out<'_>) -> Result<(), DemoError> {
    let status = hop
        .status
        .map_or("no answer".to_owned(), |status| status.to_string());
    writeln!(out, "   {who:<10} {status}{what} ({:.1} ms)", hop.ms)?;
    Ok(())
}

/// Takes the tour over the gateway's real socket.
pub(super) async fn take(stage: &mut Stage, out: Out<'_>) -> Result<(), DemoError> {
    let mut tour = Tour {
        stage,
        out,
        step: 0,
    };
    tour.begin("Ada has signed in at the gateway, and the cluster has never heard of her")?;
    tour.see(Some("ada"), None, 200, &["viewer"]).await?;
    tour.begin("Ada joins the editors: the very next request has the new role")?;
    tour.post("/demo/api/people/ada?groups=analysts,editors")
        .await?;
    tour.see(Some("ada"), None, 200, &["editor", "viewer"])
        .await?;
    tour.other_cluster().await?;
    tour.disabled().await?;
    tour.refused().await?;
    tour.steady().await?;
    writeln!(tour.out, "All six went as told.")?;
    tour.out.flush()?;
    Ok(())
}

struct Tour<'a> {
    stage: &'a mut Stage,
    out: Out<'a>,
    step: u8,
}

/// What a visitor got, and how.
struct Visited {
    status: u16,
    body: Value,
    trip: Box<Trip>,
}

/// Time for a slow machine.
const DEADLINE: Duration = Duration::from_secs(10);

impl Tour<'_> {
    async fn other_cluster(&mut self) -> Result<(), DemoError> {
        self.begin(
            "The same Ada asks the other cluster, an OpenSearch: she has other roles there",
        )?;
        let search = self.stage.site.gateway.clusters.search.clone();
        let visited = self.visit_at(&search, Some("ada"), None).await?;
        print(&visited.trip, self.out)?;
        // OpenSearch itself gives everybody `own_index`.
        self.expect(&visited, 200, &["own_index", "readall"])?;
        let logs = &self.stage.site.gateway.clusters.logs.standin;
        match logs.roles_of("ada") {
            Some(roles) if roles == ["editor", "viewer"] => Ok(()),
            other => self.failed(format!("her roles in the first cluster are now {other:?}")),
        }
    }

    async fn disabled(&mut self) -> Result<(), DemoError> {
        self.begin("An administrator disables Ada in the cluster, and it stays that way")?;
        let seconds = EXPIRATION.as_secs();
        writeln!(
            self.out,
            "   (The cluster refuses her at once. elastauth believes what it saw for {seconds} s \
             here, an hour by default.)"
        )?;
        self.post("/demo/api/cluster/ada?enabled=false").await?;
        let visited = self.visit(Some("ada"), None).await?;
        print(&visited.trip, self.out)?;
        let status = visited.status;
        if (200..300).contains(&status) {
            return self.failed(format!("the cluster let a disabled user in ({status})"));
        }
        let refused = self.until(403).await?;
        print(&refused.trip, self.out)?;
        let logs = &self.stage.site.gateway.clusters.logs;
        let user = logs.standin.user("ada");
        if user.is_none_or(|user| user.enabled) {
            return self.failed("elastauth switched the user on again".to_owned());
        }
        self.post("/demo/api/cluster/ada?enabled=true").await?;
        self.until(200).await?;
        writeln!(self.out, "   Enabled again, she is back.\n")?;
        Ok(())
    }

    async fn refused(&mut self) -> Result<(), DemoError> {
        self.begin("Nobody has signed in; then somebody claims to be Grace; then a reserved name")?;
        for (who, claim, status) in [
            (None, None, 401),
            (None, Some("grace"), 401),
            (Some("elastic"), None, 403),
        ] {
            let cookie = who.map_or("sends no cookie".to_owned(), |who| {
                format!("is signed in as {who}")
            });
            writeln!(self.out, "   browser    {cookie}")?;
            let visited = self.see(who, claim, status, &[]).await?;
            self.expect_none(&visited.trip.cluster_calls)?;
        }
        Ok(())
    }

    async fn steady(&mut self) -> Result<(), DemoError> {
        const REQUESTS: u32 = 500;
        self.begin("Ada goes on working: the cluster is not asked again")?;
        // A change makes elastauth look right now, so that the time until it looks again is known.
        self.post("/demo/api/people/ada?groups=analysts").await?;
        let visited = self.visit(Some("ada"), None).await?;
        self.expect(&visited, 200, &["viewer"])?;
        let gateway = &self.stage.site.gateway;
        let logs = &gateway.clusters.logs;
        let (before, began, mut asked) = (logs.standin.count(), Instant::now(), 0);
        // A busy machine gets through fewer of them before elastauth looks again.
        while asked < REQUESTS && began.elapsed() < EXPIRATION / 2 {
            match gateway.decide("ada").await {
                Some(200) => asked += 1,
                other => return self.failed(format!("request {asked} got {other:?}")),
            }
        }
        let (took, calls) = (began.elapsed(), calls_since(logs, before));
        self.expect_none(&calls)?;
        let each = took.as_secs_f64() * 1_000.0 / f64::from(asked.max(1));
        writeln!(
            self.out,
            "   elastauth  answered {asked} requests with 0 calls to the cluster ({each:.2} ms \
             each, one after the other)\n"
        )?;
        Ok(())
    }

    fn begin(&mut self, title: &str) -> Result<(), DemoError> {
        self.step += 1;
        writeln!(self.out, "{}. {title}", self.step)?;
        self.out.flush()?;
        Ok(())
    }

    /// 200 is for Ada, with these roles; nobody else gets in.
    fn expect(&self, visited: &Visited, status: u16, roles: &[&str]) -> Result<(), DemoError> {
        let name = if status == 200 { "ada" } else { "" };
        let (found, (found_name, found_roles)) = (visited.status, whoami(&visited.body));
        if (found, found_name, found_roles.as_slice()) == (status, name, roles) {
            return Ok(());
        }
        self.failed(format!(
            "expected {status} {name} {roles:?}, got {found} {found_name} {found_roles:?}"
        ))
    }

    fn expect_none(&self, calls: &[ClusterCall]) -> Result<(), DemoError> {
        match calls {
            [] => Ok(()),
            [call, ..] => self.failed(format!("the cluster was asked: {}", call.line)),
        }
    }

    fn failed<T>(&self, why: String) -> Result<T, DemoError> {
        let step = self.step;
        Err(DemoError::Tour { step, why })
    }

    /// Asks as Ada until elastauth has looked again; the bound is how long it remembers, and time
    /// for a slow machine.
    async fn until(&mut self, status: u16) -> Result<Visited, DemoError> {
        let began = Instant::now();
        loop {
            let visited = self.visit(Some("ada"), None).await?;
            if visited.status == status {
                return Ok(visited);
            }
            let (got, waited) = (visited.status, began.elapsed());
            if waited > EXPIRATION + DEADLINE {
                return self.failed(format!("still {got} after {waited:?}, expected {status}"));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Shows a visit that has to get this answer.
    async fn see(
        &mut self,
        who: Option<&str>,
        claim: Option<&str>,
        status: u16,
        roles: &[&str],
    ) -> Result<Visited, DemoError> {
        let visited = self.visit(who, claim).await?;
        print(&visited.trip, self.out)?;
        self.expect(&visited, status, roles)?;
        Ok(visited)
    }

    /// One request to `logs` through the gateway, as the printed commands make it.
    async fn visit(
        &mut self,
        who: Option<&str>,
        claim: Option<&str>,
    ) -> Result<Visited, DemoError> {
        let logs = self.stage.site.gateway.clusters.logs.clone();
        self.visit_at(&logs, who, claim).await
    }

    async fn visit_at(
        &mut self,
        cluster: &DemoCluster,
        who: Option<&str>,
        claim: Option<&str>,
    ) -> Result<Visited, DemoError> {
        let mut request = request(self.stage.addr, cluster.whoami);
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static(cluster.host));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        let cookie = who.map(|who| format!("who={who}"));
        for (name, value) in [
            (header::COOKIE, cookie.as_deref()),
            (HeaderName::from_static("remote-user"), claim),
        ] {
            if let Some(value) = value.and_then(|value| value.parse().ok()) {
                headers.insert(name, value);
            }
        }
        let (status, body) = self.exchange(request).await?;
        // The gateway reports a trip before it answers.
        while let Ok(event) = self.stage.events.try_recv() {
            if let DemoEvent::Trip(trip) = event {
                return Ok(Visited { status, body, trip });
            }
        }
        self.failed("the gateway did not report the trip".to_owned())
    }

    async fn post(&mut self, target: &str) -> Result<(), DemoError> {
        let mut request = request(self.stage.addr, target);
        *request.method_mut() = Method::POST;
        match self.exchange(request).await?.0 {
            200 => Ok(()),
            status => self.failed(format!("{target} got {status}")),
        }
    }

    /// The gateway's client serves the tour as well.
    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<(u16, Value), DemoError> {
        let uri = request.uri().clone();
        let (hop, _) = self.stage.site.gateway.ask(request).await;
        match hop.status {
            Some(status) => Ok((status, hop.body)),
            None => self.failed(format!("no whole answer from {uri}")),
        }
    }
}

/// The name and the roles in a cluster's answer; the roles sorted, as their order means nothing.
pub(super) fn whoami(body: &Value) -> (&str, Vec<&str>) {
    let roles = body["roles"].as_array().into_iter().flatten();
    let mut roles: Vec<&str> = roles.filter_map(Value::as_str).collect();
    roles.sort_unstable();
    let name = body["username"].as_str().or(body["user_name"].as_str());
    (name.unwrap_or_default(), roles)
}

pub(super) fn listed(items: &[&str]) -> String {
    if items.is_empty() {
        "none".to_owned()
    } else {
        items.join(", ")
    }
}
