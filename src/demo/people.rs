//! Who can ask in the demonstration: the directory of the login page that a gateway would have in
//! front.

use super::settings::MAPPINGS;
use serde::Serialize;
use std::sync::{Mutex, PoisonError};

/// Somebody who has signed in, as the gateway knows it.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Person {
    /// What goes into `Remote-User`.
    pub(super) login: &'static str,
    pub(super) name: &'static str,
    pub(super) email: &'static str,
    /// One line about them for the page.
    pub(super) about: &'static str,
    pub(super) groups: Vec<&'static str>,
}

/// Everybody, and the groups that they have at the moment.
#[derive(Debug)]
pub(super) struct Directory(Mutex<Vec<Person>>);

impl Default for Directory {
    fn default() -> Self {
        Self(Mutex::new(vec![
            Person {
                login: "ada",
                name: "Ada Lovelace",
                email: "ada@example.org",
                about: "reads every dashboard",
                groups: vec!["analysts"],
            },
            Person {
                login: "grace",
                name: "Grace Hopper",
                email: "grace@example.org",
                about: "keeps the lights on",
                groups: vec!["admins"],
            },
            Person {
                login: "linus",
                name: "Linus Pauling",
                email: "linus@example.org",
                about: "is new here",
                groups: vec![],
            },
            // A reserved name of the cluster: whoever signs up with it must not become it.
            Person {
                login: "elastic",
                name: "Eve",
                email: "eve@example.org",
                about: "wants a reserved name",
                groups: vec!["admins"],
            },
        ]))
    }
}

impl Directory {
    pub(super) fn all(&self) -> Vec<Person> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    pub(super) fn get(&self, login: &str) -> Option<Person> {
        self.all().into_iter().find(|person| person.login == login)
    }

    /// Gives somebody these groups and no others; `None` where there is nobody of that login or a
    /// group is unknown.
    pub(super) fn set_groups(&self, login: &str, groups: &[&str]) -> Option<Person> {
        let known = |group: &&str| {
            MAPPINGS
                .iter()
                .find(|(known, _)| known == group)
                .map(|(known, _)| *known)
        };
        let groups: Option<Vec<&'static str>> = groups.iter().map(known).collect();
        let mut people = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let person = people.iter_mut().find(|person| person.login == login)?;
        person.groups = groups?;
        Some(person.clone())
    }
}
