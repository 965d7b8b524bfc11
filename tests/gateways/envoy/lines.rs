//! The lines that the guide has beside its files.

use super::{ENVOY, start};
use crate::{
    gateway::Form,
    over_tls::{holds, lines},
    stage::Stage,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elastauth_is_asked_over_tls() {
    let stage = Stage::new(&ENVOY, Form::Authelia).await;
    holds(&stage, async |parties, ca| {
        let code = lines("envoy.md", "**TLS to elastauth.**").join("\n      ");
        let cluster = "    - name: elastauth\n      type: STRICT_DNS\n";
        let plain = format!("\"http://127.0.0.1:{}\"", parties.elastauth);
        let change = |text: String| {
            assert!(text.contains(cluster) && text.contains(&plain));
            text.replace(&plain, &plain.replace("http:", "https:"))
                .replace(cluster, &format!("{cluster}      {code}\n"))
        };
        start(Form::Authelia, parties, &change, &[("ca.pem", &ca)])
            .await
            .unwrap_or_else(|why| panic!("{why}"))
    })
    .await;
}

/// The line for old clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_1_0_can_be_admitted() {
    let stage = Stage::new(&ENVOY, Form::Authelia).await;
    let mut draft = stage.request_of("alice");
    draft.version = "HTTP/1.0";
    let answer = stage.gateway.client.send(&draft).await.answer();
    assert_eq!(answer.status(), 426);

    let place = "                use_remote_address: true\n";
    let change = |text: String| {
        let more = "http_protocol_options: {accept_http_10: true}";
        text.replace(place, &format!("{place}                {more}\n"))
    };
    let gateway = start(Form::Authelia, stage.parties(), &change, &[])
        .await
        .unwrap_or_else(|why| panic!("{why}"));
    let answer = gateway.client.send(&draft).await.answer();
    assert_eq!(answer.status(), 200);
}
