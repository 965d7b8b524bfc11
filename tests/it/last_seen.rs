//! When a user was seen last is noted in their account, with writes that are made anyway, or with
//! one a day where there are no others.

use crate::support::{
    Why,
    deployment::{Deployment, ask, broker},
    pause,
    stage::{Plan, Stage},
    until,
};
use serde_json::{Value, json};
use std::time::Duration;

const HOUR: Duration = Duration::from_hours(1);
const DAY: Duration = Duration::from_hours(24);

fn noted(deployment: &Deployment, user: &str) -> Value {
    if let Some(user) = deployment.cluster.internal_user(user) {
        let noted = user.attributes.get("elastauth_last_seen");
        return noted.map_or(Value::Null, |days| json!(days));
    }
    let user = deployment.cluster.user(user).unwrap();
    user.metadata["elastauth"]["last_seen"].clone()
}

fn writes(deployment: &Deployment) -> usize {
    let is_write = |call: &String| call.starts_with("PUT") || call.starts_with("PATCH");
    deployment.calls().iter().filter(|it| is_write(it)).count()
}

async fn asked(deployment: &Deployment, groups: &str) {
    deployment.ask("alice", groups).await.unwrap();
}

/// What is written after an answer is there, too.
async fn is_noted(deployment: &Deployment, days: &str) {
    until(days, || noted(deployment, "alice") == days).await;
}

fn never(config: &mut broker::Config) {
    config.rotation = Duration::ZERO;
    config.opensearch.rotation = Duration::ZERO;
}

#[tokio::test]
async fn in_a_period_nothing_is_written_for_it_and_the_note_reaches_to_its_end() {
    let deployment = Deployment::with(|config| config.rotation = 7 * DAY).await;
    asked(&deployment, "dev").await;
    let first = noted(&deployment, "alice");
    let first = first.as_str().unwrap();
    assert!(first.starts_with("2027-01-15/2027-01-"), "{first}");
    let before = first.split_once('/').unwrap().1.to_owned();
    let mut notes = vec![first.to_owned()];
    let _first = writes(&deployment);
    let mut written = 0;
    for _ in 0..21 * 4 {
        deployment.pass(6 * HOUR);
        asked(&deployment, "dev").await;
        written += writes(&deployment);
        let now = noted(&deployment, "alice").as_str().unwrap().to_owned();
        if notes.last() != Some(&now) {
            notes.push(now);
        }
    }
    assert_eq!((written, notes.len()), (3, 4), "{notes:?}");
    let next = notes[1].split_once('/').unwrap().0;
    assert!(next <= &*before, "no day is between two periods: {notes:?}");
}

#[tokio::test]
async fn without_rotation_an_active_user_is_written_once_a_day_after_the_answer() {
    let deployment = Deployment::with(never).await;
    asked(&deployment, "dev").await;
    assert_eq!(noted(&deployment, "alice"), "2027-01-15/2027-01-17");
    let _first = writes(&deployment);
    for days in [
        "2027-01-16/2027-01-18",
        "2027-01-17/2027-01-19",
        "2027-01-18/2027-01-20",
    ] {
        for _ in 0..24 {
            deployment.pass(HOUR);
            asked(&deployment, "dev").await;
        }
        is_noted(&deployment, days).await;
    }
    assert_eq!(writes(&deployment), 3);
    // A change of roles notes it too, and no other write follows.
    deployment.pass(DAY);
    asked(&deployment, "ops").await;
    assert_eq!(writes(&deployment), 1);
    assert_eq!(noted(&deployment, "alice"), "2027-01-19/2027-01-21");
}

#[tokio::test]
async fn on_opensearch_without_rotation_there_is_a_write_a_week() {
    let deployment = Deployment::opensearch(never).await;
    asked(&deployment, "dev").await;
    let first = noted(&deployment, "alice");
    assert_eq!(first, "2027-01-15/2027-01-23");
    let _first = writes(&deployment);
    for days in [
        "2027-01-22/2027-01-30",
        "2027-01-29/2027-02-06",
        "2027-02-05/2027-02-13",
    ] {
        for _ in 0..7 * 4 {
            deployment.pass(6 * HOUR);
            asked(&deployment, "dev").await;
        }
        is_noted(&deployment, days).await;
    }
    assert_eq!(writes(&deployment), 3);
}

#[tokio::test]
async fn what_versions_without_the_note_wrote_is_accepted_and_gets_one_with_the_next_write() {
    let deployment = Deployment::with(|config| config.rotation = 7 * DAY).await;
    asked(&deployment, "dev").await;
    let mut alice = deployment.cluster.user("alice").unwrap();
    let marker = alice.metadata["elastauth"].as_object_mut().unwrap();
    assert!(marker.remove("last_seen").is_some());
    deployment.cluster.set_user(alice);
    let _first = writes(&deployment);
    deployment.pass(2 * HOUR);
    asked(&deployment, "dev").await;
    let restarted = deployment.replica(|config| config.rotation = 7 * DAY);
    ask(&restarted, "alice", "dev").await.unwrap();
    assert_eq!(
        (writes(&deployment), noted(&deployment, "alice")),
        (0, Value::Null)
    );
    asked(&deployment, "ops").await;
    let now = noted(&deployment, "alice");
    assert!(now.as_str().unwrap().starts_with("2027-01-15/"), "{now}");
}

#[tokio::test]
async fn the_program_notes_it_and_a_user_of_today_is_left_alone() {
    let stage = Stage::planned(Plan {
        more: "enable_metrics: true\ncredentials: {rotation: 0s}\ncache: {expiration: 100ms}\n",
        ..Plan::default()
    })
    .await;
    let seen = |user: &str| {
        let user = stage.cluster.user(user).unwrap();
        user.metadata["elastauth"]["last_seen"].clone()
    };
    let mark = |user: &str, days: &str| {
        let mut user = stage.cluster.user(user).unwrap();
        let marker = user.metadata["elastauth"].as_object_mut().unwrap();
        marker.insert("last_seen".to_owned(), json!(days));
        stage.cluster.set_user(user);
    };
    for user in ["alice", "bob"] {
        assert!(stage.works(&stage.ask(user, "dev").await));
    }
    let today = seen("alice");
    mark("alice", "2026-01-01/2026-01-03");
    stage.cluster.forget_calls();
    pause(Why::Expires, Duration::from_millis(150)).await;
    for user in ["alice", "bob"] {
        assert!(stage.works(&stage.ask(user, "dev").await));
    }
    until("alice is noted", || seen("alice") == today).await;
    assert!(stage.called("GET /_security/_authenticate") >= 2);
    assert_eq!(stage.called("PUT"), 1);
    assert_eq!(
        stage
            .number("elastauth_ensure_steps_total{cluster=\"default\",step=\"written_seen\"}")
            .await,
        1
    );
}
