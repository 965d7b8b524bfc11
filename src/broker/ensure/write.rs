//! The write of a user, and what the ledger says before and after it.

use crate::{
    broker::{document::Document, error::BrokerError, state::State},
    cluster::{NewPassword, SecurityApi},
    ledger::Update,
};

/// Writes the user. Before the request leaves the ledger has a pending write. A success replaces
/// it; on an error it stays.
pub(super) async fn write(
    state: &State,
    cluster: &SecurityApi,
    document: &Document,
    update: &mut Update,
    password: &NewPassword,
) -> Result<(), BrokerError> {
    // From here on nobody may be answered on what was known before.
    state.ledger.begin_write(update, state.clock.now()).await;
    match cluster.write_user(&document.account, password).await {
        Ok(()) => {
            state.ledger.record_written(update, state.clock.now());
            Ok(())
        }
        Err(error) => {
            if error.may_take_effect() {
                let user = &document.target.user;
                state.uncertain.record(user, state.clock.now());
            }
            Err(BrokerError::of_admin_call(error))
        }
    }
}
