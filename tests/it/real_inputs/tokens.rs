//! What a token is, and for whom.

use super::{
    program,
    row::{
        Answer::{Accepted, Refused},
        Row,
        Sent::Claims,
        Table,
    },
};

pub(super) const TABLES: &[&Table] = &[&KINDS];

const PARTIES: &[&str] = &["authorized_parties: [kibana]"];
const ANYWHERE: &[&str] = &["id_tokens: anywhere"];

const KINDS: Table = Table {
    title: "Tokens: which are access tokens, and for whom",
    about: "A bearer token whose header does not say that it is an access token (`at+jwt`). What the \
            provider calls it counts before what it looks like.",
    section: "oidc",
    test: "real_inputs::tokens::a_token_is_what_its_provider_calls_it",
    rows: &[
        accepted(&[], "{}"),
        refused(&[], r#"{"scope": null}"#, "looks like an ID token"),
        refused(&[], r#"{"nonce": "n"}"#, "looks like an ID token"),
        accepted(&[], r#"{"nonce": "", "at_hash": ""}"#),
        accepted(&[], r#"{"type": "oauth-access-token", "scope": null}"#),
        accepted(&[], r#"{"type": "oauth-access-token", "nonce": "n"}"#),
        accepted(&[], r#"{"tokenType": "access-token", "scope": null}"#),
        accepted(
            &[],
            r#"{"token_use": "access", "scope": null, "nonce": "n"}"#,
        ),
        accepted(&[], r#"{"tokenName": "access_token", "scope": null}"#),
        accepted(&[], r#"{"type": "user"}"#),
        refused(&[], r#"{"type": "id_token"}"#, "looks like an ID token"),
        refused(
            &[],
            r#"{"token_use": "access", "type": "id_token"}"#,
            "looks like an ID token",
        ),
        refused(
            &[],
            r#"{"tokenType": "refresh-token"}"#,
            "is not an access token",
        ),
        accepted(ANYWHERE, r#"{"scope": null, "nonce": "n"}"#),
        // Amazon Cognito.
        accepted(
            &[],
            r#"{"aud": null, "client_id": "elastauth", "token_use": "access"}"#,
        ),
        refused(
            &[],
            r#"{"aud": null, "client_id": "another"}"#,
            "`aud` is missing",
        ),
        refused(&[], r#"{"aud": null}"#, "`aud` is missing"),
        accepted(&[], r#"{"cid": "another", "appid": "another"}"#),
        // Okta, then ADFS and Entra ID 1.0.
        accepted(PARTIES, r#"{"cid": "kibana"}"#),
        accepted(PARTIES, r#"{"appid": "kibana"}"#),
        refused(PARTIES, r#"{"cid": "another"}"#, "issued to another client"),
        refused(
            PARTIES,
            r#"{"azp": "another", "cid": "kibana"}"#,
            "issued to another client",
        ),
        refused(PARTIES, "{}", "issued to another client"),
    ],
};

const fn accepted(set: &'static [&'static str], claims: &'static str) -> Row {
    Row {
        set,
        sent: Claims(claims),
        answer: Accepted,
    }
}

const fn refused(set: &'static [&'static str], claims: &'static str, words: &'static str) -> Row {
    Row {
        set,
        sent: Claims(claims),
        answer: Refused(401, "invalid_token", words),
    }
}

#[tokio::test]
async fn a_token_is_what_its_provider_calls_it() {
    program::hold(&KINDS).await;
}
