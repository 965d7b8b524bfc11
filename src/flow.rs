//! The trip of one request: identity, then roles, then a credential. The only place that knows the order.

use crate::{
    broker::{Broker, BrokerError, Credential},
    identity::{Identity, Providers, Rejected},
    model::{RequestFacts, Username},
    roles::{Mapping, NotEntitled},
};

/// The three decisions, ready to be asked.
#[derive(Debug)]
pub struct Flow {
    providers: Providers,
    mapping: Mapping,
    broker: Broker,
}

/// What the gateway may let through, and as whom. Made by [`Flow::decide`] alone.
#[derive(Debug)]
pub struct Grant {
    identity: Identity,
    credential: Credential,
}

impl Grant {
    /// As whom.
    #[must_use]
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// With which login.
    #[must_use]
    pub fn credential(&self) -> &Credential {
        &self.credential
    }
}

/// A request that gets no login, and as far as known, whose it was.
#[derive(Debug)]
pub struct Refused {
    /// Who asked; `None` before that is known.
    pub user: Option<Username>,
    /// Why not.
    pub why: AuthError,
}

/// Why a request gets no login. One variant a step.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AuthError {
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
}

impl Flow {
    /// Puts the three decisions together.
    #[must_use]
    pub fn new(providers: Providers, mapping: Mapping, broker: Broker) -> Self {
        Self { providers, mapping, broker }
    }

    /// Who is asked who asks.
    #[must_use]
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// Decides about one request. A known user is answered without waiting for anything.
    ///
    /// # Errors
    /// The first step that says no.
    pub async fn decide(&self, facts: &RequestFacts) -> Result<Grant, Refused> {
        let identity = match self.providers.identify(facts).await {
            Ok(Some(identity)) => identity,
            Ok(None) => return Err(Refused { user: None, why: AuthError::NobodyAsks }),
            Err(why) => return Err(Refused { user: None, why: AuthError::Identity(why) }),
        };
        let user = identity.user().clone();
        let entitled = match self.mapping.entitle(identity) {
            Ok(entitled) => entitled,
            Err(why) => return Err(Refused { user: Some(user), why: AuthError::Roles(why) }),
        };
        match self.broker.credential(&entitled).await {
            Ok(credential) => Ok(Grant { identity: entitled.into_identity(), credential }),
            Err(why) => Err(Refused { user: Some(user), why: AuthError::Broker(why) }),
        }
    }
}
