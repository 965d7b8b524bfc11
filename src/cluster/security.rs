//! The security API of a cluster, in the domain's words: whose login this is, read a user, write a
//! user. Each kind of cluster has its own variant, and its vocabulary stays there.

mod answer;
mod body;
mod client;
mod detection;
mod elasticsearch;
mod opensearch;
mod types;
mod versions;

pub(crate) use client::ClusterAccess;
pub(crate) use types::{
    Account, ApiKeys, ListedUser, Marker, NewPassword, Origin, StoredAccount, UserPage, Whoami,
};
pub use types::{Config, Kind, PasswordForm, ServiceAccount};
pub(crate) use versions::warning as version_warning;

use super::{
    error::CallError,
    pool::{MAX_IDLE, Origins, Timeouts},
};
use crate::{
    clock::{Clock, Timestamp},
    model::Username,
    net::tls::TlsError,
    telemetry::ClusterTelemetry,
};
use client::Client;
use detection::Detection;
use elasticsearch::Elasticsearch;
use http::HeaderValue;
use opensearch::Opensearch;
use serde_json::Value;
use std::{fmt, sync::Arc};

/// A client of the security API. Clones share connections and what is known of the nodes.
#[derive(Clone)]
pub struct SecurityApi(Arc<Kinds>);

struct Kinds {
    client: Arc<Client>,
    detection: Detection,
    elasticsearch: Elasticsearch,
    opensearch: Opensearch,
}

/// The variant to call.
enum Api<'a> {
    Elasticsearch(&'a Elasticsearch),
    Opensearch(&'a Opensearch),
}

impl fmt::Debug for SecurityApi {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SecurityApi({})", self.kind())
    }
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

    /// The same, for one of several clusters of a program; at most `max_idle` connections are kept
    /// to each of its nodes.
    pub(crate) fn keeping(
        max_idle: usize,
        config: &Config,
        clock: Clock,
        telemetry: &ClusterTelemetry,
    ) -> Result<Self, TlsError> {
        let limits = (Timeouts::default(), max_idle.min(MAX_IDLE));
        Self::within(config, clock, limits, telemetry)
    }

    pub(super) fn with(
        config: &Config,
        clock: Clock,
        timeouts: Timeouts,
        telemetry: &ClusterTelemetry,
    ) -> Result<Self, TlsError> {
        Self::within(config, clock, (timeouts, MAX_IDLE), telemetry)
    }

    fn within(
        config: &Config,
        clock: Clock,
        limits: (Timeouts, usize),
        telemetry: &ClusterTelemetry,
    ) -> Result<Self, TlsError> {
        let client = Arc::new(Client::new(config, clock, limits, telemetry)?);
        Ok(Self(Arc::new(Kinds {
            detection: Detection::new(Arc::clone(&client), config.kind),
            elasticsearch: Elasticsearch::new(Arc::clone(&client), config.passwords),
            opensearch: Opensearch::new(Arc::clone(&client), config.passwords),
            client,
        })))
    }

    /// Reads the account and the TLS files of a new configuration. Its hosts are ignored: the nodes
    /// stay the same.
    ///
    /// # Errors
    /// As with [`Self::new`].
    #[allow(clippy::unused_self, reason = "what is read is for this client alone")]
    pub fn access(&self, config: &Config) -> Result<ClusterAccess, TlsError> {
        client::access(config)
    }

    /// Its nodes, for the requests of clients.
    pub(crate) fn origins(&self) -> Origins {
        self.0.client.pool.origins()
    }

    /// Uses them from the next call on.
    pub fn replace(&self, access: ClusterAccess) {
        self.0.client.replace(access);
        self.0.detection.account_changed();
    }

    /// Of which kind the cluster is, without asking it: `Auto` while no node has said it, and then
    /// Elasticsearch is assumed.
    #[must_use]
    pub fn kind(&self) -> Kind {
        self.0.detection.kind()
    }

    /// Of which kind the cluster is; never `Auto`. A node is asked where nobody has asked yet, and
    /// from time to time where none has said it.
    ///
    /// # Errors
    /// When no node answers, or what answers is no cluster of either kind.
    pub async fn settle_kind(&self) -> Result<Kind, CallError> {
        self.0.detection.settle().await
    }

    async fn api(&self) -> Result<Api<'_>, CallError> {
        Ok(self.api_of(self.settle_kind().await?))
    }

    fn api_of(&self, kind: Kind) -> Api<'_> {
        match kind {
            Kind::Opensearch => Api::Opensearch(&self.0.opensearch),
            Kind::Auto | Kind::Elasticsearch => Api::Elasticsearch(&self.0.elasticsearch),
        }
    }

    /// Asks whose login `authorization` is.
    ///
    /// # Errors
    /// When no node says yes or no.
    pub async fn authenticate(&self, authorization: &HeaderValue) -> Result<Whoami, CallError> {
        match self.api().await? {
            Api::Elasticsearch(api) => api.authenticate(authorization).await,
            Api::Opensearch(api) => api.authenticate(authorization).await,
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
        match self.api().await? {
            Api::Elasticsearch(api) => api.authenticate_anywhere(authorization).await,
            Api::Opensearch(api) => api.authenticate_anywhere(authorization).await,
        }
    }

    /// The same for a user who was read before. OpenSearch has to read them again, and then
    /// [`CallError::is_overtaken`] says that they are another one by now.
    ///
    /// # Errors
    /// As with [`Self::authenticate`], where no node has answered at all.
    pub async fn authenticate_found(
        &self,
        authorization: &HeaderValue,
        found: &StoredAccount,
    ) -> Result<Whoami, CallError> {
        match self.api().await? {
            Api::Elasticsearch(api) => api.authenticate_anywhere(authorization).await,
            Api::Opensearch(api) => api.authenticate_found(authorization, found).await,
        }
    }

    /// Reads a user, as the service account; `None` where the cluster has none of that name.
    ///
    /// # Errors
    /// When no node gives a usable answer.
    pub async fn read_user(&self, name: &Username) -> Result<Option<StoredAccount>, CallError> {
        match self.api().await? {
            Api::Elasticsearch(api) => api.read_user(name).await,
            Api::Opensearch(api) => api.read_user(name).await,
        }
    }

    /// Lists the users that elastauth has written and that are enabled, as the service account,
    /// page by page: the first one, or the one after this user. What was written within the last
    /// second may be missing from it.
    ///
    /// # Errors
    /// When no node gives a usable answer.
    pub async fn list_users(&self, after: Option<&str>) -> Result<UserPage, CallError> {
        match self.api().await? {
            Api::Elasticsearch(api) => api.list_users(after, true).await,
            Api::Opensearch(api) => {
                let mut page = api.list_users().await?;
                page.users.retain(|user| user.enabled);
                Ok(page)
            }
        }
    }

    /// The same with those who are disabled.
    ///
    /// # Errors
    /// When no node gives a usable answer.
    pub async fn list_all_users(&self, after: Option<&str>) -> Result<UserPage, CallError> {
        match self.api().await? {
            Api::Elasticsearch(api) => api.list_users(after, false).await,
            Api::Opensearch(api) => api.list_users().await,
        }
    }

    /// Works out on another thread what a write of this password takes, where that is slow.
    pub async fn prepare(&self, password: NewPassword) -> NewPassword {
        match self.api_of(self.kind()) {
            Api::Elasticsearch(api) => api.prepare(password).await,
            Api::Opensearch(api) => api.prepare(password).await,
        }
    }

    /// Writes a whole user, as the service account. When it succeeds the user can log in on every
    /// node. `found` is what was read of the user before: where a write may have to wait, somebody
    /// else's work of that time is not written over, and it does not begin after `not_after`.
    ///
    /// # Errors
    /// [`CallError::may_take_effect`] tells whether the write may have happened, or may happen yet;
    /// [`CallError::is_overtaken`] whether the user is another one by now than was found, or it was
    /// too late.
    pub async fn write_user(
        &self,
        account: &Account,
        found: Option<&StoredAccount>,
        password: &NewPassword,
        not_after: Option<Timestamp>,
    ) -> Result<(), CallError> {
        match self.api().await? {
            // It is sent at once.
            Api::Elasticsearch(api) => api.write_user(account, password).await,
            Api::Opensearch(api) => api.write_user(account, found, password, not_after).await,
        }
    }

    /// Invalidates the API keys of a native user, as the service account.
    ///
    /// # Errors
    /// When no node does it; a service account without `manage_api_key` is refused.
    pub async fn invalidate_api_keys(&self, name: &Username) -> Result<ApiKeys, CallError> {
        match self.api().await? {
            Api::Elasticsearch(api) => api.invalidate_api_keys(name).await,
            // It has none.
            Api::Opensearch(_) => Ok(ApiKeys::default()),
        }
    }

    /// The cluster's own document of an account, without a password, for people to read.
    #[must_use]
    pub fn document(&self, account: &Account) -> Value {
        match self.api_of(self.kind()) {
            Api::Elasticsearch(_) => elasticsearch::document(account),
            Api::Opensearch(_) => opensearch::document(account),
        }
    }

    /// Which rule of the cluster keeps this name for itself, if one does.
    #[must_use]
    pub fn reserves(&self, name: &Username) -> Option<&'static str> {
        match self.api_of(self.kind()) {
            Api::Elasticsearch(_) => elasticsearch::reserves(name),
            Api::Opensearch(_) => opensearch::reserves(name),
        }
    }

    /// Whether the cluster answers and accepts the service account; for readiness.
    ///
    /// # Errors
    /// What is wrong; a refused account is a status of 401.
    pub async fn check(&self) -> Result<(), CallError> {
        let checked = match self.api().await? {
            Api::Elasticsearch(api) => api.check().await,
            Api::Opensearch(api) => api.check().await,
        };
        match checked {
            Ok(()) => Ok(()),
            Err(error) => Err(self.0.detection.diagnosed(error).await),
        }
    }

    /// The privileges that the service account lacks, as the cluster reports them; nothing is read
    /// or written for it.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn missing_privileges(&self) -> Result<Vec<&'static str>, CallError> {
        match self.api().await? {
            Api::Elasticsearch(api) => api.missing_privileges().await,
            Api::Opensearch(api) => api.missing_privileges().await,
        }
    }

    /// Whether the service account may delete users, which it need not.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn may_delete_users(&self) -> Result<bool, CallError> {
        match self.api().await? {
            Api::Elasticsearch(api) => api.may_delete_users().await,
            Api::Opensearch(api) => api.may_delete_users().await,
        }
    }

    /// Deletes a user, as the service account; false where there was none, as far as the cluster
    /// says. `found` is what was read of them before, where nobody else is to be deleted: it counts
    /// as with [`Self::write_user`], and the list of users may have them for a second more.
    ///
    /// # Errors
    /// When it may not, or the cluster cannot be asked.
    pub async fn delete_user(
        &self,
        name: &Username,
        found: Option<&StoredAccount>,
    ) -> Result<bool, CallError> {
        match self.api().await? {
            Api::Elasticsearch(api) => api.delete_user(name, found.is_none()).await,
            Api::Opensearch(api) => api.delete_user(name, found).await.map(|()| true),
        }
    }

    /// Switches a user on or off as an administrator does; false where there is no such user. A
    /// user of OpenSearch has to be one whom elastauth has written, and can log in again from
    /// their next request on.
    ///
    /// # Errors
    /// When it may not, or the cluster cannot be asked.
    pub async fn set_enabled(&self, name: &Username, enabled: bool) -> Result<bool, CallError> {
        match self.api().await? {
            Api::Elasticsearch(api) => api.set_enabled(name, enabled).await,
            Api::Opensearch(api) => api.set_enabled(name, enabled).await,
        }
    }

    /// Ends a login of this user that works on although it was replaced some time ago. OpenSearch
    /// may have checked it during the write, and keeps it in its cache until the next one.
    /// Elasticsearch keeps none. The user has to be one whom elastauth has written.
    ///
    /// # Errors
    /// When it is not certain that no such login works.
    pub async fn end_replaced_logins(
        &self,
        name: &Username,
        now: Timestamp,
    ) -> Result<(), CallError> {
        match self.api().await? {
            Api::Elasticsearch(_) => Ok(()),
            Api::Opensearch(api) => api.empty_cache(name, now).await,
        }
    }

    /// Which of these roles the cluster does not have; `None` where the service account may not
    /// know, which it need not.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn missing_roles(&self, roles: &[&str]) -> Result<Option<Vec<String>>, CallError> {
        match self.api().await? {
            Api::Elasticsearch(api) => api.missing_roles(roles).await,
            Api::Opensearch(api) => api.missing_roles(roles).await,
        }
    }

    /// The cluster's version; `None` where the service account may not see it, which it need not.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    pub async fn version(&self) -> Result<Option<String>, CallError> {
        // Both greet in the same way.
        self.0.elasticsearch.version().await
    }
}
