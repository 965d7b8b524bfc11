//! What a listener needs to answer requests, put together from its parts.

use super::{browser::Hosts, login_url::LoginUrl, observe::Observer, proxy::Dropped};
use crate::{
    clock::{Clock, Timestamp},
    flow::Flow,
    identity::headers,
    rate::{Limiter, Rate},
    telemetry::Telemetry,
};
use arc_swap::{ArcSwap, ArcSwapOption};
use serde_json::Value;
use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicBool},
};

/// A logout notice of 48 KB is read in a fraction of a millisecond: so many a second are a few
/// hundredths of one core. What is checked of them is bounded for each issuer.
const LOGOUTS: Rate = Rate::a_second(200);

/// A cluster checks one login in a millisecond or two, and a page whose answers are all 401 must
/// not take its time from others.
const REJECTED: Rate = Rate::a_second(100);

/// What a listener needs to answer requests.
#[derive(Debug)]
pub struct Service {
    /// As health and configuration call it.
    pub(super) mode: &'static str,
    pub(crate) flow: Flow,
    pub(super) identity_headers: headers::Config,
    /// Where browsers are sent to sign in.
    pub(crate) login_url: ArcSwapOption<LoginUrl>,
    /// The end begins soon: gateways shall ask other replicas.
    pub(crate) leaving: AtomicBool,
    pub(super) clock: Clock,
    pub(super) started: Timestamp,
    pub(super) observer: Observer,
    pub(crate) telemetry: Telemetry,
    pub(super) admin: AdminConfig,
    /// The effective configuration, with `***` for every secret.
    pub(crate) shown: ArcSwap<Value>,
    /// Listeners where any neighbour in a private network may name themselves anybody.
    pub(crate) unprotected: ArcSwap<Vec<String>>,
    /// The keys that have new values in the file and keep their old ones until a restart.
    pub(crate) requires_restart: ArcSwap<Vec<&'static str>>,
    pub(super) logouts: LogoutLimiters,
    /// Lines about malformed requests.
    pub(super) malformed: Limiter,
    /// Users whose login a cluster has refused, and who are looked at again.
    pub(super) rejected: Limiter,
    /// What is not passed on to a cluster.
    pub(super) dropped: Dropped,
}

/// Bounds the logout notices that are read of trusted and of untrusted peers, from which no
/// issuer's notice has come so far: a flood takes nothing from identity providers in
/// `trusted_proxies`.
#[derive(Debug)]
pub(super) struct LogoutLimiters {
    trusted: Limiter,
    untrusted: Limiter,
}

impl LogoutLimiters {
    fn new() -> Self {
        let (trusted, untrusted) = (Limiter::new(LOGOUTS), Limiter::new(LOGOUTS));
        Self { trusted, untrusted }
    }

    /// Whether one more notice may be looked at now.
    pub(super) fn take(&self, trusted: bool, now: Timestamp) -> bool {
        let limiter = if trusted {
            &self.trusted
        } else {
            &self.untrusted
        };
        limiter.take(now).is_ok()
    }
}

/// Settings of the pages for operators.
#[derive(Debug, Clone, Default)]
pub struct AdminConfig {
    /// A listener of their own (`admin.listen`). Where set, the listener of the gateways has these
    /// pages no more.
    pub listen: Option<SocketAddr>,
    /// Whether the numbers are shown (`enable_metrics`).
    pub metrics: bool,
    /// By which names the pages are shown (`admin.hosts`).
    pub hosts: Hosts,
}

/// What a [`Service`] is made of. Nothing is optional, so that no part can be forgotten.
#[expect(missing_debug_implementations, reason = "it is taken apart at once")]
#[expect(missing_docs, reason = "the types say it")]
pub struct ServiceParts {
    /// Whether requests are passed on, and not only decided about.
    pub proxy: bool,
    pub flow: Flow,
    /// Under which names a grant tells the gateway who it is.
    pub identity_headers: headers::Config,
    pub login_url: Option<LoginUrl>,
    pub clock: Clock,
    pub telemetry: Telemetry,
    pub admin: AdminConfig,
    pub unprotected: Vec<String>,
    pub shown: Value,
}

impl Service {
    /// Puts it together; the service starts now.
    #[must_use]
    pub fn new(parts: ServiceParts) -> Self {
        let clock = parts.clock;
        Self {
            dropped: Dropped::new(&parts.identity_headers, parts.flow.providers.oidc()),
            mode: if parts.proxy { "proxy" } else { "auth-only" },
            flow: parts.flow,
            identity_headers: parts.identity_headers,
            login_url: ArcSwapOption::new(parts.login_url.map(Arc::new)),
            leaving: AtomicBool::new(false),
            started: clock.now(),
            observer: Observer::new(parts.telemetry.clone(), clock.clone()),
            telemetry: parts.telemetry,
            admin: parts.admin,
            shown: ArcSwap::from_pointee(parts.shown),
            unprotected: ArcSwap::from_pointee(parts.unprotected),
            requires_restart: ArcSwap::default(),
            logouts: LogoutLimiters::new(),
            rejected: Limiter::new(REJECTED),
            malformed: Limiter::new(Rate::a_second(1)),
            clock,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_000_000);

    #[test]
    fn a_thousand_logouts_at_once_are_bounded() {
        let logouts = LogoutLimiters::new();
        let taken = (0..1_000).filter(|_| logouts.take(true, NOW)).count();
        assert_eq!(taken, 200);
        assert!(logouts.take(true, Timestamp(NOW.0 + 1_000)));
    }

    #[test]
    fn a_flood_of_untrusted_peers_takes_no_logout_from_trusted_ones() {
        let logouts = LogoutLimiters::new();
        let untrusted = (0..1_000).filter(|_| logouts.take(false, NOW)).count();
        let trusted = (0..1_000).filter(|_| logouts.take(true, NOW)).count();
        assert_eq!((untrusted, trusted), (200, 200));
    }
}
