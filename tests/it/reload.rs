//! The configuration is changed under the running program: what it takes, what it leaves, and that
//! nobody notices.

use crate::support::{
    elastauth::Elastauth,
    find,
    http::Answer,
    idp::Idp,
    relay::Relay,
    stage::{GATEWAY_KEY, Plan, SECRET_KEY, Stage, question},
    tls::Authority,
    until,
};
use elastauth::internals::demo::standin::{SERVICE_USER, StandIn};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use std::{
    net::Ipv4Addr,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

const NEXT_GATEWAY_KEY: &str = "7d1c58e2b90f4a6e93c4d5f6";

fn roles(stage: &Stage, user: &str) -> Vec<String> {
    stage
        .cluster
        .user(user)
        .map(|user| user.roles)
        .unwrap_or_default()
}

async fn says(elastauth: &Elastauth, text: &str, times: usize) {
    until(text, || elastauth.log().matches(text).count() >= times).await;
}

const IN_FORCE: &str = "the configuration has changed and is in force";
const REFUSED: &str = "the new configuration is faulty; the old one stays in force";
const NOT_APPLIED: &str = "a change is not applied before a restart of elastauth";
const REQUIRES_RESTART: &str = "their new values require a restart of elastauth";

#[tokio::test]
async fn new_role_rules_count_for_the_next_request_of_a_known_user() {
    let stage = Stage::usual().await;
    stage.ask("alice", "dev").await;
    assert_eq!(roles(&stage, "alice"), ["editor", "viewer"]);
    stage.elastauth.edit(|config| {
        config
            .replace("dev: [editor]", "dev: [ingest_admin]")
            .replace("[viewer]", "[reader]")
    });
    says(&stage.elastauth, IN_FORCE, 1).await;
    assert!(
        stage
            .elastauth
            .log()
            .contains("keys=\"default_roles,group_mappings\""),
        "{}",
        stage.elastauth.log()
    );
    let answer = stage.ask("alice", "dev").await;
    assert!(stage.works(&answer));
    assert_eq!(roles(&stage, "alice"), ["ingest_admin", "reader"]);
    let shown = stage
        .gateway()
        .get("/elastauth/config", &[("x-elastauth-key", GATEWAY_KEY)])
        .await
        .json();
    assert_eq!(
        (&shown["default_roles"], &shown["group_mappings"]["dev"]),
        (
            &serde_json::json!(["reader"]),
            &serde_json::json!(["ingest_admin"])
        )
    );
}

#[tokio::test]
async fn a_faulty_file_changes_nothing_and_is_logged_once_until_it_is_put_right() {
    let stage = Stage::planned(Plan {
        more: "enable_metrics: true",
        ..Plan::default()
    })
    .await;
    stage.elastauth.edit(|config| {
        config
            .replace("dev: [editor]", "dev: [ingest_admin]")
            .replace("default_roles:", "defualt_roles:")
    });
    says(&stage.elastauth, REFUSED, 1).await;
    says(&stage.elastauth, "config.yml:8:1", 1).await;
    assert!(
        stage.elastauth.log().contains("`default_roles`"),
        "the nearest key is named: {}",
        stage.elastauth.log()
    );
    stage.ask("alice", "dev").await;
    assert_eq!(roles(&stage, "alice"), ["editor", "viewer"]);
    stage
        .elastauth
        .edit(|config| config.replace("defualt_roles:", "default_roles:"));
    says(&stage.elastauth, IN_FORCE, 1).await;
    stage.ask("alice", "dev").await;
    assert_eq!(roles(&stage, "alice"), ["ingest_admin", "viewer"]);
    assert_eq!(stage.elastauth.log().matches(REFUSED).count(), 1);
    let metrics = stage
        .gateway()
        .get("/elastauth/metrics", &[("x-elastauth-key", GATEWAY_KEY)])
        .await
        .text();
    for line in [
        "elastauth_reloads_total{result=\"refused\"} 1",
        "elastauth_reloads_total{result=\"applied\"} 1",
    ] {
        assert!(metrics.contains(line), "{metrics}");
    }
}

#[tokio::test]
async fn a_configuration_that_is_gone_leaves_the_old_one_in_force() {
    let stage = Stage::usual().await;
    let mut before = String::new();
    stage.elastauth.edit(|config| {
        before.clone_from(&config);
        "\t: [".to_owned()
    });
    says(&stage.elastauth, REFUSED, 1).await;
    assert_eq!(stage.ask("alice", "dev").await.status, StatusCode::OK);
    stage.elastauth.put("config.yml", &before);
    says(&stage.elastauth, "the configuration was read again", 1).await;
}

#[tokio::test]
async fn what_cannot_change_is_named_and_the_rest_of_the_file_counts() {
    let stage = Stage::usual().await;
    stage.elastauth.edit(|config| {
        config
            .replace("listen: 127.0.0.1:0", "listen: 127.0.0.1:1")
            .replace("dev: [editor]", "dev: [ingest_admin]")
            .replace("{park: false}", "{park: false, rotation: 1h}")
    });
    says(&stage.elastauth, REQUIRES_RESTART, 1).await;
    let log = stage.elastauth.log();
    assert!(
        log.contains("keys=\"listen,credentials.rotation\"") && log.contains(IN_FORCE),
        "{log}"
    );
    stage.ask("alice", "dev").await;
    assert_eq!(roles(&stage, "alice"), ["ingest_admin", "viewer"]);
    let shown = stage
        .gateway()
        .get("/elastauth/config", &[("x-elastauth-key", GATEWAY_KEY)])
        .await
        .json();
    assert_eq!(
        shown["credentials"]["rotation"], "24h",
        "shown is what is in force"
    );
    // It is said again as long as it is so.
    stage.elastauth.hang_up();
    says(&stage.elastauth, REQUIRES_RESTART, 2).await;
}

#[tokio::test]
async fn new_role_rules_close_no_connection() {
    let tasks = elastauth::internals::shutdown::Tasks::default();
    let cluster = StandIn::start(&tasks).await.unwrap();
    let relay = Relay::to(cluster.addr().port()).await;
    let plan = Plan {
        hosts: Some(vec![format!("http://127.0.0.1:{}", relay.port)]),
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks, plan).await;
    let stream = stage.gateway().connect().await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut ask = async |user: &str| {
        let request = Request::get("/elastauth")
            .header("host", "a.test")
            .header("x-elastauth-key", GATEWAY_KEY)
            .header("remote-user", user)
            .header("remote-groups", "dev");
        let request = request.body(Empty::<bytes::Bytes>::new()).unwrap();
        let answer = sender.send_request(request).await.unwrap();
        let status = answer.status();
        answer.into_body().collect().await.unwrap();
        status
    };
    assert_eq!(ask("alice").await, StatusCode::OK);
    let opened = relay.connections();
    assert!(opened > 0);
    stage
        .elastauth
        .edit(|config| config.replace("dev: [editor]", "dev: [ingest_admin]"));
    says(&stage.elastauth, IN_FORCE, 1).await;
    // The same user with other roles, and a new one: the cluster is asked for both.
    for user in ["alice", "bob"] {
        assert_eq!(ask(user).await, StatusCode::OK);
        assert_eq!(roles(&stage, user), ["ingest_admin", "viewer"]);
    }
    assert_eq!(
        relay.connections(),
        opened,
        "the cluster's connections stay"
    );
    assert!(!connection.is_finished(), "the gateway's connection stays");
}

#[tokio::test]
async fn a_new_key_of_the_gateway_counts_on_connections_that_are_open() {
    let stage = Stage::usual().await;
    let stream = stage.gateway().connect().await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    let mut ask = async |key: &str| {
        let request = Request::get("/elastauth")
            .header("host", "a.test")
            .header("x-elastauth-key", key)
            .header("remote-user", "alice");
        let answer = sender
            .send_request(request.body(Empty::<bytes::Bytes>::new()).unwrap())
            .await
            .unwrap();
        let status = answer.status();
        answer.into_body().collect().await.unwrap();
        status.as_u16()
    };
    assert_eq!(
        (ask(GATEWAY_KEY).await, ask(NEXT_GATEWAY_KEY).await),
        (200, 403)
    );
    stage
        .elastauth
        .edit(|config| config.replace(GATEWAY_KEY, NEXT_GATEWAY_KEY));
    says(&stage.elastauth, IN_FORCE, 1).await;
    assert_eq!(
        (ask(GATEWAY_KEY).await, ask(NEXT_GATEWAY_KEY).await),
        (403, 200)
    );
    connection.abort();
}

#[tokio::test]
async fn fewer_trusted_addresses_count_at_once_and_more_only_after_a_restart() {
    let config = format!(
        "listen: 127.0.0.1:0\nsecret_key: {SECRET_KEY}\ndefault_roles: [viewer]\n\
         trusted_proxies: [127.0.0.1, 127.0.0.2]\nelasticsearch: {{hosts: [\"http://127.0.0.1:1\"], \
         username: {SERVICE_USER}, password: p}}\n"
    );
    let elastauth = Elastauth::start_anywhere(&config, &[]).await;
    let other = elastauth.server().from(Ipv4Addr::new(127, 0, 0, 2));
    // Only trusted peers are shown the configuration.
    let status = async || other.get("/elastauth/config", &[]).await.status;
    assert_eq!(status().await, StatusCode::OK);
    let networks = |from: &str, to: &str| {
        elastauth.edit(|config| config.replace(&format!("[{from}]"), &format!("[{to}]")));
    };
    networks("127.0.0.1, 127.0.0.2", "127.0.0.1");
    says(&elastauth, IN_FORCE, 1).await;
    assert_eq!(status().await, StatusCode::NOT_FOUND);
    networks("127.0.0.1", "127.0.0.0/8");
    says(&elastauth, NOT_APPLIED, 1).await;
    assert_eq!(status().await, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_lost_line_opens_no_door_and_the_rest_of_the_file_counts() {
    let stage = Stage::planned(Plan {
        more: "allowed_groups: [dev, ops]\naudit: {path: /etc/elastauth/audit}",
        ..Plan::default()
    })
    .await;
    stage.elastauth.edit(|config| {
        let kept = config
            .lines()
            .filter(|line| !line.starts_with("gateway_keys") && !line.starts_with("allowed_groups"))
            .map(|line| format!("{line}\n"));
        kept.collect::<String>()
            .replace("ops: [monitoring_user]", "ops: [superuser]")
            .replace("default_roles: [viewer]", "default_roles: [reader]")
    });
    says(&stage.elastauth, IN_FORCE, 1).await;
    let log = stage.elastauth.log();
    for key in ["gateway_keys", "allowed_groups", "group_mappings"] {
        let warns =
            |line: &str| line.contains("WARN") && line.contains(NOT_APPLIED) && line.contains(key);
        assert!(log.lines().any(warns), "{key}: {log}");
        let audit = stage.elastauth.file("audit");
        assert!(
            audit.lines().any(|line| {
                line.contains("\"event\":\"change_requires_restart\"") && line.contains(key)
            }),
            "{key}: {audit}"
        );
    }
    // The door is shut, and what else was changed counts.
    let without_key = stage
        .gateway()
        .get("/elastauth", &[("remote-user", "mallory")])
        .await;
    assert_eq!(without_key.status, StatusCode::FORBIDDEN);
    stage.says(&stage.ask("bob", "sales").await, 403, "user_not_allowed");
    stage.ask("alice", "ops").await;
    assert_eq!(roles(&stage, "alice"), ["monitoring_user", "reader"]);
    // Operators see what waits; others do not.
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    let ready = stage.gateway().get("/elastauth/ready", &key).await.json();
    assert_eq!(
        ready["checks"]["configuration"],
        serde_json::json!({
            "status": "RESTART_REQUIRED",
            "error": "new values require a restart: gateway_keys, group_mappings, allowed_groups",
        })
    );
    let ready = stage.untrusted().get("/elastauth/ready", &[]).await.json();
    assert_eq!(ready["checks"]["configuration"], serde_json::Value::Null);
    let shown = stage.gateway().get("/elastauth/config", &key).await.json();
    assert_eq!(
        shown["requires_restart"],
        serde_json::json!(["gateway_keys", "group_mappings", "allowed_groups"])
    );
    // It is warned of as long as it is so, and audited once.
    stage.elastauth.hang_up();
    says(&stage.elastauth, NOT_APPLIED, 6).await;
    let audit = stage.elastauth.file("audit");
    assert_eq!(
        audit.matches("change_requires_restart").count(),
        3,
        "{audit}"
    );
}

#[tokio::test]
async fn the_level_of_the_log_can_be_raised_on_a_bad_evening() {
    let stage = Stage::usual().await;
    stage
        .elastauth
        .edit(|config| config.replace("log_level: debug", "log_level: warn"));
    says(&stage.elastauth, IN_FORCE, 1).await;
    let before = stage.elastauth.log().matches("DEBUG granted").count();
    stage.ask("alice", "dev").await;
    assert_eq!(
        stage.elastauth.log().matches("DEBUG granted").count(),
        before
    );
    stage
        .elastauth
        .edit(|config| config.replace("log_level: warn", "log_level: debug"));
    says(&stage.elastauth, IN_FORCE, 2).await;
    stage.ask("alice", "dev").await;
    says(&stage.elastauth, "DEBUG granted", before + 1).await;
}

#[tokio::test]
async fn a_password_that_is_changed_in_its_file_is_used_from_then_on() {
    let tasks = elastauth::internals::shutdown::Tasks::default();
    let cluster = StandIn::start(&tasks).await.unwrap();
    let config = format!(
        "listen: 127.0.0.1:0\nsecret_key: {SECRET_KEY}\ndefault_roles: [viewer]\n\
         elasticsearch:\n  hosts: [\"{}\"]\n  username: {SERVICE_USER}\n  password_file: \
         /etc/elastauth/password\n",
        cluster.url()
    );
    let elastauth = Elastauth::start_anywhere(&config, &[("password", "an-old-password\n")]).await;
    let ask = async |user: &str| {
        elastauth
            .server()
            .get("/elastauth", &[("remote-user", user)])
            .await
    };
    assert_eq!(ask("alice").await.status, StatusCode::SERVICE_UNAVAILABLE);
    elastauth.put("password", &format!("{}\n", cluster.service_password()));
    says(&elastauth, "keys=\"elasticsearch.password\"", 1).await;
    assert_eq!(ask("bob").await.status, StatusCode::OK);
    assert!(
        !elastauth.log().contains(cluster.service_password())
            && !elastauth.log().contains("an-old-password")
    );
    tasks.end();
}

#[tokio::test]
async fn the_secret_of_our_client_at_an_identity_provider_is_taken_from_its_file() {
    let issuer = Idp::start().await;
    let oidc = format!(
        "oidc: {{issuer: \"{}\", client_id: elastauth, token_validation: introspection, \
         client_secret_file: /etc/elastauth/client}}",
        issuer.issuer
    );
    let config = format!(
        "listen: 127.0.0.1:0\nsecret_key: {SECRET_KEY}\nauth_provider: oidc\n{oidc}\n\
         default_roles: [viewer]\n\
         elasticsearch: {{hosts: [\"http://127.0.0.1:1\"], username: {SERVICE_USER}, password: \
         p}}\n"
    );
    let elastauth = Elastauth::start_anywhere(&config, &[("client", "an-old-secret")]).await;
    elastauth.put("client", "a-new-secret");
    says(&elastauth, "keys=\"oidc.client_secret\"", 1).await;
    assert!(
        !elastauth.log().contains("a-new-secret") && !elastauth.log().contains(REQUIRES_RESTART)
    );
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_whoever_connects_next() {
    let (old, new) = (Authority::new(), Authority::new());
    let (first, second) = (old.sign(), new.sign());
    let stage = Stage::planned(Plan {
        more: "tls: {cert: /etc/elastauth/tls.crt, key: /etc/elastauth/tls.key}",
        files: &[("tls.crt", &first.certificate), ("tls.key", &first.key)],
        ..Plan::default()
    })
    .await;
    let try_with = async |authority: &Authority| {
        let server = stage.gateway().clone().with_tls(authority.client());
        server
            .try_ask(Method::GET, "/elastauth/live", &[], None)
            .await
            .map(|answer: Answer| answer.status)
    };
    assert!(try_with(&old).await.is_ok() && try_with(&new).await.is_err());
    // For a moment certificate and key do not belong together: such a pair is not taken.
    stage.elastauth.put("tls.crt", &second.certificate);
    says(
        &stage.elastauth,
        "cannot be applied; the old one stays in force",
        1,
    )
    .await;
    assert!(try_with(&old).await.is_ok());
    stage.elastauth.put("tls.key", &second.key);
    says(
        &stage.elastauth,
        "the configuration was read again, certificates too",
        1,
    )
    .await;
    assert!(try_with(&old).await.is_err() && try_with(&new).await.is_ok());
    assert!(!stage.elastauth.log().contains("PRIVATE KEY"));
}

#[tokio::test]
async fn a_cluster_with_a_new_ca_is_believed_once_the_file_is_renewed() {
    let (old, new) = (Authority::new(), Authority::new());
    let tasks = elastauth::internals::shutdown::Tasks::default();
    let cluster = StandIn::start_tls(&tasks, new.sign().server())
        .await
        .unwrap();
    let (ca, renewed) = (old.pem(), new.pem());
    let plan = Plan {
        elasticsearch: "  tls: {ca_cert: /etc/elastauth/ca.pem}",
        files: &[("ca.pem", &ca)],
        ..Plan::default()
    };
    let stage = Stage::before(cluster, tasks, plan).await;
    assert_eq!(
        stage.ask("alice", "dev").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    stage.elastauth.put("ca.pem", &renewed);
    says(
        &stage.elastauth,
        "the configuration was read again, certificates too",
        1,
    )
    .await;
    // The node is ejected for a moment, as any that fails.
    let granted = async || (stage.ask("bob", "dev").await.status == StatusCode::OK).then_some(());
    find(
        "a login for bob",
        std::time::Duration::from_secs(10),
        granted,
    )
    .await;
}

#[tokio::test]
async fn sixty_four_connections_lose_nothing_while_the_configuration_changes() {
    let stage = Arc::new(
        Stage::planned(Plan {
            more: "users: {writes_per_minute: 1000}",
            ..Plan::default()
        })
        .await,
    );
    for user in 0..64 {
        stage.ask(&format!("user-{user}"), "dev").await;
    }
    let (done, answered, failed) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicU64::new(0)),
    );
    let clients: Vec<_> = (0..64)
        .map(|user| {
            let (stage, done, answered, failed) = (
                Arc::clone(&stage),
                Arc::clone(&done),
                Arc::clone(&answered),
                Arc::clone(&failed),
            );
            tokio::spawn(async move {
                let stream = stage.gateway().connect().await.unwrap();
                let (mut sender, connection) =
                    hyper::client::conn::http1::handshake(TokioIo::new(stream))
                        .await
                        .unwrap();
                let connection = tokio::spawn(connection);
                let name = format!("user-{user}");
                while !done.load(Ordering::Relaxed) {
                    let (head, _) = question(
                        "/elastauth",
                        &[("remote-user", name.as_bytes()), ("remote-groups", b"dev")],
                    )
                    .into_parts();
                    let good = match sender
                        .send_request(Request::from_parts(head, Empty::<bytes::Bytes>::new()))
                        .await
                    {
                        Ok(answer) => {
                            answer.status() == StatusCode::OK
                                && answer.into_body().collect().await.is_ok()
                        }
                        Err(_) => false,
                    };
                    (if good { &answered } else { &failed }).fetch_add(1, Ordering::Relaxed);
                }
                connection.abort();
            })
        })
        .collect();
    for round in 1..=4 {
        let before = answered.load(Ordering::Relaxed);
        let role = if round % 2 == 0 {
            "[editor]"
        } else {
            "[ingest_admin]"
        };
        stage.elastauth.edit(|config| {
            config.replace(
                if round % 2 == 0 {
                    "dev: [ingest_admin]"
                } else {
                    "dev: [editor]"
                },
                &format!("dev: {role}"),
            )
        });
        stage.elastauth.hang_up();
        says(&stage.elastauth, IN_FORCE, round).await;
        until("traffic", || answered.load(Ordering::Relaxed) > before + 64).await;
    }
    done.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    assert_eq!(
        failed.load(Ordering::Relaxed),
        0,
        "of {}",
        answered.load(Ordering::Relaxed)
    );
}
