//! Identity headers.

use super::{
    program,
    row::{
        Answer::{Person, Refused, User},
        Row,
        Sent::{Groups, Headers},
        Table,
    },
};

pub(super) const TABLES: &[&Table] = &[&GROUPS, &NOBODY, &PEOPLE];

const PIPE: &[&str] = &["groups_separator: \"|\""];
const SEMICOLON: &[&str] = &["groups_separator: \";\""];
const SPACE: &[&str] = &["groups_separator: space"];

const GROUPS: Table = Table {
    title: "Headers: groups",
    about: "A comma separates groups unless `authelia.groups_separator` says otherwise.",
    section: "authelia",
    test: "real_inputs::headers::groups_come_in_many_forms",
    rows: &[
        groups(&[], b"dev,ops", &["dev", "ops"]),
        groups(&[], b"dev, ops , ", &["dev", "ops"]),
        groups(&[], b"", &[]),
        groups(&[], b"Domain Users,dev", &["Domain Users", "dev"]),
        // Vouch.
        groups(&[], b"\"dev\",\"a, b\"", &["a, b", "dev"]),
        groups(&[], br#""say \"hi\"",dev"#, &["dev", "say \"hi\""]),
        groups(&[], b"\"dev,ops", &["\"dev", "ops"]),
        groups(&[], br#"["dev", "a,b"]"#, &["a,b", "dev"]),
        groups(&[], b"[]", &[]),
        groups(&[], b"[dev, ops]", &["[dev", "ops]"]),
        groups(
            &[],
            br#"["dev", {"name": "ops"}]"#,
            &["[\"dev\"", "{\"name\": \"ops\"}]"],
        ),
        groups(&[], b"(null)", &[]),
        groups(&[], b"dev|ops", &["dev|ops"]),
        // authentik.
        groups(
            PIPE,
            b"dev|Domain Users|a,b",
            &["Domain Users", "a,b", "dev"],
        ),
        groups(PIPE, b"\"a|b\"|dev", &["a|b", "dev"]),
        groups(SEMICOLON, b"dev; ops", &["dev", "ops"]),
        groups(SPACE, b"dev  ops", &["dev", "ops"]),
        groups(SPACE, b"\"Domain Users\" dev", &["Domain Users", "dev"]),
        Row {
            set: &[],
            sent: Headers(&[("remote-groups", b"\xe9quipe")]),
            answer: Refused(400, "malformed_identity", "the groups header is not UTF-8"),
        },
    ],
};

const fn groups(
    set: &'static [&'static str],
    value: &'static [u8],
    groups: &'static [&'static str],
) -> Row {
    Row {
        set,
        sent: Groups(value),
        answer: User("", groups),
    }
}

const NOBODY: Table = Table {
    title: "Headers: nobody",
    about: "What gateways and programs send where nobody is signed in, in any case. The next provider \
            of `auth_provider` is asked.",
    section: "authelia",
    test: "real_inputs::headers::nobody_is_nobody",
    rows: &[
        nobody(&[("remote-user", b"")]),
        nobody(&[("remote-user", b"(null)")]),
        nobody(&[("remote-user", b"-")]),
        nobody(&[("remote-user", b"null")]),
        nobody(&[("remote-user", b"undefined")]),
        nobody(&[("remote-user", b"<nil>")]),
        nobody(&[("remote-user", b"None")]),
        nobody(&[("remote-user", b"NONE")]),
        nobody(&[("remote-user", b"anonymous")]),
        nobody(&[("remote-user", b"<no value>")]),
        nobody(&[("remote-user", b"[object Object]")]),
        nobody(&[("remote-user", b"{http.auth.user.id}")]),
        nobody(&[("remote-user", b"${REMOTE_USER}")]),
        nobody(&[("remote-user", b"%{REMOTE_USER}e")]),
        user(&[("remote-user", b"nulla")], "nulla"),
        user(&[("remote-user", b"a-b")], "a-b"),
    ],
};

const fn nobody(headers: &'static [(&'static str, &'static [u8])]) -> Row {
    Row {
        set: &[],
        sent: Headers(headers),
        answer: Refused(401, "not_authenticated", ""),
    }
}

const fn user(headers: &'static [(&'static str, &'static [u8])], name: &'static str) -> Row {
    Row {
        set: &[],
        sent: Headers(headers),
        answer: User(name, &[]),
    }
}

const PEOPLE: Table = Table {
    title: "Headers: names and mail addresses",
    about: "Nothing is decided by them, so none refuses its owner. What cannot be read is left empty.",
    section: "authelia",
    test: "real_inputs::headers::names_and_mail_addresses_shut_nobody_out",
    rows: &[
        person(&[("remote-name", "Zo\u{eb}".as_bytes())], "", "Zo\u{eb}"),
        person(&[("remote-name", b"Zo\xeb")], "", "Zo\u{eb}"),
        person(&[("remote-name", b"\x80\x81")], "", ""),
        person(&[("remote-name", b"=?utf-8?B?Wm/Dqw==?=")], "", "Zo\u{eb}"),
        person(
            &[("remote-name", b"=?iso-8859-1?Q?Zo=EB_Doe?=")],
            "",
            "Zo\u{eb} Doe",
        ),
        person(
            &[("remote-name", b"=?utf-8?Q?Zo=C3=AB?= =?utf-8?Q?_Doe?=")],
            "",
            "Zo\u{eb} Doe",
        ),
        person(&[("remote-name", b"=?koi8-r?B?8g==?=")], "", ""),
        person(&[("remote-name", b"=?utf-8?Q?a=0D=0Ab?=")], "", ""),
        person(
            &[("remote-email", b"zo\xeb@example.org")],
            "zo\u{eb}@example.org",
            "",
        ),
        person(
            &[("remote-email", b"(null)"), ("remote-name", b"null")],
            "",
            "",
        ),
    ],
};

const fn person(
    headers: &'static [(&'static str, &'static [u8])],
    email: &'static str,
    name: &'static str,
) -> Row {
    Row {
        set: &[],
        sent: Headers(headers),
        answer: Person(email, name),
    }
}

#[tokio::test]
async fn groups_come_in_many_forms() {
    program::hold(&GROUPS).await;
}

#[tokio::test]
async fn nobody_is_nobody() {
    program::hold(&NOBODY).await;
}

#[tokio::test]
async fn names_and_mail_addresses_shut_nobody_out() {
    program::hold(&PEOPLE).await;
}
