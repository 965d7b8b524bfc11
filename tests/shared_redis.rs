//! The running program beside a real Redis: replicas that end, are killed, or lose sight of it.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot go on should stop, and tells its seed"
)]
#![allow(clippy::disallowed_methods, reason = "clients of the test's own run beside it")]

#[path = "support/redis.rs"]
#[allow(dead_code, reason = "each test binary uses its own share")]
mod redis;
#[path = "support/program.rs"]
mod support;

pub(crate) use support::process;

use elastauth::demo::standin::{Endpoint, Fault, Misbehaviour};
use redis::Redis;
use std::time::Duration;
use support::{
    relay::Relay,
    stage::{GATEWAY_KEY, Plan, Stage, question},
    until,
};
use tokio::{task::JoinSet, time::sleep};

fn with_redis(port: u16) -> String {
    format!("cache: {{type: redis}}\nredis: {{url: 'redis://127.0.0.1:{port}'}}\nusers: {{writes_per_minute: 1000, new_per_minute: 1000000}}")
}

async fn cache(stage: &Stage) -> serde_json::Value {
    stage.gateway().get("/elastauth/ready", &[("x-elastauth-key", GATEWAY_KEY)]).await.json()["checks"]["cache"].clone()
}

async fn comes_to(stage: &Stage, status: &str) {
    for _ in 0..200 {
        if cache(stage).await["status"] == status {
            return;
        }
        sleep(Duration::from_millis(50)).await;
    }
    panic!("the store is not {status}: {}", cache(stage).await);
}

async fn in_use(stage: &Stage) {
    comes_to(stage, "OK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_end_while_it_has_lost_redis_it_still_tells_of_its_changes_when_redis_comes_back_in_time() {
    let redis = Redis::start(&[]).await;
    let relay = Relay::to(redis.port).await;
    let other = Stage::planned(Plan { more: &with_redis(redis.port), ..Plan::default() }).await;
    let mut lonely = other.replica(Plan { more: &with_redis(relay.port), ..Plan::default() }).await;
    in_use(&other).await;
    in_use(&lonely).await;
    assert!(other.works(&other.ask("alice", "ops").await));
    // One of the two loses Redis, writes other roles, and is told to end.
    let port = relay.port;
    drop(relay);
    comes_to(&lonely, "DEGRADED").await;
    assert!(lonely.works(&lonely.ask("alice", "dev").await));
    assert_eq!(other.cluster.user("alice").unwrap().roles, ["editor", "viewer"]);
    lonely.elastauth.ask_to_end();
    sleep(Duration::from_secs(1)).await;
    let _back = Relay::at(port, redis.port).await;
    assert!(lonely.elastauth.ended().await.success());
    assert!(!lonely.elastauth.log().contains("could not be told"), "{}", lonely.elastauth.log());
    // The other one hears all the time, and would believe what it remembers for an hour.
    sleep(Duration::from_secs(1)).await;
    assert!(other.works(&other.ask("alice", "ops").await));
    assert_eq!(other.cluster.user("alice").unwrap().roles, ["monitoring_user", "viewer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn told_to_end_while_redis_is_away_it_does_not_wait_for_ever_and_says_what_it_could_not_tell() {
    let mut redis = Redis::start(&[]).await;
    let mut stage = Stage::planned(Plan { more: &with_redis(redis.port), ..Plan::default() }).await;
    in_use(&stage).await;
    redis.kill();
    comes_to(&stage, "DEGRADED").await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    assert!(stage.elastauth.terminate().await.success());
    let log = stage.elastauth.log();
    assert!(log.contains("Redis could not be told of changes before the end") && log.contains("changes=1"), "{log}");
    assert!(!log.contains("given up"), "{log}");
}
