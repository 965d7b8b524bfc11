//! A stand-in for Authelia that does what a real Authelia 4.39 was seen to do for a forward-auth
//! request: it takes https only, hosts of its domain only and 4 KB of headers only, sends browsers
//! to the sign-in page, and looks at `Authorization` before the session.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::{AbortHandle, JoinSet};

/// Paths below are let through without a login, as a `bypass` rule does.
pub(crate) const BYPASSED: &str = "/public";
/// Paths below are for nobody, as a `deny` rule does.
pub(crate) const DENIED: &str = "/denied";
/// The page for those who are not signed in.
pub(crate) const PORTAL: &str = "https://auth.example.org/";

const DOMAIN: &str = "example.org";
/// `server.buffers.read`, if it is not set.
const READS: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Authelia {
    pub(crate) port: u16,
    known: Arc<Mutex<Known>>,
    task: AbortHandle,
}

#[derive(Debug, Default)]
struct Known {
    /// Nobody is answered any more. A task that is told to end may still answer once.
    has_left: bool,
    /// By the whole `Cookie`.
    sessions: HashMap<String, Person>,
    /// By the whole `Authorization`.
    passwords: HashMap<String, Person>,
}

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
        let known = Arc::<Mutex<Known>>::default();
        let shared = Arc::clone(&known);
        let task = tokio::spawn(async move {
            // They end with the listener.
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let known = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let known = known.lock().expect("the sessions");
                    let answer = (!known.has_left).then(|| answer(&known, &request));
                    async move { answer.ok_or("Authelia has left") }
                });
                connections.spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self {
            port,
            known,
            task: task.abort_handle(),
        }
    }

    /// Signs somebody in, or changes the groups of who is. Returns the cookie.
    pub(crate) fn sign_in(&self, name: &str, groups: &str) -> String {
        let cookie = format!("authelia_session={name}");
        let person = Person::new(name, groups);
        let mut known = self.known.lock().expect("the sessions");
        known.sessions.insert(cookie.clone(), person);
        cookie
    }

    /// Takes no connections any more, and closes those that it has.
    pub(crate) fn leave(&self) {
        self.known.lock().expect("the sessions").has_left = true;
        self.task.abort();
    }

    /// A user who may sign in with this `Authorization`.
    pub(crate) fn has_user(&self, name: &str, groups: &str, authorization: &str) {
        let mut known = self.known.lock().expect("the sessions");
        let person = Person::new(name, groups);
        known.passwords.insert(authorization.to_owned(), person);
    }
}

impl Drop for Authelia {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Person {
    fn new(name: &str, groups: &str) -> Self {
        Self {
            name: name.to_owned(),
            groups: groups.to_owned(),
        }
    }
}

fn answer(known: &Known, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let headers = request.headers();
    let head: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if head + request.uri().to_string().len() > READS {
        return text(StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    }
    let Some(asked) = Asked::of(request) else {
        return text(StatusCode::BAD_REQUEST);
    };
    if asked.endpoint == Endpoint::Portal {
        let mut page = Response::new(Full::new(Bytes::from("<html>sign in</html>")));
        let answered_by = HeaderValue::from_static("authelia");
        page.headers_mut().insert("x-answered-by", answered_by);
        return page;
    }
    let path = asked.path.as_str();
    let authorization = value(headers, "authorization");
    let scheme = authorization.split(' ').next().unwrap_or_default();
    let person = match scheme.to_ascii_lowercase().as_str() {
        // Passed over.
        "" | "bearer" => known.sessions.get(value(headers, "cookie")),
        "basic" => match known.passwords.get(authorization) {
            None => return text(StatusCode::UNAUTHORIZED),
            person => person,
        },
        _ => return text(StatusCode::UNAUTHORIZED),
    };
    if path.starts_with(DENIED) {
        return match person {
            Some(_) => text(StatusCode::FORBIDDEN),
            None => to_the_portal(headers, &asked),
        };
    }
    match person {
        Some(person) => granted(person),
        None if path.starts_with(BYPASSED) => Response::new(Full::default()),
        None => to_the_portal(headers, &asked),
    }
}

/// What a request is about.
struct Asked {
    endpoint: Endpoint,
    method: String,
    host: String,
    path: String,
}

/// Each reads what the request is about from elsewhere.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Endpoint {
    /// Traefik, Caddy, HAProxy: `X-Forwarded-*`.
    ForwardAuth,
    /// nginx: `X-Original-*`. It knows no redirects, so this is always 401.
    AuthRequest,
    /// Envoy: the request itself, behind a prefix. The query is lost.
    ExtAuthz,
    /// The sign-in page and its API.
    Portal,
}

impl Asked {
    /// `None` where Authelia answers 400.
    fn of(request: &Request<Incoming>) -> Option<Self> {
        let headers = request.headers();
        let given = |name: &str| value(headers, name).to_owned();
        let endpoint = match request.uri().path() {
            "/api/authz/forward-auth" => Endpoint::ForwardAuth,
            "/api/authz/auth-request" => Endpoint::AuthRequest,
            path if path.starts_with("/api/authz/ext-authz/") => Endpoint::ExtAuthz,
            _ => Endpoint::Portal,
        };
        let (method, proto, host, path) = match endpoint {
            Endpoint::ForwardAuth => (
                given("x-forwarded-method"),
                given("x-forwarded-proto"),
                given("x-forwarded-host"),
                given("x-forwarded-uri"),
            ),
            Endpoint::AuthRequest => {
                let url: http::Uri = given("x-original-url").parse().ok()?;
                (
                    given("x-original-method"),
                    url.scheme_str()?.to_owned(),
                    url.host()?.to_owned(),
                    url.path_and_query()?.to_string(),
                )
            }
            Endpoint::ExtAuthz => (
                request.method().to_string(),
                given("x-forwarded-proto"),
                given("host"),
                // The path of the request comes behind a slash of its own: without that one, host
                // and path run together.
                request.uri().path()["/api/authz/ext-authz/".len()..]
                    .strip_prefix('/')
                    .map(|path| format!("/{path}"))?,
            ),
            Endpoint::Portal => (
                request.method().to_string(),
                given("x-forwarded-proto"),
                given("x-forwarded-host"),
                request.uri().path().to_owned(),
            ),
        };
        let is_ours = host == DOMAIN || host.ends_with(&format!(".{DOMAIN}"));
        let is_taken = proto == "https" && is_ours && !method.is_empty() && !method.contains('-');
        is_taken.then_some(Self {
            endpoint,
            method,
            host,
            path,
        })
    }
}

/// All four headers, empty where unknown, and the groups as they are.
fn granted(person: &Person) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    for (name, value) in [
        ("remote-user", &person.name),
        ("remote-groups", &person.groups),
        ("remote-name", &person.name),
        ("remote-email", &String::new()),
    ] {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header value");
        response.headers_mut().insert(name, value);
    }
    response
}

/// A redirect for those who take pages, or anything; 401 for all others.
fn to_the_portal(headers: &HeaderMap, asked: &Asked) -> Response<Full<Bytes>> {
    let Asked {
        endpoint,
        method,
        host,
        path,
    } = asked;
    let location = format!("{PORTAL}?rd=https://{host}{path}&rm={method}");
    let location = HeaderValue::from_str(&location).expect("an address");
    if *endpoint == Endpoint::AuthRequest {
        let mut response = text(StatusCode::UNAUTHORIZED);
        response.headers_mut().insert(header::LOCATION, location);
        return response;
    }
    let accept = value(headers, "accept");
    let is_script = value(headers, "x-requested-with") == "XMLHttpRequest";
    if is_script || !(accept.contains("text/html") || accept.contains("*/*")) {
        return text(StatusCode::UNAUTHORIZED);
    }
    let status = match method.as_str() {
        "GET" | "HEAD" | "OPTIONS" => StatusCode::FOUND,
        _ => StatusCode::SEE_OTHER,
    };
    let mut response = text(status);
    response.headers_mut().insert(header::LOCATION, location);
    response
}

fn text(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(status.to_string())));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert("x-answered-by", HeaderValue::from_static("authelia"));
    response
}

fn value<'a>(headers: &'a HeaderMap, name: &str) -> &'a str {
    let value = headers.get(name).and_then(|value| value.to_str().ok());
    value.unwrap_or_default()
}
