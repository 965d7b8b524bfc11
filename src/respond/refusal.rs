//! The answer that turns a request away.

use super::{Line, Response, page};
use crate::{clock::Timestamp, outcome::Refusal, request::Protocol};
use bytes::Bytes;
use http::{
    HeaderName, HeaderValue,
    header::{
        CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE,
        X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::Full;
use serde::Serialize;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// What the answer to a refused request depends on besides the refusal.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// For which kind of gateway.
    pub protocol: Protocol,
    /// Whether a person waits for the answer.
    pub wants_page: bool,
    /// Whether tokens are taken: then a 401 asks for one.
    pub takes_tokens: bool,
    /// Also in the log, so that the two can be put together.
    pub request_id: &'a str,
    /// When.
    pub now: Timestamp,
}

#[derive(Serialize)]
struct Body<'a> {
    message: &'static str,
    code: &'static str,
    timestamp: String,
    request_id: &'a str,
}

/// Writes the refusal. It never carries `Authorization`: gateways hand the headers of a refusal to
/// the client.
#[must_use]
pub fn refuse(refusal: Refusal, context: &Context<'_>) -> Response {
    let line = Line::of(refusal);
    // nginx shows a page of its own in any case, and closes the connection to us if the answer has
    // a body.
    let (kind, body) = match (context.protocol, context.wants_page) {
        (Protocol::AuthRequest, _) => (None, Bytes::new()),
        (Protocol::ForwardAuth | Protocol::ExtAuthz, false) => {
            (Some("application/json"), json(&line, context))
        }
        (Protocol::ForwardAuth | Protocol::ExtAuthz, true) => (
            Some("text/html; charset=utf-8"),
            page::write(&line, context).into(),
        ),
    };
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = line.status_for(context.protocol);
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(kind) = kind {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    }
    if context.wants_page {
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(page::POLICY),
        );
    }
    if let Some(challenge) = line.challenge {
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge.text(context.takes_tokens)),
        );
    }
    if let Some(seconds) = line.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(u16::from(seconds)));
    }
    // nginx passes on no body, and this header only where it is told to; everybody else sees it
    // beside the body.
    if let Ok(id) = HeaderValue::from_str(context.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

fn json(line: &Line, context: &Context<'_>) -> Bytes {
    let body = Body {
        message: line.message,
        code: line.code,
        timestamp: context.now.to_string(),
        request_id: context.request_id,
    };
    // Four strings cannot fail to be JSON; if they did, the status would still say it.
    serde_json::to_vec(&body).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderMap, header::AUTHORIZATION};
    use http_body_util::BodyExt as _;

    async fn refused(
        refusal: Refusal,
        protocol: Protocol,
        wants_page: bool,
    ) -> (HeaderMap, String) {
        let context = Context {
            protocol,
            wants_page,
            takes_tokens: false,
            request_id: "r<\"&'>1",
            now: Timestamp(1_700_000_000_123),
        };
        let (parts, body) = refuse(refusal, &context).into_parts();
        assert_eq!(parts.status, Line::of(refusal).status_for(protocol));
        (
            parts.headers,
            String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
        )
    }

    #[tokio::test]
    async fn every_refusal_is_complete_and_carries_no_login() {
        for refusal in Refusal::ALL {
            for protocol in [
                Protocol::ForwardAuth,
                Protocol::ExtAuthz,
                Protocol::AuthRequest,
            ] {
                for wants_page in [false, true] {
                    let (headers, body) = refused(refusal, protocol, wants_page).await;
                    assert!(!headers.contains_key(AUTHORIZATION));
                    assert_eq!(headers[CACHE_CONTROL], "no-store");
                    assert_eq!(
                        headers.contains_key(WWW_AUTHENTICATE),
                        Line::of(refusal).status == 401
                    );
                    assert_eq!(
                        headers.contains_key(RETRY_AFTER),
                        Line::of(refusal).status == 503
                    );
                    assert_eq!(body.is_empty(), protocol == Protocol::AuthRequest);
                }
            }
        }
    }

    #[tokio::test]
    async fn a_refused_token_is_told_in_the_words_of_rfc_6750() {
        let (headers, _) = refused(Refusal::TokenRefused, Protocol::AuthRequest, false).await;
        assert_eq!(
            headers[WWW_AUTHENTICATE],
            r#"Bearer realm="elastauth", error="invalid_token""#
        );
    }

    #[tokio::test]
    async fn a_program_gets_json() {
        let (headers, body) = refused(Refusal::NobodyAsks, Protocol::ForwardAuth, false).await;
        assert_eq!(headers[CONTENT_TYPE], "application/json");
        assert_eq!(headers[WWW_AUTHENTICATE], r#"SSO realm="elastauth""#);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&body).unwrap(),
            serde_json::json!({
                "message": "You are not signed in.",
                "code": "not_authenticated",
                "timestamp": "2023-11-14T22:13:20.123Z",
                "request_id": "r<\"&'>1",
            })
        );
    }

    #[tokio::test]
    async fn a_person_gets_a_page_with_the_same_facts_and_nothing_unescaped() {
        let (headers, body) = refused(Refusal::Disabled, Protocol::ForwardAuth, true).await;
        assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
        for fact in [
            Line::of(Refusal::Disabled).message,
            "user_not_allowed",
            "2023-11-14T22:13:20.123Z",
            "r&lt;&quot;&amp;&#39;&gt;1",
            "403",
        ] {
            assert!(body.contains(fact), "{fact}");
        }
        assert!(
            !body.contains("r<")
                && !body.contains("http:")
                && !body.contains("https:")
                && !body.contains("<script")
        );
    }
}
