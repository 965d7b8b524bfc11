//! One name, and perhaps two people: whose user it is that stands in the cluster.

use super::scene::Scene;
use serde_json::json;

const ALICE: [(&str, &str); 2] = [("remote-user", "alice"), ("remote-groups", "a")];

#[tokio::test]
async fn a_user_of_one_provider_is_not_taken_over_by_another() {
    let scene = Scene::new().await;
    assert_eq!(
        scene.bearer(&scene.idp.aged(9, &["dev"])).await.status,
        200,
        "{}",
        scene.elastauth.log()
    );
    let written = scene.cluster.user("alice").unwrap();
    assert_eq!(
        (
            &written.metadata["elastauth"]["provider"],
            &written.metadata["elastauth"]["subject"]
        ),
        (&json!("oidc"), &json!("u1"))
    );
    let refused = scene.elastauth.server().get("/elastauth", &ALICE).await;
    assert_eq!(
        refused.status, 403,
        "the same name in an identity header is perhaps somebody else"
    );
    assert!(refused.header("authorization").is_none());
    assert_eq!(
        scene.cluster.user("alice").unwrap().metadata,
        written.metadata
    );
    let log = scene.log_with("foreign_user").await;
    assert!(
        log.contains("a user of the provider `oidc`, but `authelia` identified")
            && log.contains("users.adopt: any"),
        "{log}"
    );
    assert_eq!(
        scene.bearer(&scene.idp.aged(8, &["dev"])).await.status,
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
        scene
            .elastauth
            .server()
            .get("/elastauth", &bob)
            .await
            .status,
        200
    );
    let of_bob = scene.idp.token(|claims| {
        claims["preferred_username"] = json!("bob");
        claims["email"] = json!("bob@example.org");
        claims["groups"] = json!(["dev"]);
    });
    assert_eq!(
        scene.bearer(&of_bob).await.status,
        403,
        "a login that is remembered is no way round it"
    );
}

#[tokio::test]
async fn a_name_that_came_to_another_subject_is_another_person() {
    let scene = Scene::new().await;
    assert_eq!(scene.bearer(&scene.idp.aged(9, &["dev"])).await.status, 200);
    let namesake = scene.idp.token(|claims| {
        claims["sub"] = json!("u2");
        claims["groups"] = json!(["dev"]);
    });
    assert_eq!(
        scene.bearer(&namesake).await.status,
        403,
        "{}",
        scene.elastauth.log()
    );
    assert!(
        scene
            .log_with("another subject of the provider `oidc`")
            .await
            .contains("delete the user there")
    );
    assert_eq!(
        scene.cluster.user("alice").unwrap().metadata["elastauth"]["subject"],
        "u1"
    );
    assert!(scene.cluster.remove_user("alice"));
    // What the log says to do; the refusal itself is remembered for a second.
    let (mut status, end) = (
        403,
        tokio::time::Instant::now() + std::time::Duration::from_secs(10),
    );
    while status == 403 && tokio::time::Instant::now() < end {
        status = scene.bearer(&namesake).await.status.as_u16();
    }
    assert_eq!(status, 200, "{}", scene.elastauth.log());
}

#[tokio::test]
async fn a_prefix_keeps_two_providers_apart_and_the_operator_may_say_that_they_mean_the_same() {
    let scene = Scene::with("  username_prefix: sso-\n").await;
    assert_eq!(scene.bearer(&scene.idp.aged(9, &["dev"])).await.status, 200);
    assert_eq!(
        scene
            .elastauth
            .server()
            .get("/elastauth", &ALICE)
            .await
            .status,
        200
    );
    assert_eq!(
        (scene.roles("sso-alice"), scene.roles("alice")),
        (vec!["editor".to_owned()], vec!["superuser".to_owned()])
    );
    let scene = Scene::with("users:\n  adopt: any\n").await;
    assert_eq!(scene.bearer(&scene.idp.aged(9, &["dev"])).await.status, 200);
    assert_eq!(
        scene
            .elastauth
            .server()
            .get("/elastauth", &ALICE)
            .await
            .status,
        200
    );
    assert_eq!(scene.roles("alice"), ["superuser"]);
    assert_eq!(scene.bearer(&scene.idp.aged(8, &["dev"])).await.status, 200);
    assert_eq!(scene.roles("alice"), ["editor"]);
    // Nobody knows which of the two is newer, so their pulling is bounded.
    let mut last = 200;
    for _ in 0..20 {
        let (one, other) = (
            scene.elastauth.server().get("/elastauth", &ALICE).await,
            scene.bearer(&scene.idp.aged(8, &["dev"])).await,
        );
        last = one.status.as_u16().max(other.status.as_u16());
        assert!([200, 503].contains(&last));
    }
    assert_eq!(last, 503);
}

#[tokio::test]
async fn a_user_that_no_provider_was_noted_for_is_the_first_ones() {
    let scene = Scene::new().await;
    assert_eq!(scene.bearer(&scene.idp.aged(9, &["dev"])).await.status, 200);
    let mut before = scene.cluster.user("alice").unwrap();
    let mark = before
        .metadata
        .get_mut("elastauth")
        .unwrap()
        .as_object_mut()
        .unwrap();
    mark.remove("provider");
    mark.remove("subject");
    scene.cluster.set_user(before);
    let replica = scene.replica("").await;
    assert_eq!(
        replica.server().get("/elastauth", &ALICE).await.status,
        200,
        "{}",
        replica.log()
    );
    assert_eq!(
        scene.cluster.user("alice").unwrap().metadata["elastauth"]["provider"],
        "authelia"
    );
}
