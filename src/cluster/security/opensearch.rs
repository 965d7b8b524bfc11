//! The REST API of OpenSearch's security plugin (`/_plugins/_security`).
//!
//! It differs from Elasticsearch's in what it costs. A user of an unknown name is checked against a
//! slow hash all the same, so nobody is logged in whose entry has not been read before. All users
//! are one document, and every write empties the credential cache of all of them, so writes are
//! collected, and so are reads: see [`commit`] and [`reads`]. A login that the cache keeps in spite
//! of a write still shows the entry of its time, so an entry's fingerprint is in the name of an
//! attribute, which a login shows: see [`document()`].

mod answer;
mod batch;
mod commit;
mod document;
mod entry;
mod listing;
mod names;
mod password;
mod paths;
mod queue;
mod reads;
#[cfg(test)]
mod tests;

pub(super) use document::document;
pub(super) use names::reserves;
pub(super) use paths::AUTHINFO;

use super::{
    client::{Client, get},
    types::{Account, NewPassword, PasswordForm, StoredAccount, UserPage, Whoami},
};
use crate::{
    clock::Timestamp,
    cluster::{
        error::{CallError, CallFailure},
        pool::{Ask, NodeAnswer},
    },
    model::Username,
    telemetry::metrics::Call,
};
use answer::Login;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use commit::Commit;
use document::SentPassword;
use entry::Entry;
use http::{HeaderValue, Method};
use paths::{ROLES, USERS};
use reads::Reads;
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::task::spawn_blocking;
use zeroize::Zeroizing;

/// A name that no user has.
const NOBODY: &str = "elastauth-check-nobody";

/// A client of one cluster.
pub(super) struct Opensearch {
    client: Arc<Client>,
    commit: Commit,
    reads: Reads,
    /// Whether passwords are sent as a hash. False for good once the cluster has refused the login
    /// of a hash and accepted that of the password.
    takes_hashes: AtomicBool,
    /// Whether a login of a hash has worked. The plugin takes any hash unseen, and one that is set
    /// to another algorithm than bcrypt refuses all logins.
    hash_works: AtomicBool,
}

impl fmt::Debug for Opensearch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Opensearch")
    }
}

impl Opensearch {
    pub(super) fn new(client: Arc<Client>, passwords: PasswordForm) -> Self {
        Self {
            commit: Commit::new(Arc::clone(&client)),
            reads: Reads::new(Arc::clone(&client)),
            client,
            takes_hashes: AtomicBool::new(passwords == PasswordForm::Hash),
            hash_works: AtomicBool::new(false),
        }
    }

    pub(super) async fn authenticate(
        &self,
        authorization: &HeaderValue,
    ) -> Result<Whoami, CallError> {
        let stored = match self.entry_of(authorization).await? {
            Known::Nobody => return Ok(Whoami::Refused),
            Known::Entry(stored) => Some(stored),
            Known::Unreadable => None,
        };
        let ask = get(Call::Authenticate, AUTHINFO, authorization);
        let login = self.client.pool.read(&ask, answer::login).await?;
        Ok(whoami(login, stored))
    }

    pub(super) async fn authenticate_anywhere(
        &self,
        authorization: &HeaderValue,
    ) -> Result<Whoami, CallError> {
        match self.entry_of(authorization).await? {
            Known::Nobody => Ok(Whoami::Refused),
            Known::Entry(stored) => self.log_in_anywhere(authorization, Some(stored)).await,
            Known::Unreadable => self.log_in_anywhere(authorization, None).await,
        }
    }

    /// The same for a user as they were read before. Nobody may be written over whom somebody else
    /// has locked since then.
    pub(super) async fn authenticate_found(
        &self,
        authorization: &HeaderValue,
        found: &StoredAccount,
    ) -> Result<Whoami, CallError> {
        match self.entry_of(authorization).await? {
            Known::Entry(stored) if *stored == *found => {
                self.log_in_anywhere(authorization, Some(stored)).await
            }
            Known::Nobody | Known::Entry(_) => Err(CallError::of_cluster(
                Call::Authenticate,
                CallFailure::Overtaken,
            )),
            Known::Unreadable => self.log_in_anywhere(authorization, None).await,
        }
    }

    async fn log_in_anywhere(
        &self,
        authorization: &HeaderValue,
        stored: Option<Box<StoredAccount>>,
    ) -> Result<Whoami, CallError> {
        let ask = get(Call::Authenticate, AUTHINFO, authorization);
        let refused = AtomicBool::new(false);
        let understand = |answer: &NodeAnswer| match answer::login(answer) {
            // Not yet an answer: the next node is asked.
            Ok(None) => {
                refused.store(true, Ordering::Relaxed);
                Err(answer::unexpected_status(answer))
            }
            other => other,
        };
        let login = match self.client.pool.read(&ask, understand).await {
            Err(_) if refused.load(Ordering::Relaxed) => None,
            answered => answered?,
        };
        Ok(whoami(login, stored))
    }

    /// The entry of the user whose login this is.
    async fn entry_of(&self, authorization: &HeaderValue) -> Result<Known, CallError> {
        let Some(name) = user_of(authorization) else {
            return Ok(Known::Unreadable);
        };
        match self.read_user(&name).await {
            Ok(None) => Ok(Known::Nobody),
            // Their hash fits no password.
            Ok(Some(stored)) if !stored.account.enabled => Ok(Known::Nobody),
            Ok(Some(stored)) => Ok(Known::Entry(Box::new(stored))),
            // The login itself needs no right; what comes next says what the account lacks.
            Err(error) if error.is_refusal() => Ok(Known::Unreadable),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn read_user(
        &self,
        name: &Username,
    ) -> Result<Option<StoredAccount>, CallError> {
        self.reads.read(name).await
    }

    /// All users in one page: the plugin has no others.
    pub(super) async fn list_users(&self) -> Result<UserPage, CallError> {
        let account = self.client.account(Call::ListUsers)?;
        let ask = get(Call::ListUsers, USERS, &account);
        self.client.pool.read(&ask, listing::all).await
    }

    pub(super) async fn prepare(&self, mut password: NewPassword) -> NewPassword {
        if self.takes_hashes.load(Ordering::Relaxed) {
            let (text, salt) = (password.text.clone(), password.salt.clone());
            let hash = spawn_blocking(move || password::hash(&text, &salt)).await;
            password.hash = hash.ok().flatten();
        }
        password
    }

    /// Writes a user over what was found.
    pub(super) async fn write_user(
        &self,
        account: &Account,
        found: Option<&StoredAccount>,
        password: &NewPassword,
        not_after: Option<Timestamp>,
    ) -> Result<(), CallError> {
        if !self.takes_hashes.load(Ordering::Relaxed) {
            return self
                .write_in_clear(account, found, password, not_after)
                .await;
        }
        let worked_out: Option<Zeroizing<String>>;
        let hash = if password.hash.is_some() {
            &password.hash
        } else {
            worked_out = password::hash(&password.text, &password.salt);
            &worked_out
        };
        let Some(hash) = hash else {
            return self
                .write_in_clear(account, found, password, not_after)
                .await;
        };
        let entry = Entry::whole(account, SentPassword::Hash(hash))
            .over(found)
            .not_after(not_after);
        self.commit.write(entry).await?;
        if self.hash_works.load(Ordering::Relaxed) || !account.enabled {
            return Ok(());
        }
        match self.accepts(account, password).await {
            Some(true) => {
                self.hash_works.store(true, Ordering::Relaxed);
                Ok(())
            }
            // The next write is asked about.
            None => Ok(()),
            Some(false) => self.write_again(account, password, not_after).await,
        }
    }

    async fn write_in_clear(
        &self,
        account: &Account,
        found: Option<&StoredAccount>,
        password: &NewPassword,
        not_after: Option<Timestamp>,
    ) -> Result<(), CallError> {
        let sent = SentPassword::Clear(&password.text);
        self.commit
            .write(Entry::whole(account, sent).over(found).not_after(not_after))
            .await
    }

    /// Writes a user in clear whose login by a hash was refused. That may also be because somebody
    /// else has written the user since, or locked them: then they are not written over.
    async fn write_again(
        &self,
        account: &Account,
        password: &NewPassword,
        not_after: Option<Timestamp>,
    ) -> Result<(), CallError> {
        let overtaken = || CallError::of_cluster(Call::WriteUser, CallFailure::Overtaken);
        let name = Username::parse(&account.name).map_err(|_| overtaken())?;
        let found = self.read_user(&name).await?;
        let ours = found.filter(|found| found.exact && found.account == *account);
        let ours = ours.ok_or_else(overtaken)?;
        self.write_in_clear(account, Some(&ours), password, not_after)
            .await?;
        if self.accepts(account, password).await == Some(true)
            && self.takes_hashes.swap(false, Ordering::Relaxed)
        {
            tracing::warn!(
                cluster = &*self.client.cluster,
                "the cluster refuses logins whose password was sent as a bcrypt hash (look at \
                 `plugins.security.password.hashing.algorithm`); from now on elastauth sends the \
                 password and the cluster hashes it, which makes first logins slow"
            );
        }
        Ok(())
    }

    /// Whether this login works; `None` where no node says so.
    async fn accepts(&self, account: &Account, password: &NewPassword) -> Option<bool> {
        let pair = Zeroizing::new(format!("{}:{}", account.name, *password.text));
        let text = Zeroizing::new(format!("Basic {}", BASE64_STANDARD.encode(pair.as_bytes())));
        let mut login = HeaderValue::from_str(&text).ok()?;
        login.set_sensitive(true);
        let ask = get(Call::Authenticate, AUTHINFO, &login);
        let answer = self.client.pool.read(&ask, answer::login).await;
        answer.ok().map(|login| login.is_some())
    }

    /// Deletes a user, where `found` is given only as they were found.
    pub(super) async fn delete_user(
        &self,
        name: &Username,
        found: Option<&StoredAccount>,
    ) -> Result<(), CallError> {
        let removal = Entry::removal(name.as_str());
        let removal = match found {
            None => removal,
            Some(_) => removal.over(found),
        };
        self.commit.write(removal).await
    }

    /// Locks a user whom elastauth has written, or lets them in again from their next request on:
    /// that one writes a login that works. Returns false where there is no such user.
    pub(super) async fn set_enabled(
        &self,
        name: &Username,
        enabled: bool,
    ) -> Result<bool, CallError> {
        let stored = self.read_user(name).await?;
        let ours = stored.filter(|stored| stored.account.origin.marker().is_some());
        let Some(stored) = ours else {
            return Ok(false);
        };
        if stored.account.enabled != enabled {
            let entry = Entry::switch(name.as_str(), enabled);
            self.commit.write(entry).await?;
        }
        Ok(true)
    }

    /// Empties the credential cache once more, by a small write of a user whom elastauth has
    /// written.
    pub(super) async fn empty_cache(
        &self,
        name: &Username,
        now: Timestamp,
    ) -> Result<(), CallError> {
        self.commit.write(Entry::time(name.as_str(), now)).await
    }

    pub(super) async fn check(&self) -> Result<(), CallError> {
        let account = self.client.account(Call::Check)?;
        let ask = get(Call::Check, AUTHINFO, &account);
        self.client.pool.read(&ask, answer::accepted).await
    }

    /// Asks for a user whom nobody has, and for a change that changes nothing.
    pub(super) async fn missing_privileges(&self) -> Result<Vec<&'static str>, CallError> {
        let account = self.client.account(Call::Check)?;
        let path = format!("{USERS}/{NOBODY}");
        let read = get(Call::Check, &path, &account);
        let change = Ask {
            call: Call::Check,
            method: Method::PATCH,
            path: USERS,
            authorization: &account,
            body: Entry::removal(NOBODY).alone(),
        };
        let mut missing = Vec::new();
        if !self.client.pool.read(&read, answer::may).await? {
            missing.push("GET internalusers");
        }
        if !self.client.pool.read(&change, answer::may).await? {
            missing.push("PATCH internalusers");
        }
        Ok(missing)
    }

    /// Whether the account may delete users: it deletes one whom nobody has.
    pub(super) async fn may_delete_users(&self) -> Result<bool, CallError> {
        let missing = self.missing_privileges().await?;
        Ok(missing.is_empty())
    }

    /// Which of these roles the cluster does not have; `None` where the account may not know, which
    /// it need not.
    pub(super) async fn missing_roles(
        &self,
        roles: &[&str],
    ) -> Result<Option<Vec<String>>, CallError> {
        let account = self.client.account(Call::ListUsers)?;
        let ask = get(Call::ListUsers, ROLES, &account);
        let known = self.client.pool.read(&ask, answer::roles).await?;
        Ok(known.map(|known| {
            let missing = roles.iter().filter(|role| !known.contains(**role));
            missing.map(|role| (*role).to_owned()).collect()
        }))
    }
}

/// What is known of the user of a login before they are logged in.
enum Known {
    /// There is none, or nobody can log in as them.
    Nobody,
    Entry(Box<StoredAccount>),
    /// Elastauth's account may not read it.
    Unreadable,
}

/// What a login shows, held against the entry that was read.
fn whoami(login: Option<Login>, stored: Option<Box<StoredAccount>>) -> Whoami {
    let Some(login) = login else {
        return Whoami::Refused;
    };
    let Some(mut stored) = stored else {
        return Whoami::User(Box::new(login.account()));
    };
    if login.user_name != stored.account.name {
        return Whoami::Other;
    }
    // A node may have the login in its cache from before somebody else has written the user.
    if !login.shows_fingerprint(&stored.account) {
        return Whoami::Unproven;
    }
    stored.exact &= login.shows_roles(&stored.account);
    Whoami::User(stored)
}

/// Whose login this is, as it says itself.
fn user_of(authorization: &HeaderValue) -> Option<Username> {
    let text = authorization.to_str().ok()?.strip_prefix("Basic ")?;
    let pair = Zeroizing::new(BASE64_STANDARD.decode(text).ok()?);
    let pair = std::str::from_utf8(&pair).ok()?;
    Username::parse(pair.split_once(':')?.0).ok()
}
