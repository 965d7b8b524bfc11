//! What can go wrong with a call: whether the request was sent, and whether it may still take
//! effect.

use super::diagnosis::Diagnosis;
use crate::{net::client::HttpError, telemetry::metrics::Call};
use http::StatusCode;
use std::{error::Error, fmt, sync::Arc};

/// Why a call has no usable answer.
///
/// The reason text of the cluster's answer is never kept: it may quote our own body, password
/// included (seen with a body that is not well-formed JSON).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    pub(super) call: Call,
    /// The node, as `scheme://host:port`.
    pub(super) node: Arc<str>,
    pub(super) why: CallFailure,
}

/// What has failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallFailure {
    #[error("too many calls are under way")]
    Busy,
    #[error("the host or the service account cannot be put into a request")]
    Unsendable,
    /// There is no answer, or no whole one.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A login page, an error page, half a document.
    #[error("the body is not JSON")]
    NotJson,
    #[error("the body is not what was asked for")]
    Unexpected,
    #[error(
        "the cluster has no role `{0}`; create it there, or correct the roles that are configured"
    )]
    RoleMissing(Box<str>),
    #[error(
        "the cluster lets nobody grant the role `{0}`, which is reserved there; take another one"
    )]
    RoleReserved(Box<str>),
    #[error("the cluster keeps a user of this name for itself")]
    UserReserved,
    /// Between the read of the user and the write.
    #[error("somebody else has changed the user since elastauth has read them")]
    Overtaken,
    /// The write has waited until after the time up to which it might begin.
    #[error("the write has waited for too long")]
    Late,
    /// The call was cut off on our side.
    #[error("the call did not end")]
    Unfinished,
    /// The cluster, or something in front of it, answered with a status that the call does not
    /// expect.
    #[error("it answers elastauth's own account with {status}")]
    Status {
        status: StatusCode,
        /// `error.type` of the answer, where it has one.
        error_type: Option<Box<str>>,
        meaning: StatusMeaning,
        diagnosis: Option<Diagnosis>,
    },
}

/// What an unexpected status means, as the security API judges it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusMeaning {
    /// The node refuses the credential and has done nothing. Another one may accept it.
    CredentialRefused,
    /// Every node would refuse this request. Nothing was done.
    RequestRefused,
    /// The node does not work at the moment. Another one may.
    Unavailable,
    /// A gateway cannot reach the node.
    Unreachable,
    /// The request may have been carried out or not.
    Unclear,
}

impl CallError {
    /// The call reaches no node.
    pub(super) fn of_cluster(call: Call, why: CallFailure) -> Self {
        let node = "the cluster".into();
        Self { call, node, why }
    }

    /// Whether a write has been applied after all, or may be later: a real cluster without a master
    /// applied one 30 s after its client had gone.
    #[must_use]
    pub fn may_take_effect(&self) -> bool {
        let refused = [
            StatusMeaning::CredentialRefused,
            StatusMeaning::RequestRefused,
        ];
        // A write may begin with a read.
        self.call == Call::WriteUser
            && !self.is_not_sent()
            && !self.meaning().is_some_and(|it| refused.contains(&it))
    }

    /// Whether nothing was written because what the write was made from is over: somebody else has
    /// changed the user since they were read, or it may not begin any more.
    #[must_use]
    pub fn is_overtaken(&self) -> bool {
        matches!(self.why, CallFailure::Overtaken | CallFailure::Late)
    }

    /// The status of the answer, where there was one that could be judged.
    #[must_use]
    pub fn status(&self) -> Option<StatusCode> {
        if let CallFailure::Status { status, .. } = self.why {
            Some(status)
        } else {
            None
        }
    }

    /// Whether the answer is longer than is ever read.
    #[must_use]
    pub fn is_too_big(&self) -> bool {
        matches!(self.why, CallFailure::Http(HttpError::TooBig))
    }

    /// Whether the user is one that the cluster does not let anybody write.
    #[must_use]
    pub fn is_reserved_user(&self) -> bool {
        self.why == CallFailure::UserReserved
    }

    fn meaning(&self) -> Option<StatusMeaning> {
        match self.why {
            CallFailure::Status { meaning, .. } => Some(meaning),
            CallFailure::RoleMissing(_)
            | CallFailure::RoleReserved(_)
            | CallFailure::UserReserved => Some(StatusMeaning::RequestRefused),
            CallFailure::Busy
            | CallFailure::Unsendable
            | CallFailure::Http(_)
            | CallFailure::NotJson
            | CallFailure::Unexpected
            | CallFailure::Overtaken
            | CallFailure::Late
            | CallFailure::Unfinished => None,
        }
    }

    /// What happened, without an address: for pages that others than operators can see.
    #[must_use]
    pub fn without_address(&self) -> String {
        match self.diagnosis() {
            Some(diagnosis) => format!("{}; {diagnosis}", self.why),
            None => self.why.to_string(),
        }
    }

    /// What answers instead of the cluster, where that is known.
    pub(super) fn diagnosis(&self) -> Option<Diagnosis> {
        match &self.why {
            CallFailure::Status { diagnosis, .. } => *diagnosis,
            CallFailure::Http(error) => {
                Diagnosis::of_connection(error, self.node.starts_with("https:"))
            }
            CallFailure::Busy
            | CallFailure::Unsendable
            | CallFailure::NotJson
            | CallFailure::Unexpected
            | CallFailure::RoleMissing(_)
            | CallFailure::RoleReserved(_)
            | CallFailure::UserReserved
            | CallFailure::Overtaken
            | CallFailure::Late
            | CallFailure::Unfinished => None,
        }
    }

    /// The same, with what was found out about who answers.
    pub(super) fn diagnosed(mut self, found: Diagnosis) -> Self {
        if let CallFailure::Status { diagnosis, .. } = &mut self.why {
            *diagnosis = Some(found);
        }
        self
    }

    /// Whether the cluster is of another kind than the configured one.
    #[must_use]
    pub fn is_of_other_kind(&self) -> bool {
        let kinds = [Diagnosis::OpenSearch, Diagnosis::Elasticsearch];
        self.diagnosis().is_some_and(|found| kinds.contains(&found))
    }

    /// Whether the same call may succeed a moment later, and may be made again: a read always, a
    /// write only where nothing was sent or the cluster has refused to take it.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        // What is known to be something else stays it.
        if self.diagnosis().is_some_and(Diagnosis::is_certain) {
            return false;
        }
        let is_read = self.call != Call::WriteUser;
        match &self.why {
            CallFailure::Http(HttpError::Connect(_) | HttpError::ConnectTimeout)
            | CallFailure::Overtaken
            | CallFailure::Late => true,
            CallFailure::Http(HttpError::Cut(_) | HttpError::TimedOut) => is_read,
            CallFailure::Status {
                status, meaning, ..
            } => match meaning {
                StatusMeaning::Unavailable => true,
                // Another replica was writing at the same time.
                StatusMeaning::RequestRefused => {
                    [StatusCode::TOO_MANY_REQUESTS, StatusCode::CONFLICT].contains(status)
                }
                StatusMeaning::Unreachable | StatusMeaning::Unclear => {
                    is_read && status.is_server_error()
                }
                StatusMeaning::CredentialRefused => false,
            },
            CallFailure::Http(HttpError::TooBig | HttpError::Encoded)
            | CallFailure::Busy
            | CallFailure::Unsendable
            | CallFailure::NotJson
            | CallFailure::Unexpected
            | CallFailure::RoleMissing(_)
            | CallFailure::RoleReserved(_)
            | CallFailure::UserReserved
            | CallFailure::Unfinished => false,
        }
    }

    /// Whether this tells against the node and not against the call: it cannot be reached, it
    /// breaks off, or a gateway answers instead of it.
    ///
    /// A body that is too big or unexpected does not: one odd user must not cost the cluster its
    /// nodes. Neither does a node that is unavailable: it is mostly the whole cluster that is, and
    /// to eject a node helps nobody.
    pub(super) fn tells_against_node(&self) -> bool {
        match &self.why {
            CallFailure::Http(error) => *error != HttpError::TooBig,
            CallFailure::NotJson => true,
            CallFailure::Status { meaning, .. } => *meaning == StatusMeaning::Unreachable,
            CallFailure::Busy
            | CallFailure::Unsendable
            | CallFailure::Unexpected
            | CallFailure::RoleMissing(_)
            | CallFailure::RoleReserved(_)
            | CallFailure::UserReserved
            | CallFailure::Overtaken
            | CallFailure::Late
            | CallFailure::Unfinished => false,
        }
    }

    /// Whether another node may know better, for a call that changes nothing.
    pub(super) fn is_worth_another_node(&self) -> bool {
        let vain = [StatusMeaning::RequestRefused, StatusMeaning::Unclear];
        !self.meaning().is_some_and(|it| vain.contains(&it))
    }

    /// Whether the credential was refused. That is first of all the answer of one node: without its
    /// security index it knows neither the account nor its rights.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        self.meaning() == Some(StatusMeaning::CredentialRefused)
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
        matches!(
            self.why,
            CallFailure::Busy
                | CallFailure::Unsendable
                | CallFailure::Overtaken
                | CallFailure::Late
                | CallFailure::Http(HttpError::Connect(_) | HttpError::ConnectTimeout)
        )
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { call, node, why } = self;
        let doing = match call {
            Call::Authenticate => "logging in as the user",
            Call::ReadUser => "reading the user",
            Call::WriteUser => "writing the user",
            Call::ListApiKeys => "listing the user's API keys",
            Call::InvalidateApiKeys => "invalidating the user's API keys",
            Call::ListUsers => "listing the users",
            Call::Check => "checking the service account",
        };
        if let CallFailure::Status {
            status, error_type, ..
        } = why
        {
            write!(f, "{node} answered {}", status.as_u16())?;
            if let Some(name) = error_type {
                write!(f, " ({name})")?;
            }
            write!(f, " while {doing}")?;
        } else if self.meaning().is_some() {
            write!(f, "{node} refuses it while {doing}: {why}")?;
        } else if self.is_not_sent() {
            write!(f, "no request was sent to {node} while {doing}: {why}")?;
        } else {
            write!(f, "no usable answer from {node} while {doing}: {why}")?;
        }
        match self.diagnosis() {
            Some(diagnosis) => write!(f, "; {diagnosis}"),
            None => Ok(()),
        }
    }
}

/// What the network reports.
impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.why.source()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_names_the_node_the_status_the_type_and_the_call() {
        let text = |status, error_type: Option<&str>| {
            let why = CallFailure::Status {
                status,
                error_type: error_type.map(Into::into),
                meaning: StatusMeaning::Unclear,
                diagnosis: None,
            };
            let (call, node) = (Call::ReadUser, "http://es:9200".into());
            CallError { call, node, why }.to_string()
        };
        assert_eq!(
            text(
                StatusCode::SERVICE_UNAVAILABLE,
                Some("unavailable_shards_exception")
            ),
            "http://es:9200 answered 503 (unavailable_shards_exception) while reading the user"
        );
        assert_eq!(
            text(StatusCode::FOUND, None),
            "http://es:9200 answered 302 while reading the user"
        );
    }
}
