//! What systemd is to the running program: it is told what happens, and it may pass the socket that
//! a restart keeps. And the other way to lose no connection: two processes on one port.

use crate::support::{
    elastauth::Elastauth,
    folder_for_sockets, free_port,
    http::Server,
    process::Process,
    stage::{Plan, Stage, config, for_user},
    until,
};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use http::StatusCode;
use std::{
    net::{Ipv4Addr, TcpListener},
    os::unix::net::UnixListener,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::UnixDatagram,
    time::timeout,
};

/// The next message, as its lines.
async fn message(socket: &UnixDatagram) -> Vec<String> {
    let mut buffer = [0; 1_024];
    let received = timeout(Duration::from_secs(20), socket.recv(&mut buffer)).await;
    let length = received.expect("a message in time").expect("a message");
    let text = String::from_utf8_lossy(&buffer[..length]).into_owned();
    text.lines().map(str::to_owned).collect()
}

/// elastauth, the socket at which it tells how it is, and the socket's folder.
async fn supervised(more: &'static str) -> (Stage, UnixDatagram, TempDir) {
    let home = folder_for_sockets();
    let path = home.path().join("notify");
    let socket = UnixDatagram::bind(&path).unwrap();
    let path = path.display().to_string();
    let stage = Stage::planned(Plan {
        environment: &[("NOTIFY_SOCKET", &path)],
        more,
        ..Plan::default()
    })
    .await;
    (stage, socket, home)
}

#[tokio::test]
async fn systemd_is_told_of_the_start_of_reloads_and_of_the_end() {
    let (mut stage, socket, _home) = supervised("shutdown: {delay: 10ms}").await;
    let answers = "STATUS=Answers gateways";
    assert_eq!(message(&socket).await, ["READY=1", answers]);

    stage.elastauth.hang_up();
    let reloading = message(&socket).await;
    let time = reloading[1].strip_prefix("MONOTONIC_USEC=").unwrap();
    assert_eq!(reloading[0], "RELOADING=1");
    assert!(time.parse::<u64>().unwrap() > 0, "{reloading:?}");
    assert_eq!(message(&socket).await, ["READY=1", answers]);

    // A faulty configuration is no end, and the status says that it does not count.
    stage
        .elastauth
        .edit(|config| config.replace("default_roles:", "defualt_roles:"));
    stage.elastauth.hang_up();
    let said = find_ready(&socket).await;
    assert!(
        said.contains("is faulty") && said.contains("old one is in force"),
        "{said}"
    );

    assert!(stage.elastauth.terminate().await.success());
    let stopping = loop {
        let message = message(&socket).await;
        if message[0] == "STOPPING=1" {
            break message;
        }
    };
    assert_eq!(stopping[1], "EXTEND_TIMEOUT_USEC=30010000");
    assert!(stopping[2].contains("shutdown.delay"), "{stopping:?}");
}

/// A long answer of proxy mode may take longer than the unit's `TimeoutStopSec`.
#[tokio::test]
async fn systemd_waits_as_long_as_running_requests_may_take() {
    for (more, micros) in [
        ("proxy: {enabled: true}", 45_000_000),
        (
            "proxy: {enabled: true}\nshutdown: {timeout: 2m}",
            135_000_000,
        ),
        ("shutdown: {timeout: 40s, delay: 10ms}", 55_010_000),
    ] {
        let (mut stage, socket, _home) = supervised(more).await;
        assert_eq!(message(&socket).await[0], "READY=1");
        assert!(stage.elastauth.terminate().await.success());
        let stopping = message(&socket).await;
        assert_eq!(stopping[0], "STOPPING=1", "{stopping:?}");
        assert_eq!(stopping[1], format!("EXTEND_TIMEOUT_USEC={micros}"));
    }
}

/// The status with which it is ready again. The edit may be noticed by itself as well.
async fn find_ready(socket: &UnixDatagram) -> String {
    loop {
        let message = message(socket).await;
        if message[0] == "READY=1" {
            return message[1].clone();
        }
    }
}

#[tokio::test]
async fn nobody_to_tell_stops_nothing() {
    let stage = Stage::planned(Plan {
        environment: &[("NOTIFY_SOCKET", "/nowhere/notify")],
        ..Plan::default()
    })
    .await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    assert!(stage.elastauth.log().contains("`NOTIFY_SOCKET`"));
}

/// A cluster, and the configuration of an elastauth that listens on this address.
async fn planned(listen: &str, more: &str) -> (StandIn, Tasks, String) {
    let tasks = Tasks::default();
    let cluster = StandIn::start(&tasks).await.expect("a stand-in");
    let plan = Plan {
        more,
        ..Plan::default()
    };
    let text = config(&cluster, &plan).replace("listen: 127.0.0.1:0", &format!("listen: {listen}"));
    (cluster, tasks, text)
}

#[tokio::test]
async fn a_passed_socket_keeps_connections_while_no_process_is_there() {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = socket.local_addr().unwrap();
    let (cluster, tasks, config) = planned(&address.to_string(), "").await;
    let server = Server::plain(address.port());
    // Nobody accepts yet: the system does.
    let early = tokio::spawn({
        let server = server.clone();
        async move { server.send(for_user("alice")).await }
    });
    let start = || {
        let socket = socket.try_clone().unwrap();
        Elastauth::start_with_socket(&config, (socket, ""), &[])
    };
    let mut stage = Stage::of(start().await, cluster, tasks);
    assert!(stage.works(&early.await.unwrap().unwrap()));
    assert_eq!(stage.elastauth.port(), address.port());
    assert!(stage.elastauth.terminate().await.success());
    // Between two processes.
    let between = tokio::spawn({
        let server = server.clone();
        async move { server.send(for_user("alice")).await }
    });
    stage.elastauth = start().await;
    assert!(stage.works(&between.await.unwrap().unwrap()));
}

#[tokio::test]
async fn a_socket_is_for_the_listener_of_its_name_even_at_another_address() {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = socket.local_addr().unwrap().port();
    let (cluster, tasks, config) = planned("127.0.0.1:1", "").await;
    let elastauth = Elastauth::start_with_socket(&config, (socket, "listen"), &[]).await;
    let stage = Stage::of(elastauth, cluster, tasks);
    assert_eq!(stage.elastauth.port(), port);
    assert!(stage.works(&stage.ask("alice", "dev").await));
    let log = stage.elastauth.log();
    assert!(
        log.contains("set the same address in the configuration"),
        "{log}"
    );
}

#[tokio::test]
async fn a_unix_socket_is_taken_and_its_file_stays() {
    let home = folder_for_sockets();
    let path = home.path().join("passed.sock");
    let socket = UnixListener::bind(&path).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o660);
    std::fs::set_permissions(&path, mode).unwrap();
    let (_cluster, _tasks, text) = planned("127.0.0.1:0", "").await;
    let listeners = format!(
        "listeners: [{{address: \"127.0.0.1:0\"}}, {{unix: {:?}}}]",
        path.display().to_string()
    );
    let text = text.replace("listen: 127.0.0.1:0", &listeners);
    let mut elastauth = Elastauth::start_with_socket(&text, (socket, ""), &[]).await;
    let mut stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let asked = b"GET /elastauth/live HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";
    stream.write_all(asked).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert!(elastauth.terminate().await.success());
    assert!(path.exists(), "the file belongs to whoever made it");
}

/// Waits until it has ended by itself, and returns its log.
async fn refused((mut process, _home): (Process, tempfile::TempDir)) -> String {
    let status = process.ended(Duration::from_secs(20)).await;
    assert_eq!(status.code(), Some(1), "{}", process.log());
    process.log()
}

#[tokio::test]
async fn a_socket_that_cannot_be_used_is_named() {
    let (_cluster, _tasks, config) = planned("127.0.0.1:1", "").await;
    let local = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = local.local_addr().unwrap();
    let start = |socket, name| refused(Elastauth::spawn_with_socket(&config, (socket, name), &[]));
    let log = start(local, "elastauth.socket").await;
    assert!(
        log.contains("no listener of the configuration is for the passed socket")
            && log.contains(&address.to_string())
            && log.contains("FileDescriptorName="),
        "{log}"
    );
    let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap();
    let log = start(everywhere, "listen").await;
    assert!(
        log.contains("other hosts reach the passed socket 0.0.0.0:"),
        "{log}"
    );
    let datagrams = std::net::UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let log = refused(Elastauth::spawn_with_socket(
        &config,
        (datagrams, "listen"),
        &[],
    ))
    .await;
    assert!(
        log.contains("the passed file descriptor `listen` is no stream socket"),
        "{log}"
    );
}

#[tokio::test]
async fn a_new_process_takes_over_a_port_that_both_may_use() {
    let port = free_port();
    let (cluster, tasks, text) = planned(&format!("127.0.0.1:{port}"), "reuse_port: true").await;
    let old = Elastauth::start_anywhere(&text, &[]).await;
    let mut old = Stage::of(old, cluster.clone(), tasks.clone());
    assert!(old.works(&old.ask("alice", "dev").await));
    let new = Elastauth::start_anywhere(&text, &[]).await;
    let new = Stage::of(new, cluster, tasks);
    let shared = "another process of this user listens on this address too";
    assert!(
        new.elastauth.log().contains(shared),
        "{}",
        new.elastauth.log()
    );
    // Each on a connection of its own, and none goes to the old one.
    let answered = |stage: &Stage| {
        stage
            .elastauth
            .log()
            .matches("granted user=\"bob\"")
            .count()
    };
    for _ in 0..20 {
        assert!(new.works(&new.ask("bob", "dev").await));
    }
    let log = new.elastauth.log();
    assert_eq!((answered(&old), answered(&new)), (0, 20), "{log}");
    assert!(old.elastauth.terminate().await.success());
    for _ in 0..20 {
        assert!(new.works(&new.ask("alice", "dev").await));
    }
}

#[tokio::test]
async fn without_the_key_a_second_process_does_not_get_the_port() {
    let port = free_port();
    for (first, second) in [("", ""), ("reuse_port: true", ""), ("", "reuse_port: true")] {
        let (_cluster, _tasks, text) = planned(&format!("127.0.0.1:{port}"), first).await;
        let running = Elastauth::start_anywhere(&text, &[]).await;
        let (_cluster, _tasks, text) = planned(&format!("127.0.0.1:{port}"), second).await;
        let home = Elastauth::folder(&text, &[]);
        let mut command = crate::support::process::command(env!("CARGO_BIN_EXE_elastauth"));
        command.arg("--config").arg(home.path().join("config.yml"));
        let log = refused((Process::start("elastauth", &mut command), home)).await;
        assert!(
            log.contains("ddress already in use"),
            "{first} {second}: {log}"
        );
        let live = running.server().get("/elastauth/live", &[]).await;
        assert_eq!(live.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn the_queue_of_a_shared_port_is_emptied_at_the_end() {
    let port = free_port();
    let (cluster, tasks, text) = planned(&format!("127.0.0.1:{port}"), "reuse_port: true").await;
    let old = Elastauth::start_anywhere(&text, &[]).await;
    let mut old = Stage::of(old, cluster, tasks);
    // It accepts nothing, so connections wait in its queue.
    old.elastauth.pause();
    let asking: Vec<_> = (0..10)
        .map(|_| {
            let server = old.gateway().clone();
            tokio::spawn(async move { server.send(for_user("alice")).await })
        })
        .collect();
    let new = Elastauth::start_anywhere(&text, &[]).await;
    old.elastauth.ask_to_end();
    old.elastauth.go_on();
    for answer in asking {
        assert!(old.works(&answer.await.unwrap().unwrap()));
    }
    assert!(old.elastauth.ended().await.success());
    until("the new one answers", || {
        std::net::TcpStream::connect(new.server().address()).is_ok()
    })
    .await;
}
