//! Who can ask in the demonstration: the directory of the login page that a gateway would have in
//! front.

use super::{clusters::GROUPS, listener::Lock as _};
use serde::Serialize;
use std::sync::Mutex;

/// Somebody who has signed in, as the gateway knows it.
#[derive(Clone, Serialize)]
pub(super) struct DirectoryUser {
    /// What goes into `Remote-User`.
    pub(super) login: &'static str,
    pub(super) name: &'static str,
    pub(super) email: &'static str,
    /// One line about them for the page.
    pub(super) about: &'static str,
    pub(super) groups: Vec<&'static str>,
}

/// Login, name, mail address, what they do, and the groups at the start.
const PEOPLE: [(&str, &str, &str, &str, &[&str]); 4] = [
    (
        "ada",
        "Ada Lovelace",
        "ada@example.org",
        "reads every dashboard",
        &["analysts"],
    ),
    (
        "grace",
        "Grace Hopper",
        "grace@example.org",
        "keeps the lights on",
        &["admins"],
    ),
    (
        "linus",
        "Linus Pauling",
        "linus@example.org",
        "is new here",
        &[],
    ),
    // A reserved name of the cluster: whoever signs up with it must not become it.
    (
        "elastic",
        "Eve",
        "eve@example.org",
        "wants a reserved name",
        &["admins"],
    ),
];

/// Everybody, and the groups that they have at the moment.
pub(super) struct Directory(Mutex<Vec<DirectoryUser>>);

impl Default for Directory {
    fn default() -> Self {
        let people = PEOPLE.map(|(login, name, email, about, groups)| DirectoryUser {
            login,
            name,
            email,
            about,
            groups: groups.to_vec(),
        });
        Self(Mutex::new(people.to_vec()))
    }
}

impl Directory {
    pub(super) fn all(&self) -> Vec<DirectoryUser> {
        self.0.held().clone()
    }

    pub(super) fn get(&self, login: &str) -> Option<DirectoryUser> {
        self.all().into_iter().find(|user| user.login == login)
    }

    /// Gives somebody these groups and no others; `None` where there is nobody of that login or a
    /// group is unknown.
    pub(super) fn set_groups(&self, login: &str, groups: &[&str]) -> Option<Vec<&'static str>> {
        let known = |group: &&str| {
            let mut names = GROUPS.iter().map(|known| known.name);
            names.find(|name| name == group)
        };
        let groups = groups.iter().map(known).collect::<Option<Vec<_>>>()?;
        let mut users = self.0.held();
        let user = users.iter_mut().find(|user| user.login == login)?;
        user.groups.clone_from(&groups);
        Some(groups)
    }
}
