//! The end of a login: the user is written as they were found, with the login of the next
//! generation.
//!
//! A revocation judges nobody. A disabled user stays disabled, a parked one parked, and roles that
//! somebody has edited stay until the user's next request. Only an account that this deployment has
//! written has a login that could be revoked.

use super::{
    error::BrokerError,
    places::{Class, WritePlaces},
    rewrite::Rewrite,
    rotation::{Period, SLACK},
    state::State,
    write::{WriteResult, write},
};
use crate::{
    cluster::{ApiKeys, CallError, SecurityApi, StoredAccount},
    keys::LoginKind,
    ledger::Others,
    model::{Generation, Username},
    net::peer::Peer,
    telemetry::{
        ClusterTelemetry,
        audit::{Audit, EventDetails, EventKind},
        chain,
        metrics::{ClusterMetrics, Step},
    },
};
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tracing::{info, warn};

/// A boundary of passwords, another replica's write and an administrator's edit may each come in
/// between, and each of them takes another attempt.
const ATTEMPTS: u32 = 6;
/// How long an attempt waits for the write of another replica.
const OTHER_WRITE: Duration = Duration::from_millis(100);
/// How long after the write the user is looked at once more. Another replica that read the user
/// before the revocation, and hears of none, writes the old login again: usually it has by then.
/// OpenSearch may have been checking the old login during the write, and keeps it then: by now that
/// check has ended, so the next write ends the login.
const LOOK_AGAIN: Duration = Duration::from_millis(400);

/// A login was revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Of the login that the user has now.
    pub generation: Generation,
    /// What the other replicas learn of it.
    pub others: Others,
    /// A write of this user that was sent before has an unknown outcome. It may still bring the old
    /// login back; a request of the user then puts that right.
    pub may_be_undone: bool,
}

/// What became of an operator's wish to revoke a login.
#[derive(Debug)]
pub struct Revocation {
    /// Of the login itself.
    pub login: Result<Revoked, RevokeError>,
    /// Of the user's API keys, where they were to be invalidated too.
    pub api_keys: Option<Result<ApiKeys, CallError>>,
}

/// Who wants what.
#[derive(Debug, Clone, Copy)]
pub struct Order {
    /// The operator's address, or `unix`.
    pub peer: Peer,
    /// Whether the user's API keys are invalidated too.
    pub api_keys: bool,
}

/// Why a login was not revoked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RevokeError {
    /// The cluster has no user of that name, so nobody can log in with it.
    #[error("the cluster has no user of that name, so there is no login to revoke")]
    Absent,
    /// Somebody else has written the user.
    #[error(
        "elastauth has not written this user, or elastauth 2 has; change its password in the \
         cluster instead (`POST /_security/user/<name>/_password`)"
    )]
    Foreign,
    /// The user was written under a key that this deployment does not have.
    #[error(
        "the user was written with another `secret_key` (key id {0:?}); ask the deployment that \
         has it, or change the password in the cluster"
    )]
    OtherKey(String),
    /// The number of generations is at its end.
    #[error(
        "the generation in the user's metadata is the highest one; delete the user in the cluster, \
         and the next request creates it again"
    )]
    LastGeneration,
    /// `dry_run` writes nothing.
    #[error("with `dry_run` elastauth writes nothing")]
    DryRun,
    /// The write was sent, and nobody knows whether it was applied.
    #[error("it is not certain that the login is revoked; run it again")]
    Uncertain(#[source] CallError),
    /// The user was written by others all the time.
    #[error(
        "other replicas were writing this user at the same time, so it is not certain that the \
         login is revoked; run it again"
    )]
    Contended,
    /// A step that updates take too has failed.
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl RevokeError {
    /// Whether running it again gives the same answer.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Absent
            | Self::Foreign
            | Self::OtherKey(_)
            | Self::LastGeneration
            | Self::DryRun => true,
            Self::Uncertain(_) | Self::Contended => false,
            Self::Broker(why) => why.is_final(),
        }
    }
}

/// Revokes logins.
#[derive(Debug)]
pub(super) struct Revoke {
    state: Arc<State>,
    cluster: SecurityApi,
    writes: Arc<WritePlaces>,
    name: Arc<str>,
    metrics: ClusterMetrics,
    audit: Audit,
}

impl Revoke {
    pub(super) fn new(
        state: Arc<State>,
        cluster: SecurityApi,
        writes: Arc<WritePlaces>,
        telemetry: &ClusterTelemetry,
    ) -> Self {
        Self {
            state,
            cluster,
            writes,
            name: Arc::clone(&telemetry.cluster),
            metrics: telemetry.metrics.clone(),
            audit: telemetry.audit.clone(),
        }
    }

    /// Runs while no update of the user does.
    pub(super) async fn run(&self, user: &Username, order: Order) -> Revocation {
        let mut login = Err(RevokeError::Contended);
        for _ in 0..ATTEMPTS {
            if let Some(ended) = self.attempt(user).await.transpose() {
                login = ended;
                break;
            }
        }
        // The keys of a user who is not ours are not ours either. Those of one who was deleted
        // still work.
        let theirs = match &login {
            Ok(_) => true,
            Err(why) => !why.is_refusal() || *why == RevokeError::Absent,
        };
        let api_keys = if order.api_keys && theirs {
            Some(self.cluster.invalidate_api_keys(user).await)
        } else {
            None
        };
        let revocation = Revocation { login, api_keys };
        self.report(user, order.peer, &revocation);
        revocation
    }

    /// Nothing is done, for this reason.
    pub(super) fn refuse(&self, user: &Username, order: Order, why: RevokeError) -> Revocation {
        let revocation = Revocation {
            login: Err(why),
            api_keys: None,
        };
        self.report(user, order.peer, &revocation);
        revocation
    }

    /// `None` where it has to be tried again.
    async fn attempt(&self, user: &Username) -> Result<Option<Revoked>, RevokeError> {
        let (state, ledger) = (&self.state, &self.state.ledger);
        let period = state.period(user);
        if let Some(wait) = period.grace_left {
            sleep(wait).await;
            return Ok(None);
        }
        let _place = self.writes.queue(Class::Known, period.product).await?;
        let found = self.read(user).await?;
        let rewrite = self.rewrite(user, &found, period)?;
        let generation = rewrite.target.generation;
        let password = self.cluster.prepare(rewrite.password).await;

        // From here on the ledger notices what other replicas report about this user.
        let mut update = ledger.begin_update(rewrite.target).await;
        let may_be_undone = state.uncertain.affects(user, state.clock.now());
        if may_be_undone {
            update.keep_local();
        }
        // What was found may come from a late write: the next generation is then no new one.
        if let Some(stored) = update.stored_generation()
            && stored >= generation
        {
            ledger.learn_generation(user, stored);
            return Ok(None);
        }
        if ledger.is_written_elsewhere(&update, state.clock.now()) {
            drop(update);
            sleep(OTHER_WRITE).await;
            return Ok(None);
        }
        // What was read before may have been written by another replica since.
        if self.read(user).await? != found {
            return Ok(None);
        }
        if !state.may_write(period) {
            sleep(state.rest(period) + SLACK).await;
            return Ok(None);
        }
        let account = &rewrite.account;
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
            Ok(WriteResult::Written) => ledger.learn_generation(user, generation),
            Ok(WriteResult::LaterLogin(_)) => return Ok(None),
            Err(error) if error.is_overtaken() => return Ok(None),
            Err(error) if error.may_take_effect() => {
                // The next request of the user must not bring the old login back.
                ledger.learn_generation(user, generation);
                return Err(RevokeError::Uncertain(error));
            }
            Err(error) => {
                let _reported = ledger.forget(user);
                return Err(BrokerError::of_admin_call(error).into());
            }
        }
        // Another replica has written the user meanwhile, perhaps after us.
        if account.enabled && ledger.recall(user, state.clock.now()).is_none() {
            return Ok(None);
        }
        let may_be_undone = may_be_undone || update.may_be_undone();
        drop(update);
        sleep(LOOK_AGAIN).await;
        let revoked = |may_be_undone| Revoked {
            generation,
            others: ledger.others(),
            may_be_undone,
        };
        let may_be_undone = match self.read(user).await {
            Ok(found) if self.is_ours_before(&found, generation) => return Ok(None),
            Ok(_) => may_be_undone,
            Err(RevokeError::Absent) => return Ok(Some(revoked(may_be_undone))),
            // It is revoked, and whether it stays so is not known.
            Err(_) => true,
        };
        let ended = self.cluster.end_replaced_logins(user, state.clock.now());
        ended.await.map_err(RevokeError::Uncertain)?;
        Ok(Some(revoked(may_be_undone)))
    }

    /// Whether the user has a login of this deployment with an earlier generation.
    fn is_ours_before(&self, found: &StoredAccount, generation: Generation) -> bool {
        let marker = self.state.our_marker(&found.account);
        marker.is_some_and(|marker| marker.generation < generation)
    }

    async fn read(&self, user: &Username) -> Result<StoredAccount, RevokeError> {
        let found = self.cluster.read_user(user).await;
        let found = found.map_err(BrokerError::of_admin_call)?;
        let found = found.ok_or(RevokeError::Absent)?;
        // Whatever becomes of this revocation: the user may be deleted next.
        let generation = self.state.generation_in(&found.account);
        self.state.ledger.learn_generation(user, generation);
        Ok(found)
    }

    /// What was found, with the next login.
    fn rewrite(
        &self,
        user: &Username,
        found: &StoredAccount,
        period: Period,
    ) -> Result<Rewrite, RevokeError> {
        let marker = found.account.origin.marker();
        let marker = marker.ok_or(RevokeError::Foreign)?;
        if let Some(id) = &marker.key_id
            && !self.state.keys.knows(id)
        {
            return Err(RevokeError::OtherKey(id.clone()));
        }
        let kind = if marker.parked {
            LoginKind::Parked
        } else {
            LoginKind::Granted
        };
        let generation = marker.generation.max(self.state.ledger.generation(user));
        let generation = generation.next().ok_or(RevokeError::LastGeneration)?;
        let account = &found.account;
        let rewrite = Rewrite::new(&self.state, user, account, kind, generation, period);
        rewrite.ok_or(RevokeError::Foreign)
    }

    fn report(&self, user: &Username, peer: Peer, revocation: &Revocation) {
        let (user, cluster) = (user.as_str(), &*self.name);
        let error = revocation.login.as_ref().err().map(|why| chain(why));
        let step = match &revocation.login {
            Ok(Revoked { generation, .. }) => {
                info!(user, %peer, %generation, cluster, "an operator revoked the login of a user");
                Step::Revoked
            }
            Err(why) => {
                warn!(user, %peer, cluster, error, "the login of a user is not revoked");
                if why.is_refusal() {
                    Step::Refused
                } else {
                    Step::Failed
                }
            }
        };
        self.metrics.ensured(step);
        let api_keys = match &revocation.api_keys {
            None => None,
            Some(Ok(keys)) => {
                let (invalidated, failed) = (keys.invalidated, keys.failed);
                info!(user, %peer, invalidated, failed, "API keys of a user are invalidated");
                Some(invalidated)
            }
            Some(Err(why)) => {
                let error = chain(why);
                warn!(user, %peer, error, "the API keys of a user are not invalidated");
                None
            }
        };
        let login = revocation.login.as_ref().ok();
        let details = EventDetails {
            cluster: Some(&self.name),
            user: Some(user),
            peer: Some(peer),
            generation: login.map(|revoked| revoked.generation.0),
            api_keys,
            reason: error.as_deref(),
            ..EventDetails::default()
        };
        self.audit.write(EventKind::UserRevoked, &details);
    }
}
