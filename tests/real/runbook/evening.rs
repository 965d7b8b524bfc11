//! The situations of the runbook: for each section a running program in the trouble that it is
//! about.

use crate::support::{
    elastauth::{Elastauth, private},
    http::Answer,
    idp::Idp,
    page::Step,
    process::command,
    until,
};
use elastauth::internals::{
    demo::standin::{Endpoint, Fault, Misbehaviour, SERVICE_USER, StandIn, StoredUser},
    shutdown::Tasks,
};
use serde_json::json;
use std::path::PathBuf;
use tempfile::TempDir;

pub(super) const GATEWAY_KEY: &str = "0b6f0e3a7c5549d8a1f2c7e4";
pub(super) const ADMIN: &str = "an administrator's password";

/// Nobody listens on the port that TCP reserves for its multiplexer.
const NOBODY: &str = "127.0.0.1:1";

/// What is set differently in a section.
#[derive(Default)]
struct Setting {
    /// The whole of `trusted_proxies`.
    trusted: Option<&'static str>,
    default_roles: Option<&'static str>,
    hosts: Option<String>,
    account_password: Option<&'static str>,
    auth_provider: Option<&'static str>,
    /// Lines of their own.
    more: String,
}

/// A running elastauth with its cluster, in some trouble or other.
pub(super) struct Evening {
    pub(super) cluster: StandIn,
    elastauth: Elastauth,
    port: u16,
    /// Where commands are run; `config.yml`, `audit.jsonl` and the saved log are there.
    home: TempDir,
    _idp: Option<Idp>,
    _tasks: Tasks,
}

impl Evening {
    async fn usual() -> Self {
        Self::with(|_| Setting::default()).await
    }

    async fn with(setting: impl FnOnce(&StandIn) -> Setting) -> Self {
        let tasks = Tasks::default();
        let cluster = StandIn::start(&tasks).await.unwrap();
        cluster.set_user(StoredUser::new("elastic", ADMIN).with_roles(&["superuser"]));
        let (home, setting) = (tempfile::tempdir().unwrap(), setting(&cluster));
        let elastauth =
            Elastauth::start_anywhere(&Self::config(&cluster, 0, &home, &setting), &[]).await;
        let port = elastauth.server().address().port();
        // Its commands have to be given the port that it has got.
        std::fs::write(
            home.path().join("config.yml"),
            Self::config(&cluster, port, &home, &setting),
        )
        .unwrap();
        private(&home.path().join("config.yml"));
        Self {
            cluster,
            elastauth,
            port,
            home,
            _idp: None,
            _tasks: tasks,
        }
    }

    fn config(cluster: &StandIn, port: u16, home: &TempDir, setting: &Setting) -> String {
        let host = setting.hosts.clone().unwrap_or_else(|| cluster.url());
        format!(
            "listen: 127.0.0.1:{port}\ntrusted_proxies: [{trusted}]\n\
             gateway_keys: [\"{GATEWAY_KEY}\"]\nauth_provider: {provider}\n\
             secret_key: c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b\n\
             {default_roles}\n\
             group_mappings:\n  dev: [editor]\n  admins: [superuser]\nenable_metrics: true\n\
             audit: {{path: {audit}}}\n\
             elasticsearch:\n  hosts: [\"{host}\"]\n  username: {SERVICE_USER}\n  password: \
             \"{password}\"\n{more}",
            trusted = setting.trusted.unwrap_or("127.0.0.1/32"),
            provider = setting.auth_provider.unwrap_or("authelia"),
            default_roles = setting.default_roles.unwrap_or("default_roles: [viewer]"),
            audit = home.path().join("audit.jsonl").display(),
            password = setting
                .account_password
                .unwrap_or(cluster.service_password()),
            more = setting.more,
        )
    }

    /// Asks as the gateway, with these headers beside its key.
    async fn asks(&self, headers: &[(&str, &str)]) -> Answer {
        let key = [("x-elastauth-key", GATEWAY_KEY)];
        let asked = [
            ("x-forwarded-host", "kibana.example.org"),
            ("x-forwarded-uri", "/app/home?token=hidden"),
            ("x-request-id", "0af7651916cd43dd"),
        ];
        self.elastauth
            .server()
            .get("/elastauth", &[&key[..], &asked, headers].concat())
            .await
    }

    async fn user(&self, user: &str, groups: &str) -> u16 {
        self.asks(&[("remote-user", user), ("remote-groups", groups)])
            .await
            .status
            .as_u16()
    }

    /// The variables of the page, as they are here.
    fn variables(&self) -> Vec<(&'static str, String)> {
        let log = self.home.path().join("elastauth.log");
        std::fs::write(&log, self.elastauth.log()).unwrap();
        vec![
            ("ELASTAUTH", format!("http://127.0.0.1:{}", self.port)),
            ("GATEWAY_KEY", GATEWAY_KEY.to_owned()),
            ("LOG", log.display().to_string()),
            ("ELASTICSEARCH", self.cluster.url()),
            ("ADMIN", format!("elastic:{ADMIN}")),
            ("TEST_USER", "alice".to_owned()),
            ("TEST_GROUPS", "dev".to_owned()),
            (
                "export ELASTAUTH_CONFIG",
                self.home.path().join("config.yml").display().to_string(),
            ),
        ]
    }

    /// Runs a step below the variables and functions of the page, which keep their place and get
    /// the values of this evening.
    pub(super) fn run(&self, preamble: &str, step: &Step) -> (Option<i32>, String) {
        let mut variables = self.variables();
        let set = |line: &str| match line.split_once('=') {
            Some((name, _)) if !line.contains('(') => {
                let at = variables
                    .iter()
                    .position(|(known, _)| *known == name)
                    .unwrap_or_else(|| panic!("nobody sets {name}"));
                let (name, value) = variables.remove(at);
                format!("{name}='{}'", value.replace('\'', r"'\''"))
            }
            _ => line.to_owned(),
        };
        let script: Vec<String> = preamble.lines().map(set).collect();
        let mut shell = command("sh");
        let bin = PathBuf::from(env!("CARGO_BIN_EXE_elastauth"));
        // One stream, as on a terminal.
        let script = format!(
            "exec 2>&1\nset -eu\nPATH='{}':$PATH\n{}\n{}",
            bin.parent().unwrap().display(),
            script.join("\n"),
            step.script
        );
        let output = shell
            .current_dir(self.home.path())
            .args(["-c", &script])
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8_lossy(&output.stdout).into_owned(),
        )
    }
}

/// The evening on which a section is needed.
pub(super) async fn evening(section: &str) -> Evening {
    match section {
        "Look here first" => {
            let evening = Evening::usual().await;
            assert_eq!(
                (
                    evening.user("elastic", "dev").await,
                    evening.user("alice", "dev").await
                ),
                (403, 200)
            );
            evening
        }
        "401 for everybody: the gateway is not trusted" => {
            let evening = Evening::with(|_| Setting {
                trusted: Some("192.0.2.20/32"),
                ..Setting::default()
            })
            .await;
            assert_eq!(evening.user("alice", "dev").await, 401);
            evening
        }
        "401 though somebody is signed in: no identity arrives" => {
            let evening = Evening::usual().await;
            assert_eq!(evening.asks(&[]).await.status, 401);
            evening
        }
        "401 for people with a token: the token is refused" => {
            let (evening, idp) = with_tokens().await;
            assert_eq!(
                evening
                    .bearer(&idp.token(|claims| claims["aud"] = json!("another")))
                    .await,
                401
            );
            Evening {
                _idp: Some(idp),
                ..evening
            }
        }
        "401 from Elasticsearch while elastauth says 200: the login gets lost"
        | "500: a fault of elastauth" => Evening::usual().await,
        "400: the identity is malformed" => {
            let evening = Evening::usual().await;
            assert_eq!(evening.user("alice,mallory", "dev").await, 400);
            evening
        }
        "403 for everybody: the gateway shows no key" => {
            let evening = Evening::usual().await;
            let wrong = [
                ("x-elastauth-key", "another gateway's key"),
                ("remote-user", "alice"),
            ];
            assert_eq!(
                evening
                    .elastauth
                    .server()
                    .get("/elastauth", &wrong)
                    .await
                    .status,
                403
            );
            evening
        }
        "403: no role, or no allowed group" => {
            let evening = Evening::with(|_| Setting {
                default_roles: Some(""),
                ..Setting::default()
            })
            .await;
            assert_eq!(evening.user("carol", "sales").await, 403);
            evening
        }
        "403: the user is disabled in the cluster" => {
            let evening = Evening::usual().await;
            assert_eq!(evening.user("alice", "ops").await, 200);
            assert!(evening.cluster.set_enabled("alice", false));
            // Other groups are a reason to look.
            assert_eq!(evening.user("alice", "dev").await, 403);
            evening
        }
        "403: the cluster has a user of that name already" => {
            let evening = Evening::usual().await;
            evening
                .cluster
                .set_user(StoredUser::new("alice", "somebody else's").with_roles(&["superuser"]));
            assert_eq!(evening.user("alice", "dev").await, 403);
            evening
        }
        "403: the name cannot be a user" => {
            let evening = Evening::usual().await;
            assert_eq!(
                (
                    evening.user("elastic", "dev").await,
                    evening.user("al:ice", "dev").await
                ),
                (403, 403)
            );
            evening
        }
        "403: the claims of a token make no user" => {
            let (evening, idp) = with_tokens().await;
            let token = idp
                .token(|claims| drop(claims.as_object_mut().unwrap().remove("preferred_username")));
            assert_eq!(evening.bearer(&token).await, 403);
            Evening {
                _idp: Some(idp),
                ..evening
            }
        }
        "503: the cluster refuses elastauth's own account" => {
            let evening = Evening::with(|_| Setting {
                account_password: Some("an old password"),
                ..Setting::default()
            })
            .await;
            assert_eq!(evening.user("alice", "dev").await, 503);
            evening
        }
        "503: the cluster is away" => {
            let evening = Evening::with(|_| Setting {
                hosts: Some(format!("http://{NOBODY}")),
                ..Setting::default()
            })
            .await;
            assert_eq!(evening.user("alice", "dev").await, 503);
            evening
        }
        "503: the cluster is too slow" => {
            let evening = Evening::usual().await;
            evening
                .cluster
                .fault(Fault::new(Endpoint::Write, Misbehaviour::Hang));
            assert_eq!(evening.user("alice", "dev").await, 503);
            evening
        }
        "503: the identity provider is away" => {
            let (evening, mut idp) = with_tokens().await;
            idp.leave().await;
            assert_eq!(evening.bearer(&idp.token(|_| {})).await, 503);
            Evening {
                _idp: Some(idp),
                ..evening
            }
        }
        "503: the groups of a user change back and forth" => {
            let evening = Evening::with(|_| Setting {
                more: "users: {writes_per_minute: 1}\n".to_owned(),
                ..Setting::default()
            })
            .await;
            for (groups, status) in [("dev", 200), ("admins", 200), ("dev", 503)] {
                assert_eq!(evening.user("alice", groups).await, status);
            }
            evening
        }
        "The gateway says 500 or 502: elastauth is not there" => {
            let mut evening = Evening::usual().await;
            assert!(evening.elastauth.terminate().await.success());
            evening
        }
        "It is slow"
        | "Somebody has the wrong roles"
        | "A login has leaked"
        | "Lines of the audit stream are lost" => {
            let evening = Evening::usual().await;
            for _ in 0..3 {
                assert_eq!(evening.user("alice", "dev").await, 200);
            }
            let audit = evening.home.path().join("audit.jsonl");
            until("the line of the audit stream", || {
                std::fs::read_to_string(&audit).is_ok_and(|text| text.ends_with('\n'))
            })
            .await;
            evening
        }
        "Nobody is pruned" => {
            let evening = with_users_who_stayed_away().await;
            let line = "would delete more than half of all users";
            until(line, || evening.elastauth.log().contains(line)).await;
            evening
        }
        "It does not start" => {
            let evening = Evening::usual().await;
            let config = evening.home.path().join("config.yml");
            let text = std::fs::read_to_string(&config).unwrap();
            std::fs::write(
                &config,
                text.replace("default_roles", "defualt_roles") + "log_level: loud\n",
            )
            .unwrap();
            evening
        }
        "Changed, and nothing happens" => {
            let evening = Evening::usual().await;
            let said =
                async |words: &str| until(words, || evening.elastauth.log().contains(words)).await;
            evening
                .elastauth
                .edit(|config| config.replace("dev: [editor]", "dev: [monitoring_user]"));
            said("has changed and is in force").await;
            evening
                .elastauth
                .edit(|config| config.replace("default_roles", "defualt_roles"));
            said("did you mean `default_roles`").await;
            // Commands of the page look at a copy of its file.
            std::fs::write(
                evening.home.path().join("config.yml"),
                evening.elastauth.file("config.yml"),
            )
            .unwrap();
            evening
        }
        "Redis is in trouble" => {
            let more = format!("cache: {{type: redis, redis_host: \"{NOBODY}\"}}\n");
            let evening = Evening::with(|_| Setting {
                more,
                ..Setting::default()
            })
            .await;
            until("the trouble", || {
                evening.elastauth.log().contains("Redis is in trouble")
            })
            .await;
            evening
        }
        other => panic!("there is no evening for the section {other:?}"),
    }
}

/// Twelve of this deployment, of whom it is noted when they were seen.
async fn with_users_who_stayed_away() -> Evening {
    // The id of the key is the same wherever the key is.
    let other = Evening::usual().await;
    assert_eq!(other.user("alice", "dev").await, 200);
    let alice = other.cluster.user("alice").unwrap();
    let key = alice.metadata["elastauth"]["key"].clone();
    Evening::with(|cluster| {
        for number in 1..=12 {
            let name = format!("away-{number:02}");
            let mut user = StoredUser::new(&name, "of-long-ago").with_roles(&["viewer"]);
            let marker = json!({
                "epoch": 7, "key": key, "provider": "authelia", "parked": true,
                "last_seen": "2026-01-01/2026-01-03",
            });
            user.metadata.insert("elastauth".to_owned(), marker);
            cluster.set_user(user);
        }
        // It looks every half second.
        let more = "credentials: {rotation: 6s, grace: 500ms, park: false}\n\
                    users: {prune_after: 12s}\n";
        Setting {
            more: more.to_owned(),
            ..Setting::default()
        }
    })
    .await
}

async fn with_tokens() -> (Evening, Idp) {
    let idp = Idp::start().await;
    let more = format!(
        "oidc: {{issuer: \"{}\", client_id: elastauth}}\n",
        idp.issuer
    );
    (
        Evening::with(|_| Setting {
            auth_provider: Some("[oidc, authelia]"),
            more,
            ..Setting::default()
        })
        .await,
        idp,
    )
}

impl Evening {
    async fn bearer(&self, token: &str) -> u16 {
        self.asks(&[("authorization", &format!("Bearer {token}"))])
            .await
            .status
            .as_u16()
    }
}
