//! Which kind of cluster it is: asked of a node before anything is done as the service account.
//!
//! What a node has said is kept. Where none says it, the cluster is taken for Elasticsearch for a
//! while: what answered may have been a balancer without a node, or a node that refused the
//! account.

use super::{
    body::{parsed, version_number},
    client::{Client, get},
    opensearch,
    types::Kind,
    versions,
};
use crate::{
    cluster::{
        diagnosis::Diagnosis,
        error::{CallError, CallFailure, StatusMeaning},
        pool::NodeAnswer,
    },
    telemetry::metrics::Call,
};
use http::{StatusCode, header::WWW_AUTHENTICATE};
use serde::Deserialize;
use std::{
    sync::{
        Arc, Mutex as SyncMutex, MutexGuard, PoisonError,
        atomic::{AtomicU8, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Mutex, time::Instant};
use tracing::{info, warn};

const UNKNOWN: u8 = 0;
const ELASTICSEARCH: u8 = 1;
const OPENSEARCH: u8 = 2;
/// Elasticsearch, as long as nobody says otherwise.
const ASSUMED: u8 = 3;

/// How long a kind is assumed before the nodes are asked again, which takes two small calls.
const ASSUMED_FOR: Duration = Duration::from_mins(1);

/// What is known of a cluster's kind.
pub(super) struct Detection {
    client: Arc<Client>,
    configured: Kind,
    known: AtomicU8,
    /// How often the nodes were asked in vain.
    failures: AtomicU64,
    /// Held by who asks; the error of the last time.
    asking: Mutex<Option<CallError>>,
    /// Until when the kind is assumed without asking.
    until: SyncMutex<Option<Instant>>,
}

impl Detection {
    pub(super) fn new(client: Arc<Client>, configured: Kind) -> Self {
        Self {
            client,
            configured,
            known: AtomicU8::new(code(configured)),
            failures: AtomicU64::new(0),
            asking: Mutex::default(),
            until: SyncMutex::default(),
        }
    }

    /// `Auto` until a node was asked.
    pub(super) fn kind(&self) -> Kind {
        match self.known.load(Ordering::Relaxed) {
            ELASTICSEARCH | ASSUMED => Kind::Elasticsearch,
            OPENSEARCH => Kind::Opensearch,
            _ => Kind::Auto,
        }
    }

    /// Never `Auto`: asks where nobody has yet. Who comes meanwhile gets the same answer.
    pub(super) async fn settle(&self) -> Result<Kind, CallError> {
        let known = self.kind();
        if known != Kind::Auto {
            if self.is_due() {
                return Ok(self.ask_again().await);
            }
            return Ok(known);
        }
        let before = self.failures.load(Ordering::Relaxed);
        let mut last = self.asking.lock().await;
        let known = self.kind();
        if known != Kind::Auto {
            return Ok(known);
        }
        if self.failures.load(Ordering::Relaxed) != before
            && let Some(error) = &*last
        {
            return Err(error.clone());
        }
        match self.ask().await {
            Ok(found) => {
                self.report(&found);
                self.keep(&found);
                *last = None;
                Ok(found.kind)
            }
            Err(error) => {
                self.failures.fetch_add(1, Ordering::Relaxed);
                *last = Some(error.clone());
                Err(error)
            }
        }
    }

    /// Says of which kind the cluster is, where that is not the configured one and an answer of it
    /// does not show that.
    pub(super) async fn diagnosed(&self, error: CallError) -> CallError {
        if self.configured == Kind::Auto || error.diagnosis() != Some(Diagnosis::NoSecurityApi) {
            return error;
        }
        match self.ask().await {
            Ok(found) if found.certain && found.kind != self.configured => match found.kind {
                Kind::Opensearch => error.diagnosed(Diagnosis::OpenSearch),
                Kind::Elasticsearch => error.diagnosed(Diagnosis::Elasticsearch),
                Kind::Auto => error,
            },
            Ok(_) | Err(_) => error,
        }
    }

    /// The account is another one: it may see what the one before it did not.
    pub(super) fn account_changed(&self) {
        *self.until() = None;
    }

    /// Whether the kind is only assumed, and has been for long enough.
    fn is_due(&self) -> bool {
        let is_over = |until: Instant| until <= Instant::now();
        self.known.load(Ordering::Relaxed) == ASSUMED && self.until().is_none_or(is_over)
    }

    /// Asks about a kind that was assumed. It goes on being assumed while somebody else asks, and
    /// where nobody answers: what worked before is not stopped for it.
    async fn ask_again(&self) -> Kind {
        let Ok(_asking) = self.asking.try_lock() else {
            return self.kind();
        };
        if !self.is_due() {
            return self.kind();
        }
        match self.ask().await {
            Ok(found) => {
                if found.certain {
                    self.report(&found);
                }
                self.keep(&found);
            }
            Err(_) => *self.until() = Some(Instant::now() + ASSUMED_FOR),
        }
        self.kind()
    }

    fn keep(&self, found: &Found) {
        if found.certain {
            self.known.store(code(found.kind), Ordering::Relaxed);
        } else {
            *self.until() = Some(Instant::now() + ASSUMED_FOR);
            self.known.store(ASSUMED, Ordering::Relaxed);
        }
    }

    fn until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.until.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn report(&self, found: &Found) {
        let (cluster, kind) = (&*self.client.cluster, found.kind);
        let version = found.version.as_deref().unwrap_or("not shown");
        if found.certain {
            info!(cluster, %kind, version, "the kind of the cluster is known");
        } else {
            info!(
                cluster,
                %kind,
                "the cluster does not say of which kind it is; elastauth takes it for \
                 Elasticsearch, and asks again every minute"
            );
        }
        if let Some(version) = &found.version
            && let Some(warning) = versions::warning(kind, version)
        {
            warn!(cluster, %kind, version, "{warning}");
        }
    }

    async fn ask(&self) -> Result<Found, CallError> {
        let account = self.client.account(Call::Check)?;
        let pool = &self.client.pool;
        let root = get(Call::Check, "/", &account);
        if let Some(found) = pool.read(&root, greeting).await? {
            return Ok(found);
        }
        // An account with no other right than the necessary ones does not see the greeting.
        let own = get(Call::Check, opensearch::AUTHINFO, &account);
        pool.read(&own, authinfo).await
    }
}

fn code(kind: Kind) -> u8 {
    match kind {
        Kind::Auto => UNKNOWN,
        Kind::Elasticsearch => ELASTICSEARCH,
        Kind::Opensearch => OPENSEARCH,
    }
}

/// What a node has said.
#[derive(Debug, PartialEq)]
struct Found {
    kind: Kind,
    /// Where the account may see it.
    version: Option<String>,
    certain: bool,
}

impl Found {
    fn certainly(kind: Kind) -> Self {
        Self {
            kind,
            version: None,
            certain: true,
        }
    }
}

/// Of `GET /`; `None` where it does not show the kind.
fn greeting(answer: &NodeAnswer) -> Result<Option<Found>, CallFailure> {
    let has = |name: &str| answer.headers.contains_key(name);
    let read: Option<Greeting> = parsed(answer);
    let serverless = read
        .as_ref()
        .is_some_and(|it| it.version.build_flavor.as_deref() == Some("serverless"));
    if let Some(diagnosis) =
        Diagnosis::of_front(&answer.headers).or_else(|| serverless.then_some(Diagnosis::Serverless))
    {
        return Err(diagnosed(answer, diagnosis));
    }
    if let (StatusCode::OK, Some(Greeting { version, tagline })) = (answer.status, read) {
        let tagline = tagline.unwrap_or_default();
        let kind = if version.distribution.as_deref() == Some("opensearch")
            || tagline.starts_with("The OpenSearch Project")
        {
            Kind::Opensearch
        } else if has("x-elastic-product") || tagline == "You Know, for Search" {
            Kind::Elasticsearch
        } else {
            return Ok(None);
        };
        return Ok(Some(Found {
            version: version_number(version.number),
            ..Found::certainly(kind)
        }));
    }
    refusal(answer)
}

/// Of OpenSearch's `authinfo`. Whoever does not know it is taken for an Elasticsearch that does not
/// show who it is, or of which a gateway lets only the security API through.
fn authinfo(answer: &NodeAnswer) -> Result<Found, CallFailure> {
    if answer.status == StatusCode::OK && parsed::<AuthInfo>(answer).is_some() {
        return Ok(Found::certainly(Kind::Opensearch));
    }
    Ok(refusal(answer)?.unwrap_or(Found {
        certain: false,
        ..Found::certainly(Kind::Elasticsearch)
    }))
}

/// Of an answer that gives nothing but says who gives it.
fn refusal(answer: &NodeAnswer) -> Result<Option<Found>, CallFailure> {
    let challenged = |text: &str| {
        let mut challenges = answer.headers.get_all(WWW_AUTHENTICATE).iter();
        challenges.any(|value| value.to_str().is_ok_and(|value| value.contains(text)))
    };
    let body = answer.body.as_deref().unwrap_or_default();
    if challenged("OpenSearch") || body.starts_with(b"OpenSearch Security not initialized") {
        return Ok(Some(Found::certainly(Kind::Opensearch)));
    }
    // Elasticsearch sends this header since 7.14, with all answers but a 401.
    if answer.headers.contains_key("x-elastic-product")
        || challenged("realm=\"security\"")
        || challenged("ApiKey")
    {
        return Ok(Some(Found::certainly(Kind::Elasticsearch)));
    }
    let status = answer.status;
    if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS {
        return Err(CallFailure::Status {
            status,
            error_type: None,
            meaning: match status.as_u16() {
                502 | 504 => StatusMeaning::Unreachable,
                _ => StatusMeaning::Unavailable,
            },
            diagnosis: None,
        });
    }
    Ok(None)
}

fn diagnosed(answer: &NodeAnswer, diagnosis: Diagnosis) -> CallFailure {
    CallFailure::Status {
        status: answer.status,
        error_type: None,
        meaning: StatusMeaning::RequestRefused,
        diagnosis: Some(diagnosis),
    }
}

#[derive(Deserialize)]
struct Greeting {
    version: Version,
    tagline: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    number: String,
    distribution: Option<String>,
    build_flavor: Option<String>,
}

#[derive(Deserialize)]
struct AuthInfo {
    #[expect(dead_code, reason = "only OpenSearch's answer has it, and as a text")]
    user_name: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Clock,
        cluster::{
            pool::Timeouts,
            security::types::{Config, PasswordForm, ServiceAccount},
            tests::stub::{Manner, Stub},
        },
        net::tls,
        secret::SecretString,
        telemetry::ClusterTelemetry,
    };
    use http::{HeaderMap, HeaderName, HeaderValue};

    fn detection(node: &Stub) -> Detection {
        let config = Config {
            kind: Kind::Auto,
            hosts: vec![format!("http://{}", node.addr).parse().unwrap()],
            account: ServiceAccount::Basic {
                username: "svc".to_owned(),
                password: SecretString::from("pw"),
            },
            tls: tls::ClientConfig::default(),
            passwords: PasswordForm::Hash,
        };
        let (limits, telemetry) = ((Timeouts::default(), 1), ClusterTelemetry::default());
        let client = Client::new(&config, Clock::System, limits, &telemetry).unwrap();
        Detection::new(Arc::new(client), config.kind)
    }

    #[tokio::test]
    async fn a_kind_that_nobody_has_said_is_asked_about_again() {
        let node = Stub::start(Manner::answer(404, "<html>")).await;
        let detection = detection(&node);
        let settled = async || detection.settle().await.unwrap();
        assert_eq!(settled().await, Kind::Elasticsearch);
        assert_eq!(settled().await, Kind::Elasticsearch);
        assert_eq!(node.requests().len(), 2, "not with each call");

        node.behave(Manner::answer(503, ""));
        *detection.until() = Some(Instant::now());
        assert_eq!(settled().await, Kind::Elasticsearch, "as before");
        assert_eq!(settled().await, Kind::Elasticsearch);
        let asked = node.requests().len();

        let greeting = r#"{"version":{"number":"2.19.4","distribution":"opensearch"}}"#;
        node.behave(Manner::answer(200, greeting));
        assert_eq!(settled().await, Kind::Elasticsearch);
        assert_eq!(node.requests().len(), asked);
        detection.account_changed();
        assert_eq!(settled().await, Kind::Opensearch);

        // What a node has said is not asked about again.
        let asked = node.requests().len();
        detection.account_changed();
        assert_eq!(settled().await, Kind::Opensearch);
        assert_eq!(node.requests().len(), asked);
    }

    fn answer(status: u16, header: &str, body: &str) -> NodeAnswer {
        let mut headers = HeaderMap::new();
        if let Some((name, value)) = header.split_once(": ") {
            let name = HeaderName::try_from(name).unwrap();
            headers.insert(name, HeaderValue::from_str(value).unwrap());
        }
        NodeAnswer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            body: Ok(bytes::Bytes::copy_from_slice(body.as_bytes())),
        }
    }

    fn known(kind: Kind, version: Option<&str>) -> Found {
        Found {
            version: version.map(str::to_owned),
            ..Found::certainly(kind)
        }
    }

    #[test]
    fn a_greeting_says_who_it_is() {
        for (status, header, body, expected) in [
            (
                200,
                "",
                r#"{"version":{"number":"2.19.4","distribution":"opensearch"},"tagline":"x"}"#,
                Some(known(Kind::Opensearch, Some("2.19.4"))),
            ),
            (
                200,
                "x-elastic-product: Elasticsearch",
                r#"{"version":{"number":"9.5.3","build_flavor":"default"}}"#,
                Some(known(Kind::Elasticsearch, Some("9.5.3"))),
            ),
            (
                200,
                "",
                r#"{"version":{"number":"7.10.2"},"tagline":"You Know, for Search"}"#,
                Some(known(Kind::Elasticsearch, Some("7.10.2"))),
            ),
            (
                403,
                "x-elastic-product: Elasticsearch",
                "{}",
                Some(known(Kind::Elasticsearch, None)),
            ),
            (
                401,
                "www-authenticate: Basic realm=\"security\", charset=\"UTF-8\"",
                "{}",
                Some(known(Kind::Elasticsearch, None)),
            ),
            (
                401,
                "www-authenticate: Basic realm=\"OpenSearch Security\"",
                "Unauthorized",
                Some(known(Kind::Opensearch, None)),
            ),
            (
                503,
                "",
                "OpenSearch Security not initialized.",
                Some(known(Kind::Opensearch, None)),
            ),
            // The least privileged account of OpenSearch, and gateways.
            (403, "", r#"{"error":{"type":"security_exception"}}"#, None),
            (404, "", "<html>", None),
            (200, "", "<html>", None),
        ] {
            assert_eq!(
                greeting(&answer(status, header, body)),
                Ok(expected),
                "{status} {header} {body}"
            );
        }
    }

    #[test]
    fn what_is_no_cluster_is_named_and_what_is_down_is_asked_again() {
        for (header, body, expected) in [
            ("kbn-name: kibana", "", Diagnosis::Kibana),
            ("osd-name: dashboards", "", Diagnosis::Dashboards),
            (
                "x-elastic-product: Elasticsearch",
                r#"{"version":{"number":"9.1.0","build_flavor":"serverless"}}"#,
                Diagnosis::Serverless,
            ),
        ] {
            let Err(CallFailure::Status { diagnosis, .. }) = greeting(&answer(200, header, body))
            else {
                panic!("{header}")
            };
            assert_eq!(diagnosis, Some(expected));
        }
        for status in [429, 500, 502, 503] {
            assert!(greeting(&answer(status, "", "<html>")).is_err());
            assert!(authinfo(&answer(status, "", "<html>")).is_err());
        }
    }

    #[test]
    fn opensearch_is_known_by_its_own_path_and_all_else_is_taken_for_elasticsearch() {
        let found = |status, body| authinfo(&answer(status, "", body)).unwrap();
        let opensearch = found(200, r#"{"user_name":"svc","roles":[]}"#);
        assert_eq!(opensearch, Found::certainly(Kind::Opensearch));
        for (status, body) in [
            (400, r#"{"error":"no handler found for uri [x]"}"#),
            (404, ""),
        ] {
            let found = found(status, body);
            assert_eq!((found.kind, found.certain), (Kind::Elasticsearch, false));
        }
    }
}
