//! Replicas of the chart behind real Traefik, under the constant load of known users: more of them,
//! a rolling restart, a node that is drained, fewer of them. No request fails.

use crate::{
    draft::Draft,
    gateway::{ELASTICSEARCH, Form, Program},
    kubernetes::{Chart, Deployment, Service},
    load::Load,
    stage::Stage,
    traefik::TRAEFIK,
};
use std::sync::Arc;

const USERS: usize = 8;
/// All together, at least.
const REQUESTS: usize = 5_000;
/// Between two changes, at least.
const BETWEEN: usize = 300;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_request_fails_while_kubernetes_scales_and_restarts_the_pods() {
    scaled_and_restarted(&TRAEFIK).await;
}

async fn scaled_and_restarted(program: &Program) {
    let service = Arc::new(Service::start().await);
    let mut stage = Stage::asking(program, Form::Authelia, Some(service.port)).await;
    // The stage's own one is asked by nobody.
    assert!(stage.elastauth.terminate().await.success());
    let chart = Chart::rendered(&stage.cluster, &[]);
    let mut pods = Deployment::new(chart, &service);
    pods.scale(1).await;
    let users: Vec<String> = (0..USERS).map(|number| format!("user-{number}")).collect();
    let requests: Vec<Draft> = users
        .iter()
        .map(|user| {
            let mut draft = Draft::get(ELASTICSEARCH, "/_search");
            draft
                .line("Accept: application/json")
                .line(&format!("X-Who: {user}"))
                .line(&stage.signed_in(user));
            draft
        })
        .collect();
    for request in &requests {
        stage.served_again(request).await;
    }

    let load = Load::start(&stage.gateway.client, requests);
    let goes_on = async |ready: usize| {
        load.reached(load.sent() + BETWEEN).await;
        service.spreads_over(ready).await;
    };
    goes_on(1).await;
    pods.scale(3).await;
    goes_on(3).await;
    pods.restart().await;
    goes_on(3).await;
    pods.evict().await;
    goes_on(3).await;
    pods.scale(1).await;
    goes_on(1).await;
    pods.restart().await;
    goes_on(1).await;
    load.reached(REQUESTS).await;
    let (sent, failed) = load.end().await;

    assert!(
        failed.is_empty(),
        "{}: {} of {sent} requests failed, such as {:?}\n{}",
        program.name,
        failed.len(),
        &failed[..failed.len().min(5)],
        stage.gateway.process.log()
    );
    for record in stage.elasticsearch.since(0) {
        let user = record.header("x-who").unwrap_or_default();
        if let Err(fault) = stage.judge(&record, user) {
            panic!("a request of {user} arrived with {fault}");
        }
    }
    println!(
        "{}: 0 of {sent} requests failed while {} pods came and went",
        program.name,
        service.seen()
    );
}
