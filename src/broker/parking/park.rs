//! The parking of one user, in seven numbered steps. Their order is that of an update, for the same
//! reasons: see `ensure::agree`.

use super::{due::is_due, report::Report};
use crate::{
    broker::{
        derive::{self, Password},
        error::BrokerError,
        places::{Class, WritePlaces},
        rewrite::Rewrite,
        rotation::Period,
        state::State,
        write::{WriteResult, write},
    },
    clock::Timestamp,
    cluster::{ListedUser, Marker, SecurityApi},
    keys::{CredentialKeys, Login, LoginKind},
    ledger::{Entry, Target},
    model::{Fingerprint, Generation, Username},
};
use std::sync::Arc;
use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Parker {
    state: Arc<State>,
    cluster: SecurityApi,
    writes: Arc<WritePlaces>,
    report: Arc<Report>,
}

impl Parker {
    pub(super) fn new(
        state: Arc<State>,
        cluster: SecurityApi,
        writes: Arc<WritePlaces>,
        report: Arc<Report>,
    ) -> Self {
        Self {
            state,
            cluster,
            writes,
            report,
        }
    }

    /// Runs while no update of the user does. Whether the user was parked: not if they have come
    /// back, if it is too late in the slot or the period, or if another replica was faster.
    pub(super) async fn park(&self, user: &ListedUser) -> Result<bool, BrokerError> {
        let (state, name) = (&self.state, &user.name);
        let period = state.period(name);
        let keys = state.credential_keys(period.key);

        // 1. Is there time, and has the user stayed away as far as is known here?
        if !self.is_time(name, period) || self.is_back(name, period) {
            return Ok(false);
        }

        // 2. Queue for a place to write behind all known users.
        let _place = self.writes.queue(Class::New, period.product).await?;

        // 3. Open an update in the ledger. From here on it notices what other replicas report. One
        //    that has confirmed or written the user in this period, or writes the user now, has the
        //    last word.
        let mut login = login_of(name, &user.marker, period.epoch);
        // What was revoked must not come back, even if a late write has brought it back.
        login.generation = login.generation.max(state.ledger.generation(name));
        let target = Target {
            user: name.clone(),
            fingerprint: fingerprint(keys, &login),
            generation: login.generation,
            epoch: period.epoch,
            key: period.key,
        };
        let mut update = state.ledger.begin_update(target).await;
        if update.is_known_in_period()
            || state
                .ledger
                .is_written_elsewhere(&update, state.clock.now())
        {
            return Ok(false);
        }
        if state.uncertain.affects(name, state.clock.now()) {
            update.keep_local();
        }

        // 4. Read the user by name: a listing and a read of several users are searches, which may
        //    be a second behind. Hash the password meanwhile, unless it follows from the roles that
        //    are found.
        let asked = Instant::now();
        let prepared = async {
            if period.product.binds_roles() {
                return None;
            }
            let password = Password::derive(keys, &login).to_write(keys, &login);
            Some(self.cluster.prepare(password).await)
        };
        let (read, prepared) = tokio::join!(self.cluster.read_user(name), prepared);

        // 5. Is the user still to be parked, and the one who was listed?
        let Some(found) = read.map_err(BrokerError::of_admin_call)? else {
            return Ok(false);
        };
        state
            .ledger
            .learn_generation(name, state.generation_in(&found.account));
        let is_same = found.account.origin.marker().map(owner) == Some(owner(&user.marker));
        if !is_same || !is_due(&found.account, period, &state.keys) {
            return Ok(false);
        }
        let Some(Rewrite {
            account, password, ..
        }) = Rewrite::new(
            state,
            name,
            &found.account,
            LoginKind::Parked,
            login.generation,
            period,
        )
        else {
            return Ok(false);
        };

        let password = match prepared {
            Some(prepared) => prepared,
            None => self.cluster.prepare(password).await,
        };

        // 6. Is there still time? Whoever has come back since the read is asked about again for a
        //    while only, and not after the slot.
        let slots = state.slots(period.product);
        if slots.is_none_or(|slots| asked.elapsed() > slots.read_to_write()) {
            return Err(BrokerError::Late);
        }
        let latest = slots.map_or(Timestamp(0), |slots| slots.closes(name, state.clock.now()));
        let latest = latest.min(state.latest_write(period));
        if !self.is_time(name, period)
            || state
                .ledger
                .is_written_elsewhere(&update, state.clock.now())
        {
            return Ok(false);
        }

        // 7. Write. The ledger knows of it before the request leaves.
        let over = Some(&found);
        let written = write(
            state,
            &self.cluster,
            &account,
            over,
            &mut update,
            &password,
            latest,
        )
        .await;
        let written = match written {
            // They are back, another replica was faster, or the write has waited past the slot.
            Err(error) if error.is_overtaken() => return Ok(false),
            written => written.map_err(BrokerError::of_admin_call)?,
        };
        if written != WriteResult::Written {
            return Ok(false);
        }
        self.report.parked(&account);
        Ok(true)
    }

    fn is_time(&self, user: &Username, period: Period) -> bool {
        let (state, now) = (&self.state, self.state.clock.now());
        let (slots, rotation) = (
            state.slots(period.product),
            state.rotations.of(period.product),
        );
        state.may_write(period)
            && slots.is_some_and(|slots| slots.may_park(rotation, user, period, now))
    }

    /// Whether this replica has seen the user in this period. A write that is pending here has
    /// failed, for no update of the user is running: it says nothing about whether they are back,
    /// and stays until their next request.
    fn is_back(&self, user: &Username, period: Period) -> bool {
        match self.state.ledger.recall(user, self.state.clock.now()) {
            None | Some(Entry::WritePending) => false,
            Some(Entry::Present { seen, .. }) => period.has_begun_at(seen),
        }
    }
}

/// The login that nobody is given. Who the user is follows from what was noted, as in the login
/// that the user had.
fn login_of<'a>(user: &'a Username, marker: &'a Marker, epoch: u64) -> Login<'a> {
    Login {
        kind: LoginKind::Parked,
        user,
        provider: marker.provider.as_deref().unwrap_or_default(),
        subject: marker.subject.as_deref().unwrap_or_default(),
        generation: marker.generation,
        epoch,
        roles: None,
    }
}

/// Whose login it is.
fn owner(marker: &Marker) -> (Option<&str>, Option<&str>, Generation) {
    let (provider, subject) = (marker.provider.as_deref(), marker.subject.as_deref());
    (provider, subject, marker.generation)
}

/// Of a login that no request asks for: no request has this fingerprint. What else the user has is
/// not known before they are read, the roles of a login that is bound to them among it.
fn fingerprint(keys: &CredentialKeys, login: &Login<'_>) -> Fingerprint {
    derive::fingerprint(keys, login, std::iter::empty::<&str>())
}
