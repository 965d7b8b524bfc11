//! Several providers: the token's issuer chooses, and nobody is tried after another.

use super::setup::{bearer, config};
use crate::support::{elastauth::Elastauth, idp::Idp};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use serde_json::json;

struct Two {
    staff: Idp,
    partner: Idp,
    cluster: StandIn,
    elastauth: Elastauth,
    _tasks: Tasks,
}

/// `more` stands in the section of the second.
async fn two(more: &str) -> Two {
    let (staff, partner, tasks) = (Idp::start().await, Idp::start().await, Tasks::default());
    let cluster = StandIn::start(&tasks).await.unwrap();
    let sections = format!(
        "oidc:\n  providers:\n  - name: staff\n    issuer: {}\n    client_id: elastauth\n  - name: \
         partner\n    issuer: {}\n    client_id: elastauth\n{more}",
        staff.issuer, partner.issuer
    );
    let elastauth = Elastauth::start_anywhere(&config(&cluster, &sections), &[]).await;
    Two {
        staff,
        partner,
        cluster,
        elastauth,
        _tasks: tasks,
    }
}

#[tokio::test]
async fn each_issuers_token_is_judged_by_its_own_provider_and_its_own_rules() {
    let mut two = two("    username_prefix: partner-\n    group_mappings: {a: [viewer]}\n").await;
    assert_eq!(
        bearer(&two.elastauth, &two.staff.aged(9, &["a"]))
            .await
            .status,
        200,
        "{}",
        two.elastauth.log()
    );
    assert_eq!(
        bearer(&two.elastauth, &two.partner.aged(9, &["a"]))
            .await
            .status,
        200
    );
    assert_eq!(two.cluster.user("alice").unwrap().roles, ["superuser"]);
    assert_eq!(
        two.cluster.user("partner-alice").unwrap().roles,
        ["viewer"],
        "a partner's group `a` is not ours"
    );
    assert_eq!(
        two.cluster.user("partner-alice").unwrap().metadata["elastauth"]["provider"],
        "partner"
    );
    assert_eq!(
        bearer(&two.elastauth, &two.partner.aged(8, &["dev"]))
            .await
            .status,
        403,
        "and rules of its own are all it has"
    );
    // Signed by one in the name of the other.
    let asked = two.partner.asked("/keys");
    let forged = two
        .partner
        .token(|claims| claims["iss"] = json!(two.staff.issuer));
    assert_eq!(bearer(&two.elastauth, &forged).await.status, 401);
    assert_eq!(two.partner.asked("/keys"), asked);
    assert!(!bearer(&two.elastauth, "opaque").await.status.is_success());
    // That one is away is nothing to the other.
    two.partner.leave().await;
    assert_eq!(
        bearer(&two.elastauth, &two.staff.aged(5, &["a"]))
            .await
            .status,
        200
    );
    assert_eq!(
        bearer(&two.elastauth, &two.partner.aged(5, &["a"]))
            .await
            .status,
        200,
        "known keys go on"
    );
}

#[tokio::test]
async fn one_name_of_two_issuers_is_not_one_person() {
    let two = two("").await;
    assert_eq!(
        bearer(&two.elastauth, &two.staff.aged(9, &["dev"]))
            .await
            .status,
        200,
        "{}",
        two.elastauth.log()
    );
    assert_eq!(
        bearer(&two.elastauth, &two.partner.aged(5, &["dev"]))
            .await
            .status,
        403
    );
    assert_eq!(
        bearer(&two.elastauth, &two.staff.aged(9, &["dev"]))
            .await
            .status,
        200,
        "whose token is newer is nothing to the other's"
    );
}

#[tokio::test]
async fn a_token_that_is_not_signed_goes_to_the_one_provider_that_takes_such() {
    let two = two(
        "    token_validation: both\n    client_secret: a-secret-of-the-test\n    \
        username_prefix: partner-\n",
    )
    .await;
    two.partner.says(
        "/introspect",
        json!({ "active": true, "aud": "elastauth", "sub": "u9" }),
    );
    two.partner.says(
        "/me",
        json!({ "sub": "u9", "preferred_username": "bob", "groups": ["dev"] }),
    );
    assert_eq!(
        bearer(&two.elastauth, "opaque-token").await.status,
        200,
        "{}",
        two.elastauth.log()
    );
    assert_eq!(two.cluster.user("partner-bob").unwrap().roles, ["editor"]);
    assert_eq!(
        (two.staff.asked("/introspect"), two.staff.asked("/me")),
        (0, 0)
    );
}
