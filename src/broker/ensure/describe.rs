//! The write of names, mail and groups where login and roles are right, and of the note that the
//! user was seen.
//!
//! It follows the same order as an update: a place is queued for and the password is hashed before
//! the user is read, and the ledger has a pending write before the request leaves. A failure
//! refuses nobody: the next request finds login and roles as they should be.

use super::{
    agree::Attempt,
    confirm,
    types::{AttemptResult, Reason},
};
use crate::{
    broker::{
        document::{Differences, Document},
        error::BrokerError,
        places::Class,
        rotation::Period,
        state::State,
        write::write,
    },
    cluster::{Account, Marker, Origin},
};

impl Attempt {
    pub(super) async fn describe(&self, document: &Document, period: Period) {
        match self.describe_steps(document, period).await {
            Ok(None) => {}
            Ok(Some((reason, differed))) => {
                let written = Ok(AttemptResult::Written(reason, differed));
                self.report.ended(document, &written);
            }
            Err(error) => self.report.write_failed(document, &error),
        }
    }

    /// Why the user was written, and what differed; if they were.
    async fn describe_steps(
        &self,
        document: &Document,
        period: Period,
    ) -> Result<Option<(Reason, Differences)>, BrokerError> {
        let state = &self.state;
        let _place = self.writes.queue(Class::Known, period.product).await?;
        let (keys, login) = (state.credential_keys(document.target.key), document.login());
        let password = state.password(&login, document.target.key);
        let password = self.cluster.prepare(password.to_write(keys, &login)).await;
        let mut update = confirm::begin(state, document).await;
        if update.higher_generation().is_some()
            || state
                .ledger
                .is_written_elsewhere(&update, state.clock.now())
        {
            return Ok(None);
        }
        let (found, verdict) = self.look.read(document, false).await?;
        verdict?;
        let Some(found) = found.filter(|found| document.agrees(found)) else {
            return Ok(None);
        };
        let described = described(state, document, &found.account, period);
        let Some((account, reason, differed)) = described else {
            return Ok(None);
        };
        if !state.may_write(period) {
            return Ok(None);
        }
        let (over, latest) = (Some(&found), state.latest_write(period));
        match write(
            state,
            &self.cluster,
            &account,
            over,
            &mut update,
            &password,
            latest,
        )
        .await
        {
            Err(error) if error.is_overtaken() => return Ok(None),
            written => written.map_err(BrokerError::of_admin_call)?,
        };
        Ok(Some((reason, differed)))
    }
}

/// What is to be written over the user that was found, if anything is. An older token says nothing
/// about names and groups, and yet its user was seen.
fn described(
    state: &State,
    document: &Document,
    found: &Account,
    period: Period,
) -> Option<(Account, Reason, Differences)> {
    if !document.describes(found) && !document.is_older_than(found) {
        let differed = document.differences(found);
        return Some((document.account.clone(), Reason::Described, differed));
    }
    let theirs = found.origin.marker()?;
    let last_seen = state.last_seen.of(period.product);
    if !last_seen.is_due(theirs.seen, state.clock.now()) {
        return None;
    }
    let marker = Marker {
        seen: document.account.origin.marker()?.seen,
        ..theirs.clone()
    };
    let account = Account {
        origin: Origin::Elastauth(marker),
        ..found.clone()
    };
    Some((account, Reason::Seen, Differences::default()))
}
