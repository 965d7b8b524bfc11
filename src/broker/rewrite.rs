//! An account as it was found, with another login: for what is done to a user without a request of
//! theirs.

use super::{
    derive::{self, Password},
    rotation::Period,
    state::State,
};
use crate::{
    cluster::{Account, Marker, NewPassword, Origin},
    keys::{Login, LoginKind, RolesDigest},
    ledger::Target,
    model::{Generation, Username},
};
use std::collections::BTreeSet;

/// What is written instead of what was found.
#[derive(Debug)]
pub(super) struct Rewrite {
    pub(super) account: Account,
    /// What an update of the ledger is about with it.
    pub(super) target: Target,
    pub(super) password: NewPassword,
}

impl Rewrite {
    /// The account with this login of the period; `None` where elastauth has not written it.
    ///
    /// The next request of the same person has the same fingerprint, unless the login is a parked
    /// one or somebody has edited the account: then that request writes the user again.
    pub(super) fn new(
        state: &State,
        user: &Username,
        found: &Account,
        kind: LoginKind,
        generation: Generation,
        period: Period,
    ) -> Option<Self> {
        let marker = found.origin.marker()?;
        // The cluster keeps duplicates and any order.
        let roles: BTreeSet<&str> = found.roles.iter().map(String::as_str).collect();
        let bound = || RolesDigest::of(roles.iter());
        let login = Login {
            kind,
            user,
            provider: marker.provider.as_deref().unwrap_or_default(),
            subject: marker.subject.as_deref().unwrap_or_default(),
            generation,
            epoch: period.epoch,
            roles: period.product.binds_roles().then(bound),
        };
        let keys = state.credential_keys(period.key);
        let seen = state.last_seen.of(period.product);
        let seen = seen.note_of_rewrite(marker.seen, kind, period, state.clock.now());
        let fingerprint = derive::fingerprint(keys, &login, roles.into_iter());
        let marker = Marker {
            fingerprint: Some(fingerprint.to_string()),
            epoch: Some(period.epoch),
            key_id: Some(keys.id.to_string()),
            generation,
            parked: kind == LoginKind::Parked,
            seen,
            ..marker.clone()
        };
        Some(Self {
            account: Account {
                origin: Origin::Elastauth(marker),
                ..found.clone()
            },
            target: Target {
                user: user.clone(),
                fingerprint,
                generation,
                epoch: period.epoch,
                key: period.key,
            },
            password: Password::derive(keys, &login).to_write(keys, &login),
        })
    }
}
