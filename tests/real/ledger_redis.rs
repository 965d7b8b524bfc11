//! Replicas in front of one stand-in cluster with a real Redis between them: what they tell each
//! other, and that nothing which can happen to Redis ever costs a login.
//!
//! (A long file: each test is one thing that can happen to Redis, and all need the same two
//! replicas.)

mod checks;
mod in_the_air;

use crate::support::{
    Why,
    house::{Endpoint, Fault, Flow, House, Misbehaviour, StoreConfig, Tasks, ask, broker_of},
    pause, process,
    redis::Redis,
    sentinel::Sentinel,
    tls, until,
};
use elastauth::{
    broker,
    clock::Clock,
    keys::Keyring,
    ledger::{
        self, Forgotten, Ledger, Others,
        redis::{Config, Node, Topology},
    },
    model::Username,
    secret::{SecretKey, SecretString},
    telemetry::{ClusterTelemetry, clocks::ClockCheck, metrics::Metrics},
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
        topology: Topology::Single(Node::parse(url).unwrap()),
        database: 0,
        username: None,
        password: None,
        tls: elastauth::net::tls::ClientConfig::default(),
    }
}

fn replica(house: &House, redis: Config, change: impl FnOnce(&mut broker::Config)) -> Replica {
    let tasks = Tasks::default();
    let flow = house.replica_with(&tasks, change, StoreConfig::Redis(Box::new(redis)));
    Replica { flow, tasks }
}

async fn ready(replica: &Replica) {
    until("Redis is in use", || {
        broker_of(&replica.flow).ledger().store_state().is_ok()
    })
    .await;
}

async fn two(house: &House, redis: &Redis) -> (Replica, Replica) {
    let url = format!("redis://127.0.0.1:{}", redis.port);
    let (one, other) = (
        replica(house, at(&url), |_| {}),
        replica(house, at(&url), |_| {}),
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

/// `s` for stands, `f` for in flux.
fn kind(redis: &Redis, key: &str) -> String {
    redis.cli(&["--raw", "GETRANGE", key, "1", "1"])
}

#[tokio::test(flavor = "multi_thread")]
async fn the_second_replica_needs_no_call_and_hears_of_changes_within_a_second() {
    let (house, redis) = (House::new().await, Redis::start(&[]).await);
    let (one, other) = two(&house, &redis).await;
    ask(&one.flow, "alice", "dev").await.unwrap();
    stored(&redis, 1).await;
    let ttl: u64 = redis.cli(&["PTTL", &redis.keys()[0]]).parse().unwrap();
    assert!(
        (7_190_000..=7_200_000).contains(&ttl),
        "twice the expiration: {ttl}"
    );
    assert!(!redis.keys()[0].contains("alice"));
    house.calls();
    let grant = ask(&other.flow, "alice", "dev").await.unwrap();
    assert!(house.cluster.accepts(grant.credential().authorization()));
    assert_eq!(house.calls(), Vec::<String>::new());
    // An operator who has one replica check a user has them all check.
    assert!(
        futures_now(ask(&other.flow, "alice", "dev"))
            && futures_now(ask(&one.flow, "alice", "dev"))
    );
    let told = Instant::now();
    let forgotten = broker_of(&one.flow).recheck(&Username::parse("alice").unwrap());
    assert_eq!(
        forgotten,
        Forgotten {
            known: true,
            others: Others::Reported
        }
    );
    // It asks the cluster again, within this look or after it.
    until("the other one's forgetting", || {
        !futures_now(ask(&other.flow, "alice", "dev")) || !house.calls().is_empty()
    })
    .await;
    assert!(
        told.elapsed() < Duration::from_secs(1),
        "{:?}",
        told.elapsed()
    );
    ask(&one.flow, "alice", "dev").await.unwrap();
    ask(&other.flow, "alice", "dev").await.unwrap();
    // Other groups on one replica; the other one, which remembers the old ones, must not answer on
    // them for long.
    let changed = Instant::now();
    ask(&one.flow, "alice", "admins").await.unwrap();
    until("the change", || {
        house.calls();
        !futures_now(ask(&other.flow, "alice", "dev"))
            || !house.calls().is_empty()
            || !house.roles("alice").contains(&"superuser".to_owned())
    })
    .await;
    assert!(
        changed.elapsed() < Duration::from_secs(1),
        "{:?}",
        changed.elapsed()
    );
    // A clock that has moved past the expiration believes nothing.
    house.pass(Duration::from_hours(1));
    house.calls();
    ask(&one.flow, "alice", "dev").await.unwrap();
    assert!(!house.calls().is_empty());
}

/// Whether it is answered without waiting for anything.
fn futures_now<F: Future>(future: F) -> bool {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    std::pin::pin!(future).poll(&mut context).is_ready()
}

#[tokio::test(flavor = "multi_thread")]
async fn values_that_are_not_right_in_every_bit_cost_a_call_and_nothing_else() {
    let (house, redis) = (House::new().await, Redis::start(&[]).await);
    let (one, _other) = two(&house, &redis).await;
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
        let fresh = replica(&house, at(&url), |_| {});
        ready(&fresh).await;
        house.calls();
        ask(&fresh.flow, "alice", "dev").await.unwrap();
        assert_eq!(
            house.calls(),
            ["GET /_security/_authenticate 200 by alice"],
            "{what}"
        );
    }
    drop(good);
    // Replayed after the expiration: right in every bit, and too old.
    copy("good", &alices);
    house.pass(Duration::from_hours(1));
    let fresh = replica(&house, at(&url), |_| {});
    ready(&fresh).await;
    house.calls();
    ask(&fresh.flow, "alice", "dev").await.unwrap();
    assert_eq!(house.calls().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_with_another_key_is_no_witness() {
    let (house, redis) = (House::new().await, Redis::start(&[]).await);
    let (one, _other) = two(&house, &redis).await;
    ask(&one.flow, "alice", "dev").await.unwrap();
    stored(&redis, 1).await;
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
    // Each of them reports the other one.
    for flow in [&stranger.flow, &one.flow] {
        until("the other key", || {
            broker_of(flow)
                .ledger()
                .store_state()
                .is_err_and(|why| why.contains("another `secret_key`"))
        })
        .await;
    }
    house.calls();
    ask(&stranger.flow, "alice", "dev").await.unwrap();
    assert!(house.calls().iter().any(|call| call.starts_with("PUT")));
    drop(stranger);
    // Who is gone is reported no more, half a minute after the last word.
    until("the end of the report", || {
        house.pass(Duration::from_secs(1));
        broker_of(&one.flow).ledger().store_state().is_ok()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_happens_to_redis_costs_a_login() {
    let house = House::with(|config| config.writes_per_minute = 1_000).await;
    let mut redis = Redis::start(&[]).await;
    let (one, other) = two(&house, &redis).await;
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
                    let asked = Instant::now();
                    let grant = ask(flow, &user, groups)
                        .await
                        .unwrap_or_else(|why| panic!("{trouble}: {why:?}"));
                    assert!(
                        house.cluster.accepts(grant.credential().authorization()),
                        "{trouble}"
                    );
                    assert!(
                        asked.elapsed() < Duration::from_secs(1),
                        "{trouble}: {:?}",
                        asked.elapsed()
                    );
                }
            }
            house.pass(Duration::from_secs(3));
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
    let (house, mut redis) = (House::new().await, Redis::start(&[]).await);
    let (one, other) = two(&house, &redis).await;
    ask(&one.flow, "alice", "dev").await.unwrap();
    stored(&redis, 1).await;
    ask(&other.flow, "alice", "dev").await.unwrap();
    redis.kill();
    until("the loss", || {
        broker_of(&other.flow).ledger().store_state().is_err()
    })
    .await;
    house.calls();
    ask(&other.flow, "alice", "dev").await.unwrap();
    assert_eq!(house.calls(), Vec::<String>::new());
    house.pass(Duration::from_secs(10));
    ask(&other.flow, "alice", "dev").await.unwrap();
    assert_eq!(house.calls().len(), 1);
    // Roles change while nobody can be told; when Redis is back, both agree with the cluster.
    ask(&one.flow, "alice", "admins").await.unwrap();
    house.pass(Duration::from_secs(10));
    redis.restart().await;
    ready(&other).await;
    ready(&one).await;
    house.calls();
    ask(&other.flow, "alice", "dev").await.unwrap();
    assert!(!house.calls().is_empty());
    assert!(!house.roles("alice").contains(&"superuser".to_owned()));
}

/// One replica's writes are given up by whoever asked for them, and it is asked no more; the others
/// go on with other groups. What comes late must not stand for longer than ten seconds with them,
/// although one of them has written the user itself, for bob even with the same groups before, and
/// another has had it confirmed since.
#[tokio::test(flavor = "multi_thread")]
async fn a_write_that_lands_late_is_found_by_every_replica_within_ten_seconds() {
    let (house, redis) = (House::new().await, Redis::start(&[]).await);
    let (one, other) = two(&house, &redis).await;
    let third = replica(
        &house,
        at(&format!("redis://127.0.0.1:{}", redis.port)),
        |_| {},
    );
    ready(&third).await;
    for (user, known) in [("alice", 1), ("bob", 2)] {
        ask(&one.flow, user, "dev").await.unwrap();
        stored(&redis, known).await;
        house.cluster.fault(
            Fault::new(
                Endpoint::Write,
                Misbehaviour::LateWrite(Duration::from_secs(5)),
            )
            .about(user)
            .times(1),
        );
    }
    let lands = Instant::now() + Duration::from_secs(5);
    let (alice, bob) = tokio::join!(
        ask(&one.flow, "alice", "admins"),
        ask(&one.flow, "bob", "admins")
    );
    assert!(alice.is_err() && bob.is_err(), "their writes hang");
    ask(&other.flow, "bob", "admins").await.unwrap();
    for user in ["alice", "bob"] {
        for flow in [&other.flow, &third.flow, &other.flow] {
            ask(flow, user, "staff").await.unwrap();
        }
    }
    assert!(Instant::now() < lands, "too slow to see anything");
    let is_late = |user: &str| house.roles(user).contains(&"superuser".to_owned());
    until("the late writes", || is_late("alice") && is_late("bob")).await;
    house.pass(Duration::from_secs(10));
    for (flow, user) in [
        (&third.flow, "alice"),
        (&other.flow, "alice"),
        (&other.flow, "bob"),
        (&third.flow, "bob"),
    ] {
        house.calls();
        ask(flow, user, "staff").await.unwrap();
        assert!(!house.calls().is_empty(), "{user} is answered from memory");
        assert!(!is_late(user));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ways_to_redis() {
    let house = House::new().await;
    let redis = Redis::start(&[]).await;
    let rights = "on >secret resetchannels &elastauth:* resetkeys ~elastauth:* -@all +ping +get +set +del +eval +publish +subscribe";
    let rights: Vec<&str> = ["ACL", "SETUSER", "elastauth"]
        .into_iter()
        .chain(rights.split(' '))
        .collect();
    assert_eq!(redis.cli(&rights), "OK");
    assert_eq!(
        redis.cli(&["ACL", "SETUSER", "default", "resetpass", ">other"]),
        "OK"
    );
    let mut config = at(&format!("127.0.0.1:{}", redis.port));
    (config.username, config.password) = (
        Some("elastauth".to_owned()),
        Some(SecretString::from("secret")),
    );
    shares(&house, &config, "acl").await;
    config.password = Some(SecretString::from("wrong"));
    let wrong = replica(&house, config, |_| {});
    let refused = || {
        broker_of(&wrong.flow)
            .ledger()
            .store_state()
            .is_err_and(|why| why.contains("user name or the password"))
    };
    until("a wrong password is told as one", refused).await;
    ask(&wrong.flow, "erin", "dev").await.unwrap();
    drop(redis);

    let redis = Redis::start(&["--unixsocket", "HOME/redis.sock"]).await;
    shares(
        &house,
        &at(&format!("unix://{}/redis.sock", redis.home.display())),
        "socket",
    )
    .await;
    shares(
        &house,
        &at(&format!("redis://127.0.0.1:{}/3", redis.port)),
        "database",
    )
    .await;
    drop(redis);

    let (authority, folder) = (tls::Authority::new(), process::folder());
    let signed = authority.sign();
    for (name, text) in [
        ("ca.pem", &authority.pem()),
        ("redis.pem", &signed.certificate),
        ("redis.key", &signed.key),
    ] {
        std::fs::write(folder.join(name), text).unwrap();
    }
    let file = |name: &str| folder.join(name).display().to_string();
    let (ca, cert, key) = (file("ca.pem"), file("redis.pem"), file("redis.key"));
    let server = [
        "--tls-cert-file",
        &cert,
        "--tls-key-file",
        &key,
        "--tls-ca-cert-file",
        &ca,
        "--tls-auth-clients",
        "no",
    ];
    let redis = Redis::start_for(&server, &["--tls", "--cacert", &ca]).await;
    let mut config = at(&format!("rediss://localhost:{}", redis.port));
    let stranger = replica(&house, config.clone(), |_| {});
    config.tls.ca_cert = Some(ca.into());
    shares(&house, &config, "tls").await;
    assert!(
        broker_of(&stranger.flow).ledger().store_state().is_err(),
        "a certificate of a CA that nobody named is not believed"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_and_a_sentinel() {
    let house = House::new().await;
    // Left to itself it takes a second port, ten thousand higher, which may be somebody's.
    let bus = process::free_port().to_string();
    let node = Redis::start(&["--cluster-enabled", "yes", "--cluster-port", &bus]).await;
    node.cli(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until("the cluster", || {
        node.cli(&["CLUSTER", "INFO"]).contains("cluster_state:ok")
    })
    .await;
    let mut config = at("localhost");
    config.topology = Topology::Cluster(vec![
        Node::parse(&format!("127.0.0.1:{}", node.port)).unwrap(),
    ]);
    shares(&house, &config, "cluster").await;
    drop(node);

    let master = Redis::start(&[]).await;
    let sentinel = Sentinel::start(master.port, 1, "").await;
    config.topology = Topology::Sentinel {
        sentinels: vec![Node::parse(&format!("127.0.0.1:{}", sentinel.port)).unwrap()],
        master: "main".to_owned(),
    };
    shares(&house, &config, "sentinel").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failover_of_sentinels_is_followed_and_costs_no_login() {
    let house = House::new().await;
    let mut master = Redis::start(&[]).await;
    let replica_of = ["--replicaof", &format!("127.0.0.1 {}", master.port)].map(str::to_owned);
    let second = Redis::start(&[&replica_of[0], &replica_of[1]]).await;
    until("the second one in step", || {
        second
            .cli(&["INFO", "replication"])
            .contains("master_link_status:up")
    })
    .await;
    let (conf, port) = (
        process::folder().join("failover.conf"),
        process::free_port(),
    );
    let lines = format!(
        "port {port}\nbind 127.0.0.1\nsentinel monitor main 127.0.0.1 {} 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 3000\n",
        master.port
    );
    std::fs::write(&conf, lines).unwrap();
    let mut program = process::command("redis-server");
    program.arg(&conf).arg("--sentinel");
    let _sentinel = process::Process::start("sentinel", &mut program);
    let mut config = at("localhost");
    config.topology = Topology::Sentinel {
        sentinels: vec![Node::parse(&format!("127.0.0.1:{port}")).unwrap()],
        master: "main".to_owned(),
    };
    let (one, other) = (
        replica(&house, config.clone(), |_| {}),
        replica(&house, config.clone(), |_| {}),
    );
    ready(&one).await;
    ready(&other).await;
    ask(&one.flow, "alice", "admins").await.unwrap();
    ask(&other.flow, "alice", "admins").await.unwrap();
    // Sentinels ask a master for its replicas every ten seconds.
    until_slowly("the Sentinel's knowledge of the second one", || {
        sentinel_knows(port, second.port)
    })
    .await;
    master.kill();
    house.pass(Duration::from_secs(1));
    let is_master = || second.cli(&["INFO", "replication"]).contains("role:master");
    let end = Instant::now() + Duration::from_secs(30);
    let mut n = 0;
    while !(is_master()
        && broker_of(&one.flow).ledger().store_state().is_ok()
        && broker_of(&other.flow).ledger().store_state().is_ok())
    {
        assert!(
            Instant::now() < end,
            "{:?} {:?}",
            broker_of(&one.flow).ledger().store_state(),
            broker_of(&other.flow).ledger().store_state()
        );
        n += 1;
        for flow in [&one.flow, &other.flow] {
            let grant = ask(flow, &format!("user-{n}"), "dev").await.unwrap();
            assert!(house.cluster.accepts(grant.credential().authorization()));
        }
        pause(Why::Again, Duration::from_millis(100)).await;
    }
    // The new master has what was told before, and nothing of it is believed: something may be
    // missing.
    house.pass(Duration::from_secs(11));
    house.calls();
    ask(&other.flow, "alice", "admins").await.unwrap();
    assert_eq!(house.calls(), ["GET /_security/_authenticate 200 by alice"]);
    shares(&house, &config, "after the failover").await;
}

fn sentinel_knows(sentinel: u16, replica: u16) -> bool {
    let arguments = [
        "-h",
        "127.0.0.1",
        "-p",
        &sentinel.to_string(),
        "SENTINEL",
        "REPLICAS",
        "main",
    ]
    .map(str::to_owned);
    let told = std::process::Command::new("redis-cli")
        .args(arguments)
        .output();
    told.is_ok_and(|told| String::from_utf8_lossy(&told.stdout).contains(&replica.to_string()))
}

async fn until_slowly(what: &str, mut seen: impl FnMut() -> bool) {
    for _ in 0..3 {
        let end = Instant::now() + Duration::from_secs(10);
        while Instant::now() < end {
            if seen() {
                return;
            }
            pause(Why::Again, Duration::from_millis(200)).await;
        }
    }
    panic!("{what}: not seen");
}

/// Two replicas of this configuration share what one has learnt.
async fn shares(house: &House, config: &Config, user: &str) {
    let (one, other) = (
        replica(house, config.clone(), |_| {}),
        replica(house, config.clone(), |_| {}),
    );
    ready(&one).await;
    ready(&other).await;
    ask(&one.flow, user, "dev").await.unwrap();
    // Told off the request's way.
    pause(Why::Again, Duration::from_millis(200)).await;
    house.calls();
    ask(&other.flow, user, "dev").await.unwrap();
    assert_eq!(house.calls(), Vec::<String>::new(), "{user}");
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
                &Arc::new(Keyring::new(&key, None, "default")),
                Duration::from_hours(1),
                &clock,
                &tasks,
                &ClusterTelemetry {
                    clocks: clocks.clone(),
                    ..ClusterTelemetry::default()
                },
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

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_answers_and_takes_no_writes_vouches_for_nobody() {
    let house = House::new().await;
    for trouble in [
        "no replica to save to",
        "a disk that is full",
        "an ACL without DEL and EVAL",
    ] {
        let redis = Redis::start(&["--enable-protected-configs", "yes"]).await;
        let (one, other) = two(&house, &redis).await;
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
                house.roles("alice").contains(&"superuser".to_owned()),
                "{trouble}: {grant:?} on roles that do not stand"
            );
            ask(&one.flow, "alice", "dev").await.unwrap();
            assert!(
                !house.roles("alice").contains(&"superuser".to_owned()),
                "{trouble}: roles of another session"
            );
            pause(Why::Expires, Duration::from_secs(3)).await;
            house.pass(Duration::from_mins(1));
        }
    }
}
