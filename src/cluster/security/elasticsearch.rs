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

use super::{
    client::{Client, get, segment},
    types::{Account, ApiKeys, NewPassword, PasswordForm, StoredAccount, UserPage, Whoami},
};
use crate::{
    cluster::{
        error::{CallError, CallFailure},
        pool::{Ask, NodeAnswer},
    },
    model::Username,
    telemetry::metrics::Call,
};
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode};
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
pub(super) struct Elasticsearch {
    client: Arc<Client>,
    /// Whether passwords are sent as a hash. False for good once the cluster has refused a hash and
    /// accepted the password.
    takes_hashes: AtomicBool,
}

impl fmt::Debug for Elasticsearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Elasticsearch")
    }
}

impl Elasticsearch {
    pub(super) fn new(client: Arc<Client>, passwords: PasswordForm) -> Self {
        Self {
            client,
            takes_hashes: AtomicBool::new(passwords == PasswordForm::Hash),
        }
    }

    pub(super) async fn authenticate(
        &self,
        authorization: &HeaderValue,
    ) -> Result<Whoami, CallError> {
        let ask = get(Call::Authenticate, AUTHENTICATE, authorization);
        self.client.pool.read(&ask, answer::whoami).await
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
        match self.client.pool.read(&ask, understand).await {
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
        let (path, account) = (
            user_path(name.as_str()),
            self.client.account(Call::ReadUser)?,
        );
        let ask = get(Call::ReadUser, &path, &account);
        self.client
            .pool
            .read(&ask, |answer| answer::user(answer, name))
            .await
    }

    pub(super) async fn list_users(
        &self,
        after: Option<&str>,
        only_enabled: bool,
    ) -> Result<UserPage, CallError> {
        let account = self.client.account(Call::ListUsers)?;
        let ask = Ask {
            call: Call::ListUsers,
            method: Method::POST,
            path: listing::PAGES,
            authorization: &account,
            body: listing::question(after, only_enabled),
        };
        let mut page = if let Some(page) = self.client.pool.read(&ask, listing::page).await? {
            page
        } else {
            let ask = get(Call::ListUsers, listing::ALL, &account);
            self.client.pool.read(&ask, listing::all).await?
        };
        page.users.retain(|user| user.enabled || !only_enabled);
        Ok(page)
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
                cluster = &*self.client.cluster,
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
            authorization: &self.client.account(Call::WriteUser)?,
            body: document::body(account, password),
        };
        self.client.pool.write(&ask, answer::written).await
    }

    pub(super) async fn invalidate_api_keys(&self, name: &Username) -> Result<ApiKeys, CallError> {
        let account = self.client.account(Call::ListApiKeys)?;
        let path = api_keys::list_path(&segment(name.as_str()));
        let list = get(Call::ListApiKeys, &path, &account);
        let listed = |answer: &NodeAnswer| api_keys::listed(answer, name.as_str());
        let ids = self.client.pool.read(&list, listed).await?;
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
        self.client.pool.write(&ask, api_keys::invalidated).await
    }

    pub(super) async fn check(&self) -> Result<(), CallError> {
        let account = self.client.account(Call::Check)?;
        let ask = get(Call::Check, AUTHENTICATE, &account);
        self.client.pool.read(&ask, answer::accepted).await
    }

    pub(super) async fn missing_privileges(&self) -> Result<Vec<&'static str>, CallError> {
        let ask = Ask {
            call: Call::Check,
            method: Method::POST,
            path: "/_security/user/_has_privileges",
            authorization: &self.client.account(Call::Check)?,
            body: Bytes::from(json!({ "cluster": answer::PRIVILEGES }).to_string()),
        };
        self.client
            .pool
            .read(&ask, answer::missing_privileges)
            .await
    }

    /// Whether the service account may delete users, which it need not.
    pub(super) async fn may_delete_users(&self) -> Result<bool, CallError> {
        let ask = Ask {
            call: Call::Check,
            method: Method::POST,
            path: "/_security/user/_has_privileges",
            authorization: &self.client.account(Call::Check)?,
            body: Bytes::from(json!({ "cluster": [answer::DELETE_USERS] }).to_string()),
        };
        self.client.pool.read(&ask, answer::may_delete_users).await
    }

    /// Returns false where there is no such user. With `refresh` lists do not have them any more.
    pub(super) async fn delete_user(
        &self,
        name: &Username,
        refresh: bool,
    ) -> Result<bool, CallError> {
        let refresh = if refresh { "" } else { "?refresh=false" };
        let ask = Ask {
            call: Call::WriteUser,
            method: Method::DELETE,
            path: &format!("{}{refresh}", user_path(name.as_str())),
            authorization: &self.client.account(Call::WriteUser)?,
            body: Bytes::new(),
        };
        self.client.pool.write(&ask, answer::deleted).await
    }

    /// Switches a user on or off, which leaves everything else of them as it is. Returns false
    /// where there is no such user.
    pub(super) async fn set_enabled(
        &self,
        name: &Username,
        enabled: bool,
    ) -> Result<bool, CallError> {
        let switch = if enabled { "_enable" } else { "_disable" };
        let ask = Ask {
            call: Call::WriteUser,
            method: Method::PUT,
            path: &format!("{}/{switch}", user_path(name.as_str())),
            authorization: &self.client.account(Call::WriteUser)?,
            body: Bytes::new(),
        };
        self.client.pool.write(&ask, answer::switched).await
    }

    /// Which of these roles the cluster does not have; `None` where the account may not know.
    pub(super) async fn missing_roles(
        &self,
        roles: &[&str],
    ) -> Result<Option<Vec<String>>, CallError> {
        let account = self.client.account(Call::Check)?;
        let ask = get(Call::Check, "/_security/role", &account);
        let known = self.client.pool.read(&ask, answer::roles).await?;
        Ok(known.map(|known| {
            let missing = roles.iter().filter(|role| !known.contains(**role));
            missing.map(|role| (*role).to_owned()).collect()
        }))
    }

    pub(super) async fn version(&self) -> Result<Option<String>, CallError> {
        let account = self.client.account(Call::Check)?;
        self.client
            .pool
            .read(&get(Call::Check, "/", &account), answer::version)
            .await
    }
}

/// The path of one user.
fn user_path(name: &str) -> String {
    format!("/_security/user/{}", segment(name))
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
