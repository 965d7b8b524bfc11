//! A check by one replica counts for all: what it costs Redis, and that a letter of it prolongs
//! nothing that it must not.

use super::{Replica, at, futures_now, kind, ready, replica, two};
use crate::support::{
    Why,
    house::{Endpoint, Fault, House, Misbehaviour, ask, broker_of},
    pause,
    redis::Redis,
    until,
};
use elastauth::{broker, secret::SecretKey};
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

/// Waits for what replicas have still to tell Redis and each other.
async fn settled() {
    pause(Why::NothingHappens, Duration::from_millis(250)).await;
}

/// Lets the clock pass the next moment at which a user is checked.
fn pass_a_moment(house: &House) {
    house.pass(Duration::from_hours(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_costs_redis_one_command_in_each_expiration_over_all_replicas_together() {
    const USERS: usize = 60;
    const PERIODS: u64 = 4;
    const EXPIRATION: Duration = Duration::from_secs(2);
    let change = |config: &mut broker::Config| {
        (config.expiration, config.rotation) = (EXPIRATION, Duration::ZERO);
    };
    let (house, redis) = (House::with(change).await, Redis::start(&[]).await);
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let replicas: Vec<_> = (0..3).map(|_| replica(&house, at(&url), change)).collect();
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
    let start = house.ms.load(Ordering::SeqCst);
    let until = async |periods: u64| {
        let end = start + 2_000 * periods;
        loop {
            let now = start + u64::try_from(begun.elapsed().as_millis()).unwrap();
            house.ms.store(now.min(end), Ordering::SeqCst);
            if now >= end {
                return;
            }
            pause(Why::Pace, Duration::from_millis(1)).await;
        }
    };
    // The first period has what came before.
    until(1).await;
    redis.cli(&["CONFIG", "RESETSTAT"]);
    house.calls();
    until(1 + PERIODS).await;
    let ((scripts, looks), calls) = (commands(&redis), house.calls());
    clients.abort_all();
    let checks = PERIODS * USERS as u64;
    println!(
        "{scripts} answers stored in Redis, {looks} looks there, {} calls in the cluster, for {checks} checks",
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
    // Replicas that are asked within the time of one question to the cluster and of one letter ask
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

    /// Letters that came, but for beats: those are the shortest.
    async fn letters(&mut self) -> Vec<Vec<u8>> {
        use futures_util::StreamExt as _;
        let mut letters = Vec::new();
        while let Ok(Some(letter)) =
            tokio::time::timeout(Duration::from_millis(250), self.heard.on_message().next()).await
        {
            letters.extend(
                (letter.get_payload_bytes().len() > 51)
                    .then(|| letter.get_payload_bytes().to_vec()),
            );
        }
        letters
    }

    async fn say(&mut self, letter: &[u8]) {
        let told: usize = ::redis::cmd("PUBLISH")
            .arg(CHANNEL)
            .arg(letter)
            .query_async(&mut self.own)
            .await
            .unwrap();
        assert!(told > 0);
        settled().await;
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
async fn both_know(house: &House, one: &Replica, other: &Replica, user: &str) {
    ask(&one.flow, user, "dev").await.unwrap();
    settled().await;
    ask(&other.flow, user, "dev").await.unwrap();
    assert!(futures_now(ask(&one.flow, user, "dev")) && futures_now(ask(&other.flow, user, "dev")));
    house.calls();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_has_checked_the_others_need_not_check() {
    let (house, redis) = (House::new().await, Redis::start(&[]).await);
    let (one, other) = two(&house, &redis).await;
    both_know(&house, &one, &other, "alice").await;
    for asking in [&one, &other, &other, &one] {
        pass_a_moment(&house);
        redis.cli(&["CONFIG", "RESETSTAT"]);
        ask(&asking.flow, "alice", "dev").await.unwrap();
        settled().await;
        assert_eq!(house.calls(), ["GET /_security/_authenticate 200 by alice"]);
        assert!(
            futures_now(ask(&one.flow, "alice", "dev"))
                && futures_now(ask(&other.flow, "alice", "dev")),
            "both know"
        );
        assert_eq!((commands(&redis), house.calls()), ((1, 0), vec![]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_letter_that_comes_again_or_late_or_from_somebody_else_prolongs_nothing() {
    let (house, redis) = (House::new().await, Redis::start(&[]).await);
    let (one, other) = two(&house, &redis).await;
    both_know(&house, &one, &other, "alice").await;
    let mut wire = Wire::tap(&redis).await;
    pass_a_moment(&house);
    ask(&one.flow, "alice", "dev").await.unwrap();
    let letters = wire.letters().await;
    let [stands] = letters.as_slice() else {
        panic!("one letter for one check: {letters:?}")
    };
    house.calls();
    // Again, in the next period: it carries its own age.
    pass_a_moment(&house);
    wire.say(stands).await;
    ask(&other.flow, "alice", "dev").await.unwrap();
    assert_eq!(house.calls().len(), 1, "the other one has asked by itself");
    // Somebody has changed the user meanwhile. Neither the one who has done it nor the one who has
    // heard of it may believe the letter of before.
    let _so_far = wire.letters().await;
    ask(&one.flow, "alice", "admins").await.unwrap();
    let changed = wire.letters().await;
    assert_eq!(changed.len(), 2, "the begin and the end of a write");
    wire.say(stands).await;
    house.calls();
    assert!(futures_now(ask(&one.flow, "alice", "admins")));
    ask(&other.flow, "alice", "dev").await.unwrap();
    assert!(house.calls().iter().any(|call| call.starts_with("PUT")));
    settled().await;
    // Changed in any bit, or sealed with another key: no letter at all.
    let mut bent = stands.clone();
    *bent.last_mut().unwrap() ^= 1;
    pass_a_moment(&house);
    wire.say(&bent).await;
    ask(&other.flow, "alice", "dev").await.unwrap();
    assert_eq!(house.calls().len(), 1, "the other one has asked by itself");
    settled().await;
    let stranger = replica(
        &house,
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
    until("the stranger's hearing", || {
        broker_of(&stranger.flow).ledger().store_state().is_err()
    })
    .await;
    // What he says in his own words of a user who is the same to him.
    pass_a_moment(&house);
    ask(&stranger.flow, "alice", "dev").await.unwrap();
    settled().await;
    house.calls();
    ask(&one.flow, "alice", "dev").await.unwrap();
    assert!(
        !house.calls().is_empty(),
        "his word counts for nothing here"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_was_emptied_heals_with_the_checks() {
    let (house, redis) = (House::new().await, Redis::start(&[]).await);
    let (one, other) = two(&house, &redis).await;
    both_know(&house, &one, &other, "alice").await;
    redis.cli(&["FLUSHALL"]);
    redis.cli(&["CONFIG", "RESETSTAT"]);
    // Nobody has told: the place of the old fact is empty, which may mean that somebody has taken
    // it back. Nothing is stored, and nobody is told.
    pass_a_moment(&house);
    ask(&one.flow, "alice", "dev").await.unwrap();
    settled().await;
    assert_eq!(
        (redis.keys().len(), commands(&redis), house.calls().len()),
        (0, (1, 0), 1)
    );
    ask(&other.flow, "alice", "dev").await.unwrap();
    settled().await;
    assert_eq!(
        (redis.keys().len(), commands(&redis), house.calls().len()),
        (0, (2, 0), 1)
    );
    // The next one looks what is there, and stores in the place of nothing.
    pass_a_moment(&house);
    ask(&one.flow, "alice", "dev").await.unwrap();
    settled().await;
    assert_eq!(
        (
            kind(&redis, &redis.keys()[0]),
            commands(&redis),
            house.calls().len()
        ),
        ("s".to_owned(), (3, 1), 1)
    );
    // From then on it is as it was.
    assert!(futures_now(ask(&other.flow, "alice", "dev")));
    pass_a_moment(&house);
    ask(&other.flow, "alice", "dev").await.unwrap();
    settled().await;
    assert!(futures_now(ask(&one.flow, "alice", "dev")));
    assert_eq!((commands(&redis), house.calls().len()), ((4, 1), 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_not_stored_over_what_another_replica_has_written_meanwhile() {
    let (house, redis) = (House::new().await, Redis::start(&[]).await);
    let (one, other) = two(&house, &redis).await;
    both_know(&house, &one, &other, "alice").await;
    let (mut wire, key) = (Wire::tap(&redis).await, redis.keys()[0].clone());
    // An administrator deletes her; one replica notices and writes her anew, with the same roles,
    // while the other one's question is on its way.
    pass_a_moment(&house);
    let _so_far = house.cluster.busiest();
    house.cluster.fault(
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
    until("the question that is slow", || house.cluster.busiest() > 0).await;
    assert!(house.cluster.remove_user("alice"));
    ask(&other.flow, "alice", "dev").await.unwrap();
    settled().await;
    let theirs = wire.value(&key).await;
    redis.cli(&["CONFIG", "RESETSTAT"]);
    house.pass(Duration::from_millis(7));
    assert!(!slow.is_finished());
    slow.await.unwrap().unwrap();
    assert_eq!(
        wire.letters().await.len(),
        2,
        "the begin and the end of the write: what is not stored is not told"
    );
    assert_eq!(
        (wire.value(&key).await, commands(&redis)),
        (theirs, (0, 1)),
        "it has heard of the write, and looks for its end in the place of storing anything"
    );
    // And believes what the other one has seen there.
    pass_a_moment(&house);
    house.calls();
    ask(&one.flow, "alice", "dev").await.unwrap();
    settled().await;
    assert_eq!((commands(&redis), house.calls().len()), ((1, 1), 1));
    assert!(futures_now(ask(&other.flow, "alice", "dev")));
}
