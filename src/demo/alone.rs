//! The demonstration in proxy mode: elastauth alone in front of the two clusters, and clients that
//! bring tokens. An invitation with commands to paste, and the tour that takes itself.

use super::{
    clusters::{DemoCluster, DemoClusters},
    error::DemoError,
    gateway::{ClusterCall, calls_since, request},
    issuer::Issuer,
    people::{Directory, DirectoryUser},
    tour::{listed, whoami},
};
use crate::clock::{Clock, Timestamp};
use bytes::Bytes;
use http::{HeaderName, HeaderValue, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::Value;
use std::{io::Write, net::SocketAddr, sync::Arc, time::Duration};
use tokio::time::{Instant, timeout};

type Out<'a> = &'a mut (dyn Write + Send);

/// Time for a slow machine.
const DEADLINE: Duration = Duration::from_secs(10);
const MAX_BODY: usize = 64 * 1024;

/// elastauth, what is behind it, and who asks.
pub(super) struct Alone {
    pub(super) elastauth: SocketAddr,
    pub(super) clusters: DemoClusters,
    pub(super) issuer: Arc<Issuer>,
    people: Directory,
    client: Client<HttpConnector, Full<Bytes>>,
}

impl Alone {
    pub(super) fn new(elastauth: SocketAddr, clusters: DemoClusters, issuer: Arc<Issuer>) -> Self {
        Self {
            elastauth,
            clusters,
            issuer,
            people: Directory::default(),
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    fn person(&self, login: &str) -> Result<DirectoryUser, DemoError> {
        self.people.get(login).ok_or(DemoError::Address)
    }

    fn token(&self, login: &str, at: Timestamp) -> Result<String, DemoError> {
        Ok(self.issuer.token(&self.person(login)?, at))
    }
}

/// Tokens and commands to paste. The lines that follow are those of the access log.
pub(super) fn invite(alone: &Alone, out: Out<'_>) -> Result<(), DemoError> {
    let (at, now) = (alone.elastauth, Clock::System.now());
    let (ada, grace) = (alone.token("ada", now)?, alone.token("grace", now)?);
    let DemoClusters { logs, search } = &alone.clusters;
    let ((logs, whoami), (search, info)) = ((logs.host, logs.whoami), (search.host, search.whoami));
    writeln!(
        out,
        "elastauth demo --proxy: elastauth alone in front of stand-ins for two clusters, all on this
machine: `logs`, an Elasticsearch, and `search`, an OpenSearch. An identity provider has given
these tokens to Ada and Grace:

  ADA={ada}
  GRACE={grace}

  Paste them, then ask, and watch the access log here:

  Ada asks the cluster who she is
    curl -H \"Authorization: Bearer $ADA\" -H 'Host: {logs}' http://{at}{whoami}

  Ada asks the other cluster, where the same groups give other roles
    curl -H \"Authorization: Bearer $ADA\" -H 'Host: {search}' http://{at}{info}

  Nobody asks, and claims to be Grace
    curl -i -H 'Remote-User: grace' -H 'Host: {logs}' http://{at}{whoami}

  Grace asks, and wants to act as somebody else
    curl -H \"Authorization: Bearer $GRACE\" -H 'es-security-runas-user: ada' \\
      -H 'Host: {logs}' http://{at}{whoami}

  What elastauth says of itself
    curl http://{at}/elastauth/health

  Ctrl-C ends it.
"
    )?;
    out.flush()?;
    Ok(())
}

/// Takes the tour over elastauth's real socket.
pub(super) async fn take(alone: &Alone, out: Out<'_>) -> Result<(), DemoError> {
    let now = Clock::System.now();
    let earlier = Timestamp(now.0.saturating_sub(10_000));
    let mut tour = Tour {
        alone,
        out,
        step: 0,
        token: alone.token("ada", earlier)?,
    };
    tour.begin("Ada brings a token, and the cluster has never heard of her")?;
    let first = tour.see(&alone.clusters.logs, &[], &["viewer"]).await?;
    if first.is_empty() {
        return tour.failed("elastauth did not write her".to_owned());
    }
    tour.begin("She asks again: elastauth asks the cluster nothing for it")?;
    let calls = tour.see(&alone.clusters.logs, &[], &["viewer"]).await?;
    tour.expect_none(&calls)?;
    tour.begin("The same token at the other cluster, an OpenSearch: she has other roles there")?;
    // OpenSearch itself gives everybody `own_index`.
    tour.see(&alone.clusters.search, &[], &["own_index", "readall"])
        .await?;
    tour.pretenders().await?;
    tour.begin(
        "Ada joins the editors and gets a new token: the very next request has the new role",
    )?;
    alone.people.set_groups("ada", &["analysts", "editors"]);
    tour.token = alone.token("ada", now)?;
    tour.see(&alone.clusters.logs, &[], &["editor", "viewer"])
        .await?;
    tour.healed().await?;
    writeln!(tour.out, "All six went as told.")?;
    tour.out.flush()?;
    Ok(())
}

struct Tour<'a> {
    alone: &'a Alone,
    out: Out<'a>,
    step: u8,
    /// Ada's.
    token: String,
}

/// What came back.
struct Received {
    status: u16,
    body: Value,
    calls: Vec<ClusterCall>,
    took: Duration,
}

impl Tour<'_> {
    async fn pretenders(&mut self) -> Result<(), DemoError> {
        self.begin("Somebody has no token and claims to be Grace; then Ada wants to act as Grace")?;
        let logs = &self.alone.clusters.logs;
        let claims = [("remote-user", "grace"), ("remote-groups", "admins")];
        let refused = self.ask(logs, None, &claims).await?;
        self.print(logs, &refused)?;
        self.expect_none(&refused.calls)?;
        if refused.status != 401 {
            return self.failed(format!("the claim got {}", refused.status));
        }
        let acts = [claims[0], ("es-security-runas-user", "grace")];
        self.see(logs, &acts, &["viewer"]).await?;
        Ok(())
    }

    async fn healed(&mut self) -> Result<(), DemoError> {
        self.begin("Somebody deletes Ada in the cluster, and her next request gets through")?;
        let logs = &self.alone.clusters.logs;
        if !logs.standin.remove_user("ada") {
            return self.failed("there was no Ada to delete".to_owned());
        }
        let calls = self.see(logs, &[], &["editor", "viewer"]).await?;
        if !calls.iter().any(|call| call.line.starts_with("PUT ")) {
            return self.failed("elastauth did not write her again".to_owned());
        }
        Ok(())
    }

    /// Shows a request of Ada that has to get through with these roles.
    async fn see(
        &mut self,
        cluster: &DemoCluster,
        more: &[(&'static str, &str)],
        roles: &[&str],
    ) -> Result<Vec<ClusterCall>, DemoError> {
        let token = self.token.clone();
        let received = self.ask(cluster, Some(&token), more).await?;
        self.print(cluster, &received)?;
        let (name, found) = whoami(&received.body);
        if (received.status, name, found.as_slice()) != (200, "ada", roles) {
            return self.failed(format!(
                "expected 200 ada {roles:?}, got {} {name} {found:?}",
                received.status
            ));
        }
        Ok(received.calls)
    }

    async fn ask(
        &self,
        cluster: &DemoCluster,
        token: Option<&str>,
        more: &[(&'static str, &str)],
    ) -> Result<Received, DemoError> {
        let mut request = request(self.alone.elastauth, cluster.whoami);
        let headers = request.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static(cluster.host));
        let bearer = token.map(|token| format!("Bearer {token}"));
        let bearer = bearer.iter().map(|bearer| ("authorization", &**bearer));
        for (name, value) in bearer.chain(more.iter().copied()) {
            if let Ok(value) = value.parse() {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        let (before, began) = (cluster.standin.count(), Instant::now());
        let exchange = async {
            let (head, body) = self.alone.client.request(request).await.ok()?.into_parts();
            let body = Limited::new(body, MAX_BODY).collect().await.ok()?;
            Some((head.status.as_u16(), body.to_bytes()))
        };
        let Ok(Some((status, body))) = timeout(DEADLINE, exchange).await else {
            return self.failed("no whole answer".to_owned());
        };
        Ok(Received {
            status,
            body: serde_json::from_slice(&body).unwrap_or_default(),
            calls: calls_since(cluster, before),
            took: began.elapsed(),
        })
    }

    fn print(&mut self, cluster: &DemoCluster, received: &Received) -> Result<(), DemoError> {
        for call in &received.calls {
            writeln!(
                self.out,
                "   elastauth  asks the cluster: {} (as {})",
                call.line, call.by
            )?;
        }
        let (name, roles) = whoami(&received.body);
        let says = if name.is_empty() {
            let message = received.body.get("message").and_then(Value::as_str);
            message.map_or(String::new(), |message| format!(": {message}"))
        } else {
            format!(": you are {name}, with the roles {}", listed(&roles))
        };
        let who = if received.status == 200 {
            cluster.name
        } else {
            "elastauth"
        };
        let ms = received.took.as_secs_f64() * 1_000.0;
        writeln!(
            self.out,
            "   {who:<10} {}{says} ({ms:.1} ms)\n",
            received.status
        )?;
        Ok(())
    }

    fn begin(&mut self, title: &str) -> Result<(), DemoError> {
        self.step += 1;
        writeln!(self.out, "{}. {title}", self.step)?;
        self.out.flush()?;
        Ok(())
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
}
