//! `elastauth explain --token-file`: why a token is refused, or what it gives.

use super::setup::Setup;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;

struct Explained {
    text: String,
    json: Value,
}

async fn explain(setup: &Setup, token: &str) -> Explained {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let run = async |more: &[&str]| {
        let arguments = [&["explain", "--token-file", file.to_str().unwrap()], more].concat();
        let output = setup.elastauth.command(&arguments).await;
        assert!(
            output.status.success(),
            "a refusal is an answer too: {output:?}"
        );
        let said =
            String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
        for part in token.split('.').filter(|part| part.len() > 20) {
            assert!(
                !said.contains(&part[..20]),
                "the token is not repeated: {said}"
            );
        }
        said
    };
    Explained {
        text: run(&[]).await,
        json: serde_json::from_str(&run(&["--json"]).await).unwrap(),
    }
}

#[tokio::test]
async fn a_good_token_is_explained_with_the_roles_that_its_claims_give() {
    let setup = Setup::new().await;
    let explained = explain(&setup, &setup.idp.token(|_| {})).await;
    assert_eq!(
        (
            &explained.json["provider"],
            &explained.json["answer"]["status"]
        ),
        (&json!("oidc"), &json!(200)),
        "{}",
        explained.json
    );
    assert_eq!(explained.json["identity"]["groups"], json!(["a,b", "dev"]));
    assert_eq!(
        explained.json["roles"],
        json!([{ "role": "editor", "rule": "group_mappings", "pattern": "dev", "group": "dev" }])
    );
    assert_eq!(
        explained.json["document"]["metadata"]["elastauth"]["subject"],
        "u1"
    );
    assert_eq!(
        (
            &explained.json["token"]["form"],
            &explained.json["token"]["says"]["iss"]
        ),
        (&json!("signed"), &json!(setup.idp.issuer))
    );
    assert!(
        explained.text.contains("answer     200: a login")
            && explained
                .text
                .contains("role       editor (group_mappings, dev)"),
        "{}",
        explained.text
    );
    assert_eq!(setup.cluster.calls().len(), 0, "the cluster was not asked");
}

#[tokio::test]
async fn a_bad_token_is_explained_with_the_rule_that_it_breaks() {
    let setup = Setup::new().await;
    let other = setup
        .idp
        .token(|claims| claims["aud"] = json!(["account", "\u{1b}[31mred"]));
    let explained = explain(&setup, &other).await;
    assert_eq!(
        (
            &explained.json["answer"]["status"],
            &explained.json["answer"]["outcome"]
        ),
        (&json!(401), &json!("token_refused"))
    );
    assert!(
        explained.text.contains(
            "401: the identity is refused: the token is refused: the token is not for elastauth"
        ),
        "{}",
        explained.text
    );
    assert!(
        explained.text.contains("\"aud\":[\"account\"") && !explained.text.contains('\u{1b}'),
        "what it says instead, and no terminal codes: {}",
        explained.text
    );
    let nameless = setup
        .idp
        .token(|claims| drop(claims.as_object_mut().unwrap().remove("preferred_username")));
    assert!(explain(&setup, &nameless).await.text.contains(
        "403: the identity is refused: the token is in order, and no user can be made of its claims"
    ));
    for (token, form, words) in [
        ("opaque-token", "opaque", "the token is not signed"),
        ("e30.e30.e30", "unreadable", "the token is malformed"),
    ] {
        let explained = explain(&setup, token).await;
        assert_eq!(explained.json["token"]["form"], form);
        assert!(explained.text.contains(words), "{}", explained.text);
    }
}

#[tokio::test]
async fn standard_input_is_a_file_too() {
    let setup = Setup::new().await;
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_elastauth"));
    program.arg("--config").arg(setup.elastauth.config()).args([
        "explain",
        "--token-file",
        "-",
        "--json",
    ]);
    let mut running = program
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let token = setup.idp.token(|_| {});
    running
        .stdin
        .take()
        .unwrap()
        .write_all(format!("Bearer {token}\n").as_bytes())
        .await
        .unwrap();
    let explained: Value =
        serde_json::from_slice(&running.wait_with_output().await.unwrap().stdout).unwrap();
    assert_eq!(explained["answer"]["status"], 200, "{explained}");
    let beside = setup
        .elastauth
        .command(&["explain", "--token-file", "-", "--user", "alice"])
        .await;
    assert_eq!(beside.status.code(), Some(2), "one question at a time");
}
