//! Where requests go on to, and what the program says about it.

use super::setup::{OK, Setup, Upstream, header, request};
use crate::support::stage::{GATEWAY_KEY, Plan, Stage};
use serde_json::Value;

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
