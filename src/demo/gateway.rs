//! A tiny gateway with forward auth: what Traefik, Caddy or nginx do in production, in as few lines
//! as show it.
//!
//! It strikes out what only a gateway may say, says who has signed in, asks elastauth, and puts the
//! login that comes back on the request. Each trip is written down step by step; the login itself
//! never is.

use super::{
    people::{Directory, Person},
    standin::StandIn,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri, header};
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
#[derive(Debug)]
pub(super) struct Gateway {
    pub(super) people: Directory,
    pub(super) standin: StandIn,
    elastauth: SocketAddr,
    client: Client<HttpConnector, Full<Bytes>>,
    /// One trip at a time, so that the calls seen at the cluster during a trip are that trip's own.
    road: Mutex<()>,
}

/// A request as the browser sent it.
#[derive(Debug, Default)]
pub(super) struct Visit {
    /// Whom the login page in front has signed in.
    pub(super) who: Option<String>,
    pub(super) method: Method,
    pub(super) target: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// What became of a visit.
#[derive(Debug, Serialize)]
pub(super) struct Trip {
    pub(super) who: Option<String>,
    pub(super) request: String,
    /// Headers that the client sent and only a gateway may send.
    pub(super) struck_out: Vec<String>,
    /// Identity headers of the question to elastauth.
    pub(super) identity: Vec<String>,
    pub(super) decision: Decision,
    /// What elastauth asked the cluster meanwhile: nothing, when it remembers.
    pub(super) cluster_calls: Vec<ClusterCall>,
    /// The visit itself; `None` where elastauth refused.
    pub(super) arrival: Option<Arrival>,
    pub(super) status: u16,
    pub(super) total_ms: f64,
    #[serde(skip)]
    pub(super) answer: Answer,
}

/// elastauth's word.
#[derive(Debug, Serialize)]
pub(super) struct Decision {
    /// `None` where elastauth could not be asked.
    pub(super) status: Option<u16>,
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

/// The cluster's answer to the visit.
#[derive(Debug, Serialize)]
pub(super) struct Arrival {
    pub(super) status: Option<u16>,
    pub(super) body: Value,
    pub(super) ms: f64,
}

/// What goes back to the browser.
#[derive(Debug, Default)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) content_type: Option<HeaderValue>,
    pub(super) body: Bytes,
}

/// elastauth answers within 2 s by itself; the stand-in is quicker still.
const DEADLINE: Duration = Duration::from_secs(5);
/// For questions, answers and what a visitor sends.
pub(super) const MAX_BODY: usize = 64 * 1024;

impl Gateway {
    pub(super) fn new(elastauth: SocketAddr, standin: StandIn) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self {
            people: Directory::default(),
            standin,
            elastauth,
            client,
            road: Mutex::new(()),
        }
    }

    /// Takes one visit to its end.
    pub(super) async fn trip(&self, visit: Visit) -> Trip {
        let _alone = self.road.lock().await;
        let began = Instant::now();
        let person = visit
            .who
            .as_deref()
            .and_then(|login| self.people.get(login));
        let (kept, struck_out) = without_identity(&visit.headers);
        let asserted = identity_of(person.as_ref());

        let before = self.standin.count();
        let asked = Instant::now();
        let question = self.question(&visit, &asserted, &kept);
        let decided = self.ask(question).await;
        let mut decision = Decision {
            status: None,
            message: None,
            ms: ms(asked.elapsed()),
        };
        let cluster_calls = self.calls_since(before);

        let mut arrival = None;
        let answer = match decided {
            Err(failed) => failed,
            Ok((head, body)) => {
                decision.status = Some(head.status.as_u16());
                decision.message = message_of(&body);
                match (head.status, login_of(&head.headers)) {
                    (StatusCode::OK, Some(login)) => {
                        let (answer, seen) = self.arrive(&visit, kept, login).await;
                        arrival = Some(seen);
                        answer
                    }
                    // A permission without a login, or with two, is none.
                    (StatusCode::OK, None) => Answer {
                        status: StatusCode::BAD_GATEWAY,
                        ..Answer::default()
                    },
                    (status, _) => Answer {
                        status,
                        content_type: head.headers.get(header::CONTENT_TYPE).cloned(),
                        body,
                    },
                }
            }
        };
        Trip {
            who: person.map(|person| person.login.to_owned()),
            request: format!("{} {}", visit.method, visit.target),
            struck_out,
            identity: asserted
                .iter()
                .map(|(name, value)| format!("{}: {}", title(name), text(value)))
                .collect(),
            decision,
            cluster_calls,
            arrival,
            status: answer.status.as_u16(),
            total_ms: ms(began.elapsed()),
            answer,
        }
    }

    /// Asks elastauth alone, as often as one likes: for the steady state of the tour.
    pub(super) async fn decide(&self, login: &str) -> Option<StatusCode> {
        let asserted = identity_of(self.people.get(login).as_ref());
        let visit = Visit {
            target: "/".to_owned(),
            ..Visit::default()
        };
        self.ask(self.question(&visit, &asserted, &HeaderMap::new()))
            .await
            .ok()
            .map(|(head, _)| head.status)
    }

    /// What elastauth asked the cluster since call `number`; what the gateway itself brought there
    /// carries `Via` and is left out.
    pub(super) fn calls_since(&self, number: u64) -> Vec<ClusterCall> {
        let calls = self
            .standin
            .calls_since(number)
            .into_iter()
            .filter(|call| !call.through_gateway);
        calls
            .map(|call| ClusterCall {
                line: call.line(),
                by: match &call.by {
                    super::standin::By::ServiceAccount => "the service account".to_owned(),
                    super::standin::By::User(name) => name.clone(),
                    super::standin::By::Nobody => "a login that the cluster refuses".to_owned(),
                },
                ms: call.took.map(ms),
            })
            .collect()
    }

    fn question(
        &self,
        visit: &Visit,
        asserted: &[(&'static str, HeaderValue)],
        kept: &HeaderMap,
    ) -> Request<Full<Bytes>> {
        let mut question = Request::new(Full::default());
        *question.uri_mut() = local(self.elastauth, "/elastauth/forward-auth");
        let headers = question.headers_mut();
        for (name, value) in asserted {
            headers.insert(*name, value.clone());
        }
        if let Some(accept) = kept.get(header::ACCEPT) {
            headers.insert(header::ACCEPT, accept.clone());
        }
        for (name, value) in [
            ("x-forwarded-method", visit.method.as_str()),
            ("x-forwarded-uri", &visit.target),
            ("x-forwarded-proto", "http"),
        ] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        question
    }

    async fn arrive(
        &self,
        visit: &Visit,
        kept: HeaderMap,
        login: HeaderValue,
    ) -> (Answer, Arrival) {
        let began = Instant::now();
        let mut request = Request::new(Full::from(visit.body.clone()));
        *request.method_mut() = visit.method.clone();
        *request.uri_mut() = local(self.standin.addr(), &visit.target);
        *request.headers_mut() = kept;
        request.headers_mut().insert(header::AUTHORIZATION, login);
        request
            .headers_mut()
            .insert(header::VIA, HeaderValue::from_static("1.1 demo-gateway"));
        match self.ask(request).await {
            Err(failed) => (
                failed,
                Arrival {
                    status: None,
                    body: Value::Null,
                    ms: ms(began.elapsed()),
                },
            ),
            Ok((head, body)) => {
                let seen = Arrival {
                    status: Some(head.status.as_u16()),
                    body: serde_json::from_slice(&body).unwrap_or(Value::Null),
                    ms: ms(began.elapsed()),
                };
                // The challenge stays here: it would open the browser's own password dialogue.
                let content_type = head.headers.get(header::CONTENT_TYPE).cloned();
                (
                    Answer {
                        status: head.status,
                        content_type,
                        body,
                    },
                    seen,
                )
            }
        }
    }

    async fn ask(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<(http::response::Parts, Bytes), Answer> {
        let failed = |status| Answer {
            status,
            ..Answer::default()
        };
        let exchange = async {
            let (head, body) = self.client.request(request).await.ok()?.into_parts();
            let body = Limited::new(body, MAX_BODY)
                .collect()
                .await
                .ok()?
                .to_bytes();
            Some((head, body))
        };
        let heard = tokio::time::timeout(DEADLINE, exchange)
            .await
            .map_err(|_| failed(StatusCode::GATEWAY_TIMEOUT))?;
        heard.ok_or_else(|| failed(StatusCode::BAD_GATEWAY))
    }
}

/// The client's headers without those that only a gateway may send, and the names of those it
/// tried.
fn without_identity(headers: &HeaderMap) -> (HeaderMap, Vec<String>) {
    let (mut kept, mut struck_out) = (HeaderMap::new(), Vec::new());
    for (name, value) in headers {
        if is_identity(name) {
            struck_out.push(title(name.as_str()));
        } else if !ends_here(name) {
            kept.append(name, value.clone());
        }
    }
    struck_out.dedup();
    (kept, struck_out)
}

fn is_identity(name: &HeaderName) -> bool {
    let name = name.as_str();
    name.starts_with("remote-")
        || name.starts_with("remote_")
        || name.starts_with("x-forwarded-")
        || matches!(
            name,
            "authorization" | "es-security-runas-user" | "x-elastauth-key"
        )
}

/// Headers of this connection alone, and what the new one sets itself.
fn ends_here(name: &HeaderName) -> bool {
    let hop = [
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "expect",
    ];
    hop.contains(&name.as_str())
        || matches!(name.as_str(), "host" | "content-length" | "cookie" | "via")
}

/// All four, present and empty where there is nothing to say: a missing header must not mean
/// anything.
fn identity_of(person: Option<&Person>) -> Vec<(&'static str, HeaderValue)> {
    let Some(person) = person else {
        return Vec::new();
    };
    let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(""));
    vec![
        ("remote-user", value(person.login)),
        ("remote-groups", value(&person.groups.join(","))),
        ("remote-email", value(person.email)),
        ("remote-name", value(person.name)),
    ]
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

fn message_of(body: &[u8]) -> Option<String> {
    let body: Value = serde_json::from_slice(body).ok()?;
    body.get("message")?.as_str().map(str::to_owned)
}

fn local(addr: SocketAddr, target: &str) -> Uri {
    Uri::builder()
        .scheme("http")
        .authority(addr.to_string())
        .path_and_query(target)
        .build()
        .unwrap_or_default()
}

/// `remote-user` as people write it: `Remote-User`.
fn title(name: &str) -> String {
    let words = name.split('-').map(|word| {
        let mut letters = word.chars();
        letters.next().map_or_else(String::new, |first| {
            format!("{}{}", first.to_ascii_uppercase(), letters.as_str())
        })
    });
    words.collect::<Vec<_>>().join("-")
}

fn text(value: &HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

fn ms(time: Duration) -> f64 {
    (time.as_secs_f64() * 100_000.0).round() / 100.0
}
