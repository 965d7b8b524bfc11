//! elastauth in front of a stand-in cluster, and the promises that hold for every answer, every
//! line of the log and every call, whatever a test is about.

use super::{
    elastauth::Elastauth,
    http::{Answer, Server, basic},
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use elastauth::internals::demo::standin::{SERVICE_USER, StandIn};
use elastauth::internals::shutdown::Tasks;
use http::{HeaderValue, Request, StatusCode, header};
use http_body_util::Full;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::timeout;

pub(crate) const SECRET_KEY: &str =
    "c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b";
pub(crate) const GATEWAY_KEY: &str = "0b6f0e3a7c5549d8a1f2c7e4";

/// Answers come within two seconds; a machine that does other things besides gets as much again.
const IN_TIME: Duration = Duration::from_secs(4);

/// How elastauth is set up; each line stands in its configuration file.
#[derive(Debug, Default)]
pub(crate) struct Plan<'a> {
    /// Other hosts than the stand-in.
    pub(crate) hosts: Option<Vec<String>>,
    /// Lines of the section `elasticsearch`, indented by two.
    pub(crate) elasticsearch: &'a str,
    /// Lines of their own sections.
    pub(crate) more: &'a str,
    pub(crate) files: &'a [(&'a str, &'a str)],
    pub(crate) environment: &'a [(&'a str, &'a str)],
}

#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) cluster: StandIn,
    pub(crate) elastauth: Elastauth,
    tasks: Tasks,
    /// Secrets that elastauth has handed out or was given: none of them may ever be said.
    secrets: Mutex<Vec<String>>,
}

impl Stage {
    pub(crate) async fn usual() -> Self {
        Self::planned(Plan::default()).await
    }

    pub(crate) async fn planned(plan: Plan<'_>) -> Self {
        let tasks = Tasks::default();
        let cluster = StandIn::start(&tasks).await.expect("a stand-in");
        Self::before(cluster, tasks, plan).await
    }

    /// In front of a cluster that is there already.
    pub(crate) async fn before(cluster: StandIn, tasks: Tasks, plan: Plan<'_>) -> Self {
        let elastauth =
            Elastauth::start_anywhere_in(&config(&cluster, &plan), plan.files, plan.environment)
                .await;
        Self::of(elastauth, cluster, tasks)
    }

    /// With this elastauth, which was started with [`config`].
    pub(crate) fn of(elastauth: Elastauth, cluster: StandIn, tasks: Tasks) -> Self {
        let password = cluster.service_password().to_owned();
        let account = STANDARD.encode(format!("{SERVICE_USER}:{password}"));
        let mut secrets = vec![
            SECRET_KEY.to_owned(),
            GATEWAY_KEY.to_owned(),
            password,
            account,
            cluster.api_key().to_owned(),
        ];
        // OpenSearch has no API keys.
        secrets.retain(|secret| !secret.is_empty());
        Self {
            cluster,
            elastauth,
            tasks,
            secrets: Mutex::new(secrets),
        }
    }

    /// One more elastauth for the same cluster; `self` keeps watch over its own only.
    pub(crate) async fn replica(&self, plan: Plan<'_>) -> Self {
        Self::before(self.cluster.clone(), self.tasks.clone(), plan).await
    }

    pub(crate) fn gateway(&self) -> &Server {
        self.elastauth.server()
    }

    /// Somebody on the same machine who is not in `trusted_proxies`.
    pub(crate) fn untrusted(&self) -> Server {
        self.gateway().from(Ipv4Addr::new(127, 0, 0, 2))
    }

    /// Asks as the gateway, for this user with these groups.
    pub(crate) async fn ask(&self, user: &str, groups: &str) -> Answer {
        self.send(
            self.gateway(),
            question(
                "/elastauth",
                &[
                    ("remote-user", user.as_bytes()),
                    ("remote-groups", groups.as_bytes()),
                ],
            ),
        )
        .await
    }

    /// Sends a question and holds the answer to what is promised of each.
    pub(crate) async fn send(&self, from: &Server, question: Request<Full<Bytes>>) -> Answer {
        let asked = format!("{} {}", question.method(), question.uri());
        let answer = timeout(IN_TIME, from.send(question)).await;
        let answer = answer
            .unwrap_or_else(|_| panic!("{asked}: no answer in time; {}", self.elastauth.log()));
        let answer =
            answer.unwrap_or_else(|fault| panic!("{asked}: {fault}; {}", self.elastauth.log()));
        self.hold(&asked, &answer);
        answer
    }

    /// What holds for every answer to a question: 200 with exactly one login and nothing else in
    /// it, or a refusal without one.
    pub(crate) fn hold(&self, asked: &str, answer: &Answer) {
        let logins: Vec<&HeaderValue> = answer
            .headers
            .get_all(header::AUTHORIZATION)
            .iter()
            .collect();
        assert_eq!(
            answer
                .headers
                .get(header::CACHE_CONTROL)
                .map(HeaderValue::as_bytes),
            Some(&b"no-store"[..]),
            "{asked}: {answer:?}"
        );
        if answer.status == StatusCode::OK {
            assert_eq!(
                (logins.len(), answer.body.len()),
                (1, 0),
                "{asked}: {answer:?}"
            );
            for name in [
                "remote-user",
                "remote-groups",
                "remote-email",
                "remote-name",
            ] {
                assert_eq!(
                    answer.headers.get_all(name).iter().count(),
                    1,
                    "{asked}: {name}"
                );
            }
            self.learn(logins[0]);
        } else {
            assert!(
                !answer.status.is_success()
                    && !answer.status.is_informational()
                    && logins.is_empty(),
                "{asked}: {answer:?}"
            );
            self.hold_secrets(&format!("the answer to {asked}"), &answer.text());
        }
    }

    /// Whether the cluster takes the login of this answer.
    pub(crate) fn works(&self, answer: &Answer) -> bool {
        answer
            .headers
            .get(header::AUTHORIZATION)
            .is_some_and(|login| self.cluster.accepts(login))
    }

    /// Calls that elastauth has made, each in a line.
    pub(crate) fn calls(&self) -> Vec<String> {
        self.cluster
            .calls()
            .iter()
            .filter(|call| !call.through_gateway)
            .map(elastauth::internals::demo::standin::RecordedCall::line)
            .collect()
    }

    /// How many calls of elastauth begin so.
    pub(crate) fn called(&self, start: &str) -> usize {
        let calls = self.calls();
        calls.iter().filter(|call| call.starts_with(start)).count()
    }

    /// A metric as it is now.
    pub(crate) async fn number(&self, series: &str) -> u64 {
        let key = [("x-elastauth-key", GATEWAY_KEY)];
        let text = self.gateway().get("/elastauth/metrics", &key).await.text();
        let line = text
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {series} in {text}"))
            .parse()
            .expect("a number")
    }

    /// Makes sure of an answer's status and code.
    pub(crate) fn says(&self, answer: &Answer, status: u16, code: &str) {
        let found = if answer.body.is_empty() {
            Value::Null
        } else {
            answer.json()["code"].clone()
        };
        assert_eq!(
            (answer.status.as_u16(), found),
            (status, Value::from(code)),
            "{}",
            self.elastauth.log()
        );
    }

    fn learn(&self, login: &HeaderValue) {
        let encoded = login
            .to_str()
            .ok()
            .and_then(|text| text.strip_prefix("Basic "))
            .expect("a Basic login");
        let pair = String::from_utf8(STANDARD.decode(encoded).expect("base64")).expect("UTF-8");
        let (user, password) = pair.split_once(':').expect("a name and a password");
        assert_eq!(basic(user, password), format!("Basic {encoded}"));
        let mut secrets = self.secrets.lock().expect("the secrets");
        if !secrets.iter().any(|known| known == password) {
            secrets.extend([password.to_owned(), encoded.to_owned()]);
        }
    }

    /// Makes sure that `text` tells no secret.
    pub(crate) fn hold_secrets(&self, place: &str, text: &str) {
        for secret in &*self.secrets.lock().expect("the secrets") {
            assert!(
                !text.contains(secret.as_str()),
                "{place} tells {secret}:\n{text}"
            );
        }
    }
}

/// At the end of each test: nothing secret was logged, and nothing but the intended calls has
/// reached the cluster.
impl Drop for Stage {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let log = self.elastauth.log();
        self.hold_secrets("the log", &log);
        assert!(
            !log.contains("{PBKDF2}") && !log.contains("panicked"),
            "{log}"
        );
        for call in self
            .cluster
            .calls()
            .iter()
            .filter(|call| !call.through_gateway)
        {
            let name = call.path.strip_prefix("/_security/user/");
            let internal = call.path.strip_prefix(INTERNAL_USERS);
            let intended = match call.method.as_str() {
                "GET" => {
                    call.path == "/_security/_authenticate"
                        || call.path == "/_plugins/_security/authinfo"
                        || internal.is_some_and(|rest| {
                            let name = rest.strip_prefix('/');
                            rest.is_empty() || name.is_some_and(is_one_segment)
                        })
                        || name.is_some_and(is_one_segment)
                        || call.path.starts_with("/_security/api_key?username=")
                        || call.path.starts_with("/_security/user?filter_path=")
                }
                "DELETE" => {
                    let name = name.map(|name| name.strip_suffix("?refresh=false").unwrap_or(name));
                    call.path == "/_security/api_key" || name.is_some_and(is_one_segment)
                }
                "PATCH" => internal == Some(""),
                "POST" => call.path.starts_with("/_security/_query/user?filter_path="),
                "PUT" => name
                    .and_then(|name| {
                        let writes = ["?refresh=false", "/_disable", "/_enable"];
                        writes.iter().find_map(|end| name.strip_suffix(end))
                    })
                    .is_some_and(is_one_segment),
                _ => false,
            };
            assert!(intended, "{} has reached the cluster", call.line());
        }
    }
}

/// Of OpenSearch; writes of users go to the list itself.
const INTERNAL_USERS: &str = "/_plugins/_security/api/internalusers";

fn is_one_segment(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with('_')
        && ![".", "..", "elastic", SERVICE_USER].contains(&name)
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte))
}

/// A question of the gateway about this user, who is in `dev`.
pub(crate) fn for_user(user: &str) -> Request<Full<Bytes>> {
    let headers = [("remote-user", user.as_bytes()), ("remote-groups", b"dev")];
    question("/elastauth", &headers)
}

/// A question of the gateway, with its key.
pub(crate) fn question(target: &str, headers: &[(&str, &[u8])]) -> Request<Full<Bytes>> {
    let mut request = Request::get(target)
        .header(header::HOST, "elastauth.test")
        .header("x-elastauth-key", GATEWAY_KEY);
    for (name, value) in headers {
        request = request.header(
            *name,
            HeaderValue::from_bytes(value).expect("a header value"),
        );
    }
    request.body(Full::default()).expect("a question")
}

/// The configuration of elastauth on a port that it chooses.
pub(crate) fn config(cluster: &StandIn, plan: &Plan<'_>) -> String {
    let hosts = plan.hosts.clone().unwrap_or_else(|| vec![cluster.url()]);
    let Plan {
        elasticsearch,
        more,
        ..
    } = plan;
    // A user's moment may come at any time, and a test that counts calls wants none that is not its
    // own.
    let seldom = if more.contains("cache:") {
        ""
    } else {
        "cache: {expiration: 744h}"
    };
    // So may a look through the users for those who stay away.
    let staying = if more.contains("credentials:") {
        ""
    } else {
        "credentials: {park: false}"
    };
    format!(
        r#"
listen: 127.0.0.1:0
log_level: debug
trusted_proxies: [127.0.0.1/32]
gateway_keys: ["{GATEWAY_KEY}"]
auth_provider: authelia
secret_key: "{SECRET_KEY}"
default_roles: [viewer]
group_mappings:
  dev: [editor]
  ops: [monitoring_user]
elasticsearch:
  hosts: {hosts:?}
  username: {SERVICE_USER}
  password: "{password}"
{elasticsearch}
{seldom}
{staying}
{more}
"#,
        password = cluster.service_password(),
    )
}
