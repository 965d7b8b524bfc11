//! What a listener needs to answer requests, put together from its parts.

use super::{
    observe::Observer,
    readiness::{Check, Readiness},
};
use crate::{
    clock::{Clock, Timestamp},
    flow::Flow,
    net::trust::Trust,
    rate::{Limiter, Rate},
    respond::IdentityHeaders,
    shutdown::Tasks,
    telemetry::Telemetry,
};
use arc_swap::ArcSwap;
use serde_json::Value;
use std::{net::SocketAddr, sync::Arc};

/// A logout costs the check of a signature, a fraction of a millisecond: so many a second are a few
/// hundredths of one core, and a thousand sessions that end at once are done within five seconds.
const LOGOUTS: Rate = Rate::a_second(200);

/// What a listener needs to answer requests.
#[derive(Debug)]
pub struct Service {
    pub(super) flow: Flow,
    pub(super) trust: ArcSwap<Trust>,
    pub(super) identity_headers: IdentityHeaders,
    pub(super) readiness: Readiness,
    pub(super) clock: Clock,
    pub(super) started: Timestamp,
    pub(super) observer: Observer,
    pub(super) telemetry: Telemetry,
    pub(super) admin: AdminConfig,
    pub(super) shown: ArcSwap<Value>,
    trusted_logouts: Limiter,
    /// Apart from those of trusted peers: a flood takes nothing from identity providers in
    /// `trusted_proxies`.
    untrusted_logouts: Limiter,
}

/// Settings of the pages for operators.
#[derive(Debug, Clone, Default)]
pub struct AdminConfig {
    /// A listener of their own (`admin.listen`). Where set, the listener of the gateways has these
    /// pages no more.
    pub listen: Option<SocketAddr>,
    /// Whether the numbers are shown (`enable_metrics`).
    pub metrics: bool,
}

/// What a [`Service`] is made of. Nothing is optional, so that no part can be forgotten.
#[expect(missing_debug_implementations, reason = "it is taken apart at once")]
#[expect(missing_docs, reason = "the types say it")]
pub struct Parts {
    pub flow: Flow,
    pub trust: Trust,
    pub identity_headers: IdentityHeaders,
    pub check: Check,
    pub clock: Clock,
    pub tasks: Tasks,
    pub telemetry: Telemetry,
    pub admin: AdminConfig,
    /// The effective configuration, with `***` for every secret.
    pub shown: Value,
}

impl Service {
    /// Puts it together; the service starts now.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let clock = parts.clock;
        Self {
            flow: parts.flow,
            trust: ArcSwap::from_pointee(parts.trust),
            identity_headers: parts.identity_headers,
            readiness: Readiness::new(parts.check, parts.tasks, clock.clone()),
            started: clock.now(),
            observer: Observer::new(parts.telemetry.clone(), clock.clone()),
            telemetry: parts.telemetry,
            admin: parts.admin,
            shown: ArcSwap::from_pointee(parts.shown),
            trusted_logouts: Limiter::new(LOGOUTS),
            untrusted_logouts: Limiter::new(LOGOUTS),
            clock,
        }
    }

    /// The decisions.
    #[must_use]
    pub fn flow(&self) -> &Flow {
        &self.flow
    }

    /// From the next request on, of open connections too, these peers are trusted.
    pub fn replace_trust(&self, trust: Trust) {
        self.trust.store(Arc::new(trust));
    }

    /// Shows this configuration from now on; its secrets are `***` already.
    pub fn replace_shown(&self, shown: Value) {
        self.shown.store(Arc::new(shown));
    }

    /// Whether one more logout may be looked at in this second.
    pub(super) fn takes_a_logout(&self, trusted: bool) -> bool {
        let limiter = if trusted {
            &self.trusted_logouts
        } else {
            &self.untrusted_logouts
        };
        limiter.take(self.clock.now()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thousand_logouts_at_once_are_bounded() {
        let limiter = Limiter::new(LOGOUTS);
        let now = Timestamp(1_000_000);
        let taken = (0..1_000).filter(|_| limiter.take(now).is_ok()).count();
        assert_eq!(taken, 200);
        assert!(limiter.take(Timestamp(now.0 + 1_000)).is_ok());
    }
}
