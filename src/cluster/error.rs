//! What can go wrong with a call: whether the request was sent, and whether it may still take
//! effect.

use crate::telemetry::metrics::Call;
use http::StatusCode;
use std::{error::Error, sync::Arc};

/// Why a call has no usable answer.
///
/// The reason text of the cluster's answer is never kept: it may quote our own body, password
/// included (seen with a body that is not well-formed JSON).
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The request never left: no node could be connected, or there was no room for one more call.
    #[error("no request was sent to {node} while {}: {why}", doing(*call))]
    NotSent {
        /// What was asked.
        call: Call,
        /// The node, as `scheme://host:port`.
        node: Arc<str>,
        /// What stopped it.
        why: SendError,
        /// What the network reports.
        source: Option<Source>,
    },
    /// The request was sent, and no whole, understandable answer came.
    #[error("no usable answer from {node} while {}: {why}", doing(*call))]
    NoAnswer {
        /// What was asked.
        call: Call,
        /// The node, as `scheme://host:port`.
        node: Arc<str>,
        /// What is wrong with the answer.
        why: ResponseError,
        /// What the network reports.
        source: Option<Source>,
    },
    /// The cluster, or something in front of it, answered with a status that the call does not
    /// expect.
    #[error("{node} answered {}{} while {}", status.as_u16(), in_brackets(error_type.as_deref()), doing(*call))]
    Status {
        /// What was asked.
        call: Call,
        /// The node, as `scheme://host:port`.
        node: Arc<str>,
        /// The status.
        status: StatusCode,
        /// `error.type` of the answer, where it has one.
        error_type: Option<Box<str>>,
    },
}

/// An error of the network or of TLS. Shared, so that all who wait for one call can have it.
pub type Source = Arc<dyn Error + Send + Sync>;

/// Two are equal when they read the same: what the network reports is for people.
impl PartialEq for CallError {
    fn eq(&self, other: &Self) -> bool {
        self.to_string() == other.to_string()
    }
}

impl Eq for CallError {}

/// Why a request was not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// TCP or TLS failed.
    #[error("no connection")]
    Connect,
    /// There was no connection in time.
    #[error("no connection in time")]
    ConnectTimeout,
    /// Too many calls are under way already.
    #[error("too many calls are under way")]
    Busy,
    /// The configuration gives no address or no header that could be sent.
    #[error("the host or the service account cannot be put into a request")]
    Unsendable,
}

/// What is wrong with the answer to a request that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// It did not come, or not to its end, before the deadline.
    #[error("it did not come in time")]
    TimedOut,
    /// The connection ended first, or what came over it was not HTTP.
    #[error("the connection was cut")]
    Cut,
    /// The body has no end within the limit.
    #[error("the body is too big")]
    TooBig,
    /// The body is not JSON: a login page, an error page, half a document.
    #[error("the body is not JSON")]
    NotJson,
    /// The body is JSON, but not what was asked for.
    #[error("the body is not what was asked for")]
    Unexpected,
}

/// What a failed write has done in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// Nothing: it was not sent, or it was refused.
    NotApplied,
    /// It may have been applied, or may be later. A real cluster without a master applied a write
    /// 30 s after its client had gone.
    Unknown,
}

impl CallError {
    /// No host is configured, or an account that no header can carry. The configuration is checked
    /// for both first.
    pub(super) fn unsendable(call: Call) -> Self {
        Self::not_sent(call, &"the cluster".into(), SendError::Unsendable, None)
    }

    pub(super) fn not_sent(
        call: Call,
        node: &Arc<str>,
        why: SendError,
        source: Option<Source>,
    ) -> Self {
        Self::NotSent {
            call,
            node: Arc::clone(node),
            why,
            source,
        }
    }

    pub(super) fn no_answer(
        call: Call,
        node: &Arc<str>,
        why: ResponseError,
        source: Option<Source>,
    ) -> Self {
        Self::NoAnswer {
            call,
            node: Arc::clone(node),
            why,
            source,
        }
    }

    /// What a failed write has done in the cluster.
    #[must_use]
    pub fn write_outcome(&self) -> WriteOutcome {
        match self {
            Self::NotSent { .. } => WriteOutcome::NotApplied,
            Self::NoAnswer { .. } => WriteOutcome::Unknown,
            Self::Status {
                status, error_type, ..
            } => {
                // A 4xx is a refusal, except one that reports a timeout: newer versions answer
                // some of those with 429 instead of 503.
                let late = *status == StatusCode::REQUEST_TIMEOUT
                    || error_type
                        .as_deref()
                        .is_some_and(|name| name.contains("timeout"));
                if status.is_client_error() && !late {
                    WriteOutcome::NotApplied
                } else {
                    WriteOutcome::Unknown
                }
            }
        }
    }

    /// The status of the answer, where there was one that could be judged.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::NotSent { .. } | Self::NoAnswer { .. } => None,
        }
    }

    /// `error.type` of the answer, where it has one.
    #[must_use]
    pub fn error_type(&self) -> Option<&str> {
        match self {
            Self::Status { error_type, .. } => error_type.as_deref(),
            Self::NotSent { .. } | Self::NoAnswer { .. } => None,
        }
    }

    /// What happened, without an address: for pages that others than operators can see.
    #[must_use]
    pub fn without_address(&self) -> String {
        match self {
            Self::NotSent { why, .. } => why.to_string(),
            Self::NoAnswer { why, .. } => why.to_string(),
            Self::Status { status, .. } => {
                format!("it answers elastauth's own account with {status}")
            }
        }
    }

    /// Whether this tells against the node and not against the call: it cannot be reached, it
    /// breaks off, or a gateway answers instead of it.
    ///
    /// A body that is too big or unexpected does not: one odd user must not cost the cluster its
    /// nodes. Neither does a 503: it is mostly the whole cluster's, and to eject a node helps
    /// nobody.
    pub(super) fn tells_against_node(&self) -> bool {
        match self {
            Self::NotSent { why, .. } => {
                matches!(why, SendError::Connect | SendError::ConnectTimeout)
            }
            Self::NoAnswer { why, .. } => matches!(
                why,
                ResponseError::TimedOut | ResponseError::Cut | ResponseError::NotJson
            ),
            Self::Status { status, .. } => matches!(
                *status,
                StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
            ),
        }
    }

    /// Whether another node may know better, for a call that changes nothing.
    pub(super) fn is_worth_another_node(&self) -> bool {
        match self {
            Self::NotSent { .. } | Self::NoAnswer { .. } => true,
            // A node that has just started answers 503 for a second while the others work.
            Self::Status { status, .. } => {
                matches!(
                    *status,
                    StatusCode::BAD_GATEWAY
                        | StatusCode::SERVICE_UNAVAILABLE
                        | StatusCode::GATEWAY_TIMEOUT
                ) || self.is_refusal()
            }
        }
    }

    /// Whether the credential was refused. That is first of all the answer of one node: without its
    /// security index it knows neither the account (401) nor, if it remembers that, its rights
    /// (403). It has done nothing then.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.status(),
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        )
    }

    /// The error of a call that has asked several nodes, of which this one was asked last. A
    /// refusal counts only where all nodes refuse: where another node had no answer, that is
    /// reported, for the refusal is most likely a sign of the same trouble.
    pub(super) fn after(self, before: Option<Self>) -> Self {
        match before {
            Some(before) if self.is_refusal() && !before.is_refusal() => before,
            Some(_) | None => self,
        }
    }

    /// Whether the request never left, so that even a write may go elsewhere.
    pub(super) fn is_not_sent(&self) -> bool {
        matches!(self, Self::NotSent { .. })
    }
}

fn doing(call: Call) -> &'static str {
    match call {
        Call::Authenticate => "logging in as the user",
        Call::ReadUser => "reading the user",
        Call::WriteUser => "writing the user",
        Call::Check => "checking the service account",
    }
}

fn in_brackets(error_type: Option<&str>) -> String {
    error_type
        .map(|name| format!(" ({name})"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, error_type: Option<&str>) -> CallError {
        CallError::Status {
            call: Call::ReadUser,
            node: "http://es:9200".into(),
            status: StatusCode::from_u16(status).unwrap(),
            error_type: error_type.map(Into::into),
        }
    }

    #[test]
    fn only_a_refused_or_unsent_write_is_known_not_to_be_applied() {
        let (call, node) = (Call::WriteUser, "http://es:9200".into());
        assert_eq!(
            CallError::not_sent(call, &node, SendError::Connect, None).write_outcome(),
            WriteOutcome::NotApplied
        );
        assert_eq!(
            CallError::no_answer(call, &node, ResponseError::TimedOut, None).write_outcome(),
            WriteOutcome::Unknown
        );
        for (code, error_type, outcome) in [
            (400, Some("validation_exception"), WriteOutcome::NotApplied),
            (403, None, WriteOutcome::NotApplied),
            (
                429,
                Some("es_rejected_execution_exception"),
                WriteOutcome::NotApplied,
            ),
            (
                429,
                Some("process_cluster_event_timeout_exception"),
                WriteOutcome::Unknown,
            ),
            (408, None, WriteOutcome::Unknown),
            (302, None, WriteOutcome::Unknown),
            (500, Some("exception"), WriteOutcome::Unknown),
            (
                503,
                Some("unavailable_shards_exception"),
                WriteOutcome::Unknown,
            ),
        ] {
            assert_eq!(status(code, error_type).write_outcome(), outcome, "{code}");
        }
    }

    #[test]
    fn an_error_names_the_node_the_status_the_type_and_the_call() {
        assert_eq!(
            status(503, Some("unavailable_shards_exception")).to_string(),
            "http://es:9200 answered 503 (unavailable_shards_exception) while reading the user"
        );
        assert_eq!(
            status(302, None).to_string(),
            "http://es:9200 answered 302 while reading the user"
        );
    }
}
