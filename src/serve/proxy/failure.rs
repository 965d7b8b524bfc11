//! Why a request that was granted was not passed on, or its answer not passed back.

use crate::{
    cluster::ForwardError, net::client::streaming::StreamError, outcome::Refusal, request::Unclear,
};

#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// It is unclear for which of the servers it is.
    #[error("no server is for this request")]
    Server(#[source] Unclear),
    #[error("nothing is left of the path behind the prefix that has chosen the server")]
    Target,
    /// The tenant's cluster was closed in the meantime.
    #[error("the cluster was closed just now")]
    Closed,
    #[error(transparent)]
    Forward(#[from] ForwardError),
    /// It answered 401, and again after the user was looked at; or too many users are looked at.
    #[error("the cluster answers the user's login with 401")]
    Login,
    /// The same, and the request cannot be sent once more.
    #[error("the cluster answers the user's login with 401, and the body of the request is gone")]
    LoginOnce,
    /// Proxy mode is on, and the cluster has no servers.
    #[error("the cluster has no servers to pass requests on to")]
    NoServers,
}

impl Failure {
    pub(crate) fn refusal(&self) -> Refusal {
        match self {
            Self::Server(_) | Self::Target | Self::Forward(ForwardError::Target(_)) => {
                Refusal::NoCluster
            }
            Self::Closed
            | Self::Forward(
                ForwardError::Busy | ForwardError::BusyUser | ForwardError::BusyAddress,
            ) => Refusal::Busy,
            Self::Login | Self::LoginOnce => Refusal::LoginRejected,
            Self::NoServers => Refusal::Bug,
            Self::Forward(ForwardError::Node { why, .. }) => match why {
                StreamError::Connect(_) => Refusal::NoConnection,
                StreamError::TimedOut => Refusal::NoAnswer,
                StreamError::Cut { .. } | StreamError::Malformed(_) => Refusal::BadAnswer,
                StreamError::Upload(_) => Refusal::BadUpload,
            },
        }
    }
}
