//! A Redis that drops messages between running replicas, repeats them, or is used by replicas of
//! another version.

use crate::support::{
    find,
    lossy::Lossy,
    redis::Redis,
    stage::{GATEWAY_KEY, Plan, SECRET_KEY, Stage},
    until,
};
use aws_lc_rs::{
    aead::{AES_256_GCM, Aad, RandomizedNonceKey},
    hkdf::{HKDF_SHA256, Salt},
};
use futures_util::StreamExt as _;
use std::time::Duration;

const CHANNEL: &str = "elastauth:default";
/// As long as a heartbeat; all other messages of these tests are shorter.
const HEARTBEAT: usize = 196;

fn with_redis(port: u16) -> String {
    format!(
        "enable_metrics: true\ncache: {{type: redis}}\nredis: {{url: 'redis://127.0.0.1:{port}'}}"
    )
}

async fn start(port: u16) -> Stage {
    let stage = Stage::planned(Plan {
        more: &with_redis(port),
        ..Plan::default()
    })
    .await;
    in_use(&stage).await;
    stage
}

async fn beside(stage: &Stage, port: u16) -> Stage {
    let other = stage
        .replica(Plan {
            more: &with_redis(port),
            ..Plan::default()
        })
        .await;
    in_use(&other).await;
    other
}

async fn cache(stage: &Stage) -> String {
    let ready = stage.gateway();
    let ready = ready.get("/elastauth/ready", &[("x-elastauth-key", GATEWAY_KEY)]);
    ready.await.json()["checks"]["cache"].to_string()
}

async fn in_use(stage: &Stage) {
    let is_ok = async || cache(stage).await.contains("OK").then_some(());
    find("Redis in use", Duration::from_secs(10), is_ok).await;
}

async fn counted(stage: &Stage, result: &str) -> u64 {
    let series =
        format!(r#"elastauth_store_messages_total{{cluster="default",result="{result}"}}"#);
    stage.number(&series).await
}

async fn comes_to_count(stage: &Stage, result: &str) {
    let is_counted = async || (counted(stage, result).await > 0).then_some(());
    find(result, Duration::from_secs(10), is_counted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_redis_drops_is_noticed_and_ends_what_is_remembered() {
    let redis = Redis::start(&[]).await;
    let relay = Lossy::to(redis.port, |length| length != HEARTBEAT).await;
    let one = start(redis.port).await;
    let other = beside(&one, relay.port).await;
    assert!(other.works(&other.ask("alice", "ops").await));
    // The beginning and the end of a write.
    until("its own messages", || relay.passed() == 2).await;
    // Of each replica, what its first heartbeat says is where the count begins.
    let heartbeats = async || (relay.others() >= 6).then_some(());
    find("heartbeats of both", Duration::from_secs(15), heartbeats).await;
    relay.drop_next(2);
    assert!(one.works(&one.ask("alice", "dev").await));
    until("the loss of two messages", || relay.has_dropped()).await;
    // It would use what it remembers for an hour.
    let agreed = async || {
        assert!(other.works(&other.ask("alice", "ops").await));
        let roles = other.cluster.user("alice")?.roles;
        (roles == ["monitoring_user", "viewer"]).then_some(())
    };
    find("the right roles", Duration::from_secs(30), agreed).await;
    assert_eq!(counted(&other, "missed").await, 1);
    assert_eq!(counted(&one, "missed").await, 0);
    let log = other.elastauth.log();
    assert!(log.contains("was lost on its way through Redis"), "{log}");
    in_use(&other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_is_sent_again_is_ignored_and_logged_once() {
    let redis = Redis::start(&[]).await;
    let stage = start(redis.port).await;
    let client = redis::Client::open(("127.0.0.1", redis.port)).unwrap();
    let mut tap = client.get_async_pubsub().await.unwrap();
    tap.subscribe(CHANNEL).await.unwrap();
    let message = tap.on_message().next().await.unwrap();
    let message = message.get_payload_bytes().to_vec();
    assert_eq!(message.len(), HEARTBEAT);
    publish(&client, &message).await;
    publish(&client, &message).await;
    let both = async || (counted(&stage, "again").await == 2).then_some(());
    find("two copies", Duration::from_secs(10), both).await;
    let log = stage.elastauth.log();
    assert_eq!(log.matches("came a second time").count(), 1, "{log}");
    assert!(cache(&stage).await.contains("OK"));
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_of_another_version_are_told_and_no_attack() {
    let redis = Redis::start(&[]).await;
    let stage = start(redis.port).await;
    // The heartbeat of the first format: sender, kind, time.
    let text = [&[9; 8][..], b"b", &1_800_000_000_000_u64.to_be_bytes()].concat();
    let client = redis::Client::open(("127.0.0.1", redis.port)).unwrap();
    publish(&client, &sealed(text)).await;
    comes_to_count(&stage, "other_version").await;
    let told = async || {
        cache(&stage)
            .await
            .contains("another version")
            .then_some(())
    };
    find("the state of the cache", Duration::from_secs(5), told).await;
    let log = stage.elastauth.log();
    assert!(!log.contains("no elastauth has written"), "{log}");
    // It is gone after the upgrade.
    in_use(&stage).await;
}

async fn publish(client: &redis::Client, message: &[u8]) {
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let mut publish = redis::cmd("PUBLISH");
    publish.arg(CHANNEL).arg(message);
    let received: usize = publish.query_async(&mut connection).await.unwrap();
    assert!(received > 0);
}

/// As a replica closes it, from the key of the tests.
fn sealed(mut text: Vec<u8>) -> Vec<u8> {
    let secret: Vec<u8> = (0..64)
        .step_by(2)
        .map(|at| u8::from_str_radix(&SECRET_KEY[at..at + 2], 16).unwrap())
        .collect();
    let prk = Salt::new(HKDF_SHA256, b"elastauth/ledger/v1").extract(&secret);
    let derived = |purpose: &[u8]| {
        let mut key = [0; 32];
        prk.expand(&[purpose], HKDF_SHA256)
            .unwrap()
            .fill(&mut key)
            .unwrap();
        key
    };
    let key = RandomizedNonceKey::new(&AES_256_GCM, &derived(b"letters/default")).unwrap();
    let nonce = key
        .seal_in_place_append_tag(Aad::empty(), &mut text)
        .unwrap();
    [&derived(b"key id/default")[..6], nonce.as_ref(), &text].concat()
}
