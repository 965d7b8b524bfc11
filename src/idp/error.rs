//! Why an identity provider cannot be asked. Whose fault it is shows in the variant.

use super::{endpoint::BadDiscovery, json::BadJson, key_set::BadKeySet};
use crate::net::client::CallError;
use http::StatusCode;
use std::fmt;

/// What was asked of a provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum What {
    Discovery,
    Keys,
    Userinfo,
    Introspection,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Discovery => "description (discovery)",
            Self::Keys => "keys (JWKS)",
            Self::Userinfo => "userinfo",
            Self::Introspection => "introspection",
        })
    }
}

/// Why a provider cannot be asked. One variant a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IdpError {
    /// No whole answer.
    #[error("the provider's {0} did not answer")]
    Call(What, #[source] CallError),
    /// Another status than the call knows.
    #[error("the provider's {0} answered {1}")]
    Status(What, StatusCode),
    /// Its description is not believed.
    #[error("the provider's description is not accepted")]
    Discovery(#[source] BadDiscovery),
    /// Its keys are none.
    #[error("the provider's key set is not accepted")]
    Keys(#[source] BadKeySet),
    /// Claims that are no claims.
    #[error("the provider's {0} answered with something else than a JSON object")]
    Claims(What, #[source] BadJson),
    /// An answer that a plain JSON object should be, and is a signed token.
    #[error("the provider's {0} answers with a signed token; switch that off for this client")]
    Signed(What),
    /// We are not who we say we are, or may not ask.
    #[error(
        "the provider's {0} refuses elastauth's own client: its name, its secret or its rights"
    )]
    OurClient(What),
    /// Our own name or secret cannot be sent.
    #[error("the client's name, secret or key cannot be put into a request")]
    Unsendable,
    /// It has no such address, and none is configured.
    #[error("the provider names no address for its {0}, and none is configured")]
    NoEndpoint(What),
    /// It is still being waited for.
    #[error("the provider's {0} is not there yet")]
    Late(What),
    /// Too many calls.
    #[error("too many calls to the provider are under way")]
    Busy,
    /// A fault of elastauth's own.
    #[error("the call to the provider crashed")]
    Crashed,
}
