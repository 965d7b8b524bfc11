//! What an operator sees of the users of a cluster.

use super::state::State;
use crate::{
    clock::{Day, Days},
    cluster::{Account, ListedUser, Marker, Origin},
    model::Username,
};
use std::time::Duration;

/// How a user can log in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// With the login that elastauth gives.
    Active,
    /// They have stayed away; their next request gets a login.
    Parked,
    Disabled,
    /// Another deployment has written them, or this one with a key that it has no more.
    OtherKey,
    /// Somebody else has written them.
    Foreign,
}

impl Standing {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Parked => "parked",
            Self::Disabled => "disabled",
            Self::OtherKey => "other_key",
            Self::Foreign => "foreign",
        }
    }
}

/// One user.
#[derive(Debug)]
pub(crate) struct AccountView {
    pub(crate) name: Username,
    pub(crate) standing: Standing,
    /// Between which days the last request of theirs came that elastauth answered; `None` where
    /// nothing is noted.
    pub(crate) seen: Option<Days>,
    /// Whether that is over.
    is_over: bool,
    pub(crate) provider: Option<String>,
    pub(crate) generation: u32,
}

impl AccountView {
    pub(super) fn of_listed(state: &State, user: ListedUser) -> Self {
        let ListedUser {
            name,
            marker,
            enabled,
        } = user;
        Self::new(state, name, Some(&marker), enabled)
    }

    pub(super) fn of_account(state: &State, name: &Username, account: &Account) -> Self {
        let marker = match &account.origin {
            Origin::Elastauth(marker) => Some(marker),
            Origin::ElastauthGo | Origin::BuiltIn | Origin::Other => None,
        };
        Self::new(state, name.clone(), marker, account.enabled)
    }

    fn new(state: &State, name: Username, marker: Option<&Marker>, enabled: bool) -> Self {
        let is_known = |marker: &Marker| {
            let id = marker.key_id.as_deref();
            id.is_none_or(|id| state.keys.knows(id))
        };
        let standing = match marker {
            None => Standing::Foreign,
            Some(marker) if !is_known(marker) => Standing::OtherKey,
            Some(_) if !enabled => Standing::Disabled,
            Some(marker) if marker.parked => Standing::Parked,
            Some(_) => Standing::Active,
        };
        let ours = marker.filter(|marker| is_known(marker));
        let seen = ours.and_then(|marker| marker.seen);
        Self {
            standing,
            is_over: seen.is_some_and(|days| days.are_over_for(Duration::ZERO, state.clock.now())),
            seen,
            provider: marker.and_then(|marker| marker.provider.clone()),
            generation: marker.map_or(0, |marker| marker.generation.0),
            name,
        }
    }

    /// On this day or later.
    pub(crate) fn seen_from(&self) -> Option<Day> {
        self.seen?.from
    }

    /// And before this day; `None` while they may be seen without a note of it.
    pub(crate) fn seen_before(&self) -> Option<Day> {
        self.seen.filter(|_| self.is_over).map(|days| days.before)
    }
}

/// Some users of a cluster.
#[derive(Debug)]
pub(crate) struct AccountPage {
    pub(crate) users: Vec<AccountView>,
    /// After whom the next page begins, where there is one.
    pub(crate) next: Option<String>,
}
