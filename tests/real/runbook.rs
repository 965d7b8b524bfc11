//! Every command of docs/RUNBOOK.md, run with a real shell in the very situation that its section
//! is about, against the program as it is shipped. What it prints and how it ends has to be what
//! the page shows below it; a command without that, or a section without a situation, fails.

use crate::support::{
    elastauth::{Elastauth, private},
    http::Answer,
    idp::Idp,
    page::{self, Step},
    process::command,
    until,
};
use elastauth::internals::{
    config::{self, Flags, Sources},
    demo::standin::{Endpoint, Fault, Misbehaviour, SERVICE_USER, StandIn, StoredUser},
    outcome::Refusal,
    shutdown::Tasks,
};
use serde_json::json;
use std::{collections::BTreeSet, path::PathBuf};
use tempfile::TempDir;

const GATEWAY_KEY: &str = "0b6f0e3a7c5549d8a1f2c7e4";
const ADMIN: &str = "an administrator's password";

/// Nobody listens on the port that TCP reserves for its multiplexer.
const NOBODY: &str = "127.0.0.1:1";

/// Where the page sets its variables.
const VARIABLES: &str = "Set these once";

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
struct Evening {
    cluster: StandIn,
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
    fn run(&self, preamble: &str, step: &Step) -> (Option<i32>, String) {
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
async fn evening(section: &str) -> Evening {
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

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_runbook_does_what_the_page_says() {
    let page = page::read("RUNBOOK.md");
    let steps = page::steps(&page);
    let (preamble, steps): (Vec<Step>, Vec<Step>) = steps
        .into_iter()
        .partition(|step| step.section == VARIABLES);
    let [preamble] = preamble.as_slice() else {
        panic!("one block of variables")
    };
    assert!(steps.len() >= 30, "{}", steps.len());
    // What is to be typed stands in a block: there is no second kind of command, which nobody runs.
    let typed = [
        "ask ",
        "curl ",
        "docker ",
        "elastauth ",
        "es ",
        "grep ",
        "journalctl ",
        "kubectl ",
        "redis-cli ",
        "tail ",
        "try_user ",
    ];
    let in_a_line = page
        .split('`')
        .skip(1)
        .step_by(2)
        .find(|span| !span.contains('\n') && typed.iter().any(|word| span.starts_with(word)));
    assert_eq!(in_a_line, None, "a command within a sentence");
    let (mut faults, mut last) = (Vec::new(), None::<(String, Evening)>);
    for step in steps {
        let shown = step.shown.as_ref().unwrap_or_else(|| {
            panic!(
                "line {}: the page does not say what the command prints",
                step.line
            )
        });
        let now = match last.take() {
            Some((section, now)) if section == step.section => now,
            _ => evening(&step.section).await,
        };
        let (code, said) = now.run(&preamble.script, &step);
        let secret = [GATEWAY_KEY, ADMIN, now.cluster.service_password(), "Basic "]
            .into_iter()
            .find(|secret| said.contains(secret));
        if let Err(why) = page::compare(&shown.lines, &said) {
            faults.push(format!("line {}: {why}\n{said}", step.line));
        }
        if code != Some(shown.exit) || secret.is_some() {
            faults.push(format!(
                "line {}: ended with {code:?}; secrets in the output: {secret:?}\n{said}",
                step.line
            ));
        }
        last = Some((step.section, now));
    }
    assert!(
        faults.is_empty(),
        "the page is not true:\n{}",
        faults.join("\n")
    );
}

#[test]
fn what_the_guide_for_replicas_configures_is_taken_without_a_word() {
    let blocks = page::yaml(&page::read("replicas.md"));
    assert!(blocks.len() >= 4, "{blocks:?}");
    let key = |first: char| {
        format!("{first}1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b")
    };
    let (old, new) = (key('b'), key('c'));
    let environment = [
        ("SECRET_KEY", &*new),
        ("SECRET_KEY_NEW", &new),
        ("SECRET_KEY_OLD", &old),
        ("REDIS_PASSWORD", "x"),
    ];
    for block in blocks {
        let own_key = if block.contains("secret_key:") {
            ""
        } else {
            "secret_key: \"${SECRET_KEY}\"\n"
        };
        let rest = "default_roles: [viewer]\n\
            elasticsearch: {hosts: [\"https://es:9200\"], username: elastauth, password: p}\n";
        let file = format!("{own_key}{rest}{block}\n");
        let checked = config::check(
            &Sources::given(Flags::default(), &environment)
                .with_file("config.yml", file.as_bytes()),
        );
        assert!(
            checked.warnings.is_empty() && checked.outcome.is_ok(),
            "{block}\n{checked:#?}"
        );
    }
}

#[test]
fn every_outcome_of_the_status_table_has_a_symptom_and_every_link_a_section() {
    let page = page::read("RUNBOOK.md");
    for refusal in Refusal::ALL {
        assert!(
            page.lines().any(
                |line| line.starts_with('|') && line.contains(&format!("`{}`", refusal.name()))
            ),
            "{refusal:?} is in no row"
        );
    }
    let anchor = |heading: &str| -> String {
        let kept = heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
            .collect::<String>();
        kept.replace(' ', "-")
    };
    for name in ["RUNBOOK.md", "replicas.md"] {
        let page = page::read(name);
        let targets: Vec<&str> = page
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .collect();
        assert!(!targets.is_empty());
        for target in targets {
            let (file, wanted) = target.split_once('#').unwrap_or((target, ""));
            let text = page::read(if file.is_empty() { name } else { file });
            let anchors: BTreeSet<String> = text
                .lines()
                .filter(|line| line.starts_with('#'))
                .map(|line| anchor(line.trim_start_matches('#').trim()))
                .collect();
            assert!(
                wanted.is_empty() || anchors.contains(wanted),
                "{name}: {target} leads nowhere"
            );
        }
    }
}
