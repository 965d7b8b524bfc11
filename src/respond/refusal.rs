//! The answer that turns a request away.

use super::{Line, Protocol, Response, page};
use crate::{clock::Timestamp, outcome::Refusal};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue,
    header::{
        ACCEPT, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, RETRY_AFTER,
        WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
    },
};
use http_body_util::Full;
use serde::Serialize;

/// What the answer to a refused request depends on besides the refusal.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// For which kind of gateway.
    pub protocol: Protocol,
    /// For whom.
    pub form: Form,
    /// Whether tokens are taken: then a 401 asks for one.
    pub tokens: bool,
    /// Also in the log, so that the two can be put together.
    pub request_id: &'a str,
    /// When.
    pub now: Timestamp,
}

/// For whom the body is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    /// For programs.
    #[default]
    Json,
    /// For a person with a browser.
    Page,
}

impl Form {
    /// A navigation of a browser names `text/html`; what scripts and API clients send does not
    /// (`*/*`).
    #[must_use]
    pub fn wanted(headers: &HeaderMap) -> Self {
        let ranges = headers
            .get_all(ACCEPT)
            .iter()
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
        let mut types = ranges.filter_map(|range| range.split(|byte| *byte == b';').next());
        if types.any(|kind| kind.trim_ascii().eq_ignore_ascii_case(b"text/html")) {
            Self::Page
        } else {
            Self::Json
        }
    }
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
    let (kind, body) = match (context.protocol, context.form) {
        (Protocol::AuthRequest, _) => (None, Bytes::new()),
        (Protocol::ForwardAuth | Protocol::ExtAuthz, Form::Json) => {
            (Some("application/json"), json(&line, context))
        }
        (Protocol::ForwardAuth | Protocol::ExtAuthz, Form::Page) => (
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
    if context.form == Form::Page {
        headers.insert(
            CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(page::POLICY),
        );
    }
    if let Some(challenge) = line.challenge {
        headers.insert(
            WWW_AUTHENTICATE,
            HeaderValue::from_static(challenge.text(context.tokens)),
        );
    }
    if let Some(seconds) = line.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(u16::from(seconds)));
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
    use http::header::AUTHORIZATION;
    use http_body_util::BodyExt as _;

    async fn refused(refusal: Refusal, protocol: Protocol, form: Form) -> (HeaderMap, String) {
        let context = Context {
            protocol,
            form,
            tokens: false,
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
                for form in [Form::Json, Form::Page] {
                    let (headers, body) = refused(refusal, protocol, form).await;
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
        let (headers, _) = refused(Refusal::TokenRefused, Protocol::AuthRequest, Form::Json).await;
        assert_eq!(
            headers[WWW_AUTHENTICATE],
            r#"Bearer realm="elastauth", error="invalid_token""#
        );
    }

    #[tokio::test]
    async fn a_program_gets_json() {
        let (headers, body) = refused(Refusal::NobodyAsks, Protocol::ForwardAuth, Form::Json).await;
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
        let (headers, body) = refused(Refusal::Disabled, Protocol::ForwardAuth, Form::Page).await;
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

    #[test]
    fn a_page_is_for_those_who_ask_for_one() {
        let asked = |accept: &'static str| {
            Form::wanted(&HeaderMap::from_iter([(
                ACCEPT,
                HeaderValue::from_static(accept),
            )]))
        };
        assert_eq!(
            asked("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            Form::Page
        );
        assert_eq!(asked("application/json, Text/HTML;q=0.9"), Form::Page);
        for other in ["*/*", "application/json", "text/html5", ""] {
            assert_eq!(asked(other), Form::Json, "{other}");
        }
        assert_eq!(Form::wanted(&HeaderMap::new()), Form::Json);
    }
}
