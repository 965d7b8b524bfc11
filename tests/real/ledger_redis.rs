//! Replicas in front of one stand-in cluster with a real Redis between them: what they tell each
//! other, and that nothing which can happen to Redis ever costs a login.

mod checks;
mod outages;
mod topologies;
mod writes;

use crate::support::{
    Why,
    deployment::{Deployment, Flow, StoreConfig, Tasks, ask, upstream_of},
    pause,
    redis::Redis,
    until,
};
use elastauth::internals::{
    broker,
    clock::Clock,
    keys::Keyring,
    ledger::{
        self, Forgotten, Ledger, Others,
        redis::{Config, RedisNode, Topology},
    },
    model::Username,
    secret::SecretKey,
    telemetry::{
        clocks::ClockCheck,
        metrics::{ClusterMetrics, Metrics},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::Instant;

/// A replica with Redis at this URL, once it hears the others.
struct Replica {
    flow: Arc<Flow>,
    tasks: Tasks,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.tasks.end();
    }
}

fn at(url: &str) -> Config {
    Config {
        topology: Topology::Single(RedisNode::parse(url).unwrap()),
        database: 0,
        username: None,
        password: None,
        tls: elastauth::internals::net::tls::ClientConfig::default(),
    }
}

fn replica(
    deployment: &Deployment,
    redis: Config,
    change: impl FnOnce(&mut broker::Config),
) -> Replica {
    let tasks = Tasks::default();
    let flow = deployment.replica_with(&tasks, change, StoreConfig::Redis(Box::new(redis)));
    Replica { flow, tasks }
}

async fn ready(replica: &Replica) {
    until("Redis is in use", || {
        upstream_of(&replica.flow)
            .broker()
            .ledger()
            .store_state()
            .is_ok()
    })
    .await;
}

async fn two(deployment: &Deployment, redis: &Redis) -> (Replica, Replica) {
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let (one, other) = (
        replica(deployment, at(&url), |_| {}),
        replica(deployment, at(&url), |_| {}),
    );
    ready(&one).await;
    ready(&other).await;
    (one, other)
}

async fn stored(redis: &Redis, users: usize) {
    until("what was written is in Redis", || {
        redis.keys().len() == users && redis.keys().iter().all(|key| kind(redis, key) == "s")
    })
    .await;
}

/// `s` for a written user, `f` for a write that is pending.
fn kind(redis: &Redis, key: &str) -> String {
    redis.cli(&["--raw", "GETRANGE", key, "1", "1"])
}

/// Whether it is answered without waiting for anything.
fn futures_now<F: Future>(future: F) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::pin!(future).poll(&mut context).is_ready()
}

/// Two replicas of this configuration share what one has learnt.
async fn shares(deployment: &Deployment, config: &Config, user: &str) {
    let (one, other) = (
        replica(deployment, config.clone(), |_| {}),
        replica(deployment, config.clone(), |_| {}),
    );
    ready(&one).await;
    ready(&other).await;
    ask(&one.flow, user, "dev").await.unwrap();
    // Reported off the request's way.
    pause(Why::Again, Duration::from_millis(200)).await;
    deployment.calls();
    ask(&other.flow, user, "dev").await.unwrap();
    assert_eq!(deployment.calls(), Vec::<String>::new(), "{user}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_replica_needs_no_call_and_hears_of_changes_within_a_second() {
    let (deployment, redis) = (Deployment::new().await, Redis::start(&[]).await);
    let (one, other) = two(&deployment, &redis).await;
    ask(&one.flow, "alice", "dev").await.unwrap();
    stored(&redis, 1).await;
    let ttl: u64 = redis.cli(&["PTTL", &redis.keys()[0]]).parse().unwrap();
    assert!(
        (7_190_000..=7_200_000).contains(&ttl),
        "twice the expiration: {ttl}"
    );
    assert!(!redis.keys()[0].contains("alice"));
    deployment.calls();
    let grant = ask(&other.flow, "alice", "dev").await.unwrap();
    assert!(
        deployment
            .cluster
            .accepts(grant.credential().authorization())
    );
    assert_eq!(deployment.calls(), Vec::<String>::new());
    // An operator who has one replica check a user has them all check.
    assert!(
        futures_now(ask(&other.flow, "alice", "dev"))
            && futures_now(ask(&one.flow, "alice", "dev"))
    );
    let asked = Instant::now();
    let forgotten = upstream_of(&one.flow)
        .broker()
        .recheck(&Username::parse("alice").unwrap());
    assert_eq!(
        forgotten,
        Forgotten {
            known: true,
            others: Others::Reported
        }
    );
    // It asks the cluster again, within this look or after it.
    until("the other one's forgetting", || {
        !futures_now(ask(&other.flow, "alice", "dev")) || !deployment.calls().is_empty()
    })
    .await;
    assert!(
        asked.elapsed() < Duration::from_secs(1),
        "{:?}",
        asked.elapsed()
    );
    ask(&one.flow, "alice", "dev").await.unwrap();
    ask(&other.flow, "alice", "dev").await.unwrap();
    // Other groups on one replica; the other one, which remembers the old ones, must not answer on
    // them for long.
    let changed = Instant::now();
    ask(&one.flow, "alice", "admins").await.unwrap();
    until("the change", || {
        deployment.calls();
        !futures_now(ask(&other.flow, "alice", "dev"))
            || !deployment.calls().is_empty()
            || !deployment.roles("alice").contains(&"superuser".to_owned())
    })
    .await;
    assert!(
        changed.elapsed() < Duration::from_secs(1),
        "{:?}",
        changed.elapsed()
    );
    // A clock that has moved past the expiration believes nothing.
    deployment.pass(Duration::from_hours(1));
    deployment.calls();
    ask(&one.flow, "alice", "dev").await.unwrap();
    assert!(!deployment.calls().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_not_right_in_every_bit_cost_a_call_and_nothing_else() {
    let (deployment, redis) = (Deployment::new().await, Redis::start(&[]).await);
    let (one, _other) = two(&deployment, &redis).await;
    ask(&one.flow, "alice", "dev").await.unwrap();
    stored(&redis, 1).await;
    let alices = redis.keys()[0].clone();
    ask(&one.flow, "bob", "dev").await.unwrap();
    stored(&redis, 2).await;
    let bobs = redis.keys().into_iter().find(|key| *key != alices).unwrap();
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let good = redis.home.join("good");
    let copy = |from: &str, to: &str| assert_eq!(redis.cli(&["COPY", from, to, "REPLACE"]), "1");
    copy(&alices, "good");
    for (what, spoil) in [
        ("swapped", &(|| copy(&bobs, &alices)) as &dyn Fn()),
        ("truncated", &|| {
            drop(redis.cli(&[
                "EVAL",
                "redis.call('SET', KEYS[1], string.sub(redis.call('GET', KEYS[1]), 1, 71))",
                "1",
                &alices,
            ]));
        }),
        ("changed", &|| {
            drop(redis.cli(&["SETRANGE", &alices, "20", "x"]));
        }),
        ("another time", &|| {
            drop(redis.cli(&["SETRANGE", &alices, "39", "zzzz"]));
        }),
        ("nonsense", &|| {
            drop(redis.cli(&["SET", &alices, "nonsense"]));
        }),
        ("another type", &|| {
            drop(redis.cli(&[
                "EVAL",
                "redis.call('DEL', KEYS[1]) redis.call('LPUSH', KEYS[1], 'x')",
                "1",
                &alices,
            ]));
        }),
    ] {
        copy("good", &alices);
        spoil();
        let fresh = replica(&deployment, at(&url), |_| {});
        ready(&fresh).await;
        deployment.calls();
        ask(&fresh.flow, "alice", "dev").await.unwrap();
        assert_eq!(
            deployment.calls(),
            ["GET /_security/_authenticate 200 by alice"],
            "{what}"
        );
    }
    drop(good);
    // Replayed after the expiration: right in every bit, and too old.
    copy("good", &alices);
    deployment.pass(Duration::from_hours(1));
    let fresh = replica(&deployment, at(&url), |_| {});
    ready(&fresh).await;
    deployment.calls();
    ask(&fresh.flow, "alice", "dev").await.unwrap();
    assert_eq!(deployment.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_another_key_is_no_witness() {
    let (deployment, redis) = (Deployment::new().await, Redis::start(&[]).await);
    let (one, _other) = two(&deployment, &redis).await;
    ask(&one.flow, "alice", "dev").await.unwrap();
    stored(&redis, 1).await;
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
    // Each of them reports the other one.
    for flow in [&other_key.flow, &one.flow] {
        until("the other key", || {
            upstream_of(flow)
                .broker()
                .ledger()
                .store_state()
                .is_err_and(|why| why.contains("another `secret_key`"))
        })
        .await;
    }
    deployment.calls();
    ask(&other_key.flow, "alice", "dev").await.unwrap();
    assert!(
        deployment
            .calls()
            .iter()
            .any(|call| call.starts_with("PUT"))
    );
    drop(other_key);
    // Who is gone is reported no more, half a minute after the last word.
    until("the end of the report", || {
        deployment.pass(Duration::from_secs(1));
        upstream_of(&one.flow)
            .broker()
            .ledger()
            .store_state()
            .is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_whose_clock_is_ahead_is_noticed_by_the_others() {
    let redis = Redis::start(&[]).await;
    let start = |ahead_ms: u64| {
        let clock = Clock::Manual(Arc::new((1_800_000_000_000 + ahead_ms).into()));
        let (tasks, clocks) = (
            Tasks::default(),
            ClockCheck::new(
                clock.clone(),
                Duration::from_millis(500),
                Metrics::default(),
            ),
        );
        let key =
            SecretKey::parse("3e5a77c1d09b4f2286e4b1a9c05d7f13a86c2e94b7d05f31c92e6a40d8b17f5c")
                .unwrap();
        let store = StoreConfig::Redis(Box::new(at(&format!("127.0.0.1:{}", redis.port))));
        (
            Ledger::start(
                &ledger::Config {
                    capacity: 10,
                    store,
                },
                ledger::LedgerContext {
                    keys: Arc::new(Keyring::new(&key, None, "default")),
                    expiration: Duration::from_hours(1),
                    clock: clock.clone(),
                    tasks: tasks.clone(),
                    clocks: clocks.clone(),
                    metrics: ClusterMetrics::default(),
                },
                &ledger::Folders::default(),
            )
            .unwrap(),
            tasks,
            clocks,
        )
    };
    let ((_one, ones, one), (_two, twos, two)) = (start(0), start(400));
    pause(Why::NothingHappens, Duration::from_millis(2_500)).await;
    assert_eq!(
        (one.state(), two.state()),
        (Ok(()), Ok(())),
        "within the grace"
    );
    let (_three, threes, three) = start(30_000);
    until("the clock that is ahead", || {
        one.state().is_err() && two.state().is_err()
    })
    .await;
    assert_eq!(
        three.state(),
        Ok(()),
        "who is ahead cannot tell a clock that is behind from a long way"
    );
    for tasks in [ones, twos, threes] {
        tasks.end();
    }
}
