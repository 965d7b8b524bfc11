//! What is decided about a request: a grant, or a refusal with its reason.

use crate::{
    broker::{BrokerError, Credential},
    identity::{Identity, Rejected, oidc},
    model::Username,
    net::trust::Distrust,
    outcome::{Outcome, Refusal},
    roles::{Entitled, NotEntitled, Remark, RoleSet},
    telemetry::metrics::ProviderLabel,
    upstream::{Chosen, NoCluster, NoTenant},
};
use std::time::Duration;

/// What was decided about one request. Every surface renders it, one place observes it.
#[derive(Debug)]
pub(crate) struct Decision {
    /// A login, or why there is none.
    pub result: Result<Grant, RefusedRequest>,
    /// The cluster that the request is for, as far as that is known.
    pub chosen: Option<Chosen>,
    /// How long it took.
    pub took: Duration,
}

impl Decision {
    /// How it ended.
    #[must_use]
    pub(crate) fn outcome(&self) -> Outcome {
        match &self.result {
            Ok(_) => Outcome::Granted,
            Err(refused) => Outcome::Refused(refused.refusal()),
        }
    }

    /// Whose request it was, as far as that is known.
    #[must_use]
    pub(crate) fn user(&self) -> Option<&Username> {
        match &self.result {
            Ok(grant) => Some(grant.identity().user()),
            Err(refused) => refused.identity.as_ref().map(Identity::user),
        }
    }

    /// Which kind of provider identified the user, or refused to.
    #[must_use]
    pub(crate) fn provider(&self) -> ProviderLabel {
        match &self.result {
            Ok(grant) => grant.identity().provider().kind(),
            Err(refused) => refused.provider(),
        }
    }
}

/// What the gateway may let through, and as whom. [`super::Flow::decide`] alone makes it.
#[derive(Debug)]
pub struct Grant {
    pub(super) entitled: Entitled,
    pub(super) credential: Credential,
}

impl Grant {
    /// As whom.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        self.entitled.identity()
    }

    /// With which roles.
    #[must_use]
    pub fn roles(&self) -> &RoleSet {
        self.entitled.roles()
    }

    /// What operators should know of these roles.
    #[must_use]
    pub(crate) fn remarks(&self) -> &[Remark] {
        self.entitled.remarks()
    }

    /// With which login.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }
}

/// A request that gets no login.
#[derive(Debug)]
pub struct RefusedRequest {
    /// Who asked; `None` before that is known.
    pub identity: Option<Identity>,
    /// Why not.
    pub why: AuthError,
    /// What operators should know of the user's roles, where those are the reason.
    pub(crate) remarks: Vec<Remark>,
}

impl RefusedRequest {
    /// Its name for everybody but the person who reads the error.
    #[must_use]
    pub fn refusal(&self) -> Refusal {
        Refusal::from(&self.why)
    }

    /// Whether all that is missing is a sign-in: nothing was presented, or a session has ended that
    /// was good. A credential that may be forged is not among these.
    #[must_use]
    pub(crate) fn lacks_a_sign_in(&self) -> bool {
        matches!(
            self.why,
            AuthError::NobodyAsks
                | AuthError::Identity(
                    Rejected::Nobody(_)
                        | Rejected::Token(
                            oidc::RefusedToken::Expired | oidc::RefusedToken::LoggedOut
                        )
                )
        )
    }

    /// Which kind of provider identified the user, or refused to.
    #[must_use]
    pub fn provider(&self) -> ProviderLabel {
        match (&self.identity, &self.why) {
            (Some(identity), _) => identity.provider().kind(),
            (None, AuthError::Identity(why)) => why.kind(),
            (None, _) => ProviderLabel::None,
        }
    }
}

/// A refusal before it is known who asks.
impl From<AuthError> for RefusedRequest {
    fn from(why: AuthError) -> Self {
        Self {
            identity: None,
            why,
            remarks: Vec::new(),
        }
    }
}

/// Why a request gets no login. One variant a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
    /// The peer is not trusted, and nothing of the request was read.
    #[error(transparent)]
    Untrusted(#[from] Distrust),
    /// The request is for none of the configured clusters.
    #[error("no configured cluster is for this request")]
    NoCluster(#[source] NoCluster),
    /// The tenant that the request is for has no cluster.
    #[error("the tenant has no cluster")]
    Tenant(#[source] NoTenant),
    /// No provider found anything of its kind.
    #[error("no provider found a credential in the request")]
    NobodyAsks,
    /// A provider refused what it found.
    #[error("the identity is refused")]
    Identity(#[source] Rejected),
    /// The identity has no roles.
    #[error("the user has no role")]
    Roles(#[source] NotEntitled),
    /// The cluster was not made to agree.
    #[error("no login could be made")]
    Broker(#[source] BrokerError),
    /// A page of another site had the browser send it.
    #[error(
        "a page of another site had the browser send this request, with the token in a cookie; \
         `Sec-Fetch-Site` or `Origin` says so"
    )]
    CrossOrigin,
    /// The steps together took longer than a gateway waits.
    #[error("the decision took too long")]
    Overdue,
    /// A step panicked.
    #[error("the decision crashed")]
    Crashed,
}

impl From<&AuthError> for Refusal {
    fn from(why: &AuthError) -> Self {
        match why {
            AuthError::Untrusted(Distrust::Peer) => Self::UntrustedPeer,
            AuthError::Untrusted(
                Distrust::CertificateName(_)
                | Distrust::KeyMissing
                | Distrust::KeyWrong
                | Distrust::KeyRepeated,
            ) => Self::GatewayKey,
            AuthError::NoCluster(_) | AuthError::Tenant(NoTenant::Label(_)) => Self::NoCluster,
            AuthError::Tenant(NoTenant::Full(_) | NoTenant::TooOften(_)) => Self::Busy,
            AuthError::Tenant(NoTenant::SetUp(..)) => Self::Cluster,
            AuthError::NobodyAsks | AuthError::Identity(Rejected::Nobody(_)) => Self::NobodyAsks,
            AuthError::Identity(
                Rejected::Repeated(..)
                | Rejected::Joined(_)
                | Rejected::NotUtf8(..)
                | Rejected::GroupsMissing(_)
                | Rejected::Token(
                    oidc::RefusedToken::Ambiguous | oidc::RefusedToken::DifferentUsers(..),
                ),
            ) => Self::Malformed,
            AuthError::Identity(Rejected::Token(_)) => Self::TokenRefused,
            AuthError::Identity(
                Rejected::Pattern(_)
                | Rejected::Name(..)
                | Rejected::Claims(oidc::NoUser::Pattern(_) | oidc::NoUser::Name(..)),
            ) => Self::ImpossibleName,
            AuthError::Identity(Rejected::Claims(_)) => Self::TokenClaims,
            AuthError::Identity(why) if why.is_too_soon() => Self::UnknownKey,
            AuthError::Identity(Rejected::Idp { .. }) => Self::IdentityProvider,
            AuthError::Roles(NotEntitled::GroupNotAllowed) => Self::GroupNotAllowed,
            AuthError::Roles(NotEntitled::NoRole) => Self::NoRole,
            AuthError::Broker(why) => match why {
                BrokerError::ReservedName(_) => Self::ReservedName,
                BrokerError::Disabled => Self::Disabled,
                BrokerError::Foreign | BrokerError::SomebodyElses { .. } => Self::ForeignUser,
                BrokerError::Outdated { .. } => Self::TokenOutdated,
                BrokerError::WriteBudget => Self::WriteBudget,
                BrokerError::NewUsers => Self::NewUsers,
                BrokerError::ServiceAccount(_) => Self::ServiceAccount,
                BrokerError::Cluster(_) | BrokerError::LoginRefused => Self::Cluster,
                BrokerError::Late => Self::Late,
                BrokerError::Busy => Self::Busy,
                BrokerError::Crashed => Self::Bug,
            },
            AuthError::CrossOrigin => Self::CrossOrigin,
            AuthError::Overdue => Self::Overdue,
            AuthError::Crashed => Self::Bug,
        }
    }
}
