//! What operators look at: numbers, the effective configuration, and the description of the
//! endpoints; and the one thing that they can have done.
//!
//! On the listener of the gateways these pages are for believed peers who ask for themselves. A
//! gateway is a believed peer too, and asks for others: whatever carries a gateway's headers is a
//! question about a client's path and gets a decision, never a page. So a page cannot let a request
//! through, and a route to elastauth that somebody has published by mistake does not publish the
//! configuration.

use super::Connection;
use crate::{
    clock::Timestamp,
    ledger::{Forgotten, Others},
    model::Username,
    respond::Response,
    telemetry::metrics,
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode,
    header::{
        ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, FORWARDED, VIA,
        X_CONTENT_TYPE_OPTIONS,
    },
    request::Parts,
};
use http_body_util::Full;
use std::{fmt, net::SocketAddr, sync::Arc};

/// Tells the effective configuration. Whoever makes it has put `***` in the place of every secret.
pub type Show = Arc<dyn Fn() -> serde_json::Value + Send + Sync>;

pub(super) const DOCS: &str = include_str!("admin/docs.html");
pub(super) const OPENAPI: &str = include_str!("../../docs/api/openapi.yaml");
/// The page has styles of its own and loads nothing.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

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

/// Settings of the pages for operators.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// A listener of their own (`admin.listen`). Where set, the listener of the gateways has these
    /// pages no more.
    pub listen: Option<SocketAddr>,
    /// Whether the numbers are shown (`enable_metrics`).
    pub metrics: bool,
}

/// Which page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Page {
    Metrics,
    Config,
    Docs,
    OpenApi,
    /// No page: what an operator wants done about a user.
    Recheck,
}

/// What there is to show.
pub(super) struct Admin {
    metrics: bool,
    /// They are on a listener of their own.
    elsewhere: bool,
    show: Show,
}

impl Admin {
    pub(super) fn new(config: &Config, show: Show) -> Self {
        Self {
            metrics: config.metrics,
            elsewhere: config.listen.is_some(),
            show,
        }
    }

    /// Whether a page is switched on.
    pub(super) fn has(&self, page: Page) -> bool {
        match page {
            Page::Metrics => self.metrics,
            Page::Config | Page::Docs | Page::OpenApi | Page::Recheck => true,
        }
    }
}

impl fmt::Debug for Admin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admin")
            .field("metrics", &self.metrics)
            .field("elsewhere", &self.elsewhere)
            .finish_non_exhaustive()
    }
}

/// Whether a request carries what gateways add.
pub(super) fn is_a_question(request: &Parts) -> bool {
    let of_gateway = |name: &HeaderName| {
        OF_GATEWAYS
            .iter()
            .any(|start| name.as_str().starts_with(start))
            || [FORWARDED, VIA].contains(name)
    };
    request.headers.keys().any(of_gateway)
}

/// Whether a request for one of elastauth 1's paths can only be meant for us: those paths may be a
/// client's too. It has to be a GET without a query, from a believed peer, with nothing that a
/// gateway adds. All else is a question.
pub(super) fn is_plainly_old(connection: &Connection, request: &Parts) -> bool {
    let service = &connection.service;
    request.method == Method::GET
        && request.uri.query().is_none()
        && !service.admin.elsewhere
        && !is_a_question(request)
        && service
            .trust
            .load()
            .admit(connection.peer, &request.headers)
            .is_ok()
}

/// Shows a page to whoever may see it.
pub(super) fn answer(connection: &Connection, request: &Parts, page: Page) -> Response {
    let (service, admin) = (&connection.service, &connection.service.admin);
    let now = service.clock.now();
    if connection.audience == super::Audience::Gateways {
        if admin.elsewhere {
            return nothing_here(now);
        }
        if let Err(why) = service
            .trust
            .load()
            .admit(connection.peer, &request.headers)
        {
            service.observer.withheld(connection.peer, &why);
            return nothing_here(now);
        }
    }
    let (methods, allow): (&[Method], _) = match page {
        Page::Recheck => (&[Method::POST], "POST"),
        Page::Metrics | Page::Config | Page::Docs | Page::OpenApi => {
            (&[Method::GET, Method::HEAD], "GET, HEAD")
        }
    };
    if !methods.contains(&request.method) {
        let mut response = told(
            now,
            StatusCode::METHOD_NOT_ALLOWED,
            &format!("Ask with {}.", allow.replace(", ", " or ")),
            "method_not_allowed",
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static(allow));
        return response;
    }
    match page {
        Page::Metrics if admin.metrics => {
            for upstream in service.flow.upstreams().iter() {
                upstream.broker().report_ledger();
            }
            whole(
                StatusCode::OK,
                metrics::CONTENT_TYPE,
                service.telemetry.metrics.expose().into(),
            )
        }
        Page::Metrics => told(
            now,
            StatusCode::NOT_FOUND,
            "The metrics are switched off; `enable_metrics` switches them on.",
            "metrics_off",
        ),
        Page::Config => json(StatusCode::OK, &(admin.show)()),
        Page::Docs => {
            let mut response = whole(
                StatusCode::OK,
                "text/html; charset=utf-8",
                Bytes::from_static(DOCS.as_bytes()),
            );
            response
                .headers_mut()
                .insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
            response
        }
        Page::OpenApi => whole(
            StatusCode::OK,
            "application/yaml",
            Bytes::from_static(OPENAPI.as_bytes()),
        ),
        Page::Recheck => recheck(connection, request.uri.path()),
    }
}

/// The user in `/elastauth/admin/users/<name>/recheck`, as it stands there: percent-encoded, one
/// segment.
pub(super) fn user_to_recheck(path: &str) -> Option<&str> {
    let name = path
        .strip_prefix("/elastauth/admin/users/")?
        .strip_suffix("/recheck")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// Lets the next request of a user ask the cluster. A user who is not known here is no error: other
/// replicas may know him, and hear of it.
fn recheck(connection: &Connection, path: &str) -> Response {
    let service = &connection.service;
    let now = service.clock.now();
    let user = match user_to_recheck(path)
        .and_then(decoded)
        .as_deref()
        .map(Username::parse)
    {
        None => {
            return told(
                now,
                StatusCode::BAD_REQUEST,
                "The user name is not percent-encoded UTF-8.",
                "malformed_user",
            );
        }
        Some(Err(why)) => {
            return told(
                now,
                StatusCode::BAD_REQUEST,
                &format!("That cannot be a user: {why}."),
                "malformed_user",
            );
        }
        Some(Ok(user)) => user,
    };
    // The same name may be a user of several clusters.
    let forgotten: Vec<Forgotten> = service
        .flow
        .upstreams()
        .iter()
        .map(|upstream| upstream.broker().recheck(&user))
        .collect();
    let known = forgotten.iter().any(|cluster| cluster.known);
    service.observer.recheck(connection.peer, &user, known);
    let reported = |others| forgotten.iter().any(|cluster| cluster.others == others);
    let others = match (reported(Others::ReportedLater), reported(Others::Reported)) {
        (true, _) => "told_later",
        (false, true) => "told",
        (false, false) => "not_told",
    };
    let message = "The next request of this user asks the cluster.";
    json(
        StatusCode::OK,
        &serde_json::json!({"user": user.as_str(), "known": known, "other_replicas": others, "message": message}),
    )
}

/// Takes the percent signs out. One that is not followed by two hexadecimal digits is a mistake and
/// no percent sign.
fn decoded(segment: &str) -> Option<String> {
    let sound = segment.split('%').skip(1).all(|rest| {
        rest.as_bytes()
            .first_chunk::<2>()
            .is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    });
    sound
        .then(|| {
            percent_encoding::percent_decode_str(segment)
                .decode_utf8()
                .ok()
        })
        .flatten()
        .map(std::borrow::Cow::into_owned)
}

/// What is said of everything that is not there, or not for this peer. The two look alike.
pub(super) fn nothing_here(now: Timestamp) -> Response {
    told(
        now,
        StatusCode::NOT_FOUND,
        "There is nothing here.",
        "not_found",
    )
}

/// In the form that every refusal has.
pub(super) fn told(now: Timestamp, status: StatusCode, message: &str, code: &str) -> Response {
    json(
        status,
        &serde_json::json!({"message": message, "code": code, "timestamp": now.to_string()}),
    )
}

fn json(status: StatusCode, body: &serde_json::Value) -> Response {
    whole(status, "application/json", format!("{body:#}\n").into())
}

fn whole(status: StatusCode, kind: &'static str, body: Bytes) -> Response {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers: &mut HeaderMap = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}
