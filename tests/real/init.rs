//! The script for the account that `elastauth init` writes, on a real cluster with TLS.

use crate::support::{
    elasticsearch::{Elasticsearch, PASSWORD},
    process::command,
    tls::Authority,
};
use std::{fs, process::Output};
use tempfile::TempDir;

fn run(desk: &TempDir, program: &str, arguments: &[&str], password: &str) -> Output {
    command(program)
        .current_dir(desk.path())
        .args(arguments)
        .env("ELASTIC_PASSWORD", password)
        .output()
        .unwrap_or_else(|why| panic!("{program}: {why}"))
}

#[tokio::test]
async fn the_script_makes_an_account_that_can_do_its_work_and_no_more() {
    let authority = Authority::new();
    let cluster = Elasticsearch::start(Some(&authority)).await;
    let desk = tempfile::tempdir().unwrap();
    fs::write(desk.path().join("ca.pem"), authority.pem()).unwrap();
    let url = cluster.url();
    let arguments = [
        "init",
        "made",
        "--gateway",
        "traefik",
        "--run",
        "binary",
        "--provider",
        "authelia",
        "--host",
        "es.example.org",
        "--kibana-host",
        "kibana.example.org",
        "--auth-host",
        "auth.example.org",
        "--cluster",
        &url,
        "--cluster-ca",
        "ca.pem",
    ];
    let elastauth = env!("CARGO_BIN_EXE_elastauth");
    let made = run(&desk, elastauth, &arguments, "");
    assert!(made.status.success(), "{made:?}");

    let check = [
        "check",
        "--online",
        "--try-login",
        "--config",
        "made/config.yml",
    ];
    let before = run(&desk, elastauth, &check, "");
    assert!(!before.status.success(), "{before:?}");
    let script = ["made/service-account.sh"];
    let wrong = run(&desk, "sh", &script, "wrong \"password\\");
    let said = String::from_utf8_lossy(&wrong.stdout);
    assert!(
        !wrong.status.success() && said.contains("security_exception"),
        "{wrong:?}"
    );
    // It may run again.
    for _ in 0..2 {
        let right = run(&desk, "sh", &script, PASSWORD);
        let password = fs::read_to_string(desk.path().join("made/secrets/elasticsearch_password"));
        let said = format!("{right:?}");
        assert!(
            right.status.success() && !said.contains(password.unwrap().trim()),
            "{said}"
        );
    }
    let after = run(&desk, elastauth, &check, "");
    assert!(after.status.success(), "{after:?}");
    let user = cluster.user("elastauth").await.expect("the account");
    assert_eq!(user["roles"], serde_json::json!(["elastauth"]));
}
