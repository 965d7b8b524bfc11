//! The client against nodes that behave and nodes that do not, over real sockets.

mod answers;
mod failover;
pub(super) mod stub;
mod trust;

use super::{error::CallFailure, pool::Timeouts, *};
use crate::{
    clock::Clock,
    model::Username,
    net::{client::HttpError, tls},
    secret::SecretString,
    telemetry::{ClusterTelemetry, traces},
};
use http::HeaderValue;
use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};
use stub::{Manner, Stub};

/// The answer to a login of `joe`.
const JOE_IS: &str = r#"{"username":"joe","roles":["viewer"],"full_name":null,"email":null,"metadata":{},"enabled":true,
    "authentication_realm":{"name":"default_native","type":"native"},"authentication_type":"realm"}"#;
/// The answer to a read of the user.
const JOE: &str = r#"{"joe":{"username":"joe","roles":["viewer"],"full_name":"Joe","email":null,"metadata":{"k":[1]},"enabled":true}}"#;
const CREATED: &str = r#"{"created":true}"#;

fn joe() -> Username {
    Username::parse("joe").unwrap()
}

/// Writes a user of this name in clear, so that the request is known byte for byte.
async fn write(cluster: &SecurityApi, name: &str) -> Result<(), CallError> {
    let account = Account {
        name: name.to_owned(),
        roles: vec!["viewer".to_owned()],
        full_name: None,
        email: None,
        groups: Vec::new(),
        enabled: true,
        origin: Origin::Other,
    };
    cluster.write_user(&account, None, &password(), None).await
}

fn password() -> NewPassword {
    NewPassword::new("open sesame", [7; 32].into())
}

fn with(config: &Config, clock: Clock, timeouts: Timeouts) -> SecurityApi {
    SecurityApi::with(config, clock, timeouts, &ClusterTelemetry::default()).unwrap()
}

/// Deadlines short enough for a test that waits for them, and long enough for a busy machine.
fn short() -> Timeouts {
    Timeouts {
        connect: Duration::from_millis(300),
        send: Duration::from_millis(400),
        attempt: Duration::from_millis(400),
        read: Duration::from_millis(1_200),
        list: Duration::from_millis(1_200),
        write: Duration::from_millis(800),
        room: Duration::from_millis(100),
    }
}

fn config(urls: &[String]) -> Config {
    Config {
        kind: Kind::Elasticsearch,
        hosts: urls.iter().map(|url| url.parse().unwrap()).collect(),
        account: ServiceAccount::Basic {
            username: "svc".to_owned(),
            password: SecretString::from("pw"),
        },
        tls: tls::ClientConfig::default(),
        passwords: PasswordForm::Clear,
    }
}

fn client_with(addrs: &[SocketAddr], timeouts: Timeouts) -> (SecurityApi, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(1_000_000));
    let urls: Vec<String> = addrs.iter().map(|addr| format!("http://{addr}")).collect();
    (
        with(&config(&urls), Clock::Manual(Arc::clone(&time)), timeouts),
        time,
    )
}

/// For tests that wait for no deadline.
fn client(addrs: &[SocketAddr]) -> SecurityApi {
    client_with(addrs, Timeouts::default()).0
}

/// Why a call has failed, in short.
fn failure<T: std::fmt::Debug>(result: Result<T, CallError>) -> String {
    match result.unwrap_err().why {
        CallFailure::Http(HttpError::Cut(_)) => "Cut".to_owned(),
        CallFailure::Http(error) => format!("{error:?}"),
        CallFailure::Status {
            status, error_type, ..
        } => format!(
            "{} {}",
            status.as_u16(),
            error_type.as_deref().unwrap_or("-")
        ),
        why @ (CallFailure::Busy
        | CallFailure::Unsendable
        | CallFailure::NotJson
        | CallFailure::Unexpected
        | CallFailure::RoleMissing(_)
        | CallFailure::RoleReserved(_)
        | CallFailure::UserReserved
        | CallFailure::Overtaken
        | CallFailure::Late
        | CallFailure::Unfinished) => {
            format!("{why:?}")
        }
    }
}

/// Nobody listens on the port that TCP reserves for its multiplexer.
const NOBODY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

#[tokio::test]
async fn the_three_calls_are_exactly_these_bytes() {
    let node = Stub::start(Manner::answer(200, JOE_IS)).await;
    let cluster = client(&[node.addr]);
    let whoami = cluster
        .authenticate(&HeaderValue::from_static("Basic am9lOnB3"))
        .await
        .unwrap();
    assert!(
        matches!(whoami, Whoami::User(user) if user.account.name == "joe" && user.account.roles == ["viewer"])
    );
    cluster.check().await.unwrap();

    node.behave(Manner::answer(200, JOE));
    let user = cluster.read_user(&joe()).await.unwrap().unwrap().account;
    assert_eq!(
        (user.full_name.as_deref(), user.enabled),
        (Some("Joe"), true)
    );
    node.behave(Manner::answer(200, CREATED));
    write(&cluster, "joe").await.unwrap();

    let common = format!(
        "user-agent: elastauth/{}\r\naccept: application/json\r\n",
        env!("CARGO_PKG_VERSION")
    );
    let rest = format!("accept-encoding: identity\r\nhost: {}\r\n", node.addr);
    let svc = "authorization: Basic c3ZjOnB3\r\n";
    let body = r#"{"password":"open sesame","roles":["viewer"],"full_name":null,"email":null,"metadata":{"groups":[]},"enabled":true}"#;
    let length = body.len();
    assert_eq!(
        node.requests(),
        [
            format!(
                "GET /_security/_authenticate HTTP/1.1\r\n{common}\
                 authorization: Basic am9lOnB3\r\n{rest}\r\n"
            ),
            format!("GET /_security/_authenticate HTTP/1.1\r\n{common}{svc}{rest}\r\n"),
            format!("GET /_security/user/joe HTTP/1.1\r\n{common}{svc}{rest}\r\n"),
            format!(
                "PUT /_security/user/joe?refresh=false HTTP/1.1\r\n{common}{svc}\
                 content-type: application/json\r\n{rest}content-length: {length}\r\n\r\n{body}"
            ),
        ]
    );
    assert_eq!(node.connections(), 1, "the connection is kept");
}

#[tokio::test]
async fn a_call_within_a_recorded_decision_names_its_trace() {
    let node = Stub::start(Manner::answer(200, JOE_IS)).await;
    let otlp = traces::Otlp {
        endpoint: "http://127.0.0.1:9/v1/traces".parse().unwrap(),
        http: crate::net::client::Config::default(),
        timeout: Duration::from_secs(1),
        resource: Vec::new(),
        sampler: traces::Sampler::default(),
        queue: 1,
        batch: 1,
        delay: Duration::from_hours(1),
    };
    let traces = traces::Traces::start(
        traces::Config::Otlp(Box::new(otlp)),
        Clock::System,
        crate::telemetry::metrics::Metrics::default(),
    )
    .unwrap();
    let parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let headers = http::HeaderMap::from_iter([(
        http::HeaderName::from_static(traces::TRACEPARENT),
        HeaderValue::from_static(parent),
    )]);
    let decision = traces.begin(Some(&headers)).unwrap();
    decision
        .current()
        .within(client(&[node.addr]).check())
        .await
        .unwrap();
    let request = node.requests().remove(0);
    let traceparent = request
        .lines()
        .find_map(|line| line.strip_prefix("traceparent: "))
        .unwrap();
    // The trace is the gateway's, and the span the call's own.
    assert!(
        traceparent.starts_with(&parent[..36])
            && traceparent.ends_with("-01")
            && traceparent.len() == parent.len()
            && traceparent != parent,
        "{request}"
    );
}

#[tokio::test]
async fn a_name_stays_one_segment_of_the_path_on_the_wire() {
    let node = Stub::start(Manner::answer(200, CREATED)).await;
    let cluster = client(&[node.addr]);
    for (name, segment) in [
        ("a/b", "a%2Fb"),
        ("%2e%2e", "%252e%252e"),
        ("a b", "a%20b"),
        ("../_bulk", "..%2F_bulk"),
        ("x?refresh=true#", "x%3Frefresh%3Dtrue%23"),
        (r"a\b;c", "a%5Cb%3Bc"),
        ("a@b.test", "a%40b.test"),
    ] {
        write(&cluster, name).await.unwrap();
        let line = format!("PUT /_security/user/{segment}?refresh=false HTTP/1.1\r\n");
        assert!(node.requests().last().unwrap().starts_with(&line), "{name}");
    }
}

#[tokio::test]
async fn a_prefix_is_kept_and_user_information_is_not_sent() {
    let node = Stub::start(Manner::answer(404, "{}")).await;
    let urls = [format!("http://u:topsecret@{}/es/main/", node.addr)];
    let config = config(&urls);
    assert!(!format!("{config:?}").contains("topsecret"));
    let cluster = SecurityApi::new(&config, Clock::System, &ClusterTelemetry::default()).unwrap();
    assert_eq!(cluster.read_user(&joe()).await.unwrap(), None);
    let request = node.requests().remove(0);
    assert!(
        request.starts_with("GET /es/main/_security/user/joe HTTP/1.1\r\n")
            && !request.contains("topsecret"),
        "{request}"
    );
    assert!(request.contains(&format!("host: {}\r\n", node.addr)));
}

#[tokio::test]
async fn an_api_key_is_sent_as_it_is_and_one_that_no_header_carries_is_not_sent() {
    let node = Stub::start(Manner::answer(404, "{}")).await;
    let with = |key: &str| {
        let account = ServiceAccount::ApiKey(SecretString::from(key));
        SecurityApi::new(
            &Config {
                account,
                ..config(&[format!("http://{}", node.addr)])
            },
            Clock::System,
            &ClusterTelemetry::default(),
        )
        .unwrap()
    };
    assert_eq!(with("aWQ6a2V5").read_user(&joe()).await.unwrap(), None);
    assert!(
        node.requests()
            .remove(0)
            .contains("\r\nauthorization: ApiKey aWQ6a2V5\r\n")
    );
    assert_eq!(
        failure(with("two\nlines").read_user(&joe()).await),
        "Unsendable"
    );
    assert_eq!(node.requests().len(), 1);
}

#[tokio::test]
async fn nothing_shows_a_secret() {
    let node = Stub::start(Manner::answer(
        400,
        r#"{"error":{"type":"x_content_parse_exception","reason":"open sesame"}}"#,
    ))
    .await;
    let cluster = client(&[node.addr]);
    let error = write(&cluster, "joe").await.unwrap_err();
    assert_eq!(
        failure(Err::<(), _>(error.clone())),
        "400 x_content_parse_exception"
    );
    let config = config(&["https://u:open%20sesame@es".to_owned()]);
    let shown = format!("{error} {error:?} {cluster:?} {config:?} {:?}", password());
    assert!(
        !shown.contains("sesame") && !shown.contains("pw") && !shown.contains("c3ZjOnB3"),
        "{shown}"
    );
}
