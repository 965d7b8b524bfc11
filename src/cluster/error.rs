//! What can go wrong with a call, told by what it means for the caller: whether anything was sent,
//! and whether it may still take effect.

use super::wire::ErrorType;
use http::StatusCode;
use std::{error::Error, fmt, sync::Arc};

/// Why a call has no usable answer.
///
/// The reason text of the cluster's answer is never kept: it may quote our own body, password
/// included (seen with a body that is not well-formed JSON).
#[derive(Debug, Clone, thiserror::Error)]
pub enum CallError {
    /// The request never left: no node could be connected, or there was no room for one more call.
    #[error("nothing was sent to {node}: {why}")]
    NotSent {
        /// The node, as `scheme://host:port`.
        node: Arc<str>,
        /// What stood in the way.
        why: Unsent,
        /// What the network says about it.
        source: Option<Source>,
    },
    /// The request was sent, and no whole, understandable answer came.
    #[error("no usable answer from {node}: {why}")]
    Lost {
        /// The node, as `scheme://host:port`.
        node: Arc<str>,
        /// What became of the answer.
        why: Loss,
        /// What the network says about it.
        source: Option<Source>,
    },
    /// The cluster, or something in front of it, answered with another status than the call knows.
    #[error("{node} answered {status}{}", error_type.as_deref().map(|name| format!(" ({name})")).unwrap_or_default())]
    Status {
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

/// Why nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsent {
    /// TCP or TLS did not come about.
    Connect,
    /// There was no connection in time.
    ConnectTimeout,
    /// Too many calls are on their way already.
    Busy,
    /// The configuration gives no address or no header that could be sent.
    Unsendable,
}

impl fmt::Display for Unsent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "no connection",
            Self::ConnectTimeout => "no connection in time",
            Self::Busy => "too many calls on their way",
            Self::Unsendable => "the host or the service account cannot be put into a request",
        })
    }
}

/// What became of an answer that was waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loss {
    /// It did not come, or not to its end, before the deadline.
    TimedOut,
    /// The connection ended first, or what came over it was not HTTP.
    Cut,
    /// The body has no end within the limit.
    TooBig,
    /// The body is not JSON: a login page, an error page, half a document.
    NotJson,
    /// The body is JSON, but says something else than what was asked for.
    Unexpected,
}

impl fmt::Display for Loss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TimedOut => "it did not come in time",
            Self::Cut => "the connection was cut",
            Self::TooBig => "the body is too big",
            Self::NotJson => "the body is not JSON",
            Self::Unexpected => "the body is not what was asked for",
        })
    }
}

/// What a failed write has done in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// Nothing: it was not sent, or it was refused.
    NotApplied,
    /// It may have been applied, or may be later. A real cluster without a master applied a write
    /// 30 s after its client had gone.
    Unknown,
}

impl CallError {
    /// What a failed write has done in the cluster.
    #[must_use]
    pub fn fate(&self) -> Fate {
        match self {
            Self::NotSent { .. } => Fate::NotApplied,
            Self::Lost { .. } => Fate::Unknown,
            Self::Status {
                status, error_type, ..
            } => {
                // A 4xx is a refusal, save one that speaks of time run out: newer versions answer
                // some of those with 429 instead of 503.
                let late = *status == StatusCode::REQUEST_TIMEOUT
                    || error_type
                        .as_deref()
                        .is_some_and(|name| name.contains("timeout"));
                if status.is_client_error() && !late {
                    Fate::NotApplied
                } else {
                    Fate::Unknown
                }
            }
        }
    }

    /// The status of the answer, where there was one that could be judged.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        match self {
            Self::Status { status, .. } => Some(*status),
            Self::NotSent { .. } | Self::Lost { .. } => None,
        }
    }

    /// `error.type` of the answer, where it has one.
    #[must_use]
    pub fn error_type(&self) -> Option<&str> {
        match self {
            Self::Status { error_type, .. } => error_type.as_deref(),
            Self::NotSent { .. } | Self::Lost { .. } => None,
        }
    }

    pub(super) fn not_sent(node: &Arc<str>, why: Unsent, source: Option<Source>) -> Self {
        Self::NotSent {
            node: Arc::clone(node),
            why,
            source,
        }
    }

    pub(super) fn lost(node: &Arc<str>, why: Loss, source: Option<Source>) -> Self {
        Self::Lost {
            node: Arc::clone(node),
            why,
            source,
        }
    }

    pub(super) fn answered(
        node: &Arc<str>,
        status: StatusCode,
        error_type: Option<ErrorType>,
    ) -> Self {
        Self::Status {
            node: Arc::clone(node),
            status,
            error_type: error_type.map(ErrorType::into_text),
        }
    }

    /// Whether this tells against the node and not against the call: it cannot be reached, it
    /// breaks off, or a gateway answers in its place.
    ///
    /// A body that is too big or says something unexpected does not: one odd user must not cost the
    /// cluster its nodes. Neither does a 503: it is mostly the whole cluster's, and a node that is
    /// shut out helps nobody.
    pub(super) fn tells_against_node(&self) -> bool {
        match self {
            Self::NotSent { why, .. } => matches!(why, Unsent::Connect | Unsent::ConnectTimeout),
            Self::Lost { why, .. } => matches!(why, Loss::TimedOut | Loss::Cut | Loss::NotJson),
            Self::Status { status, .. } => matches!(
                *status,
                StatusCode::BAD_GATEWAY | StatusCode::GATEWAY_TIMEOUT
            ),
        }
    }

    /// Whether another node may know better, for a call that changes nothing.
    pub(super) fn is_worth_another_node(&self) -> bool {
        match self {
            Self::NotSent { .. } | Self::Lost { .. } => true,
            // A node that has just started says 503 for a second while the others work.
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

    /// Whether whoever asked was refused. That is first of all the word of one node: without its
    /// security index it knows neither the account (401) nor, if it remembers that, its rights
    /// (403). It has done nothing then.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        matches!(
            self.status(),
            Some(StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
        )
    }

    /// The error of a call that has asked several nodes, of which this one was asked last. Refused
    /// is who was refused by all: where another one had no answer, that is what is told, for the
    /// refusal is most likely a sign of the same trouble.
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

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, error_type: Option<&str>) -> CallError {
        CallError::Status {
            node: "http://es:9200".into(),
            status: StatusCode::from_u16(status).unwrap(),
            error_type: error_type.map(Into::into),
        }
    }

    #[test]
    fn only_what_was_refused_or_never_left_is_known_not_to_be_applied() {
        let node = "http://es:9200".into();
        assert_eq!(
            CallError::not_sent(&node, Unsent::Connect, None).fate(),
            Fate::NotApplied
        );
        assert_eq!(
            CallError::lost(&node, Loss::TimedOut, None).fate(),
            Fate::Unknown
        );
        for (code, error_type, fate) in [
            (400, Some("validation_exception"), Fate::NotApplied),
            (403, None, Fate::NotApplied),
            (
                429,
                Some("es_rejected_execution_exception"),
                Fate::NotApplied,
            ),
            (
                429,
                Some("process_cluster_event_timeout_exception"),
                Fate::Unknown,
            ),
            (408, None, Fate::Unknown),
            (302, None, Fate::Unknown),
            (500, Some("exception"), Fate::Unknown),
            (503, Some("unavailable_shards_exception"), Fate::Unknown),
        ] {
            assert_eq!(status(code, error_type).fate(), fate, "{code}");
        }
    }

    #[test]
    fn an_error_names_the_node_the_status_and_the_type() {
        assert_eq!(
            status(403, Some("security_exception")).to_string(),
            "http://es:9200 answered 403 Forbidden (security_exception)"
        );
        assert_eq!(
            status(302, None).to_string(),
            "http://es:9200 answered 302 Found"
        );
    }
}
