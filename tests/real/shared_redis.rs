//! The running program beside a real Redis: replicas that end, are killed, or lose sight of it.

pub(crate) use crate::support::process;

use crate::support::{
    Why, find,
    http::Server,
    pause, pause_until,
    redis::Redis,
    relay::Relay,
    stage::{GATEWAY_KEY, Plan, Stage, question},
    tls::Authority,
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour, StandIn, StoredUser};
use std::time::Duration;
use tokio::{task::JoinSet, time::Instant};

fn with_redis(port: u16) -> String {
    format!(
        "cache: {{type: redis}}\nredis: {{url: 'redis://127.0.0.1:{port}'}}\n\
         users: {{writes_per_minute: 1000, new_per_minute: 1000000}}"
    )
}

async fn cache(stage: &Stage) -> serde_json::Value {
    stage
        .gateway()
        .get("/elastauth/ready", &[("x-elastauth-key", GATEWAY_KEY)])
        .await
        .json()["checks"]["cache"]
        .clone()
}

async fn comes_to(stage: &Stage, status: &str) {
    let there = async || (cache(stage).await["status"] == status).then_some(());
    find(status, Duration::from_secs(10), there).await;
}

async fn in_use(stage: &Stage) {
    comes_to(stage, "OK").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_one_replica_revokes_is_given_by_none_that_shares_its_redis() {
    let redis = Redis::start(&[]).await;
    let one = Stage::planned(Plan {
        more: &with_redis(redis.port),
        ..Plan::default()
    })
    .await;
    let other = one
        .replica(Plan {
            more: &with_redis(redis.port),
            ..Plan::default()
        })
        .await;
    in_use(&one).await;
    in_use(&other).await;
    let login = async |stage: &Stage| {
        let answer = stage.ask("alice", "dev").await;
        assert!(stage.works(&answer), "{answer:?} {}", stage.elastauth.log());
        answer.headers[http::header::AUTHORIZATION].clone()
    };
    let mut old = login(&one).await;
    assert_eq!(login(&other).await, old);
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    for round in 1..=10 {
        let by = if round % 2 == 0 { &one } else { &other };
        let path = "/elastauth/admin/users/alice/revoke";
        let answer = by.gateway().ask(http::Method::POST, path, &key, None).await;
        let cluster = answer.json()["clusters"][0].clone();
        assert_eq!(
            (&cluster["generation"], &cluster["other_replicas"]),
            (&round.into(), &"told".into()),
            "{}",
            answer.text()
        );
        assert!(!one.cluster.accepts(&old));
        // Each learns it before the revocation has ended, or with its next look into Redis.
        let new = login(&other).await;
        assert_eq!(login(&one).await, new);
        assert_ne!(new, old);
        old = new;
    }
    // A new replica takes it from Redis, even where the user is not in the cluster any more.
    assert!(one.cluster.remove_user("alice"));
    let late = one
        .replica(Plan {
            more: &with_redis(redis.port),
            ..Plan::default()
        })
        .await;
    in_use(&late).await;
    let recheck = "/elastauth/admin/users/alice/recheck";
    let answer = one
        .gateway()
        .ask(http::Method::POST, recheck, &key, None)
        .await;
    assert_eq!(answer.json()["other_replicas"], "told");
    assert_eq!(login(&one).await, old);
    assert_eq!(login(&late).await, old);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_whom_one_replica_disables_is_kept_out_by_the_other_at_once() {
    let redis = Redis::start(&[]).await;
    let (one, other, old) = two_that_know_alice(&redis).await;
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    let ask = async |stage: &Stage, action: &str| {
        let path = format!("/elastauth/admin/users/alice/{action}");
        let answer = stage.gateway().ask(http::Method::POST, &path, &key, None);
        let cluster = answer.await.json()["clusters"][0].clone();
        assert_eq!(
            (&cluster["result"], &cluster["other_replicas"]),
            (&"done".into(), &"told".into()),
            "{action}: {cluster}"
        );
    };
    ask(&one, "disable").await;
    assert!(!one.cluster.accepts(&old));
    other.says(&other.ask("alice", "dev").await, 403, "user_not_allowed");
    ask(&other, "enable").await;
    let again = one.ask("alice", "dev").await;
    assert!(one.works(&again), "{}", one.elastauth.log());
    ask(&one, "delete").await;
    let again = other.ask("alice", "dev").await;
    assert!(other.works(&again), "{}", other.elastauth.log());
}

/// Two replicas with this Redis, and alice's login.
async fn two_that_know_alice(redis: &Redis) -> (Stage, Stage, http::HeaderValue) {
    let more = with_redis(redis.port);
    let plan = || Plan {
        more: &more,
        ..Plan::default()
    };
    let one = Stage::planned(plan()).await;
    let other = one.replica(plan()).await;
    in_use(&one).await;
    in_use(&other).await;
    let answer = one.ask("alice", "dev").await;
    assert!(one.works(&answer) && other.works(&other.ask("alice", "dev").await));
    let old = answer.headers[http::header::AUTHORIZATION].clone();
    (one, other, old)
}

async fn revoke_alice(stage: &Stage) -> serde_json::Value {
    pause(Why::Pace, Duration::from_millis(150)).await;
    let path = "/elastauth/admin/users/alice/revoke";
    let key = [("x-elastauth-key", GATEWAY_KEY)];
    let answer = stage.gateway().ask(http::Method::POST, path, &key, None);
    answer.await.json()["clusters"][0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_read_a_user_before_a_revocation_does_not_write_the_old_login_after_it() {
    let redis = Redis::start(&[]).await;
    let (one, other, old) = two_that_know_alice(&redis).await;
    let late = Misbehaviour::AppliedThenDelay(Duration::from_millis(400));
    one.cluster.fault(Fault::new(Endpoint::Read, late).times(1));
    let (changed, revoked) = tokio::join!(other.ask("alice", "ops"), revoke_alice(&one));
    assert_eq!(
        revoked["generation"],
        1,
        "{revoked} {}",
        other.elastauth.log()
    );
    assert!(one.works(&changed), "{changed:?}");
    assert!(!one.cluster.accepts(&old));
    let alice = one.cluster.user("alice").unwrap();
    assert_eq!(alice.metadata["elastauth"]["generation"], 1);
    assert_eq!(alice.roles, ["monitoring_user", "viewer"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_says_that_another_replicas_write_may_still_undo_it() {
    let redis = Redis::start(&[]).await;
    let (one, other, _old) = two_that_know_alice(&redis).await;
    let slow = Misbehaviour::Delay(Duration::from_secs(4));
    one.cluster
        .fault(Fault::new(Endpoint::Write, slow).times(1));
    let (_late, revoked) = tokio::join!(other.ask("alice", "ops"), revoke_alice(&one));
    assert_eq!(revoked["result"], "revoked", "{revoked}");
    let message = revoked["message"].to_string();
    assert!(message.contains("run it again in 90 seconds"), "{message}");
}

#[tokio::test(flavor = "multi_thread")]
async fn revoked_without_redis_the_others_learn_it_when_redis_is_back() {
    let redis = Redis::start(&[]).await;
    let relay = Relay::to(redis.port).await;
    let (more, lonely_more) = (with_redis(redis.port), with_redis(relay.port));
    let plan = |more| Plan {
        more,
        ..Plan::default()
    };
    let other = Stage::planned(plan(&more)).await;
    let lonely = other.replica(plan(&lonely_more)).await;
    in_use(&other).await;
    in_use(&lonely).await;
    let old = other.ask("alice", "dev").await;
    assert!(other.works(&old) && lonely.works(&lonely.ask("alice", "dev").await));
    relay.cut(true);
    comes_to(&lonely, "DEGRADED").await;
    let revoked = revoke_alice(&lonely).await;
    assert_eq!(
        (&revoked["result"], &revoked["other_replicas"]),
        (&"revoked".into(), &"told_later".into()),
        "{revoked}"
    );
    assert!(!other.works(&old), "the cluster refuses it at once");
    assert!(lonely.works(&lonely.ask("alice", "dev").await));
    relay.cut(false);
    in_use(&lonely).await;
    let told = async || other.works(&other.ask("alice", "dev").await).then_some(());
    find(
        "the other one gives the new login",
        Duration::from_secs(10),
        told,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_without_redis_it_reports_its_changes_once_redis_is_back() {
    let redis = Redis::start(&[]).await;
    let relay = Relay::to(redis.port).await;
    let other = Stage::planned(Plan {
        more: &with_redis(redis.port),
        ..Plan::default()
    })
    .await;
    let mut lonely = other
        .replica(Plan {
            more: &with_redis(relay.port),
            ..Plan::default()
        })
        .await;
    in_use(&other).await;
    in_use(&lonely).await;
    assert!(other.works(&other.ask("alice", "ops").await));
    // One of the two loses Redis, writes other roles, and is asked to end.
    relay.cut(true);
    comes_to(&lonely, "DEGRADED").await;
    assert!(lonely.works(&lonely.ask("alice", "dev").await));
    assert_eq!(
        other.cluster.user("alice").unwrap().roles,
        ["editor", "viewer"]
    );
    lonely.elastauth.ask_to_end();
    pause(Why::Pace, Duration::from_secs(1)).await;
    relay.cut(false);
    assert!(lonely.elastauth.ended().await.success());
    assert!(
        !lonely.elastauth.log().contains("could not be reported"),
        "{}",
        lonely.elastauth.log()
    );
    // The other one hears all the time, and would believe what it remembers for an hour.
    pause(Why::NothingHappens, Duration::from_secs(1)).await;
    assert!(other.works(&other.ask("alice", "ops").await));
    assert_eq!(
        other.cluster.user("alice").unwrap().roles,
        ["monitoring_user", "viewer"]
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn asked_to_end_without_redis_it_ends_and_logs_what_it_could_not_report() {
    let mut redis = Redis::start(&[]).await;
    let mut stage = Stage::planned(Plan {
        more: &with_redis(redis.port),
        ..Plan::default()
    })
    .await;
    in_use(&stage).await;
    redis.kill();
    comes_to(&stage, "DEGRADED").await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    assert!(stage.elastauth.terminate().await.success());
    let log = stage.elastauth.log();
    assert!(
        log.contains("changes could not be reported to Redis before the end")
            && log.contains("changes=1"),
        "{log}"
    );
    assert!(!log.contains("given up"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_password_and_a_new_ca_of_redis_are_taken_without_a_restart() {
    let redis = Redis::start_for(
        &["--requirepass", "first"],
        &["--no-auth-warning", "-a", "first"],
    )
    .await;
    let more = with_redis(redis.port).replace("type: redis", "type: redis, redis_password: first");
    let stage = Stage::planned(Plan {
        more: &more,
        ..Plan::default()
    })
    .await;
    in_use(&stage).await;
    redis.cli(&["CONFIG", "SET", "requirepass", "second"]);
    for kind in ["normal", "pubsub"] {
        redis.cli(&["-a", "second", "CLIENT", "KILL", "TYPE", kind]);
    }
    comes_to(&stage, "DEGRADED").await;
    stage
        .elastauth
        .edit(|config| config.replace("redis_password: first", "redis_password: second"));
    in_use(&stage).await;
    let log = stage.elastauth.log();
    assert!(
        log.contains("cache.redis_password") && !log.contains("require a restart"),
        "{log}"
    );

    let (old, new, folder) = (Authority::new(), Authority::new(), process::folder());
    let file = |name: &str| folder.join(name).display().to_string();
    let (cert, key, ca) = (file("redis.pem"), file("redis.key"), file("ca.pem"));
    let show = |authority: &Authority| {
        let signed = authority.sign();
        for (path, text) in [
            (&cert, &signed.certificate),
            (&key, &signed.key),
            (&ca, &authority.pem()),
        ] {
            std::fs::write(path, text).unwrap();
        }
    };
    show(&old);
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
    let mut redis = Redis::start_for(&server, &["--tls", "--cacert", &ca]).await;
    let more = format!(
        "cache: {{type: redis}}\n\
         redis: {{url: 'rediss://localhost:{}', tls: {{ca_cert: /etc/elastauth/ca.pem}}}}",
        redis.port
    );
    let stage = Stage::planned(Plan {
        more: &more,
        files: &[("ca.pem", &old.pem())],
        ..Plan::default()
    })
    .await;
    in_use(&stage).await;
    show(&new);
    redis.restart().await;
    comes_to(&stage, "DEGRADED").await;
    // The same name, another content.
    stage.elastauth.put("ca.pem", &new.pem());
    in_use(&stage).await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
}

/// A small generator of numbers: a run can be repeated from its seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        elastauth::internals::model::mixed(self.0) % most
    }
}

/// Asks for one user again and again, with groups that change, and uses each login at once, until
/// the replica is killed under the question or the time is over. The roles in the cluster are those
/// of the request, at once or within what is said of replicas.
async fn one_user(
    gateway: Server,
    cluster: StandIn,
    user: String,
    mut chance: Chance,
    (end, bound): (Instant, Duration),
) {
    while Instant::now() < end {
        let (groups, role) =
            [("ops", "monitoring_user"), ("dev", "editor")][usize::from(chance.below(3) > 0)];
        let asked = question(
            "/elastauth",
            &[
                ("remote-user", user.as_bytes()),
                ("remote-groups", groups.as_bytes()),
            ],
        );
        let asked_at = Instant::now();
        loop {
            let Ok(answer) = gateway.send(asked.clone()).await else {
                return;
            };
            assert_eq!(answer.status, 200, "{}", answer.text());
            assert!(
                cluster.accepts(&answer.headers[http::header::AUTHORIZATION]),
                "{user} with {groups}"
            );
            let roles = cluster.user(&user).unwrap().roles;
            if roles == [role, "viewer"] {
                break;
            }
            assert!(
                asked_at.elapsed() < bound,
                "{user} with {groups}: {roles:?}"
            );
            pause(Why::Again, Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_at_moments_that_nobody_chooses_the_next_start_puts_everybody_right() {
    let seed = std::env::var("ELASTAUTH_SEED").ok().map_or_else(
        || u64::from(std::process::id()),
        |text| text.parse().unwrap(),
    );
    println!("ELASTAUTH_SEED={seed}");
    let (folder, redis) = (tempfile::tempdir().unwrap(), Redis::start(&[]).await);
    let file = format!(
        "cache: {{type: file, path: '{}'}}\n\
         users: {{writes_per_minute: 1000, new_per_minute: 1000000}}",
        folder.path().display()
    );
    let memory = "users: {writes_per_minute: 1000, new_per_minute: 1000000}".to_owned();
    // On a machine that makes Redis late, a change may have been unreported when its replica was
    // killed: then the others ask again when their time is over.
    let shared = with_redis(redis.port).replace("type: redis", "type: redis, expiration: 2s");
    let bounds = [Duration::ZERO, Duration::ZERO, Duration::from_secs(4)];
    for ((ledger, more), bound) in [("memory", memory), ("file", file), ("redis", shared)]
        .into_iter()
        .zip(bounds)
    {
        let mut chance = Chance(seed);
        let plan = || Plan {
            more: &more,
            ..Plan::default()
        };
        let mut killed = Stage::planned(plan()).await;
        // Beside the one that is killed there is one that is not, where there is a way for them to
        // hear of each other.
        let other = if ledger == "redis" {
            Some(killed.replica(plan()).await)
        } else {
            None
        };
        let cluster = killed.cluster.clone();
        cluster.fault(Fault::new(
            Endpoint::Any,
            Misbehaviour::Delay(Duration::from_millis(5)),
        ));
        for round in 0..8 {
            if ledger == "redis" {
                in_use(&killed).await;
            }
            let (mut traffic, end) = (
                JoinSet::new(),
                Instant::now() + Duration::from_millis(20 + chance.below(700)),
            );
            for n in 0..20 {
                // Each user is with one of them, and goes over to the other in the next round.
                let stage = other
                    .as_ref()
                    .filter(|_| (round + n) % 2 == 0)
                    .unwrap_or(&killed);
                let chance = Chance(seed ^ (round * 20 + n));
                traffic.spawn(one_user(
                    stage.gateway().clone(),
                    cluster.clone(),
                    format!("user-{n}"),
                    chance,
                    (end, bound),
                ));
            }
            pause_until(Why::Pace, end).await;
            killed.elastauth.kill();
            while let Some(done) = traffic.join_next().await {
                done.unwrap_or_else(|why| panic!("{ledger}, round {round}, seed {seed}: {why}"));
            }
            killed = killed.replica(plan()).await;
        }
        // Left alone, everybody is put right by the first request and stays so.
        pause(Why::Expires, bound).await;
        for _ in 0..2 {
            for n in 0..20 {
                for stage in [Some(&killed), other.as_ref()].into_iter().flatten() {
                    assert!(
                        stage.works(&stage.ask(&format!("user-{n}"), "dev").await),
                        "{ledger}, seed {seed}"
                    );
                    assert_eq!(
                        cluster.user(&format!("user-{n}")).unwrap().roles,
                        ["editor", "viewer"],
                        "{ledger}, seed {seed}"
                    );
                }
            }
        }
    }
}

/// Replicas hear of each other: a user is parked by one of them, and whoever comes back at the
/// other one gets in and stays in.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_park_each_user_and_nobody_who_comes_back_is_refused() {
    const USERS: usize = 24;
    let redis = Redis::start(&[]).await;
    let more = with_redis(redis.port)
        + "\ncredentials: {rotation: 6s, grace: 500ms, park_within: 2s}\nenable_metrics: true";
    let plan = || Plan {
        more: &more,
        ..Plan::default()
    };
    let first = Stage::planned(plan()).await;
    let second = first.replica(plan()).await;
    in_use(&first).await;
    in_use(&second).await;
    let parked = |user: &str| {
        let user = first.cluster.user(user);
        user.is_some_and(|user| user.metadata["elastauth"]["parked"] == true)
    };
    let end = Instant::now() + Duration::from_secs(20);
    let (mut came_back, mut turn) = (0, 0);
    while Instant::now() < end {
        turn += 1;
        for n in 0..USERS {
            // Some come all the time, the others for a moment in every few seconds.
            let user = format!("user-{n}");
            let away = n >= 8 && (turn + n * 7) % 60 >= 6;
            if away {
                continue;
            }
            came_back += usize::from(parked(&user));
            let replica = if (turn + n) % 2 == 0 { &first } else { &second };
            let answer = replica.ask(&user, "dev").await;
            assert!(
                replica.works(&answer),
                "{user}: {}\n{}",
                first.elastauth.log(),
                second.elastauth.log()
            );
        }
        pause(Why::Pace, Duration::from_millis(20)).await;
    }
    assert!(came_back > 10, "{came_back}");
    let series = "elastauth_parked_users_total{cluster=\"default\"}";
    let sum = first.number(series).await + second.number(series).await;
    assert!(sum > 10, "{sum}");
}

/// Both look through the users; each user is deleted by one of them, once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_replicas_delete_each_user_who_stayed_away_once() {
    let redis = Redis::start(&[]).await;
    let more = format!(
        "cache: {{type: redis}}\nredis: {{url: 'redis://127.0.0.1:{}'}}\nenable_metrics: true\n\
         credentials: {{rotation: 6s, grace: 500ms, park: false}}\nusers: {{prune_after: 12s}}",
        redis.port
    );
    let plan = || Plan {
        more: &more,
        ..Plan::default()
    };
    let first = Stage::planned(plan()).await;
    let second = first.replica(plan()).await;
    in_use(&first).await;
    in_use(&second).await;
    assert!(first.works(&first.ask("alice", "dev").await));
    let alice = first.cluster.user("alice").unwrap();
    let mut deleted = 0;
    for round in 0..6 {
        let names: Vec<String> = (0..10).map(|n| format!("away-{round}-{n}")).collect();
        for name in &names {
            let mut user = StoredUser::new(name, "of-long-ago").with_roles(&["viewer"]);
            user.metadata = alice.metadata.clone();
            let marker = user.metadata["elastauth"].as_object_mut().unwrap();
            marker.insert("last_seen".to_owned(), "2026-01-01/2026-01-03".into());
            first.cluster.set_user(user);
        }
        let is_gone = |name: &String| first.cluster.user(name).is_none();
        let all_gone = async || names.iter().all(is_gone).then_some(());
        find("they are gone", Duration::from_secs(20), all_gone).await;
        deleted += names.len();
    }
    let series = "elastauth_user_actions_total{cluster=\"default\",action=\"prune_after\",\
                  result=\"done\"}";
    let counted = async || {
        let sum = first.number(series).await + second.number(series).await;
        (sum >= u64::try_from(deleted).unwrap()).then_some(sum)
    };
    let sum = find("the numbers", Duration::from_secs(10), counted).await;
    assert_eq!(sum, u64::try_from(deleted).unwrap());
    assert!(first.works(&second.ask("alice", "dev").await));
}
