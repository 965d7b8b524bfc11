//! The lines that the guide has beside its files.

use super::{Changes, DEBIAN, HAPROXY_2_6, HAPROXY_2_8, script, start_changed};
use crate::{
    gateway::{Form, Program},
    over_tls::{holds, lines},
    stage::Stage,
    support::part,
};
use std::path::PathBuf;

const GUIDE: &str = "haproxy.md";

async fn elastauth_is_asked_over_tls(program: &'static Program, path: PathBuf) {
    let stage = Stage::new(program, Form::Authelia).await;
    holds(&stage, async |parties, ca| {
        let server = format!("server elastauth 127.0.0.1:{}", parties.elastauth);
        let code = lines(GUIDE, "**TLS to elastauth.**").join("\n  ");
        let code = code.replace("server elastauth elastauth:5000", &server);
        let change = |text: String| {
            assert!(text.contains(&server), "the line of the server");
            text.replace(&server, &code)
        };
        let changes = Changes {
            script: &script(),
            text: &change,
            files: &[("ca.pem", &ca)],
        };
        start_changed(path.clone(), changes, Form::Authelia, parties)
            .await
            .unwrap_or_else(|why| panic!("{why}"))
    })
    .await;
}

/// With health checks of two replicas, of which one is never there.
async fn a_replica_that_is_away_is_not_asked(program: &'static Program, path: PathBuf) {
    let stage = Stage::new(program, Form::Authelia).await;
    let there = format!("127.0.0.1:{}", stage.elastauth.port());
    let code = lines(GUIDE, "**Several replicas of elastauth.**").join("\n  ");
    let code = code
        .replace("elastauth1:5000", "127.0.0.1:1")
        .replace("elastauth2:5000", &there);
    let server = format!("server elastauth {there}");
    let change = |text: String| {
        assert!(text.contains(&server), "the line of the server");
        text.replace(&server, &code)
    };
    let changes = Changes {
        script: &script(),
        text: &change,
        files: &[],
    };
    let gateway = start_changed(path, changes, Form::Authelia, stage.parties())
        .await
        .unwrap_or_else(|why| panic!("{why}"));
    for _ in 0..4 {
        let answer = gateway.client.send(&stage.request_of("alice")).await;
        assert_eq!(answer.answer().status(), 200);
    }
}

/// HAProxy starts although it cannot resolve a name.
async fn names_may_be_resolved_later(program: &'static Program, path: PathBuf) {
    let stage = Stage::new(program, Form::Authelia).await;
    let code = lines(GUIDE, "**Names at start.**");
    let (resolvers, default) = code
        .iter()
        .position(|line| line.starts_with("default-server"))
        .map(|at| code.split_at(at))
        .expect("both parts");
    let change = |text: String| {
        let resolvers = format!("{}\n\ndefaults\n", resolvers.join("\n"));
        text.replace(
            "defaults\n",
            &format!("{resolvers}  {}\n", default.concat()),
        )
        .replace("server kibana 127.0.0.1", "server kibana kibana.invalid")
    };
    let changes = Changes {
        script: &script(),
        text: &change,
        files: &[],
    };
    let gateway = start_changed(path, changes, Form::Authelia, stage.parties())
        .await
        .unwrap_or_else(|why| panic!("{why}"));
    let answer = gateway.client.send(&stage.request_of("alice")).await;
    assert_eq!(answer.answer().status(), 200);
}

macro_rules! tests {
    ($($name:ident: $body:ident, $program:expr, $path:expr;)*) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            $body(&$program, $path).await;
        }
    )*};
}

tests! {
    tls_in_2_6: elastauth_is_asked_over_tls, HAPROXY_2_6, PathBuf::from(DEBIAN);
    tls_in_2_8: elastauth_is_asked_over_tls, HAPROXY_2_8, part("haproxy");
    replicas_in_2_6: a_replica_that_is_away_is_not_asked, HAPROXY_2_6, PathBuf::from(DEBIAN);
    replicas_in_2_8: a_replica_that_is_away_is_not_asked, HAPROXY_2_8, part("haproxy");
    names_in_2_6: names_may_be_resolved_later, HAPROXY_2_6, PathBuf::from(DEBIAN);
    names_in_2_8: names_may_be_resolved_later, HAPROXY_2_8, part("haproxy");
}
