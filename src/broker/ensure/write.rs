//! The write of a user, and what the ledger says before and after it.

use crate::{
    broker::{
        config::HashMode,
        derive::{Hash, Password},
        document::Document,
        error::BrokerError,
        state::State,
    },
    cluster::{self, CallError, Fate, SecurityApi},
    ledger::Update,
};
use http::StatusCode;
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::task::spawn_blocking;
use tracing::warn;
use zeroize::Zeroizing;

#[derive(Debug)]
pub(super) struct Writer {
    cluster: SecurityApi,
    state: Arc<State>,
    /// Whether passwords are sent as a cheap hash. Set to false for good by a cluster that refuses
    /// the hash and takes the password.
    hashed: AtomicBool,
}

impl Writer {
    pub(super) fn new(cluster: SecurityApi, state: Arc<State>, hash: HashMode) -> Self {
        Self {
            cluster,
            state,
            hashed: AtomicBool::new(hash == HashMode::Auto),
        }
    }

    /// The hash of the password, for a write that is to be expected. It is computed on a thread
    /// that answers no requests. `None` if the cluster gets the password itself.
    pub(super) async fn hash(
        &self,
        document: &Document,
        password: &Password,
    ) -> Option<Zeroizing<String>> {
        if !self.hashed.load(Ordering::Relaxed) {
            return None;
        }
        let hash = self.pending_hash(document, password);
        spawn_blocking(move || hash.worked_out()).await.ok()
    }

    fn pending_hash(&self, document: &Document, password: &Password) -> Hash {
        Hash::new(
            &self.state.keys.of(document.key()).credentials,
            document.identity().user(),
            document.epoch(),
            password,
        )
    }

    /// Writes the user. The ledger says that a write is pending before the request leaves, and what
    /// became of it afterwards.
    pub(super) async fn write(
        &self,
        document: &Document,
        update: &mut Update,
        password: &Password,
        hash: Option<Zeroizing<String>>,
    ) -> Result<(), BrokerError> {
        let state = &self.state;
        // From here on nobody may be answered on what was known before.
        state.ledger.begin_write(update, state.clock.now()).await;
        match self.send(document, password, hash).await {
            Ok(()) => {
                state.ledger.written(update, state.clock.now());
                Ok(())
            }
            Err(error) => {
                if error.fate() == Fate::Unknown {
                    let user = document.identity().user();
                    state.uncertain.record(user, state.clock.now());
                }
                Err(BrokerError::of_admin_call("writing the user", error))
            }
        }
    }

    /// Sends the hash, and the password in clear if the cluster refuses the hash.
    async fn send(
        &self,
        document: &Document,
        password: &Password,
        hash: Option<Zeroizing<String>>,
    ) -> Result<(), CallError> {
        let user = document.identity().user();
        let in_clear = document.body(cluster::Password::Clear(password.expose()));
        if !self.hashed.load(Ordering::Relaxed) {
            return self.cluster.write_user(user, &in_clear).await;
        }
        let hash = hash.unwrap_or_else(|| self.pending_hash(document, password).worked_out());
        let as_hash = document.body(cluster::Password::Hash(&hash));
        let outcome = self.cluster.write_user(user, &as_hash).await;
        if !outcome.as_ref().is_err_and(refuses_the_hash) || !self.hashed.load(Ordering::Relaxed) {
            return outcome;
        }
        self.cluster.write_user(user, &in_clear).await?;
        if self.hashed.swap(false, Ordering::Relaxed) {
            warn!(
                "the cluster refuses hashed passwords; from now on it gets the password itself and \
                 hashes it, which makes first logins slow"
            );
        }
        Ok(())
    }
}

/// Whether a cluster that answers so may take the same user with the password in clear. Older
/// versions call it a validation error.
fn refuses_the_hash(error: &CallError) -> bool {
    error.status() == Some(StatusCode::BAD_REQUEST)
        && matches!(
            error.error_type(),
            Some("illegal_argument_exception" | "validation_exception" | "parse_exception")
        )
}
