//! Tokens of a real Keycloak on the shipped program: who gets in with which roles, what happens
//! when keys, groups and people change, and once the whole way through a real Traefik to a real
//! Elasticsearch.

use crate::support::{
    elastauth::Elastauth, elasticsearch::Elasticsearch, find, gate::Gate, guide, keycloak::Realm,
    traefik::Traefik,
};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use std::time::Duration;

/// Full paths, as the guide has them: `/org/team-a/admins` is another group than `/admins`.
const PATHS: &str = "\"/admins\": [superuser]\n\"/org/team-a/admins\": [editor]\n\
    \"/org/Équipe B\": [viewer]\n\"/org/a,b\": [monitoring_user]\nb: [superuser]";

const INTROSPECTION: &str = "client_secret: elastauth-secret\ntoken_validation: introspection\n";

async fn gate(realm: &Realm, oidc: &str) -> Gate {
    Gate::open(&realm.issuer(), oidc, PATHS).await
}

fn text(tokens: &Value, which: &str) -> String {
    tokens[which].as_str().unwrap().to_owned()
}

fn part_of(token: &str, part: usize) -> Value {
    serde_json::from_slice(
        &BASE64_URL_SAFE_NO_PAD
            .decode(token.split('.').nth(part).unwrap())
            .unwrap(),
    )
    .unwrap()
}

#[tokio::test]
async fn who_signs_in_on_the_page_gets_the_roles_of_the_groups() {
    let realm = Realm::new().await;
    let gate = gate(&realm, "").await;
    let tokens = realm.tokens_by_browser("elastauth", "alice").await;
    let access = text(&tokens, "access_token");
    gate.assert_login(&access, "alice", &["editor", "superuser"])
        .await;
    gate.assert_grant(
        &gate.cookie("access_token", &access).await,
        "alice",
        &["editor", "superuser"],
    );
    // Letters outside ASCII, and a comma that separates nothing.
    gate.assert_login(
        &realm.access_token("elastauth", "zoe").await,
        "zoe",
        &["monitoring_user", "viewer"],
    )
    .await;
    // Nobody without a group.
    assert_eq!(
        gate.bearer(&realm.access_token("elastauth", "bob").await)
            .await
            .status,
        StatusCode::FORBIDDEN
    );
    assert!(
        gate.log().contains("user written"),
        "and no token, which is looked for wherever the log is read"
    );
}

#[tokio::test]
async fn what_is_no_access_token_is_not_taken_for_one() {
    let realm = Realm::new().await;
    let gate = gate(&realm, "").await;
    let asking = gate_that_asks(&realm, "cache: 0\n").await;
    let tokens = realm.tokens_by_browser("elastauth", "alice").await;
    let (id, refresh) = (text(&tokens, "id_token"), text(&tokens, "refresh_token"));
    gate.assert_refused(&id, "claim `typ`").await;
    gate.assert_refusal(&gate.cookie("access_token", &id).await, "claim `typ`");
    // Keycloak signs refresh tokens for itself, with a shared secret.
    gate.assert_refused(&refresh, "algorithm").await;
    // The provider itself calls an ID token active.
    asking.assert_refused(&id, "`token_type`").await;
    // A token that cannot be verified here is the provider's to judge, where it is asked anyway.
    asking.assert_refused(&refresh, "not active").await;
    assert_eq!(
        (gate.calls(), asking.calls()),
        (0, 0),
        "the clusters have heard of none of it"
    );
    // In its own cookie it is what it should be.
    gate.assert_grant(
        &gate.cookie("id_token", &id).await,
        "alice",
        &["editor", "superuser"],
    );
}

#[tokio::test]
async fn a_second_clients_token_is_refused_even_if_it_names_us() {
    let realm = Realm::new().await;
    let (gate, asking) = (gate(&realm, "").await, gate_that_asks(&realm, "").await);
    let alice = realm.access_token("other", "alice").await;
    assert_eq!(part_of(&alice, 1)["aud"], json!("account"));
    gate.assert_refused(&alice, "not for elastauth").await;
    asking.assert_refused(&alice, "not active").await;
    // Keycloak itself has put us into `aud`, because zoe has a role here. The token was issued to
    // another client all the same.
    let zoe = realm.access_token("other", "zoe").await;
    assert_eq!(part_of(&zoe, 1)["aud"], json!(["elastauth", "account"]));
    gate.assert_refused(&zoe, "issued to another client").await;
    asking
        .assert_refused(&zoe, "issued to another client")
        .await;
    assert_eq!((gate.calls(), asking.calls()), (0, 0));
    // Unless the operator says that this client may.
    let open = Gate::open(
        &realm.issuer(),
        "authorized_parties: [other]\nclaim_mappings:\n  groups: resource_access.elastauth.roles",
        "dashboard-editor: [editor]",
    )
    .await;
    open.assert_login(&zoe, "zoe", &["editor"]).await;
}

#[tokio::test]
async fn roles_of_the_realm_and_of_a_client_serve_as_groups() {
    let realm = Realm::new().await;
    let mappings = "staff: [viewer]\nsøk-leser: [monitoring_user]\ndashboard-editor: [editor]";
    let gate = Gate::open(
        &realm.issuer(),
        "claim_mappings:\n  groups: [realm_access.roles, /resource_access/elastauth/roles]",
        mappings,
    )
    .await;
    gate.assert_login(
        &realm.access_token("elastauth", "alice").await,
        "alice",
        &["viewer"],
    )
    .await;
    gate.assert_login(
        &realm.access_token("elastauth", "zoe").await,
        "zoe",
        &["editor", "monitoring_user"],
    )
    .await;
}

#[tokio::test]
async fn a_new_key_works_and_a_deleted_one_does_not() {
    let realm = Realm::new().await;
    let gate = gate(&realm, "").await;
    let old = realm.access_token("elastauth", "alice").await;
    gate.assert_login(&old, "alice", &["editor", "superuser"])
        .await;

    realm.new_key("second", 200).await;
    let new = realm.access_token("elastauth", "alice").await;
    assert_ne!(part_of(&old, 0)["kid"], part_of(&new, 0)["kid"]);
    // At most the cool-down of five seconds since the first fetch.
    gate.until(&new, StatusCode::OK).await;
    gate.assert_login(&old, "alice", &["editor", "superuser"])
        .await;

    realm.delete_first_key().await;
    realm.new_key("third", 300).await;
    gate.until(
        &realm.access_token("elastauth", "alice").await,
        StatusCode::OK,
    )
    .await;
    // Remembered as good, and worth nothing from the moment on at which the key's end is known.
    // Until the next fetch is allowed, a key that is not known is a 503.
    let answer = gate.until(&old, StatusCode::UNAUTHORIZED).await;
    gate.assert_refusal(&answer, "no key of the token's `kid`");
    gate.assert_login(&new, "alice", &["editor", "superuser"])
        .await;
}

#[tokio::test]
async fn every_algorithm_that_keycloak_signs_with_is_taken() {
    let realm = Realm::new().await;
    for algorithm in [
        "RS256", "RS512", "PS256", "PS384", "ES256", "ES384", "ES512", "EdDSA",
    ] {
        realm
            .change_client(
                "elastauth",
                &json!({ "attributes": { "access.token.signed.response.alg": algorithm } }),
            )
            .await;
        let token = realm.access_token("elastauth", "alice").await;
        assert_eq!(part_of(&token, 0)["alg"], json!(algorithm));
        // Keys for it are made at first use. A new elastauth has no cool-down to wait for.
        gate(&realm, "")
            .await
            .assert_login(&token, "alice", &["editor", "superuser"])
            .await;
        let without = ["RS384", "RS256", "ES256"]
            .into_iter()
            .filter(|one| *one != algorithm)
            .collect::<Vec<_>>()
            .join(", ");
        gate(&realm, &format!("algorithms: [{without}]"))
            .await
            .assert_refused(&token, "algorithm")
            .await;
    }
}

#[tokio::test]
async fn other_groups_count_with_the_next_token_and_at_once_where_the_provider_is_asked() {
    let realm = Realm::new().await;
    let (gate, asking) = (
        gate(&realm, "").await,
        gate_that_asks(&realm, "cache: 0\n").await,
    );
    let before = realm.access_token("elastauth", "alice").await;
    gate.assert_login(&before, "alice", &["editor", "superuser"])
        .await;
    asking
        .assert_login(&before, "alice", &["editor", "superuser"])
        .await;

    realm.set_member("alice", "/admins", false).await;
    asking.assert_login(&before, "alice", &["editor"]).await;
    // Of two tokens the later one counts, and their times are whole seconds.
    let after = later_token(&realm, &before).await;
    gate.assert_login(&after, "alice", &["editor"]).await;

    realm.set_member("alice", "/admins", true).await;
    gate.assert_login(
        &later_token(&realm, &after).await,
        "alice",
        &["editor", "superuser"],
    )
    .await;
    asking
        .assert_login(&before, "alice", &["editor", "superuser"])
        .await;
}

/// A token of a later second than `before`.
async fn later_token(realm: &Realm, before: &str) -> String {
    let second = |token: &str| part_of(token, 1)["iat"].as_u64();
    find("a later second", Duration::from_secs(10), async || {
        let token = realm.access_token("elastauth", "alice").await;
        (second(&token) > second(before)).then_some(token)
    })
    .await
}

#[tokio::test]
async fn a_disabled_user_and_an_ended_session_are_out_as_soon_as_the_provider_is_asked_again() {
    let realm = Realm::new().await;
    let (local, introspecting) = (
        gate(&realm, "").await,
        gate_that_asks(&realm, "cache: 1s\n").await,
    );
    let userinfo = gate(&realm, "token_validation: userinfo\ncache: 1s").await;
    let (alice, zoe) = (
        realm.access_token("elastauth", "alice").await,
        realm.access_token("elastauth", "zoe").await,
    );
    for gate in [&local, &introspecting, &userinfo] {
        gate.assert_login(&alice, "alice", &["editor", "superuser"])
            .await;
        gate.assert_login(&zoe, "zoe", &["monitoring_user", "viewer"])
            .await;
    }
    realm
        .change_user("alice", &json!({ "enabled": false }))
        .await;
    realm.end_sessions("zoe").await;
    for token in [&alice, &zoe] {
        gate_refuses_after_a_while(&introspecting, token).await;
        gate_refuses_after_a_while(&userinfo, token).await;
        // A signature says nothing about that: the token is good until it expires, which is why
        // they live five minutes.
        assert_eq!(local.bearer(token).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_sign_out_at_keycloak_ends_the_session_and_no_other() {
    let realm = Realm::new().await;
    let gate = gate(&realm, "").await;
    let back = json!({ "attributes": { "backchannel.logout.url": gate.logout_uri(),
        "backchannel.logout.session.required": "true" } });
    realm.change_client("elastauth", &back).await;
    let (first, second) = (
        realm.tokens("elastauth", "alice").await,
        realm.tokens("elastauth", "alice").await,
    );
    let (ended, lives) = (text(&first, "access_token"), text(&second, "access_token"));
    gate.assert_login(&ended, "alice", &["editor", "superuser"])
        .await;
    gate.assert_login(&lives, "alice", &["editor", "superuser"])
        .await;
    realm
        .sign_out("elastauth", &text(&first, "refresh_token"))
        .await;
    let refused = gate.until(&ended, StatusCode::UNAUTHORIZED).await;
    gate.assert_refusal(&refused, "the session was ended at the identity provider");
    gate.assert_login(&lives, "alice", &["editor", "superuser"])
        .await;
}

async fn gate_refuses_after_a_while(gate: &Gate, token: &str) {
    let refused = gate.until(token, StatusCode::UNAUTHORIZED).await;
    gate.assert_refusal(&refused, "not active");
}

#[tokio::test]
async fn introspection_asks_as_the_client_in_each_way_that_keycloak_knows() {
    let realm = Realm::new().await;
    let pem = client_with_a_key(&realm).await;
    let key = pem
        .lines()
        .fold(String::new(), |text, line| format!("{text}  {line}\n"));
    for auth in [
        "client_secret: elastauth-secret\nclient_auth_method: client_secret_basic".to_owned(),
        "client_secret: elastauth-secret\nclient_auth_method: client_secret_post".to_owned(),
        format!(
            "client_id: elastauth-key\naudiences: [elastauth]\nauthorized_parties: [elastauth]\n\
             client_auth_method: private_key_jwt\nprivate_key_id: k1\nprivate_key: |\n{key}"
        ),
    ] {
        let gate = gate(&realm, &format!("token_validation: introspection\n{auth}")).await;
        gate.assert_login(
            &realm.access_token("elastauth", "alice").await,
            "alice",
            &["editor", "superuser"],
        )
        .await;
        gate.assert_refused("an.opaque-one", "not active").await;
    }
    // We are not who we say we are: that is nothing the user could mend, and the log says whose
    // fault it is.
    let wrong = gate(
        &realm,
        "token_validation: introspection\nclient_secret: wrong",
    )
    .await;
    let answer = wrong
        .bearer(&realm.access_token("elastauth", "alice").await)
        .await;
    assert_eq!(
        answer.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{}",
        wrong.log()
    );
    assert!(
        wrong.log().contains("refuses elastauth's client"),
        "{}",
        wrong.log()
    );
    assert!(
        !wrong.log().contains("wrong"),
        "not even a wrong secret is in the log"
    );
}

/// A client that has a key in the place of a secret. Tokens for `elastauth` are for it as well, or
/// Keycloak would not tell it about them.
async fn client_with_a_key(realm: &Realm) -> String {
    let pair = rcgen::KeyPair::generate().unwrap();
    let point = pair.public_key_raw();
    let (x, y) = (
        BASE64_URL_SAFE_NO_PAD.encode(&point[1..33]),
        BASE64_URL_SAFE_NO_PAD.encode(&point[33..]),
    );
    let keys = json!({ "keys": [{ "kty": "EC", "crv": "P-256", "kid": "k1", "use": "sig",
        "alg": "ES256", "x": x, "y": y }] });
    let client = json!({
        "clientId": "elastauth-key", "publicClient": false, "clientAuthenticatorType": "client-jwt",
        "attributes": { "use.jwks.string": "true", "jwks.string": keys.to_string(),
        "token.endpoint.auth.signing.alg": "ES256" },
    });
    realm.manage(Method::POST, "/clients", Some(&client)).await;
    let mapper = json!({
        "name": "second-audience", "protocol": "openid-connect",
        "protocolMapper": "oidc-audience-mapper",
        "config": { "included.client.audience": "elastauth-key", "access.token.claim": "true",
        "introspection.token.claim": "true" },
    });
    let found = realm
        .manage(Method::GET, "/clients?clientId=elastauth", None)
        .await
        .json();
    let id = found[0]["id"].as_str().unwrap();
    realm
        .manage(
            Method::POST,
            &format!("/clients/{id}/protocol-mappers/models"),
            Some(&mapper),
        )
        .await;
    pair.serialize_pem()
}

#[tokio::test]
async fn a_lightweight_token_says_nothing_by_itself_and_everything_when_asked_about() {
    let realm = Realm::new().await;
    realm
        .change_client(
            "elastauth",
            &json!({ "attributes": { "client.use.lightweight.access.token.enabled": "true" } }),
        )
        .await;
    let token = realm.access_token("elastauth", "alice").await;
    assert_eq!(part_of(&token, 1).get("aud"), None);
    gate(&realm, "")
        .await
        .assert_refused(&token, "not for elastauth")
        .await;
    gate_that_asks(&realm, "")
        .await
        .assert_login(&token, "alice", &["editor", "superuser"])
        .await;
}

#[tokio::test]
async fn access_tokens_that_say_so_in_their_header_can_be_required() {
    let realm = Realm::new().await;
    let strict = gate(&realm, "require_at_jwt: true").await;
    strict
        .assert_refused(
            &realm.access_token("elastauth", "alice").await,
            "is not an access token",
        )
        .await;
    realm
        .change_client(
            "elastauth",
            &json!({ "attributes": { "access.token.header.type.rfc9068": "true" } }),
        )
        .await;
    let tokens = realm.tokens("elastauth", "alice").await;
    assert_eq!(
        part_of(&text(&tokens, "access_token"), 0)["typ"],
        json!("at+jwt")
    );
    strict
        .assert_login(
            &text(&tokens, "access_token"),
            "alice",
            &["editor", "superuser"],
        )
        .await;
    strict
        .assert_refused(&text(&tokens, "id_token"), "is not an access token")
        .await;
}

async fn gate_that_asks(realm: &Realm, more: &str) -> Gate {
    gate(realm, &format!("{INTROSPECTION}{more}")).await
}

#[tokio::test]
async fn through_a_real_traefik_a_token_reaches_a_real_cluster_as_its_user() {
    const GATEWAY_KEY: &str = "0b6f0e3a7c5549d8a1f2c7e4";
    const SECRET_KEY: &str = "c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b";
    const WHOAMI: &str = "/_security/_authenticate";
    let (realm, cluster) = (Realm::new().await, Elasticsearch::shared().await);
    let password = cluster.service_account("svc-tokens").await;
    let config = guide::file(
        "traefik/config-oidc.yml",
        &[
            ("0.0.0.0:5000", "127.0.0.1:0"),
            ("192.0.2.20/32", "127.0.0.1/32"),
            ("https://sso.example.org/realms/main", &realm.issuer()),
            ("http://elasticsearch:9200", &cluster.url()),
            ("username: elastauth", "username: svc-tokens"),
        ],
    );
    let secrets = [
        ("GATEWAY_KEY", GATEWAY_KEY),
        ("SECRET_KEY", SECRET_KEY),
        ("ELASTICSEARCH_PASSWORD", &password),
    ];
    let elastauth = Elastauth::start_anywhere_in(&config, &[], &secrets).await;
    let port = elastauth.port();
    let dynamic = guide::file(
        "traefik/oidc.yml",
        &[
            ("http://elastauth:5000", &format!("http://127.0.0.1:{port}")),
            ("http://elasticsearch:9200", &cluster.url()),
        ],
    );
    let traefik = Traefik::start(&dynamic, &[], &[("GATEWAY_KEY", GATEWAY_KEY)]).await;
    let site = traefik.elasticsearch();

    let tokens = realm.tokens_by_browser("elastauth", "alice").await;
    let (bearer, cookie) = (
        format!("Bearer {}", text(&tokens, "access_token")),
        format!("access_token={}", text(&tokens, "access_token")),
    );
    for shown in [("authorization", bearer.as_str()), ("cookie", &cookie)] {
        // What else the client claims does not count.
        let answer = site
            .get(
                WHOAMI,
                &[
                    shown,
                    ("remote-user", "elastic"),
                    ("es-security-runas-user", "elastic"),
                ],
            )
            .await;
        assert_eq!(
            answer.status,
            StatusCode::OK,
            "{}\n{}",
            answer.text(),
            elastauth.log()
        );
        let whoami = answer.json();
        assert_eq!(
            (&whoami["username"], &whoami["roles"]),
            (&json!("alice"), &json!(["editor"]))
        );
    }
    let user = cluster.user("alice").await.unwrap();
    assert_eq!(
        (&user["full_name"], &user["email"]),
        (&json!("Alice Archer"), &json!("alice@example.org"))
    );

    for shown in [
        ("remote-user", "alice".to_owned()),
        ("authorization", format!("{bearer}x")),
        (
            "authorization",
            format!("Bearer {}", text(&tokens, "id_token")),
        ),
        (
            "authorization",
            format!("Bearer {}", realm.access_token("other", "alice").await),
        ),
        (
            "authorization",
            crate::support::http::basic("alice", "guess"),
        ),
    ] {
        let refused = site.get(WHOAMI, &[(shown.0, &shown.1)]).await;
        assert_eq!(
            refused.status,
            StatusCode::UNAUTHORIZED,
            "{}",
            elastauth.log()
        );
        assert!(
            !refused.text().contains("security_exception"),
            "elastauth has answered, not the cluster"
        );
    }
    assert_eq!(site.get(WHOAMI, &[]).await.status, StatusCode::UNAUTHORIZED);
}
