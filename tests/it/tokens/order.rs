//! Two live tokens of one user with different groups.

use super::setup::{Setup, bearer};
use crate::support::{find, idp::now};
use elastauth::internals::demo::standin::{Endpoint, Fault, Misbehaviour};
use http::StatusCode;
use serde_json::json;
use std::time::Duration;

/// The cluster writes nobody.
fn no_write() -> Fault {
    let full = Misbehaviour::Status(StatusCode::SERVICE_UNAVAILABLE);
    Fault::new(Endpoint::Write, full)
}

#[tokio::test]
async fn the_newest_token_counts_and_an_older_one_with_other_groups_is_refused() {
    let setup = Setup::new().await;
    let (admin, usual) = (setup.idp.aged(60, &["a"]), setup.idp.aged(30, &["dev"]));
    assert_eq!(
        setup.bearer(&admin).await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    assert_eq!(setup.roles("alice"), ["superuser"]);
    let granted = setup.bearer(&usual).await;
    assert_eq!(granted.status, 200);
    assert_eq!(
        setup.roles("alice"),
        ["editor"],
        "who has lost a group has lost it"
    );
    let calls = setup.cluster.calls().len();
    for path in [
        "/elastauth",
        "/elastauth/auth-request",
        "/elastauth/ext-authz/app",
    ] {
        let refused = setup
            .elastauth
            .server()
            .get(path, &[("authorization", &format!("Bearer {admin}"))])
            .await;
        assert_eq!(refused.status, 401, "{}", setup.elastauth.log());
        assert!(
            refused
                .header("www-authenticate")
                .unwrap()
                .contains("invalid_token"),
            "a client fetches a new token on that"
        );
        assert!(refused.header("authorization").is_none());
    }
    assert_eq!(setup.cluster.calls().len(), calls, "nobody had to be asked");
    assert_eq!(setup.roles("alice"), ["editor"]);
    let log = setup.log_with("token_outdated").await;
    assert!(log.contains("the user has a newer token"), "{log}");
    // The same session goes on, an older token that says the same is as good, and the next one that
    // has the group again has it.
    assert_eq!(
        setup.bearer(&usual).await.headers["authorization"],
        granted.headers["authorization"]
    );
    assert_eq!(
        setup.bearer(&setup.idp.aged(90, &["dev"])).await.status,
        200
    );
    assert_eq!(setup.bearer(&setup.idp.aged(10, &["a"])).await.status, 200);
    assert_eq!(setup.roles("alice"), ["superuser"]);
    assert_eq!(setup.bearer(&usual).await.status, 401);
}

#[tokio::test]
async fn a_replica_that_has_not_seen_the_newest_finds_it_in_the_cluster() {
    let setup = Setup::new().await;
    let (old, new) = (setup.idp.aged(60, &["a"]), setup.idp.aged(30, &["dev"]));
    assert_eq!(setup.bearer(&new).await.status, 200);
    let written = setup.cluster.user("alice").unwrap();
    assert_eq!(
        written.metadata["elastauth"]["as_of"].as_u64().unwrap() / 1_000 / 60,
        (now() - 30) / 60
    );
    let replica = setup.replica("").await;
    assert_eq!(
        bearer(&replica, &old).await.status,
        401,
        "{}",
        replica.log()
    );
    assert_eq!(
        setup.roles("alice"),
        ["editor"],
        "nothing older is written over it"
    );
    let calls = setup.cluster.calls().len();
    assert_eq!(bearer(&replica, &old).await.status, 401);
    assert_eq!(
        setup.cluster.calls().len(),
        calls,
        "once it knows, it need not ask"
    );
    assert_eq!(bearer(&replica, &new).await.status, 200);
    // A later token with the same groups is no reason to write.
    let writes = || {
        setup
            .cluster
            .calls()
            .iter()
            .filter(|call| call.line().starts_with("PUT"))
            .count()
    };
    assert_eq!(writes(), 1);
    assert_eq!(setup.bearer(&setup.idp.aged(5, &["dev"])).await.status, 200);
    assert_eq!(
        bearer(&replica, &setup.idp.aged(4, &["dev"])).await.status,
        200
    );
    assert_eq!(writes(), 1);
}

#[tokio::test]
async fn a_token_that_gives_nothing_makes_older_ones_old() {
    let setup = Setup::new().await;
    let old = setup.idp.aged(60, &["a"]);
    assert_eq!(setup.bearer(&old).await.status, 200);
    assert_eq!(
        setup.bearer(&setup.idp.aged(30, &[])).await.status,
        403,
        "no group, no role"
    );
    assert_eq!(
        setup.bearer(&old).await.status,
        401,
        "{}",
        setup.elastauth.log()
    );
}

#[tokio::test]
async fn a_namesake_who_is_refused_makes_nobodys_token_old() {
    let setup = Setup::new().await;
    let alice = setup.idp.aged(60, &["dev"]);
    assert_eq!(setup.bearer(&alice).await.status, 200);
    // A newer token of another subject with the same name: other roles, the same, none.
    for (age, groups) in [(30, &["a"][..]), (20, &["dev"]), (10, &[])] {
        let namesake = setup.idp.token(|claims| {
            claims["sub"] = json!("u2");
            claims["iat"] = json!(now() - age);
            claims["groups"] = json!(groups);
        });
        assert_eq!(
            setup.bearer(&namesake).await.status,
            403,
            "{}",
            setup.elastauth.log()
        );
        assert_eq!(setup.bearer(&alice).await.status, 200);
        let older = setup.idp.aged(90, &["dev"]);
        assert_eq!(setup.bearer(&older).await.status, 200);
    }
    assert_eq!(setup.roles("alice"), ["editor"]);
}

#[tokio::test]
async fn a_newer_token_whose_write_fails_takes_away_and_gives_nothing() {
    let setup = Setup::new().await;
    let (both, one) = (
        setup.idp.aged(60, &["a", "dev"]),
        setup.idp.aged(50, &["dev"]),
    );
    assert_eq!(setup.bearer(&one).await.status, 200);
    setup.cluster.fault(no_write());
    assert_eq!(
        setup
            .bearer(&setup.idp.aged(30, &["a", "dev"]))
            .await
            .status,
        503
    );
    assert_eq!(
        setup.bearer(&one).await.status,
        200,
        "who has less than the newer one may go on: {}",
        setup.elastauth.log()
    );
    assert_eq!(setup.roles("alice"), ["editor"]);
    setup.cluster.clear_faults();
    // This time the newer one has lost a role.
    find("a granted request", Duration::from_secs(10), async || {
        let newer = setup.idp.aged(20, &["a", "dev"]);
        (setup.bearer(&newer).await.status == 200).then_some(())
    })
    .await;
    setup.cluster.fault(no_write());
    assert_eq!(
        setup.bearer(&setup.idp.aged(10, &["dev"])).await.status,
        503
    );
    assert_eq!(setup.bearer(&both).await.status, 401);
}

#[tokio::test]
async fn where_the_provider_is_asked_the_latest_answer_counts_whatever_token_it_was_about() {
    let setup = Setup::with(
        "  token_validation: introspection\n  client_secret: s3cret-of-the-test\n  cache: 0s\n",
    )
    .await;
    let answer = |token: &str, groups: &[&str]| {
        let iat = if token == "older" {
            now() - 60
        } else {
            now() - 5
        };
        json!({ "active": true, "aud": "elastauth", "sub": "u1", "preferred_username": "alice",
            "iat": iat, "groups": groups })
    };
    setup.idp.says("/introspect", answer("newer", &["a"]));
    assert_eq!(
        setup.bearer("newer").await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    setup.idp.says("/introspect", answer("older", &["dev"]));
    assert_eq!(
        setup.bearer("older").await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    assert_eq!(setup.roles("alice"), ["editor"]);
    assert_eq!(setup.idp.asked("/introspect"), 2);
}

#[tokio::test]
async fn an_outdated_answer_of_the_provider_is_asked_for_again() {
    let setup = Setup::with(
        "  token_validation: introspection\n  client_secret: s3cret-of-the-test\n  cache: 1h\n",
    )
    .await;
    let answer = |groups: &[&str]| {
        json!({ "active": true, "aud": "elastauth", "sub": "u1",
        "preferred_username": "alice", "groups": groups })
    };
    setup.idp.says("/introspect", answer(&["a"]));
    assert_eq!(
        setup.bearer("one-session").await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    setup.idp.says("/introspect", answer(&["dev"]));
    assert_eq!(setup.bearer("another").await.status, 200);
    assert_eq!(setup.roles("alice"), ["editor"]);
    // What was said of the first one is believed for an hour, and is older than what was said of
    // the second.
    let mut answers = Vec::new();
    find("a granted request", Duration::from_secs(10), async || {
        answers.push(setup.bearer("one-session").await.status.as_u16());
        (answers.last() == Some(&200)).then_some(())
    })
    .await;
    assert!(
        answers.iter().all(|status| [200, 401].contains(status)),
        "{answers:?}"
    );
    assert_eq!(
        setup.roles("alice"),
        ["editor"],
        "nobody gets back what was taken away"
    );
    assert_eq!(
        setup.idp.asked("/introspect"),
        3,
        "once more, and not with every request"
    );
}
