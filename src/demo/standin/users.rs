//! The native users of the stand-in: stored hashes that are really verified, and the realm's cache
//! of what was verified.

use aws_lc_rs::{digest, pbkdf2, rand};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};
use std::{collections::HashMap, num::NonZeroU32, sync::Arc};

/// A user as the cluster keeps it.
#[derive(Debug, Clone)]
pub struct StoredUser {
    /// The name, case kept.
    pub username: String,
    /// The roles as written: unknown ones and duplicates too.
    pub roles: Vec<String>,
    /// The full name.
    pub full_name: Option<String>,
    /// The mail address.
    pub email: Option<String>,
    /// Free data; a program keeps its marker here.
    pub metadata: Map<String, Value>,
    /// Whether this user can log in.
    pub enabled: bool,
    pub(super) hash: Hash,
}

impl StoredUser {
    /// An enabled user with this password and nothing else.
    #[must_use]
    pub fn new(username: &str, password: &str) -> Self {
        Self {
            username: username.to_owned(),
            roles: Vec::new(),
            full_name: None,
            email: None,
            metadata: Map::new(),
            enabled: true,
            hash: Hash::of_password(password),
        }
    }

    /// The same user with these roles.
    #[must_use]
    pub fn with_roles(self, roles: &[&str]) -> Self {
        Self {
            roles: roles.iter().map(|role| (*role).to_owned()).collect(),
            ..self
        }
    }

    /// As `GET /_security/user/{name}` and, with the realm added, `_authenticate` show it.
    pub(crate) fn shown(&self) -> Value {
        json!({
            "username": self.username, "roles": self.roles, "full_name": self.full_name,
            "email": self.email, "metadata": self.metadata, "enabled": self.enabled,
        })
    }
}

/// PBKDF2-HMAC-SHA512 of a password, in whichever form the password came.
#[derive(Debug, Clone)]
pub(super) struct Hash {
    rounds: NonZeroU32,
    salt: Vec<u8>,
    key: Vec<u8>,
    /// A password that came in clear is hashed with bcrypt on a real cluster: only its first 72
    /// bytes count.
    cut: bool,
}

impl Hash {
    /// The costs that Elasticsearch knows; any other number is no known algorithm.
    const ROUNDS: [u32; 6] = [1_000, 10_000, 50_000, 100_000, 500_000, 1_000_000];

    /// What a cluster does with a clear password, at a cost that does not make a demonstration
    /// wait.
    pub(super) fn of_password(password: &str) -> Self {
        let mut hash = Self {
            rounds: NonZeroU32::MIN,
            salt: vec![0; 16],
            key: vec![0; 32],
            cut: true,
        };
        // Without randomness the salt stays zero: good enough for a stand-in.
        let _best_effort = rand::fill(&mut hash.salt);
        let counted = hash.counted(password);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA512,
            hash.rounds,
            &hash.salt,
            counted,
            &mut hash.key,
        );
        hash
    }

    /// Reads `{PBKDF2}<rounds>$<base64 salt>$<base64 key>`: a salt of at least 8 bytes, a key of
    /// whole 128-bit blocks. (bcrypt, which a real cluster takes as well, is not known here.)
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("{PBKDF2}")?.split('$');
        let rounds = parts.next()?.parse().ok()?;
        let salt = STANDARD.decode(parts.next()?).ok()?;
        let key = STANDARD.decode(parts.next()?).ok()?;
        let fits = parts.next().is_none()
            && Self::ROUNDS.contains(&rounds)
            && salt.len() >= 8
            && !key.is_empty()
            && key.len() % 16 == 0;
        fits.then_some(Self {
            rounds: NonZeroU32::new(rounds)?,
            salt,
            key,
            cut: false,
        })
    }

    /// The slow part of a login.
    pub(super) fn verifies(&self, password: &str) -> bool {
        pbkdf2::verify(
            pbkdf2::PBKDF2_HMAC_SHA512,
            self.rounds,
            &self.salt,
            self.counted(password),
            &self.key,
        )
        .is_ok()
    }

    fn counted<'a>(&self, password: &'a str) -> &'a [u8] {
        let bytes = password.as_bytes();
        bytes.get(..72).filter(|_| self.cut).unwrap_or(bytes)
    }
}

/// All users, and the passwords that were verified since their user was last written.
#[derive(Debug, Default)]
pub(super) struct Users {
    pub(super) stored: HashMap<String, Arc<StoredUser>>,
    verified: HashMap<String, Vec<u8>>,
}

impl Users {
    /// A bound for memory: a test with more users than this wants something else.
    pub(super) const MAX: usize = 200_000;

    /// Writes the whole user and clears the cache; says whether it is new.
    pub(super) fn put(&mut self, user: StoredUser) -> bool {
        self.verified.remove(&user.username);
        self.stored
            .insert(user.username.clone(), Arc::new(user))
            .is_none()
    }

    pub(super) fn delete(&mut self, name: &str) -> bool {
        self.verified.remove(name);
        self.stored.remove(name).is_some()
    }

    /// Changes a user who is there; `false` where there is none.
    pub(super) fn change(&mut self, name: &str, change: impl FnOnce(&mut StoredUser)) -> bool {
        let Some(user) = self.stored.get(name) else {
            return false;
        };
        let mut user = StoredUser::clone(user);
        change(&mut user);
        self.put(user);
        true
    }

    /// An enabled user, and whether this password of theirs was verified already. Otherwise it is
    /// to be hashed outside of the lock, and [`Users::remember`] gets the result.
    pub(super) fn login(&self, name: &str, password: &str) -> Option<(Arc<StoredUser>, bool)> {
        let user = self.stored.get(name).filter(|user| user.enabled)?;
        let verified = self.verified.get(name) == Some(&digest_of(password));
        Some((Arc::clone(user), verified))
    }

    /// Takes over the result for a password, unless the user was written meanwhile.
    pub(super) fn remember(&mut self, user: &Arc<StoredUser>, password: &str, good: bool) {
        let name = &user.username;
        let now = self.stored.get(name);
        if !now.is_some_and(|now| Arc::ptr_eq(now, user)) {
            return;
        }
        if good {
            self.verified.insert(name.clone(), digest_of(password));
        } else {
            // As the real realm does: a wrong password drops the entry of the right one.
            self.verified.remove(name);
        }
    }
}

fn digest_of(password: &str) -> Vec<u8> {
    let digest = digest::digest(&digest::SHA256, password.as_bytes());
    digest.as_ref().to_vec()
}
