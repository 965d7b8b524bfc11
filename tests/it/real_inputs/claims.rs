//! Claims of tokens: groups, names, mail addresses.

use super::{
    program,
    row::{
        Answer::{self, Person, Refused, User},
        Row,
        Sent::Claims,
        Table,
    },
};

pub(super) const TABLES: &[&Table] = &[&GROUPS, &PEOPLE];

const COMMA: &[&str] = &["groups_separator: \",\""];
const SPACE: &[&str] = &["groups_separator: space"];
const SEMICOLON: &[&str] = &["groups_separator: \";\""];
const PIPE: &[&str] = &["groups_separator: \"|\""];
const URL: &[&str] = &["claim_mappings: {groups: \"https://app.example/roles\"}"];
const ZITADEL: &[&str] = &["claim_mappings: {groups: \"urn:zitadel:iam:org:project:roles\"}"];
const PATH: &[&str] = &["claim_mappings: {groups: realm_access}"];
const MEMBER: &[&str] = &["claim_mappings: {group_member: id}"];
const WRONG: Answer = Refused(
    403,
    "user_not_allowed",
    "the claim for the groups has the wrong JSON type",
);

const GROUPS: Table = Table {
    title: "Tokens: groups",
    about: "A claim may be a list, one text, or an object whose keys are the groups. A text is one \
            group, unless `oidc.groups_separator` is set or it is a JSON list.",
    section: "oidc",
    test: "real_inputs::claims::groups_come_in_many_forms",
    rows: &[
        groups(&[], r#"{"groups": ["dev", "ops"]}"#, &["dev", "ops"]),
        groups(&[], r#"{"groups": "dev"}"#, &["dev"]),
        groups(&[], r#"{"groups": null}"#, &[]),
        groups(&[], r#"{"groups": ["dev", null, "", " "]}"#, &["dev"]),
        groups(
            &[],
            r#"{"groups": [1001, "dev", -1]}"#,
            &["-1", "1001", "dev"],
        ),
        groups(&[], r#"{"groups": 1001}"#, &["1001"]),
        refused(&[], r#"{"groups": [1.5]}"#, WRONG),
        refused(&[], r#"{"groups": [true]}"#, WRONG),
        refused(&[], r#"{"groups": [["dev"]]}"#, WRONG),
        groups(
            &[],
            r#"{"groups": [{"name": "dev", "id": 1}, {"name": "ops"}]}"#,
            &["dev", "ops"],
        ),
        refused(&[], r#"{"groups": [{"id": 1}]}"#, WRONG),
        groups(MEMBER, r#"{"groups": [{"name": "dev", "id": 1}]}"#, &["1"]),
        groups(
            ZITADEL,
            r#"{"urn:zitadel:iam:org:project:roles": {"dev": {"1": "x.test"}, "ops": {"1": "x.test"}}}"#,
            &["dev", "ops"],
        ),
        groups(
            &[],
            r#"{"groups": {"dev": true, "ops": false, "old": null}}"#,
            &["dev"],
        ),
        refused(PATH, r#"{"realm_access": {"roles": ["dev"]}}"#, WRONG),
        groups(URL, r#"{"https://app.example/roles": ["dev"]}"#, &["dev"]),
        groups(&[], r#"{"groups": "a,b"}"#, &["a,b"]),
        groups(&[], r#"{"groups": "[\"a,b\", \"c\"]"}"#, &["a,b", "c"]),
        groups(&[], r#"{"groups": "[]"}"#, &[]),
        groups(&[], r#"{"groups": "[a, b]"}"#, &["[a, b]"]),
        groups(
            &[],
            r#"{"groups": ["a,b", "[\"c\"]"]}"#,
            &["[\"c\"]", "a,b"],
        ),
        groups(COMMA, r#"{"groups": "a,b"}"#, &["a", "b"]),
        groups(COMMA, r#"{"groups": "[a, b]"}"#, &["a", "b"]),
        groups(COMMA, r#"{"groups": "[\"a\",\"b\"]"}"#, &["a", "b"]),
        groups(COMMA, r#"{"groups": "\"a,b\",c"}"#, &["a,b", "c"]),
        groups(COMMA, r#"{"groups": ["a,b"]}"#, &["a,b"]),
        groups(SPACE, r#"{"groups": "a b"}"#, &["a", "b"]),
        groups(SEMICOLON, r#"{"groups": "a;b,c"}"#, &["a", "b,c"]),
        groups(PIPE, r#"{"groups": "a|b"}"#, &["a", "b"]),
    ],
};

const fn groups(
    set: &'static [&'static str],
    claims: &'static str,
    groups: &'static [&'static str],
) -> Row {
    Row {
        set,
        sent: Claims(claims),
        answer: User("", groups),
    }
}

const fn refused(set: &'static [&'static str], claims: &'static str, answer: Answer) -> Row {
    Row {
        set,
        sent: Claims(claims),
        answer,
    }
}

const PEOPLE: Table = Table {
    title: "Tokens: names and mail addresses",
    about: "Nothing is decided by them, so none refuses its owner.",
    section: "oidc",
    test: "real_inputs::claims::names_and_mail_addresses_shut_nobody_out",
    rows: &[
        person(
            r#"{"email": ["a@x.test", "b@x.test"], "email_verified": true}"#,
            "a@x.test",
            "",
        ),
        person(r#"{"email": [], "name": null}"#, "", ""),
        person(r#"{"email": {"work": "a@x.test"}, "name": 7}"#, "", ""),
    ],
};

const fn person(claims: &'static str, email: &'static str, name: &'static str) -> Row {
    Row {
        set: &[],
        sent: Claims(claims),
        answer: Person(email, name),
    }
}

#[tokio::test]
async fn groups_come_in_many_forms() {
    program::hold(&GROUPS).await;
}

#[tokio::test]
async fn names_and_mail_addresses_shut_nobody_out() {
    program::hold(&PEOPLE).await;
}
