//! deploy/compose/proxy with its own files as processes: the secrets of its script, its
//! configuration, the script that makes the accounts in a real Elasticsearch, a real issuer, and
//! curl as the guide has it. Only addresses and folders are others. Kibana is a stand-in.

use super::chromium::server::Application;
use crate::support::{
    elastauth::Elastauth,
    elasticsearch::{Elasticsearch, PASSWORD},
    oidc_provider::OidcProvider,
    process::command,
    tls::{Signed, TlsFront, front},
};
use std::{
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;

fn files() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/compose")
}

/// What it prints, if it ends well.
async fn run(mut program: Command) -> String {
    program.current_dir(files());
    let output = tokio::process::Command::from(program).output().await;
    let output = output.expect("a command");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    said
}

/// Variables of a service.
fn variables(secrets: &Path, service: &str) -> Vec<(String, String)> {
    let text = std::fs::read_to_string(secrets.join(format!("{service}.env"))).unwrap();
    let pairs = text.lines().filter_map(|line| line.split_once('='));
    pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Speaks TLS with the certificate that the script has made for this service.
async fn as_service(secrets: &Path, service: &str, port: u16) -> TlsFront {
    let read = |name: &str| std::fs::read_to_string(secrets.join(service).join(name)).unwrap();
    let signed = Signed {
        certificate: read("tls.crt"),
        key: read("tls.key"),
    };
    front(signed.server(), port).await
}

/// Runs the script of the service `cluster-setup`.
async fn make_accounts(secrets: &Path, home: &Path, port: u16) {
    let script = std::fs::read_to_string(files().join("setup-cluster.sh")).unwrap();
    let script = script
        .replace(
            "https://elasticsearch:9200",
            &format!("https://localhost:{port}"),
        )
        .replace(
            "/certs/ca.crt",
            &secrets.join("ca.crt").display().to_string(),
        )
        .replace("/tmp/answer", &home.join("answer").display().to_string());
    let mut shell = command("sh");
    shell
        .args(["-c", &script])
        .envs(variables(secrets, "cluster-setup"))
        .env("ELASTIC_PASSWORD", PASSWORD);
    let said = run(shell).await;
    assert!(said.contains("has the accounts"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_files_of_compose_work_with_a_real_cluster_and_a_real_issuer() {
    let home = TempDir::new().unwrap();
    let secrets = home.path().join("secrets");
    let mut script = command(files().join("proxy/make-secrets.sh"));
    script.arg(&secrets);
    run(script).await;
    let cluster = Elasticsearch::start(None).await;
    let url = cluster.url();
    let (_, port) = url.rsplit_once(':').unwrap();
    let elasticsearch = as_service(&secrets, "elasticsearch", port.parse().unwrap()).await;
    make_accounts(&secrets, home.path(), elasticsearch.port).await;
    let application = Application::start().await;
    let kibana = as_service(&secrets, "kibana", application.port).await;
    let provider = OidcProvider::start(&[("r", "RS256")], &[]).await;

    let config = std::fs::read_to_string(files().join("proxy/config.yml")).unwrap();
    let config = config
        .replace("listen: 0.0.0.0:5000", "listen: 127.0.0.1:0")
        .replace(
            "/run/secrets",
            &secrets.join("elastauth").display().to_string(),
        )
        .replace(
            "https://elasticsearch:9200",
            &format!("https://localhost:{}", elasticsearch.port),
        )
        .replace(
            "https://kibana:5601",
            &format!("https://localhost:{}", kibana.port),
        )
        .replace("search-readers", "dev");
    let issuer = provider.issuer();
    let variables = variables(&secrets, "elastauth");
    let mut environment: Vec<(&str, &str)> = variables
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    environment.push(("OIDC_ISSUER", &issuer));
    let elastauth = Elastauth::start_anywhere_in(&config, &[], &environment).await;

    let token = provider
        .access_token("elastauth", "alice", Some("https://rs256.test"))
        .await;
    let ask = async |host: &str, path: &str, token: &str| {
        let port = elastauth.port();
        let mut curl = command("curl");
        curl.args(["-sS", "--max-time", "60", "--cacert"])
            .arg(secrets.join("ca.crt"))
            .args(["--resolve", &format!("{host}:{port}:127.0.0.1")])
            .args(["-w", "\n%{http_version} %{http_code}"])
            .args(["-H", &format!("Authorization: Bearer {token}")])
            .arg(format!("https://{host}:{port}{path}"));
        run(curl).await
    };
    let whoami = "/_security/_authenticate";
    let said = ask("elasticsearch.example.org", whoami, &token).await;
    assert!(
        said.contains("\"username\":\"alice\"") && said.contains("\"viewer\""),
        "{said}"
    );
    assert!(said.ends_with("\n2 200"), "{said}\n{}", elastauth.log());
    let said = ask("kibana.example.org", "/api/me", &token).await;
    assert!(said.starts_with("{\"user\":\"alice\"}\n"), "{said}");
    let login = application.logins().pop().unwrap();
    assert_eq!(cluster.authenticate(&login).await.status, 200);
    let refused = ask("elasticsearch.example.org", whoami, "a.b.c").await;
    assert!(refused.ends_with(" 401"), "{refused}");
    // What the log says and what the guide promises: each request, by its user.
    let log = elastauth.log();
    assert!(
        log.contains("\"user\":\"alice\"") && log.contains("\"upstream\":\"kibana\""),
        "{log}"
    );
    let secrets = ["ELASTICSEARCH_PASSWORD", "SECRET_KEY"];
    for (name, value) in &variables {
        assert!(
            !secrets.contains(&name.as_str()) || !log.contains(value),
            "{name} in {log}"
        );
    }
}
