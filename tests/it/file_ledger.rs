//! The ledger in a file: a killed program, two programs on one file, a disk that fails.

use crate::support::{
    Why, find, pause,
    stage::{GATEWAY_KEY, Plan, Stage, question},
    until,
};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour};
use std::{
    fs::Permissions,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::Path,
    time::Duration,
};
use tokio::task::JoinSet;

fn file_ledger(folder: &std::path::Path) -> String {
    format!(
        "cache: {{type: file, path: '{}'}}\n\
         users: {{new_per_minute: 1000000, writes_per_minute: 1000}}\nenable_metrics: true",
        folder.display()
    )
}

#[tokio::test]
async fn after_a_kill_at_any_moment_the_next_start_corrects_every_user() {
    let folder = tempfile::tempdir().unwrap();
    let more = file_ledger(folder.path());
    let first = Stage::planned(Plan {
        more: &more,
        ..Plan::default()
    })
    .await;
    first.cluster.fault(Fault::new(
        Endpoint::Any,
        Misbehaviour::Delay(Duration::from_millis(5)),
    ));
    let cluster = first.cluster.clone();
    let mut running = first
        .replica(Plan {
            more: "",
            ..Plan::default()
        })
        .await;
    drop(first);
    for round in 0..5 {
        running.elastauth.kill();
        running = running
            .replica(Plan {
                more: &more,
                ..Plan::default()
            })
            .await;
        assert!(
            !running.elastauth.log().contains("another process"),
            "{}",
            running.elastauth.log()
        );
        // Users whose groups change all the time, and each login used as soon as it is there.
        let mut traffic = JoinSet::new();
        for client in 0..20 {
            let (gateway, cluster) = (running.gateway().clone(), cluster.clone());
            traffic.spawn(async move {
                for n in 0.. {
                    let (user, groups) = (
                        format!("user-{client}"),
                        if (n + round) % 3 == 0 { "ops" } else { "dev" },
                    );
                    let asked = question(
                        "/elastauth",
                        &[
                            ("remote-user", user.as_bytes()),
                            ("remote-groups", groups.as_bytes()),
                        ],
                    );
                    // The program may be killed under the question.
                    let Ok(answer) = gateway.send(asked).await else {
                        return;
                    };
                    assert_eq!(answer.status, 200, "{answer:?}");
                    assert!(
                        cluster.accepts(&answer.headers[http::header::AUTHORIZATION]),
                        "{user} with {groups} in round {round}"
                    );
                    let role = if groups == "ops" {
                        "monitoring_user"
                    } else {
                        "editor"
                    };
                    assert!(
                        cluster
                            .user(&user)
                            .unwrap()
                            .roles
                            .contains(&role.to_owned()),
                        "{user} with {groups} in round {round}"
                    );
                }
            });
        }
        pause(Why::Pace, Duration::from_millis(300 + 130 * round)).await;
        running.elastauth.kill();
        while let Some(done) = traffic.join_next().await {
            done.unwrap();
        }
    }
}

#[tokio::test]
async fn a_second_process_gets_no_file_and_a_damaged_file_is_set_aside() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ledger"), "something else").unwrap();
    let more = file_ledger(folder.path());
    let mut first = Stage::planned(Plan {
        more: &more,
        ..Plan::default()
    })
    .await;
    assert!(
        first.elastauth.log().contains("it is set aside"),
        "{}",
        first.elastauth.log()
    );
    assert_eq!(
        std::fs::read_to_string(folder.path().join("ledger.damaged")).unwrap(),
        "something else"
    );
    let second = first
        .replica(Plan {
            more: &more,
            ..Plan::default()
        })
        .await;
    assert!(
        second
            .elastauth
            .log()
            .contains("another process has the folder"),
        "{}",
        second.elastauth.log()
    );
    let cache = async |stage: &Stage| {
        let answer = stage
            .gateway()
            .get("/elastauth/ready", &[("x-elastauth-key", GATEWAY_KEY)])
            .await;
        assert_eq!(answer.status, 200);
        answer.json()["checks"]["cache"]["status"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    assert_eq!(
        (cache(&first).await, cache(&second).await),
        ("OK".to_owned(), "DEGRADED".to_owned())
    );
    assert_eq!(
        (
            first
                .number("elastauth_store_up{cluster=\"default\"}")
                .await,
            second
                .number("elastauth_store_up{cluster=\"default\"}")
                .await
        ),
        (1, 0)
    );
    for stage in [&first, &second] {
        assert!(stage.works(&stage.ask("alice", "dev").await));
    }
    // In order or not, whoever comes next finds what was learnt.
    assert!(first.elastauth.terminate().await.success());
    let third = second
        .replica(Plan {
            more: &more,
            ..Plan::default()
        })
        .await;
    second.cluster.forget_calls();
    assert!(third.works(&third.ask("alice", "dev").await));
    assert_eq!(third.calls(), Vec::<String>::new());
}

/// What is in the way of a folder, and what the log says of it.
type Trap = (fn(&Path), &'static str);

const TRAPS: [Trap; 5] = [
    (
        |folder| {
            std::fs::create_dir(folder).unwrap();
            let made = std::process::Command::new("mkfifo")
                .arg(folder.join("ledger"))
                .status();
            assert!(made.unwrap().success());
        },
        "`ledger` is not a regular file",
    ),
    (
        |folder| {
            std::fs::create_dir(folder).unwrap();
            let target = folder.parent().unwrap().join("target");
            std::fs::write(&target, "not to be touched").unwrap();
            symlink(target, folder.join("ledger.lock")).unwrap();
        },
        "open its lock",
    ),
    (
        |folder| {
            let elsewhere = folder.parent().unwrap().join("elsewhere");
            std::fs::create_dir(&elsewhere).unwrap();
            symlink(elsewhere, folder).unwrap();
        },
        "it is a link; name the folder that it leads to",
    ),
    (
        |folder| std::fs::write(folder, "").unwrap(),
        "the folder of `cache.path` cannot be used",
    ),
    (
        // As `/tmp` is.
        |folder| {
            std::fs::create_dir(folder).unwrap();
            std::fs::set_permissions(folder, Permissions::from_mode(0o1777)).unwrap();
        },
        "others use it too, and elastauth would have to shut them out of it",
    ),
];

#[tokio::test]
async fn a_trap_in_the_folder_is_told_and_neither_followed_nor_waited_for() {
    for (trap, said) in TRAPS {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("cache");
        trap(&folder);
        let stage = Stage::planned(Plan {
            more: &file_ledger(&folder),
            ..Plan::default()
        })
        .await;
        let log = stage.elastauth.log();
        assert!(
            log.contains(said) && log.contains("in memory alone"),
            "{said}: {log}"
        );
        assert!(stage.works(&stage.ask("alice", "dev").await), "{said}");
        let target = home.path().join("target");
        assert!(!target.exists() || std::fs::read(target).unwrap() == b"not to be touched");
        if said.contains("others use it") {
            let mode = folder.metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o7777, 0o1777);
        }
        let elsewhere = home.path().join("elsewhere");
        assert!(!elsewhere.exists() || elsewhere.read_dir().unwrap().next().is_none());
    }
}

#[tokio::test]
async fn the_folder_is_made_private_and_has_no_default_where_others_may_write() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().display().to_string();
    let planned = |environment| {
        Stage::planned(Plan {
            more: "cache: {type: file}",
            environment,
            ..Plan::default()
        })
    };
    let without = planned(&[]).await;
    let log = without.elastauth.log();
    let warned = "`cache.type: file` has no effect without `cache.path`";
    assert!(log.contains(warned), "{log}");
    assert!(without.works(&without.ask("alice", "dev").await));
    assert!(!Path::new("/tmp/elastauth-cache").exists());
    // As systemd starts it.
    let variable = [("STATE_DIRECTORY", directory.as_str())];
    let stage = planned(&variable).await;
    assert!(!stage.elastauth.log().contains(warned));
    assert!(stage.works(&stage.ask("alice", "dev").await));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    let folder = home.path().join("cache");
    let file = folder.join("ledger");
    until("the file", || file.exists()).await;
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
}

#[tokio::test]
async fn a_disk_that_cannot_be_written_costs_no_login_and_is_tried_again_later() {
    let folder = tempfile::tempdir().unwrap();
    let in_the_way = folder.path().join("ledger.new");
    std::fs::create_dir(&in_the_way).unwrap();
    let more = file_ledger(folder.path());
    let stage = Stage::planned(Plan {
        more: &more,
        ..Plan::default()
    })
    .await;
    let logged = |text: &str| stage.elastauth.log().matches(text).count();
    let ask = async |n: u32| {
        assert!(
            stage.works(
                &stage
                    .ask(
                        &format!("user-{}", n % 20),
                        if n.is_multiple_of(3) { "ops" } else { "dev" }
                    )
                    .await
            )
        );
    };
    for n in 0..100 {
        ask(n).await;
    }
    assert!(!folder.path().join("ledger").exists());
    assert_eq!(
        (
            logged("cannot be written; logins go on"),
            logged("is written again")
        ),
        (1, 0)
    );
    let ready = stage
        .gateway()
        .get("/elastauth/ready", &[("x-elastauth-key", GATEWAY_KEY)])
        .await;
    assert_eq!(
        (
            ready.status.as_u16(),
            &ready.json()["checks"]["cache"]["error"]
        ),
        (200, &"it cannot be written".into())
    );
    std::fs::remove_dir(&in_the_way).unwrap();
    // A full disk takes a little again as soon as our file is gone: tried at once, it would be
    // filled and given up many times a second.
    for n in 0..20 {
        ask(n).await;
    }
    pause(Why::NothingHappens, Duration::from_millis(300)).await;
    assert_eq!(logged("is written again"), 0);
    let mut n = 0;
    find("a written file", Duration::from_secs(20), async || {
        ask(n).await;
        n += 1;
        (logged("is written again") == 1).then_some(())
    })
    .await;
    assert!(folder.path().join("ledger").exists());
}
