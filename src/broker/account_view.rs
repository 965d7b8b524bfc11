//! What an operator sees of the users of a cluster.

use super::{rotation::Period, state::State};
use crate::{
    clock::Timestamp,
    cluster::{Account, ListedUser, Marker, Origin},
    model::Username,
};

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

/// Between when and when the last request of a user came that elastauth answered. It follows from
/// the period that is noted in the account, so it is known to within a period.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Seen {
    /// Not before.
    pub(crate) from: Option<Timestamp>,
    /// And before; `None` while the period goes on.
    pub(crate) before: Option<Timestamp>,
}

/// One user.
#[derive(Debug)]
pub(crate) struct AccountView {
    pub(crate) name: Username,
    pub(crate) standing: Standing,
    pub(crate) seen: Seen,
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
        let now = state.clock.now();
        let seen = ours.map(|marker| seen(marker, state.period(&name), now));
        Self {
            standing,
            seen: seen.unwrap_or_default(),
            provider: marker.and_then(|marker| marker.provider.clone()),
            generation: marker.map_or(0, |marker| marker.generation.0),
            name,
        }
    }
}

/// Some users of a cluster.
#[derive(Debug)]
pub(crate) struct AccountPage {
    pub(crate) users: Vec<AccountView>,
    /// After whom the next page begins, where there is one.
    pub(crate) next: Option<String>,
}

/// A login of a period is given to nobody before it and to nobody after it. A parked user had none
/// of their period: they were parked because nobody had come until then.
fn seen(marker: &Marker, present: Period, now: Timestamp) -> Seen {
    let Some((began, ends)) = marker.epoch.and_then(|epoch| present.bounds_of(epoch)) else {
        return Seen::default();
    };
    if marker.parked {
        return Seen {
            from: None,
            before: Some(began),
        };
    }
    Seen {
        from: Some(began),
        before: Some(ends).filter(|ends| *ends <= now),
    }
}
