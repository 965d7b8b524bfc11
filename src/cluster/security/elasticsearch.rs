//! Elasticsearch's security API (`/_security`).
//!
//! Answers are judged by status and `error.type` alone, and a 200 counts only with a body that has
//! what was asked for.

mod answer;
mod api_keys;
mod document;
mod listing;
mod names;
mod password;

pub(super) use document::document;
pub(super) use names::reserves;

use document::SentPassword;

use super::types::{
    Account, ApiKeys, Config, NewPassword, PasswordForm, ServiceAccount, StoredAccount, UserPage,
    Whoami,
};
use crate::{
    clock::Clock,
    cluster::{
        error::{CallError, CallFailure},
        pool::{Ask, NodeAnswer, Pool, Timeouts},
    },
    model::Username,
    net::tls::{self, TlsError},
    secret::ExposeSecret as _,
    telemetry::{ClusterTelemetry, metrics::Call},
};
use arc_swap::ArcSwapOption;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, Uri, uri::Scheme};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

const AUTHENTICATE: &str = "/_security/_authenticate";

/// A client of one cluster.
pub struct Elasticsearch {
    pool: Pool,
    /// Empty where the account cannot be put into a header; every call as the account then fails
    /// with that.
    account: ArcSwapOption<HeaderValue>,
    /// Whether passwords are sent as a hash. False for good once the cluster has refused a hash and
    /// accepted the password.
    takes_hashes: AtomicBool,
}

impl fmt::Debug for Elasticsearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Elasticsearch")
    }
}

/// The account and the TLS of a new configuration, ready to be used.
#[derive(Debug)]
pub struct ClusterAccess {
    account: Option<HeaderValue>,
    tls: rustls::ClientConfig,
}

impl Elasticsearch {
    pub(super) fn new(
        config: &Config,
        clock: Clock,
        timeouts: Timeouts,
        telemetry: &ClusterTelemetry,
    ) -> Result<Self, TlsError> {
        let ClusterAccess { account, tls } = access(config)?;
        Ok(Self {
            pool: Pool::new(&config.hosts, tls, clock, timeouts, telemetry),
            account: ArcSwapOption::from_pointee(account),
            takes_hashes: AtomicBool::new(config.passwords == PasswordForm::Hash),
        })
    }

    pub(super) fn replace(&self, access: ClusterAccess) {
        self.account.store(access.account.map(Arc::new));
        self.pool.replace_tls(access.tls);
    }

    pub(super) async fn authenticate(
        &self,
        authorization: &HeaderValue,
    ) -> Result<Whoami, CallError> {
        let ask = get(Call::Authenticate, AUTHENTICATE, authorization);
        self.pool.read(&ask, answer::whoami).await
    }

    pub(super) async fn authenticate_anywhere(
        &self,
        authorization: &HeaderValue,
    ) -> Result<Whoami, CallError> {
        let ask = get(Call::Authenticate, AUTHENTICATE, authorization);
        let refused = AtomicBool::new(false);
        let understand = |answer: &NodeAnswer| match answer::whoami(answer) {
            // Not yet an answer: the next node is asked.
            Ok(Whoami::Refused) => {
                refused.store(true, Ordering::Relaxed);
                Err(answer::unexpected_status(answer))
            }
            other => other,
        };
        match self.pool.read(&ask, understand).await {
            Err(_) if refused.load(Ordering::Relaxed) => Ok(Whoami::Refused),
            answered => answered,
        }
    }

    /// A 404 counts as absent only with the cluster's own empty object in it, not with a gateway's
    /// page.
    pub(super) async fn read_user(
        &self,
        name: &Username,
    ) -> Result<Option<StoredAccount>, CallError> {
        let (path, account) = (user_path(name.as_str()), self.account(Call::ReadUser)?);
        let ask = get(Call::ReadUser, &path, &account);
        self.pool
            .read(&ask, |answer| answer::user(answer, name))
            .await
    }

    pub(super) async fn list_users(&self, after: Option<&str>) -> Result<UserPage, CallError> {
        let account = self.account(Call::ListUsers)?;
        let ask = Ask {
            call: Call::ListUsers,
            method: Method::POST,
            path: listing::PAGES,
            authorization: &account,
            body: listing::question(after),
        };
        if let Some(page) = self.pool.read(&ask, listing::page).await? {
            return Ok(page);
        }
        let ask = get(Call::ListUsers, listing::ALL, &account);
        self.pool.read(&ask, listing::all).await
    }

    pub(super) async fn prepare(&self, mut password: NewPassword) -> NewPassword {
        if self.takes_hashes.load(Ordering::Relaxed) {
            let (text, salt) = (password.text.clone(), password.salt.clone());
            password.hash = spawn_blocking(move || password::hash(&text, &salt))
                .await
                .ok();
        }
        password
    }

    pub(super) async fn write_user(
        &self,
        account: &Account,
        password: &NewPassword,
    ) -> Result<(), CallError> {
        let in_clear = || self.put_user(account, SentPassword::Clear(&password.text));
        if !self.takes_hashes.load(Ordering::Relaxed) {
            return in_clear().await;
        }
        let worked_out: Zeroizing<String>;
        let hash = if let Some(hash) = &password.hash {
            hash
        } else {
            worked_out = password::hash(&password.text, &password.salt);
            &worked_out
        };
        let written = self.put_user(account, SentPassword::Hash(hash)).await;
        if !written.as_ref().is_err_and(refuses_the_hash) {
            return written;
        }
        let written = in_clear().await;
        if written.is_ok() && self.takes_hashes.swap(false, Ordering::Relaxed) {
            tracing::warn!(
                "the cluster refuses hashed passwords; from now on elastauth sends the password \
                 and the cluster hashes it, which makes first logins slow"
            );
        }
        written
    }

    async fn put_user(
        &self,
        account: &Account,
        password: SentPassword<'_>,
    ) -> Result<(), CallError> {
        // A login reads the user by its id, which sees what is not refreshed: only lists lag, and a
        // refresh would cost every write dearly.
        let path = format!("{}?refresh=false", user_path(&account.name));
        let ask = Ask {
            call: Call::WriteUser,
            method: Method::PUT,
            path: &path,
            authorization: &self.account(Call::WriteUser)?,
            body: document::body(account, password),
        };
        self.pool.write(&ask, answer::written).await
    }

    pub(super) async fn invalidate_api_keys(&self, name: &Username) -> Result<ApiKeys, CallError> {
        let account = self.account(Call::ListApiKeys)?;
        let path = api_keys::list_path(&segment(name.as_str()));
        let list = get(Call::ListApiKeys, &path, &account);
        let listed = |answer: &NodeAnswer| api_keys::listed(answer, name.as_str());
        let ids = self.pool.read(&list, listed).await?;
        if ids.is_empty() {
            return Ok(ApiKeys::default());
        }
        let ask = Ask {
            call: Call::InvalidateApiKeys,
            method: Method::DELETE,
            path: api_keys::PATH,
            authorization: &account,
            body: api_keys::invalidation(&ids),
        };
        self.pool.write(&ask, api_keys::invalidated).await
    }

    pub(super) async fn check(&self) -> Result<(), CallError> {
        let account = self.account(Call::Check)?;
        let ask = get(Call::Check, AUTHENTICATE, &account);
        self.pool.read(&ask, answer::accepted).await
    }

    pub(super) async fn missing_privileges(&self) -> Result<Vec<&'static str>, CallError> {
        let ask = Ask {
            call: Call::Check,
            method: Method::POST,
            path: "/_security/user/_has_privileges",
            authorization: &self.account(Call::Check)?,
            body: Bytes::from(json!({ "cluster": answer::PRIVILEGES }).to_string()),
        };
        self.pool.read(&ask, answer::missing_privileges).await
    }

    /// Whether the service account may delete users, which it need not.
    pub(super) async fn may_delete_users(&self) -> Result<bool, CallError> {
        let ask = Ask {
            call: Call::Check,
            method: Method::POST,
            path: "/_security/user/_has_privileges",
            authorization: &self.account(Call::Check)?,
            body: Bytes::from(json!({ "cluster": [answer::DELETE_USERS] }).to_string()),
        };
        self.pool.read(&ask, answer::may_delete_users).await
    }

    pub(super) async fn delete_user(&self, name: &Username) -> Result<(), CallError> {
        let ask = Ask {
            call: Call::WriteUser,
            method: Method::DELETE,
            path: &user_path(name.as_str()),
            authorization: &self.account(Call::WriteUser)?,
            body: Bytes::new(),
        };
        self.pool.write(&ask, answer::deleted).await
    }

    pub(super) async fn version(&self) -> Result<Option<String>, CallError> {
        let account = self.account(Call::Check)?;
        self.pool
            .read(&get(Call::Check, "/", &account), answer::version)
            .await
    }

    fn account(&self, call: Call) -> Result<HeaderValue, CallError> {
        let account = self.account.load();
        account
            .as_deref()
            .cloned()
            .ok_or_else(|| CallError::of_cluster(call, CallFailure::Unsendable))
    }
}

/// The path of one user.
fn user_path(name: &str) -> String {
    format!("/_security/user/{}", segment(name))
}

/// Every byte outside RFC 3986's unreserved set is escaped, so that a name is one segment, and one
/// value of a query, whatever it holds.
fn segment(name: &str) -> String {
    const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
        .remove(b'-')
        .remove(b'.')
        .remove(b'_')
        .remove(b'~');
    utf8_percent_encode(name, SEGMENT).to_string()
}

/// Whether a cluster that answers so may take the same user with the password in clear. Older
/// versions call it a validation error.
fn refuses_the_hash(error: &CallError) -> bool {
    let CallFailure::Status {
        status: StatusCode::BAD_REQUEST,
        error_type: Some(error_type),
        ..
    } = &error.why
    else {
        return false;
    };
    let types = [
        "illegal_argument_exception",
        "validation_exception",
        "parse_exception",
    ];
    types.contains(&&**error_type)
}

pub(super) fn access(config: &Config) -> Result<ClusterAccess, TlsError> {
    Ok(ClusterAccess {
        account: authorization(&config.account),
        tls: tls_of(config)?,
    })
}

/// `None` where a key holds bytes that no header can carry.
fn authorization(account: &ServiceAccount) -> Option<HeaderValue> {
    let text = Zeroizing::new(match account {
        ServiceAccount::Basic { username, password } => {
            let pair = Zeroizing::new(format!("{username}:{}", password.expose_secret()));
            format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes()))
        }
        ServiceAccount::ApiKey(key) => format!("ApiKey {}", key.expose_secret()),
    });
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

fn tls_of(config: &Config) -> Result<rustls::ClientConfig, TlsError> {
    let https = |host: &Uri| host.scheme() == Some(&Scheme::HTTPS);
    if !config.hosts.iter().any(https) {
        return tls::client_without_trust();
    }
    if config.tls.danger_skip_verify {
        tracing::warn!(
            "certificates of the cluster are NOT verified \
             (elasticsearch.tls.insecure_skip_verify): whoever sits between elastauth and the \
             cluster can take the service account"
        );
    }
    tls::client(&config.tls)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_segment_whatever_it_holds() {
        for (text, segment) in [
            ("alice", "alice"),
            ("A-b.c_d~9", "A-b.c_d~9"),
            ("a/b", "a%2Fb"),
            ("%2e%2e", "%252e%252e"),
            ("a b", "a%20b"),
            ("x?refresh=true#y", "x%3Frefresh%3Dtrue%23y"),
            ("a;b@c+d", "a%3Bb%40c%2Bd"),
            ("...", "..."),
            (r#"*"\<>|{}^`"#, "%2A%22%5C%3C%3E%7C%7B%7D%5E%60"),
        ] {
            assert_eq!(user_path(text), format!("/_security/user/{segment}"));
        }
    }
}
