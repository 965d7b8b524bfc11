//! The write of a user, and what the ledger says before and after it.

use super::state::State;
use crate::{
    clock::Timestamp,
    cluster::{Account, CallError, NewPassword, SecurityApi, StoredAccount},
    ledger::Update,
    model::Generation,
};

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum WriteResult {
    /// The cluster has the user as it was written.
    Written,
    /// Nothing was sent: since the user was read, another replica has written them with a later
    /// login, of this generation.
    LaterLogin(Generation),
}

/// Writes the user over what was found. Before the request leaves the ledger has a pending write. A
/// success replaces it; on an error it stays, unless nothing can have been written. After
/// `not_after` no request leaves.
pub(super) async fn write(
    state: &State,
    cluster: &SecurityApi,
    account: &Account,
    found: Option<&StoredAccount>,
    update: &mut Update,
    password: &NewPassword,
    not_after: Timestamp,
) -> Result<WriteResult, CallError> {
    // From here on nobody may be answered on what was known before.
    state.ledger.begin_write(update, state.clock.now()).await;
    if let Some(generation) = update.later_login() {
        state.ledger.learn_generation(update.user(), generation);
        // Our mark is instead of what the other replica has stored.
        let _reported = state.ledger.forget(update.user());
        return Ok(WriteResult::LaterLogin(generation));
    }
    match cluster
        .write_user(account, found, password, Some(not_after))
        .await
    {
        Ok(()) if account.enabled => {
            state.ledger.record_written(update, state.clock.now());
            Ok(WriteResult::Written)
        }
        Ok(()) => {
            // The fingerprint does not say that the user is disabled. No request may be answered
            // on it, here or elsewhere.
            let _reported = state.ledger.forget(update.user());
            Ok(WriteResult::Written)
        }
        Err(error) => {
            if error.is_overtaken() {
                let _reported = state.ledger.forget(update.user());
            } else if error.may_take_effect() {
                state.uncertain.record(update.user(), state.clock.now());
            }
            Err(error)
        }
    }
}
