//! Which headers are which identity, and which are refused.

use super::*;
use crate::model::InvalidUsername;

fn asked(headers: &[(&'static str, &[u8])]) -> Result<Option<Identity>, Rejected> {
    asked_with(&Config::default(), headers)
}

fn asked_with(
    config: &Config,
    headers: &[(&'static str, &[u8])],
) -> Result<Option<Identity>, Rejected> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(
            HeaderName::from_static(name),
            HeaderValue::from_bytes(value).unwrap(),
        );
    }
    Headers::new(config.clone()).identify(&map)
}

fn identified(headers: &[(&'static str, &[u8])]) -> Identity {
    let Ok(Some(identity)) = asked(headers) else {
        panic!("not identified")
    };
    identity
}

fn groups(identity: &Identity) -> Vec<&str> {
    identity.groups().iter().map(Group::as_str).collect()
}

#[test]
fn four_headers_are_an_identity() {
    let identity = identified(&[
        ("remote-user", b"alice"),
        ("remote-groups", b"ops, dev ,\"c,d\""),
        ("remote-email", b"alice@example.org"),
        ("remote-name", "Zo\u{eb} Ångström".as_bytes()),
    ]);
    assert_eq!(identity.user().as_str(), "alice");
    assert_eq!(groups(&identity), ["c,d", "dev", "ops"]);
    assert_eq!(identity.email(), Some("alice@example.org"));
    assert_eq!(identity.full_name(), Some("Zo\u{eb} Ångström"));
}

#[test]
fn a_present_but_empty_header_is_an_absent_one() {
    let identity = identified(&[
        ("remote-user", b"alice"),
        ("remote-groups", b""),
        ("remote-email", b" "),
        ("remote-name", b""),
    ]);
    assert_eq!(
        (
            identity.groups().len(),
            identity.email(),
            identity.full_name()
        ),
        (0, None, None)
    );
    assert_eq!(
        asked(&[("remote-user", b""), ("remote-groups", b"admins")]),
        Ok(None)
    );
    assert_eq!(asked(&[]), Ok(None));
}

#[test]
fn a_name_with_an_underscore_is_another_header() {
    assert_eq!(asked(&[("remote_user", b"alice")]), Ok(None));
}

#[test]
fn two_names_are_refused() {
    assert_eq!(
        asked(&[("remote-user", b"alice"), ("remote-user", b"mallory")]),
        Err(Rejected::Repeated(
            Field::User,
            Shown::header([&b"alice"[..], b"mallory"])
        ))
    );
    assert_eq!(
        asked(&[("remote-user", b"alice"), ("remote-user", b"alice")]),
        Err(Rejected::Repeated(
            Field::User,
            Shown::header([&b"alice"[..], b"alice"])
        ))
    );
    assert_eq!(
        asked(&[("remote-user", b"alice,mallory")]),
        Err(Rejected::Joined(Shown::text("alice,mallory")))
    );
}

#[test]
fn repeated_groups_are_one_list() {
    let identity = identified(&[
        ("remote-user", b"alice"),
        ("remote-groups", b"a,b"),
        ("remote-groups", b"b, c"),
    ]);
    assert_eq!(groups(&identity), ["a", "b", "c"]);
}

#[test]
fn bytes_that_are_not_utf8_are_refused_in_every_header() {
    assert_eq!(
        asked(&[("remote-user", b"al\xffce")]),
        Err(Rejected::NotUtf8(Field::User, Shown::text("al\u{fffd}ce")))
    );
    assert_eq!(
        asked(&[("remote-user", b"alice"), ("remote-groups", b"\xe9quipe")]),
        Err(Rejected::NotUtf8(
            Field::Groups,
            Shown::text("\u{fffd}quipe")
        ))
    );
}

#[test]
fn a_name_that_cannot_be_a_user_says_why() {
    assert_eq!(
        asked(&[("remote-user", b"..")]),
        Err(Rejected::Name(
            Shown::text(".."),
            InvalidUsername::DotSegment
        ))
    );
    assert_eq!(
        asked(&[("remote-user", b"a:b")]),
        Err(Rejected::Name(
            Shown::text("a:b"),
            InvalidUsername::Separator
        ))
    );
    assert_eq!(
        asked(&[("remote-user", &[b'x'; 8192])]),
        Err(Rejected::Name(
            Shown::text(&"x".repeat(8192)),
            InvalidUsername::TooLong
        ))
    );
}

#[test]
fn what_stands_for_nobody_is_nobody_and_what_only_resembles_it_is_a_user() {
    for name in [
        "(null)",
        "-",
        "NULL",
        "Undefined",
        "<nil>",
        "none",
        "Anonymous",
        "${USER}",
    ] {
        assert!(
            matches!(
                asked(&[("remote-user", name.as_bytes())]),
                Err(Rejected::Nobody(_))
            ),
            "{name}"
        );
    }
    for name in [
        "nulla",
        "none@x.test",
        "-a",
        "null null",
        "anonymous1",
        "nobody",
    ] {
        assert_eq!(
            identified(&[("remote-user", name.as_bytes())])
                .user()
                .as_str(),
            name
        );
    }
}

#[test]
fn the_first_header_that_names_somebody_counts() {
    let config = Config {
        users: ["x-upn", "remote-user"].map(HeaderName::from_static).into(),
        ..Config::default()
    };
    let named = |headers: &[(&'static str, &[u8])]| {
        asked_with(&config, headers)
            .map(|found| found.map(|identity| identity.user().as_str().to_owned()))
    };
    let (alice, bob) = (Ok(Some("alice".to_owned())), Ok(Some("bob".to_owned())));
    assert_eq!(
        named(&[("remote-user", b"bob"), ("x-upn", b"alice")]),
        alice
    );
    assert_eq!(named(&[("remote-user", b"bob"), ("x-upn", b" ")]), bob);
    assert_eq!(named(&[("remote-user", b"bob"), ("x-upn", b"-")]), bob);
    assert_eq!(named(&[("x-upn", b"-")]), Err(Rejected::Nobody("-")));
    assert_eq!(named(&[("x-upn", b"")]), Ok(None));
    // A faulty first header is no reason to take the second.
    assert_eq!(
        named(&[("remote-user", b"bob"), ("x-upn", b"\xff")]),
        Err(Rejected::NotUtf8(Field::User, Shown::text("\u{fffd}")))
    );
}

#[test]
fn white_space_that_http_does_not_allow_around_a_value_is_kept() {
    for name in ["alice\u{a0}", "\u{2003}alice", "alice\u{3000}"] {
        let refused = asked(&[("remote-user", name.as_bytes())]);
        assert!(
            matches!(refused, Err(Rejected::Name(..))),
            "{name:?} became {refused:?}"
        );
    }
    let identity = identified(&[
        ("remote-user", b" alice\t"),
        ("remote-groups", "dev\u{a0}, ops\t".as_bytes()),
    ]);
    assert_eq!(identity.user().as_str(), "alice");
    assert_eq!(groups(&identity), ["dev\u{a0}", "ops"]);
}

#[test]
fn where_groups_are_required_a_missing_header_is_refused_and_an_empty_one_is_not() {
    let config = Config {
        groups_required: true,
        ..Config::default()
    };
    assert_eq!(
        asked_with(&config, &[("remote-user", b"alice")]),
        Err(Rejected::GroupsMissing(Shown::text("alice")))
    );
    assert!(matches!(
        asked_with(
            &config,
            &[("remote-user", b"alice"), ("remote-groups", b"")]
        ),
        Ok(Some(_))
    ));
}

#[test]
fn a_text_that_looks_like_several_groups_is_remembered_as_such() {
    for (groups, joined) in [
        (&b"dev|ops"[..], Some("dev|ops")),
        (b"x,dev;ops", Some("dev;ops")),
        (b"Domain Users", Some("Domain Users")),
        (b"[dev, ops]", Some("[dev, ops]")),
        (b"[EU] team,dev", None),
        (b"Domain Users,dev", None),
        (b"[\"a|b\"]", Some("a|b")),
        (b"dev, ops", None),
    ] {
        let identity = identified(&[("remote-user", b"alice"), ("remote-groups", groups)]);
        assert_eq!(identity.joined().map(Group::as_str), joined, "{groups:?}");
    }
}
