//! One name, and perhaps two people: whose user it is that stands in the cluster.

use super::setup::Setup;
use serde_json::json;

const ALICE: [(&str, &str); 2] = [("remote-user", "alice"), ("remote-groups", "a")];

#[tokio::test]
async fn a_user_of_one_provider_is_not_taken_over_by_another() {
    let setup = Setup::new().await;
    assert_eq!(
        setup.bearer(&setup.idp.aged(9, &["dev"])).await.status,
        200,
        "{}",
        setup.elastauth.log()
    );
    let written = setup.cluster.user("alice").unwrap();
    assert_eq!(
        (
            &written.metadata["elastauth"]["provider"],
            &written.metadata["elastauth"]["subject"]
        ),
        (&json!("oidc"), &json!("u1"))
    );
    let refused = setup.elastauth.server().get("/elastauth", &ALICE).await;
    assert_eq!(
        refused.status, 403,
        "the same name in an identity header is perhaps somebody else"
    );
    assert!(refused.header("authorization").is_none());
    assert_eq!(
        setup.cluster.user("alice").unwrap().metadata,
        written.metadata
    );
    let log = setup.log_with("foreign_user").await;
    assert!(
        log.contains("a user of the provider `oidc`, but `authelia` identified")
            && log.contains("users.adopt: any"),
        "{log}"
    );
    assert_eq!(
        setup.bearer(&setup.idp.aged(8, &["dev"])).await.status,
        200,
        "and it stays hers"
    );
    // The other way round; same groups, same everything.
    let bob = [
        ("remote-user", "bob"),
        ("remote-groups", "dev"),
        ("remote-email", "bob@example.org"),
    ];
    assert_eq!(
        setup
            .elastauth
            .server()
            .get("/elastauth", &bob)
            .await
            .status,
        200
    );
    let of_bob = setup.idp.token(|claims| {
        claims["preferred_username"] = json!("bob");
        claims["email"] = json!("bob@example.org");
        claims["groups"] = json!(["dev"]);
    });
    assert_eq!(
        setup.bearer(&of_bob).await.status,
        403,
        "a login that is remembered is no way round it"
    );
}

#[tokio::test]
async fn a_name_that_came_to_another_subject_is_another_person() {
    let setup = Setup::new().await;
    assert_eq!(setup.bearer(&setup.idp.aged(9, &["dev"])).await.status, 200);
    let namesake = setup.idp.token(|claims| {
        claims["sub"] = json!("u2");
        claims["groups"] = json!(["dev"]);
    });
    assert_eq!(
        setup.bearer(&namesake).await.status,
        403,
        "{}",
        setup.elastauth.log()
    );
    assert!(
        setup
            .log_with("another subject of the provider `oidc`")
            .await
            .contains("delete the user there")
    );
    assert_eq!(
        setup.cluster.user("alice").unwrap().metadata["elastauth"]["subject"],
        "u1"
    );
    assert!(setup.cluster.remove_user("alice"));
    // What the log says to do; the refusal itself is remembered for a second.
    let (mut status, end) = (
        403,
        tokio::time::Instant::now() + std::time::Duration::from_secs(10),
    );
    while status == 403 && tokio::time::Instant::now() < end {
        status = setup.bearer(&namesake).await.status.as_u16();
    }
    assert_eq!(status, 200, "{}", setup.elastauth.log());
}

#[tokio::test]
async fn a_prefix_keeps_two_providers_apart_and_the_operator_may_say_that_they_mean_the_same() {
    let setup = Setup::with("  username_prefix: sso-\n").await;
    assert_eq!(setup.bearer(&setup.idp.aged(9, &["dev"])).await.status, 200);
    assert_eq!(
        setup
            .elastauth
            .server()
            .get("/elastauth", &ALICE)
            .await
            .status,
        200
    );
    assert_eq!(
        (setup.roles("sso-alice"), setup.roles("alice")),
        (vec!["editor".to_owned()], vec!["superuser".to_owned()])
    );
    let setup = Setup::with("users:\n  adopt: any\n").await;
    assert_eq!(setup.bearer(&setup.idp.aged(9, &["dev"])).await.status, 200);
    assert_eq!(
        setup
            .elastauth
            .server()
            .get("/elastauth", &ALICE)
            .await
            .status,
        200
    );
    assert_eq!(setup.roles("alice"), ["superuser"]);
    assert_eq!(setup.bearer(&setup.idp.aged(8, &["dev"])).await.status, 200);
    assert_eq!(setup.roles("alice"), ["editor"]);
    // Nobody knows which of the two is newer, so their changes are limited.
    let mut last = 200;
    for _ in 0..20 {
        let (one, other) = (
            setup.elastauth.server().get("/elastauth", &ALICE).await,
            setup.bearer(&setup.idp.aged(8, &["dev"])).await,
        );
        last = one.status.as_u16().max(other.status.as_u16());
        assert!([200, 503].contains(&last));
    }
    assert_eq!(last, 503);
}

#[tokio::test]
async fn a_user_that_no_provider_was_noted_for_is_the_first_ones() {
    let setup = Setup::new().await;
    assert_eq!(setup.bearer(&setup.idp.aged(9, &["dev"])).await.status, 200);
    let mut before = setup.cluster.user("alice").unwrap();
    let mark = before
        .metadata
        .get_mut("elastauth")
        .unwrap()
        .as_object_mut()
        .unwrap();
    mark.remove("provider");
    mark.remove("subject");
    setup.cluster.set_user(before);
    let replica = setup.replica("").await;
    assert_eq!(
        replica.server().get("/elastauth", &ALICE).await.status,
        200,
        "{}",
        replica.log()
    );
    assert_eq!(
        setup.cluster.user("alice").unwrap().metadata["elastauth"]["provider"],
        "authelia"
    );
}
