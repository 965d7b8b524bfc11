//! What the cluster says about a user. Nothing here writes.

use super::{
    judge::judge,
    types::{LoginResult, Reason},
};
use crate::{
    broker::{
        config::Adopt, derive::Password, document::Document, error::BrokerError, state::State,
    },
    cluster::{SecurityApi, StoredAccount, Whoami},
};
use std::sync::Arc;

#[derive(Debug)]
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
    ) -> Result<LoginResult, BrokerError> {
        let authorization = password.authorization(&document.target.user);
        let answer = self.cluster.authenticate(&authorization).await;
        let answer = answer.map_err(BrokerError::Cluster)?;
        Ok(login(answer, document))
    }

    /// Whether a user whose login one node has just refused is as it should be all the same: read
    /// as such, and accepted by another node.
    pub(super) async fn agrees_elsewhere(
        &self,
        document: &Document,
        password: &Password,
        found: Option<&StoredAccount>,
    ) -> Result<bool, BrokerError> {
        let Some(found) = found.filter(|found| document.agrees(found)) else {
            return Ok(false);
        };
        let authorization = password.authorization(&document.target.user);
        let answer = self.cluster.authenticate_found(&authorization, found).await;
        let answer = answer.map_err(BrokerError::Cluster)?;
        Ok(matches!(login(answer, document), LoginResult::Agrees(_)))
    }

    /// What the first node that accepts the login says; or that none of them does.
    pub(super) async fn log_in_anywhere(
        &self,
        document: &Document,
        password: &Password,
    ) -> Result<LoginResult, BrokerError> {
        let authorization = password.authorization(&document.target.user);
        let answer = self.cluster.authenticate_anywhere(&authorization).await;
        let answer = answer.map_err(BrokerError::Cluster)?;
        Ok(login(answer, document))
    }

    /// Reads the user with the service account, and judges whether and why it may be written.
    pub(super) async fn read(
        &self,
        document: &Document,
        login_works: bool,
    ) -> Result<(Option<StoredAccount>, Result<Reason, BrokerError>), BrokerError> {
        let found = self
            .cluster
            .read_user(&document.target.user)
            .await
            .map_err(BrokerError::of_admin_call)?;
        let verdict = found.as_ref().map_or(Ok(Reason::Absent), |found| {
            self.judge(document, found, login_works)
        });
        Ok((found, verdict))
    }

    fn judge(
        &self,
        document: &Document,
        found: &StoredAccount,
        login_works: bool,
    ) -> Result<Reason, BrokerError> {
        let now = self.state.clock.now();
        let knows_key = |id: &str| self.state.keys.knows(id);
        let verdict = judge(
            document,
            &found.account,
            login_works,
            self.adopt,
            knows_key,
            now,
        );
        if let Err(BrokerError::Outdated { newest }) = &verdict {
            let roles = found.account.roles.iter().map(String::as_str);
            let order = &self.state.order;
            order.found(&document.identity, *newest, roles, now);
        }
        verdict
    }
}

fn login(answer: Whoami, document: &Document) -> LoginResult {
    match answer {
        // Another name (anonymous access) says nothing about this user.
        Whoami::User(found) if found.account.name == document.target.user.as_str() => {
            if document.agrees(&found) {
                LoginResult::Agrees(found)
            } else {
                LoginResult::Differs
            }
        }
        // The stored user alone says whose it is.
        Whoami::User(_) | Whoami::Unproven | Whoami::Other | Whoami::Refused => {
            LoginResult::Refused
        }
    }
}
