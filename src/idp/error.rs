//! Why an identity provider cannot be asked. The variant tells whose fault it is.

use super::{
    endpoint::{EndpointKind, InvalidDiscovery},
    json::InvalidJson,
    key_set::InvalidKeySet,
};
use crate::net::client::HttpError;
use http::StatusCode;

/// Why a provider cannot be asked. One variant a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdpError {
    /// No complete answer.
    #[error("the provider's {0} did not answer")]
    Call(EndpointKind, #[source] HttpError),
    /// A status that the call does not expect.
    #[error("the provider's {0} answered {1}")]
    Status(EndpointKind, StatusCode),
    /// Its description is not accepted.
    #[error("the provider's description is not accepted")]
    Discovery(#[source] InvalidDiscovery),
    /// Its key set is not accepted.
    #[error("the provider's key set is not accepted")]
    Keys(#[source] InvalidKeySet),
    /// The answer has no claims.
    #[error("the provider's {0} answered with something other than a JSON object")]
    Claims(EndpointKind, #[source] InvalidJson),
    /// The answer should be a plain JSON object and is a signed token.
    #[error("the provider's {0} answered with a signed token; switch that off for this client")]
    Signed(EndpointKind),
    /// The answer is a signed token, and not one that counts.
    #[error("the provider's {0} answered with a signed token that is not accepted: {1}")]
    SignedAnswer(EndpointKind, Box<str>),
    /// elastauth's client is not accepted, or may not ask.
    #[error(
        "the provider's {0} refuses elastauth's client; check its name, its secret and its rights"
    )]
    OurClient(EndpointKind),
    /// The client's name or secret cannot be sent.
    #[error("the client's name, secret or key cannot be put into a request")]
    Unsendable,
    /// The address is unknown.
    #[error("the provider names no address for its {0}, and none is configured")]
    NoEndpoint(EndpointKind),
    /// A description that came over TLS names an address without it.
    #[error(
        "the provider's description names a plain http address for its {0}, and elastauth sends \
         no token and no secret there; correct the provider's own address, or configure the \
         endpoint with https"
    )]
    Downgrade(EndpointKind),
    /// It is still being fetched.
    #[error("the provider's {0} has not been received yet")]
    Late(EndpointKind),
    /// It was fetched so often of late that a fetch has to wait.
    #[error("the provider's {0} has just been fetched several times; the next fetch has to wait")]
    TooSoon(EndpointKind),
    /// A redirect that is not followed.
    #[error(
        "the provider's {0} answered {1} with an address that elastauth does not follow: it must \
         be of the same origin or begin with https://, and there may be three in a row"
    )]
    Redirect(EndpointKind, StatusCode),
    /// Too many calls.
    #[error("too many calls to the provider are under way")]
    Busy,
    /// A fault of elastauth's own.
    #[error("the call to the provider crashed")]
    Crashed,
}
