//! Several providers: the token's issuer chooses, and nobody is tried after another.

use super::setup::{bearer, config};
use crate::support::{elastauth::Elastauth, http::Answer, idp::Idp, until};
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
    two_with(more, &[]).await
}

async fn two_with(more: &str, files: &[(&str, &str)]) -> Two {
    let (staff, partner, tasks) = (Idp::start().await, Idp::start().await, Tasks::default());
    let cluster = StandIn::start(&tasks).await.unwrap();
    let sections = format!(
        "oidc:\n  providers:\n  - name: staff\n    issuer: {}\n    client_id: elastauth\n  - name: \
         partner\n    issuer: {}\n    client_id: elastauth\n{more}",
        staff.issuer, partner.issuer
    );
    let elastauth = Elastauth::start_anywhere(&config(&cluster, &sections), files).await;
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
async fn new_users_of_one_provider_leave_those_of_another_their_share() {
    let two = two("    username_prefix: partner-\nusers: {new_per_minute: 2}\n").await;
    let named =
        |idp: &Idp, name: &str| idp.token(|claims| claims["preferred_username"] = name.into());
    for (name, status) in [("ann", 200), ("ben", 200), ("cid", 503), ("ann", 200)] {
        let answer = bearer(&two.elastauth, &named(&two.staff, name)).await;
        assert_eq!(answer.status, status, "{name}: {}", two.elastauth.log());
    }
    until("the reason", || {
        two.elastauth.log().contains("users.new_per_minute")
    })
    .await;
    for (name, status) in [("ann", 200), ("ben", 200), ("cid", 503)] {
        let answer = bearer(&two.elastauth, &named(&two.partner, name)).await;
        assert_eq!(answer.status, status, "{name}: {}", two.elastauth.log());
    }
    assert!(two.cluster.user("cid").is_none() && two.cluster.user("partner-cid").is_none());
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

const STAFF_KEY: &str = "staff-gateway-a1b2c3d4e5";
const PARTNER_KEY: &str = "partner-gateway-f6a7b8c9d0";

async fn with_key(elastauth: &Elastauth, key: &str, headers: &[(&str, &str)]) -> Answer {
    let key = [("x-elastauth-key", key)];
    let headers: Vec<_> = key.iter().chain(headers).copied().collect();
    elastauth.server().get("/elastauth", &headers).await
}

#[tokio::test]
async fn a_key_that_is_bound_brings_users_of_its_providers_only() {
    let keys = format!(
        "    username_prefix: partner-\ngateway_keys:\n- '{STAFF_KEY}'\n- key_file: /etc/elastauth/partner-key\n  providers: \
         [partner]\n"
    );
    let two = two_with(&keys, &[("partner-key", PARTNER_KEY)]).await;
    let [staff, partner] = [&two.staff, &two.partner].map(|idp| idp.aged(9, &["dev"]));
    let [staff, partner] = [staff, partner].map(|token| format!("Bearer {token}"));
    let headers = [("remote-user", "bob"), ("remote-groups", "dev")];
    for (key, status) in [(STAFF_KEY, 200), (PARTNER_KEY, 401)] {
        // The second time, the token is remembered.
        for _ in 0..2 {
            let answer = with_key(&two.elastauth, key, &[("authorization", &staff)]).await;
            assert_eq!(answer.status, status, "{key}: {}", two.elastauth.log());
        }
        let answer = with_key(&two.elastauth, key, &headers).await;
        assert_eq!(answer.status, status, "{key}: {}", two.elastauth.log());
        let answer = with_key(&two.elastauth, key, &[("authorization", &partner)]).await;
        assert_eq!(answer.status, 200, "{key}: {}", two.elastauth.log());
    }
    let log = two.elastauth.log();
    assert!(
        log.contains("the gateway's key is not for the token's provider"),
        "{log}"
    );

    let shown = two.elastauth.command(&["config"]).await;
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(
        !shown.contains(STAFF_KEY) && !shown.contains(PARTNER_KEY),
        "{shown}"
    );
    let explained = two
        .elastauth
        .command(&[
            "explain",
            "--user",
            "bob",
            "--header",
            &format!("X-Elastauth-Key: {PARTNER_KEY}"),
        ])
        .await;
    let explained = String::from_utf8_lossy(&explained.stdout).into_owned();
    assert!(
        explained.contains("no_credential") || explained.contains("401"),
        "{explained}"
    );

    // The content of the file changes: the old key ends, and the new one is bound as before.
    let next = "partner-gateway-next-1234";
    two.elastauth.put("partner-key", next);
    let applied = "the configuration has changed and is in force";
    until(applied, || two.elastauth.log().contains(applied)).await;
    let bearer = [("authorization", partner.as_str())];
    assert_eq!(with_key(&two.elastauth, next, &bearer).await.status, 200);
    assert_eq!(
        with_key(&two.elastauth, PARTNER_KEY, &bearer).await.status,
        403
    );
    assert_eq!(with_key(&two.elastauth, next, &headers).await.status, 401);

    // A lost line would make it good for everybody: that waits for a restart.
    two.elastauth
        .edit(|config| config.replace("  providers: [partner]\n", ""));
    two.elastauth.hang_up();
    let waits = "good for more providers";
    until(waits, || two.elastauth.log().contains(waits)).await;
    assert_eq!(with_key(&two.elastauth, next, &headers).await.status, 401);
    // Another key in the same edit makes it no other change.
    let another = "partner-gateway-another-1";
    two.elastauth.put("partner-key", another);
    two.elastauth
        .edit(|config| config.replace("log_level: debug", "log_level: info"));
    let applied = "in force keys=\"log_level\"";
    until(applied, || two.elastauth.log().contains(applied)).await;
    assert_eq!(
        with_key(&two.elastauth, another, &headers).await.status,
        403
    );
    assert_eq!(with_key(&two.elastauth, next, &bearer).await.status, 200);

    two.elastauth.edit(|config| {
        config.replace(
            &format!("- '{STAFF_KEY}'\n"),
            &format!("- {{key: '{STAFF_KEY}', providers: [partnr]}}\n"),
        )
    });
    let checked = two.elastauth.command(&["check"]).await;
    let text = String::from_utf8_lossy(&checked.stdout).into_owned()
        + &String::from_utf8_lossy(&checked.stderr);
    assert!(
        text.contains("`partnr`") && text.contains("did you mean `partner`?"),
        "{text}"
    );
}
