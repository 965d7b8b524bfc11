//! The gateway's listener: the page, its small API, and everything else as a visit to a cluster.

use super::{
    clusters::{DemoCluster, DemoClusters},
    gateway::{Gateway, MAX_BODY, Trip},
    listener::{Answered, Answers, serve},
    settings::EXPIRATION,
};
use crate::{
    respond::{self, json, whole},
    shutdown::Tasks,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};
use tokio::{net::TcpListener, sync::mpsc};
use tokio_util::sync::CancellationToken;

/// What the terminal shows: trips, and what somebody changed.
#[derive(Debug)]
pub(super) enum DemoEvent {
    Trip(Box<Trip>),
    Groups {
        login: String,
        groups: Vec<&'static str>,
    },
    Enabled {
        login: String,
        cluster: &'static str,
        enabled: bool,
    },
}

/// What all connections share.
pub(super) struct Site {
    pub(super) gateway: Gateway,
    /// Full when nobody reads it; then events are lost, never a visit.
    pub(super) events: mpsc::Sender<DemoEvent>,
}

const PAGE: &str = include_str!("page.html");
/// The page brings all it needs; nothing is fetched from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; \
                      connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

/// The gateway in front of a running elastauth, with its page.
pub(super) struct Stage {
    pub(super) site: Arc<Site>,
    pub(super) addr: SocketAddr,
    pub(super) events: mpsc::Receiver<DemoEvent>,
}

impl Stage {
    pub(super) async fn open(
        listen: Option<SocketAddr>,
        elastauth: SocketAddr,
        clusters: DemoClusters,
        tasks: &Tasks,
    ) -> io::Result<Self> {
        let listen = listen.unwrap_or_else(|| (Ipv4Addr::LOCALHOST, 0).into());
        let tcp = TcpListener::bind(listen).await?;
        let addr = tcp.local_addr()?;
        // As many as a terminal can fall behind.
        let (sender, events) = mpsc::channel(64);
        let site = Arc::new(Site {
            gateway: Gateway::new(elastauth, clusters),
            events: sender,
        });
        serve(&site, tcp, None, CancellationToken::new(), tasks);
        Ok(Self { site, addr, events })
    }
}

impl Answers for Site {
    /// One person with a few tabs.
    const MAX_CONNECTIONS: usize = 64;

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answered {
        let answer = self.answered(request).await;
        Ok(answer.map(|body| body.map_err(io::Error::other).boxed_unsync()))
    }
}

impl Site {
    async fn answered(&self, request: Request<Incoming>) -> respond::Response {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let query = head.uri.query().unwrap_or_default();
        let post = head.method == Method::POST;
        if post && path.starts_with("/demo/") && !same_origin(&head.headers) {
            let message = "another site may not press these buttons";
            return plain(StatusCode::FORBIDDEN, message);
        }
        match path.strip_prefix("/demo/api/") {
            Some("state") if head.method == Method::GET => json(StatusCode::OK, &self.state()),
            Some("ask") if post => {
                let Some(cluster) = self.cluster(query) else {
                    return plain(StatusCode::NOT_FOUND, "no cluster of that name\n");
                };
                let asked = self.asked(cluster, param(query, "who"), param(query, "claim"));
                json(StatusCode::OK, &asked.await)
            }
            Some(rest) if post => match self.changed(rest, query) {
                None => plain(
                    StatusCode::NOT_FOUND,
                    "no user, group or cluster of that name\n",
                ),
                Some(event) => {
                    self.report(event);
                    json(StatusCode::OK, &self.state())
                }
            },
            Some(_) => plain(StatusCode::NOT_FOUND, "no such call"),
            None if path == "/" => {
                let mut page = whole(StatusCode::OK, "text/html; charset=utf-8", PAGE);
                page.headers_mut().insert(
                    header::CONTENT_SECURITY_POLICY,
                    HeaderValue::from_static(POLICY),
                );
                page
            }
            None if path == "/favicon.ico" => respond::empty(StatusCode::NOT_FOUND),
            None => {
                let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
                    let message = "too much for a demonstration";
                    return plain(StatusCode::PAYLOAD_TOO_LARGE, message);
                };
                let who = signed_in(&head.headers);
                let visit = Request::from_parts(head, body.to_bytes());
                let (_, answer) = self.travel(who, visit).await;
                let mut response = respond::empty(answer.status());
                // The challenge stays here: it would open the browser's own password dialogue.
                if let Some(content_type) = answer.headers().get(header::CONTENT_TYPE) {
                    let headers = response.headers_mut();
                    headers.insert(header::CONTENT_TYPE, content_type.clone());
                }
                *response.body_mut() = answer.into_body().into();
                response
            }
        }
    }

    /// The page's way of asking: the same trip, shown step by step. A `claim` is what a browser
    /// would send that wants to cheat.
    async fn asked(
        &self,
        cluster: &DemoCluster,
        who: Option<String>,
        claim: Option<String>,
    ) -> Value {
        let mut visit = Request::default();
        *visit.uri_mut() = Uri::from_static(cluster.whoami);
        let headers = visit.headers_mut();
        headers.insert(header::HOST, HeaderValue::from_static(cluster.host));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        if let Some(claim) = claim.and_then(|claim| claim.parse().ok()) {
            headers.insert("remote-user", claim);
        }
        let (trip, _) = self.travel(who, visit).await;
        json!({ "trip": trip, "state": self.state() })
    }

    async fn travel(&self, who: Option<String>, visit: Request<Bytes>) -> (Value, Response<Bytes>) {
        let mut trip = self.gateway.trip(who, visit).await;
        let (shown, answer) = (json!(&trip), std::mem::take(&mut trip.answer));
        self.report(DemoEvent::Trip(Box::new(trip)));
        (shown, answer)
    }

    /// The cluster that `cluster=` names.
    fn cluster(&self, query: &str) -> Option<&DemoCluster> {
        let name = param(query, "cluster");
        self.gateway.clusters.named(name.as_deref())
    }

    /// `people/{login}?groups=a,b` and `cluster/{login}?enabled=false&cluster=search`.
    fn changed(&self, rest: &str, query: &str) -> Option<DemoEvent> {
        let (what, login) = rest.split_once('/')?;
        let people = &self.gateway.people;
        let login = login.to_owned();
        match what {
            "people" => {
                let list = param(query, "groups").unwrap_or_default();
                let groups: Vec<&str> = list.split(',').filter(|group| !group.is_empty()).collect();
                let groups = people.set_groups(&login, &groups)?;
                Some(DemoEvent::Groups { login, groups })
            }
            "cluster" => {
                let enabled = param(query, "enabled")?.parse().ok()?;
                // The service account is a user as well; without it the demonstration is over.
                people.get(&login)?;
                let cluster = self.cluster(query)?;
                let done = cluster.standin.set_enabled(&login, enabled);
                let cluster = cluster.name;
                done.then_some(DemoEvent::Enabled {
                    login,
                    cluster,
                    enabled,
                })
            }
            _ => None,
        }
    }

    fn state(&self) -> Value {
        let people = self.gateway.people.all();
        let clusters = self.gateway.clusters.both();
        let clusters = clusters.map(|cluster| cluster.shown(people.iter().map(|one| one.login)));
        json!({
            "people": people, "clusters": clusters, "expiration_s": EXPIRATION.as_secs(),
        })
    }

    fn report(&self, event: DemoEvent) {
        // Nobody listens, or not fast enough: the page goes on.
        drop(self.events.try_send(event));
    }
}

/// The cookie that the login page in front would have set; here it is simply the login.
fn signed_in(headers: &HeaderMap) -> Option<String> {
    let values = headers.get_all(header::COOKIE).iter();
    values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'))
        .find_map(|cookie| cookie.trim().strip_prefix("who="))
        .map(str::to_owned)
}

fn param(query: &str, name: &str) -> Option<String> {
    let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
    let (_, value) = pairs.find(|(key, _)| *key == name)?;
    let value = percent_decode_str(value).decode_utf8().ok()?;
    Some(value.into_owned())
}

/// A browser names the page that sends a POST; what is no browser names none.
fn same_origin(headers: &HeaderMap) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return true;
    };
    let host = headers.get(header::HOST).map(HeaderValue::as_bytes);
    origin
        .as_bytes()
        .strip_prefix(b"http://")
        .is_some_and(|origin| Some(origin) == host)
}

fn plain(status: StatusCode, text: &'static str) -> respond::Response {
    whole(status, "text/plain; charset=utf-8", text)
}
