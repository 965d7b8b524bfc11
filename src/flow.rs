//! The trip of one request: identity, then roles, then a credential. The only place that knows the
//! order.

use crate::{
    broker::{Broker, BrokerError, Credential, Plan},
    identity::{Identity, Providers, Rejected},
    ledger::{Forgotten, redis},
    model::{RequestFacts, Username},
    roles::{Entitled, Given, Mapping, NotEntitled, RoleSet},
    telemetry::metrics::Provider,
};
use arc_swap::ArcSwap;
use std::sync::Arc;

/// The three decisions, ready to be asked.
#[derive(Debug)]
pub struct Flow {
    providers: Providers,
    mapping: ArcSwap<Mapping>,
    broker: Broker,
}

/// The trip of one request, as far as it went. What is `None` was not reached.
#[derive(Debug)]
pub struct Explanation {
    mapping: Arc<Mapping>,
    /// Who asks.
    pub identity: Option<Identity>,
    /// With which roles.
    pub entitled: Option<Entitled>,
    /// The user that a write would put into the cluster, without its password.
    pub document: Option<serde_json::Value>,
    /// What stands in the cluster and what the next request would do there.
    pub plan: Option<Plan>,
    /// Where it ends without a login.
    pub refused: Option<AuthError>,
}

impl Explanation {
    /// Every role, with the rule that gives it.
    #[must_use]
    pub fn given(&self) -> Vec<Given<'_>> {
        self.identity
            .as_ref()
            .map(|identity| self.mapping.given(identity))
            .unwrap_or_default()
    }

    fn ending(mut self, why: AuthError) -> Self {
        self.refused = Some(why);
        self
    }
}

/// What the gateway may let through, and as whom. Made by [`Flow::decide`] alone.
#[derive(Debug)]
pub struct Grant {
    entitled: Entitled,
    credential: Credential,
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
    /// Which provider knew, or refused, whoever asked.
    pub provider: Provider,
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
        Self {
            providers,
            mapping: ArcSwap::from_pointee(mapping),
            broker,
        }
    }

    /// From the next request on these rules count. Requests under way keep the rules that they
    /// began with.
    pub fn replace_mapping(&self, mapping: Mapping) {
        self.mapping.store(Arc::new(mapping));
    }

    /// Shows Redis what a new configuration has for it, from the next connection on.
    pub fn replace_access(&self, access: redis::Access) {
        self.broker.ledger().replace_access(access);
    }

    /// Who is asked who asks.
    #[must_use]
    pub fn providers(&self) -> &Providers {
        &self.providers
    }

    /// Tells the trip of one request step by step, by the very steps that [`Self::decide`] takes.
    /// Nothing is written; the cluster is asked only if `online`.
    pub async fn explain(&self, facts: &RequestFacts, online: bool) -> Explanation {
        let mapping = self.mapping.load_full();
        let mut told = Explanation {
            mapping: Arc::clone(&mapping),
            identity: None,
            entitled: None,
            document: None,
            plan: None,
            refused: None,
        };
        let identity = match self.providers.identify(facts).await {
            Ok(Some(identity)) => identity,
            Ok(None) => return told.ending(AuthError::NobodyAsks),
            Err(why) => return told.ending(AuthError::Identity(why)),
        };
        told.identity = Some(identity.clone());
        let entitled = match mapping.entitle(identity) {
            Ok(entitled) => entitled,
            Err(why) => return told.ending(AuthError::Roles(why)),
        };
        told.document = Some(self.broker.would_write(&entitled));
        if let Err(why) = self.broker.permits(&entitled) {
            return told.ending(AuthError::Broker(why));
        }
        if online {
            match self.broker.foresee(&entitled).await {
                Ok(Plan {
                    write: Err(why),
                    found,
                }) => {
                    told.plan = Some(Plan {
                        write: Err(why.clone()),
                        found,
                    });
                    told.refused = Some(AuthError::Broker(why));
                }
                Ok(plan) => told.plan = Some(plan),
                Err(why) => told.refused = Some(AuthError::Broker(why)),
            }
        }
        told.entitled = Some(entitled);
        told
    }

    /// Lets the next request of this user ask the cluster, whatever is remembered of him.
    #[must_use]
    pub fn recheck(&self, user: &Username) -> Forgotten {
        self.broker.recheck(user)
    }

    /// Whether the store behind the ledger is there. Logins do not depend on it.
    ///
    /// # Errors
    /// What is wrong with it, without an address.
    pub fn store_state(&self) -> Result<&'static str, String> {
        self.broker.ledger().store_state()
    }

    /// Writes the state of the ledger into the metrics.
    pub fn report_ledger(&self) {
        self.broker.report_ledger();
    }

    /// Decides about one request. A known user is answered without waiting for anything.
    ///
    /// # Errors
    /// The first step that says no.
    pub async fn decide(&self, facts: &RequestFacts) -> Result<Grant, Refused> {
        match self.decide_once(facts).await {
            // A provider's word that is out of date says nothing against the token: there is a
            // newer one to be had. Boxed, as it is rare.
            Err(Refused {
                why: AuthError::Broker(BrokerError::Outdated { .. }),
                ..
            }) if self.providers.forget(facts) => Box::pin(self.decide_once(facts)).await,
            decided => decided,
        }
    }

    async fn decide_once(&self, facts: &RequestFacts) -> Result<Grant, Refused> {
        let identity = match self.providers.identify(facts).await {
            Ok(Some(identity)) => identity,
            Ok(None) => {
                return Err(Refused {
                    user: None,
                    provider: Provider::None,
                    why: AuthError::NobodyAsks,
                });
            }
            Err(why) => {
                return Err(Refused {
                    user: None,
                    provider: why.kind(),
                    why: AuthError::Identity(why),
                });
            }
        };
        let (user, provider) = (identity.user().clone(), identity.provider().kind());
        let entitled = match self.mapping.load().entitle(identity.clone()) {
            Ok(entitled) => entitled,
            Err(why) => {
                // Also a token that gives nothing makes older ones old.
                let why = self
                    .broker
                    .in_order(&identity)
                    .err()
                    .map_or(AuthError::Roles(why), AuthError::Broker);
                return Err(Refused {
                    user: Some(user),
                    provider,
                    why,
                });
            }
        };
        match self.broker.credential(&entitled).await {
            Ok(credential) => Ok(Grant {
                entitled,
                credential,
            }),
            Err(why) => Err(Refused {
                user: Some(user),
                provider,
                why: AuthError::Broker(why),
            }),
        }
    }
}
