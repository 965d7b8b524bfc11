//! Two clients of one person who say different things: only roles count.

use crate::support::{
    Why, pause,
    stage::{Plan, Stage},
    until,
};
use std::time::Duration;

const USER: (&str, &str) = ("remote-user", "alice");

async fn ask(stage: &Stage, groups: &str, name: &str) -> u16 {
    let headers = [
        USER,
        ("remote-groups", groups),
        ("remote-name", name),
        ("x-elastauth-key", crate::support::stage::GATEWAY_KEY),
    ];
    let answer = stage.elastauth.server().get("/elastauth", &headers).await;
    answer.status.as_u16()
}

fn groups_in(stage: &Stage) -> Vec<String> {
    let user = stage.cluster.user("alice").unwrap();
    let groups = user.metadata["groups"].as_array().cloned();
    let groups = groups.unwrap_or_default();
    groups
        .iter()
        .map(|group| group.as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn groups_and_names_that_give_nothing_refuse_nobody_and_cost_nothing() {
    let stage = Stage::usual().await;
    assert_eq!(ask(&stage, "dev,x", "Alice").await, 200);
    stage.cluster.forget_calls();
    for n in 0..20 {
        for (groups, name) in [("dev,x", "Alice"), ("dev,y", "A. Archer"), ("dev", "")] {
            assert_eq!(
                ask(&stage, groups, name).await,
                200,
                "{n}: {}",
                stage.elastauth.log()
            );
        }
    }
    assert_eq!(stage.calls(), Vec::<String>::new());
}

#[tokio::test]
async fn they_are_written_after_a_check_and_not_with_each() {
    let stage = Stage::planned(Plan {
        more: "cache: {expiration: 300ms}",
        ..Plan::default()
    })
    .await;
    assert_eq!(ask(&stage, "dev,x", "Alice").await, 200);
    pause(Why::Expires, Duration::from_millis(310)).await;
    stage.cluster.forget_calls();
    assert_eq!(ask(&stage, "dev,y", "Alice").await, 200);
    until("the groups", || groups_in(&stage) == ["dev", "y"]).await;
    assert_eq!(stage.called("PUT"), 1);
    until("a line", || {
        let log = stage.elastauth.log();
        log.contains("reason=\"names, mail or groups\" differs=\"groups\"")
    })
    .await;
    for groups in ["dev,x", "dev,z", "dev,x"] {
        pause(Why::Expires, Duration::from_millis(310)).await;
        assert_eq!(ask(&stage, groups, "A. Archer").await, 200);
    }
    assert_eq!(stage.called("PUT"), 1, "once an hour: {:?}", stage.calls());
    // Roles are another matter, and everything is written with them.
    assert_eq!(ask(&stage, "ops,x", "A. Archer").await, 200);
    assert_eq!(groups_in(&stage), ["ops", "x"]);
    until("a line", || {
        let log = stage.elastauth.log();
        log.contains("reason=\"changed\" differs=\"roles,groups,name\"")
    })
    .await;
}
