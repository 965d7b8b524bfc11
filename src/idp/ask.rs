//! What a provider is asked: about a token, and for documents.

use super::{
    client_auth::encoded,
    endpoint::{EndpointKind, IdpEndpoint},
    error::IdpError,
    fetch::{FETCH, MAX_DISCOVERY_BYTES, PATIENCE},
    json,
    provider::Idp,
    redirect,
};
use crate::{
    clock::Timestamp,
    net::client::{HttpAnswer, HttpCall},
    telemetry::metrics::ClockSource,
};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use serde_json::{Map, Value};
use tokio::time::{Instant, timeout};

/// As much as a token could hold, several times over: a user in a thousand groups.
const MAX_CLAIMS_BYTES: usize = 256 * 1024;

/// What a provider says about a token.
pub(crate) enum Verdict {
    /// The token is good, and this is what the provider says about it.
    Claims(Map<String, Value>),
    /// The token is good, and what the provider says about it is signed. The caller verifies that.
    Signed(String),
    /// The token is unknown, or no longer good.
    Refused,
}

impl Idp {
    /// Whose an access token is (OpenID Connect Core 1.0, §5.3).
    ///
    /// # Errors
    /// When the provider cannot be asked.
    pub(crate) async fn userinfo(&self, token: &str) -> Result<Verdict, IdpError> {
        const WHAT: EndpointKind = EndpointKind::Userinfo;
        let _room = self.0.calls.try_acquire().map_err(|_| IdpError::Busy)?;
        let mut bearer =
            HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| IdpError::Unsendable)?;
        bearer.set_sensitive(true);
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, bearer)]);
        let answer = self
            .ask_about_token(WHAT, Method::GET, headers, Bytes::new())
            .await?;
        match answer.status {
            StatusCode::OK => match claims(WHAT, &answer) {
                Ok(claims) => Ok(Verdict::Claims(claims)),
                Err(IdpError::Signed(_)) => Ok(Verdict::Signed(
                    String::from_utf8_lossy(answer.body.trim_ascii()).into(),
                )),
                Err(why) => Err(why),
            },
            // Dex answers a bad token with 403, others with 400.
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Ok(Verdict::Refused)
            }
            status => Err(IdpError::Status(WHAT, status)),
        }
    }

    /// Whether a token is active, and its claims (RFC 7662). The caller judges the claims.
    ///
    /// # Errors
    /// When the provider cannot be asked.
    pub(crate) async fn introspect(&self, token: &str) -> Result<Verdict, IdpError> {
        const WHAT: EndpointKind = EndpointKind::Introspection;
        let _room = self.0.calls.try_acquire().map_err(|_| IdpError::Busy)?;
        let (config, access) = (&self.0.config, self.0.access.load_full());
        let proof = access
            .auth
            .proof(&config.client_id, &config.issuer, self.0.clock.now())
            .ok_or(IdpError::Unsendable)?;
        let mut form = format!("token={}&token_type_hint=access_token", encoded(token));
        for (name, value) in &proof.form {
            form.extend(["&", name, "=", &encoded(value)]);
        }
        let mut headers = proof.headers;
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/x-www-form-urlencoded"),
        );
        let answer = self
            .ask_about_token(WHAT, Method::POST, headers, form.into())
            .await?;
        match answer.status {
            StatusCode::OK => {
                let claims = claims(WHAT, &answer)?;
                Ok(if claims.get("active") == Some(&Value::Bool(true)) {
                    Verdict::Claims(claims)
                } else {
                    Verdict::Refused
                })
            }
            // Some answer so if they cannot introspect this kind of token.
            StatusCode::BAD_REQUEST if !says_our_client(&answer.body) => Ok(Verdict::Refused),
            StatusCode::BAD_REQUEST | StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(IdpError::OurClient(WHAT))
            }
            status => Err(IdpError::Status(WHAT, status)),
        }
    }

    async fn ask_about_token(
        &self,
        what: EndpointKind,
        method: Method,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<HttpAnswer, IdpError> {
        let asking = async {
            let call = HttpCall {
                method,
                uri: self.endpoint(what).await?.uri().clone(),
                headers,
                body,
                timeout: PATIENCE,
                send_timeout: None,
                max_bytes: MAX_CLAIMS_BYTES,
            };
            self.ask(what, call).await
        };
        let answer = timeout(PATIENCE, asking).await;
        answer.unwrap_or(Err(IdpError::Late(what)))
    }

    /// Reads a document, where a redirect says that it is elsewhere: providers move, and proxies
    /// add or take away a slash.
    pub(super) async fn fetch(
        &self,
        what: EndpointKind,
        uri: &IdpEndpoint,
        max_bytes: usize,
    ) -> Result<HttpAnswer, IdpError> {
        let (deadline, mut uri) = (Instant::now() + FETCH, uri.clone());
        let mut redirects = 0;
        loop {
            let call = HttpCall {
                method: Method::GET,
                uri: uri.uri().clone(),
                headers: HeaderMap::new(),
                body: Bytes::new(),
                timeout: deadline.saturating_duration_since(Instant::now()),
                send_timeout: None,
                max_bytes,
            };
            let answer = self.ask(what, call).await?;
            if !redirect::is_one(answer.status) {
                return Ok(answer);
            }
            redirects += 1;
            let next = redirect::followed(&uri, &answer.headers, self.sends_credentials());
            uri = next
                .filter(|_| redirects <= redirect::MOST)
                .ok_or(IdpError::Redirect(what, answer.status))?;
        }
    }

    /// Whether each call has something in it that only the provider should see.
    fn sends_credentials(&self) -> bool {
        let http = &self.0.config.http;
        !http.headers.is_empty() || http.tls.identity.is_some()
    }

    async fn ask(&self, what: EndpointKind, call: HttpCall) -> Result<HttpAnswer, IdpError> {
        let asked = self.0.clock.now();
        let client = &self.0.access.load_full().client;
        let answer = client.call(call).await;
        let answer = answer.map_err(|error| IdpError::Call(what, error))?;
        let headers = &answer.headers;
        if let Some(date) = headers.get(header::DATE)
            // A cache on the way hands on what was the time when it got the answer.
            && !headers.contains_key(header::AGE)
        {
            self.0
                .clocks
                .compare_date(ClockSource::IdentityProvider, date, asked);
        }
        Ok(answer)
    }

    /// The time by the provider's clock, to the second, and by ours. `None` if the answer has no
    /// `Date`.
    ///
    /// # Errors
    /// When it cannot be asked.
    pub(crate) async fn time(&self) -> Result<Option<(Timestamp, Timestamp)>, IdpError> {
        let uri = match self.issuer().discovery() {
            Ok(uri) => uri,
            Err(_) => self.endpoint(EndpointKind::Keys).await?,
        };
        let answer = self
            .fetch(EndpointKind::Discovery, &uri, MAX_DISCOVERY_BYTES)
            .await?;
        let date = answer
            .headers
            .get(header::DATE)
            .and_then(Timestamp::of_http_date);
        Ok(date.map(|theirs| (theirs, self.0.clock.now())))
    }
}

fn claims(what: EndpointKind, answer: &HttpAnswer) -> Result<Map<String, Value>, IdpError> {
    let kind = answer
        .headers
        .get(header::CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default()
        .to_ascii_lowercase();
    if kind.starts_with(b"application/jwt")
        || kind.starts_with(b"application/token-introspection+jwt")
    {
        return Err(IdpError::Signed(what));
    }
    json::object(&answer.body).map_err(|why| IdpError::Claims(what, why))
}

fn says_our_client(body: &[u8]) -> bool {
    let error = serde_json::from_slice::<Value>(body).ok();
    let error = error
        .as_ref()
        .and_then(|error| error.get("error"))
        .and_then(Value::as_str);
    matches!(
        error,
        Some("invalid_client" | "invalid_client_metadata" | "unauthorized_client")
    )
}
