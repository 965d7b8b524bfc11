//! The stand-in against what was measured on a real cluster.

mod faults;
mod opensearch;
mod users;
mod validation;

use super::*;
use crate::shutdown::Tasks;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::{client::legacy::Client, rt::TokioExecutor};
use serde_json::{Value, json};
use std::time::Duration;

/// The stand-in and one caller. Nothing waits longer than a second.
struct Caller {
    standin: StandIn,
    tasks: Tasks,
    client: Client<hyper_util::client::legacy::connect::HttpConnector, Full<Bytes>>,
}

#[derive(Debug)]
struct Received {
    status: StatusCode,
    headers: HeaderMap,
    body: Value,
}

impl Received {
    fn error_type(&self) -> &str {
        self.body["error"]["type"].as_str().unwrap_or_default()
    }

    fn reason(&self) -> &str {
        self.body["error"]["reason"].as_str().unwrap_or_default()
    }
}

impl Caller {
    async fn new() -> Self {
        let tasks = Tasks::default();
        let standin = StandIn::start(&tasks).await.unwrap();
        Self {
            standin,
            tasks,
            client: Client::builder(TokioExecutor::new()).build_http(),
        }
    }

    fn service(&self) -> String {
        basic(SERVICE_USER, self.standin.service_password())
    }

    /// `None` when no whole answer came.
    async fn received(
        &self,
        method: Method,
        path: &str,
        authorization: &str,
        body: &str,
    ) -> Option<Received> {
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.standin.url()));
        if !authorization.is_empty() {
            request = request.header("authorization", authorization);
        }
        if !body.is_empty() {
            request = request.header("content-type", "application/json");
        }
        let request = request.body(Full::from(body.to_owned())).unwrap();
        let asked = async {
            let response = self.client.request(request).await.ok()?;
            let (head, body) = response.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some(Received {
                status: head.status,
                headers: head.headers,
                body: serde_json::from_slice(&body).unwrap_or(Value::Null),
            })
        };
        tokio::time::timeout(Duration::from_secs(1), asked)
            .await
            .ok()
            .flatten()
    }

    async fn put(&self, name: &str, body: &Value) -> Received {
        self.put_text(name, &body.to_string()).await
    }

    async fn put_text(&self, name: &str, body: &str) -> Received {
        self.received(
            Method::PUT,
            &format!("/_security/user/{name}?refresh=false"),
            &self.service(),
            body,
        )
        .await
        .unwrap()
    }

    async fn get(&self, path: &str) -> Received {
        self.received(Method::GET, path, &self.service(), "")
            .await
            .unwrap()
    }

    async fn whoami(&self, authorization: &str) -> Received {
        self.received(Method::GET, "/_security/_authenticate", authorization, "")
            .await
            .unwrap()
    }
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// As the product sends it.
fn hash_of(password: &str, rounds: u32) -> String {
    use aws_lc_rs::pbkdf2;
    let (salt, mut key) = ([7_u8; 32], [0_u8; 32]);
    pbkdf2::derive(
        pbkdf2::PBKDF2_HMAC_SHA512,
        rounds.try_into().unwrap(),
        &salt,
        password.as_bytes(),
        &mut key,
    );
    format!(
        "{{PBKDF2}}{rounds}${}${}",
        STANDARD.encode(salt),
        STANDARD.encode(key)
    )
}
