//! Which surface answers a request.
//!
//! There is no router: an auth request may have any method, path and query, and costs nothing but
//! its decision.

use super::{
    admin::{self, Page},
    connection::{Audience, Connection},
    forward_auth,
    health::{self, Endpoint},
    logout,
};
use crate::{request::Protocol, respond::Response};
use http::{HeaderValue, Version, header::CONNECTION, request::Parts};
use hyper::body::Incoming;
use std::{convert::Infallible, sync::Arc};

/// What a path is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Route {
    Health(Endpoint),
    Operators(Page),
    /// An identity provider ends a session.
    Logout,
    /// A path of elastauth 1. It is not below `/elastauth/`, so a client's own path may look like
    /// it.
    Legacy(Legacy),
    AuthRequest(Protocol),
}

/// The endpoints of elastauth 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Legacy {
    Health,
    Page(Page),
}

/// Every path without an endpoint of its own is an auth request: Caddy and Envoy put the client's
/// path and query behind the configured one.
fn route(path: &str) -> Route {
    match path {
        "/elastauth/health" => Route::Health(Endpoint::Health),
        "/elastauth/live" => Route::Health(Endpoint::Live),
        "/elastauth/ready" => Route::Health(Endpoint::Ready),
        "/elastauth/metrics" => Route::Operators(Page::Metrics),
        "/elastauth/config" => Route::Operators(Page::Config),
        "/elastauth/docs" => Route::Operators(Page::Docs),
        "/elastauth/api/openapi.yaml" | "/elastauth/openapi.yaml" => {
            Route::Operators(Page::OpenApi)
        }
        logout::PATH => Route::Logout,
        "/health" => Route::Legacy(Legacy::Health),
        "/metrics" => Route::Legacy(Legacy::Page(Page::Metrics)),
        "/config" => Route::Legacy(Legacy::Page(Page::Config)),
        "/elastauth/auth-request" => Route::AuthRequest(Protocol::AuthRequest),
        _ if admin::user_to_recheck(path).is_some() => Route::Operators(Page::Recheck),
        _ => match path.strip_prefix("/elastauth/ext-authz") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => {
                Route::AuthRequest(Protocol::ExtAuthz)
            }
            _ => Route::AuthRequest(Protocol::ForwardAuth),
        },
    }
}

/// Answers one request. It cannot fail: a failure is an answer too.
pub(super) async fn answer(
    connection: Arc<Connection>,
    request: http::Request<Incoming>,
) -> Result<Response, Infallible> {
    connection.activity.request(request.version());
    // But for a logout the body is held and never read: some gateways announce one that does not
    // come.
    let (request, body) = request.into_parts();
    let route = route(request.uri.path());
    if let (Audience::Gateways, Route::Logout, Some(oidc)) = (
        connection.audience,
        route,
        connection.service.flow.providers().oidc(),
    ) {
        return Ok(Box::pin(logout::answer(&connection, oidc, &request, body)).await);
    }
    let version = request.version;
    let mut response = match connection.audience {
        Audience::Gateways => to_gateway(&connection, request, route).await,
        Audience::Operators => to_operator(&connection, &request, route).await,
    };
    // A first request that came when the end had begun: its connection could not yet be told to
    // end.
    if connection.tasks.is_ending() && version < Version::HTTP_2 {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

async fn to_gateway(connection: &Connection, request: Parts, route: Route) -> Response {
    let is_legacy = |request| admin::is_legacy_request(connection, request);
    match route {
        Route::AuthRequest(protocol) => forward_auth::answer(connection, request, protocol).await,
        Route::Health(endpoint) => health::answer(connection, &request, endpoint).await,
        Route::Operators(page) if !admin::is_auth_request(&request) => {
            admin::answer(connection, &request, page)
        }
        Route::Legacy(Legacy::Health) if is_legacy(&request) => {
            health::answer(connection, &request, Endpoint::Health).await
        }
        Route::Legacy(Legacy::Page(page))
            if is_legacy(&request)
                && (page != Page::Metrics || connection.service.admin.metrics) =>
        {
            admin::answer(connection, &request, page)
        }
        // Without a provider of tokens nobody can be logged out, and the path is like any other.
        Route::Logout | Route::Operators(_) | Route::Legacy(_) => {
            forward_auth::answer(connection, request, Protocol::ForwardAuth).await
        }
    }
}

async fn to_operator(connection: &Connection, request: &Parts, route: Route) -> Response {
    match route {
        Route::Health(endpoint) => health::answer(connection, request, endpoint).await,
        Route::Legacy(Legacy::Health) => {
            health::answer(connection, request, Endpoint::Health).await
        }
        Route::Operators(page) | Route::Legacy(Legacy::Page(page)) => {
            admin::answer(connection, request, page)
        }
        Route::AuthRequest(_) | Route::Logout => admin::not_found(connection.service.clock.now()),
    }
}
