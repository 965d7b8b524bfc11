//! The deletion of one user who has stayed away, in seven numbered steps. Their order is that of an
//! update, for the same reasons: see `ensure::agree`.

use super::{
    due,
    report::Report,
    types::{Kept, PruneError, PruneOrder, Pruned},
};
use crate::{
    broker::{
        change, error::BrokerError, product::Product, rewrite::Rewrite, rotation::Period,
        state::State, updates::Updates,
    },
    cluster::{SecurityApi, StoredAccount},
    keys::LoginKind,
    ledger::{NO_FINGERPRINT, Target},
    model::Username,
};
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{Mutex, Semaphore},
    time::sleep,
};

/// Users at once. The cluster deletes them one by one; the others are under way.
const AT_ONCE: usize = 4;
/// The same on OpenSearch: those who are deleted at once are one request, and each request makes
/// the cluster check everybody's login again.
const AT_ONCE_ON_OPENSEARCH: usize = 64;
/// From one user to the next on Elasticsearch: fifty a second are no load for it, and make ten
/// thousand users a matter of minutes.
const APART: Duration = Duration::from_millis(20);

/// Deletes users of one cluster who have stayed away.
#[derive(Debug)]
pub(crate) struct Pruner {
    state: Arc<State>,
    cluster: SecurityApi,
    updates: Arc<Updates>,
    report: Arc<Report>,
    places: Semaphore,
    places_on_opensearch: Semaphore,
    pace: Mutex<()>,
}

impl Pruner {
    pub(crate) fn new(
        state: Arc<State>,
        cluster: SecurityApi,
        updates: Arc<Updates>,
        report: Arc<Report>,
    ) -> Self {
        Self {
            state,
            cluster,
            updates,
            report,
            places: Semaphore::new(AT_ONCE),
            places_on_opensearch: Semaphore::new(AT_ONCE_ON_OPENSEARCH),
            pace: Mutex::new(()),
        }
    }

    /// More than so many only queue.
    pub(super) fn at_once(&self) -> usize {
        match self.state.product() {
            Product::Elasticsearch => AT_ONCE,
            Product::OpenSearch => AT_ONCE_ON_OPENSEARCH,
        }
    }

    /// Deletes the user, if they have stayed away for so long. It goes on if the caller does not
    /// wait for it.
    pub(crate) async fn prune(
        self: &Arc<Self>,
        user: &Username,
        order: PruneOrder,
    ) -> Result<Pruned, PruneError> {
        // 1. Queue for a place, before anything is read.
        let product = self.state.product();
        let places = match product {
            Product::Elasticsearch => &self.places,
            Product::OpenSearch => &self.places_on_opensearch,
        };
        let _place = places.acquire().await.map_err(|_| BrokerError::Busy)?;
        if product == Product::Elasticsearch {
            let _next = self.pace.lock().await;
            sleep(APART).await;
        }
        let (pruner, name) = (Arc::clone(self), user.clone());
        let work = || async move {
            let result = pruner.steps(&name, order).await;
            pruner.report.pruned(&name, order, &result);
            result
        };
        self.updates.alone(user, work).await?
    }

    /// Runs while no update of the user does.
    async fn steps(&self, user: &Username, order: PruneOrder) -> Result<Pruned, PruneError> {
        let state = &self.state;
        due::check(state, order.unseen)?;
        let kept = |why| Ok(Pruned::Kept(why));

        // 2. Open an update in the ledger. From here on it notices what other replicas report. One
        //    that has confirmed or written the user in this period, or writes the user now, has the
        //    last word.
        let period = state.period(user);
        let target = Target {
            user: user.clone(),
            fingerprint: NO_FINGERPRINT,
            generation: state.ledger.generation(user),
            epoch: period.epoch,
            key: period.key,
        };
        let mut update = state.ledger.begin_update(target).await;
        let is_busy = |update: &_| state.ledger.is_written_elsewhere(update, state.clock.now());
        if is_busy(&update) {
            return kept(Kept::Busy);
        }

        // 3. Read the user by name: a listing may be a second behind.
        let found = self.cluster.read_user(user).await;
        let Some(found) = found.map_err(BrokerError::of_admin_call)? else {
            return kept(Kept::Absent);
        };
        // Whoever comes back must not get a login that was revoked.
        let generation = state.generation_in(&found.account);
        state.ledger.learn_generation(user, generation);

        // 4. Is it one of ours, and have they stayed away?
        change::is_ours(state, &found)?;
        if let Some(why) = self.keeps(&found, order.unseen) {
            return kept(why);
        }

        // 5. The ledger knows of it before the request leaves: from here on nobody is answered on
        //    what was known before. Two replicas that have come so far at once find each other here.
        if is_busy(&update) {
            return kept(Kept::Busy);
        }
        state
            .ledger
            .begin_write(&mut update, state.clock.now())
            .await;
        if update.later_login().is_some() || update.may_be_undone() || is_busy(&update) {
            let _reported = state.ledger.forget(user);
            return kept(Kept::Busy);
        }

        // 6. OpenSearch may be checking their login while the user is deleted, and would keep it.
        //    So one that was handed out is ended first; by now each check of it has ended.
        let found = match self.end_login(user, found, period).await {
            Ok(Some(found)) if self.keeps(&found, order.unseen).is_none() => found,
            Ok(_) => {
                let _reported = state.ledger.forget(user);
                return kept(Kept::Seen);
            }
            Err(error) => {
                let _reported = state.ledger.forget(user);
                return Err(error);
            }
        };

        // 7. Delete. A user of OpenSearch whose deletion has waited is looked at once more by it.
        let deleted = self.cluster.delete_user(user, Some(&found)).await;
        let others = state.ledger.forget(user).others;
        match deleted {
            Ok(true) => Ok(Pruned::Deleted(others)),
            Ok(false) => kept(Kept::Absent),
            Err(error) if error.is_overtaken() => kept(Kept::Seen),
            Err(error) => {
                let why = change::failed(state, user, change::DELETE_PRIVILEGE, error);
                Err(why.into())
            }
        }
    }

    /// Parks a user of OpenSearch who is not. Should the deletion fail, that harms nobody. `None`
    /// if they have come back meanwhile.
    async fn end_login(
        &self,
        user: &Username,
        found: StoredAccount,
        period: Period,
    ) -> Result<Option<StoredAccount>, PruneError> {
        let state = &self.state;
        let is_parked = |found: &StoredAccount| {
            let marker = found.account.origin.marker();
            marker.is_some_and(|marker| marker.parked)
        };
        if period.product != Product::OpenSearch || is_parked(&found) {
            return Ok(Some(found));
        }
        let (kind, generation) = (LoginKind::Parked, state.ledger.generation(user));
        let rewrite = Rewrite::new(state, user, &found.account, kind, generation, period);
        let Some(rewrite) = rewrite else {
            return Ok(None);
        };
        let password = self.cluster.prepare(rewrite.password).await;
        let (account, over) = (&rewrite.account, Some(&found));
        match self
            .cluster
            .write_user(account, over, &password, None)
            .await
        {
            Ok(()) => {}
            Err(error) if error.is_overtaken() => return Ok(None),
            Err(error) => {
                let why = change::failed(state, user, change::DELETE_PRIVILEGE, error);
                return Err(why.into());
            }
        }
        sleep(change::LOOK_AGAIN).await;
        let found = self.cluster.read_user(user).await;
        let found = found.map_err(BrokerError::of_admin_call)?;
        Ok(found.filter(is_parked))
    }

    fn keeps(&self, found: &StoredAccount, unseen: Duration) -> Option<Kept> {
        let seen = found.account.origin.marker().and_then(|marker| marker.seen);
        match seen {
            _ if !found.account.enabled => Some(Kept::Disabled),
            None => Some(Kept::Unknown),
            Some(days) if days.are_over_for(unseen, self.state.clock.now()) => None,
            Some(_) => Some(Kept::Seen),
        }
    }
}
