//! A captured host gives each tenant a cluster.

use super::asked;
use crate::support::stage::{GATEWAY_KEY, Plan, Stage};
use elastauth::internals::{
    demo::standin::{SERVICE_USER, StandIn},
    shutdown::Tasks,
};
use futures_util::future::join_all;
use http::{StatusCode, header};
use serde_json::json;

#[tokio::test]
async fn each_tenant_has_a_cluster_of_its_own_once_somebody_with_a_role_asks() {
    let tasks = Tasks::default();
    let (cluster, one) = (StandIn::start(&tasks).await, StandIn::start(&tasks).await);
    let (cluster, one) = (cluster.expect("a stand-in"), one.expect("a stand-in"));
    let (port, password) = (one.addr().port(), one.service_password());
    let more = format!(
        "clusters:\n  tenants:\n    hosts: [\"http://127.0.0.{{tenant}}:{port}\"]\n    username: \
         {SERVICE_USER}\n    password: \"{password}\"\n    match: {{hosts: \
         [\"{{tenant}}.es.example.com\"]}}\n    default_roles: []\n    group_mappings:\n      dev: \
         [\"{{tenant}}_reader\"]\n      \"{{tenant}}-admins\": [editor]\nenable_metrics: true"
    );
    let plan = Plan {
        more: &more,
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks, plan).await;
    let ask_as = async |user: &str, host: &str, groups: &str| {
        let said = [
            ("x-forwarded-host", host),
            ("x-forwarded-uri", "/"),
            ("remote-user", user),
            ("remote-groups", groups),
        ];
        stage
            .send(stage.gateway(), asked("/elastauth", &said))
            .await
    };
    let ask = async |host: &str, groups: &str| ask_as("alice", host, groups).await;
    let opened = |label: &str| {
        let text = format!("the cluster of a tenant is open cluster=\"tenants/{label}\"");
        stage.elastauth.log().contains(&text)
    };
    // Nobody without a role opens anything, and no host that is no label of DNS.
    stage.says(
        &ask("1.es.example.com", "others").await,
        403,
        "user_not_allowed",
    );
    stage.says(
        &ask("1.es.example.com", "2-admins").await,
        403,
        "user_not_allowed",
    );
    stage.says(&ask("a_b.es.example.com", "dev").await, 403, "no_cluster");
    stage.says(&ask("a.b.es.example.com", "dev").await, 403, "no_cluster");
    let too_many = "a".repeat(64);
    for label in [
        "", "-a", "a-", "*", "{tenant}", "a%62", "%61", "a b", "1,2", "1/..", "..", &too_many,
    ] {
        let answer = ask(&format!("{label}.es.example.com"), "dev").await;
        stage.says(&answer, 403, "no_cluster");
    }
    let answer = stage
        .send(stage.gateway(), asked("/elastauth/clusters/tenants", &[]))
        .await;
    stage.says(&answer, 403, "no_cluster");
    assert!(!opened("1") && one.count() == 0);
    let answer = ask("1.ES.example.com:443", "dev,1-admins").await;
    let login = &answer.headers[header::AUTHORIZATION];
    assert!(
        one.accepts(login) && opened("1"),
        "{}",
        stage.elastauth.log()
    );
    let roles = one.user("alice").map(|user| user.roles);
    assert_eq!(
        roles,
        Some(vec!["1_reader".to_owned(), "editor".to_owned()])
    );
    // Nobody listens at the others' nodes. There is room for 64.
    // A few at once: each reads the certificates of the system.
    let others: Vec<_> = (2..=64).collect();
    for some in others.chunks(9) {
        let asked = some.iter().map(|label| {
            let ask_as = &ask_as;
            async move {
                let user = format!("user-{}", label % 8);
                ask_as(&user, &format!("{label}.es.example.com"), "dev").await
            }
        });
        for answer in join_all(asked).await {
            stage.says(&answer, 503, "unavailable");
        }
    }
    let before = one.count();
    // One more takes the place of one without users.
    let answer = ask_as("bob", "65.es.example.com", "dev").await;
    stage.says(&answer, 503, "unavailable");
    let closed = || {
        let log = stage.elastauth.log();
        log.matches("another one needs its place").count()
    };
    assert!(
        opened("64") && opened("65") && closed() == 1,
        "{}",
        stage.elastauth.log()
    );
    // Nobody takes the places of all others.
    let labels: Vec<_> = (100..=120).collect();
    for some in labels.chunks(7) {
        let asked = some.iter().map(|label| {
            let ask_as = &ask_as;
            async move { ask_as("mallory", &format!("{label}.es.example.com"), "dev").await }
        });
        for answer in join_all(asked).await {
            stage.says(&answer, 503, "unavailable");
        }
    }
    let log = stage.elastauth.log();
    assert!(log.contains("the user has opened 16 tenants"), "{log}");
    assert!(opened("106") && closed() < 21, "{log}");
    let known = ask("1.es.example.com", "dev,1-admins").await;
    assert_eq!((known.status, one.count()), (StatusCode::OK, before));
    assert_eq!(
        stage
            .number("elastauth_ledger_users{cluster=\"tenants\"}")
            .await,
        1
    );
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    let metrics = stage.gateway().get("/elastauth/metrics", &key).await.text();
    assert!(!metrics.contains("tenants/"), "{metrics}");
    let decisions = "elastauth_decisions_total{cluster=\"tenants\",outcome=\"no_role\",\
                     provider=\"authelia\"}";
    assert_eq!(stage.number(decisions).await, 2);
    let ready = stage.gateway().get("/elastauth/ready", &key).await.json();
    let clusters = &ready["checks"]["clusters"];
    assert_eq!(clusters["tenants/1"], json!({"status": "OK"}), "{ready}");
    assert_eq!(clusters["tenants/65"]["status"], "ERROR", "{ready}");
}

#[tokio::test]
async fn an_operator_names_a_tenant_and_changes_their_user_there_alone() {
    let tasks = Tasks::default();
    let (cluster, nodes) = (StandIn::start(&tasks).await, StandIn::start(&tasks).await);
    let (cluster, nodes) = (cluster.expect("a stand-in"), nodes.expect("a stand-in"));
    let (port, password) = (nodes.addr().port(), nodes.service_password());
    let more = format!(
        "clusters:\n  tenants:\n    hosts: [\"http://127.0.0.{{tenant}}:{port}\"]\n    username: \
         {SERVICE_USER}\n    password: \"{password}\"\n    match: {{hosts: \
         [\"{{tenant}}.es.example.com\"]}}\n    group_mappings: {{dev: [viewer]}}"
    );
    let key = format!("{GATEWAY_KEY}\n");
    let plan = Plan {
        more: &more,
        files: &[("gateway.key", &key)],
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks, plan).await;
    let ask = async |host: &str| {
        let said = [("x-forwarded-host", host), ("x-forwarded-uri", "/")];
        let headers = [&said[..], &[("remote-user", "alice")]].concat();
        let headers = [&headers[..], &[("remote-groups", "dev")]].concat();
        stage
            .send(stage.gateway(), asked("/elastauth", &headers))
            .await
    };
    let users = async |arguments: &[&str]| {
        let url = format!("http://127.0.0.1:{}", stage.elastauth.port());
        let how = ["--replica", &url, "--gateway-key-file", "gateway.key"];
        let command = [&["users"][..], arguments, &how].concat();
        let output = stage.elastauth.command(&command).await;
        let said = [&output.stdout[..], &output.stderr].concat();
        let said = String::from_utf8(said).expect("text");
        (output.status.code(), said)
    };
    let of_tenant = ["--cluster", "tenants/1"];
    let disable = [&["disable", "alice"][..], &of_tenant].concat();
    let (code, said) = users(&disable).await;
    assert!(
        code == Some(1) && said.contains("no tenant of this name is open"),
        "{said}"
    );
    assert_eq!(ask("1.es.example.com").await.status, StatusCode::OK);
    assert_eq!(ask("default").await.status, StatusCode::FORBIDDEN);
    for (arguments, words) in [
        (&["list"][..], "alice"),
        (&["show", "alice"], "tenants/1"),
        (&["disable", "alice"], "tenants/1: The user is disabled."),
    ] {
        let (code, said) = users(&[arguments, &of_tenant].concat()).await;
        assert!(code == Some(0) && said.contains(words), "{said}");
    }
    let disabled = || nodes.user("alice").map(|user| !user.enabled);
    assert_eq!(disabled(), Some(true));
    stage.says(&ask("1.es.example.com").await, 403, "user_not_allowed");
    let (code, said) = users(&["enable", "alice", "--cluster", "tenants/2"]).await;
    assert!(code == Some(1) && said.contains("no tenant"), "{said}");
    let (code, said) = users(&["enable", "alice", "--cluster", "tenants"]).await;
    assert!(code == Some(1) && said.contains("no tenant"), "{said}");
    assert_eq!(disabled(), Some(true));
    let enable = [&["enable", "alice"][..], &of_tenant].concat();
    let (code, said) = users(&enable).await;
    assert!(code == Some(0), "{said}");
    assert_eq!(ask("1.es.example.com").await.status, StatusCode::OK);
}
