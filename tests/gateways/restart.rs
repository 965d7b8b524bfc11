//! elastauth is restarted behind a real gateway, under the constant load of a user whom it knows, and
//! no request fails: while systemd keeps the socket, and while two processes share the port.

use crate::{
    draft::Draft,
    gateway::{Form, Program},
    load::Load,
    nginx::NGINX,
    stage::{Stage, secrets, start_elastauth},
    support::elastauth::Elastauth,
    traefik::TRAEFIK,
};
use std::net::{Ipv4Addr, TcpListener};

const CLIENTS: usize = 8;
/// All together, at least.
const REQUESTS: usize = 2_000;
const RESTARTS: usize = 3;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traefik_sees_no_restart_while_systemd_keeps_the_socket() {
    kept(&TRAEFIK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_sees_no_restart_while_systemd_keeps_the_socket() {
    kept(&NGINX).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn traefik_sees_no_restart_while_two_processes_share_the_port() {
    shared(&TRAEFIK).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nginx_sees_no_restart_while_two_processes_share_the_port() {
    shared(&NGINX).await;
}

/// The test keeps the socket that listens, as systemd does.
async fn kept(program: &Program) {
    let mut stage = Stage::new(program, Form::Authelia).await;
    assert!(stage.elastauth.terminate().await.success());
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, stage.elastauth.port())).unwrap();
    let (config, cluster) = (stage.config.clone(), stage.cluster.clone());
    let start = async || {
        let socket = (socket.try_clone().unwrap(), "listen");
        Elastauth::start_with_socket(&config, socket, &secrets(&cluster)).await
    };
    stage.elastauth = start().await;
    let draft = stage.request_of("alice");
    let failed = under_load(&draft, &mut stage, async |elastauth| {
        assert!(elastauth.terminate().await.success());
        *elastauth = start().await;
    });
    none(program, failed.await);
}

/// The new process answers before the old one is asked to end.
async fn shared(program: &Program) {
    let mut stage = Stage::new(program, Form::Authelia).await;
    assert!(stage.elastauth.terminate().await.success());
    let config = format!("{}\nreuse_port: true\n", stage.config);
    let cluster = stage.cluster.clone();
    stage.elastauth = start_elastauth(&config, &cluster).await;
    let draft = stage.request_of("alice");
    let failed = under_load(&draft, &mut stage, async |elastauth| {
        let new = start_elastauth(&config, &cluster).await;
        let mut old = std::mem::replace(elastauth, new);
        assert!(old.terminate().await.success());
    });
    none(program, failed.await);
}

fn none(program: &Program, (sent, failed): (usize, Vec<String>)) {
    assert!(
        failed.is_empty() && sent >= REQUESTS,
        "{}: {} of {sent} failed: {failed:?}",
        program.name,
        failed.len()
    );
    println!(
        "{}: 0 of {sent} requests failed in {RESTARTS} restarts",
        program.name
    );
}

/// What clients of the gateway see while elastauth is restarted: how many requests, and each that
/// failed.
async fn under_load(
    draft: &Draft,
    stage: &mut Stage,
    mut restart: impl AsyncFnMut(&mut Elastauth),
) -> (usize, Vec<String>) {
    stage.served_again(draft).await;
    let load = Load::start(&stage.gateway.client, vec![draft.clone(); CLIENTS]);
    for round in 1..=RESTARTS {
        load.reached(round * REQUESTS / (RESTARTS + 1)).await;
        restart(&mut stage.elastauth).await;
    }
    load.reached(REQUESTS.max(load.sent() + REQUESTS / 4)).await;
    load.end().await
}
