//! What Authelia answers to a forward-auth question, by session: identity headers as it sends them,
//! 401, or a bypassed path.

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

/// Paths below are let through without a login, as a `bypass` rule does.
pub(crate) const BYPASSED: &str = "/public";

#[derive(Debug)]
pub(crate) struct Authelia {
    pub(crate) port: u16,
    sessions: Sessions,
    task: AbortHandle,
}

type Sessions = Arc<Mutex<HashMap<String, Person>>>;

#[derive(Debug, Clone)]
struct Person {
    name: String,
    groups: String,
}

impl Authelia {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let sessions = Sessions::default();
        let known = Arc::clone(&sessions);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let known = Arc::clone(&known);
                let service = service_fn(move |request| {
                    let answer = answer(&known, &request);
                    async move { Ok::<_, Infallible>(answer) }
                });
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self {
            port,
            sessions,
            task: task.abort_handle(),
        }
    }

    /// Signs somebody in, or changes the groups of who is. Returns the cookie.
    pub(crate) fn sign_in(&self, name: &str, groups: &str) -> String {
        let cookie = format!("authelia_session={name}");
        let person = Person {
            name: name.to_owned(),
            groups: groups.to_owned(),
        };
        self.sessions
            .lock()
            .expect("the sessions")
            .insert(cookie.clone(), person);
        cookie
    }
}

impl Drop for Authelia {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(sessions: &Sessions, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let header = |name: &str| {
        request
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let person = sessions
        .lock()
        .expect("the sessions")
        .get(&header("cookie"))
        .cloned();
    let mut response = Response::new(Full::new(Bytes::new()));
    if header("x-forwarded-uri").starts_with(BYPASSED) {
        return response;
    }
    let Some(person) = person else {
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        response
            .headers_mut()
            .insert("x-answered-by", http::HeaderValue::from_static("authelia"));
        return response;
    };
    // All four, empty where unknown: that is how Authelia does it.
    for (name, value) in [
        ("remote-user", &person.name),
        ("remote-groups", &person.groups),
        ("remote-name", &person.name),
        ("remote-email", &String::new()),
    ] {
        response
            .headers_mut()
            .insert(name, value.parse().expect("a header value"));
    }
    response
}
