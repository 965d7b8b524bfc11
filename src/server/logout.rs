//! Logout from behind (OpenID Connect Back-Channel Logout 1.0): an identity provider tells us that
//! a session is over.
//!
//! The identity provider is no gateway and may come from anywhere, so anybody may knock here. Who
//! it is follows from the signature of what it brings; until that has been looked at, a knock costs
//! a bounded body and a place in a bounded rate. A success says nothing about anybody and carries
//! no login: a gateway that was pointed here by mistake sends no logout token and gets a refusal.

use super::Connection;
use crate::{
    identity::oidc::{LogoutError, Oidc},
    respond::Response,
    telemetry::metrics::Logout,
};
use bytes::Bytes;
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS},
    request::Parts,
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use std::{
    sync::{Mutex, PoisonError},
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// Where it is. What an identity provider is given as the back-channel logout URI.
pub(super) const PATH: &str = "/elastauth/oidc/backchannel-logout";

/// The longest token that is looked at at all, and what else the form may hold. Nobody escapes the
/// letters of a token.
const MOST_BYTES: usize = 48 * 1024;
/// A signature costs a fraction of a millisecond, so this many a second are a few hundredths of one
/// core. A thousand sessions that end at once are told within five seconds.
const A_SECOND: u32 = 200;

/// How many may come in a second. Strangers have a share of their own: their flood takes nothing
/// from identity providers in `trusted_proxies`.
#[derive(Debug, Default)]
pub(super) struct Pace {
    known: Mutex<Window>,
    strangers: Mutex<Window>,
}

#[derive(Debug, Default)]
struct Window {
    since: Option<Instant>,
    taken: u32,
}

impl Pace {
    fn admits(&self, known: bool) -> bool {
        let mut window = if known { &self.known } else { &self.strangers }
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if window
            .since
            .is_none_or(|since| now.duration_since(since) >= Duration::from_secs(1))
        {
            *window = Window {
                since: Some(now),
                taken: 0,
            };
        }
        let admitted = window.taken < A_SECOND;
        window.taken += u32::from(admitted);
        admitted
    }
}

/// Takes what is brought.
pub(super) async fn answer(
    connection: &Connection,
    oidc: &Oidc,
    request: &Parts,
    body: Incoming,
) -> Response {
    if request.method != Method::POST {
        let mut response = told(
            StatusCode::METHOD_NOT_ALLOWED,
            "invalid_request",
            "A logout token is posted.",
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let service = &connection.service;
    let outcome = if service.logouts.admits(connection.known) {
        take(connection, oidc, request, body).await
    } else {
        Err(Why::TooMany)
    };
    let result = match &outcome {
        Ok(()) => Logout::Taken,
        Err(Why::Form(_) | Why::Token(LogoutError::Refused(_))) => Logout::Refused,
        Err(Why::Token(LogoutError::Idp(_)) | Why::Late | Why::TooMany) => Logout::Unavailable,
    };
    let error = outcome.as_ref().err().map(|why| why as _);
    service.observer.logged_out(connection.peer, result, error);
    let Err(why) = outcome else {
        return said(StatusCode::OK, Bytes::new());
    };
    match why {
        // Which rule the token broke is for the log.
        Why::Form(_) | Why::Token(LogoutError::Refused(_)) => told(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "The logout token is not accepted.",
        ),
        Why::Token(LogoutError::Idp(_)) | Why::Late | Why::TooMany => {
            let mut response = told(
                StatusCode::SERVICE_UNAVAILABLE,
                "temporarily_unavailable",
                "The logout token cannot be checked just now.",
            );
            response
                .headers_mut()
                .insert(RETRY_AFTER, HeaderValue::from_static("2"));
            response
        }
    }
}

/// Why nobody was logged out.
#[derive(Debug, thiserror::Error)]
pub(super) enum Why {
    #[error("the request is not what a logout is: {0}")]
    Form(&'static str),
    #[error(transparent)]
    Token(LogoutError),
    #[error("it took too long to come, or to be checked")]
    Late,
    #[error("too many logouts in one second")]
    TooMany,
}

async fn take(
    connection: &Connection,
    oidc: &Oidc,
    request: &Parts,
    body: Incoming,
) -> Result<(), Why> {
    let kind = request
        .headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.as_bytes().split(|byte| *byte == b';').next());
    if !kind.is_some_and(|kind| {
        kind.trim_ascii()
            .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    }) {
        return Err(Why::Form("its body is no form"));
    }
    // As long as a decision may take: a body that drips keeps nobody longer.
    let in_time = timeout(connection.limits.decision, async {
        let body = Limited::new(body, MOST_BYTES)
            .collect()
            .await
            .map_err(|_| Why::Form("its body is too long, or was cut"))?
            .to_bytes();
        let token = token(&body).map_err(Why::Form)?;
        oidc.backchannel_logout(&token).await.map_err(Why::Token)
    });
    in_time.await.unwrap_or(Err(Why::Late))
}

/// The one `logout_token` of a form. Other fields are passed over, as the norm wants.
fn token(form: &[u8]) -> Result<String, &'static str> {
    let form = std::str::from_utf8(form).map_err(|_| "its body is not text")?;
    let mut tokens = form
        .split('&')
        .filter_map(|field| field.strip_prefix("logout_token="));
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Ok(percent_decode_str(token).decode_utf8_lossy().into_owned()),
        (None, _) => Err("it has no `logout_token`"),
        (Some(_), Some(_)) => Err("it has two"),
    }
}

fn told(status: StatusCode, error: &str, description: &str) -> Response {
    said(
        status,
        serde_json::json!({ "error": error, "error_description": description })
            .to_string()
            .into(),
    )
}

fn said(status: StatusCode, body: Bytes) -> Response {
    let typed = !body.is_empty();
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if typed {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_has_one_logout_token() {
        assert_eq!(token(b"logout_token=a.b.c"), Ok("a.b.c".to_owned()));
        assert_eq!(token(b"x=1&logout_token=a%2Eb.c&y"), Ok("a.b.c".to_owned()));
        assert_eq!(token(b"logout_token="), Ok(String::new()));
        for bad in [
            &b""[..],
            b"logout_token",
            b"Logout_token=a",
            b"xlogout_token=a",
            b"logout_token=a&logout_token=a",
            b"logout_token=\xff",
        ] {
            assert!(token(bad).is_err(), "{bad:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn strangers_take_nothing_from_those_who_are_known() {
        let pace = Pace::default();
        assert_eq!((0..1_000).filter(|_| pace.admits(false)).count(), 200);
        assert!(pace.admits(true) && !pace.admits(false));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(pace.admits(false));
    }
}
