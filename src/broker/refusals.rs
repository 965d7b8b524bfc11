//! Whether the cluster refuses a login that was given: a 401 in proxy mode may also be the answer
//! of an API to something else.

use crate::{
    clock::{Clock, Timestamp},
    cluster::{SecurityApi, Whoami},
    model::Username,
};
use http::HeaderValue;
use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};
use tokio::time::timeout;

/// How long an accepted login is taken to work at the next 401 of the same user, so that an
/// application that answers 401 often does not make the cluster check as many logins.
const LASTS_MS: u64 = 1_000;
const PATIENCE: Duration = Duration::from_millis(1_800);
/// Beyond it the answers are forgotten.
const USERS: usize = 4_096;

#[derive(Debug)]
pub(super) struct Refusals {
    cluster: SecurityApi,
    clock: Clock,
    /// When a login was last accepted.
    accepted: Mutex<HashMap<Username, Timestamp>>,
}

impl Refusals {
    pub(super) fn new(cluster: SecurityApi, clock: Clock) -> Self {
        Self {
            cluster,
            clock,
            accepted: Mutex::default(),
        }
    }

    /// Where the cluster does not answer, nothing is known against the login.
    pub(super) async fn refuses(&self, user: &Username, login: &HeaderValue, again: bool) -> bool {
        if !again && self.was_accepted(user) {
            return false;
        }
        let asked = timeout(PATIENCE, self.cluster.authenticate(login)).await;
        let refused = matches!(asked, Ok(Ok(Whoami::Refused)));
        if !refused {
            self.accept(user);
        }
        refused
    }

    fn was_accepted(&self, user: &Username) -> bool {
        let at = self.locked().get(user).copied();
        let age = at.and_then(|at| self.clock.now().0.checked_sub(at.0));
        age.is_some_and(|age| age < LASTS_MS)
    }

    fn accept(&self, user: &Username) {
        let mut users = self.locked();
        if users.len() >= USERS {
            users.clear();
        }
        users.insert(user.clone(), self.clock.now());
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<Username, Timestamp>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
