//! Where requests go on to, and what the program says about it.

use super::setup::{OK, Setup, Upstream, header, read_answer, request};
use crate::support::{
    elastauth::{Elastauth, private},
    page,
    process::command,
    stage::{GATEWAY_KEY, Plan, SECRET_KEY, Stage},
    tls::Authority,
};
use elastauth::internals::{
    demo::standin::{SERVICE_USER, StandIn},
    shutdown::Tasks,
};
use serde_json::Value;
use tokio::io::AsyncWriteExt as _;

async fn answering() -> Upstream {
    Upstream::start(|mut connection| async move {
        while connection.head().await.is_some() {
            connection.say(OK.as_bytes()).await;
        }
    })
    .await
}

/// elastauth with these upstreams beside the stand-in, which is the cluster.
async fn beside(kibana: &Upstream, apm: &Upstream) -> Stage {
    let elasticsearch = format!(
        "  upstreams:\n    - name: kibana\n      url: \"http://127.0.0.1:{}\"\n      match: {{hosts: \
         [kibana.example]}}\n    - name: apm\n      url: \"http://127.0.0.1:{}/in\"\n      match: \
         {{paths: [/apm]}}\n      strip_prefix: true\n      host_header: upstream\n",
        kibana.port, apm.port
    );
    Stage::planned(Plan {
        elasticsearch: &elasticsearch,
        more: "proxy: {enabled: true}\naccess_log: json\n",
        ..Plan::default()
    })
    .await
}

#[tokio::test]
async fn kibana_is_on_one_host_name_and_the_cluster_on_another() {
    let (kibana, apm) = (answering().await, answering().await);
    let stage = beside(&kibana, &apm).await;
    let ask = async |line: &str, host: &str| {
        let text = request(line, "alice", "").replace("es.example:9200", host);
        let mut stream = stage.gateway().connect().await.unwrap();
        tokio::io::AsyncWriteExt::write_all(&mut stream, text.as_bytes())
            .await
            .unwrap();
        super::setup::read_answer(&mut stream).await
    };
    // The cluster itself, under any other name.
    let whoami = ask("GET /_security/_authenticate", "es.example").await;
    assert!(whoami.contains("\"username\":\"alice\""), "{whoami}");
    assert!(
        ask("GET /app/home?a=b", "Kibana.example:443")
            .await
            .ends_with("ok")
    );
    let head = kibana.head();
    assert!(head.starts_with("GET /app/home?a=b HTTP/1.1\r\n"), "{head}");
    assert_eq!(header(&head, "host"), Some("Kibana.example:443"));
    let login = header(&head, "authorization").unwrap().parse().unwrap();
    assert!(stage.cluster.accepts(&login));
    for (line, seen) in [
        ("GET /apm/intake?x", "GET /in/intake?x "),
        ("GET /apm", "GET /in/ "),
        ("GET /apm?x", "GET /in/?x "),
    ] {
        assert!(ask(line, "es.example").await.ends_with("ok"), "{line}");
        let head = apm.heads().pop().unwrap();
        assert!(head.starts_with(seen), "{line}: {head}");
        let host = format!("127.0.0.1:{}", apm.port);
        assert_eq!(header(&head, "host"), Some(&*host));
    }
    let log = stage.elastauth.log();
    assert!(log.contains("\"upstream\":\"kibana\""), "{log}");
    // The name of the cluster is still a path of its own.
    let apmx = ask("GET /apmx", "es.example").await;
    assert!(apmx.starts_with("HTTP/1.1 4"), "{apmx}");
    assert_eq!(apm.heads().len(), 3);
}

#[tokio::test]
async fn the_program_says_in_which_mode_it_runs() {
    let setup = Setup::answering(OK).await;
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    for path in ["health", "live", "ready", "config"] {
        let path = format!("/elastauth/{path}");
        let answer = setup.stage.gateway().get(&path, &key).await;
        assert_eq!(answer.json()["mode"], "proxy", "{path}");
    }
    let stage = Stage::usual().await;
    let answer = stage.gateway().get("/elastauth/health", &key).await;
    assert_eq!(answer.json()["mode"], "auth-only");
}

#[tokio::test]
async fn a_check_and_an_explanation_know_the_servers() {
    let (kibana, apm) = (answering().await, answering().await);
    let stage = beside(&kibana, &apm).await;
    let said = async |arguments: &[&str]| {
        let output = stage.elastauth.command(arguments).await;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        text + &String::from_utf8_lossy(&output.stderr)
    };
    let checked = said(&["check", "--online"]).await;
    for upstream in ["kibana", "apm"] {
        let ok = format!("ok: upstream {upstream} http://127.0.0.1:");
        assert!(checked.contains(&ok), "{checked}");
    }
    let explain = async |host: &str, path: &str| {
        let options = [
            "--user", "alice", "--groups", "dev", "--host", host, "--path", path,
        ];
        said(&[&["explain"], &options[..]].concat()).await
    };
    let cluster = explain("es.example", "/a").await;
    assert!(
        cluster.contains("goes to    the cluster: http://127.0.0.1:"),
        "{cluster}"
    );
    let beside = explain("kibana.example", "/a").await;
    assert!(
        beside.contains("goes to    kibana: http://127.0.0.1:"),
        "{beside}"
    );
    let json = said(&[
        "explain", "--user", "alice", "--host", "es", "--path", "/apm/x", "--json",
    ]);
    let json: Value = serde_json::from_str(&json.await).unwrap();
    assert_eq!(json["server"]["name"], "apm");
    drop(kibana);
    // A check asks more of the cluster than a request does.
    stage.cluster.forget_calls();
    let checked = said(&["check", "--online"]).await;
    assert!(
        checked.contains("failed: upstream kibana http://127.0.0.1:"),
        "{checked}"
    );
    stage.cluster.forget_calls();
}

/// Asks under this host name.
async fn ask(stage: &Stage, line: &str, host: &str) -> String {
    let text = request(line, "alice", "").replace("es.example:9200", host);
    let mut stream = stage.gateway().connect().await.unwrap();
    stream.write_all(text.as_bytes()).await.unwrap();
    read_answer(&mut stream).await
}

#[tokio::test]
async fn a_server_that_is_away_takes_nothing_else_away() {
    let (kibana, apm) = (answering().await, answering().await);
    let stage = beside(&kibana, &apm).await;
    assert!(ask(&stage, "GET /", "kibana.example").await.ends_with("ok"));
    drop(kibana);
    for _ in 0..3 {
        let gone = ask(&stage, "GET /", "kibana.example").await;
        assert!(gone.starts_with("HTTP/1.1 50"), "{gone}");
        assert!(header(&gone, "retry-after").is_some(), "{gone}");
        assert!(
            ask(&stage, "GET /apm/a", "es.example")
                .await
                .ends_with("ok")
        );
        let whoami = ask(&stage, "GET /_security/_authenticate", "es.example").await;
        assert!(whoami.contains("\"username\":\"alice\""), "{whoami}");
    }
    let log = stage.elastauth.log();
    assert!(log.contains("no_connection"), "{log}");
}

/// Two clusters and their servers, chosen by the host of the request or by its path.
#[tokio::test]
async fn several_clusters_and_their_servers_are_found_by_host_and_path() {
    let tasks = Tasks::default();
    let (logs, search) = (answering().await, answering().await);
    let kibana = answering().await;
    let other = StandIn::start(&tasks).await.unwrap();
    let section = |name: &str, cluster: &StandIn, upstream: &Upstream, rest: &str| {
        format!(
            "  {name}:\n    hosts: [\"{}\"]\n    username: {SERVICE_USER}\n    \
             password: {}\n    group_mappings: {{dev: [editor]}}\n    \
             proxy: {{elasticsearch_url: \"http://127.0.0.1:{}\"}}\n{rest}",
            cluster.url(),
            cluster.service_password(),
            upstream.port,
        )
    };
    let own = StandIn::start(&tasks).await.unwrap();
    let beside = format!(
        "    match: {{hosts: [logs.example]}}\n    upstreams:\n      - {{name: kibana, url: \
         \"http://127.0.0.1:{}/base\", match: {{paths: [/kibana]}}}}\n",
        kibana.port
    );
    let more = format!(
        "proxy: {{enabled: true}}\naccess_log: json\nclusters:\n{}{}",
        section("logs", &own, &logs, &beside),
        section("search", &other, &search, "    match: {paths: [/search]}\n"),
    );
    let stage = Stage::planned(Plan {
        more: &more,
        ..Plan::default()
    })
    .await;
    for (line, host, at, seen, cluster) in [
        ("GET /a", "logs.example", &logs, "GET /a ", &own),
        (
            "GET /search/a",
            "s.example",
            &search,
            "GET /search/a ",
            &other,
        ),
        (
            "GET /kibana/a",
            "logs.example",
            &kibana,
            "GET /base/kibana/a ",
            &own,
        ),
    ] {
        let answer = ask(&stage, line, host).await;
        assert!(answer.ends_with("\r\n\r\nok"), "{line} {host}: {answer}");
        let head = at.head();
        assert!(head.starts_with(seen), "{line} {host}: {head}");
        let login = header(&head, "authorization").unwrap().parse().unwrap();
        // Each cluster has a login of its own.
        assert!(cluster.accepts(&login), "{line} {host}");
        let both = [&own, &other]
            .iter()
            .filter(|one| one.accepts(&login))
            .count();
        assert_eq!(both, 1, "{line} {host}");
    }
    let nobody = ask(&stage, "GET /a", "unknown.example").await;
    assert!(
        nobody.contains("\"code\":\"no_cluster\"") || nobody.starts_with("HTTP/1.1 4"),
        "{nobody}"
    );
}

/// Each configuration of the guide is taken as it is there, and opens nothing by mistake.
#[tokio::test]
async fn the_configurations_of_the_guide_are_accepted() {
    let blocks = page::yaml(&page::read("deployment/proxy-mode.md"));
    let whole = blocks.iter().filter(|block| block.starts_with("listen:"));
    let whole: Vec<&String> = whole.collect();
    assert_eq!(whole.len(), 3, "{blocks:#?}");
    for block in whole {
        let own = Authority::new();
        let (signed, ca) = (own.sign(), own.pem());
        let files = [
            ("tls.crt", &*signed.certificate),
            ("tls.key", &signed.key),
            ("elasticsearch-ca.pem", &ca),
        ];
        let home = Elastauth::folder(block, &files);
        private(&home.path().join("tls.key"));
        let mut check = command(env!("CARGO_BIN_EXE_elastauth"));
        check
            .args(["check", "--strict", "--config"])
            .arg(home.path().join("config.yml"))
            .env("SECRET_KEY", SECRET_KEY);
        for name in ["ELASTICSEARCH_PASSWORD", "LOGS_PASSWORD", "SEARCH_PASSWORD"] {
            check.env(name, "a-password-of-the-tests");
        }
        let said = tokio::process::Command::from(check).output().await.unwrap();
        let text = String::from_utf8_lossy(&said.stdout).into_owned()
            + &String::from_utf8_lossy(&said.stderr);
        assert!(said.status.success(), "{block}\n{text}");
    }
}
