//! Disables, enables and deletes a user: what an operator asks for.
//!
//! Only a user of this deployment is touched. It runs while no update of the user does; the other
//! replicas are told afterwards, and ask the cluster at the user's next request.

use super::{error::BrokerError, product::Product::OpenSearch, state::State};
use crate::{
    cluster::{CallError, SecurityApi, StoredAccount},
    ledger::Others,
    model::Username,
    net::peer::Peer,
    telemetry::{
        ClusterTelemetry,
        audit::{Audit, EventDetails, EventKind},
        chain,
        metrics::{ActionEnd, ClusterMetrics, UserAction},
    },
};
use http::StatusCode;
use std::{sync::Arc, time::Duration};
use tokio::time::sleep;
use tracing::{info, warn};

/// A replica that has read the user before may write them as they were. Each such write takes
/// another attempt.
const ATTEMPTS: u32 = 6;
/// How long after the change the user is looked at once more: usually such a write has come by
/// then. OpenSearch may have been checking the login of a disabled user during the change, and
/// keeps it then: by now that check has ended, so the next write ends the login.
pub(super) const LOOK_AGAIN: Duration = Duration::from_millis(400);

/// What elastauth's own account of Elasticsearch needs to delete users.
pub(super) const DELETE_PRIVILEGE: &str = "cluster:admin/xpack/security/user/delete";

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    Disable,
    Enable,
    Delete,
}

impl Change {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Enable => "enable",
            Self::Delete => "delete",
        }
    }

    fn counted(self) -> UserAction {
        match self {
            Self::Disable => UserAction::Disable,
            Self::Enable => UserAction::Enable,
            Self::Delete => UserAction::Delete,
        }
    }

    fn event(self) -> EventKind {
        match self {
            Self::Disable => EventKind::UserDisabled,
            Self::Enable => EventKind::UserEnabled,
            Self::Delete => EventKind::UserDeleted,
        }
    }

    /// What elastauth's own account of Elasticsearch needs for it, and for nothing else.
    fn privilege(self) -> &'static str {
        match self {
            Self::Disable | Self::Enable => "cluster:admin/xpack/security/user/set_enabled",
            Self::Delete => DELETE_PRIVILEGE,
        }
    }
}

/// Who wants what.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    /// The operator's address, or `unix`.
    pub(crate) peer: Peer,
    pub(crate) change: Change,
    /// Whether it is only said what would be done.
    pub(crate) dry_run: bool,
}

/// A user is as the operator wants them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Changed {
    /// Whether there was something to do.
    pub(crate) was_needed: bool,
    /// Whether the user could log in before.
    pub(crate) was_enabled: bool,
    /// What the other replicas learn of it.
    pub(crate) others: Others,
    /// A write of this user that was sent before has an unknown outcome, and may undo it.
    pub(crate) may_be_undone: bool,
}

/// Why a user is not changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangeError {
    #[error("the cluster has no user of that name")]
    Absent,
    #[error(
        "elastauth has not written this user, or elastauth 2 has; change it in the cluster itself"
    )]
    Foreign,
    #[error(
        "the user was written with another `secret_key` (key id {0:?}); ask the deployment that \
         has it, or change the user in the cluster itself"
    )]
    OtherKey(String),
    #[error("with `dry_run` elastauth writes nothing")]
    DryRun,
    #[error(
        "the service account may not do it; grant it the cluster privilege `{0}`, which elastauth \
         needs for nothing else"
    )]
    Unprivileged(&'static str, #[source] CallError),
    #[error("the user is disabled and not deleted yet; run it again")]
    OnlyDisabled(#[source] CallError),
    #[error("it is not certain that it is done; run it again")]
    Uncertain(#[source] CallError),
    #[error(
        "other replicas were writing this user at the same time, so it is not certain that it is \
         done; run it again"
    )]
    Contended,
    #[error(transparent)]
    Broker(#[from] BrokerError),
}

impl ChangeError {
    /// Whether it may be done all the same.
    pub(crate) fn is_uncertain(&self) -> bool {
        matches!(self, Self::Uncertain(_) | Self::Contended)
    }

    /// Whether running it again gives the same answer.
    pub(crate) fn is_refusal(&self) -> bool {
        match self {
            Self::Absent | Self::Foreign | Self::OtherKey(_) | Self::DryRun => true,
            Self::Unprivileged(..)
            | Self::OnlyDisabled(_)
            | Self::Uncertain(_)
            | Self::Contended => false,
            Self::Broker(why) => why.is_final(),
        }
    }
}

/// Changes users of one cluster.
#[derive(Debug)]
pub(super) struct Changer {
    state: Arc<State>,
    cluster: SecurityApi,
    name: Arc<str>,
    metrics: ClusterMetrics,
    audit: Audit,
}

impl Changer {
    pub(super) fn new(
        state: Arc<State>,
        cluster: SecurityApi,
        telemetry: &ClusterTelemetry,
    ) -> Self {
        Self {
            state,
            cluster,
            name: Arc::clone(&telemetry.cluster),
            metrics: telemetry.metrics.clone(),
            audit: telemetry.audit.clone(),
        }
    }

    /// Runs while no update of the user does.
    pub(super) async fn run(&self, user: &Username, order: Order) -> Result<Changed, ChangeError> {
        let result = self.change(user, order).await;
        self.reported(user, order, result)
    }

    async fn change(&self, user: &Username, order: Order) -> Result<Changed, ChangeError> {
        let (state, change) = (&self.state, order.change);
        let before = self.read(user).await?.ok_or(ChangeError::Absent)?;
        is_ours(&self.state, &before)?;
        let mut changed = Changed {
            was_needed: !is_so(change, Some(&before)),
            was_enabled: before.account.enabled,
            others: state.ledger.others(),
            may_be_undone: state.uncertain.affects(user, state.clock.now()),
        };
        if order.dry_run {
            return Ok(changed);
        }
        let mut is_done = !changed.was_needed;
        for _ in 0..ATTEMPTS {
            if is_done {
                if change == Change::Disable {
                    self.end_logins(user).await?;
                }
                // What is remembered here and elsewhere may be older than the change.
                changed.others = state.ledger.forget(user).others;
                return Ok(changed);
            }
            let is_there = match change {
                Change::Disable => self.switch(user, false).await?,
                Change::Enable => self.switch(user, true).await?,
                Change::Delete => self.delete(user, changed.was_enabled).await?,
            };
            changed.others = state.ledger.forget(user).others;
            if !is_there {
                return Err(ChangeError::Absent);
            }
            if change == Change::Delete {
                // Whoever is there again has come back.
                return Ok(changed);
            }
            sleep(LOOK_AGAIN).await;
            let now = self.read(user).await;
            // It is done, and whether it stays so is not known.
            let Ok(now) = now else {
                changed.may_be_undone = true;
                if change == Change::Disable {
                    self.end_logins(user).await?;
                }
                return Ok(changed);
            };
            if change == Change::Disable && now.is_none() {
                return Ok(changed);
            }
            is_done = is_so(change, now.as_ref());
        }
        Err(ChangeError::Contended)
    }

    /// False where there is no such user any more.
    async fn switch(&self, user: &Username, enabled: bool) -> Result<bool, ChangeError> {
        let sent = self.cluster.set_enabled(user, enabled).await;
        let change = if enabled {
            Change::Enable
        } else {
            Change::Disable
        };
        sent.map_err(|error| failed(&self.state, user, change.privilege(), error))
    }

    /// OpenSearch may be checking the login while the user is deleted, and keeps it then, and there
    /// is nothing of the user left to write. So a write that ends the login comes first: by the
    /// time of the second one every check of it has ended.
    async fn delete(&self, user: &Username, is_enabled: bool) -> Result<bool, ChangeError> {
        let is_locked = is_enabled && self.state.product() == OpenSearch;
        if is_locked {
            if !self.switch(user, false).await? {
                return Ok(false);
            }
            sleep(LOOK_AGAIN).await;
        }
        match self.cluster.delete_user(user, None).await {
            Ok(_) => Ok(true),
            Err(error) if is_locked && !error.may_take_effect() => {
                let _reported = self.state.ledger.forget(user);
                Err(ChangeError::OnlyDisabled(error))
            }
            Err(error) => Err(failed(&self.state, user, DELETE_PRIVILEGE, error)),
        }
    }

    async fn end_logins(&self, user: &Username) -> Result<(), ChangeError> {
        let now = self.state.clock.now();
        let ended = self.cluster.end_replaced_logins(user, now).await;
        ended.map_err(ChangeError::Uncertain)
    }

    async fn read(&self, user: &Username) -> Result<Option<StoredAccount>, ChangeError> {
        let found = self.cluster.read_user(user).await;
        let found = found.map_err(BrokerError::of_admin_call)?;
        if let Some(found) = &found {
            // A user who is deleted must not get a login back that was revoked.
            let generation = self.state.generation_in(&found.account);
            self.state.ledger.learn_generation(user, generation);
        }
        Ok(found)
    }

    /// Writes down how it ended, which is an action of an operator even if nothing was done.
    pub(super) fn reported(
        &self,
        user: &Username,
        order: Order,
        result: Result<Changed, ChangeError>,
    ) -> Result<Changed, ChangeError> {
        if order.dry_run {
            return result;
        }
        let (user, peer, action) = (user.as_str(), order.peer, order.change.name());
        let cluster = &*self.name;
        let error = result.as_ref().err().map(|why| chain(why));
        let end = match &result {
            Ok(_) => {
                info!(user, %peer, action, cluster, "an operator changed a user");
                ActionEnd::Done
            }
            Err(why) => {
                warn!(
                    user, %peer, action, cluster, error,
                    "a user is not changed as an operator asked"
                );
                if why.is_refusal() {
                    ActionEnd::Refused
                } else {
                    ActionEnd::Failed
                }
            }
        };
        self.metrics.acted(order.change.counted(), end);
        let details = EventDetails {
            cluster: Some(&self.name),
            user: Some(user),
            peer: Some(peer),
            reason: error.as_deref(),
            ..EventDetails::default()
        };
        self.audit.write(order.change.event(), &details);
        result
    }
}

/// Whether this deployment has written the user.
pub(super) fn is_ours(state: &State, found: &StoredAccount) -> Result<(), ChangeError> {
    let marker = found.account.origin.marker();
    let marker = marker.ok_or(ChangeError::Foreign)?;
    match &marker.key_id {
        Some(id) if !state.keys.knows(id) => Err(ChangeError::OtherKey(id.clone())),
        Some(_) | None => Ok(()),
    }
}

/// What a failed change means, which `privilege` would have allowed on Elasticsearch.
pub(super) fn failed(
    state: &State,
    user: &Username,
    privilege: &'static str,
    error: CallError,
) -> ChangeError {
    if error.may_take_effect() {
        // Until it is known the cluster is asked.
        state.uncertain.record(user, state.clock.now());
        let _reported = state.ledger.forget(user);
        ChangeError::Uncertain(error)
    } else if error.status() == Some(StatusCode::FORBIDDEN) && state.product() != OpenSearch {
        ChangeError::Unprivileged(privilege, error)
    } else {
        BrokerError::of_admin_call(error).into()
    }
}

/// Whether nothing is left to do.
fn is_so(change: Change, found: Option<&StoredAccount>) -> bool {
    let enabled = found.map(|found| found.account.enabled);
    match change {
        Change::Disable => enabled != Some(true),
        Change::Enable => enabled == Some(true),
        Change::Delete => enabled.is_none(),
    }
}
