//! Why a credential is not accepted.

use super::{
    oidc::refused::{NoUser, RefusedToken},
    types::Field,
};
use crate::{
    idp::IdpError,
    model::{InvalidUsername, Shown},
    telemetry::metrics,
};
use std::sync::Arc;

/// One variant a rule. `respond` decides what the client reads.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// An identity header that may occur once occurs more often.
    #[error(
        "the {0} header occurs more than once ({1}); the gateway must delete the client's own \
         before it sets it"
    )]
    Repeated(Field, Shown),
    /// Two names in one header, as gateways join repeated ones.
    #[error("the user header has a comma: {0} is two names, or a name that looks like two")]
    Joined(Shown),
    /// The bytes are not UTF-8.
    #[error("the {0} header is not UTF-8: {1}")]
    NotUtf8(Field, Shown),
    /// The groups header is missing where it is required.
    #[error("the groups header for {0} is missing and `authelia.groups_required` is set")]
    GroupsMissing(Shown),
    /// The user header has what gateways send where nobody is signed in.
    #[error(
        "the user header names nobody: it has what gateways send for a value that is missing ({0})"
    )]
    Nobody(&'static str),
    /// The user header is not what the pattern expects.
    #[error("the user header, {0}, does not match `authelia.username_pattern`")]
    Pattern(Shown),
    /// One name, which the cluster cannot have as a user.
    #[error("the name {0} cannot be a user of the cluster")]
    Name(Shown, #[source] InvalidUsername),
    /// The token is not accepted.
    #[error("the token is refused")]
    Token(#[from] RefusedToken),
    /// The token is accepted and does not name a user.
    #[error("the token is in order, and no user can be made of its claims")]
    Claims(#[source] NoUser),
    /// The identity provider would have to be asked, and cannot be.
    #[error("the identity provider `{provider}` cannot be asked")]
    Idp {
        /// The operator's name for it.
        provider: Arc<str>,
        /// Why.
        source: IdpError,
    },
}

impl Rejected {
    /// Whether the token's key was not looked up because keys were so often of late.
    #[must_use]
    pub(crate) fn is_too_soon(&self) -> bool {
        matches!(
            self,
            Self::Idp {
                source: IdpError::TooSoon(_),
                ..
            }
        )
    }

    /// The kind of provider that has refused, as metrics and traces name it.
    #[must_use]
    pub fn kind(&self) -> metrics::ProviderLabel {
        match self {
            Self::Token(_) | Self::Claims(_) | Self::Idp { .. } => metrics::ProviderLabel::Oidc,
            Self::Repeated(..)
            | Self::Joined(_)
            | Self::NotUtf8(..)
            | Self::GroupsMissing(_)
            | Self::Nobody(_)
            | Self::Pattern(_)
            | Self::Name(..) => metrics::ProviderLabel::Authelia,
        }
    }
}
