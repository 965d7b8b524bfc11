//! What operators ask of a broker: to look at users, and to act on one of them. No request of a
//! client comes here.

use super::{
    Broker,
    account_view::{AccountPage, AccountView},
    change::{ChangeError, Changed, Order as ChangeOrder},
    error::BrokerError,
    prune::{self, Due, PruneError, PruneOrder, Pruned},
    revoke::{Order as RevokeOrder, Revocation, RevokeError},
};
use crate::{cluster::Account, ledger::Forgotten, model::Username};
use std::{sync::Arc, time::Duration};

impl Broker {
    /// Makes the next request of this user ask the cluster, whatever is remembered here, in the
    /// store or by other replicas.
    #[must_use]
    pub fn recheck(&self, user: &Username) -> Forgotten {
        self.updates.forget_failure(user);
        self.state.ledger.forget(user)
    }

    /// Ends the user's present login: the cluster accepts it no more, and the next request gets
    /// another one. It waits for an update of the user that is running, and goes on if the caller
    /// does not wait for it.
    pub async fn revoke(&self, user: &Username, order: RevokeOrder) -> Revocation {
        if let Err(why) = self.permits_name(user) {
            return self.revoke.refuse(user, order, why.into());
        }
        if self.dry_run {
            return self.revoke.refuse(user, order, RevokeError::DryRun);
        }
        let (revoke, name) = (Arc::clone(&self.revoke), user.clone());
        self.updates.forget_failure(user);
        let work = || async move { revoke.run(&name, order).await };
        match self.updates.alone(user, work).await {
            Ok(revocation) => revocation,
            Err(why) => self.revoke.refuse(user, order, why.into()),
        }
    }

    /// Disables, enables or deletes a user, while no update of theirs runs. It goes on if the
    /// caller does not wait for it.
    pub(crate) async fn change(
        &self,
        user: &Username,
        order: ChangeOrder,
    ) -> Result<Changed, ChangeError> {
        let refused = |why| self.changer.reported(user, order, Err(why));
        if let Err(why) = self.permits_name(user) {
            return refused(why.into());
        }
        if self.dry_run {
            return refused(ChangeError::DryRun);
        }
        let (changer, name) = (Arc::clone(&self.changer), user.clone());
        self.updates.forget_failure(user);
        let work = || async move { changer.run(&name, order).await };
        let result = self.updates.alone(user, work).await;
        result.unwrap_or_else(|why| refused(why.into()))
    }

    /// Users of the cluster that elastauth has written, page by page.
    pub(crate) async fn accounts(&self, after: Option<&str>) -> Result<AccountPage, BrokerError> {
        let page = self.cluster.list_all_users(after).await;
        let page = page.map_err(BrokerError::of_admin_call)?;
        let view = |user| AccountView::of_listed(&self.state, user);
        Ok(AccountPage {
            users: page.users.into_iter().map(view).collect(),
            next: page.next,
        })
    }

    /// Users of this deployment who have stayed away for so long, page by page.
    pub(crate) async fn unseen(
        &self,
        unseen: Duration,
        after: Option<&str>,
    ) -> Result<Due, PruneError> {
        let kind = self.cluster.settle_kind().await;
        kind.map_err(BrokerError::of_admin_call)?;
        prune::check(&self.state, unseen)?;
        Ok(prune::page(&self.state, &self.cluster, unseen, after).await?)
    }

    /// Deletes a user, if they have stayed away for so long. It goes on if the caller does not wait
    /// for it.
    pub(crate) async fn prune(
        &self,
        user: &Username,
        order: PruneOrder,
    ) -> Result<Pruned, PruneError> {
        self.permits_name(user)?;
        if self.dry_run {
            return Err(ChangeError::DryRun.into());
        }
        self.updates.forget_failure(user);
        self.pruner.prune(user, order).await
    }

    /// One user, whoever has written them, with what the cluster has of them.
    pub(crate) async fn account(
        &self,
        user: &Username,
    ) -> Result<Option<(AccountView, Account)>, BrokerError> {
        let found = self.cluster.read_user(user).await;
        let found = found.map_err(BrokerError::of_admin_call)?;
        Ok(found.map(|found| {
            let view = AccountView::of_account(&self.state, user, &found.account);
            (view, found.account)
        }))
    }
}
