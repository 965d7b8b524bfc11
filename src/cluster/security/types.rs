//! The words that the security API and the domain share.

use crate::{
    clock::{Days, Timestamp},
    model::{Generation, Username},
    net::tls,
    secret::SecretString,
};
use http::Uri;
use serde_json::Value;
use std::fmt;
use zeroize::Zeroizing;

/// Whose security API a cluster has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Kind {
    /// The cluster is asked before the first call; until it has answered, Elasticsearch is assumed.
    #[default]
    Auto,
    /// Elasticsearch.
    Elasticsearch,
    /// OpenSearch with its security plugin.
    Opensearch,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Auto => "auto",
            Self::Elasticsearch => "elasticsearch",
            Self::Opensearch => "opensearch",
        })
    }
}

/// Settings of one cluster.
#[derive(Clone)]
pub struct Config {
    /// Which security API is spoken.
    pub kind: Kind,
    /// Base URLs of the cluster's nodes, `http` or `https`, at least one; a path is a prefix. User
    /// information in them is never sent.
    pub hosts: Vec<Uri>,
    /// As whom elastauth itself calls.
    pub account: ServiceAccount,
    /// TLS towards the nodes.
    pub tls: tls::ClientConfig,
    /// In which form passwords are sent.
    pub passwords: PasswordForm,
}

/// A host may hold a password, so only names are shown.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<&str> = self.hosts.iter().filter_map(Uri::host).collect();
        f.debug_struct("Config")
            .field("kind", &self.kind)
            .field("hosts", &hosts)
            .field("account", &self.account)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

/// As whom elastauth itself calls the cluster.
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

/// In which form passwords are sent to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PasswordForm {
    /// As a cheap hash, and in clear where the cluster refuses the hash.
    #[default]
    Hash,
    /// In clear; the cluster hashes at its own cost.
    Clear,
}

/// A user of the cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Account {
    /// The name.
    pub name: String,
    /// The roles. The cluster keeps unknown ones and duplicates as they were written.
    pub roles: Vec<String>,
    /// The full name, if one is set.
    pub full_name: Option<String>,
    /// The mail address, if one is set.
    pub email: Option<String>,
    /// The groups from which the roles were made.
    pub groups: Vec<String>,
    /// Whether it may log in. `false` is an administrator's doing.
    pub enabled: bool,
    /// Who has written it.
    pub origin: Origin,
}

/// Mail, full name and groups are a person's, so they are not shown.
impl fmt::Debug for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Account")
            .field("name", &self.name)
            .field("roles", &self.roles)
            .field("enabled", &self.enabled)
            .finish_non_exhaustive()
    }
}

/// Who has written an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// elastauth, with this marker.
    Elastauth(Marker),
    /// The Go program of that name, which left no marker.
    ElastauthGo,
    /// Nobody: it is built into the cluster.
    BuiltIn,
    /// Somebody else.
    Other,
}

impl Origin {
    /// What elastauth noted, where it wrote the account.
    #[must_use]
    pub fn marker(&self) -> Option<&Marker> {
        match self {
            Self::Elastauth(marker) => Some(marker),
            Self::ElastauthGo | Self::BuiltIn | Self::Other => None,
        }
    }
}

/// What elastauth notes in an account that it writes. Older versions noted less.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Marker {
    /// Of the whole account, password included.
    pub fingerprint: Option<String>,
    /// The rotation period of the password.
    pub epoch: Option<u64>,
    /// The key of the password.
    pub key_id: Option<String>,
    /// The provider that vouched for the user.
    pub provider: Option<String>,
    /// The provider's own id of the user (`sub`), where it has one.
    pub subject: Option<String>,
    /// When the token was issued from which the account was written, where there was one.
    pub issued_at: Option<Timestamp>,
    /// How often the login was revoked.
    pub generation: Generation,
    /// Whether the login is one that nobody has been given.
    pub parked: bool,
    /// Between which days a request of the user came last that got this login. Whatever comes later
    /// takes another write.
    pub(crate) seen: Option<Days>,
}

/// An account as the cluster stores it.
#[derive(Clone, PartialEq)]
pub struct StoredAccount {
    /// What is understood of it.
    pub account: Account,
    /// Whether that is all: an administrator may have added something.
    pub exact: bool,
    /// The cluster's own document, for people to read.
    pub document: Value,
}

impl fmt::Debug for StoredAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.account.fmt(f)
    }
}

/// A user in a listing whom elastauth has written.
#[derive(Debug, Clone)]
pub struct ListedUser {
    /// The name.
    pub name: Username,
    /// What elastauth has noted. It may be a second behind.
    pub marker: Marker,
    /// Whether they may log in.
    pub enabled: bool,
}

/// Some users of a listing.
#[derive(Debug, Default)]
pub struct UserPage {
    /// Those of elastauth.
    pub users: Vec<ListedUser>,
    /// After whom the next page begins, where there is one.
    pub next: Option<String>,
}

/// Whose login it is, as the cluster sees it.
#[derive(Debug, Clone, PartialEq)]
pub enum Whoami {
    /// Of this user, who is one that the security API writes.
    User(Box<StoredAccount>),
    /// Of somebody that another authority vouches for: a directory, a file, anonymous access.
    Other,
    /// The login works, and does not show that it is of the user as stored: a node may still have
    /// it in its cache from before somebody else has written the user. On OpenSearch only.
    Unproven,
    /// The login does not work. That is no proof of a wrong password: a node that cannot read its
    /// security index answers the same.
    Refused,
}

/// What became of the API keys of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ApiKeys {
    /// Keys that work no more.
    pub invalidated: usize,
    /// Keys that the cluster could not invalidate.
    pub failed: usize,
}

/// A password to write.
pub struct NewPassword {
    pub(super) text: Zeroizing<String>,
    pub(super) salt: Zeroizing<[u8; 32]>,
    /// Worked out ahead by [`super::SecurityApi::prepare`].
    pub(super) hash: Option<Zeroizing<String>>,
}

impl NewPassword {
    /// A password, and the salt to use if it is hashed: a repeated write has to be the same write.
    #[must_use]
    pub fn new(text: &str, salt: Zeroizing<[u8; 32]>) -> Self {
        Self {
            text: Zeroizing::new(text.to_owned()),
            salt,
            hash: None,
        }
    }
}

impl fmt::Debug for NewPassword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NewPassword(***)")
    }
}
