//! What operators learn of a request: the log line, the audit event, the metrics and the span. No
//! other file of `serve` writes any of them for a decision.

use super::proxy::Failure;
use crate::{
    clock::Clock,
    flow::{AuthError, Decision, Grant, RefusedRequest},
    identity::{Identity, Note, Rejected},
    model::{Group, Role, Username},
    net::peer::Peer,
    outcome::{Outcome, Refusal},
    rate::{Limiter, Rate},
    request::{Protocol, Request},
    respond::Row,
    roles::Remark,
    telemetry::{
        Telemetry,
        audit::{EventDetails, EventKind},
        chain, metrics,
        traces::{ActiveSpan, CurrentSpan, Decided},
    },
    upstream::Chosen,
};
use http::{Method, request::Parts};
use std::{
    error::Error,
    sync::atomic::{AtomicBool, Ordering},
};
use tracing::Level;

/// So many lines of one kind are written in a second. Enough to see what goes on; more would let
/// anybody who can reach the port fill the disk.
const LINES: Rate = Rate::a_second(10);

/// A hint of one kind is written so often: what it is about goes on until somebody changes a
/// setting.
const HINTS: Rate = Rate::a_minute(1);

/// The kinds of hints.
#[derive(Debug, Clone, Copy)]
enum HintKind {
    Nobody,
    Decoded,
    LeftEmpty,
    JoinedGroups,
    RoleNotMade,
    TooManyRoles,
}

/// Where everything is written to.
#[derive(Debug)]
pub(super) struct Observer {
    telemetry: Telemetry,
    clock: Clock,
    /// One a refusal, so that a flood of one kind does not hide another.
    refusals: [Limiter; Refusal::ALL.len()],
    /// One a kind.
    hints: [Limiter; 6],
    refused_pages: Limiter,
    /// Whether that was reported.
    metrics_by_name: AtomicBool,
    rechecks: Limiter,
    logouts: Limiter,
}

/// What a decision is about.
pub(super) struct About<'a> {
    pub(super) peer: Peer,
    pub(super) protocol: Protocol,
    /// `None` for an untrusted peer: nothing that it sends gets into the log.
    pub(super) request: Option<&'a Request>,
    /// The id in the answer to a refusal.
    pub(super) request_id: &'a str,
    /// Whether the browser is sent to `login_url`.
    pub(super) signs_in: bool,
}

/// The span of a decision that is recorded.
pub(super) struct DecisionSpan {
    active: ActiveSpan,
    method: Method,
}

impl DecisionSpan {
    /// For what goes on after the decision.
    pub(super) fn current(&self) -> CurrentSpan {
        self.active.current()
    }

    pub(super) fn trace_id(&self) -> String {
        self.active.trace_id()
    }

    /// Runs `work`; calls that it makes become parts of this span.
    pub(super) async fn within<F: Future>(&self, work: F) -> F::Output {
        self.active.current().within(work).await
    }
}

macro_rules! line {
    ($level:expr, $($field:tt)*) => {
        match $level {
            Level::ERROR => tracing::error!($($field)*),
            Level::WARN => tracing::warn!($($field)*),
            Level::INFO => tracing::info!($($field)*),
            _ => tracing::debug!($($field)*),
        }
    };
}

impl Observer {
    pub(super) fn new(telemetry: Telemetry, clock: Clock) -> Self {
        Self {
            telemetry,
            clock,
            refusals: std::array::from_fn(|_| Limiter::new(LINES)),
            hints: std::array::from_fn(|_| Limiter::new(HINTS)),
            refused_pages: Limiter::new(LINES),
            metrics_by_name: AtomicBool::new(false),
            rechecks: Limiter::new(LINES),
            logouts: Limiter::new(LINES),
        }
    }

    /// Begins the span of a decision; `None` where it is not recorded. A trace of the gateway goes
    /// on only if the gateway is trusted.
    pub(super) fn begin(&self, parts: &Parts, trusted: bool) -> Option<DecisionSpan> {
        let active = self
            .telemetry
            .traces
            .begin(trusted.then_some(&parts.headers))?;
        Some(DecisionSpan {
            active,
            method: parts.method.clone(),
        })
    }

    /// Writes down a decision. For a grant this only increments counters, unless each grant is
    /// audited.
    pub(super) fn decided(
        &self,
        decision: &Decision,
        about: &About<'_>,
        span: Option<DecisionSpan>,
    ) {
        let cluster = decision.chosen.as_ref();
        match &decision.result {
            Ok(grant) => {
                self.hints(Some(grant.identity()), grant.remarks(), about);
                self.granted(grant, cluster, about);
            }
            Err(refused) => {
                self.hints(refused.identity.as_ref(), &refused.remarks, about);
                if let AuthError::Identity(why @ Rejected::Nobody(_)) = &refused.why {
                    self.hint(HintKind::Nobody, &why.to_string(), None, about);
                }
                let trace_id = span.as_ref().map(|span| span.active.trace_id());
                self.refused(refused, cluster, about, trace_id.as_deref());
            }
        }
        let (outcome, provider) = (decision.outcome(), decision.provider());
        if let Some(DecisionSpan { active, method }) = span {
            let row = match outcome {
                Outcome::Granted => None,
                Outcome::Refused(refusal) => Some(Row::of(refusal)),
            };
            active.decided(&Decided {
                method,
                user: decision.user().map(Username::as_str),
                route: about.protocol.path(),
                peer: about.peer,
                status: row.map_or(200, |row| {
                    row.status_of(about.protocol, about.signs_in).as_u16()
                }),
                outcome,
                code: row.map(|row| row.code),
                provider,
            });
        }
        self.telemetry.metrics.decided(
            cluster.map(Chosen::metrics),
            outcome,
            provider,
            decision.took,
        );
    }

    /// Tells what refused nobody and is probably not meant.
    fn hints(&self, identity: Option<&Identity>, remarks: &[Remark], about: &About<'_>) {
        let user = identity.map(|identity| identity.user().as_str());
        for note in identity.map(Identity::notes).unwrap_or_default() {
            let kind = match note {
                Note::Decoded(_) => HintKind::Decoded,
                Note::LeftEmpty(_) => HintKind::LeftEmpty,
            };
            self.hint(kind, &note.to_string(), user, about);
        }
        for remark in remarks {
            let kind = match remark {
                Remark::Joined { .. } => HintKind::JoinedGroups,
                Remark::NotMade { .. } => HintKind::RoleNotMade,
                Remark::TooMany => HintKind::TooManyRoles,
            };
            self.hint(kind, &remark.to_string(), user, about);
        }
    }

    /// Each one for those who look at everything, and one a minute for everybody.
    fn hint(&self, kind: HintKind, hint: &str, user: Option<&str>, about: &About<'_>) {
        let (peer, request_id) = (about.peer, about.request_id);
        let limiter = self.hints.get(kind as usize);
        if let Some(Ok(suppressed)) = limiter.map(|limiter| limiter.take(self.clock.now())) {
            tracing::warn!(%peer, user, request_id, hint, suppressed, "not as expected");
        } else {
            tracing::debug!(%peer, user, request_id, hint, "not as expected");
        }
    }

    fn granted(&self, grant: &Grant, cluster: Option<&Chosen>, about: &About<'_>) {
        let identity = grant.identity();
        let user = identity.user().as_str();
        tracing::debug!(user, peer = %about.peer, "granted");
        if self.telemetry.audit.wants_all_grants() {
            let cluster = cluster.map(Chosen::name);
            let details = EventDetails {
                cluster: cluster.as_deref(),
                user: Some(user),
                provider: Some(identity.provider().name()),
                groups: identity.groups().iter().map(Group::as_str).collect(),
                roles: grant.roles().iter().map(Role::as_str).collect(),
                request_id: about.request.and_then(Request::id),
                ..EventDetails::default()
            };
            self.audit(EventKind::Granted, details, about);
        }
    }

    /// Writes the line, unless there were too many like it. Texts are escaped by the log's writer.
    fn refused(
        &self,
        refused: &RefusedRequest,
        cluster: Option<&Chosen>,
        about: &About<'_>,
        trace_id: Option<&str>,
    ) {
        let refusal = refused.refusal();
        let limiter = self.refusals.get(refusal as usize);
        let Some(Ok(suppressed)) = limiter.map(|limiter| limiter.take(self.clock.now())) else {
            self.telemetry.metrics.suppressed();
            return;
        };
        let (row, request) = (Row::of(refusal), about.request);
        let user = refused.identity.as_ref().map(|who| who.user().as_str());
        let error = chain(&refused.why);
        let cluster = cluster.map(Chosen::name);
        line!(
            row.level,
            code = row.code,
            outcome = %refusal.name(),
            status = row.status_of(about.protocol, about.signs_in).as_u16(),
            user,
            peer = %about.peer,
            method = request.and_then(Request::method).as_deref(),
            host = request.and_then(Request::host).as_deref(),
            uri = request.and_then(Request::path).as_deref(),
            request_id = about.request_id,
            trace_id,
            cluster = cluster.as_deref(),
            error,
            suppressed,
            "refused"
        );
        if self.telemetry.audit.is_on() && is_about_a_user(refusal) {
            let details = EventDetails {
                cluster: cluster.as_deref(),
                user,
                provider: refused.provider().name(),
                reason: Some(&error),
                outcome: Some(refusal.name()),
                request_id: Some(about.request_id),
                suppressed,
                ..EventDetails::default()
            };
            self.audit(EventKind::Refused, details, about);
        }
    }

    /// A request that was granted has got no answer of the cluster.
    pub(super) fn not_passed_on(&self, decision: &Decision, why: &Failure, about: &About<'_>) {
        let refusal = why.refusal();
        let limiter = self.refusals.get(refusal as usize);
        let Some(Ok(suppressed)) = limiter.map(|limiter| limiter.take(self.clock.now())) else {
            self.telemetry.metrics.suppressed();
            return;
        };
        let (row, request) = (Row::of(refusal), about.request);
        let cluster = decision.chosen.as_ref().map(Chosen::name);
        line!(
            row.level,
            code = row.code,
            outcome = %refusal.name(),
            status = row.status.as_u16(),
            user = decision.user().map(Username::as_str),
            peer = %about.peer,
            method = request.and_then(Request::method).as_deref(),
            host = request.and_then(Request::host).as_deref(),
            uri = request.and_then(Request::path).as_deref(),
            request_id = about.request_id,
            cluster = cluster.as_deref(),
            error = chain(why),
            suppressed,
            "not passed on"
        );
    }

    /// Adds to an audit event what the request was about.
    fn audit(&self, event: EventKind, details: EventDetails<'_>, about: &About<'_>) {
        let host = about.request.and_then(Request::host);
        let uri = about.request.and_then(Request::path);
        let details = EventDetails {
            peer: Some(about.peer),
            host: host.as_deref(),
            uri: uri.as_deref(),
            ..details
        };
        self.telemetry.audit.write(event, &details);
    }

    /// An operator asked for a user to be checked again.
    pub(super) fn recheck(&self, peer: Peer, user: &Username, known: bool) {
        let user = user.as_str();
        if let Ok(suppressed) = self.rechecks.take(self.clock.now()) {
            tracing::info!(
                %peer,
                user,
                known,
                suppressed,
                "an operator asked for a recheck: the next request of this user asks the cluster"
            );
        }
        let details = EventDetails {
            user: Some(user),
            peer: Some(peer),
            ..EventDetails::default()
        };
        self.telemetry.audit.write(EventKind::UserRecheck, &details);
    }

    /// An untrusted peer asked for a page for operators. The operator who wonders why the scraper
    /// gets a 404 finds this line.
    pub(super) fn page_refused(&self, peer: Peer, why: &(dyn Error + 'static)) {
        if let Ok(suppressed) = self.refused_pages.take(self.clock.now()) {
            tracing::info!(%peer, error = chain(why), suppressed, "a page for operators is withheld");
        }
    }

    /// A scraper asked for the numbers by a name that is not ours. Once `admin.hosts` is set, it
    /// gets them by those names alone; one line in the log of each start is enough.
    pub(super) fn metrics_by_name(&self, peer: Peer, why: &(dyn Error + 'static)) {
        if !self.metrics_by_name.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                %peer,
                error = chain(why),
                "the metrics are shown by a name that any page in a browser may use; set \
                 `admin.hosts`"
            );
        }
    }

    /// An identity provider ended a session, or something that claims to be one tried to.
    pub(super) fn logged_out(
        &self,
        peer: Peer,
        result: metrics::Logout,
        error: Option<&(dyn Error + 'static)>,
    ) {
        self.telemetry.metrics.logged_out(result);
        if let Some(error) = error
            && let Ok(suppressed) = self.logouts.take(self.clock.now())
        {
            tracing::warn!(
                %peer,
                error = chain(error),
                suppressed,
                "a logout by an identity provider was refused"
            );
        }
    }
}

/// Whether a refusal judges a user, and not a gateway or the state of the cluster. Only such
/// refusals are audited.
fn is_about_a_user(refusal: Refusal) -> bool {
    match refusal {
        Refusal::Malformed
        | Refusal::TokenRefused
        | Refusal::TokenOutdated
        | Refusal::TokenClaims
        | Refusal::ImpossibleName
        | Refusal::GroupNotAllowed
        | Refusal::NoRole
        | Refusal::ReservedName
        | Refusal::Disabled
        | Refusal::ForeignUser
        | Refusal::CrossOrigin
        | Refusal::WriteBudget => true,
        Refusal::UntrustedPeer
        | Refusal::GatewayKey
        | Refusal::NoCluster
        | Refusal::NobodyAsks
        | Refusal::IdentityProvider
        | Refusal::UnknownKey
        | Refusal::NewUsers
        | Refusal::ServiceAccount
        | Refusal::Cluster
        | Refusal::Late
        | Refusal::Busy
        | Refusal::Overdue
        | Refusal::LoginRejected
        | Refusal::NoConnection
        | Refusal::NoAnswer
        | Refusal::BadAnswer
        | Refusal::BadUpload
        | Refusal::Bug => false,
    }
}
