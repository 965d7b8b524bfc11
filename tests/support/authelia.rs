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
use std::convert::Infallible;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

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
            while let Ok((stream, _)) = listener.accept().await {
                let known = Arc::clone(&shared);
                let service = service_fn(move |request| {
                    let answer = answer(&known.lock().expect("the sessions"), &request);
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
    let forwarded = |name: &str| value(headers, &format!("x-forwarded-{name}"));
    let (host, path, method) = (forwarded("host"), forwarded("uri"), forwarded("method"));
    let is_ours = host == DOMAIN || host.ends_with(&format!(".{DOMAIN}"));
    if forwarded("proto") != "https" || !is_ours || method.is_empty() || method.contains('-') {
        return text(StatusCode::BAD_REQUEST);
    }
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
            None => to_the_portal(headers, method, &format!("https://{host}{path}")),
        };
    }
    match person {
        Some(person) => granted(person),
        None if path.starts_with(BYPASSED) => Response::new(Full::default()),
        None => to_the_portal(headers, method, &format!("https://{host}{path}")),
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
fn to_the_portal(headers: &HeaderMap, method: &str, wanted: &str) -> Response<Full<Bytes>> {
    let accept = value(headers, "accept");
    let is_script = value(headers, "x-requested-with") == "XMLHttpRequest";
    if is_script || !(accept.contains("text/html") || accept.contains("*/*")) {
        return text(StatusCode::UNAUTHORIZED);
    }
    let status = match method {
        "GET" | "HEAD" | "OPTIONS" => StatusCode::FOUND,
        _ => StatusCode::SEE_OTHER,
    };
    let mut response = text(status);
    let location = format!("{PORTAL}?rd={wanted}&rm={method}");
    let location = HeaderValue::from_str(&location).expect("an address");
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
