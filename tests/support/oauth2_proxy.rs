//! A stand-in for oauth2-proxy that does what oauth2-proxy 7.15.6 was seen to do with the file of
//! docs/gateways/oauth2-proxy: `/oauth2/auth` answers 202 to everybody, and names the user of a
//! session; `/oauth2/start` redirects to the identity provider.

use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, service::service_fn};
use hyper_util::rt::TokioIo;
use std::{
    collections::HashMap,
    convert::Infallible,
    net::Ipv4Addr,
    sync::{Arc, Mutex},
};
use tokio::{net::TcpListener, task::AbortHandle};

/// Name and groups of a session, by the whole `Cookie`.
type Sessions = HashMap<String, (String, String)>;

#[derive(Debug)]
pub(crate) struct OAuth2Proxy {
    pub(crate) port: u16,
    sessions: Arc<Mutex<Sessions>>,
    task: AbortHandle,
}

impl OAuth2Proxy {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let sessions = Arc::<Mutex<Sessions>>::default();
        let shared = Arc::clone(&sessions);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let sessions = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let answer = answer(&sessions.lock().expect("the sessions"), &request);
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

    /// Signs somebody in, and returns the cookie.
    pub(crate) fn sign_in(&self, name: &str, groups: &[&str]) -> String {
        let cookie = format!("_oauth2_proxy={name}");
        let mut sessions = self.sessions.lock().expect("the sessions");
        sessions.insert(cookie.clone(), (name.to_owned(), groups.join(",")));
        cookie
    }
}

impl Drop for OAuth2Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn answer(sessions: &Sessions, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    let put = |response: &mut Response<_>, name: &'static str, value: &str| {
        let value = HeaderValue::from_str(value).expect("a header value");
        response.headers_mut().insert(name, value);
    };
    put(&mut response, "x-answered-by", "oauth2-proxy");
    match request.uri().path() {
        "/oauth2/auth" => {
            *response.status_mut() = StatusCode::ACCEPTED;
            let cookie = request.headers().get(header::COOKIE);
            let cookie = cookie
                .and_then(|cookie| cookie.to_str().ok())
                .unwrap_or_default();
            match sessions.get(cookie) {
                Some((name, groups)) => {
                    put(&mut response, "x-auth-request-user", "4f1c-subject");
                    put(&mut response, "x-auth-request-preferred-username", name);
                    put(&mut response, "x-auth-request-email", "alice@example.org");
                    // Absent where there are none.
                    if !groups.is_empty() {
                        put(&mut response, "x-auth-request-groups", groups);
                    }
                }
                // A cookie that is none is deleted.
                None if cookie.contains("_oauth2_proxy=") => {
                    put(
                        &mut response,
                        "set-cookie",
                        "_oauth2_proxy=; Path=/; Max-Age=0",
                    );
                }
                None => {}
            }
        }
        "/oauth2/start" => {
            *response.status_mut() = StatusCode::FOUND;
            put(
                &mut response,
                "location",
                "https://sso.example.org/authorize?state=x",
            );
        }
        _ => *response.status_mut() = StatusCode::NOT_FOUND,
    }
    response
}
