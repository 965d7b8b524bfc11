//! The cluster behind its nodes: its users and the service account.

use super::{
    keys::ApiKey,
    users::{StoredUser, Users},
    version::Version,
};
use crate::secret::{SecretKey, SecretString};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{
    io,
    sync::{Arc, Mutex},
};

/// The name of the service account: a native user with the role `superuser`, who may therefore be
/// overwritten like any other.
pub const SERVICE_USER: &str = "elastauth";

/// What all nodes share.
#[derive(Debug)]
pub(super) struct Cluster {
    pub(super) users: Mutex<Users>,
    pub(super) service_password: SecretString,
    pub(super) api_key: SecretString,
    pub(super) version: Version,
    /// Those of users.
    pub(super) keys: Mutex<Vec<ApiKey>>,
}

impl Cluster {
    pub(super) fn new(version: Version) -> io::Result<Arc<Self>> {
        let drawn = || SecretKey::random().map_err(io::Error::other);
        let (password, secret) = (drawn()?.expose_hex(), drawn()?.expose_hex());
        let mut users = Users::default();
        users.put(StoredUser::new(SERVICE_USER, &password).with_roles(&["superuser"]));
        Ok(Arc::new(Self {
            users: users.into(),
            service_password: password.into(),
            keys: Mutex::default(),
            version,
            api_key: STANDARD.encode(format!("standin:{secret}")).into(),
        }))
    }
}
