//! What operators are told about inputs that refuse nobody, or that name nobody.

use super::program::Program;
use crate::support::until;
use serde_json::Value;

const DEV: (&str, &str) = ("remote-groups", "dev");

async fn asked(program: &Program, headers: &[(&str, &str)]) -> u16 {
    let answer = program.elastauth.server().get("/elastauth", headers).await;
    answer.status.as_u16()
}

/// How many lines of this level have the text.
fn lines(program: &Program, level: &str, text: &str) -> usize {
    let log = program.elastauth.log();
    let lines = log.lines().filter(|line| line.contains(level));
    lines.filter(|line| line.contains(text)).count()
}

async fn explained(program: &Program, arguments: &[&str]) -> (String, Value) {
    let mut texts = Vec::new();
    for more in [&[][..], &["--json"]] {
        let arguments = [&["explain"], arguments, more].concat();
        let output = program.elastauth.command(&arguments).await;
        assert!(output.status.success(), "{output:?}");
        texts.push(String::from_utf8(output.stdout).unwrap());
    }
    let json = serde_json::from_str(&texts[1]).unwrap();
    (texts.remove(0), json)
}

#[tokio::test]
async fn groups_that_seem_to_be_joined_are_told() {
    let program = Program::with("", &[]).await;
    for user in ["alice", "bob", "carol"] {
        let joined = [("remote-user", user), ("remote-groups", "dev|ops")];
        assert_eq!(asked(&program, &joined).await, 200);
    }
    let hint = "looks like several groups joined by '|'";
    assert_eq!(
        lines(&program, "WARN", hint),
        1,
        "{}",
        program.elastauth.log()
    );
    assert_eq!(
        lines(&program, "DEBUG", hint),
        2,
        "{}",
        program.elastauth.log()
    );
    let (text, json) = explained(&program, &["--user", "alice", "--groups", "dev|ops"]).await;
    assert!(
        text.contains("hint       the group \"dev|ops\" matches no rule"),
        "{text}"
    );
    assert!(json["hints"][0].as_str().unwrap().contains(hint), "{json}");
    // A text that a rule is for, and the blank within the name of one group, are as they should be.
    for groups in ["dev", "Domain Users"] {
        let (_, json) = explained(&program, &["--user", "alice", "--groups", groups]).await;
        assert_eq!(json["hints"], serde_json::json!([]), "{groups}");
    }
    // The same in a token.
    let token = program.token(r#"{"groups": "dev;ops"}"#, "dave");
    let bearer = format!("Bearer {token}");
    assert_eq!(asked(&program, &[("authorization", &bearer)]).await, 200);
    assert_eq!(
        lines(&program, "DEBUG", "joined by ';'"),
        1,
        "{}",
        program.elastauth.log()
    );
    // And where it is the reason that somebody has no role.
    let program = Program::with("", &["group_mappings: {dev: [editor]}"]).await;
    let joined = [("remote-user", "alice"), ("remote-groups", "dev|ops")];
    assert_eq!(asked(&program, &joined).await, 403);
    assert_eq!(
        lines(&program, "WARN", hint),
        1,
        "{}",
        program.elastauth.log()
    );
}

#[tokio::test]
async fn a_user_header_that_names_nobody_is_told() {
    let program = Program::with("", &[]).await;
    for name in ["(null)", "-", "{http.auth.user.id}"] {
        assert_eq!(asked(&program, &[("remote-user", name), DEV]).await, 401);
    }
    let hint = "the user header names nobody";
    let told = "not as expected";
    assert_eq!(
        lines(&program, "WARN", told),
        1,
        "{}",
        program.elastauth.log()
    );
    assert_eq!(
        lines(&program, "WARN", hint),
        1,
        "{}",
        program.elastauth.log()
    );
    assert!(
        !program.elastauth.log().contains("{http.auth"),
        "what a header holds is not repeated"
    );
    let (text, json) = explained(&program, &["--user", "(null)", "--groups", "dev"]).await;
    assert!(
        text.contains("401: the identity is refused: the user header names nobody"),
        "{text}"
    );
    assert_eq!(json["answer"]["outcome"], "nobody_asks");
}

#[tokio::test]
async fn nobody_in_a_header_does_not_hide_a_token() {
    let program = Program::with("", &["auth_provider: [authelia, oidc]"]).await;
    let bearer = format!("Bearer {}", program.token("{}", "alice"));
    let nobody = [("remote-user", "(null)"), ("authorization", &bearer)];
    assert_eq!(asked(&program, &nobody).await, 200);
    // Two names are no reason to look further.
    let two = [("remote-user", "bob,carol"), ("authorization", &bearer)];
    assert_eq!(asked(&program, &two).await, 400);
}

#[tokio::test]
async fn a_name_that_had_to_be_decoded_is_told() {
    let program = Program::with("", &[]).await;
    for (name, value) in [
        ("remote-name", "=?utf-8?Q?Zo=C3=AB?="),
        ("remote-email", "=?utf-8?Q?zo=C3=AB?="),
        ("remote-name", "=?koi8-r?B?8g==?="),
    ] {
        assert_eq!(
            asked(&program, &[("remote-user", "zoe"), (name, value)]).await,
            200
        );
    }
    for hint in ["was decoded", "cannot be read, and was left empty"] {
        assert_eq!(
            lines(&program, "WARN", hint),
            1,
            "{}",
            program.elastauth.log()
        );
    }
}

#[tokio::test]
async fn check_names_what_the_gateway_will_send() {
    for (section, set, words) in [
        (
            "authelia",
            "header_groups: X-authentik-groups",
            "set `authelia.groups_separator: \"|\"`",
        ),
        (
            "oidc",
            "authorization_endpoint: https://sso.example.org/authorize",
            "set `oidc.id_tokens: anywhere`",
        ),
        (
            "",
            "group_mappings: {\"*\": [\"{1}\"]}",
            "makes any name a role",
        ),
        (
            "",
            "user_mappings: {\"*\": [superuser]}",
            "a wildcard in `user_mappings` makes superusers",
        ),
    ] {
        let program = Program::with(section, &[set]).await;
        let output = program.elastauth.command(&["check"]).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned()
            + &String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(words), "{set}: {said}");
        assert!(
            lines(&program, "WARN", words) >= 1,
            "{}",
            program.elastauth.log()
        );
    }
}

/// The line of this refusal, and the answer, which must not have what the line has.
async fn refused(program: &Program, headers: &[(&str, &str)], id: &str) -> String {
    let headers = [headers, &[("x-request-id", id)]].concat();
    let answer = program.elastauth.server().get("/elastauth", &headers).await;
    assert!(answer.status.is_client_error(), "{answer:?}");
    let shown = format!("{answer:?}");
    for secret in ["wrong", "mallory", &program.idp.issuer] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
    let log = program.elastauth.log();
    let line = log.lines().find(|line| line.contains(id));
    line.unwrap_or_else(|| panic!("{id}: {log}"))
        .replace("\\\"", "\"")
}

#[tokio::test]
async fn what_does_not_match_is_shown_to_operators_alone() {
    let program = Program::with("", &[]).await;
    let issuer = program.idp.issuer.clone();
    for (index, (claims, shown)) in [
        (
            format!(r#"{{"iss": "{issuer}/wrong"}}"#),
            format!(r#"`iss` is "{issuer}/wrong", expected "{issuer}""#),
        ),
        (
            r#"{"iss": null}"#.to_owned(),
            format!(r#"`iss` is missing, expected "{issuer}""#),
        ),
        (
            r#"{"aud": ["wrong", "account"]}"#.to_owned(),
            r#"`aud` is ["wrong","account"], expected "elastauth""#.to_owned(),
        ),
        (
            r#"{"aud": null, "client_id": "wrong"}"#.to_owned(),
            r#"`aud` is missing and `client_id` is "wrong", expected "elastauth""#.to_owned(),
        ),
        (
            r#"{"azp": "wrong"}"#.to_owned(),
            r#"`azp` is "wrong", expected "elastauth""#.to_owned(),
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let token = program.token(&claims, "alice");
        let bearer = format!("Bearer {token}");
        let id = format!("mismatch-{index}");
        let line = refused(&program, &[("authorization", &bearer)], &id).await;
        assert!(line.contains(&shown), "{claims}: {line}");
        program.elastauth.put("token", &token);
        let file = program.elastauth.home().join("token");
        let (text, _) = explained(&program, &["--token-file", file.to_str().unwrap()]).await;
        assert!(text.contains(&shown), "{claims}: {text}");
    }
    // It is bounded, and moves nothing in a terminal.
    let long = format!(r#"{{"aud": "\u001b[31m\u202e{}"}}"#, "wrong".repeat(1_000));
    let bearer = format!("Bearer {}", program.token(&long, "alice"));
    let line = refused(&program, &[("authorization", &bearer)], "long").await;
    assert!(
        line.len() < 1_500 && !line.contains(['\u{1b}', '\u{202e}']),
        "{line}"
    );
}

#[tokio::test]
async fn a_name_that_is_refused_is_shown_to_operators_alone() {
    let program = Program::with("", &["auth_provider: [authelia, oidc]"]).await;
    for (index, (name, shown)) in [
        ("mallory:x", r#"the name "mallory:x" cannot be a user"#),
        ("alice,mallory", r#""alice,mallory" is two names"#),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("name-{index}");
        let line = refused(&program, &[("remote-user", name)], &id).await;
        assert!(line.contains(shown), "{name}: {line}");
        let (text, _) = explained(&program, &["--user", name]).await;
        assert!(text.contains(shown), "{name}: {text}");
    }
    let twice = [("remote-user", "alice"), ("remote-user", "mallory")];
    let line = refused(&program, &twice, "twice").await;
    assert!(line.contains(r#"("alice", "mallory")"#), "{line}");
    let bearer = format!("Bearer {}", program.token("{}", "mallory:y"));
    let line = refused(&program, &[("authorization", &bearer)], "claim").await;
    assert!(line.contains(r#"the name "mallory:y" cannot"#), "{line}");
    let (one, other) = (
        program.token("{}", "alice"),
        program.token(r#"{"sub": "other"}"#, "mallory"),
    );
    let cookies = format!("access_token={one}; access_token={other}");
    let line = refused(&program, &[("cookie", &cookies)], "cookies").await;
    assert!(line.contains(r#"users ("alice", "mallory")"#), "{line}");
}

#[tokio::test]
async fn headers_that_are_too_large_leave_a_line() {
    let program = Program::with("", &[]).await;
    let cookie = "x".repeat(70_000);
    let told = "refused with 431 or 414";
    for _ in 0..3 {
        let headers = [("remote-user", "alice"), ("cookie", &*cookie)];
        assert_eq!(asked(&program, &headers).await, 431);
    }
    until("the line", || lines(&program, "WARN", told) > 0).await;
    let log = program.elastauth.log();
    let line = log.lines().find(|line| line.contains(told)).unwrap();
    assert!(
        line.contains("max_bytes=65536") && line.contains("max_headers=160"),
        "{line}"
    );
    assert!(!log.contains("xxxx"), "what was sent is not repeated");
}
