//! The gateway's listener: the page, its small API, and everything else as a visit to the cluster.

use super::{
    gateway::{Gateway, MAX_BODY, Trip, Visit},
    settings::{EXPIRATION, MAPPINGS},
};
use crate::shutdown::Tasks;
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::{convert::Infallible, sync::Arc, time::Duration};
use tokio::{
    net::TcpListener,
    sync::{Semaphore, mpsc},
};

/// What the terminal hears of: trips, and what somebody changed.
#[derive(Debug)]
pub(super) enum News {
    Trip(Box<Trip>),
    Groups {
        login: String,
        groups: Vec<&'static str>,
    },
    Enabled {
        login: String,
        enabled: bool,
    },
}

/// What all connections share.
#[derive(Debug)]
pub(super) struct Site {
    pub(super) gateway: Gateway,
    /// Full when nobody reads it; then news are lost, never a visit.
    pub(super) news: mpsc::Sender<News>,
}

const PAGE: &str = include_str!("page.html");
/// The page brings all it needs; nothing is fetched from elsewhere.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
/// One person with a few tabs.
const MAX_CONNECTIONS: usize = 64;

pub(super) async fn accept(listener: TcpListener, site: Arc<Site>, tasks: Tasks) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = tasks.ending() => return,
        };
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let (site, ending) = (Arc::clone(&site), tasks.clone());
        tasks.spawn(async move {
            let _place = place;
            let service = service_fn(|request| Arc::clone(&site).answer(request));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(30))
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                // A browser that went away is no news.
                served = served => drop(served),
                () = ending.ending() => {}
            }
        });
    }
}

impl Site {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let query = head.uri.query().unwrap_or_default();
        let post = head.method == Method::POST;
        if post && path.starts_with("/demo/") && !same_origin(&head.headers) {
            return Ok(plain(
                StatusCode::FORBIDDEN,
                "another site may not press these buttons",
            ));
        }
        Ok(match path.strip_prefix("/demo/api/") {
            Some("state") if head.method == Method::GET => data(&self.state()),
            Some("ask") if post => {
                data(&self.asked(param(query, "who"), param(query, "claim")).await)
            }
            Some(rest) if post => self.changed(rest, query),
            Some(_) => plain(StatusCode::NOT_FOUND, "no such call"),
            None if path == "/" => page(),
            None if path == "/favicon.ico" => plain(StatusCode::NOT_FOUND, ""),
            None => {
                let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
                    return Ok(plain(
                        StatusCode::PAYLOAD_TOO_LARGE,
                        "too much for a demonstration",
                    ));
                };
                let target = head
                    .uri
                    .path_and_query()
                    .map_or("/", |whole| whole.as_str())
                    .to_owned();
                let who = signed_in(&head.headers);
                let trip = self
                    .travel(Visit {
                        who,
                        method: head.method,
                        target,
                        headers: head.headers,
                        body: body.to_bytes(),
                    })
                    .await;
                let mut response = plain(trip.0, "");
                *response.body_mut() = Full::from(trip.2);
                if let Some(content_type) = trip.1 {
                    response
                        .headers_mut()
                        .insert(header::CONTENT_TYPE, content_type);
                }
                response
            }
        })
    }

    async fn travel(&self, visit: Visit) -> (StatusCode, Option<HeaderValue>, Bytes) {
        let mut trip = self.gateway.trip(visit).await;
        let answer = std::mem::take(&mut trip.answer);
        self.tell(News::Trip(Box::new(trip)));
        (answer.status, answer.content_type, answer.body)
    }

    /// The page's way of asking: the same trip, told step by step. A `claim` is what a browser
    /// would send that wants to cheat.
    async fn asked(&self, who: Option<String>, claim: Option<String>) -> Value {
        let target = "/_security/_authenticate".to_owned();
        let mut headers =
            HeaderMap::from_iter([(header::ACCEPT, HeaderValue::from_static("application/json"))]);
        if let Some(claim) = claim.and_then(|claim| claim.parse().ok()) {
            headers.insert("remote-user", claim);
        }
        let trip = self
            .gateway
            .trip(Visit {
                who,
                target,
                headers,
                ..Visit::default()
            })
            .await;
        let told = json!({ "trip": &trip, "state": self.state() });
        self.tell(News::Trip(Box::new(trip)));
        told
    }

    /// `people/{login}?groups=a,b` and `cluster/{login}?enabled=false`.
    fn changed(&self, rest: &str, query: &str) -> Response<Full<Bytes>> {
        let done = match rest.split_once('/') {
            Some(("people", login)) => {
                let list = param(query, "groups").unwrap_or_default();
                let groups: Vec<&str> = list.split(',').filter(|group| !group.is_empty()).collect();
                self.gateway
                    .people
                    .set_groups(login, &groups)
                    .map(|person| News::Groups {
                        login: login.to_owned(),
                        groups: person.groups,
                    })
            }
            Some(("cluster", login)) => param(query, "enabled")
                .and_then(|text| text.parse().ok())
                .and_then(|enabled| {
                    // The service account is a user as well; without it the demonstration is over.
                    let person = self.gateway.people.get(login)?;
                    self.gateway
                        .standin
                        .set_enabled(person.login, enabled)
                        .then(|| News::Enabled {
                            login: login.to_owned(),
                            enabled,
                        })
                }),
            _ => None,
        };
        match done {
            None => plain(
                StatusCode::NOT_FOUND,
                "nobody of that name, or no such group\n",
            ),
            Some(news) => {
                self.tell(news);
                data(&self.state())
            }
        }
    }

    fn state(&self) -> Value {
        let people = self.gateway.people.all();
        let stored: serde_json::Map<String, Value> = people
            .iter()
            .filter_map(|person| self.gateway.standin.user(person.login))
            .map(|user| {
                let shown = json!({
                    "roles": user.roles, "full_name": user.full_name, "email": user.email, "metadata": user.metadata,
                    "enabled": user.enabled,
                });
                (user.username, shown)
            })
            .collect();
        let groups: Vec<Value> = MAPPINGS
            .iter()
            .map(|(name, roles)| json!({ "name": name, "roles": roles }))
            .collect();
        json!({ "people": people, "groups": groups, "users": stored, "expiration_s": EXPIRATION.as_secs() })
    }

    fn tell(&self, news: News) {
        // Nobody listens, or not fast enough: the page goes on.
        drop(self.news.try_send(news));
    }
}

/// The cookie that the login page in front would have set; here it is simply the login.
fn signed_in(headers: &HeaderMap) -> Option<String> {
    let cookies = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    cookies
        .filter_map(|cookie| cookie.trim().strip_prefix("who="))
        .map(str::to_owned)
        .next()
}

fn param(query: &str, name: &str) -> Option<String> {
    let value = query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)?
        .1;
    percent_decode_str(value)
        .decode_utf8()
        .ok()
        .map(String::from)
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

fn page() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(PAGE));
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(
        header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static(POLICY),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn data(value: &Value) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(value.to_string()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn plain(status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}
