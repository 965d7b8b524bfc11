//! Several listeners at once, unix sockets among them.

use super::setup::{Setup, configuration, question, status};
use crate::support::{elastauth::Elastauth, find, stage::GATEWAY_KEY, until};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use std::{net::Ipv4Addr, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};
use tokio::{net::UnixStream, process::Command};

const THREE: &str = "listeners:\n\
    - {address: \"127.0.0.1:0\", trusted_proxies: [127.0.0.1]}\n\
    - {address: \"127.0.0.1:0\", trusted_proxies: [127.0.0.2], gateway_keys: [0b6f0e3a7c5549d8a1f2c7e4]}\n\
    - {unix: /etc/elastauth/elastauth.sock}\n";

async fn at_socket(path: &Path, bytes: &str) -> Option<u16> {
    status(UnixStream::connect(path).await.ok()?, bytes).await
}

#[tokio::test]
async fn each_listener_has_peers_and_keys_of_its_own() {
    let setup = Setup::start(2, THREE, &[]).await;
    let other = Ipv4Addr::new(127, 0, 0, 2);
    for (at, from, with_key, expected) in [
        (0, Ipv4Addr::LOCALHOST, false, 200),
        (0, other, true, 401),
        (1, Ipv4Addr::LOCALHOST, true, 401),
        (1, other, false, 403),
        (1, other, true, 200),
    ] {
        let stream = setup.server(at).from(from).connect().await.unwrap();
        let answer = status(stream, &question("alice", with_key)).await;
        assert_eq!(answer, Some(expected), "{at} {from} {with_key}");
    }
    let socket = setup.socket();
    let mode = socket.symlink_metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    assert_eq!(
        at_socket(&socket, &question("carol", false)).await,
        Some(200)
    );
    setup.logs("granted user=\"carol\" peer=unix").await;
    // Health and the pages for operators are at each; they are of one program.
    let get = |path| format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
    assert_eq!(
        at_socket(&socket, &get("/elastauth/ready")).await,
        Some(200)
    );
    assert_eq!(
        at_socket(&socket, &get("/elastauth/config")).await,
        Some(200)
    );
    let metrics = setup.server(0).get("/elastauth/metrics", &[]).await.text();
    let granted = "elastauth_decisions_total{cluster=\"default\",outcome=\"granted\",provider=\"authelia\"} 3\n";
    assert!(metrics.contains(granted), "{metrics}");
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    let untrusted = setup.server(1).get("/elastauth/metrics", &key).await;
    assert_eq!(untrusted.status, 404);
}

#[tokio::test]
async fn the_end_ends_every_listener_and_removes_the_socket() {
    let mut setup = Setup::start(2, THREE, &[]).await;
    // A connection that is open at the end gets its answer.
    let open = UnixStream::connect(setup.socket()).await.unwrap();
    setup.elastauth.ask_to_end();
    until("the socket is gone", || !setup.socket().exists()).await;
    assert_eq!(status(open, &question("alice", false)).await, Some(200));
    assert!(setup.elastauth.ended().await.success());
    for at in [0, 1] {
        assert!(setup.server(at).connect().await.is_err());
    }
}

#[tokio::test]
async fn a_reload_narrows_a_listener_and_does_not_widen_it() {
    let setup = Setup::start(2, THREE, &[]).await;
    let ask = async || {
        let stream = setup.server(0).connect().await.unwrap();
        status(stream, &question("alice", false)).await
    };
    assert_eq!(ask().await, Some(200));
    let (ours, theirs) = (
        "trusted_proxies: [127.0.0.1]",
        "trusted_proxies: [127.0.0.3]",
    );
    // One address instead of another is a way in for the other.
    setup
        .elastauth
        .edit(|config| config.replace(ours, "trusted_proxies: [127.0.0.0/8]"));
    setup
        .logs("a change is not applied before a restart of elastauth")
        .await;
    setup
        .elastauth
        .edit(|config| config.replace("127.0.0.0/8", "127.0.0.1"));
    setup
        .logs("no setting that can change without a restart has changed")
        .await;
    setup.elastauth.edit(|config| {
        let line = format!("gateway_keys: [{GATEWAY_KEY}], {ours}");
        config.replace(ours, &line)
    });
    setup.logs("keys=\"listeners\"").await;
    find(
        "the key is asked for",
        Duration::from_secs(20),
        async || (ask().await == Some(403)).then_some(()),
    )
    .await;
    let before = setup
        .elastauth
        .log()
        .matches("these keys have changed")
        .count();
    setup.elastauth.edit(|config| config.replace(ours, theirs));
    until("it waits for a restart", || {
        setup
            .elastauth
            .log()
            .matches("these keys have changed")
            .count()
            > before
    })
    .await;
    assert_eq!(ask().await, Some(403));
}

#[tokio::test]
async fn a_socket_that_was_left_behind_is_replaced_and_anything_else_is_not() {
    let tasks = Tasks::default();
    let cluster = StandIn::start(&tasks).await.unwrap();
    let lines = "listeners: [{address: \"127.0.0.1:0\"}, {unix: elastauth.sock}]\n";
    let home = Elastauth::folder(&configuration(&cluster, lines), &[]);
    let socket = home.path().join("elastauth.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let mut first = Elastauth::start_in(home).await;
    assert_eq!(
        at_socket(&socket, &question("alice", false)).await,
        Some(200)
    );
    // While it runs, a second one in its place does not take the socket away.
    let second = first.command(&["serve"]).await;
    let text = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(
        !second.status.success() && text.contains("another process listens"),
        "{text}"
    );
    assert_eq!(
        at_socket(&socket, &question("alice", false)).await,
        Some(200)
    );
    first.kill();
    assert!(socket.exists());
    std::fs::remove_file(&socket).unwrap();
    std::fs::write(&socket, "not a socket").unwrap();
    let third = first.command(&["serve"]).await;
    let text = String::from_utf8_lossy(&third.stderr).into_owned();
    assert!(
        !third.status.success() && text.contains("is no socket"),
        "{text}"
    );
    assert_eq!(std::fs::read_to_string(&socket).unwrap(), "not a socket");
}

#[tokio::test]
async fn healthcheck_finds_a_socket_alone() {
    let tasks = Tasks::default();
    let cluster = StandIn::start(&tasks).await.unwrap();
    let lines = "listeners: [{unix: elastauth.sock}]\n";
    let home = Elastauth::folder(&configuration(&cluster, lines), &[]);
    let run = |arguments: &'static [&str]| {
        let mut program = Command::new(env!("CARGO_BIN_EXE_elastauth"));
        program
            .env_clear()
            .current_dir(home.path())
            .args(arguments)
            .kill_on_drop(true);
        program
    };
    let healthy = async || run(&["healthcheck"]).output().await.unwrap();
    let before = healthy().await;
    let text = String::from_utf8_lossy(&before.stderr).into_owned();
    assert!(
        !before.status.success() && text.contains("unix:elastauth.sock"),
        "{text}"
    );
    let _serving = run(&[])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap();
    find("a healthy program", Duration::from_secs(20), async || {
        healthy().await.status.success().then_some(())
    })
    .await;
}
