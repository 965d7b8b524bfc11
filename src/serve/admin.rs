//! Pages for operators: numbers, the effective configuration, the description of the endpoints; and
//! the one action, a recheck.
//!
//! On the listener of the gateways these pages are for trusted peers who ask for themselves. A
//! gateway is a trusted peer too, and asks for others: whatever carries a gateway's headers is an
//! auth request and gets a decision, never a page. So a page cannot let a request through, and a
//! route to elastauth that somebody published by mistake does not publish the configuration.

use super::connection::{Audience, PeerConnection};
use crate::{
    clock::Timestamp,
    ledger::{Forgotten, Others},
    model::Username,
    respond::{self, Response},
    telemetry::metrics,
};
use http::{
    HeaderName, HeaderValue, Method, StatusCode,
    header::{CONTENT_SECURITY_POLICY, FORWARDED, VIA},
    request::Parts,
};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

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
    Recheck,
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
pub(super) fn answer(connection: &PeerConnection, request: &Parts, page: Page) -> Response {
    let service = &connection.service;
    let now = service.clock.now();
    if connection.audience == Audience::Gateways {
        if service.admin.listen.is_some() {
            return not_found(now);
        }
        if let Err(why) = connection.admit(&request.headers) {
            service.observer.page_refused(connection.peer, &why);
            return not_found(now);
        }
    }
    let (methods, allow): (&[Method], _) = match page {
        Page::Recheck => (&[Method::POST], "POST"),
        Page::Metrics | Page::Config | Page::Docs | Page::OpenApi => {
            (&[Method::GET, Method::HEAD], "GET, HEAD")
        }
    };
    if !methods.contains(&request.method) {
        return respond::method_not_allowed(now, allow);
    }
    match page {
        Page::Metrics if service.admin.metrics => {
            for upstream in service.flow.upstreams().iter() {
                upstream.broker().report_ledger();
            }
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
        Page::Recheck => recheck(connection, request.uri.path()),
    }
}

/// The user in `/elastauth/admin/users/<name>/recheck`, as the path has it: percent-encoded, one
/// segment.
pub(super) fn user_to_recheck(path: &str) -> Option<&str> {
    let name = path
        .strip_prefix("/elastauth/admin/users/")?
        .strip_suffix("/recheck")?;
    (!name.is_empty() && !name.contains('/')).then_some(name)
}

/// Lets the next request of a user ask the cluster. A user who is unknown here is no error: other
/// replicas may know them, and get the message.
fn recheck(connection: &PeerConnection, path: &str) -> Response {
    let service = &connection.service;
    let malformed = |message: &str| {
        respond::problem(
            service.clock.now(),
            StatusCode::BAD_REQUEST,
            message,
            "malformed_user",
        )
    };
    let Some(name) = user_to_recheck(path).and_then(decoded) else {
        return malformed("The user name is not percent-encoded UTF-8.");
    };
    let user = match Username::parse(&name) {
        Ok(user) => user,
        Err(why) => return malformed(&format!("That cannot be a user: {why}.")),
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
    for_a_person(&json!({
        "user": user.as_str(),
        "known": known,
        "other_replicas": others,
        "message": "The next request of this user asks the cluster.",
    }))
}

/// Takes the percent signs out. One that is not followed by two hexadecimal digits is a mistake and
/// no percent sign.
fn decoded(segment: &str) -> Option<String> {
    let is_encoded = segment.split('%').skip(1).all(|rest| {
        rest.as_bytes()
            .first_chunk::<2>()
            .is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    });
    let text = percent_decode_str(segment).decode_utf8().ok();
    text.filter(|_| is_encoded)
        .map(std::borrow::Cow::into_owned)
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

fn for_a_person(value: &Value) -> Response {
    respond::whole(StatusCode::OK, "application/json", format!("{value:#}\n"))
}
