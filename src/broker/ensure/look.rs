//! What the cluster says about a user. Nothing here writes.

use super::{
    judge::judge,
    types::{Login, Reason},
};
use crate::{
    broker::{
        config::Adopt,
        derive::Password,
        document::{Document, groups_of},
        error::BrokerError,
        state::State,
    },
    cluster::{SecurityApi, User, Whoami},
};
use std::sync::Arc;

const LOG_IN: &str = "asking the cluster as the user";

#[derive(Debug, Clone)]
pub(super) struct Look {
    cluster: SecurityApi,
    state: Arc<State>,
    adopt: Adopt,
}

impl Look {
    pub(super) fn new(cluster: SecurityApi, state: Arc<State>, adopt: Adopt) -> Self {
        Self {
            cluster,
            state,
            adopt,
        }
    }

    /// Asks as the user whether the login works and what the user is.
    pub(super) async fn log_in(
        &self,
        document: &Document,
        password: &Password,
    ) -> Result<Login, BrokerError> {
        let authorization = password.authorization(document.identity().user());
        let answer = self.cluster.authenticate(&authorization).await;
        let answer = answer.map_err(|error| BrokerError::of_call(LOG_IN, error))?;
        Ok(login(answer, document))
    }

    /// Whether a user whose login one node has just refused is as it should be all the same: read
    /// as such, and accepted by another node.
    pub(super) async fn agrees_elsewhere(
        &self,
        document: &Document,
        password: &Password,
        found: Option<&User>,
    ) -> Result<bool, BrokerError> {
        if !found.is_some_and(|found| document.stands_as(found)) {
            return Ok(false);
        }
        let authorization = password.authorization(document.identity().user());
        let answer = self.cluster.authenticate_anywhere(&authorization).await;
        let answer = answer.map_err(|error| BrokerError::of_call(LOG_IN, error))?;
        Ok(matches!(login(answer, document), Login::Agrees(_)))
    }

    /// Reads the user with the service account, and judges whether and why it may be written.
    pub(super) async fn read(
        &self,
        document: &Document,
        login_works: bool,
    ) -> Result<(Option<User>, Result<Reason, BrokerError>), BrokerError> {
        let found = self
            .cluster
            .read_user(document.identity().user())
            .await
            .map_err(|error| BrokerError::of_admin_call("reading the user", error))?;
        let verdict = found.as_ref().map_or(Ok(Reason::Absent), |found| {
            self.judge(document, found, login_works)
        });
        Ok((found, verdict))
    }

    fn judge(
        &self,
        document: &Document,
        found: &User,
        login_works: bool,
    ) -> Result<Reason, BrokerError> {
        let now = self.state.clock.now();
        let knows_key = |id: &str| self.state.keys.knows(id);
        let verdict = judge(document, found, login_works, self.adopt, knows_key, now);
        if let Err(BrokerError::Outdated { newest }) = &verdict {
            self.state
                .order
                .found(document.identity(), *newest, groups_of(found));
        }
        verdict
    }
}

fn login(answer: Whoami, document: &Document) -> Login {
    match answer {
        // Another realm or another name (anonymous access) says nothing about the native user.
        Whoami::Is { user: found, realm }
            if realm == "native" && found.username == document.identity().user().as_str() =>
        {
            if document.stands_as(&found) {
                Login::Agrees(Box::new(found))
            } else {
                Login::Differs
            }
        }
        Whoami::Is { .. } | Whoami::Refused => Login::Refused,
    }
}
