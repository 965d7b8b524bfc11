//! The write of names, mail and groups where login and roles are right.
//!
//! It follows the same order as an update: a place is queued for and the password is hashed before
//! the user is read, and the ledger has a pending write before the request leaves. A failure
//! refuses nobody: the next request finds login and roles as they should be.

use super::{
    agree::Attempt,
    confirm,
    types::{AttemptResult, Reason},
};
use crate::broker::{
    document::{Differences, Document},
    error::BrokerError,
    places::Class,
    rotation::Period,
    write::write,
};

impl Attempt {
    pub(super) async fn describe(&self, document: &Document, period: Period) {
        match self.describe_steps(document, period).await {
            Ok(None) => {}
            Ok(Some(differed)) => {
                let written = Ok(AttemptResult::Written(Reason::Described, differed));
                self.report.ended(document, &written);
            }
            Err(error) => self.report.write_failed(document, &error),
        }
    }

    /// What was written, if anything was.
    async fn describe_steps(
        &self,
        document: &Document,
        period: Period,
    ) -> Result<Option<Differences>, BrokerError> {
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
        let found = found.filter(|found| {
            document.agrees(found)
                && !document.describes(&found.account)
                && !document.is_older_than(&found.account)
        });
        let Some(found) = found else {
            return Ok(None);
        };
        if !state.may_write(period) {
            return Ok(None);
        }
        let account = &document.account;
        let (over, latest) = (Some(&found), state.latest_write(period));
        match write(
            state,
            &self.cluster,
            account,
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
        Ok(Some(document.differences(&found.account)))
    }
}
