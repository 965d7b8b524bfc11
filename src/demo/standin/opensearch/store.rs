//! The one document of all internal users, the logins that were verified since its last write, and
//! the roles that exist.

use super::{
    super::{super::listener::Lock as _, answer::ApiAnswer, cluster::SERVICE_USER},
    user::InternalUser,
};
use crate::secret::{SecretKey, SecretString};
use aws_lc_rs::digest;
use http::StatusCode;
use serde_json::json;
use std::{
    collections::{BTreeSet, HashMap},
    io,
    sync::{Arc, Mutex},
    time::Duration,
};

/// The role of the service account: it may manage internal users, and nothing else.
pub(super) const MANAGER: &str = "elastauth_manager";
/// Its mapping is reserved, and backend role `admin` gives it.
pub(super) const ALL_ACCESS: &str = "all_access";

/// What the nodes of an OpenSearch cluster share.
#[derive(Debug)]
pub(crate) struct OpenSearch {
    pub(crate) document: Mutex<Document>,
    pub(crate) service_password: SecretString,
    pub(crate) roles: Mutex<BTreeSet<String>>,
    pub(crate) version: &'static str,
    /// Between reading the document and writing it back: writes that overlap conflict.
    pub(crate) write_takes: Mutex<Duration>,
}

impl OpenSearch {
    pub(crate) fn new(version: &'static str) -> io::Result<Arc<Self>> {
        let password = SecretKey::random().map_err(io::Error::other)?.expose_hex();
        let mut document = Document::default();
        document.put(InternalUser {
            reserved: true,
            ..InternalUser::new(SERVICE_USER, &password).with_roles(&[MANAGER])
        });
        document.put(InternalUser {
            reserved: true,
            hash: "!".to_owned(),
            backend_roles: vec!["admin".to_owned()],
            ..InternalUser::new("admin", "")
        });
        let roles = [
            MANAGER,
            ALL_ACCESS,
            "readall",
            "kibana_user",
            "own_index",
            "viewer",
            "editor",
            "monitoring_user",
            "auditor",
        ];
        Ok(Arc::new(Self {
            document: document.into(),
            service_password: password.into(),
            roles: Mutex::new(roles.into_iter().map(str::to_owned).collect()),
            version,
            write_takes: Mutex::new(Duration::from_millis(2)),
        }))
    }

    pub(super) fn role_exists(&self, role: &str) -> bool {
        self.roles.held().contains(role)
    }
}

/// All users, under one sequence number.
#[derive(Debug, Default)]
pub(crate) struct Document {
    pub(crate) users: HashMap<String, Arc<InternalUser>>,
    pub(super) sequence: u64,
    /// By name and digest of the password: the user as they were when it was verified.
    verified: HashMap<(String, Vec<u8>), Arc<InternalUser>>,
}

/// One user of a write; `None` deletes.
pub(super) type Change = (String, Option<InternalUser>);

impl Document {
    /// A bound for memory: a test with more users than this wants something else.
    pub(super) const MAX: usize = 200_000;

    /// Writes all of these or nothing, if nobody has written since `read_at`. With `keeps` the
    /// logins of the users that are written stay in the cache, with their roles of before: a
    /// request that was being checked during the write puts one back.
    pub(super) fn commit(
        &mut self,
        changes: Vec<Change>,
        read_at: u64,
        keeps: bool,
    ) -> Result<(), ApiAnswer> {
        if self.sequence != read_at {
            let message = format!(
                "[internalusers]: version conflict, required seqNo [{read_at}], primary term [1]. \
                 current document has seqNo [{}] and primary term [1]",
                self.sequence
            );
            let body = json!({ "status": "CONFLICT", "message": message });
            return Err(ApiAnswer::json(StatusCode::CONFLICT, &body));
        }
        let written: BTreeSet<&String> = changes.iter().map(|(name, _)| name).collect();
        self.verified
            .retain(|(name, _), _| keeps && written.contains(name));
        for (name, user) in changes {
            match user {
                Some(user) => self.users.insert(name, Arc::new(user)),
                None => self.users.remove(&name),
            };
        }
        self.sequence += 1;
        Ok(())
    }

    /// As an administrator with a client certificate does.
    pub(crate) fn put(&mut self, user: InternalUser) {
        self.verified.clear();
        self.sequence += 1;
        self.users.insert(user.username.clone(), Arc::new(user));
    }

    pub(crate) fn delete(&mut self, name: &str) -> bool {
        self.verified.clear();
        self.sequence += 1;
        self.users.remove(name).is_some()
    }

    pub(super) fn forget_logins(&mut self) {
        self.verified.clear();
    }

    pub(super) fn known_login(&self, name: &str, password: &str) -> Option<Arc<InternalUser>> {
        let key = (name.to_owned(), digest_of(password));
        self.verified.get(&key).map(Arc::clone)
    }

    /// Takes note of a login, unless the users were written since it was looked up.
    pub(super) fn remember(&mut self, user: &Arc<InternalUser>, password: &str, sequence: u64) {
        if self.sequence == sequence {
            let key = (user.username.clone(), digest_of(password));
            self.verified.insert(key, Arc::clone(user));
        }
    }
}

fn digest_of(password: &str) -> Vec<u8> {
    let digest = digest::digest(&digest::SHA256, password.as_bytes());
    digest.as_ref().to_vec()
}
