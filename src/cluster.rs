//! The security API of an Elasticsearch cluster: who is this, read a user, write a user.
//!
//! Every call has a deadline over connecting, head and body. Answers are judged by status and
//! `error.type` alone, and a 200 counts only with a body that says what was asked for. Reads go
//! from node to node; a write goes to a second node only where the first cannot have it or has
//! refused us.

mod call;
mod departure;
mod error;
mod nodes;
#[cfg(test)]
mod tests;
mod wire;

pub use error::{CallError, Fate, Loss, Source, Unsent};
pub use wire::{NewUser, Password, Privileges, User, Whoami};

use crate::{
    clock::Clock,
    model::Username,
    net::tls,
    secret::{ExposeSecret as _, SecretString},
    telemetry::{
        ClusterTelemetry,
        metrics::{Call, NodeMetrics},
    },
};
use arc_swap::ArcSwapOption;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use call::{Ask, Caller, Timeouts};
use http::{HeaderValue, Method, StatusCode, Uri, uri::Scheme};
use nodes::{Node, Nodes};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use zeroize::Zeroizing;

/// Settings of this floor.
#[derive(Clone)]
pub struct Config {
    /// Base URLs of the cluster's nodes, `http` or `https`, at least one; a path is a prefix. User
    /// information in them is never sent.
    pub hosts: Vec<Uri>,
    /// As whom elastauth itself calls.
    pub account: ServiceAccount,
    /// TLS towards the nodes.
    pub tls: tls::ClientConfig,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<Node> = self
            .hosts
            .iter()
            .map(|host| Node::new(host, NodeMetrics::default()))
            .collect();
        f.debug_struct("Config")
            .field("hosts", &hosts)
            .field("account", &self.account)
            .field("tls", &self.tls)
            .finish()
    }
}

/// The service account.
#[derive(Debug, Clone)]
pub enum ServiceAccount {
    /// A native or file realm user.
    Basic {
        /// Its name.
        username: String,
        /// Its password.
        password: SecretString,
    },
    /// An API key in its encoded form (`base64(id:key)`).
    ApiKey(SecretString),
}

impl ServiceAccount {
    /// `None` where a key holds bytes that no header can carry.
    fn authorization(&self) -> Option<HeaderValue> {
        let text = Zeroizing::new(match self {
            Self::Basic { username, password } => {
                let pair = Zeroizing::new(format!("{username}:{}", password.expose_secret()));
                format!("Basic {}", STANDARD.encode(pair.as_bytes()))
            }
            Self::ApiKey(key) => format!("ApiKey {}", key.expose_secret()),
        });
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// A client of the security API. Clones share connections and what is known of the nodes.
#[derive(Debug, Clone)]
pub struct SecurityApi {
    inner: Arc<Inner>,
}

struct Inner {
    caller: Caller,
    /// Nothing where the account cannot be put into a header; every call as the account then says
    /// so.
    account: ArcSwapOption<HeaderValue>,
}

/// The account and the TLS of a new configuration, ready to be used. Made by [`SecurityApi::access`].
pub struct Access {
    account: Option<HeaderValue>,
    tls: rustls::ClientConfig,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

impl fmt::Debug for Inner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inner")
            .field("nodes", self.caller.nodes())
            .finish_non_exhaustive()
    }
}

impl Inner {
    fn account(&self) -> Result<HeaderValue, CallError> {
        self.account
            .load()
            .as_deref()
            .cloned()
            .ok_or_else(call::unsendable)
    }
}

impl SecurityApi {
    /// Sets the client up. Nothing is connected yet: a cluster that is down at start is not an
    /// error.
    ///
    /// # Errors
    /// When a host is `https` and TLS cannot be set up. With plain `http` alone no TLS file is
    /// looked at.
    pub fn new(
        config: Config,
        clock: Clock,
        telemetry: &ClusterTelemetry,
    ) -> Result<Self, tls::TlsError> {
        Self::build(config, clock, Timeouts::default(), telemetry)
    }

    #[cfg(test)]
    fn with(config: Config, clock: Clock, timeouts: Timeouts) -> Result<Self, tls::TlsError> {
        Self::build(config, clock, timeouts, &ClusterTelemetry::default())
    }

    fn build(
        config: Config,
        clock: Clock,
        timeouts: Timeouts,
        telemetry: &ClusterTelemetry,
    ) -> Result<Self, tls::TlsError> {
        let Config {
            hosts,
            account,
            tls,
        } = config;
        let connector = connector(&hosts, &tls)?;
        let nodes = hosts
            .iter()
            .enumerate()
            .map(|(index, host)| Node::new(host, telemetry.metrics.node(index)))
            .collect();
        let caller = Caller::new(Nodes::new(nodes, clock), connector, timeouts, telemetry);
        let account = ArcSwapOption::from_pointee(account.authorization());
        Ok(Self {
            inner: Arc::new(Inner { caller, account }),
        })
    }

    /// Looks at the account and the TLS files of a new configuration. Its hosts do not count: the
    /// nodes stay the same.
    ///
    /// # Errors
    /// As with [`Self::new`].
    pub fn access(&self, config: &Config) -> Result<Access, tls::TlsError> {
        Ok(Access {
            account: config.account.authorization(),
            tls: connector(&config.hosts, &config.tls)?,
        })
    }

    /// Uses them from the next call on.
    pub fn replace(&self, access: Access) {
        self.inner.account.store(access.account.map(Arc::new));
        self.inner.caller.replace_tls(access.tls);
    }

    /// Asks the cluster who the bearer of `authorization` is.
    ///
    /// # Errors
    /// Everything but 200 and 401.
    pub async fn authenticate(&self, authorization: &HeaderValue) -> Result<Whoami, CallError> {
        self.inner
            .caller
            .read(
                &get(
                    Call::Authenticate,
                    "/_security/_authenticate",
                    authorization,
                ),
                wire::Answer::whoami,
            )
            .await
    }

    /// The same, and refused is only whom no node takes: one without its security index refuses
    /// everybody.
    ///
    /// # Errors
    /// As with [`Self::authenticate`], where no node has said anything at all.
    pub async fn authenticate_anywhere(
        &self,
        authorization: &HeaderValue,
    ) -> Result<Whoami, CallError> {
        let ask = get(
            Call::Authenticate,
            "/_security/_authenticate",
            authorization,
        );
        let refused = AtomicBool::new(false);
        let understand = |answer: &wire::Answer| {
            refused.fetch_or(answer.status == StatusCode::UNAUTHORIZED, Ordering::Relaxed);
            answer.somebody()
        };
        match self.inner.caller.read(&ask, understand).await {
            Err(_) if refused.load(Ordering::Relaxed) => Ok(Whoami::Refused),
            told => told,
        }
    }

    /// Reads a user, as the service account; `None` where the cluster says that there is none.
    ///
    /// A 404 counts as absent only with the cluster's own empty object in it, not with a gateway's
    /// page.
    ///
    /// # Errors
    /// When no node gives a usable answer.
    pub async fn read_user(&self, name: &Username) -> Result<Option<User>, CallError> {
        self.inner
            .caller
            .read(
                &get(
                    Call::ReadUser,
                    &wire::user_path(name),
                    &self.inner.account()?,
                ),
                |answer| answer.user(name),
            )
            .await
    }

    /// Writes a whole user, as the service account. When it returns well the user can log in on
    /// every node.
    ///
    /// # Errors
    /// [`CallError::fate`] says whether the write may have happened, or may happen yet.
    pub async fn write_user(&self, name: &Username, user: &NewUser<'_>) -> Result<(), CallError> {
        // A login reads the user by its id, which sees what is not refreshed: only lists lag, and a
        // refresh would cost every write dearly.
        let path = format!("{}?refresh=false", wire::user_path(name));
        let body = Bytes::from(wire::body_of(user));
        let ask = Ask {
            call: Call::WriteUser,
            method: Method::PUT,
            path: &path,
            authorization: &self.inner.account()?,
            body,
        };
        self.inner.caller.write(&ask, wire::Answer::written).await
    }

    /// Whether the cluster answers and takes the service account; for readiness.
    ///
    /// # Errors
    /// What stands in the way; a refused account is a status of 401.
    pub async fn check(&self) -> Result<(), CallError> {
        self.inner
            .caller
            .read(
                &get(
                    Call::Check,
                    "/_security/_authenticate",
                    &self.inner.account()?,
                ),
                wire::Answer::accepted,
            )
            .await
    }

    /// Whether the service account may read and write users, by its own word; nothing is read or
    /// written for it.
    ///
    /// # Errors
    /// What stands in the way of asking.
    pub async fn privileges(&self) -> Result<Privileges, CallError> {
        let body = Bytes::from(
            serde_json::json!({ "cluster": [wire::READ_USERS, wire::WRITE_USERS] }).to_string(),
        );
        let ask = Ask {
            call: Call::Check,
            method: Method::POST,
            path: "/_security/user/_has_privileges",
            authorization: &self.inner.account()?,
            body,
        };
        self.inner.caller.read(&ask, wire::Answer::privileges).await
    }

    /// The cluster's version; `None` where the service account may not see it, which it need not.
    ///
    /// # Errors
    /// What stands in the way of asking.
    pub async fn version(&self) -> Result<Option<String>, CallError> {
        self.inner
            .caller
            .read(
                &get(Call::Check, "/", &self.inner.account()?),
                wire::Answer::version,
            )
            .await
    }
}

/// Who is believed as a node, and what is shown to it.
fn connector(
    hosts: &[Uri],
    tls: &tls::ClientConfig,
) -> Result<rustls::ClientConfig, tls::TlsError> {
    if hosts
        .iter()
        .all(|host| host.scheme() != Some(&Scheme::HTTPS))
    {
        return tls::client_without_trust();
    }
    if tls.danger_skip_verify {
        tracing::warn!(
            "certificates of the cluster are NOT verified (elasticsearch.tls.insecure_skip_verify): \
             whoever sits between elastauth and the cluster can take the service account"
        );
    }
    tls::client(tls)
}

fn get<'a>(call: Call, path: &'a str, authorization: &'a HeaderValue) -> Ask<'a> {
    Ask {
        call,
        method: Method::GET,
        path,
        authorization,
        body: Bytes::new(),
    }
}
