//! Who is asking: the configured providers, one after the other.

pub mod headers;
pub mod oidc;

use crate::{
    clock::{Clock, Timestamp},
    idp::IdpError,
    model::{Group, InvalidUsername, RequestFacts, Username},
    net::tls::TlsError,
    shutdown::Tasks,
    telemetry::{Telemetry, metrics},
};
use std::sync::Arc;

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
    /// Tokens of OpenID Connect providers.
    Oidc(oidc::Config),
}

/// The configured providers, ready to be asked.
#[derive(Debug)]
pub struct Providers(Vec<Asked>);

#[derive(Debug)]
enum Asked {
    Headers(headers::Config),
    Oidc(Box<oidc::Oidc>),
}

impl Asked {
    fn kind(&self) -> &'static str {
        let kind = match self {
            Self::Headers(_) => metrics::Provider::Authelia,
            Self::Oidc(_) => metrics::Provider::Oidc,
        };
        kind.name().unwrap_or_default()
    }
}

/// Somebody for whom a provider vouches. Made by this module alone: whoever holds one may believe
/// it. Clones share it: a remembered one is handed out with every request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity(Arc<(Person, Vouched)>);

/// What is known of a person.
#[derive(Debug, PartialEq, Eq)]
struct Person {
    user: Username,
    groups: Vec<Group>,
    email: Option<Box<str>>,
    full_name: Option<Box<str>>,
}

/// Who says so, since when, and for which session.
#[derive(Debug, PartialEq, Eq)]
struct Vouched {
    by: Provider,
    issued_at: Option<Timestamp>,
    /// When the provider itself was asked.
    asked: Option<Timestamp>,
    subject: Option<Box<str>>,
    session: Option<Box<str>>,
}

/// Who vouches for an identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Provider {
    /// The authentication service in front.
    Headers,
    /// The identity provider of this name.
    Oidc(Arc<str>),
}

impl Provider {
    /// What identity headers are called where providers have names.
    pub const HEADERS: &str = "authelia";

    /// What the operator calls it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Headers => Self::HEADERS,
            Self::Oidc(name) => name,
        }
    }

    /// Which kind of provider it is, as the audit stream and the numbers name it.
    #[must_use]
    pub fn kind(&self) -> metrics::Provider {
        match self {
            Self::Headers => metrics::Provider::Authelia,
            Self::Oidc(_) => metrics::Provider::Oidc,
        }
    }
}

impl Identity {
    fn new(person: Person, vouched: Vouched) -> Self {
        Self(Arc::new((person, vouched)))
    }

    /// An identity as an identity provider's token makes it, for tests of the floors above.
    #[cfg(test)]
    pub(crate) fn of_provider(provider: &str, user: &str, groups: &[&str]) -> Self {
        Self::of_provider_at(provider, user, groups, None)
    }

    /// The same, of a token of this moment.
    #[cfg(test)]
    pub(crate) fn of_provider_at(
        provider: &str,
        user: &str,
        groups: &[&str],
        issued_at: Option<Timestamp>,
    ) -> Self {
        let groups = groups
            .iter()
            .filter_map(|group| Group::parse(group))
            .collect();
        let person = Person {
            user: Username::parse(user).unwrap(),
            groups,
            email: None,
            full_name: None,
        };
        Self::new(
            person,
            Vouched {
                by: Provider::Oidc(provider.into()),
                issued_at,
                asked: None,
                subject: None,
                session: None,
            },
        )
    }

    /// Whose login is asked for.
    #[must_use]
    pub fn user(&self) -> &Username {
        &self.0.0.user
    }

    /// The groups in the provider's order, without repetitions.
    #[must_use]
    pub fn groups(&self) -> &[Group] {
        &self.0.0.groups
    }

    /// The mail address, never empty.
    #[must_use]
    pub fn email(&self) -> Option<&str> {
        self.0.0.email.as_deref()
    }

    /// The name for people, never empty.
    #[must_use]
    pub fn full_name(&self) -> Option<&str> {
        self.0.0.full_name.as_deref()
    }

    /// Who vouches.
    #[must_use]
    pub fn provider(&self) -> &Provider {
        &self.0.1.by
    }

    /// When the token was issued, where there is one that says so.
    #[must_use]
    pub fn issued_at(&self) -> Option<Timestamp> {
        self.0.1.issued_at
    }

    /// From when this word on the user is: the time of the token, or of the question where the
    /// provider itself was asked. Of two words the later one counts. Identity headers do not say.
    #[must_use]
    pub fn as_of(&self) -> Option<Timestamp> {
        self.0.1.asked.or(self.0.1.issued_at)
    }

    /// What the provider calls the user (`sub`): never reused, unlike a name.
    #[must_use]
    pub fn subject(&self) -> Option<&str> {
        self.0.1.subject.as_deref()
    }

    /// The provider's session (`sid`).
    #[must_use]
    pub fn session(&self) -> Option<&str> {
        self.0.1.session.as_deref()
    }
}

/// What a provider makes of a request.
///
/// Only [`Attempt::NotRequested`] lets the next provider look: a credential that failed here is
/// never tried as somebody else's.
#[derive(Debug, PartialEq, Eq)]
pub enum Attempt {
    /// The request carries nothing of this provider's kind.
    NotRequested,
    /// The provider vouches for this user.
    Identified(Identity),
    /// The request carries this provider's kind of credential, and it is no good.
    Rejected(Rejected),
}

/// Why a credential is no good: one variant a rule. What the client is told about it stands in
/// `respond`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejected {
    /// An identity header that must stand once stands more often.
    #[error(
        "the {0} header stands more than once; the gateway must delete the client's own before it sets it"
    )]
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
    /// The token is no good.
    #[error("the token is refused")]
    Token(#[source] oidc::Refused),
    /// The token is good and does not make a user.
    #[error("the token is in order, and no user can be made of its claims")]
    Claims(#[source] oidc::claims::NoUser),
    /// The identity provider would have to be asked, and cannot be.
    #[error("the identity provider `{provider}` cannot be asked")]
    Idp {
        /// What the operator calls it.
        provider: Arc<str>,
        /// What stood in the way.
        source: IdpError,
    },
}

impl Rejected {
    /// Which kind of provider has refused, as the audit stream and the numbers name it.
    #[must_use]
    pub fn kind(&self) -> metrics::Provider {
        match self {
            Self::Token(_) | Self::Claims(_) | Self::Idp { .. } => metrics::Provider::Oidc,
            Self::Repeated(_)
            | Self::Joined
            | Self::NotUtf8(_)
            | Self::GroupsMissing
            | Self::Name(_) => metrics::Provider::Authelia,
        }
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

impl Providers {
    /// Makes the providers ready. Nobody is asked yet.
    ///
    /// # Errors
    /// When a certificate or key file towards an identity provider cannot be used.
    pub fn new(
        config: Config,
        clock: &Clock,
        tasks: &Tasks,
        telemetry: &Telemetry,
    ) -> Result<Self, TlsError> {
        let ready = |provider| {
            Ok(match provider {
                ProviderConfig::Headers(names) => Asked::Headers(names),
                ProviderConfig::Oidc(config) => {
                    Asked::Oidc(Box::new(oidc::Oidc::new(config, clock, tasks, telemetry)?))
                }
            })
        };
        config
            .providers
            .into_iter()
            .map(ready)
            .collect::<Result<_, _>>()
            .map(Self)
    }

    /// Identity headers alone.
    #[must_use]
    pub fn headers(names: headers::Config) -> Self {
        Self(vec![Asked::Headers(names)])
    }

    /// Asks the providers in their configured order; `None` when nobody asks. Headers and
    /// remembered tokens are answered without waiting for anything.
    ///
    /// # Errors
    /// The refusal of the first provider whose kind of credential the request carries.
    pub async fn identify(&self, facts: &RequestFacts) -> Result<Option<Identity>, Rejected> {
        for provider in &self.0 {
            let attempt = match provider {
                Asked::Headers(names) => headers::attempt(names, facts),
                Asked::Oidc(oidc) => oidc.attempt(facts).await,
            };
            match attempt {
                Attempt::NotRequested => {}
                Attempt::Identified(identity) => return Ok(Some(identity)),
                Attempt::Rejected(why) => return Err(why),
            }
        }
        Ok(None)
    }

    /// The kinds of providers in their order, as the configuration names them, separated by commas.
    ///
    /// # Errors
    /// What is wrong with an identity provider that was asked, without its address. Remembered
    /// tokens and known keys go on.
    pub fn state(&self) -> Result<String, String> {
        match self.oidc().and_then(oidc::Oidc::trouble) {
            Some(why) => Err(why),
            None => Ok(self
                .0
                .iter()
                .map(Asked::kind)
                .collect::<Vec<_>>()
                .join(", ")),
        }
    }

    /// Forgets what a provider has said about the request's token a while ago; whether there was
    /// such a word.
    #[must_use]
    pub fn forget(&self, facts: &RequestFacts) -> bool {
        self.oidc().is_some_and(|oidc| oidc.forget(facts))
    }

    /// The token provider, where there is one.
    #[must_use]
    pub fn oidc(&self) -> Option<&oidc::Oidc> {
        self.0.iter().find_map(|provider| match provider {
            Asked::Headers(_) => None,
            Asked::Oidc(oidc) => Some(&**oidc),
        })
    }
}
