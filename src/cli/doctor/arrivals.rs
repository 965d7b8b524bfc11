//! The doctor in elastauth's and in the application's place, for a route of its own: it sees every
//! header that arrives.

use super::types::{CannotAsk, MARK};
use crate::{secret::SecretKey, shutdown::Tasks, telemetry::chain};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, header};
use http_body_util::Empty;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{
    convert::Infallible,
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::{net::TcpListener, sync::Semaphore};

/// More than a gateway opens for one client.
const MAX_CONNECTIONS: usize = 256;
/// A gateway sends its request at once.
const HEADER: Duration = Duration::from_secs(10);
/// What arrives is looked at after each request.
const MAX_ARRIVALS: usize = 1_000;

/// Where a request arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// As an auth request, below `/elastauth`.
    Elastauth,
    Application,
}

/// A request as it arrived.
#[derive(Debug, Clone)]
pub(super) struct Arrival {
    pub(super) place: Place,
    pub(super) headers: HeaderMap,
}

/// How auth requests are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    Grant,
    Refuse,
    /// As a program that has a fault.
    Fail,
}

/// The stand-in, until it is dropped.
pub(super) struct StandIn {
    shared: Arc<Shared>,
    tasks: Tasks,
}

struct Shared {
    state: Mutex<(Manner, Vec<Arrival>)>,
    /// So that nobody else knows the logins.
    secret: String,
}

impl StandIn {
    pub(super) async fn listen(address: SocketAddr) -> Result<Self, CannotAsk> {
        let listener = TcpListener::bind(address).await;
        let listener = listener
            .map_err(|error| CannotAsk(format!("cannot listen on {address}: {}", chain(&error))))?;
        let secret = SecretKey::random();
        let secret = secret
            .map_err(|error| CannotAsk(chain(&error)))?
            .expose_hex();
        let shared = Arc::new(Shared {
            state: Mutex::new((Manner::Refuse, Vec::new())),
            secret,
        });
        let tasks = Tasks::default();
        let (serving, ending) = (Arc::clone(&shared), tasks.clone());
        tasks.spawn(async move {
            tokio::select! {
                () = ending.ending() => {}
                () = serve(listener, serving, &ending) => {}
            }
        });
        Ok(Self { shared, tasks })
    }

    /// From now on auth requests are answered so, and what has arrived is forgotten.
    pub(super) fn expect(&self, manner: Manner) {
        *self.shared.state() = (manner, Vec::new());
    }

    /// What has arrived.
    pub(super) fn arrived(&self) -> Vec<Arrival> {
        self.shared.state().1.clone()
    }

    /// The login that a request with this id gets.
    pub(super) fn login(&self, id: &str) -> HeaderValue {
        self.shared.login(id)
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.tasks.end();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, (Manner, Vec<Arrival>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn login(&self, id: &str) -> HeaderValue {
        let pair = BASE64_STANDARD.encode(format!("{MARK}-{id}:{}", self.secret));
        HeaderValue::from_str(&format!("Basic {pair}"))
            .unwrap_or_else(|_| HeaderValue::from_static("Basic"))
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Empty<Bytes>> {
        let path = request.uri().path();
        let is_auth = path == "/elastauth" || path.starts_with("/elastauth/");
        let place = if is_auth {
            Place::Elastauth
        } else {
            Place::Application
        };
        let arrival = Arrival {
            place,
            headers: request.headers().clone(),
        };
        let forwarded = request.headers().get("x-forwarded-uri");
        let forwarded = forwarded.and_then(|uri| uri.to_str().ok());
        let id = id(forwarded.unwrap_or(path)).to_owned();
        let manner = {
            let mut state = self.state();
            if state.1.len() < MAX_ARRIVALS {
                state.1.push(arrival);
            }
            state.0
        };
        let mut response = Response::new(Empty::new());
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match (place, manner) {
            (Place::Elastauth, Manner::Grant) => {
                headers.insert(header::AUTHORIZATION, self.login(&id));
            }
            (Place::Elastauth, Manner::Refuse) => *response.status_mut() = StatusCode::UNAUTHORIZED,
            (Place::Elastauth, Manner::Fail) => {
                *response.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
            }
            (Place::Application, _) if request.headers().contains_key(header::UPGRADE) => {
                // Enough of a WebSocket to see that it gets this far.
                headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
                headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
                headers.insert(header::SEC_WEBSOCKET_ACCEPT, HeaderValue::from_static("x"));
                *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            }
            (Place::Application, _) => {}
        }
        response
    }
}

/// The id of a request of the doctor: the last segment of its path.
fn id(uri: &str) -> &str {
    let path = uri.split(['?', '#']).next().unwrap_or_default();
    path.rsplit('/').next().unwrap_or_default()
}

async fn serve(listener: TcpListener, shared: Arc<Shared>, tasks: &Tasks) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        // A connection that is gone before it is accepted is no fault of ours.
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let (shared, ending) = (Arc::clone(&shared), tasks.clone());
        tasks.spawn(async move {
            let service = service_fn(|request| {
                let answer = shared.answer(&request);
                async move { Ok::<_, Infallible>(answer) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER)
                .serve_connection(TokioIo::new(stream), service);
            tokio::select! {
                () = ending.ending() => {}
                _ended = connection => {}
            }
            drop(place);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_the_last_segment() {
        for (uri, expected) in [
            ("/a/b-7?x=/y", "b-7"),
            ("/elastauth/ext-authz/b-7", "b-7"),
            ("/", ""),
            ("", ""),
        ] {
            assert_eq!(id(uri), expected, "{uri}");
        }
    }
}
