//! The write of a user, and what the ledger says before and after it.

use crate::{
    broker::{document::Document, error::BrokerError, state::State},
    cluster::{NewPassword, SecurityApi, WriteOutcome},
    ledger::Update,
};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct Writer {
    cluster: SecurityApi,
    state: Arc<State>,
}

impl Writer {
    pub(super) fn new(cluster: SecurityApi, state: Arc<State>) -> Self {
        Self { cluster, state }
    }

    /// The password with its hash, for a write that is to be expected.
    pub(super) async fn prepare(&self, password: NewPassword) -> NewPassword {
        self.cluster.prepare(password).await
    }

    /// Writes the user. The ledger says that a write is pending before the request leaves, and what
    /// became of it afterwards.
    pub(super) async fn write(
        &self,
        document: &Document,
        update: &mut Update,
        password: &NewPassword,
    ) -> Result<(), BrokerError> {
        let state = &self.state;
        // From here on nobody may be answered on what was known before.
        state.ledger.begin_write(update, state.clock.now()).await;
        match self.cluster.write_user(document.account(), password).await {
            Ok(()) => {
                state.ledger.written(update, state.clock.now());
                Ok(())
            }
            Err(error) => {
                if error.write_outcome() == WriteOutcome::Unknown {
                    let user = document.identity().user();
                    state.uncertain.record(user, state.clock.now());
                }
                Err(BrokerError::of_admin_call(error))
            }
        }
    }
}
