//! The answer to a refused request.

use super::{
    body::{Problem, Response, empty, json, whole},
    context::RefusalContext,
    page,
    table::Row,
};
use crate::{outcome::Refusal, request::Protocol};
use http::{
    HeaderName, HeaderValue,
    header::{CONTENT_SECURITY_POLICY, LOCATION, RETRY_AFTER, VARY, WWW_AUTHENTICATE},
};

/// What tells a browser's navigation from a request of a script.
const DECIDES_NAVIGATION: &str = "accept, sec-fetch-mode, x-requested-with";
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Writes the refusal. It never carries `Authorization`: gateways hand the headers of a refusal to
/// the client.
#[must_use]
pub(crate) fn refuse(refusal: Refusal, context: &RefusalContext<'_>) -> Response {
    let row = Row::of(refusal);
    if let Some(location) = context.sign_in {
        return to_sign_in(&row, location, context);
    }
    let status = row.status_for(context.protocol);
    let mut response = match context.protocol {
        // nginx shows a page of its own in any case, and closes the connection to us if the answer
        // has a body.
        Protocol::AuthRequest => empty(status),
        Protocol::ForwardAuth | Protocol::ExtAuthz | Protocol::Proxy if context.wants_page => {
            let page = page::write(&row, context);
            whole(status, "text/html; charset=utf-8", page)
        }
        Protocol::ForwardAuth | Protocol::ExtAuthz | Protocol::Proxy => json(
            status,
            &Problem {
                message: row.message,
                code: row.code,
                timestamp: context.now.to_string(),
                request_id: Some(context.request_id),
            },
        ),
    };
    let headers = response.headers_mut();
    if context.wants_page {
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(page::POLICY),
        );
    }
    if let Some(challenge) = row.challenge {
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge.text(context.takes_tokens)),
        );
    }
    if let Some(seconds) = row.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(u16::from(seconds)));
    }
    // nginx passes on no body, and this header only where it is configured to; everybody else sees
    // it beside the body.
    if let Ok(id) = HeaderValue::from_str(context.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

/// Sends a browser to the sign-in page. Gateways hand this to the client as it is, so `Location` is
/// absolute: Traefik puts our own address before any other.
fn to_sign_in(row: &Row, location: &HeaderValue, context: &RefusalContext<'_>) -> Response {
    let mut response = empty(row.status_of(context.protocol, true));
    let headers = response.headers_mut();
    headers.insert(LOCATION, location.clone());
    headers.insert(VARY, HeaderValue::from_static(DECIDES_NAVIGATION));
    if let Ok(id) = HeaderValue::from_str(context.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Timestamp;
    use http::{
        HeaderMap,
        header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE},
    };
    use http_body_util::BodyExt as _;

    async fn refused(
        refusal: Refusal,
        protocol: Protocol,
        wants_page: bool,
    ) -> (HeaderMap, String) {
        let context = RefusalContext {
            protocol,
            wants_page,
            takes_tokens: false,
            sign_in: None,
            request_id: "r<\"&'>1",
            now: Timestamp(1_700_000_000_123),
        };
        let (parts, body) = refuse(refusal, &context).into_parts();
        assert_eq!(parts.status, Row::of(refusal).status_for(protocol));
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
                Protocol::Proxy,
            ] {
                for wants_page in [false, true] {
                    let (headers, body) = refused(refusal, protocol, wants_page).await;
                    assert!(!headers.contains_key(AUTHORIZATION));
                    assert_eq!(headers[CACHE_CONTROL], "no-store");
                    assert_eq!(
                        headers.contains_key(WWW_AUTHENTICATE),
                        Row::of(refusal).status == 401
                    );
                    assert_eq!(
                        headers.contains_key(RETRY_AFTER),
                        [502, 503, 504].contains(&Row::of(refusal).status.as_u16())
                    );
                    assert_eq!(body.is_empty(), protocol == Protocol::AuthRequest);
                }
            }
        }
    }

    #[tokio::test]
    async fn who_has_to_sign_in_is_sent_there_and_gets_nothing_else() {
        let there = HeaderValue::from_static("https://auth.example.org/?rd=x");
        let context = RefusalContext {
            protocol: Protocol::ForwardAuth,
            wants_page: true,
            takes_tokens: true,
            sign_in: Some(&there),
            request_id: "r1",
            now: Timestamp(1_700_000_000_123),
        };
        let (parts, body) = refuse(Refusal::NobodyAsks, &context).into_parts();
        assert_eq!(parts.status, 302);
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
        let headers: Vec<_> = parts.headers.keys().map(http::HeaderName::as_str).collect();
        assert_eq!(
            headers,
            ["cache-control", "location", "vary", "x-request-id"]
        );
        assert_eq!(parts.headers[CACHE_CONTROL], "no-store");
        assert_eq!(parts.headers[LOCATION], there);
    }

    #[tokio::test]
    async fn a_refused_token_is_named_in_the_words_of_rfc_6750() {
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
        let at = ["message", "code", "timestamp", "request_id"].map(|name| body.find(name));
        assert!(at.is_sorted() && at[0].is_some(), "{body}");
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
            Row::of(Refusal::Disabled).message,
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
