//! Faults: what a test can make the stand-in do instead of answering well.

use super::answer::ApiAnswer;
use http::StatusCode;
use std::time::Duration;

/// One kind of misbehaviour at one kind of call, for ever or for a number of calls.
#[derive(Debug, Clone)]
pub struct Fault {
    at: Endpoint,
    what: Misbehaviour,
    left: Option<u32>,
    pub(super) user: Option<String>,
}

/// Which calls a fault hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Endpoint {
    /// `_authenticate` or `authinfo` by anybody but the service account.
    Authenticate,
    /// The same by the service account: a readiness check.
    Check,
    /// `GET` of one user.
    Read,
    /// A write of a user; on OpenSearch of several at once, too.
    Write,
    /// `DELETE` of a user.
    Delete,
    /// `_enable` and `_disable` of a user.
    Switch,
    /// A list of a user's API keys, and their invalidation.
    ApiKeys,
    /// `POST /_security/_query/user`.
    Query,
    /// `GET` of all users.
    ReadAll,
    /// `GET` of roles, on OpenSearch.
    Roles,
    /// Every call there is.
    Any,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Misbehaviour {
    /// This status with the envelope that a real cluster sends with it; nothing is applied.
    Status(StatusCode),
    /// Applied, then 500: clearing the caches failed after the write.
    AppliedThen500,
    /// Applied, and answered this much later: a write that the other copies of the index do not
    /// have yet.
    AppliedThenDelay(Duration),
    /// Never answers, applies nothing.
    Hang,
    /// Answers well, but this much later. The next fault of the list applies as well.
    Delay(Duration),
    /// Closes the connection; nothing is applied.
    CloseBefore,
    /// Applies, then closes the connection without an answer.
    CloseAfter,
    /// 200 with a page, as from a proxy in between; nothing is applied.
    Html,
    /// Applies, and cuts its answer in the middle of the body.
    HalfBody,
    /// Applies, and answers with a body that never ends.
    EndlessBody,
    /// Never answers, and applies after this time even if the caller hung up: a cluster that was
    /// without a master for a while.
    LateWrite(Duration),
    /// Refuses every `password_hash` (400 `illegal_argument_exception`), as older versions do. Hits
    /// only calls that carry one.
    HashRefused,
    /// `.security` is not there: native users get 401, the service account 503, an API key 401.
    SecurityUnavailable,
    /// The security index takes no write: a disk is full, or an operator has blocked it.
    WriteBlocked,
    /// Applied, and the login that it replaces goes on working beside the new one, with the roles
    /// of before, until any next write: on OpenSearch, where it was being checked meanwhile.
    OldLoginKept,
}

impl Fault {
    /// A fault that lasts until it is cleared.
    #[must_use]
    pub fn new(at: Endpoint, what: Misbehaviour) -> Self {
        Self {
            at,
            what,
            left: None,
            user: None,
        }
    }

    /// The same for the next `count` calls only.
    #[must_use]
    pub fn times(self, count: u32) -> Self {
        Self {
            left: Some(count),
            ..self
        }
    }

    /// The same for reads and writes of this user only.
    #[must_use]
    pub fn about(self, user: &str) -> Self {
        Self {
            user: Some(user.to_owned()),
            ..self
        }
    }
}

/// The faults in force, in the order in which they were set.
#[derive(Debug, Default)]
pub(super) struct Faults(pub(super) Vec<Fault>);

impl Faults {
    /// More would be a test that never clears.
    const MAX: usize = 256;

    pub(super) fn add(&mut self, fault: Fault) {
        if self.0.len() < Self::MAX {
            self.0.push(fault);
        }
    }

    /// Every delay until the first fault that hits this call, and that fault. Counts them down.
    pub(super) fn meet(
        &mut self,
        at: Option<Endpoint>,
        users: &[String],
        carries_hash: bool,
    ) -> (Duration, Option<Misbehaviour>) {
        let (mut delay, mut met) = (Duration::ZERO, None);
        for fault in &mut self.0 {
            let hits = (fault.at == Endpoint::Any || Some(fault.at) == at)
                && fault.user.as_ref().is_none_or(|user| users.contains(user))
                && (fault.what != Misbehaviour::HashRefused || carries_hash);
            if !hits || fault.left == Some(0) {
                continue;
            }
            fault.left = fault.left.map(|left| left - 1);
            if let Misbehaviour::Delay(by) = fault.what {
                delay += by;
            } else {
                met = Some(fault.what);
                break;
            }
        }
        self.0.retain(|fault| fault.left != Some(0));
        (delay, met)
    }
}

/// The envelope that a real cluster sends with this status.
pub(super) fn envelope(status: StatusCode, caller: &str, path: &str) -> ApiAnswer {
    let (error_type, reason) = match status.as_u16() {
        401 => return ApiAnswer::wrong_password(caller, path),
        403 => (
            "security_exception",
            &*format!(
                "action [cluster:admin/xpack/security/user] is unauthorized for user [{caller}] \
                 with effective roles []"
            ),
        ),
        409 => (
            "version_conflict_engine_exception",
            "[user]: version conflict, required seqNo [1], primary term [1]",
        ),
        429 => (
            "es_rejected_execution_exception",
            "rejected execution of coordinating operation [coordinating_and_primary_bytes=0]",
        ),
        503 => (
            "unavailable_shards_exception",
            "at least one primary shard for the index [.security-7] is unavailable",
        ),
        // The class `ElasticsearchException` itself has this name on the wire.
        _ => (
            "exception",
            "clearing the cache failed. please clear the realm cache manually",
        ),
    };
    ApiAnswer::error(status, error_type, reason)
}
