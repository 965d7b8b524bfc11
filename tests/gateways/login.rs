//! Browsers that are not signed in get to `login_url` through a gateway; nobody else does.

use crate::{
    envoy::ENVOY,
    gateway::{Form, Program},
    haproxy::{HAPROXY_2_6, HAPROXY_2_8},
    message::Message,
    stage::Stage,
    support::wait::find,
};
use std::time::Duration;

const LOGIN: &str = "https://auth.example.org/?rd=";

async fn browsers_are_sent_to_sign_in(program: &Program) {
    let stage = Stage::new(program, Form::Tokens).await;
    stage
        .elastauth
        .edit(|config| format!("{config}\nlogin_url: '{LOGIN}{{url}}'\n"));
    stage.elastauth.hang_up();

    let navigation = ["Sec-Fetch-Mode: navigate", "Accept: text/html,*/*;q=0.8"];
    let answer = find("the redirect", Duration::from_secs(20), async || {
        let answer = asked(&stage, &navigation).await;
        (answer.status() == 302).then_some(answer)
    })
    .await;
    let back = "https%3A%2F%2Felasticsearch.example.org%2F_search";
    assert_eq!(
        answer.header("location"),
        Some(format!("{LOGIN}{back}").as_str())
    );

    for (lines, status) in [
        (&["Accept: text/html"][..], 302),
        (
            &["Accept: text/html", "X-Requested-With: XMLHttpRequest"],
            401,
        ),
        (&["Accept: text/html", "Sec-Fetch-Mode: cors"], 401),
        (&["Accept: application/json"], 401),
        (&["Accept: text/html", "Authorization: Bearer forged"], 401),
    ] {
        let answer = asked(&stage, lines).await;
        assert_eq!(answer.status(), status, "{lines:?}");
        assert_eq!(answer.header("location").is_some(), status == 302);
    }
    let forged = [
        "Accept: text/html",
        "X-Forwarded-Host: evil.example.org",
        "X-Forwarded-Uri: /evil",
    ];
    let answer = asked(&stage, &forged).await;
    assert_eq!(
        answer.header("location"),
        Some(format!("{LOGIN}{back}").as_str())
    );
    assert_eq!(stage.arrived(), 0);
}

async fn asked(stage: &Stage, lines: &[&str]) -> Message {
    let mut draft = Stage::anonymous();
    draft.lines.retain(|line| !line.starts_with("Accept"));
    for line in lines {
        draft.line(line);
    }
    stage.gateway.client.send(&draft).await.answer()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_2_6_sends_browsers_to_sign_in() {
    browsers_are_sent_to_sign_in(&HAPROXY_2_6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn haproxy_2_8_sends_browsers_to_sign_in() {
    browsers_are_sent_to_sign_in(&HAPROXY_2_8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn envoy_sends_browsers_to_sign_in() {
    browsers_are_sent_to_sign_in(&ENVOY).await;
}
