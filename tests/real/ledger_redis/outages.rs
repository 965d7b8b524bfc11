//! A Redis that fails, is away, or takes no writes.

use super::{ready, stored, two};
use crate::support::{
    Why,
    deployment::{Deployment, ask, upstream_of},
    pause,
    redis::Redis,
    until,
};
use std::time::Duration;
use tokio::time::{Instant, timeout};

/// Nobody waits for Redis. A machine that is busy with other things may take much longer than the
/// deadline of a question to it.
const ANSWERED: Duration = Duration::from_secs(10);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_happens_to_redis_costs_a_login() {
    let deployment = Deployment::with(|config| config.writes_per_minute = 1_000).await;
    let mut redis = Redis::start(&[]).await;
    let (one, other) = two(&deployment, &redis).await;
    let mut round = 0;
    for trouble in [
        "nothing",
        "flushed",
        "paused",
        "killed",
        "full",
        "read-only",
        "other people's values",
    ] {
        match trouble {
            "flushed" => drop(redis.cli(&["FLUSHALL"])),
            "paused" => redis.signal("STOP"),
            "killed" => redis.kill(),
            "full" => {
                drop((
                    redis.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]),
                    redis.cli(&["CONFIG", "SET", "maxmemory", "1"]),
                ));
            }
            "read-only" => drop(redis.cli(&["REPLICAOF", "127.0.0.1", "1"])),
            "other people's values" => redis
                .keys()
                .iter()
                .for_each(|key| drop(redis.cli(&["SET", key, "x"]))),
            _ => {}
        }
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            round += 1;
            for n in 0..10 {
                let user = format!("user-{}", (round * 3 + n) % 40);
                let groups = if round % 3 == 0 { "dev" } else { "admins" };
                for flow in [&one.flow, &other.flow] {
                    let grant = timeout(ANSWERED, ask(flow, &user, groups)).await;
                    let grant = grant
                        .unwrap_or_else(|_| panic!("{trouble}: no answer"))
                        .unwrap_or_else(|why| panic!("{trouble}: {why:?}"));
                    assert!(
                        deployment
                            .cluster
                            .accepts(grant.credential().authorization()),
                        "{trouble}"
                    );
                }
            }
            deployment.pass(Duration::from_secs(3));
        }
        match trouble {
            "paused" => redis.signal("CONT"),
            "killed" => redis.restart().await,
            "full" => drop(redis.cli(&["CONFIG", "SET", "maxmemory", "0"])),
            "read-only" => drop(redis.cli(&["REPLICAOF", "NO", "ONE"])),
            _ => {}
        }
        if !["nothing", "flushed", "other people's values"].contains(&trouble) {
            // The next errand finds it well again.
            ask(
                &one.flow,
                "carol",
                if round % 2 == 0 { "dev" } else { "admins" },
            )
            .await
            .unwrap();
            ask(
                &other.flow,
                "dave",
                if round % 2 == 0 { "dev" } else { "admins" },
            )
            .await
            .unwrap();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nobody_heard_memory_lives_ten_seconds_and_after_an_outage_old_facts_are_not_believed()
{
    let (deployment, mut redis) = (Deployment::new().await, Redis::start(&[]).await);
    let (one, other) = two(&deployment, &redis).await;
    ask(&one.flow, "alice", "dev").await.unwrap();
    stored(&redis, 1).await;
    ask(&other.flow, "alice", "dev").await.unwrap();
    redis.kill();
    // The connection for commands may end earlier than the one for messages, whose loss counts
    // here.
    until("the loss", || {
        !upstream_of(&other.flow).broker().ledger().hears_others()
    })
    .await;
    deployment.calls();
    ask(&other.flow, "alice", "dev").await.unwrap();
    assert_eq!(deployment.calls(), Vec::<String>::new());
    deployment.pass(Duration::from_secs(10));
    ask(&other.flow, "alice", "dev").await.unwrap();
    assert_eq!(deployment.calls().len(), 1);
    // Roles change while nobody can be informed; when Redis is back, both agree with the cluster.
    ask(&one.flow, "alice", "admins").await.unwrap();
    deployment.pass(Duration::from_secs(10));
    redis.restart().await;
    ready(&other).await;
    ready(&one).await;
    deployment.calls();
    ask(&other.flow, "alice", "dev").await.unwrap();
    assert!(!deployment.calls().is_empty());
    assert!(!deployment.roles("alice").contains(&"superuser".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_and_takes_no_writes_vouches_for_nobody() {
    let deployment = Deployment::new().await;
    for trouble in [
        "no replica to save to",
        "a disk that is full",
        "an ACL without DEL and EVAL",
    ] {
        let redis = Redis::start(&["--enable-protected-configs", "yes"]).await;
        let (one, other) = two(&deployment, &redis).await;
        ask(&one.flow, "alice", "admins").await.unwrap();
        stored(&redis, 1).await;
        ask(&other.flow, "alice", "admins").await.unwrap();
        match trouble {
            "no replica to save to" => {
                drop(redis.cli(&["CONFIG", "SET", "min-replicas-to-write", "1"]));
            }
            "a disk that is full" => {
                drop((
                    redis.cli(&["CONFIG", "SET", "save", "1 1"]),
                    redis.cli(&["CONFIG", "SET", "dir", "/proc/self"]),
                ));
                drop(redis.cli(&["BGSAVE"]));
                until("writes are refused", || {
                    redis.cli(&["DEL", "nothing"]).contains("MISCONF")
                })
                .await;
            }
            _ => drop(redis.cli(&["ACL", "SETUSER", "default", "-del", "-eval"])),
        }
        // Roles go, and Redis still says what stood before.
        ask(&one.flow, "alice", "dev").await.unwrap();
        pause(Why::Expires, Duration::from_secs(1)).await;
        let until_then = Instant::now() + Duration::from_secs(7);
        while Instant::now() < until_then {
            let grant = ask(&other.flow, "alice", "admins").await.unwrap();
            assert!(
                deployment.roles("alice").contains(&"superuser".to_owned()),
                "{trouble}: {grant:?} on roles that do not stand"
            );
            ask(&one.flow, "alice", "dev").await.unwrap();
            assert!(
                !deployment.roles("alice").contains(&"superuser".to_owned()),
                "{trouble}: roles of another session"
            );
            pause(Why::Expires, Duration::from_secs(3)).await;
            deployment.pass(Duration::from_mins(1));
        }
    }
}
