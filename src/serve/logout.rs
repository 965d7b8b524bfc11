//! Back-channel logout (OpenID Connect Back-Channel Logout 1.0): an identity provider says that a
//! session is over.
//!
//! The identity provider is no gateway and may come from anywhere, so anybody may ask here. Who it
//! is follows from the signature of its token; until that has been checked, a request costs a
//! bounded body and a place in a bounded rate. Each issuer has a share of its own, and addresses
//! from which its notices have come a part of it that nobody else can use up. A success says
//! nothing about anybody and carries no login: a gateway that was pointed here by mistake sends no
//! logout token and gets a refusal.

use super::connection::PeerConnection;
use crate::{
    identity::oidc::{LogoutError, NoticeSource, Oidc},
    respond::{self, Response},
    telemetry::metrics::Logout,
};
use http::{
    HeaderValue, Method, StatusCode,
    header::{ALLOW, CONTENT_TYPE, RETRY_AFTER},
    request::Parts,
};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use percent_encoding::percent_decode_str;
use serde_json::json;
use tokio::time::timeout;

/// Where it is. What an identity provider is given as the back-channel logout URI.
pub(super) const PATH: &str = "/elastauth/oidc/backchannel-logout";

/// The longest token that is looked at, and what else the form may hold. Nobody escapes the
/// characters of a token.
const MAX_BYTES: usize = 48 * 1024;

/// Takes a logout token.
pub(super) async fn answer(
    connection: &PeerConnection,
    oidc: &Oidc,
    request: &Parts,
    body: Incoming,
) -> Response {
    if request.method != Method::POST {
        let status = StatusCode::METHOD_NOT_ALLOWED;
        let mut response = problem(status, "invalid_request", "A logout token is posted.");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    let service = &connection.service;
    let from = NoticeSource {
        address: connection.peer,
        trusted: connection.trusted,
    };
    let may_read = oidc
        .may_read_logout(from)
        .unwrap_or_else(|| service.logouts.take(from.trusted, service.clock.now()));
    let outcome = if may_read {
        end_session(connection, oidc, from, request, body).await
    } else {
        Err(LogoutFailed::TooMany)
    };
    let result = match &outcome {
        Ok(()) => Logout::Taken,
        Err(LogoutFailed::Form(_) | LogoutFailed::Token(LogoutError::Refused(_))) => {
            Logout::Refused
        }
        Err(
            LogoutFailed::Token(LogoutError::Idp(_) | LogoutError::TooMany)
            | LogoutFailed::Late
            | LogoutFailed::TooMany,
        ) => Logout::Unavailable,
    };
    let error = outcome.as_ref().err().map(|why| why as _);
    service.observer.logged_out(connection.peer, result, error);
    match result {
        Logout::Taken => respond::empty(StatusCode::OK),
        // Which rule the token broke is for the log.
        Logout::Refused => problem(
            StatusCode::BAD_REQUEST,
            "invalid_request",
            "The logout token is not accepted.",
        ),
        Logout::Unavailable => {
            let mut response = problem(
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

/// Why no session was ended.
#[derive(Debug, thiserror::Error)]
enum LogoutFailed {
    #[error("the request has not the form of a logout: {0}")]
    Form(&'static str),
    #[error(transparent)]
    Token(LogoutError),
    #[error("the body or the check of the token took too long")]
    Late,
    #[error("too many logouts in one second")]
    TooMany,
}

async fn end_session(
    connection: &PeerConnection,
    oidc: &Oidc,
    from: NoticeSource,
    request: &Parts,
    body: Incoming,
) -> Result<(), LogoutFailed> {
    use LogoutFailed as E;
    let kind = request
        .headers
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.as_bytes().split(|byte| *byte == b';').next());
    if !kind.is_some_and(|kind| {
        kind.trim_ascii()
            .eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
    }) {
        return Err(E::Form("the body is no form"));
    }
    // As long as a decision may take: a body that comes slowly keeps nobody longer.
    let in_time = timeout(connection.limits.decision, async {
        let body = Limited::new(body, MAX_BYTES)
            .collect()
            .await
            .map_err(|_| E::Form("the body is too long, or was cut"))?
            .to_bytes();
        let token = token(&body).map_err(E::Form)?;
        let ended = oidc.backchannel_logout(&token, from).await;
        ended.map_err(E::Token)
    });
    in_time.await.unwrap_or(Err(E::Late))
}

/// The one `logout_token` of a form. Other fields are ignored, as the specification wants.
fn token(form: &[u8]) -> Result<String, &'static str> {
    let form = std::str::from_utf8(form).map_err(|_| "the body is not text")?;
    let mut tokens = form
        .split('&')
        .filter_map(|field| field.strip_prefix("logout_token="));
    match (tokens.next(), tokens.next()) {
        (Some(token), None) => Ok(percent_decode_str(token).decode_utf8_lossy().into_owned()),
        (None, _) => Err("the body has no `logout_token`"),
        (Some(_), Some(_)) => Err("the body has two `logout_token`"),
    }
}

/// The error of OAuth, which the specification asks for.
fn problem(status: StatusCode, error: &str, description: &str) -> Response {
    let body = json!({ "error": error, "error_description": description });
    respond::json(status, &body)
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
}
