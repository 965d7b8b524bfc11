//! Pages for operators: numbers, the effective configuration, the description of the endpoints; and
//! users ([`accounts`], [`users`]).
//!
//! On the listener of the gateways these pages are for trusted peers who ask for themselves. A
//! gateway is a trusted peer too, and asks for others: whatever carries a gateway's headers is an
//! auth request and gets a decision, never a page. So a page cannot let a request through, and a
//! route to elastauth that somebody published by mistake does not publish the configuration.
//!
//! On a listener of clients (proxy mode) they are for processes of this machine alone
//! ([`is_of_operator`]).

mod account;
pub(super) mod accounts;
mod prune;
pub(super) mod users;

use super::{
    browser::{self, NotOperators},
    connection::{Audience, PeerConnection},
};
use crate::{
    clock::Timestamp,
    respond::{self, Response},
    telemetry::metrics,
};
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_SECURITY_POLICY, FORWARDED, VIA},
    request::Parts,
};
use serde_json::{Value, json};
use users::Action;

pub(super) const DOCS: &str = include_str!("admin/docs.html");
pub(super) const OPENAPI: &str = include_str!("../../docs/api/openapi.yaml");
/// The page has styles of its own and loads nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; \
                      form-action 'none'; frame-ancestors 'none'";

/// Beginnings of the names of headers that a gateway sets and a person with curl or a scraper does
/// not: Traefik, Caddy and `HAProxy` set `X-Forwarded-*`, nginx `X-Original-*` or `X-Real-IP` as
/// its guide says, Envoy always `x-envoy-*`; and identities are somebody else's.
const OF_GATEWAYS: [&str; 6] = [
    "x-forwarded-",
    "x-original-",
    "x-real-",
    "x-envoy-",
    "x-auth-request-",
    "remote-",
];

/// Which page.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Page {
    Metrics,
    Config,
    Docs,
    OpenApi,
    /// No page: an action on a user.
    User(Action),
    /// The users of the clusters, and other actions on them.
    Account(accounts::Action),
}

/// Whether a request carries what gateways add.
pub(super) fn is_auth_request(request: &Parts) -> bool {
    let of_gateway = |name: &HeaderName| {
        OF_GATEWAYS
            .iter()
            .any(|start| name.as_str().starts_with(start))
            || [FORWARDED, VIA].contains(name)
    };
    request.headers.keys().any(of_gateway)
}

/// Whether a request to a listener of clients may be an operator's. By its network nobody is one:
/// clients are in the same networks, and a client behind a balancer has the address of the
/// balancer.
pub(super) fn is_of_operator(connection: &PeerConnection, request: &Parts) -> bool {
    connection.peer.is_local() && !is_auth_request(request)
}

/// Whether a request for one of elastauth 1's paths can only be meant for us: those paths may be a
/// client's too. It has to be a GET without a query, from a trusted peer, with nothing that a
/// gateway adds. All else is an auth request.
pub(super) fn is_legacy_request(connection: &PeerConnection, request: &Parts) -> bool {
    let service = &connection.service;
    request.method == Method::GET
        && request.uri.query().is_none()
        && service.admin.listen.is_none()
        && !is_auth_request(request)
        && connection.admit(&request.headers).is_ok()
}

/// Shows a page to whoever may see it.
pub(super) async fn answer(connection: &PeerConnection, request: &Parts, page: Page) -> Response {
    let service = &connection.service;
    let now = service.clock.now();
    if connection.audience != Audience::Operators {
        if service.admin.listen.is_some() {
            return not_found(now);
        }
        if let Err(why) = connection.admit(&request.headers) {
            service.observer.page_refused(connection.peer, &why);
            return not_found(now);
        }
    }
    if let Err(why) = browser::check(request, &service.admin.hosts) {
        // Without `admin.hosts` a scraper keeps its numbers: they hold no names and no settings.
        let tolerated = page == Page::Metrics && !service.admin.hosts.are_named();
        if tolerated && matches!(why, NotOperators::Host(_)) {
            service.observer.metrics_by_name(connection.peer, &why);
        } else {
            service.observer.page_refused(connection.peer, &why);
            return not_for_others(now, &why);
        }
    }
    let (methods, allow): (&[Method], _) = match page {
        Page::User(_) => (&[Method::POST], "POST"),
        Page::Account(action) if !action.is_read() => (&[Method::POST], "POST"),
        Page::Metrics | Page::Config | Page::Docs | Page::OpenApi | Page::Account(_) => {
            (&[Method::GET, Method::HEAD], "GET, HEAD")
        }
    };
    if !methods.contains(&request.method) {
        return respond::method_not_allowed(now, allow);
    }
    match page {
        Page::Metrics if service.admin.metrics => {
            service.flow.upstreams().report_ledgers();
            let metrics = service.telemetry.metrics.expose();
            respond::whole(StatusCode::OK, metrics::CONTENT_TYPE, metrics)
        }
        Page::Metrics => respond::problem(
            now,
            StatusCode::NOT_FOUND,
            "The metrics are switched off; `enable_metrics` switches them on.",
            "metrics_off",
        ),
        Page::Config => {
            let mut shown = Value::clone(&service.shown.load());
            if let Some(root) = shown.as_object_mut() {
                let keys = service.requires_restart.load();
                root.insert("requires_restart".to_owned(), json!(**keys));
            }
            for_a_person(&shown)
        }
        Page::Docs => {
            let mut response = respond::whole(StatusCode::OK, "text/html; charset=utf-8", DOCS);
            response
                .headers_mut()
                .insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            response
        }
        Page::OpenApi => respond::whole(StatusCode::OK, "application/yaml", OPENAPI),
        Page::User(_) => users::answer(connection, &request.uri).await,
        Page::Account(_) => accounts::answer(connection, &request.uri).await,
    }
}

/// For everything that does not exist, or not for this peer. The two look alike.
pub(super) fn not_found(now: Timestamp) -> Response {
    respond::problem(
        now,
        StatusCode::NOT_FOUND,
        "There is nothing here.",
        "not_found",
    )
}

/// The peer is trusted, so it is told why.
fn not_for_others(now: Timestamp, why: &NotOperators) -> Response {
    let (message, code) = match why {
        NotOperators::Host(_) => (
            "This page is not shown under the host name of the request. Ask by the address or \
             `localhost`, or add the name to `admin.hosts`.",
            "unknown_host",
        ),
        NotOperators::CrossSite => (
            "This page is not shown to pages of other sites. Open it by itself.",
            "cross_site",
        ),
    };
    respond::problem(now, StatusCode::FORBIDDEN, message, code)
}

fn for_a_person(value: &Value) -> Response {
    respond::whole(StatusCode::OK, "application/json", format!("{value:#}\n"))
}
