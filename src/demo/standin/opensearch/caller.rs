//! Who is calling, and what they may do.

use super::{
    super::{super::listener::Lock as _, answer::ApiAnswer},
    refusals::{refusal, unauthorized},
    store::{ALL_ACCESS, MANAGER, OpenSearch},
    user::InternalUser,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{HeaderMap, StatusCode, header};
use std::sync::Arc;

/// Who is calling: the user as they were when the login was verified.
#[derive(Debug, Clone)]
pub(crate) struct Caller {
    pub(super) user: Arc<InternalUser>,
}

impl Caller {
    pub(crate) fn name(&self) -> &str {
        &self.user.username
    }

    /// The direct roles, and those of mappings.
    pub(crate) fn effective_roles(&self) -> Vec<String> {
        let mut roles = self.user.roles.clone();
        roles.push("own_index".to_owned());
        if self.user.backend_roles.iter().any(|role| role == "admin") {
            roles.push(ALL_ACCESS.to_owned());
        }
        roles.sort_unstable();
        roles.dedup();
        roles
    }

    fn has(&self, roles: &[&str]) -> bool {
        let effective = self.effective_roles();
        effective.iter().any(|role| roles.contains(&role.as_str()))
    }

    pub(super) fn must_manage(&self) -> Result<(), ApiAnswer> {
        if self.has(&[MANAGER, ALL_ACCESS]) {
            return Ok(());
        }
        Err(refusal(StatusCode::FORBIDDEN, self.name()))
    }

    pub(super) fn may(&self, may: bool, action: &str) -> Result<(), ApiAnswer> {
        if may || self.has(&[ALL_ACCESS]) {
            return Ok(());
        }
        let reason = format!(
            "no permissions for [{action}] and User [name={}, backend_roles={:?}, \
             requestedTenant=null]",
            self.name(),
            self.user.backend_roles
        );
        Err(ApiAnswer::error(
            StatusCode::FORBIDDEN,
            "security_exception",
            &reason,
        ))
    }
}

impl OpenSearch {
    /// Of several `Authorization` headers the last one counts.
    pub(crate) fn identify(&self, headers: &HeaderMap) -> Result<Caller, ApiAnswer> {
        let value = headers.get_all(header::AUTHORIZATION).iter().next_back();
        let login = value.and_then(|value| {
            let (scheme, payload) = value.to_str().ok()?.split_once(' ')?;
            let payload = scheme
                .eq_ignore_ascii_case("Basic")
                .then(|| STANDARD.decode(payload).ok())??;
            let text = String::from_utf8(payload).ok()?;
            let (name, password) = text.split_once(':')?;
            self.login(name, password)
        });
        login.map(|user| Caller { user }).ok_or_else(unauthorized)
    }

    fn login(&self, name: &str, password: &str) -> Option<Arc<InternalUser>> {
        let (user, sequence) = {
            let document = self.document.held();
            if let Some(known) = document.known_login(name, password) {
                return Some(known);
            }
            (document.users.get(name).cloned()?, document.sequence)
        };
        if !user.verifies(password) {
            return None;
        }
        let mut document = self.document.held();
        document.remember(&user, password, sequence);
        Some(user)
    }
}
