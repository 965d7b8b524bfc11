//! A check by one replica counts for all: what it costs Redis, and that a message of it prolongs
//! nothing that it must not.

use super::{Replica, at, futures_now, kind, ready, replica, two};
use crate::support::{
    Why,
    deployment::{Deployment, Endpoint, Fault, Misbehaviour, ask, upstream_of},
    pause,
    redis::Redis,
    until,
};
use elastauth::internals::{broker, secret::SecretKey};
use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::time::Instant;

/// Commands that Redis has had from replicas: scripts that change something, and looks, which take
/// back a name of nothing.
fn commands(redis: &Redis) -> (u64, u64) {
    let stats = redis.cli(&["INFO", "commandstats"]);
    let calls = |name: &str| {
        let line = stats
            .lines()
            .find_map(|line| line.strip_prefix(&format!("cmdstat_{name}:calls=")));
        line.and_then(|line| line.split(',').next())
            .map_or(0, |calls| calls.parse::<u64>().unwrap())
    };
    (calls("eval") - calls("del"), calls("del"))
}

/// Waits for what replicas have still to tell Redis and each other: until nobody has changed or
/// looked anything up for a while.
async fn settled(redis: &Redis) {
    let mut before = None;
    while before != Some(commands(redis)) {
        before = Some(commands(redis));
        pause(Why::NothingHappens, Duration::from_millis(250)).await;
    }
}

/// Lets the clock pass the next moment at which a user is checked.
fn pass_a_check(deployment: &Deployment) {
    deployment.pass(Duration::from_hours(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_costs_redis_one_command_in_each_expiration_over_all_replicas_together() {
    const USERS: usize = 60;
    const PERIODS: u64 = 4;
    const EXPIRATION: Duration = Duration::from_secs(2);
    let change = |config: &mut broker::Config| {
        (config.expiration, config.rotation) = (EXPIRATION, Duration::ZERO);
    };
    let (deployment, redis) = (Deployment::with(change).await, Redis::start(&[]).await);
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let replicas: Vec<_> = (0..3)
        .map(|_| replica(&deployment, at(&url), change))
        .collect();
    for replica in &replicas {
        ready(replica).await;
        for n in 0..USERS {
            ask(&replica.flow, &format!("user-{n}"), "dev")
                .await
                .unwrap();
        }
    }
    // Everybody is active everywhere: each replica is asked for each user every tenth of a second,
    // in an order of its own.
    let begun = Instant::now();
    let mut clients = tokio::task::JoinSet::new();
    for (place, replica) in replicas.iter().enumerate() {
        let flow = Arc::clone(&replica.flow);
        clients.spawn(async move {
            for round in 0_usize.. {
                for n in 0..USERS {
                    let n = (n * 7 + round * 23 + place * 20) % USERS;
                    ask(&flow, &format!("user-{n}"), "dev").await.unwrap();
                    pause(Why::Pace, Duration::from_micros(1_600)).await;
                }
            }
        });
    }
    let start = deployment.ms.load(Ordering::SeqCst);
    let until = async |periods: u64| {
        let end = start + 2_000 * periods;
        loop {
            let now = start + u64::try_from(begun.elapsed().as_millis()).unwrap();
            deployment.ms.store(now.min(end), Ordering::SeqCst);
            if now >= end {
                return;
            }
            pause(Why::Pace, Duration::from_millis(1)).await;
        }
    };
    // The first period has what came before.
    until(1).await;
    redis.cli(&["CONFIG", "RESETSTAT"]);
    deployment.calls();
    until(1 + PERIODS).await;
    let ((scripts, looks), calls) = (commands(&redis), deployment.calls());
    clients.abort_all();
    let checks = PERIODS * USERS as u64;
    println!(
        "{scripts} answers stored in Redis, {looks} looks there, {} calls in the cluster, for \
         {checks} checks",
        calls.len()
    );
    assert!(
        calls
            .iter()
            .all(|call| call.starts_with("GET /_security/_authenticate 200")),
        "{calls:?}"
    );
    assert!(
        scripts + 5 >= checks,
        "everybody is checked, but for who is about to be: {scripts}"
    );
    // Replicas that are asked within the time of one question to the cluster and of one message ask
    // both: on a machine at rest a millisecond or two of the tenth of a second, on a busy one some
    // ten.
    assert!(
        scripts + looks <= checks + checks / 2,
        "{scripts} + {looks} for {checks} checks"
    );
}

/// What the replicas say to each other, as they say it.
struct Wire {
    heard: ::redis::aio::PubSub,
    own: ::redis::aio::MultiplexedConnection,
}

const CHANNEL: &str = "elastauth:default";

impl Wire {
    async fn tap(redis: &Redis) -> Self {
        let client = ::redis::Client::open(("127.0.0.1", redis.port)).unwrap();
        let mut heard = client.get_async_pubsub().await.unwrap();
        heard.subscribe(CHANNEL).await.unwrap();
        Self {
            heard,
            own: client.get_multiplexed_async_connection().await.unwrap(),
        }
    }

    /// Messages that came, but for heartbeats: those are the longest.
    async fn messages(&mut self) -> Vec<Vec<u8>> {
        use futures_util::StreamExt as _;
        let mut messages = Vec::new();
        while let Ok(Some(message)) =
            tokio::time::timeout(Duration::from_millis(250), self.heard.on_message().next()).await
        {
            messages.extend(
                (message.get_payload_bytes().len() < 196)
                    .then(|| message.get_payload_bytes().to_vec()),
            );
        }
        messages
    }

    async fn say(&mut self, message: &[u8]) {
        let received: usize = ::redis::cmd("PUBLISH")
            .arg(CHANNEL)
            .arg(message)
            .query_async(&mut self.own)
            .await
            .unwrap();
        assert!(received > 0);
        pause(Why::NothingHappens, Duration::from_millis(250)).await;
    }

    async fn value(&mut self, key: &str) -> Vec<u8> {
        ::redis::cmd("GET")
            .arg(key)
            .query_async(&mut self.own)
            .await
            .unwrap()
    }
}

/// Both have checked the user within this period, and both know.
async fn both_know(
    deployment: &Deployment,
    redis: &Redis,
    (one, other): (&Replica, &Replica),
    user: &str,
) {
    ask(&one.flow, user, "dev").await.unwrap();
    settled(redis).await;
    ask(&other.flow, user, "dev").await.unwrap();
    assert!(futures_now(ask(&one.flow, user, "dev")) && futures_now(ask(&other.flow, user, "dev")));
    deployment.calls();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_has_checked_the_others_need_not_check() {
    let (deployment, redis) = (Deployment::new().await, Redis::start(&[]).await);
    let (one, other) = two(&deployment, &redis).await;
    both_know(&deployment, &redis, (&one, &other), "alice").await;
    for asking in [&one, &other, &other, &one] {
        pass_a_check(&deployment);
        redis.cli(&["CONFIG", "RESETSTAT"]);
        ask(&asking.flow, "alice", "dev").await.unwrap();
        settled(&redis).await;
        assert_eq!(
            deployment.calls(),
            ["GET /_security/_authenticate 200 by alice"]
        );
        assert!(
            futures_now(ask(&one.flow, "alice", "dev"))
                && futures_now(ask(&other.flow, "alice", "dev")),
            "both know"
        );
        assert_eq!((commands(&redis), deployment.calls()), ((1, 0), vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_comes_again_or_late_or_from_somebody_else_prolongs_nothing() {
    let (deployment, redis) = (Deployment::new().await, Redis::start(&[]).await);
    let (one, other) = two(&deployment, &redis).await;
    both_know(&deployment, &redis, (&one, &other), "alice").await;
    let mut wire = Wire::tap(&redis).await;
    pass_a_check(&deployment);
    ask(&one.flow, "alice", "dev").await.unwrap();
    let messages = wire.messages().await;
    let [stands] = messages.as_slice() else {
        panic!("one message for one check: {messages:?}")
    };
    deployment.calls();
    // Again, in the next period: it carries its own age.
    pass_a_check(&deployment);
    wire.say(stands).await;
    ask(&other.flow, "alice", "dev").await.unwrap();
    assert_eq!(
        deployment.calls().len(),
        1,
        "the other one has asked by itself"
    );
    // Somebody has changed the user meanwhile. Neither the one who has done it nor the one who has
    // heard of it may believe the message of before.
    let _so_far = wire.messages().await;
    ask(&one.flow, "alice", "admins").await.unwrap();
    let changed = wire.messages().await;
    assert_eq!(changed.len(), 2, "the begin and the end of a write");
    wire.say(stands).await;
    deployment.calls();
    assert!(futures_now(ask(&one.flow, "alice", "admins")));
    ask(&other.flow, "alice", "dev").await.unwrap();
    assert!(
        deployment
            .calls()
            .iter()
            .any(|call| call.starts_with("PUT"))
    );
    settled(&redis).await;
    // Changed in any bit, or sealed with another key: no message at all.
    let mut bent = stands.clone();
    *bent.last_mut().unwrap() ^= 1;
    pass_a_check(&deployment);
    wire.say(&bent).await;
    ask(&other.flow, "alice", "dev").await.unwrap();
    assert_eq!(
        deployment.calls().len(),
        1,
        "the other one has asked by itself"
    );
    settled(&redis).await;
    let other_key = replica(
        &deployment,
        at(&format!("redis://127.0.0.1:{}", redis.port)),
        |config| {
            config.secret_key = Some(
                SecretKey::parse(
                    "3e5a77c1d09b4f2286e4b1a9c05d7f13a86c2e94b7d05f31c92e6a40d8b17f5c",
                )
                .unwrap(),
            );
        },
    );
    // Before its subscription begins the store has another problem.
    until("the subscription of the replica with another key", || {
        upstream_of(&other_key.flow)
            .broker()
            .ledger()
            .store_state()
            .is_err_and(|why| why.contains("another `secret_key`"))
    })
    .await;
    // The values of the replica with another key differ for the same user.
    pass_a_check(&deployment);
    ask(&other_key.flow, "alice", "dev").await.unwrap();
    settled(&redis).await;
    deployment.calls();
    ask(&one.flow, "alice", "dev").await.unwrap();
    assert!(
        !deployment.calls().is_empty(),
        "its messages count for nothing here"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_emptied_heals_with_the_checks() {
    let (deployment, redis) = (Deployment::new().await, Redis::start(&[]).await);
    let (one, other) = two(&deployment, &redis).await;
    both_know(&deployment, &redis, (&one, &other), "alice").await;
    redis.cli(&["FLUSHALL"]);
    redis.cli(&["CONFIG", "RESETSTAT"]);
    // Nobody has reported it: the place of the old fact is empty, which may mean that somebody has
    // taken it back. Nothing is stored, and nobody is informed.
    pass_a_check(&deployment);
    ask(&one.flow, "alice", "dev").await.unwrap();
    settled(&redis).await;
    assert_eq!(
        (
            redis.keys().len(),
            commands(&redis),
            deployment.calls().len()
        ),
        (0, (1, 0), 1)
    );
    ask(&other.flow, "alice", "dev").await.unwrap();
    settled(&redis).await;
    assert_eq!(
        (
            redis.keys().len(),
            commands(&redis),
            deployment.calls().len()
        ),
        (0, (2, 0), 1)
    );
    // The next one looks what is there, and stores in the place of nothing.
    pass_a_check(&deployment);
    ask(&one.flow, "alice", "dev").await.unwrap();
    settled(&redis).await;
    assert_eq!(
        (
            kind(&redis, &redis.keys()[0]),
            commands(&redis),
            deployment.calls().len()
        ),
        ("s".to_owned(), (3, 1), 1)
    );
    // From then on it is as it was.
    assert!(futures_now(ask(&other.flow, "alice", "dev")));
    pass_a_check(&deployment);
    ask(&other.flow, "alice", "dev").await.unwrap();
    settled(&redis).await;
    assert!(futures_now(ask(&one.flow, "alice", "dev")));
    assert_eq!((commands(&redis), deployment.calls().len()), ((4, 1), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_not_stored_over_what_another_replica_has_written_meanwhile() {
    let (deployment, redis) = (Deployment::new().await, Redis::start(&[]).await);
    let (one, other) = two(&deployment, &redis).await;
    both_know(&deployment, &redis, (&one, &other), "alice").await;
    let (mut wire, key) = (Wire::tap(&redis).await, redis.keys()[0].clone());
    // An administrator deletes the user. One replica notices and writes them again, with the same
    // roles, while the other one's question is on its way.
    pass_a_check(&deployment);
    let _so_far = deployment.cluster.busiest();
    deployment.cluster.fault(
        Fault::new(
            Endpoint::Authenticate,
            Misbehaviour::Delay(Duration::from_millis(800)),
        )
        .times(1),
    );
    let slow = tokio::spawn({
        let flow = Arc::clone(&one.flow);
        async move { ask(&flow, "alice", "dev").await.map(drop) }
    });
    until("the question that is slow", || {
        deployment.cluster.busiest() > 0
    })
    .await;
    assert!(deployment.cluster.remove_user("alice"));
    ask(&other.flow, "alice", "dev").await.unwrap();
    settled(&redis).await;
    let theirs = wire.value(&key).await;
    redis.cli(&["CONFIG", "RESETSTAT"]);
    deployment.pass(Duration::from_millis(7));
    assert!(!slow.is_finished());
    slow.await.unwrap().unwrap();
    assert_eq!(
        wire.messages().await.len(),
        2,
        "the begin and the end of the write: what is not stored is not reported"
    );
    assert_eq!(
        (wire.value(&key).await, commands(&redis)),
        (theirs, (0, 1)),
        "it has heard of the write, and looks for its end in the place of storing anything"
    );
    // And believes what the other one has seen there.
    pass_a_check(&deployment);
    deployment.calls();
    ask(&one.flow, "alice", "dev").await.unwrap();
    settled(&redis).await;
    assert_eq!((commands(&redis), deployment.calls().len()), ((1, 1), 1));
    assert!(futures_now(ask(&other.flow, "alice", "dev")));
}
