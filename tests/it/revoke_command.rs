//! `elastauth users revoke` beside running replicas.

use crate::support::stage::{GATEWAY_KEY, Plan, Stage};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour};
use http::{HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use std::process::Output;

const KEY_FILE: [&str; 2] = ["--gateway-key-file", "gateway.key"];

async fn stage() -> Stage {
    let key = format!("{GATEWAY_KEY}\n");
    Stage::planned(Plan {
        files: &[("gateway.key", &key)],
        ..Plan::default()
    })
    .await
}

fn url(stage: &Stage) -> String {
    format!("http://127.0.0.1:{}", stage.elastauth.port())
}

async fn revoke(stage: &Stage, user: &str, arguments: &[&str]) -> Output {
    let command = [&["users", "revoke", user][..], arguments].concat();
    let output = stage.elastauth.command(&command).await;
    for printed in [&output.stdout, &output.stderr] {
        stage.hold_secrets("a command", &String::from_utf8_lossy(printed));
    }
    output
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

async fn login(stage: &Stage, user: &str) -> HeaderValue {
    let answer = stage.ask(user, "dev").await;
    assert!(stage.works(&answer), "{answer:?} {}", stage.elastauth.log());
    answer.headers[header::AUTHORIZATION].clone()
}

#[tokio::test]
async fn one_replica_revokes_and_each_other_one_that_is_named_is_told() {
    let stage = stage().await;
    let other = stage.replica(Plan::default()).await;
    let old = login(&stage, "alice").await;
    assert_eq!(login(&other, "alice").await, old);
    let (one, two) = (url(&stage), url(&other));
    let replicas = ["--replica", &one, "--replica", &two, "--json"];
    let output = revoke(&stage, "alice", &[&replicas[..], &KEY_FILE].concat()).await;
    assert!(output.status.success(), "{output:?}");
    let printed = json_of(&output);
    let asked: Vec<[&Value; 4]> = printed["replicas"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| ["replica", "action", "ok", "status"].map(|name| &one[name]))
        .collect();
    let expected = [
        [json!(one), json!("revoke"), json!(true), json!(200)],
        [json!(two), json!("recheck"), json!(true), json!(200)],
    ];
    assert_eq!(asked, [expected[0].each_ref(), expected[1].each_ref()]);
    assert_eq!(
        (&printed["user"], &printed["ok"]),
        (&json!("alice"), &json!(true))
    );
    assert!(!stage.cluster.accepts(&old));
    assert_eq!(login(&other, "alice").await, login(&stage, "alice").await);
}

#[tokio::test]
async fn without_a_replica_the_address_of_the_configuration_is_asked() {
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let stage = Stage::planned(Plan {
        more: &format!("admin: {{listen: '127.0.0.1:{port}'}}"),
        ..Plan::default()
    })
    .await;
    let old = login(&stage, "alice").await;
    let output = revoke(&stage, "alice", &[]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    for part in [
        format!("ok: revoke at http://127.0.0.1:{port}: default: The cluster refuses the old"),
        "warning: this replica shares no Redis with others".to_owned(),
    ] {
        assert!(text.contains(&part), "{part}: {text}");
    }
    assert!(!stage.cluster.accepts(&old));
    let asked = ["explain", "--user", "alice", "--groups", "dev", "--online"];
    let output = stage.elastauth.command(&asked).await;
    let text = String::from_utf8_lossy(&output.stdout);
    for part in [
        "generation 1: the login was revoked",
        "next       nothing: the user is as it",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let elsewhere = format!("http://127.0.0.1:{port}/elsewhere");
    for (url, why) in [
        (&*elsewhere, "must not have a path"),
        ("ftp://127.0.0.1", "must begin with http://"),
        ("http://a@127.0.0.1", "must be a scheme, a host and a port"),
    ] {
        let output = revoke(&stage, "alice", &["--replica", url]).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(
            !output.status.success() && text.contains(why),
            "{url}: {text}"
        );
    }
    assert_eq!(
        stage
            .elastauth
            .command(&["users", "revoke"])
            .await
            .status
            .code(),
        Some(2)
    );
}

#[tokio::test]
async fn what_is_not_done_fails_and_says_why() {
    let stage = stage().await;
    let old = login(&stage, "alice").await;
    let one = url(&stage);
    let ask = async |user: &str, more: &[&str]| {
        let output = revoke(&stage, user, &[&["--replica", &one], more].concat()).await;
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let text = ask("alice", &[]).await;
    assert!(text.contains("--gateway-key-file"), "{text}");
    let text = ask("nobody", &KEY_FILE).await;
    assert!(
        text.contains("failed: revoke at") && text.contains("no user of that name"),
        "{text}"
    );
    let text = ask("a:b", &KEY_FILE).await;
    assert!(text.contains("That cannot be a user"), "{text}");
    assert!(stage.cluster.accepts(&old));

    // A replica that does not answer is told of; the login is revoked all the same.
    let nobody = ["--replica", "http://127.0.0.1:1"];
    let text = ask("alice", &[&nobody[..], &KEY_FILE].concat()).await;
    assert!(
        text.contains("ok: revoke at") && text.contains("failed: recheck at http://127.0.0.1:1: "),
        "{text}"
    );
    assert!(!stage.cluster.accepts(&old));

    let forbidden = Misbehaviour::Status(StatusCode::FORBIDDEN);
    stage
        .cluster
        .fault(Fault::new(Endpoint::ApiKeys, forbidden));
    let text = ask("alice", &[&["--api-keys"][..], &KEY_FILE].concat()).await;
    assert!(
        text.contains("the API keys are not invalidated: "),
        "{text}"
    );
    stage.cluster.clear_faults();
    let _key = stage.cluster.add_api_key("alice", "native");
    let with_keys = [&["--api-keys", "--replica", &one][..], &KEY_FILE].concat();
    let output = revoke(&stage, "alice", &with_keys).await;
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("API keys: 1 invalidated, 0 not"),
        "{output:?}"
    );
    assert!(stage.cluster.valid_api_keys().is_empty());
}
