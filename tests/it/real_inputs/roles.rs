//! Roles by user names, and roles whose names are made of groups.

use super::{
    program::{self, Program},
    row::{
        Answer::{Refused, Roles},
        Row,
        Sent::Headers,
        Table,
    },
};
use crate::support::until;

pub(super) const TABLES: &[&Table] = &[&ROLES];

const TEAMS: &[&str] = &["group_mappings: {\"team-*\": [\"kibana-{1}\"], dev: [editor]}"];
const USERS: &[&str] =
    &["user_mappings: {alice: [editor], \"svc-*\": [\"service-{1}\"], \"*@x.test\": [viewer]}"];
const ANY: &[&str] = &["group_mappings: {\"*\": [\"{1}\"]}"];
const ALLOWED: &[&str] = &[
    "user_mappings: {alice: [editor]}",
    "allowed_groups: [staff]",
];

const ROLES: Table = Table {
    title: "Roles",
    about: "`{1}` in the name of a role is what the first `*` of the entry stands for. Case counts for \
            users, not for groups.",
    section: "",
    test: "real_inputs::roles::mappings_give_roles",
    rows: &[
        groups(
            TEAMS,
            &[("remote-groups", b"team-a,Team-B,dev")],
            &["editor", "kibana-B", "kibana-a"],
        ),
        none(TEAMS, &[("remote-groups", b"team-")]),
        none(TEAMS, &[("remote-groups", b"team-a b")]),
        none(TEAMS, &[("remote-groups", "team-\u{e9}".as_bytes())]),
        groups(TEAMS, &[("remote-groups", b"team-a/b,dev")], &["editor"]),
        groups(
            ANY,
            &[("remote-groups", b"superuser,_x,viewer")],
            &["viewer"],
        ),
        groups(USERS, &[("remote-user", b"alice")], &["editor"]),
        none(USERS, &[("remote-user", b"Alice")]),
        groups(
            USERS,
            &[("remote-user", b"svc-backup")],
            &["service-backup"],
        ),
        groups(USERS, &[("remote-user", b"bob@x.test")], &["viewer"]),
        Row {
            set: ALLOWED,
            sent: Headers(&[("remote-user", b"alice"), ("remote-groups", b"guests")]),
            answer: Refused(403, "user_not_allowed", "`allowed_groups`"),
        },
        groups(
            ALLOWED,
            &[("remote-user", b"alice"), ("remote-groups", b"staff")],
            &["editor"],
        ),
    ],
};

const fn groups(
    set: &'static [&'static str],
    headers: &'static [(&'static str, &'static [u8])],
    roles: &'static [&'static str],
) -> Row {
    Row {
        set,
        sent: Headers(headers),
        answer: Roles(roles),
    }
}

const fn none(
    set: &'static [&'static str],
    headers: &'static [(&'static str, &'static [u8])],
) -> Row {
    Row {
        set,
        sent: Headers(headers),
        answer: Refused(403, "user_not_allowed", "gives this user a role"),
    }
}

#[tokio::test]
async fn mappings_of_users_change_without_a_restart() {
    let program = Program::with("", &["user_mappings: {alice: [viewer]}"]).await;
    let elastauth = &program.elastauth;
    let alice = [("remote-user", "alice")];
    let status = async || elastauth.server().get("/elastauth", &alice).await.status;
    assert_eq!(status().await, 200);
    assert_eq!(program.cluster.user("alice").unwrap().roles, ["viewer"]);
    let change = |from: &'static str, to: &'static str| {
        elastauth.edit(move |config| config.replace(from, to));
        elastauth.hang_up();
    };
    change(
        "{alice: [viewer]}",
        "{alice: [editor], \"b*\": [\"of-{1}\"]}",
    );
    until("the new mappings", || {
        elastauth.log().contains("has changed and is in force")
    })
    .await;
    assert_eq!(status().await, 200);
    assert_eq!(program.cluster.user("alice").unwrap().roles, ["editor"]);
    // A name that becomes an administrator's waits, as a group does.
    change("{alice: [editor]", "{alice: [superuser]");
    until("the warning", || {
        elastauth
            .log()
            .contains("would become administrators of the cluster")
    })
    .await;
    assert_eq!(status().await, 200);
    assert_eq!(program.cluster.user("alice").unwrap().roles, ["editor"]);
}

#[tokio::test]
async fn mappings_give_roles() {
    program::hold(&ROLES).await;
}
