//! From claims to a user: paths, kinds of groups, and what real providers send.

use super::{
    super::claims::{ClaimMapping, ClaimPath, InvalidPath},
    *,
};
use crate::{identity::types::Attributes, model::InvalidUsername};

fn path(text: &str) -> ClaimPath {
    ClaimPath::parse(text).unwrap()
}

pub(super) fn read(mapping: &ClaimMapping, claims: Value) -> Result<Attributes, NoUser> {
    let person = mapping.person(claims.as_object().unwrap());
    person.map_err(|mut why| {
        if let NoUser::Name(shown, _) = &mut why {
            *shown = none();
        }
        why
    })
}

pub(super) fn names(person: Result<Attributes, NoUser>) -> Result<Vec<String>, NoUser> {
    person.map(|person| {
        person
            .groups
            .iter()
            .map(|group| group.as_str().to_owned())
            .collect()
    })
}

pub(super) fn grouped_by(text: &str) -> ClaimMapping {
    ClaimMapping {
        groups: vec![path(text)],
        ..ClaimMapping::default()
    }
}

#[test]
fn a_path_is_dotted_a_pointer_or_quoted() {
    let claims = json!({
        "preferred_username": "u", "a": {"b": ["nested"]}, "https://x.test/groups": ["auth0"],
        "re/so~urce": {"my.client": {"roles": ["deep"]}},
    });
    for (text, found) in [
        ("a.b", "nested"),
        ("/a/b", "nested"),
        ("\"a\".\"b\"", "nested"),
        ("\"https://x.test/groups\"", "auth0"),
        ("/https:~1~1x.test~1groups", "auth0"),
        ("https://x.test/groups", "auth0"),
        ("/re~1so~0urce/my.client/roles", "deep"),
        ("re/so~urce.\"my.client\".roles", "deep"),
    ] {
        assert_eq!(
            names(read(&grouped_by(text), claims.clone())),
            Ok(vec![found.to_owned()]),
            "{text}"
        );
    }
    for (text, why) in [
        ("", InvalidPath::Steps),
        (".", InvalidPath::Steps),
        ("a..b", InvalidPath::Steps),
        ("/", InvalidPath::Steps),
        ("a.b.c.d.e.f.g.h.i", InvalidPath::Steps),
        ("\"a", InvalidPath::Quotes),
        ("\"a\"b", InvalidPath::Quotes),
        ("a\"b\"", InvalidPath::Quotes),
        ("\"a\".https://x.test/groups", InvalidPath::BareUrl),
        ("/a~2", InvalidPath::Escape),
    ] {
        assert_eq!(ClaimPath::parse(text).err(), Some(why), "{text}");
    }
}

#[test]
fn a_name_or_a_mail_that_is_no_text_refuses_nobody() {
    use crate::identity::Note;
    for (mail, expected, notes) in [
        (json!(["a@x.test", "b@x.test"]), Some("a@x.test"), vec![]),
        (json!([]), None, vec![]),
        (json!(7), None, vec![Note::LeftEmpty(Field::Email)]),
        (json!([{}]), None, vec![Note::LeftEmpty(Field::Email)]),
    ] {
        let claims = json!({"preferred_username": "u", "email": mail, "email_verified": true});
        let person = read(&ClaimMapping::default(), claims).unwrap();
        assert_eq!((person.email.as_deref(), person.notes), (expected, notes));
    }
}

#[test]
fn the_first_claim_that_is_there_names_the_user() {
    let mapping = ClaimMapping {
        users: vec![path("upn"), path("preferred_username"), path("email")],
        ..ClaimMapping::default()
    };
    for (claims, expected) in [
        (json!({"upn": "a@x", "preferred_username": "b"}), Ok("a@x")),
        (json!({"upn": null, "preferred_username": "b"}), Ok("b")),
        (json!({"upn": "", "preferred_username": ["b"]}), Ok("b")),
        (json!({"upn": [], "preferred_username": "b"}), Ok("b")),
        // A wrong one is no reason to take the name of the next.
        (
            json!({"upn": 7, "preferred_username": "b"}),
            Err(NoUser::Shape(Field::User)),
        ),
        (
            json!({"email": "c@x.test", "email_verified": false}),
            Err(NoUser::Unverified),
        ),
        (json!({}), Err(NoUser::Missing)),
        (
            json!({"upn": ""}),
            Err(NoUser::Name(none(), InvalidUsername::Empty)),
        ),
    ] {
        let user = read(&mapping, claims.clone()).map(|person| person.user.as_str().to_owned());
        assert_eq!(user, expected.map(str::to_owned), "{claims}");
    }
}

#[test]
fn a_user_name_is_a_text_that_the_cluster_accepts() {
    for (name, why) in [
        (json!(null), NoUser::Missing),
        (json!(7), NoUser::Shape(Field::User)),
        (json!(["alice", "bob"]), NoUser::Shape(Field::User)),
        (json!([7]), NoUser::Shape(Field::User)),
        (json!(""), NoUser::Name(none(), InvalidUsername::Empty)),
        (
            json!(" alice"),
            NoUser::Name(none(), InvalidUsername::OuterSpace),
        ),
        (
            json!("a:b"),
            NoUser::Name(none(), InvalidUsername::Separator),
        ),
        (
            json!("a,b"),
            NoUser::Name(none(), InvalidUsername::Separator),
        ),
        (
            json!("zo\u{eb}"),
            NoUser::Name(none(), InvalidUsername::NotPrintableAscii),
        ),
        (
            json!("a\u{0}b"),
            NoUser::Name(none(), InvalidUsername::NotPrintableAscii),
        ),
        (
            json!(".."),
            NoUser::Name(none(), InvalidUsername::DotSegment),
        ),
        (
            json!("x".repeat(508)),
            NoUser::Name(none(), InvalidUsername::TooLong),
        ),
    ] {
        assert_eq!(
            read(
                &ClaimMapping::default(),
                json!({"preferred_username": name})
            )
            .err(),
            Some(why),
            "{name}"
        );
    }
}

#[test]
fn a_mail_address_as_user_name_must_be_verified() {
    let of = |claim: &str, required| ClaimMapping {
        users: vec![path(claim)],
        email_verified_required: required,
        ..ClaimMapping::default()
    };
    let (good, bad) = (&None, &Some(NoUser::Unverified));
    for (verified, strict, lax) in [
        (json!(true), good, good),
        (json!("true"), good, good),
        (json!(false), bad, bad),
        (json!("false"), bad, bad),
        (json!(0), bad, bad),
        (Value::Null, &Some(NoUser::PerhapsUnverified), good),
    ] {
        let beside = json!({"email": "a@b.test", "email_verified": verified});
        for (claim, claims) in [
            ("email", beside.clone()),
            ("/email", beside.clone()),
            ("who.email", json!({ "who": beside })),
            (
                "who.email",
                json!({"who": {"email": "a@b.test"}, "email_verified": verified}),
            ),
        ] {
            let read = |required| read(&of(claim, required), claims.clone()).err();
            assert_eq!((&read(true), &read(false)), (strict, lax), "{claims}");
        }
    }
    assert_eq!(
        read(&of("email", true), json!({"email": "a@b.test"})).err(),
        Some(NoUser::PerhapsUnverified),
    );
    let no_mail = json!({"upn": "a@b.test"});
    assert_eq!(read(&of("upn", true), no_mail).err(), None);
}

#[test]
fn a_mail_address_that_is_not_verified_is_not_read() {
    let mail = |claims: Value| {
        let read = read(&ClaimMapping::default(), claims).unwrap();
        read.email.map(String::from)
    };
    let of = |verified: Value| json!({"preferred_username": "u", "email": "a@b.test", "email_verified": verified});
    for verified in [json!(true), json!("true"), Value::Null] {
        assert_eq!(mail(of(verified)).as_deref(), Some("a@b.test"));
    }
    for verified in [json!(false), json!("false"), json!("no"), json!(1)] {
        assert_eq!(mail(of(verified)), None);
    }
    assert_eq!(
        mail(json!({"preferred_username": "u", "email": "a@b.test"})).as_deref(),
        Some("a@b.test")
    );
}

#[test]
fn prefixes_keep_two_providers_apart() {
    let mapping = ClaimMapping {
        username_prefix: "partner-".into(),
        group_prefix: "partner/".into(),
        ..ClaimMapping::default()
    };
    let person = read(
        &mapping,
        json!({"preferred_username": "alice", "groups": ["admins", ""]}),
    )
    .unwrap();
    assert_eq!(person.user.as_str(), "partner-alice");
    for name in ["", " ", "\t"] {
        assert_eq!(
            read(&mapping, json!({"preferred_username": name})).err(),
            Some(NoUser::Name(none(), InvalidUsername::Empty)),
            "a prefix makes no name of it"
        );
    }
    assert_eq!(
        person.groups.iter().map(Group::as_str).collect::<Vec<_>>(),
        ["partner/admins"]
    );
}

#[test]
fn keycloaks_claims_are_read_by_their_paths() {
    let claims = json!({
        "iss": "http://127.0.0.1:8181/realms/elastauth", "aud": ["elastauth", "account"],
        "sub": "00000000-0000-4000-8000-000000000001",
        "typ": "Bearer", "azp": "elastauth", "sid": "_a8qBehmstEYLkKGpQnae6tE", "acr": "1",
        "allowed-origins": ["http://127.0.0.1"],
        "realm_access": {"roles": ["offline_access", "staff"]},
        "resource_access": {"account": {"roles": ["manage-account", "view-profile"]}},
        "scope": "openid email profile", "email_verified": true, "name": "Alice Archer",
        "groups": ["/admins", "/org/team-a/admins"],
        "preferred_username": "alice", "email": "alice@example.org",
    });
    let mapping = ClaimMapping {
        groups: vec![
            path("groups"),
            path("realm_access.roles"),
            path("resource_access.account.roles"),
        ],
        ..ClaimMapping::default()
    };
    let person = read(&mapping, claims).unwrap();
    assert_eq!(
        (person.user.as_str(), person.full_name.as_deref()),
        ("alice", Some("Alice Archer"))
    );
    assert_eq!(
        person.groups.iter().map(Group::as_str).collect::<Vec<_>>(),
        [
            "/admins",
            "/org/team-a/admins",
            "manage-account",
            "offline_access",
            "staff",
            "view-profile"
        ]
    );
}

#[tokio::test]
async fn the_kinds_of_keycloaks_tokens_are_distinguished() {
    let stage = Stage::with("RS256", |_| {}).await;
    let keycloak = |change: Value| {
        let mut claims = json!({"aud": ["elastauth", "account"], "typ": "Bearer",
            "azp": "elastauth", "sid": "s", "acr": "1", "realm_access": {"roles": ["staff"]}});
        for (name, value) in change.as_object().unwrap() {
            claims[name] = value.clone();
        }
        stage.token(claims)
    };
    assert!(stage.ask(&keycloak(json!({}))).await.is_ok());
    for (change, why) in [
        (
            json!({"typ": "ID", "aud": "elastauth"}),
            RefusedToken::ClaimType,
        ),
        (
            json!({"typ": "Refresh", "aud": stage.fake.issuer()}),
            RefusedToken::ClaimType,
        ),
        (json!({"typ": "Offline"}), RefusedToken::ClaimType),
        // Another client's token: without a mapper, and where the user has a role of our client.
        (
            json!({"azp": "other", "aud": "account"}),
            RefusedToken::Audience(none()),
        ),
        (json!({"azp": "other"}), RefusedToken::Party(none())),
        // Lightweight.
        (
            json!({"aud": null, "sub": null, "groups": null, "preferred_username": null}),
            RefusedToken::Audience(none()),
        ),
    ] {
        assert_eq!(
            stage.refusal(&keycloak(change.clone())).await,
            why,
            "{change}"
        );
    }
}
