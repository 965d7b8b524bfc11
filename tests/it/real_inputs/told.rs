//! What operators are told about inputs that refuse nobody, or that name nobody.

use super::program::Program;
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
