//! Which surface answers a request.
//!
//! There is no router: an auth request may have any method, path and query, and costs nothing but
//! its decision.

use super::{
    admin::{self, Page},
    connection::{Audience, PeerConnection},
    forward_auth,
    health::{self, Probe},
    logout, malformed,
    progress::Progress,
    proxy,
};
use crate::{
    request::{Endpoint, Protocol},
    respond::Response,
};
use http::{
    HeaderValue, StatusCode, Version,
    header::{CONNECTION, UPGRADE},
    request::Parts,
};
use hyper::body::Incoming;
use std::{convert::Infallible, sync::Arc};

/// What answers a path.
#[derive(Clone, Copy)]
enum Surface {
    Health(Probe),
    Operators(Page),
    /// An identity provider ends a session.
    Logout,
    /// A path of elastauth 1. It is not below `/elastauth/`, so a client's own path may look like
    /// it.
    Legacy(Legacy),
    AuthRequest(Protocol),
}

/// The endpoints of elastauth 1.
#[derive(Clone, Copy)]
enum Legacy {
    Health,
    Page(Page),
}

/// Every path without an endpoint of its own is an auth request: Caddy and Envoy put the client's
/// path and query behind the configured one.
fn surface(path: &str) -> Surface {
    match path {
        "/elastauth/health" => Surface::Health(Probe::Health),
        "/elastauth/live" => Surface::Health(Probe::Live),
        "/elastauth/ready" => Surface::Health(Probe::Ready),
        "/elastauth/metrics" => Surface::Operators(Page::Metrics),
        "/elastauth/config" => Surface::Operators(Page::Config),
        "/elastauth/docs" => Surface::Operators(Page::Docs),
        "/elastauth/api/openapi.yaml" | "/elastauth/openapi.yaml" => {
            Surface::Operators(Page::OpenApi)
        }
        logout::PATH => Surface::Logout,
        "/health" => Surface::Legacy(Legacy::Health),
        "/metrics" => Surface::Legacy(Legacy::Page(Page::Metrics)),
        "/config" => Surface::Legacy(Legacy::Page(Page::Config)),
        _ if path.starts_with(admin::accounts::PATH) => match of_users(path) {
            Some(page) => Surface::Operators(page),
            None => Surface::AuthRequest(Protocol::ForwardAuth),
        },
        _ => Surface::AuthRequest(Endpoint::of(path).protocol),
    }
}

fn of_users(path: &str) -> Option<Page> {
    if let Some((action, _)) = admin::users::action(path) {
        return Some(Page::User(action));
    }
    admin::accounts::action(path).map(|(action, _)| Page::Account(action))
}

/// Answers a request of a listener in proxy mode.
pub(super) async fn pass_on(
    connection: Arc<PeerConnection>,
    progress: Arc<Progress>,
    request: http::Request<Incoming>,
) -> Result<Response, Infallible> {
    let version = request.version();
    let asks_for_upgrade = version == Version::HTTP_11 && request.headers().contains_key(UPGRADE);
    let unanswered = connection.activity.unanswered();
    let mut response = if let Some(fault) = malformed::fault_of(&connection, &request) {
        connection.activity.request(version);
        malformed::refuse(&connection, version, fault)
    } else if is_own(request.uri().path()) {
        Box::pin(answer(Arc::clone(&connection), request)).await?
    } else {
        connection.activity.request(version);
        let (request, body) = request.into_parts();
        // In a box: an idle connection keeps the room for this future.
        Box::pin(proxy::answer(&connection, &progress, request, body)).await
    };
    unanswered.answered();
    progress.handed_on(0);
    let switches = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if asks_for_upgrade {
        connection.framing.answer_upgrade(switches);
    }
    connection.framing.answered();
    let is_last = connection.tasks.is_ending()
        || connection.activity.requests() >= connection.limits.requests;
    if is_last && version < Version::HTTP_2 && !switches {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    Ok(response)
}

/// Answers one request. It cannot fail: a failure is an answer too.
pub(super) async fn answer(
    connection: Arc<PeerConnection>,
    request: http::Request<Incoming>,
) -> Result<Response, Infallible> {
    connection.activity.request(request.version());
    // The body is read for a logout only. Otherwise it is kept unread: some gateways announce one
    // that does not come.
    let (request, body) = request.into_parts();
    let surface = surface(request.uri.path());
    if let (Audience::Gateways | Audience::Clients, Surface::Logout, Some(oidc)) = (
        connection.audience,
        surface,
        connection.service.flow.providers.oidc(),
    ) {
        return Ok(Box::pin(logout::answer(&connection, oidc, &request, body)).await);
    }
    let version = request.version;
    let mut response = match connection.audience {
        Audience::Gateways => to_gateway(&connection, request, surface).await,
        Audience::Clients => to_client(&connection, request, surface).await,
        Audience::Operators => to_operator(&connection, &request, surface).await,
    };
    // A first request that came when the end had begun: its connection had not yet been ended.
    if connection.tasks.is_ending() && version < Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

/// Whether a path is never passed on. Compared byte for byte: what a cluster may read as one of
/// these is none.
fn is_own(path: &str) -> bool {
    let rest = path.strip_prefix("/elastauth");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Nobody asks about an auth request here: its answer would show clients the login of the cluster.
async fn to_client(connection: &PeerConnection, request: Parts, surface: Surface) -> Response {
    match surface {
        Surface::Health(probe) => health::answer(connection, &request, probe).await,
        Surface::Operators(page) if admin::is_of_operator(connection, &request) => {
            admin::answer(connection, &request, page).await
        }
        Surface::AuthRequest(_) | Surface::Operators(_) | Surface::Logout | Surface::Legacy(_) => {
            admin::not_found(connection.service.clock.now())
        }
    }
}

async fn to_gateway(connection: &PeerConnection, request: Parts, surface: Surface) -> Response {
    let is_legacy = |request| admin::is_legacy_request(connection, request);
    match surface {
        Surface::AuthRequest(protocol) => forward_auth::answer(connection, request, protocol).await,
        Surface::Health(probe) => health::answer(connection, &request, probe).await,
        Surface::Operators(page) if !admin::is_auth_request(&request) => {
            admin::answer(connection, &request, page).await
        }
        Surface::Legacy(Legacy::Health) if is_legacy(&request) => {
            health::answer(connection, &request, Probe::Health).await
        }
        Surface::Legacy(Legacy::Page(page))
            if is_legacy(&request)
                && (page != Page::Metrics || connection.service.admin.metrics) =>
        {
            admin::answer(connection, &request, page).await
        }
        // Without a provider of tokens nobody can be logged out, and the path is like any other.
        Surface::Logout | Surface::Operators(_) | Surface::Legacy(_) => {
            forward_auth::answer(connection, request, Protocol::ForwardAuth).await
        }
    }
}

async fn to_operator(connection: &PeerConnection, request: &Parts, surface: Surface) -> Response {
    match surface {
        Surface::Health(probe) => health::answer(connection, request, probe).await,
        Surface::Legacy(Legacy::Health) => health::answer(connection, request, Probe::Health).await,
        Surface::Operators(page) | Surface::Legacy(Legacy::Page(page)) => {
            admin::answer(connection, request, page).await
        }
        Surface::AuthRequest(_) | Surface::Logout => {
            admin::not_found(connection.service.clock.now())
        }
    }
}
