//! Who is asking: the configured providers, one after the other.

pub mod headers;

use crate::{
    model::{Group, InvalidUsername, RequestFacts, Username},
    telemetry::metrics::Provider,
};

/// Settings of this floor.
#[derive(Debug, Clone)]
pub struct Config {
    /// The providers in the order in which they are asked. Never empty.
    pub providers: Vec<ProviderConfig>,
}

/// The closed set of ways to learn who asks.
#[derive(Debug, Clone)]
pub enum ProviderConfig {
    /// Identity headers of an authentication service in front, such as Authelia.
    Headers(headers::Config),
}

/// Somebody for whom a provider vouches. Made by this module alone: whoever holds one may believe it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    user: Username,
    groups: Vec<Group>,
    email: Option<Box<str>>,
    full_name: Option<Box<str>>,
}

impl Identity {
    /// Whose login is asked for.
    #[must_use]
    pub fn user(&self) -> &Username {
        &self.user
    }

    /// The groups in the provider's order, without repetitions.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.groups
    }

    /// The mail address, never empty.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.email.as_deref()
    }

    /// The name for people, never empty.
    #[must_use]
    pub fn full_name(&self) -> Option<&str> {
        self.full_name.as_deref()
    }

    /// Which provider vouches, as the audit stream and the numbers name it.
    #[must_use]
    pub fn provider(&self) -> Provider {
        // The only one there is.
        Provider::Authelia
    }
}

/// What a provider makes of a request.
///
/// Only [`Attempt::NotRequested`] lets the next provider look: a credential that failed here is never tried as somebody else's.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The request carries nothing of this provider's kind.
    NotRequested,
    /// The provider vouches for this user.
    Identified(Identity),
    /// The request carries this provider's kind of credential, and it is no good.
    Rejected(Rejected),
}

/// Why a credential is no good: one variant a rule. What the client is told about it stands in `respond`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// An identity header that must stand once stands more often.
    #[error("the {0} header stands more than once; the gateway must delete the client's own before it sets it")]
    Repeated(Field),
    /// Two names in one header, as gateways join repeated ones.
    #[error("the user header holds a comma: two names, or a name that cannot be told from two")]
    Joined,
    /// The bytes are not UTF-8.
    #[error("the {0} header is not UTF-8")]
    NotUtf8(Field),
    /// The groups header is missing where it is required.
    #[error("the groups header is missing and `authelia.groups_required` is set")]
    GroupsMissing,
    /// One name, which the cluster cannot have as a user.
    #[error("the name cannot be a user of the cluster")]
    Name(#[source] InvalidUsername),
}

impl Rejected {
    /// Which provider has refused.
    #[must_use]
    pub fn provider(&self) -> Provider {
        // The only one there is.
        Provider::Authelia
    }
}

/// Which part of an identity a fault is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Field {
    User,
    Groups,
    Email,
    FullName,
}

impl std::fmt::Display for Field {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Groups => "groups",
            Self::Email => "email",
            Self::FullName => "name",
        })
    }
}

/// Asks the providers in their configured order; `None` when nobody asks.
///
/// # Errors
/// The refusal of the first provider whose kind of credential the request carries.
pub fn identify(config: &Config, facts: &RequestFacts) -> Result<Option<Identity>, Rejected> {
    for provider in &config.providers {
        let attempt = match provider {
            ProviderConfig::Headers(names) => headers::attempt(names, facts),
        };
        match attempt {
            Attempt::NotRequested => {}
            Attempt::Identified(identity) => return Ok(Some(identity)),
            Attempt::Rejected(why) => return Err(why),
        }
    }
    Ok(None)
}
