//! The security API of a cluster, in the domain's words: whose login this is, read a user, write a
//! user. Each kind of cluster has its own variant, and its vocabulary stays there.

mod elasticsearch;
mod types;

pub(crate) use elasticsearch::{ClusterAccess, Elasticsearch};
pub(crate) use types::{
    Account, ApiKeys, ListedUser, Marker, NewPassword, Origin, StoredAccount, UserPage, Whoami,
};
pub use types::{Config, Kind, PasswordForm, ServiceAccount};

use super::{error::CallError, pool::Timeouts};
use crate::{clock::Clock, model::Username, net::tls::TlsError, telemetry::ClusterTelemetry};
use http::HeaderValue;
use serde_json::Value;
use std::sync::Arc;

/// A client of the security API. Clones share connections and what is known of the nodes.
#[derive(Debug, Clone)]
pub enum SecurityApi {
    /// Elasticsearch, from version 7 on.
    Elasticsearch(Arc<Elasticsearch>),
}

impl SecurityApi {
    /// Prepares the client. Nothing is connected yet: a cluster that is down at start is not an
    /// error.
    ///
    /// # Errors
    /// When a host is `https` and TLS cannot be set up. With plain `http` alone no TLS file is
    /// read.
    pub fn new(
        config: &Config,
        clock: Clock,
        telemetry: &ClusterTelemetry,
    ) -> Result<Self, TlsError> {
        Self::with(config, clock, Timeouts::default(), telemetry)
    }

    pub(super) fn with(
        config: &Config,
        clock: Clock,
        timeouts: Timeouts,
        telemetry: &ClusterTelemetry,
    ) -> Result<Self, TlsError> {
        Elasticsearch::new(config, clock, timeouts, telemetry)
            .map(|api| Self::Elasticsearch(Arc::new(api)))
    }

    /// Reads the account and the TLS files of a new configuration. Its hosts are ignored: the nodes
    /// stay the same.
    ///
    /// # Errors
    /// As with [`Self::new`].
    pub fn access(&self, config: &Config) -> Result<ClusterAccess, TlsError> {
        match self {
            Self::Elasticsearch(_) => elasticsearch::access(config),
        }
    }

    /// Uses them from the next call on.
    pub fn replace(&self, access: ClusterAccess) {
        match self {
            Self::Elasticsearch(api) => api.replace(access),
        }
    }

    /// Asks whose login `authorization` is.
    ///
    /// # Errors
    /// When no node says yes or no.
    pub async fn authenticate(&self, authorization: &HeaderValue) -> Result<Whoami, CallError> {
        match self {
            Self::Elasticsearch(api) => api.authenticate(authorization).await,
        }
    }

    /// The same, but a login counts as refused only if all nodes that answer refuse it: a node
    /// without its security index refuses everybody.
    ///
    /// # Errors
    /// As with [`Self::authenticate`], where no node has answered at all.
    pub async fn authenticate_anywhere(
        &self,
        authorization: &HeaderValue,
    ) -> Result<Whoami, CallError> {
        match self {
            Self::Elasticsearch(api) => api.authenticate_anywhere(authorization).await,
        }
    }

    /// Reads a user, as the service account; `None` where the cluster has none of that name.
    ///
    /// # Errors
    /// When no node gives a usable answer.
    pub async fn read_user(&self, name: &Username) -> Result<Option<StoredAccount>, CallError> {
        match self {
            Self::Elasticsearch(api) => api.read_user(name).await,
        }
    }

    /// Lists the users that elastauth has written and that are enabled, as the service account,
    /// page by page: the first one, or the one after this user. What was written within the last
    /// second may be missing from it.
    ///
    /// # Errors
    /// When no node gives a usable answer.
    pub async fn list_users(&self, after: Option<&str>) -> Result<UserPage, CallError> {
        match self {
            Self::Elasticsearch(api) => api.list_users(after).await,
        }
    }

    /// Works out on another thread what a write of this password takes, where that is slow.
    pub async fn prepare(&self, password: NewPassword) -> NewPassword {
        match self {
            Self::Elasticsearch(api) => api.prepare(password).await,
        }
    }

    /// Writes a whole user, as the service account. When it succeeds the user can log in on every
    /// node.
    ///
    /// # Errors
    /// [`CallError::may_take_effect`] tells whether the write may have happened, or may happen yet.
    pub async fn write_user(
        &self,
        account: &Account,
        password: &NewPassword,
    ) -> Result<(), CallError> {
        match self {
            Self::Elasticsearch(api) => api.write_user(account, password).await,
        }
    }

    /// Invalidates the API keys of a native user, as the service account.
    ///
    /// # Errors
    /// When no node does it; a service account without `manage_api_key` is refused.
    pub async fn invalidate_api_keys(&self, name: &Username) -> Result<ApiKeys, CallError> {
        match self {
            Self::Elasticsearch(api) => api.invalidate_api_keys(name).await,
        }
    }

    /// The cluster's own document of an account, without a password, for people to read.
    #[must_use]
    pub fn document(&self, account: &Account) -> Value {
        match self {
            Self::Elasticsearch(_) => elasticsearch::document(account),
        }
    }

    /// Which rule of the cluster keeps this name for itself, if one does.
    #[must_use]
    pub fn reserves(&self, name: &Username) -> Option<&'static str> {
        match self {
            Self::Elasticsearch(_) => elasticsearch::reserves(name),
        }
    }

    /// Whether the cluster answers and accepts the service account; for readiness.
    ///
    /// # Errors
    /// What is wrong; a refused account is a status of 401.
    pub async fn check(&self) -> Result<(), CallError> {
        match self {
            Self::Elasticsearch(api) => api.check().await,
        }
    }

    /// The privileges that the service account lacks, as the cluster reports them; nothing is read
    /// or written for it.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn missing_privileges(&self) -> Result<Vec<&'static str>, CallError> {
        match self {
            Self::Elasticsearch(api) => api.missing_privileges().await,
        }
    }

    /// Whether the service account may delete users, which it need not.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn may_delete_users(&self) -> Result<bool, CallError> {
        match self {
            Self::Elasticsearch(api) => api.may_delete_users().await,
        }
    }

    /// Deletes a user, as the service account.
    ///
    /// # Errors
    /// When it may not, or the cluster cannot be asked.
    pub async fn delete_user(&self, name: &Username) -> Result<(), CallError> {
        match self {
            Self::Elasticsearch(api) => api.delete_user(name).await,
        }
    }

    /// The cluster's version; `None` where the service account may not see it, which it need not.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn version(&self) -> Result<Option<String>, CallError> {
        match self {
            Self::Elasticsearch(api) => api.version().await,
        }
    }
}
