//! Groups in claims: in which forms they come.

use super::{
    mapping::{grouped_by, names, read},
    *,
};
use crate::identity::{group_list::Separator, oidc::claims::ClaimMapping};

#[test]
fn groups_are_a_text_a_list_objects_or_keys_and_are_not_split_unasked() {
    let mapping = ClaimMapping::default();
    for (groups, expected) in [
        (json!(["b", "a", "b"]), Ok(vec!["a", "b"])),
        (json!("one, still one"), Ok(vec!["one, still one"])),
        (json!(["a,b", " c "]), Ok(vec!["a,b", "c"])),
        (json!([{"name": "x", "id": 1}, "y"]), Ok(vec!["x", "y"])),
        (json!([]), Ok(vec![])),
        (json!(null), Ok(vec![])),
        (json!([{"id": 1}]), Err(NoUser::Shape(Field::Groups))),
        (json!([["a"]]), Err(NoUser::Shape(Field::Groups))),
        (json!([{"name": {}}]), Err(NoUser::Shape(Field::Groups))),
        (json!(["a", null, "", " ", {"name": null}]), Ok(vec!["a"])),
        (json!([7, -1, {"name": 8}]), Ok(vec!["-1", "7", "8"])),
        (json!(7), Ok(vec!["7"])),
        // These have lost digits on the way.
        (json!([1.5]), Err(NoUser::Shape(Field::Groups))),
        (json!(1e30), Err(NoUser::Shape(Field::Groups))),
        (json!([true]), Err(NoUser::Shape(Field::Groups))),
        (json!(true), Err(NoUser::Shape(Field::Groups))),
        (json!("[\"a,b\", \"c\", 7]"), Ok(vec!["7", "a,b", "c"])),
        (json!("[]"), Ok(vec![])),
        (json!("[[\"a\"]]"), Err(NoUser::Shape(Field::Groups))),
        (json!("[a, b]"), Ok(vec!["[a, b]"])),
        (json!(["[\"a\"]"]), Ok(vec!["[\"a\"]"])),
        (
            json!({"admin": {"1": "x.test"}, "dev": {}, "ops": true, "no": false, "nor": null}),
            Ok(vec!["admin", "dev", "ops"]),
        ),
        // The path is one step too short.
        (json!({"roles": ["a"]}), Err(NoUser::Shape(Field::Groups))),
        (json!({"a": 1}), Err(NoUser::Shape(Field::Groups))),
        (json!(vec!["x"; 2_001]), Err(NoUser::TooMany)),
    ] {
        let shown = groups.to_string().chars().take(40).collect::<String>();
        let expected =
            expected.map(|names: Vec<&str>| names.into_iter().map(str::to_owned).collect());
        assert_eq!(
            names(read(
                &mapping,
                json!({"preferred_username": "u", "groups": groups})
            )),
            expected,
            "{shown}"
        );
    }
    assert_eq!(
        names(read(&mapping, json!({"preferred_username": "u"}))),
        Ok(vec![]),
        "absent"
    );
    let by_id = ClaimMapping {
        group_member: "id".into(),
        ..ClaimMapping::default()
    };
    let groups = json!({"preferred_username": "u", "groups": [{"name": "x", "id": 1}]});
    assert_eq!(names(read(&by_id, groups)), Ok(vec!["1".to_owned()]));
}

#[test]
fn a_text_is_split_by_the_configured_separator_alone() {
    for (separator, groups, expected) in [
        (Separator::Comma, json!("a,b"), vec!["a", "b"]),
        (Separator::Comma, json!("[a, b]"), vec!["a", "b"]),
        (Separator::Comma, json!("\"a,b\", c"), vec!["a,b", "c"]),
        (Separator::Comma, json!("[\"a,b\"]"), vec!["a,b"]),
        (Separator::Comma, json!(["a,b"]), vec!["a,b"]),
        (Separator::Space, json!("a b"), vec!["a", "b"]),
        (Separator::Semicolon, json!("a;b,c"), vec!["a", "b,c"]),
        (Separator::Pipe, json!("a|b"), vec!["a", "b"]),
    ] {
        let mapping = ClaimMapping {
            separator: Some(separator),
            ..ClaimMapping::default()
        };
        let claims = json!({"preferred_username": "u", "groups": groups});
        let expected = expected.into_iter().map(str::to_owned).collect();
        assert_eq!(names(read(&mapping, claims)), Ok(expected), "{groups}");
    }
}

#[test]
fn a_text_that_looks_like_several_groups_is_remembered_as_such() {
    for (groups, joined) in [
        (json!("a,b"), Some("a,b")),
        (json!("a b"), Some("a b")),
        (json!("[a, b]"), Some("[a, b]")),
        (json!("a"), None),
        (json!("[\"a,b\"]"), None),
        (json!(["CN=a,OU=b", "c|d"]), None),
    ] {
        let claims = json!({"preferred_username": "u", "groups": groups});
        let person = read(&ClaimMapping::default(), claims).unwrap();
        assert_eq!(
            person.joined.as_ref().map(Group::as_str),
            joined,
            "{groups}"
        );
    }
}

#[test]
fn groups_that_the_provider_left_out_are_not_no_groups() {
    let refused = Err(NoUser::TooManyToSend);
    let user = |mut claims: Value| {
        claims["preferred_username"] = "u".into();
        claims
    };
    for claims in [
        json!({"_claim_names": {"groups": "src1"},
            "_claim_sources": {"src1": {"endpoint": "https://graph.test"}}}),
        json!({"hasgroups": true}),
        json!({"hasgroups": "true", "groups": null}),
    ] {
        assert_eq!(
            names(read(&ClaimMapping::default(), user(claims.clone()))),
            refused,
            "{claims}"
        );
    }
    for claims in [
        json!({"hasgroups": false}),
        json!({"_claim_names": {"address": "src1"}}),
        json!({"hasgroups": true, "groups": ["a"]}),
    ] {
        assert!(
            read(&ClaimMapping::default(), user(claims.clone())).is_ok(),
            "{claims}"
        );
    }
    assert!(
        read(&grouped_by("roles"), user(json!({"hasgroups": true}))).is_ok(),
        "roles always fit"
    );
}
