//! `elastauth explain --token-file`: why a token is refused, or what it gives.

use super::scene::Scene;
use serde_json::{Value, json};
use std::process::Stdio;
use tokio::io::AsyncWriteExt as _;

struct Told {
    text: String,
    json: Value,
}

async fn explain(scene: &Scene, token: &str) -> Told {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let run = async |more: &[&str]| {
        let arguments = [&["explain", "--token-file", file.to_str().unwrap()], more].concat();
        let output = scene.elastauth.command(&arguments).await;
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
    Told {
        text: run(&[]).await,
        json: serde_json::from_str(&run(&["--json"]).await).unwrap(),
    }
}

#[tokio::test]
async fn a_good_token_is_told_with_the_roles_that_its_claims_give() {
    let scene = Scene::new().await;
    let told = explain(&scene, &scene.idp.token(|_| {})).await;
    assert_eq!(
        (&told.json["provider"], &told.json["answer"]["status"]),
        (&json!("oidc"), &json!(200)),
        "{}",
        told.json
    );
    assert_eq!(told.json["identity"]["groups"], json!(["a,b", "dev"]));
    assert_eq!(
        told.json["roles"],
        json!([{ "role": "editor", "rule": "group_mappings", "pattern": "dev", "group": "dev" }])
    );
    assert_eq!(
        told.json["document"]["metadata"]["elastauth"]["subject"],
        "u1"
    );
    assert_eq!(
        (
            &told.json["token"]["form"],
            &told.json["token"]["says"]["iss"]
        ),
        (&json!("signed"), &json!(scene.idp.issuer))
    );
    assert!(
        told.text.contains("answer     200: a login")
            && told
                .text
                .contains("role       editor (group_mappings, dev)"),
        "{}",
        told.text
    );
    assert_eq!(scene.cluster.count(), 0, "the cluster was not asked");
}

#[tokio::test]
async fn a_bad_token_is_told_with_the_rule_that_it_breaks() {
    let scene = Scene::new().await;
    let other = scene
        .idp
        .token(|claims| claims["aud"] = json!(["account", "\u{1b}[31mred"]));
    let told = explain(&scene, &other).await;
    assert_eq!(
        (
            &told.json["answer"]["status"],
            &told.json["answer"]["outcome"]
        ),
        (&json!(401), &json!("token_refused"))
    );
    assert!(
        told.text.contains(
            "401: the identity is refused: the token is refused: the token is not for elastauth"
        ),
        "{}",
        told.text
    );
    assert!(
        told.text.contains("\"aud\":[\"account\"") && !told.text.contains('\u{1b}'),
        "what it says instead, and no terminal codes: {}",
        told.text
    );
    let nameless = scene
        .idp
        .token(|claims| drop(claims.as_object_mut().unwrap().remove("preferred_username")));
    assert!(explain(&scene, &nameless).await.text.contains(
        "403: the identity is refused: the token is in order, and no user can be made of its claims"
    ));
    for (token, form, words) in [
        ("opaque-token", "opaque", "the token is not signed"),
        ("e30.e30.e30", "unreadable", "the token is malformed"),
    ] {
        let told = explain(&scene, token).await;
        assert_eq!(told.json["token"]["form"], form);
        assert!(told.text.contains(words), "{}", told.text);
    }
}

#[tokio::test]
async fn standard_input_is_a_file_too() {
    let scene = Scene::new().await;
    let mut program = tokio::process::Command::new(env!("CARGO_BIN_EXE_elastauth"));
    program.arg("--config").arg(scene.elastauth.config()).args([
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
    let token = scene.idp.token(|_| {});
    running
        .stdin
        .take()
        .unwrap()
        .write_all(format!("Bearer {token}\n").as_bytes())
        .await
        .unwrap();
    let told: Value =
        serde_json::from_slice(&running.wait_with_output().await.unwrap().stdout).unwrap();
    assert_eq!(told["answer"]["status"], 200, "{told}");
    let beside = scene
        .elastauth
        .command(&["explain", "--token-file", "-", "--user", "alice"])
        .await;
    assert_eq!(beside.status.code(), Some(2), "one question at a time");
}
