//! The cluster behind its nodes: its users and the service account.

use super::users::{StoredUser, Users};
use aws_lc_rs::rand;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use std::{
    fmt, io,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The name of the service account: a native user with the role `superuser`, who may therefore be
/// overwritten like any other.
pub const SERVICE_USER: &str = "elastauth";

/// What all nodes share.
pub(super) struct Cluster {
    pub(super) users: Mutex<Users>,
    pub(super) service_password: String,
    pub(super) api_key: String,
}

impl Cluster {
    pub(super) fn new() -> io::Result<Arc<Self>> {
        let (service_password, secret) = (drawn()?, drawn()?);
        let mut users = Users::default();
        users.put(StoredUser::new(SERVICE_USER, &service_password).with_roles(&["superuser"]));
        Ok(Arc::new(Self {
            users: Mutex::new(users),
            service_password,
            api_key: STANDARD.encode(format!("standin:{secret}")),
        }))
    }
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster")
            .field("users", &self.users)
            .finish_non_exhaustive()
    }
}

fn drawn() -> io::Result<String> {
    let mut bytes = [0_u8; 24];
    rand::fill(&mut bytes)
        .map_err(|_| io::Error::other("the system's random source gave nothing"))?;
    Ok(STANDARD.encode(bytes))
}

/// A lock whose holder crashed is taken over: each change under it is one step.
pub(super) trait Lock<T> {
    fn held(&self) -> MutexGuard<'_, T>;
}

impl<T> Lock<T> for Mutex<T> {
    fn held(&self) -> MutexGuard<'_, T> {
        self.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
