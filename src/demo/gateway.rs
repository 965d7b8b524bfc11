//! A tiny gateway with forward auth: what Traefik, Caddy or nginx do in production, in as few lines
//! as show it.
//!
//! It strikes out what only a gateway may say, says who has signed in and what they ask for, asks
//! elastauth, and puts the login that comes back on the request. The host says for which cluster it
//! is. Each trip is written down step by step; the login itself
//! never is.

use super::{
    clusters::{DemoCluster, DemoClusters},
    people::{Directory, DirectoryUser},
    standin::By,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde::Serialize;
use serde_json::Value;
use std::{net::SocketAddr, time::Duration};
use tokio::{sync::Mutex, time::Instant};

/// The gateway's request path: who may enter, and with which login.
pub(super) struct Gateway {
    pub(super) people: Directory,
    pub(super) clusters: DemoClusters,
    elastauth: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    /// One trip at a time, so that the calls seen at the cluster during a trip are that trip's own.
    road: Mutex<()>,
}

/// What became of a visit.
#[derive(Debug, Serialize)]
pub(super) struct Trip {
    pub(super) who: Option<String>,
    pub(super) cluster: &'static str,
    pub(super) request: String,
    /// Headers that the client sent and only a gateway may send.
    pub(super) struck_out: Vec<String>,
    /// Identity headers of the question to elastauth.
    pub(super) identity: Vec<String>,
    /// elastauth's answer.
    pub(super) decision: Hop,
    /// What elastauth asked the cluster meanwhile: nothing, when it remembers.
    pub(super) cluster_calls: Vec<ClusterCall>,
    /// The cluster's answer to the visit itself; `None` where elastauth refused.
    pub(super) arrival: Option<Hop>,
    pub(super) status: u16,
    pub(super) total_ms: f64,
    /// What goes back to the browser.
    #[serde(skip)]
    pub(super) answer: Response<Bytes>,
}

/// One answer on the way.
#[derive(Debug, Serialize)]
pub(super) struct Hop {
    /// `None` where there was no answer.
    pub(super) status: Option<u16>,
    pub(super) body: Value,
    /// The body's own `message`, if it has one.
    pub(super) message: Option<String>,
    pub(super) ms: f64,
}

/// One call of elastauth to the cluster.
#[derive(Debug, Serialize)]
pub(super) struct ClusterCall {
    pub(super) line: String,
    pub(super) by: String,
    pub(super) ms: Option<f64>,
}

/// elastauth answers within 2 s by itself; the stand-in is quicker still.
const DEADLINE: Duration = Duration::from_secs(5);
/// For questions, answers and what a visitor sends.
pub(super) const MAX_BODY: usize = 64 * 1024;

impl Gateway {
    pub(super) fn new(elastauth: SocketAddr, clusters: DemoClusters) -> Self {
        Self {
            people: Directory::default(),
            clusters,
            elastauth,
            client: Client::builder(TokioExecutor::new()).build_http(),
            road: Mutex::default(),
        }
    }

    /// Takes one visit to its end: `who` has signed in at the login page in front.
    pub(super) async fn trip(&self, who: Option<String>, visit: Request<Bytes>) -> Trip {
        let _alone = self.road.lock().await;
        let began = Instant::now();
        let user = who.and_then(|who| self.people.get(&who));
        let (kept, struck_out) = without_identity(visit.headers());
        let asserted = identity_of(user.as_ref());
        let (method, target) = (visit.method(), target_of(visit.uri()));
        let cluster = self.clusters.asked_for(visit.headers());

        let before = cluster.standin.count();
        let host = visit.headers().get(header::HOST);
        let mut question = self.question(method, host, target, &asserted);
        if let Some(accept) = kept.get(header::ACCEPT) {
            let headers = question.headers_mut();
            headers.insert(header::ACCEPT, accept.clone());
        }
        let (decision, decided) = self.ask(question).await;
        let cluster_calls = calls_since(cluster, before);

        let request = format!("{method} {target}");
        let (arrival, answer) = if decision.status != Some(200) {
            (None, decided)
        } else if let Some(login) = login_of(decided.headers()) {
            let (arrival, answer) = self.arrive(cluster, visit, kept, login).await;
            (Some(arrival), answer)
        } else {
            // A permission without a login, or with two, is none.
            (None, failed(StatusCode::BAD_GATEWAY))
        };
        Trip {
            who: user.map(|user| user.login.to_owned()),
            cluster: cluster.name,
            request,
            struck_out,
            identity: asserted
                .iter()
                .map(|(name, value)| format!("{}: {value}", title(name)))
                .collect(),
            decision,
            cluster_calls,
            arrival,
            status: answer.status().as_u16(),
            total_ms: ms(began.elapsed()),
            answer,
        }
    }

    /// Asks elastauth alone about `logs`, as often as one likes: for the steady state of the tour.
    pub(super) async fn decide(&self, login: &str) -> Option<u16> {
        let asserted = identity_of(self.people.get(login).as_ref());
        let host = HeaderValue::from_static(self.clusters.logs.host);
        let question = self.question(&Method::GET, Some(&host), "/", &asserted);
        self.ask(question).await.0.status
    }

    fn question(
        &self,
        method: &Method,
        host: Option<&HeaderValue>,
        target: &str,
        asserted: &[(&'static str, String)],
    ) -> Request<Full<Bytes>> {
        let mut question = request(self.elastauth, "/elastauth/forward-auth");
        let headers = question.headers_mut();
        if let Some(host) = host {
            headers.insert("x-forwarded-host", host.clone());
        }
        let forwarded = [
            ("x-forwarded-method", method.as_str()),
            ("x-forwarded-uri", target),
            ("x-forwarded-proto", "http"),
        ];
        let asserted = asserted.iter().map(|(name, value)| (*name, &**value));
        for (name, value) in asserted.chain(forwarded) {
            if let Ok(value) = value.parse() {
                headers.insert(name, value);
            }
        }
        question
    }

    async fn arrive(
        &self,
        cluster: &DemoCluster,
        visit: Request<Bytes>,
        kept: HeaderMap,
        login: HeaderValue,
    ) -> (Hop, Response<Bytes>) {
        let mut request = request(cluster.standin.addr(), target_of(visit.uri()));
        *request.method_mut() = visit.method().clone();
        *request.body_mut() = visit.into_body().into();
        let headers = request.headers_mut();
        *headers = kept;
        headers.insert(header::AUTHORIZATION, login);
        headers.insert(header::VIA, HeaderValue::from_static("1.1 demo-gateway"));
        self.ask(request).await
    }

    pub(super) async fn ask(&self, request: Request<Full<Bytes>>) -> (Hop, Response<Bytes>) {
        let began = Instant::now();
        let exchange = async {
            let (head, body) = self.client.request(request).await.ok()?.into_parts();
            let body = Limited::new(body, MAX_BODY).collect().await.ok()?;
            Some(Response::from_parts(head, body.to_bytes()))
        };
        let (status, answer) = match tokio::time::timeout(DEADLINE, exchange).await {
            Ok(Some(answer)) => (Some(answer.status().as_u16()), answer),
            Ok(None) => (None, failed(StatusCode::BAD_GATEWAY)),
            Err(_late) => (None, failed(StatusCode::GATEWAY_TIMEOUT)),
        };
        let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
        let hop = Hop {
            status,
            message: body
                .get("message")
                .and_then(Value::as_str)
                .map(str::to_owned),
            body,
            ms: ms(began.elapsed()),
        };
        (hop, answer)
    }
}

/// What elastauth asked the cluster since call `number`; what the gateway itself brought there
/// carries `Via` and is left out.
pub(super) fn calls_since(cluster: &DemoCluster, number: u64) -> Vec<ClusterCall> {
    let mut calls = cluster.standin.calls_since(number);
    calls.retain(|call| !call.through_gateway);
    let shown = calls.into_iter().map(|call| ClusterCall {
        line: call.line(),
        by: match call.by {
            By::ServiceAccount => "the service account".to_owned(),
            By::User(name) => name,
            By::Nobody => "a login that the cluster refuses".to_owned(),
        },
        ms: call.took.map(ms),
    });
    shown.collect()
}

fn failed(status: StatusCode) -> Response<Bytes> {
    let mut answer = Response::default();
    *answer.status_mut() = status;
    answer
}

fn target_of(uri: &Uri) -> &str {
    uri.path_and_query().map_or("/", |whole| whole.as_str())
}

/// A `GET` that still lacks its headers.
pub(super) fn request(addr: SocketAddr, target: &str) -> Request<Full<Bytes>> {
    let uri = Uri::builder()
        .scheme("http")
        .authority(addr.to_string())
        .path_and_query(target)
        .build();
    let mut request = Request::default();
    *request.uri_mut() = uri.unwrap_or_default();
    request
}

/// The client's headers without those that only a gateway may send, and the names of those it
/// tried.
fn without_identity(headers: &HeaderMap) -> (HeaderMap, Vec<String>) {
    let (mut kept, mut struck_out) = (HeaderMap::new(), Vec::new());
    for (name, value) in headers {
        if is_identity(name.as_str()) {
            struck_out.push(title(name.as_str()));
        } else if !ENDS_HERE.contains(&name.as_str()) {
            kept.append(name, value.clone());
        }
    }
    struck_out.dedup();
    (kept, struck_out)
}

fn is_identity(name: &str) -> bool {
    let prefixes = ["remote-", "remote_", "x-forwarded-"];
    let names = ["authorization", "es-security-runas-user", "x-elastauth-key"];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || names.contains(&name)
}

/// Headers of this connection alone, and what the new one sets itself.
const ENDS_HERE: [&str; 12] = [
    "connection",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
    "host",
    "content-length",
    "cookie",
    "via",
];

/// All four, present and empty where there is nothing to say: a missing header must not mean
/// anything.
fn identity_of(user: Option<&DirectoryUser>) -> Vec<(&'static str, String)> {
    let headers = user.map(|user| {
        [
            ("remote-user", user.login.to_owned()),
            ("remote-groups", user.groups.join(",")),
            ("remote-email", user.email.to_owned()),
            ("remote-name", user.name.to_owned()),
        ]
    });
    headers.into_iter().flatten().collect()
}

/// The one login of an answer that permits.
fn login_of(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let mut value = value.clone();
    value.set_sensitive(true);
    (!value.is_empty()).then_some(value)
}

/// `remote-user` as people write it: `Remote-User`.
fn title(name: &str) -> String {
    let mut begins = true;
    let letters = name.chars().map(|letter| {
        let capital = std::mem::replace(&mut begins, letter == '-');
        if capital {
            letter.to_ascii_uppercase()
        } else {
            letter
        }
    });
    letters.collect()
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}
