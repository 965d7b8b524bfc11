//! What the providers have in common: an identity, and the provider that vouches for it.

use crate::{
    clock::Timestamp,
    model::{Group, Username},
    telemetry::metrics,
};
use std::{fmt, sync::Arc};

/// A user for whom a provider vouches. Only a provider makes it, so its holder may rely on it.
/// Clones share it: every request with a remembered token gets one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(Arc<(Attributes, Provider, Statement)>);

/// What is known of a person.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Attributes {
    pub(super) user: Username,
    pub(super) groups: Vec<Group>,
    /// A text among the groups that looks like several.
    pub(super) joined: Option<Group>,
    pub(super) email: Option<Box<str>>,
    pub(super) full_name: Option<Box<str>>,
    pub(super) notes: Vec<Note>,
}

/// What was odd in a credential and refused nobody. Operators are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Note {
    /// It was not UTF-8 as it is.
    #[error("the {0} was Latin-1 or an encoded word (RFC 2047) and was decoded")]
    Decoded(Field),
    /// It could not be read.
    #[error("the {0} is in a form that cannot be read, and was left empty")]
    LeftEmpty(Field),
}

/// Of when a provider's statement about a user is, and of which session.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Statement {
    /// By the provider's clock.
    pub(super) issued_at: Option<Timestamp>,
    /// By ours, and never later than the time at which it was judged: a time in the future would
    /// outdate what is said until then.
    pub(super) as_of: Option<Timestamp>,
    pub(super) subject: Option<Box<str>>,
    pub(super) session: Option<Box<str>>,
}

/// A provider, as logs, the audit stream, metrics and role rules name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Provider {
    kind: metrics::ProviderLabel,
    name: Arc<str>,
}

impl Provider {
    /// The name of identity headers. No identity provider may have it.
    pub const HEADERS: &str = "authelia";

    pub(super) fn headers() -> Self {
        Self {
            kind: metrics::ProviderLabel::Authelia,
            name: Self::HEADERS.into(),
        }
    }

    pub(super) fn oidc(name: Arc<str>) -> Self {
        let kind = metrics::ProviderLabel::Oidc;
        Self { kind, name }
    }

    /// The operator's name for it.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The kind of provider, as metrics and traces name it.
    #[must_use]
    pub fn kind(&self) -> metrics::ProviderLabel {
        self.kind
    }
}

impl Identity {
    pub(super) fn new(user: Attributes, by: Provider, statement: Statement) -> Self {
        Self(Arc::new((user, by, statement)))
    }

    /// An identity as a token makes it, for tests of the modules above.
    #[cfg(test)]
    pub(crate) fn of_provider(provider: &str, user: &str, groups: &[&str]) -> Self {
        Self::of_statement(provider, user, groups, Statement::default())
    }

    /// The same, of a token that was issued then.
    #[cfg(test)]
    pub(crate) fn of_provider_at(
        provider: &str,
        user: &str,
        groups: &[&str],
        issued_at: Option<Timestamp>,
    ) -> Self {
        let statement = Statement {
            as_of: issued_at,
            issued_at,
            ..Statement::default()
        };
        Self::of_statement(provider, user, groups, statement)
    }

    /// The same, of this subject and without groups.
    #[cfg(test)]
    pub(crate) fn of_subject_at(
        provider: &str,
        user: &str,
        subject: &str,
        issued_at: Option<Timestamp>,
    ) -> Self {
        let statement = Statement {
            as_of: issued_at,
            issued_at,
            subject: Some(subject.into()),
            ..Statement::default()
        };
        Self::of_statement(provider, user, &[], statement)
    }

    #[cfg(test)]
    fn of_statement(provider: &str, user: &str, groups: &[&str], statement: Statement) -> Self {
        let person = Attributes {
            user: Username::parse(user).unwrap(),
            groups: groups
                .iter()
                .filter_map(|name| Group::parse(name))
                .collect(),
            joined: None,
            email: None,
            full_name: None,
            notes: Vec::new(),
        };
        Self::new(person, Provider::oidc(provider.into()), statement)
    }

    /// Whose login is asked for.
    #[must_use]
    pub fn user(&self) -> &Username {
        &self.0.0.user
    }

    /// The groups, sorted and without repetitions.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.0.0.groups
    }

    /// A text among the groups that looks like several in one.
    #[must_use]
    pub(crate) fn joined(&self) -> Option<&Group> {
        self.0.0.joined.as_ref()
    }

    /// What was odd in the credential.
    #[must_use]
    pub(crate) fn notes(&self) -> &[Note] {
        &self.0.0.notes
    }

    /// The mail address, never empty.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.0.0.email.as_deref()
    }

    /// The name for people, never empty.
    #[must_use]
    pub fn full_name(&self) -> Option<&str> {
        self.0.0.full_name.as_deref()
    }

    /// Who vouches.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.0.1
    }

    #[cfg(test)]
    pub(crate) fn issued_at(&self) -> Option<Timestamp> {
        self.0.2.issued_at
    }

    /// From when this statement about the user is: the time of the token, or of the question where
    /// the provider itself was asked. The later of two statements counts. Identity headers do not
    /// say.
    #[must_use]
    pub fn as_of(&self) -> Option<Timestamp> {
        self.0.2.as_of
    }

    /// The provider's own name for the user (`sub`): never reused, unlike a user name.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.2.subject.as_deref()
    }

    /// What it costs in memory, as a common allocator rounds it.
    pub(super) fn bytes(&self) -> usize {
        let (user, _, statement) = &*self.0;
        let texts = [
            Some(user.user.as_str()),
            user.email.as_deref(),
            user.full_name.as_deref(),
            statement.subject.as_deref(),
            statement.session.as_deref(),
        ];
        let shared = allocated(size_of::<(Attributes, Provider, Statement)>() + 16);
        let list = allocated(user.groups.len() * size_of::<Group>());
        let groups = user.groups.iter().chain(&user.joined).map(Group::as_str);
        let texts = texts.into_iter().flatten().chain(groups);
        shared + list + texts.map(|text| allocated(text.len())).sum::<usize>()
    }

    pub(super) fn statement(&self) -> &Statement {
        &self.0.2
    }
}

/// An allocation with its own head, in steps of 16 bytes.
fn allocated(bytes: usize) -> usize {
    if bytes == 0 {
        0
    } else {
        (bytes + 8).next_multiple_of(16).max(32)
    }
}

/// The part of an identity that an error is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Field {
    User,
    Groups,
    Email,
    FullName,
}

impl fmt::Display for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Groups => "groups",
            Self::Email => "email",
            Self::FullName => "name",
        })
    }
}
