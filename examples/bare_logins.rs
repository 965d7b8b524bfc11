//! The baseline of first logins: a bare hyper server that makes for each question the three calls
//! of a first login, with as many at once as elastauth makes for new users, and answers 200. It
//! reads no identity, and judges, derives, hashes and remembers nothing.
//!
//! `bare_logins ADDRESS CLUSTER` serves until it is killed.

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo, TokioTimer},
};
use std::{convert::Infallible, error::Error, sync::Arc, time::Duration};
use tokio::sync::Semaphore;

/// As in `src/broker/ensure/agree.rs`: new users about whom the cluster is asked at once, and new
/// users who are written at once.
const LOGINS_AT_ONCE: usize = 48;
const WRITES: usize = 12;
/// As in `src/cluster/pool.rs`.
const MAX_IDLE: usize = 32;

const LOGIN: HeaderValue = HeaderValue::from_static(
    "Basic dXNlci0wOkVhMS1BQkNERUZHSElKS0xNTk9QUVJTVFVWV1hZWjAxMjM0NTY3ODlhYmNkZWZn",
);
const BODY: &str = concat!(
    r#"{"password_hash":"{PBKDF2}1000$"#,
    "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQ=$",
    "ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFGHIJKLMNOPQ=",
    r#"","roles":["editor","viewer"],"full_name":null,"email":"user-0@example.org","#,
    r#""metadata":{"elastauth":{"epoch":20000,"fingerprint":"ABCDEFGHIJKLMNOPQRSTUV","#,
    r#""key":"ABCDEFGH","provider":"authelia"},"groups":["dev"]},"enabled":true}"#,
);

struct Bare {
    client: Client<HttpConnector, Full<Bytes>>,
    cluster: String,
    questions: Semaphore,
    writes: Semaphore,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(address), Some(cluster)) = (arguments.next(), arguments.next()) else {
        return Err("usage: bare_logins ADDRESS CLUSTER".into());
    };
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    let client = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(30))
        .pool_max_idle_per_host(MAX_IDLE)
        .build(tcp);
    let (questions, writes) = (Semaphore::new(LOGINS_AT_ONCE), Semaphore::new(WRITES));
    let bare = Arc::new(Bare {
        client,
        cluster,
        questions,
        writes,
    });
    let listener = tokio::net::TcpListener::bind(address).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let bare = Arc::clone(&bare);
        #[expect(clippy::disallowed_methods, reason = "a baseline has nothing to track")]
        tokio::spawn(async move {
            let service = service_fn(move |request| Arc::clone(&bare).answer(request));
            let _closed = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

impl Bare {
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        let user = request
            .headers()
            .get("remote-user")
            .and_then(|user| user.to_str().ok());
        let status = match user {
            // A request without a user only asks whether the server has started.
            None => StatusCode::OK,
            Some(user) => self
                .login(user)
                .await
                .map_or(StatusCode::BAD_GATEWAY, |()| StatusCode::OK),
        };
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        response.headers_mut().insert(header::AUTHORIZATION, LOGIN);
        Ok(response)
    }

    async fn login(&self, user: &str) -> Result<(), Box<dyn Error>> {
        let place = self.questions.acquire().await?;
        self.call(Method::GET, "/_security/_authenticate", "")
            .await?;
        drop(place);
        let _place = self.writes.acquire().await?;
        self.call(Method::GET, &format!("/_security/user/{user}"), "")
            .await?;
        self.call(
            Method::PUT,
            &format!("/_security/user/{user}?refresh=false"),
            BODY,
        )
        .await
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        body: &'static str,
    ) -> Result<(), Box<dyn Error>> {
        let request = Request::builder()
            .method(method)
            .uri(format!("http://{}{path}", self.cluster))
            .header(header::AUTHORIZATION, LOGIN)
            .header(header::ACCEPT, "application/json")
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::from(body))?;
        self.client
            .request(request)
            .await?
            .into_body()
            .collect()
            .await?;
        Ok(())
    }
}
