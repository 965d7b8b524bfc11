//! Why there is no broker, or no credential.

use crate::{clock::Timestamp, cluster::CallError, ledger::redis, secret::NoRandomness};
use std::sync::Arc;

/// Why a broker cannot be started. That the cluster or a store is away is never a reason.
#[derive(Debug, thiserror::Error)]
pub enum BrokerStartError {
    /// A key must be made, and the system has no randomness.
    #[error("no key can be made")]
    Key(#[source] NoRandomness),
    /// The connection to Redis.
    #[error("Redis cannot be set up")]
    Redis(#[source] redis::SetUpError),
}

/// Why there is no credential.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BrokerError {
    /// The name belongs to the cluster itself or to elastauth's own account.
    #[error("the name is reserved: {0}")]
    ReservedName(&'static str),
    /// An administrator has disabled the user in the cluster.
    #[error("the user is disabled in the cluster")]
    Disabled,
    /// The cluster has a user of that name that elastauth has not written.
    #[error(
        "the cluster has a user of that name which elastauth has not written; \
         `users.adopt` decides whether it may be taken over"
    )]
    Foreign,
    /// The user was written for another person: of another provider, or another subject of the
    /// same one.
    #[error(
        "the user in the cluster was written for {}; if both are the same person, delete the user \
         there or set `users.adopt: any`, else give one of the providers a `username_prefix`",
        if *.provider == *.asking {
            format!("another subject of the provider `{provider}`")
        } else {
            format!("a user of the provider `{provider}`, but `{asking}` identified this request")
        }
    )]
    SomebodyElses {
        /// The provider for whose user it was written.
        provider: Arc<str>,
        /// The provider that identified the request.
        asking: Arc<str>,
    },
    /// The user has a newer token, and that one gives other roles.
    #[error("the user has a newer token (of {newest}) that gives other roles; use that one")]
    Outdated {
        /// Of when the newer token is.
        newest: Timestamp,
    },
    /// The user was written too often within a minute.
    #[error(
        "the user's roles change more often than `users.writes_per_minute` allows; \
         the usual cause is two sessions of one user with different roles"
    )]
    WriteBudget,
    /// Too many users were made within a minute.
    #[error(
        "more new users come than `users.new_per_minute` allows; \
         raise it during a roll-out, otherwise look for somebody who makes names up"
    )]
    NewUsers,
    /// The cluster refused elastauth's own account.
    #[error(
        "the cluster refuses the service account; check `elasticsearch.username`, `.password` or \
         `.api_key`, and that the account may read and write users (a cluster that has just \
         started refuses everybody for some seconds)"
    )]
    ServiceAccount(#[source] CallError),
    /// The cluster could not be asked, or its answer could not be used.
    #[error(transparent)]
    Cluster(CallError),
    /// The cluster has taken the write of a user and refuses the login.
    #[error(
        "the cluster refuses a login that it was just given; is its native realm enabled \
         (`xpack.security.authc.realms.native`), and does nothing between elastauth and the \
         cluster change `Authorization`? `elastauth check --online --try-login` tries it again"
    )]
    LoginRefused,
    /// It takes longer than a gateway waits; the work goes on and the next request may find it
    /// done.
    #[error("the cluster did not answer in time")]
    Late,
    /// Too many requests wait for the cluster.
    #[error("too many requests wait for the cluster")]
    Busy,
    /// The update ended without a result: a bug.
    #[error("the update of the user ended without a result")]
    Crashed,
}

impl BrokerError {
    /// Whether the user is refused, and not only kept waiting by a failure.
    pub(super) fn is_final(&self) -> bool {
        matches!(
            self,
            Self::ReservedName(_)
                | Self::Disabled
                | Self::Foreign
                | Self::SomebodyElses { .. }
                | Self::Outdated { .. }
                | Self::WriteBudget
                | Self::NewUsers
        )
    }

    /// A call as the service account has failed. Its refusal is an error of its own, and comes from
    /// all nodes that answer: a single node also refuses it while it has no security index.
    pub(super) fn of_admin_call(error: CallError) -> Self {
        if error.is_reserved_user() {
            Self::ReservedName("a hidden or built-in user of the cluster")
        } else if error.is_refusal() {
            Self::ServiceAccount(error)
        } else {
            Self::Cluster(error)
        }
    }
}
