//! What becomes of names, mail addresses and groups that a provider does not vouch for, or that
//! mean something else to the applications behind.

use super::setup::Setup;
use serde_json::{Value, json};

const BY_MAIL: &str = "  claim_mappings:\n    username: email\n";

/// A token of a user of that name that says this of the mail address; `null` says nothing.
fn with_mail(setup: &Setup, name: &str, verified: &Value) -> String {
    setup.idp.token(|claims| {
        claims["groups"] = json!(["dev"]);
        claims["preferred_username"] = json!(name);
        let claims = claims.as_object_mut().unwrap();
        if !verified.is_null() {
            claims.insert("email_verified".to_owned(), verified.clone());
        }
    })
}

#[tokio::test]
async fn a_mail_address_that_is_not_verified_is_neither_written_nor_passed_on() {
    let setup = Setup::new().await;
    for (name, verified, mail) in [
        ("amy", json!(false), ""),
        ("bob", json!(true), "alice@example.org"),
        ("cid", json!("false"), ""),
        ("dan", Value::Null, "alice@example.org"),
    ] {
        let granted = setup.bearer(&with_mail(&setup, name, &verified)).await;
        assert_eq!(granted.status, 200, "{}", setup.elastauth.log());
        assert_eq!(granted.header("remote-email"), Some(mail), "{verified}");
        let written = setup.cluster.user(name).unwrap().email;
        assert_eq!(written.unwrap_or_default(), mail, "{verified}");
    }
}

#[tokio::test]
async fn a_mail_address_as_user_name_must_be_verified_unless_the_configuration_says_otherwise() {
    for (key, statuses) in [
        ("", [200, 403, 403]),
        ("  email_verified_required: true\n", [200, 403, 403]),
        ("  email_verified_required: false\n", [200, 403, 200]),
    ] {
        let setup = Setup::with(&format!("{BY_MAIL}{key}")).await;
        for (verified, status) in [json!(true), json!(false), Value::Null]
            .iter()
            .zip(statuses)
        {
            let answer = setup.bearer(&with_mail(&setup, "alice", verified)).await;
            let log = setup.elastauth.log();
            assert_eq!(answer.status, status, "{key} {verified}: {log}");
        }
        let log = setup.elastauth.log();
        assert_eq!(
            log.contains("set `email_verified_required: false` if the provider verifies"),
            statuses[2] == 403,
            "{log}"
        );
        assert_eq!(
            log.contains("tokens without `email_verified` are refused"),
            key.is_empty(),
            "a file of before starts, with a warning: {log}"
        );
        let checked = setup.elastauth.command(&["check"]).await;
        let said = String::from_utf8_lossy(&checked.stderr).into_owned()
            + &String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success(), "{said}");
        assert_eq!(
            said.contains("`oidc.claim_mappings.username` is a mail address"),
            key.is_empty(),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_prefix_makes_no_name_of_an_empty_one() {
    let setup = Setup::with("  username_prefix: sso-\n").await;
    for name in ["", " "] {
        let token = setup
            .idp
            .token(|claims| claims["preferred_username"] = json!(name));
        let refused = setup.bearer(&token).await;
        assert_eq!(refused.status, 403, "{name:?}");
    }
    assert!(setup.cluster.user("sso-").is_none() && setup.cluster.user("sso- ").is_none());
    setup.log_with("the user name is empty").await;
}

#[tokio::test]
async fn a_group_with_a_comma_is_not_two_groups_for_the_applications_behind() {
    let setup = Setup::new().await;
    let asked = async |groups: Value| {
        let token = setup.idp.token(|claims| claims["groups"] = groups);
        let granted = setup.bearer(&token).await;
        assert_eq!(granted.status, 200, "{}", setup.elastauth.log());
        granted.header("remote-groups").map(str::to_owned)
    };
    assert_eq!(asked(json!(["dev", "x"])).await.as_deref(), Some("dev,x"));
    assert_eq!(asked(json!(["dev", "x,admins"])).await.as_deref(), Some(""));
    assert_eq!(setup.roles("alice"), ["editor"]);
}
