//! What the operator's commands say, and that they change nothing. The program as it is shipped, in
//! front of the stand-in cluster.

use crate::support::{elastauth::Elastauth, find, process::command};
use elastauth::internals::{
    demo::standin::{
        Endpoint, Fault, Misbehaviour, RecordedCall, SERVICE_USER, StandIn, StoredUser,
    },
    shutdown::Tasks,
};
use http::StatusCode;
use serde_json::{Value, json};
use std::{os::unix::fs::PermissionsExt as _, process::Output, time::Duration};
use tempfile::TempDir;
use tokio::{process::Command, time::timeout};

const SECRET_KEY: &str = "5b0e4a6fd2c97381f0a4be6c1d7e93528c2f6b1a0d94e7738fb15c60a29ed847";

/// A configuration in a folder of its own, and the cluster that it names.
struct Desk {
    cluster: StandIn,
    home: TempDir,
    _tasks: Tasks,
}

impl Desk {
    async fn new() -> Self {
        let tasks = Tasks::default();
        let desk = Self {
            cluster: StandIn::start(&tasks).await.unwrap(),
            home: tempfile::tempdir().unwrap(),
            _tasks: tasks,
        };
        desk.configure(SERVICE_USER, desk.cluster.service_password(), "");
        desk
    }

    fn configure(&self, account: &str, password: &str, more: &str) {
        let text = format!(
            "listen: 127.0.0.1:0\nsecret_key: {SECRET_KEY}\ndefault_roles: [viewer]\n\
             group_mappings:\n  \"team-*\": [editor]\n\
             elasticsearch:\n  hosts: [\"{}\"]\n  username: {account}\n  password: {password}\n\
             {more}",
            self.cluster.url()
        );
        std::fs::write(self.home.path().join("config.yml"), text).unwrap();
        // A file that others can read is warned of.
        let private = std::fs::Permissions::from_mode(0o700);
        std::fs::set_permissions(self.home.path(), private).unwrap();
    }

    async fn run(&self, arguments: &[&str]) -> Output {
        let mut program = Command::new(env!("CARGO_BIN_EXE_elastauth"));
        program
            .env_clear()
            .current_dir(self.home.path())
            .args(arguments)
            .output()
            .await
            .unwrap()
    }

    async fn json(&self, arguments: &[&str]) -> (bool, Value) {
        let output = self.run(arguments).await;
        let printed = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{arguments:?}: {output:?}"));
        (output.status.success(), printed)
    }
}

#[tokio::test]
async fn explain_says_which_rule_gave_which_role_and_asks_nobody() {
    let desk = Desk::new().await;
    let (ok, printed) = desk
        .json(&[
            "explain",
            "--user",
            "alice",
            "--groups",
            "Team-A,others",
            "--email",
            "a@example.org",
            "--json",
        ])
        .await;
    assert!(ok);
    assert_eq!(
        printed["identity"],
        json!({ "user": "alice", "groups": ["Team-A", "others"],
            "email": "a@example.org", "full_name": null })
    );
    assert_eq!(
        printed["roles"],
        json!([
            { "role": "editor", "rule": "group_mappings", "pattern": "team-*", "group": "Team-A" },
            { "role": "viewer", "rule": "default_roles" }
        ])
    );
    assert_eq!(
        (&printed["provider"], &printed["document"]["roles"]),
        (&json!("authelia"), &json!(["editor", "viewer"]))
    );
    assert_eq!(
        (&printed["answer"]["status"], &printed["cluster"]),
        (&json!(200), &Value::Null)
    );
    assert_eq!(desk.cluster.count(), 0);
}

#[tokio::test]
async fn explain_online_foresees_what_the_next_request_does_and_writes_nothing() {
    let desk = Desk::new().await;
    let asked = [
        "explain", "--user", "alice", "--groups", "team-a", "--online", "--json",
    ];
    let (_, printed) = desk.json(&asked).await;
    assert_eq!(
        (&printed["cluster"]["found"], &printed["cluster"]["next"]),
        (&Value::Null, &json!("the user is written (first login)"))
    );

    desk.cluster
        .set_user(StoredUser::new("alice", "somebody else's").with_roles(&["superuser"]));
    let (ok, printed) = desk.json(&asked).await;
    assert_eq!(
        (
            ok,
            &printed["answer"]["status"],
            &printed["answer"]["outcome"]
        ),
        (true, &json!(403), &json!("foreign_user"))
    );
    assert_eq!(printed["cluster"]["found"]["roles"], json!(["superuser"]));

    let (_, printed) = desk
        .json(&["explain", "--user", "elastic", "--json", "--online"])
        .await;
    assert_eq!(printed["answer"]["outcome"], "reserved_name");
    let (_, printed) = desk
        .json(&["explain", "--header", "Remote-User: a,b", "--json"])
        .await;
    assert_eq!(
        (&printed["answer"]["outcome"], &printed["provider"]),
        (&json!("malformed"), &json!("authelia"))
    );
    let (_, printed) = desk.json(&["explain", "--json"]).await;
    assert_eq!(
        (&printed["answer"]["outcome"], &printed["provider"]),
        (&json!("nobody_asks"), &Value::Null)
    );
    let (ok, _) = desk
        .json(&[
            "explain",
            "--user",
            "alice",
            "--cluster",
            "default",
            "--json",
        ])
        .await;
    let other = desk
        .run(&["explain", "--user", "alice", "--cluster", "production"])
        .await;
    assert!(
        ok && !other.status.success()
            && String::from_utf8_lossy(&other.stderr).contains("it has \"default\"")
    );
    assert!(
        desk.cluster
            .calls()
            .iter()
            .all(|call| call.line().starts_with("GET")),
        "{:?}",
        desk.cluster.calls()
    );
}

#[tokio::test]
async fn check_online_tells_a_good_account_from_a_weak_and_a_wrong_one() {
    let desk = Desk::new().await;
    let verdicts = |printed: &Value| -> Vec<bool> {
        printed["tried"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|tried| tried["skipped"] == false)
            .map(|tried| tried["ok"] == true)
            .collect()
    };
    let (ok, printed) = desk.json(&["check", "--online", "--json"]).await;
    assert_eq!(
        (ok, verdicts(&printed), &printed["ok"]),
        (true, vec![true, true, true], &json!(true))
    );

    desk.cluster
        .set_user(StoredUser::new("weak", "weak-password").with_roles(&["viewer"]));
    desk.configure("weak", "weak-password", "");
    let (ok, printed) = desk.json(&["check", "--online", "--json"]).await;
    assert_eq!((ok, verdicts(&printed)), (false, vec![true, true, false]));
    assert!(
        printed["tried"][2]["found"]
            .as_str()
            .unwrap()
            .contains("cluster:admin/xpack/security/user/put")
    );

    desk.configure("weak", "wrong-password", "");
    let (ok, printed) = desk.json(&["check", "--online", "--json"]).await;
    assert_eq!((ok, verdicts(&printed)), (false, vec![false]));
    assert!(!printed.to_string().contains("wrong-password"));
    assert!(
        desk.cluster
            .calls()
            .iter()
            .all(|call| !call.line().starts_with("PUT"))
    );
}

#[tokio::test]
async fn check_online_tries_a_login_only_if_it_is_told_to() {
    let desk = Desk::new().await;
    let last = |printed: &Value| printed["tried"].as_array().unwrap().last().unwrap().clone();
    // Nobody can be asked: there is no terminal.
    let (ok, printed) = desk.json(&["check", "--online", "--json"]).await;
    assert!(ok && last(&printed)["skipped"] == true, "{printed}");
    let said = String::from_utf8(desk.run(&["check", "--online"]).await.stdout).unwrap();
    assert!(
        said.contains("not tried: login of a fresh user: ") && said.contains("`--try-login`"),
        "{said}"
    );
    let written = || {
        let calls = desk.cluster.calls();
        calls
            .iter()
            .filter(|call| call.line().starts_with("PUT"))
            .count()
    };
    assert_eq!(written(), 0);

    let trial = ["check", "--online", "--try-login", "--json"];
    let (ok, printed) = desk.json(&trial).await;
    assert!(ok && last(&printed)["ok"] == true, "{printed}");
    let calls: Vec<String> = desk
        .cluster
        .calls()
        .iter()
        .map(RecordedCall::line)
        .collect();
    let [.., put, login, delete] = calls.as_slice() else {
        panic!("{calls:?}")
    };
    assert!(
        put.starts_with("PUT /_security/user/elastauth-check-") && put.ends_with("200"),
        "{put}"
    );
    assert_eq!(login, "GET /_security/_authenticate 200");
    let path = put.split('?').next().unwrap().trim_start_matches("PUT ");
    assert_eq!(
        *delete,
        format!("DELETE {path} 200"),
        "the user is gone again"
    );

    desk.cluster
        .fault(Fault::new(Endpoint::Write, Misbehaviour::WriteBlocked).times(1));
    let (ok, printed) = desk.json(&trial).await;
    let found = last(&printed)["found"].to_string();
    assert!(!ok && found.contains("blocked for writing"), "{printed}");

    // The cluster takes the write and refuses the login: its native realm is switched off.
    desk.cluster.fault(Fault::new(
        Endpoint::Authenticate,
        Misbehaviour::Status(StatusCode::UNAUTHORIZED),
    ));
    let (ok, printed) = desk.json(&trial).await;
    let found = last(&printed)["found"].to_string();
    assert!(!ok && found.contains("native realm"), "{printed}");
    assert!(
        desk.cluster
            .calls()
            .last()
            .unwrap()
            .line()
            .starts_with("DELETE")
    );
}

#[tokio::test]
async fn a_faulty_configuration_ends_every_command_with_all_its_faults() {
    let desk = Desk::new().await;
    desk.configure(SERVICE_USER, "x", "defualt_roles: [a]\nlog_level: loud\n");
    for command in [
        &["check"][..],
        &["explain", "--user", "alice"],
        &["healthcheck"],
        &[],
    ] {
        let output = desk.run(command).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{command:?} {said}");
        assert!(
            said.contains("did you mean `default_roles`") && said.contains("log_level"),
            "{command:?} {said}"
        );
    }
}

#[tokio::test]
async fn a_file_of_variables_that_is_too_large_is_a_fault_and_not_half_a_file() {
    let desk = Desk::new().await;
    let large = format!("{}\nELASTAUTH_LISTEN=here\n", "#".repeat(5 << 20));
    std::fs::write(desk.home.path().join(".env"), large).unwrap();
    let output = desk.run(&["check"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success()
            && said.starts_with("fault: .env:1: the file is larger than 4 MiB"),
        "{said}"
    );
}

#[tokio::test]
async fn healthcheck_sees_whether_anybody_answers() {
    let desk = Desk::new().await;
    let nobody = desk.run(&["--listen", "127.0.0.1:1", "healthcheck"]).await;
    assert_eq!(nobody.status.code(), Some(1));

    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .and_then(|socket| socket.local_addr())
        .unwrap()
        .port();
    let listen = format!("127.0.0.1:{port}");
    let mut serving = Command::new(env!("CARGO_BIN_EXE_elastauth"));
    let serving = serving
        .env_clear()
        .current_dir(desk.home.path())
        .args(["--listen", &listen])
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let healthy = async || {
        let check = desk.run(&["--listen", &listen, "healthcheck"]).await;
        check.status.success().then_some(())
    };
    find(
        "a healthy program",
        std::time::Duration::from_secs(20),
        healthy,
    )
    .await;
    drop(serving);
}

#[tokio::test]
async fn what_shells_and_readers_of_manuals_need_can_be_printed() {
    let desk = Desk::new().await;
    for (arguments, word) in [
        (&["completions", "bash"][..], "complete -F"),
        (&["completions", "fish"], "complete -c elastauth"),
        (&["man"], ".TH elastauth"),
    ] {
        let output = desk.run(arguments).await;
        assert!(
            output.status.success() && String::from_utf8_lossy(&output.stdout).contains(word),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn time_zones_are_the_programs_own_so_that_no_machine_has_other_boundaries() {
    let desk = Desk::new().await;
    let zone = |name: &str| {
        let more = format!(
            "credentials: {{rotation_window: '02:00-05:00', rotation_time_zone: {name}}}\n"
        );
        desk.configure(SERVICE_USER, desk.cluster.service_password(), &more);
    };
    // A database of time zones as systems have it, with one that nobody else has.
    let block = [
        &b"TZif2"[..],
        &[0; 15],
        &[0; 16],
        &[0, 0, 0, 1, 0, 0, 0, 4],
        &[0; 6],
        b"UTC\0",
    ]
    .concat();
    std::fs::create_dir_all(desk.home.path().join("zones/Made")).unwrap();
    std::fs::write(
        desk.home.path().join("zones/Made/Up"),
        [&block[..], &block, b"\nUTC0\n"].concat(),
    )
    .unwrap();
    let check = async || {
        let mut program = Command::new(env!("CARGO_BIN_EXE_elastauth"));
        program
            .env_clear()
            .env("TZDIR", desk.home.path().join("zones"))
            .current_dir(desk.home.path())
            .arg("check")
            .output()
            .await
            .unwrap()
    };
    zone("Made/Up");
    let output = check().await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    assert!(
        !output.status.success() && printed.contains("no such time zone"),
        "{printed}"
    );
    // And none is missing where the system has none at all.
    zone("Europe/Berlin");
    assert!(check().await.status.success());
}

#[tokio::test]
async fn user_information_and_queries_are_hidden_wherever_an_address_is_shown() {
    const MARK: &str = "MARKED-not-to-be-seen";
    let config = format!(
        "listen: 127.0.0.1:0\nsecret_key: {SECRET_KEY}\ndefault_roles: [viewer]\n\
         auth_provider: oidc\noidc: {{issuer: \"http://127.0.0.1:1/realm\", client_id: a, \
         client_secret: s, token_validation: both, \
         jwks_uri: \"http://127.0.0.1:1/keys?code={MARK}\", \
         introspection_endpoint: \"http://127.0.0.1:1/i?code={MARK}\"}}\n\
         elasticsearch: {{hosts: [\"http://127.0.0.1:1\"], username: a, password: b}}\n\
         cache: {{type: redis, redis_host: \"user:{MARK}@127.0.0.1:1\"}}\n"
    );
    let elastauth = Elastauth::start_anywhere(&config, &[]).await;
    let server = elastauth.server();
    for token in [
        "opaque",
        "eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwOi8vMTI3LjAuMC4xOjEvcmVhbG0ifQ.AA",
    ] {
        let authorization = format!("Bearer {token}");
        server
            .get("/elastauth", &[("authorization", &authorization)])
            .await;
    }
    let page = server.get("/elastauth/config", &[]).await.text();
    assert!(page.contains("http://127.0.0.1:1/keys?***"), "{page}");
    assert!(page.contains("***@127.0.0.1:1"), "{page}");
    let mut shown = vec![page, elastauth.log()];
    for arguments in [
        &["config"][..],
        &["config", "--json"],
        &["check"],
        &["check", "--online"],
    ] {
        let output = elastauth.command(arguments).await;
        shown.push(format!("{output:?}"));
    }
    for text in shown {
        assert!(!text.contains("MARKED"), "{text}");
    }
}

#[tokio::test]
async fn check_names_what_people_often_write_by_mistake() {
    let config = format!(
        "listen: 127.0.0.1:0\nsecret_key: {SECRET_KEY}\ndefault_roles: [viewer]\n\
         trusted_proxies: [127.0.0.1, 192.0.2.20/32]\ngateway_keys_file: /etc/elastauth/key\n\
         auth_provider: oidc\noidc: {{client_id: a, \
         issuer: \"http://127.0.0.1:1/.well-known/openid-configuration\"}}\n\
         elasticsearch: {{hosts: [\"http://127.0.0.1:1\"], api_key: \"id:an-api-key\"}}\n"
    );
    let elastauth = Elastauth::start_anywhere(&config, &[("key", "\"0123456789abcdef\"")]).await;
    let output = elastauth.command(&["check"]).await;
    let said = String::from_utf8_lossy(&output.stdout);
    for text in [
        "192.0.2.20/32, an address of documentation from which nobody connects",
        "the issuer is what comes before `/.well-known/`",
        "`elasticsearch.api_key` is in the form `id:key`",
        "`gateway_keys` has quotes around it, or white space at an end",
    ] {
        assert!(said.contains(text), "{text}: {said}");
    }
    assert!(
        !said.contains("an-api-key") && !said.contains("0123456789abcdef"),
        "{said}"
    );
    for wrong in [
        format!("\"'{SECRET_KEY}'\""),
        format!("\"{SECRET_KEY}\\r\""),
    ] {
        elastauth.edit(|config| config.replace(SECRET_KEY, &wrong));
        let output = elastauth.command(&["check"]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            said.contains("remove the quotes or the white space around it"),
            "{said}"
        );
        assert!(!said.contains(SECRET_KEY), "{said}");
        elastauth.edit(|config| config.replace(&wrong, SECRET_KEY));
    }
}

/// The tour takes itself, and the exit code says whether each step did what it should.
#[tokio::test]
async fn the_demonstration_works_behind_a_gateway_and_alone() {
    for (arguments, says) in [
        (&["demo", "--once"][..], "Ada has signed in at the gateway"),
        (&["demo", "--once", "--proxy"], "Ada brings a token"),
    ] {
        let mut program = Command::from(command(env!("CARGO_BIN_EXE_elastauth")));
        let shown = program.args(arguments).kill_on_drop(true).output();
        let shown = timeout(Duration::from_mins(1), shown).await;
        let shown = shown.expect("an end").unwrap();
        let story = String::from_utf8_lossy(&shown.stdout);
        assert!(shown.status.success(), "{arguments:?}: {shown:?}");
        assert!(story.contains(says), "{story}");
        assert!(story.ends_with("All six went as told.\n"), "{story}");
    }
}
