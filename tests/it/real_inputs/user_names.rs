//! User names, in headers and in claims.

use super::{
    program,
    row::{
        Answer::{self, Refused, User},
        Row,
        Sent::{Claims, Headers},
        Table,
    },
};

pub(super) const TABLES: &[&Table] = &[&IN_HEADERS, &IN_CLAIMS];

const SEVERAL_HEADERS: &[&str] = &["header_username: [X-Upn, Remote-User]"];
const LOWER: &[&str] = &["username_case: lower"];
const DOMAIN: &[&str] = &[r"username_pattern: 'CORP\\(.+)'", "username_case: lower"];
const REALM: &[&str] = &["username_pattern: '([^@]+)@REALM'"];
const IAP: &[&str] = &[r"username_pattern: 'accounts\.google\.com:(.+)'"];
const SEVERAL_CLAIMS: &[&str] = &["claim_mappings: {username: [upn, preferred_username, email]}"];
const NO_MATCH: Answer = Refused(403, "user_not_allowed", "does not match");

const IN_HEADERS: Table = Table {
    title: "Headers: the user name",
    about: "Of several headers the first that is there counts. A pattern must match the whole header. \
            Headers carry no subject: two people whose headers become one name are one user.",
    section: "authelia",
    test: "real_inputs::user_names::headers_name_users",
    rows: &[
        header(
            SEVERAL_HEADERS,
            &[("x-upn", b"alice@x"), ("remote-user", b"alice")],
            "alice@x",
        ),
        header(SEVERAL_HEADERS, &[("remote-user", b"alice")], "alice"),
        header(
            SEVERAL_HEADERS,
            &[("x-upn", b""), ("remote-user", b"bob")],
            "bob",
        ),
        header(
            SEVERAL_HEADERS,
            &[("x-upn", b"(null)"), ("remote-user", b"carol")],
            "carol",
        ),
        header(&[], &[("remote-user", b"Alice@Corp")], "Alice@Corp"),
        header(LOWER, &[("remote-user", b"Alice@Corp")], "alice@corp"),
        header(DOMAIN, &[("remote-user", br"CORP\Alice")], "alice"),
        Row {
            set: DOMAIN,
            sent: Headers(&[("remote-user", br"OTHER\alice")]),
            answer: NO_MATCH,
        },
        Row {
            set: DOMAIN,
            sent: Headers(&[("remote-user", br"CORP\alice,CORP\bob")]),
            answer: Refused(400, "malformed_identity", "the user header has a comma"),
        },
        Row {
            set: DOMAIN,
            sent: Headers(&[("remote-user", br"CORP\(null)")]),
            answer: Refused(401, "not_authenticated", "names nobody"),
        },
        header(REALM, &[("remote-user", b"alice@REALM")], "alice"),
        header(
            IAP,
            &[("remote-user", b"accounts.google.com:alice@x.org")],
            "alice@x.org",
        ),
        Row {
            set: &[],
            sent: Headers(&[("remote-user", b"accounts.google.com:alice@x.org")]),
            answer: Refused(403, "user_not_allowed", "contains ':' or ','"),
        },
    ],
};

const fn header(
    set: &'static [&'static str],
    headers: &'static [(&'static str, &'static [u8])],
    name: &'static str,
) -> Row {
    Row {
        set,
        sent: Headers(headers),
        answer: User(name, &[]),
    }
}

const IN_CLAIMS: Table = Table {
    title: "Tokens: the user name",
    about: "Of several claims the first that is there counts. With `username_case` or \
            `username_pattern`, two names can become one: the provider and the subject decide whose \
            it is, and a token without a subject is refused.",
    section: "oidc",
    test: "real_inputs::user_names::claims_name_users",
    rows: &[
        claim(&[], r#"{"preferred_username": ["dave"]}"#, "dave"),
        refused(
            &[],
            r#"{"preferred_username": ["dave", "erin"]}"#,
            "wrong JSON type",
        ),
        refused(&[], r#"{"preferred_username": 7}"#, "wrong JSON type"),
        refused(
            &[],
            r#"{"preferred_username": []}"#,
            "the user name is empty",
        ),
        claim(
            SEVERAL_CLAIMS,
            r#"{"upn": "alice@x", "preferred_username": "alice"}"#,
            "alice@x",
        ),
        claim(SEVERAL_CLAIMS, r#"{"preferred_username": "bob"}"#, "bob"),
        claim(
            SEVERAL_CLAIMS,
            r#"{"upn": "", "preferred_username": "carol"}"#,
            "carol",
        ),
        claim(
            SEVERAL_CLAIMS,
            r#"{"preferred_username": null, "email": "dan@x.test", "email_verified": true}"#,
            "dan@x.test",
        ),
        refused(
            SEVERAL_CLAIMS,
            r#"{"preferred_username": null, "email": "dan@x.test", "email_verified": false}"#,
            "not verified",
        ),
        claim(&[], r#"{"preferred_username": "Alice@Corp"}"#, "Alice@Corp"),
        claim(
            LOWER,
            r#"{"preferred_username": "Alice@Corp", "sub": "1"}"#,
            "alice@corp",
        ),
        // The same name, and another person.
        refused(
            LOWER,
            r#"{"preferred_username": "alice@corp", "sub": "2"}"#,
            "another subject of the provider",
        ),
        refused(
            LOWER,
            r#"{"preferred_username": "Zoe", "sub": null}"#,
            "without a subject",
        ),
        claim(DOMAIN, r#"{"preferred_username": "CORP\\Alice"}"#, "alice"),
        refused(
            DOMAIN,
            r#"{"preferred_username": "alice"}"#,
            "does not match",
        ),
        claim(
            IAP,
            r#"{"preferred_username": "accounts.google.com:alice@x.org"}"#,
            "alice@x.org",
        ),
        claim(REALM, r#"{"preferred_username": "alice@REALM"}"#, "alice"),
    ],
};

const fn claim(set: &'static [&'static str], claims: &'static str, name: &'static str) -> Row {
    Row {
        set,
        sent: Claims(claims),
        answer: User(name, &[]),
    }
}

const fn refused(set: &'static [&'static str], claims: &'static str, words: &'static str) -> Row {
    Row {
        set,
        sent: Claims(claims),
        answer: Refused(403, "user_not_allowed", words),
    }
}

#[tokio::test]
async fn headers_name_users() {
    program::hold(&IN_HEADERS).await;
}

#[tokio::test]
async fn claims_name_users() {
    program::hold(&IN_CLAIMS).await;
}
