//! From roles to a credential that works.

use crate::{model::Username, roles::Entitled, secret::SecretKey};
use http::HeaderValue;
use std::time::Duration;

/// Settings of this floor.
#[derive(Debug, Clone)]
pub struct Config {
    /// The key from which credentials are derived; `None` makes one for this process alone.
    pub secret_key: Option<SecretKey>,
    /// Part of every derivation, so that two clusters never share a password.
    pub cluster_name: String,
    /// The service account's own name, never to be written. `None` with an API key.
    pub service_account: Option<String>,
    /// How long a password lives; zero means for ever.
    pub rotation: Duration,
    /// How long nobody is answered at the boundary of two passwords; must exceed the replicas' clock skew.
    pub grace: Duration,
    /// How long the cluster's agreement is believed without asking again.
    pub expiration: Duration,
    /// In which form passwords are sent.
    pub hash: HashMode,
    /// Which users that elastauth has not written may be taken over.
    pub adopt: Adopt,
    /// How often one user may be written in a minute.
    pub writes_per_minute: u32,
    /// Answer with a credential and never call the cluster.
    pub dry_run: bool,
}

/// In which form passwords are sent to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashMode {
    /// As a cheap hash, and in clear where the cluster refuses the hash.
    #[default]
    Auto,
    /// In clear; the cluster hashes at its own cost.
    Off,
}

/// Which users that elastauth has not written may be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adopt {
    /// None.
    Never,
    /// Those that the Go program wrote: metadata whose only key is `groups`.
    #[default]
    ElastauthGo,
    /// Any native user that is not reserved.
    Any,
}

/// A login that works now. Made by [`Broker::credential`] alone.
#[derive(Debug, Clone)]
pub struct Credential {
    authorization: HeaderValue,
}

impl Credential {
    /// The value of `Authorization`, marked sensitive.
    #[must_use]
    pub fn authorization(&self) -> &HeaderValue {
        &self.authorization
    }
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
    #[error("the cluster has a user of that name which elastauth has not written; `users.adopt` decides whether it may be taken over")]
    Foreign,
    /// The user was written too often within a minute.
    #[error("the user's groups change too often: the limit of writes a minute is reached; two sessions of one user with different groups?")]
    WriteBudget,
    /// The cluster refused elastauth's own account.
    #[error("the cluster refuses elastauth's own account; look at its credentials and privileges")]
    ServiceAccount,
    /// The cluster could not be asked, or its answer could not be used.
    #[error("the cluster did not do its part: {0}")]
    Cluster(std::sync::Arc<str>),
    /// It takes longer than a gateway waits; the work goes on and the next request may find it done.
    #[error("the cluster did not answer in time")]
    Late,
    /// Too many requests wait for the cluster.
    #[error("too many requests wait for the cluster")]
    Busy,
    /// The program is ending and begins nothing new.
    #[error("the program is ending")]
    Ending,
    /// The work on the user ended without a result: a bug.
    #[error("the work on the user ended without a result")]
    Crashed,
}

/// Makes the cluster agree.
#[derive(Debug)]
pub struct Broker {}

impl Broker {
    /// The login of an entitled identity, after the cluster was made to agree.
    ///
    /// # Errors
    /// See [`BrokerError`].
    #[expect(clippy::unused_async, reason = "placeholder")]
    pub async fn credential(&self, entitled: &Entitled) -> Result<Credential, BrokerError> {
        let _user: &Username = entitled.identity().user();
        Err(BrokerError::Busy)
    }
}
