//! elastauth in front of the stand-in cluster, for tokens of a real identity provider.

use super::{
    elastauth::Elastauth,
    http::Answer,
    wait::{Why, pause},
};
use ::elastauth::internals::demo::standin::{SERVICE_USER, StandIn};
use ::elastauth::internals::shutdown::Tasks;
use http::StatusCode;
use std::sync::Mutex;
use std::time::Duration;
use tokio::time::Instant;

/// Longer than the cool-down between two fetches of keys and than every `oidc.cache` of the tests.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Gate {
    cluster: StandIn,
    elastauth: Elastauth,
    /// All that it was shown, none of which may reach its log.
    shown: Mutex<Vec<String>>,
    _tasks: Tasks,
}

impl Gate {
    /// With these lines below `oidc:` beside the issuer and the client's name, and these below
    /// `group_mappings:`.
    pub(crate) async fn open(issuer: &str, oidc: &str, mappings: &str) -> Self {
        let tasks = Tasks::default();
        let cluster = StandIn::start(&tasks).await.expect("the stand-in");
        let indented = |lines: &str| {
            lines
                .lines()
                .fold(String::new(), |text, line| format!("{text}  {line}\n"))
        };
        let client = if oidc.contains("client_id:") {
            ""
        } else {
            "  client_id: elastauth\n"
        };
        let config = format!(
            "listen: 127.0.0.1:0\nlog_level: debug\n\
             secret_key: c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b\n\
             auth_provider: oidc\noidc:\n  issuer: {issuer}\n{client}{}group_mappings:\n{}\
             elasticsearch:\n  hosts: [\"{}\"]\n  username: {SERVICE_USER}\n  password: {}\n",
            indented(oidc),
            indented(mappings),
            cluster.url(),
            cluster.service_password()
        );
        let elastauth = Elastauth::start_anywhere(&config, &[]).await;
        Self {
            cluster,
            elastauth,
            shown: Mutex::default(),
            _tasks: tasks,
        }
    }

    pub(crate) async fn bearer(&self, token: &str) -> Answer {
        self.shown
            .lock()
            .expect("the tokens")
            .push(token.to_owned());
        self.ask("authorization", &format!("Bearer {token}")).await
    }

    pub(crate) async fn cookie(&self, name: &str, token: &str) -> Answer {
        self.ask("cookie", &format!("{name}={token}")).await
    }

    async fn ask(&self, header: &str, value: &str) -> Answer {
        let answer = self
            .elastauth
            .server()
            .get("/elastauth", &[(header, value)])
            .await;
        if answer.status != StatusCode::OK {
            assert!(
                answer.header("authorization").is_none(),
                "a login on {}",
                answer.status
            );
        }
        answer
    }

    /// The token must give a login that works in the cluster, with exactly these roles.
    pub(crate) async fn assert_login(&self, token: &str, user: &str, roles: &[&str]) {
        self.assert_grant(&self.bearer(token).await, user, roles);
    }

    pub(crate) fn assert_grant(&self, answer: &Answer, user: &str, roles: &[&str]) {
        assert_eq!(answer.status, StatusCode::OK, "{}", self.log());
        assert_eq!(answer.header("remote-user"), Some(user));
        assert!(
            self.cluster.accepts(&answer.headers["authorization"]),
            "{}",
            self.log()
        );
        assert_eq!(self.roles(user), roles);
    }

    /// The token must be refused, and the log must say why.
    pub(crate) async fn assert_refused(&self, token: &str, why: &str) {
        self.assert_refusal(&self.bearer(token).await, why);
    }

    pub(crate) fn assert_refusal(&self, answer: &Answer, why: &str) {
        assert_eq!(
            answer.status,
            StatusCode::UNAUTHORIZED,
            "{why}\n{}",
            self.log()
        );
        assert!(
            answer
                .header("www-authenticate")
                .is_some_and(|challenge| challenge.contains("invalid_token")),
            "{why}"
        );
        assert!(
            self.log().contains(why),
            "the log does not say `{why}`:\n{}",
            self.log()
        );
    }

    /// Waits until the token gets this status.
    ///
    /// # Panics
    /// When it does not within 20 seconds.
    pub(crate) async fn until(&self, token: &str, status: StatusCode) -> Answer {
        let end = Instant::now() + PATIENCE;
        loop {
            let answer = self.bearer(token).await;
            if answer.status == status {
                return answer;
            }
            assert!(
                Instant::now() < end,
                "still {}:\n{}",
                answer.status,
                self.log()
            );
            pause(Why::Again, Duration::from_millis(100)).await;
        }
    }

    /// Roles of a user in the cluster.
    pub(crate) fn roles(&self, user: &str) -> Vec<String> {
        self.cluster
            .user(user)
            .unwrap_or_else(|| panic!("no user {user}:\n{}", self.log()))
            .roles
    }

    /// The log.
    ///
    /// # Panics
    /// When a token that was shown is in it, or its end, which is what makes it worth something.
    pub(crate) fn log(&self) -> String {
        let log = self.elastauth.log();
        for token in self.shown.lock().expect("the tokens").iter() {
            let end = token.get(token.len().saturating_sub(24)..).unwrap_or(token);
            assert!(!log.contains(end), "a token is in the log:\n{log}");
        }
        log
    }

    /// Where identity providers end sessions.
    pub(crate) fn logout_uri(&self) -> String {
        format!(
            "http://{}/elastauth/oidc/backchannel-logout",
            self.elastauth.server().address()
        )
    }

    /// How often the cluster was called.
    pub(crate) fn calls(&self) -> usize {
        self.cluster.calls().len()
    }
}
