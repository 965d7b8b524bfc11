//! The script for the account that `elastauth init` writes, on a real cluster with TLS.

use crate::support::{
    elasticsearch::{Elasticsearch, PASSWORD},
    opensearch::{self, Opensearch},
    part,
    process::command,
    tls::Authority,
};
use serde_json::{Value, json};
use std::{fs, process::Output};
use tempfile::TempDir;

fn run(desk: &TempDir, program: &str, arguments: &[&str], password: &str) -> Output {
    command(program)
        .current_dir(desk.path())
        .args(arguments)
        .envs(["ELASTIC_PASSWORD", "OPENSEARCH_PASSWORD"].map(|name| (name, password)))
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
    assert_eq!(user["roles"], json!(["elastauth"]));
}

/// The kit has a user of the account's name, which is reserved: here the account has another one.
fn init_for_opensearch(desk: &TempDir, folder: &str, cluster: &Opensearch) {
    let url = cluster.url();
    let arguments = [
        "init",
        folder,
        "--gateway",
        "traefik",
        "--run",
        "binary",
        "--host",
        "es.example.org",
        "--cluster",
        &url,
        "--cluster-kind",
        "opensearch",
        "--yes",
    ];
    let made = run(desk, env!("CARGO_BIN_EXE_elastauth"), &arguments, "");
    let said = String::from_utf8_lossy(&made.stdout);
    assert!(
        made.status.success() && said.contains("plugins.security.restapi.roles_enabled"),
        "{made:?}"
    );
    for (file, from, to) in [
        (
            "service-account.sh",
            "internalusers/elastauth",
            "internalusers/made",
        ),
        ("service-account.sh", "ask elastauth", "ask made"),
        ("config.yml", "username: elastauth", "username: made"),
    ] {
        let path = desk.path().join(folder).join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{text}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }
}

#[tokio::test]
async fn the_script_for_opensearch_makes_an_account_and_says_what_it_lacks() {
    let enabled = "plugins.security.restapi.roles_enabled=all_access,elastauth";
    let settings = [enabled];
    let (unlisted, cluster) = tokio::join!(Opensearch::shared(), Opensearch::start(&settings));
    let desk = tempfile::tempdir().unwrap();
    init_for_opensearch(&desk, "unlisted", unlisted);
    let script = ["unlisted/service-account.sh"];
    let refused = run(&desk, "sh", &script, opensearch::PASSWORD);
    let said = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && said.contains("roles_enabled"),
        "{refused:?}"
    );

    init_for_opensearch(&desk, "made", &cluster);
    let elastauth = env!("CARGO_BIN_EXE_elastauth");
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
    assert!(!wrong.status.success(), "{wrong:?}");
    // It may run again.
    for _ in 0..2 {
        let right = run(&desk, "sh", &script, opensearch::PASSWORD);
        let password = fs::read_to_string(desk.path().join("made/secrets/elasticsearch_password"));
        let said = format!("{right:?}");
        assert!(
            right.status.success() && !said.contains(password.unwrap().trim()),
            "{said}"
        );
    }
    let after = run(&desk, elastauth, &check, "");
    let said = String::from_utf8_lossy(&after.stdout);
    assert!(
        after.status.success() && said.contains("opensearch"),
        "{after:?}"
    );
    let user = cluster.user("made").await.expect("the account");
    assert_eq!(user["opendistro_security_roles"], json!(["elastauth"]));
}

/// Docker Compose reads the file, and the chart takes the values.
#[test]
fn compose_and_helm_take_what_is_written() {
    let desk = tempfile::tempdir().unwrap();
    let elastauth = env!("CARGO_BIN_EXE_elastauth");
    let usual = [
        "--yes",
        "--host",
        "es.example.org",
        "--cluster",
        "https://es1.example.org:9243",
    ];
    let redis = ["--redis", "rediss://redis.example.org:6379"];
    for gateway in ["traefik", "caddy", "nginx", "haproxy", "envoy"] {
        for replicas in ["1", "3"] {
            let folder = format!("{gateway}-{replicas}");
            let own = [
                "init",
                &folder,
                "--gateway",
                gateway,
                "--replicas",
                replicas,
            ];
            let made = run(&desk, elastauth, &[&own[..], &usual].concat(), "");
            assert!(made.status.success(), "{made:?}");
            let program = part("deploy/bin/compose-project");
            let file = format!("{folder}/compose.yml");
            let read = run(&desk, program.to_str().unwrap(), &[&file], "");
            assert!(read.status.success(), "{read:?}");
            let project: Value = serde_json::from_slice(&read.stdout).unwrap();
            let services: Vec<&String> = project["services"].as_object().unwrap().keys().collect();
            let store = usize::from(replicas != "1");
            assert_eq!(services.len(), 2 + store, "{services:?}");
        }
    }
    fs::write(desk.path().join("ca.pem"), Authority::new().pem()).unwrap();
    let own = ["init", "chart", "--run", "kubernetes", "--replicas", "2"];
    let ca = ["--cluster-ca", "ca.pem"];
    let made = run(
        &desk,
        elastauth,
        &[&own[..], &usual, &redis, &ca].concat(),
        "",
    );
    assert!(made.status.success(), "{made:?}");
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/deploy/helm/elastauth");
    let helm = part("deploy/bin/helm");
    let arguments = ["template", "elastauth", chart, "--kube-version", "1.30.0"];
    let values = ["--namespace", "search", "--values", "chart/values.yaml"];
    let rendered = run(
        &desk,
        helm.to_str().unwrap(),
        &[&arguments[..], &values].concat(),
        "",
    );
    let text = String::from_utf8_lossy(&rendered.stdout);
    assert!(rendered.status.success(), "{rendered:?}");
    for words in [
        "https://es1.example.org:9243",
        "port: 9243",
        "rediss://",
        "elastauth-ca",
    ] {
        assert!(text.contains(words), "no {words} in {text}");
    }
}
