//! Tokens of OpenID Connect providers: who is asking, according to whom.
//!
//! A token's issuer chooses the provider that judges it; no other one is tried. A token that was
//! judged good is remembered by its digest until it expires, and is then answered without waiting
//! for anything. What a provider itself was asked about is believed for a short while only.

pub mod claims;
pub mod config;
mod logout;
mod policy;
mod presented;
mod refused;
#[cfg(test)]
mod tests;

pub use config::{
    Asked, AuthorizedParties, Config, IdTokens, InvalidProviders, ProviderConfig, Validation,
};
pub use presented::CookieName;
pub use refused::{LogoutError, Refused};

use super::{Attempt, Identity, Provider as VouchedBy, Rejected, Vouched};
use crate::{
    clock::{Clock, Timestamp},
    idp::{self, Idp, Jws, Verdict, Verified},
    model::RequestFacts,
    net::tls::TlsError,
    shutdown::Tasks,
    telemetry::Telemetry,
};
use aws_lc_rs::digest::{self, SHA256};
use logout::{Ended, Notice};
use policy::{Accepted, Policy, moment};
use presented::{Presented, Slot};
use quick_cache::sync::Cache;
use serde_json::{Map, Value};
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};

/// How long a no about a token that was asked about answers the same token: long enough that a page
/// of fifty requests asks once.
const NO_LIVES: Duration = Duration::from_secs(1);

/// How old a provider's word on a token must be for the provider to be asked again because of a
/// newer word on the same user: two tokens that pull at one user cost a call a second each.
const ASKED_AGAIN: Duration = Duration::from_secs(1);

/// All identity providers.
pub struct Oidc {
    providers: Vec<Provider>,
    by_issuer: HashMap<Box<str>, usize>,
    access_token_cookie: Option<CookieName>,
    id_token_cookie: Option<CookieName>,
    remembered: Cache<Digest, Remembered>,
    clock: Clock,
}

#[derive(Debug)]
struct Provider {
    name: Arc<str>,
    idp: Idp,
    policy: Policy,
    config: ProviderConfig,
    ended: Ended,
}

/// Of a token and where it stood. It is no secret: nobody gets from it to the token.
type Digest = [u8; 32];

#[derive(Clone)]
struct Remembered {
    outcome: Result<Identity, Box<Rejected>>,
    until: Timestamp,
    provider: usize,
    /// The keys' generation, for what stands on a signature.
    withdrawals: u64,
    /// When the provider was asked, for what stands on its word.
    asked: Option<Timestamp>,
}

/// A judged token.
struct Judged {
    identity: Identity,
    /// Until when that is believed; `None`: not beyond this request.
    until: Option<Timestamp>,
}

impl Oidc {
    /// Prepares the providers. None is asked: that one is away at start-up is no fault.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub fn new(
        config: Config,
        clock: &Clock,
        tasks: &Tasks,
        telemetry: &Telemetry,
    ) -> Result<Self, TlsError> {
        let providers = config.providers.into_iter().map(|mut config| {
            config.idp.rsa_unnamed = config
                .algorithms
                .iter()
                .copied()
                .find(|one| one.is_rsa())
                .unwrap_or(config.idp.rsa_unnamed);
            Ok(Provider {
                name: Arc::clone(&config.name),
                idp: Idp::new(
                    config.idp.clone(),
                    &config.name,
                    clock.clone(),
                    tasks.clone(),
                    telemetry,
                )?,
                policy: Policy::new(&config),
                ended: Ended::new(),
                config,
            })
        });
        let providers = providers.collect::<Result<Vec<_>, TlsError>>()?;
        let by_issuer = providers
            .iter()
            .enumerate()
            .map(|(index, provider)| (provider.idp.issuer().as_str().into(), index))
            .collect();
        Ok(Self {
            by_issuer,
            providers,
            access_token_cookie: config.access_token_cookie,
            id_token_cookie: config.id_token_cookie,
            remembered: Cache::new(config.remembered),
            clock: clock.clone(),
        })
    }

    /// Takes from the settings how each provider is reached, in their order.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub fn access(config: &Config) -> Result<Vec<idp::Access>, TlsError> {
        config
            .providers
            .iter()
            .map(|provider| Idp::access(&provider.idp))
            .collect()
    }

    /// Reaches them so from the next call on.
    pub fn replace(&self, access: Vec<idp::Access>) {
        for (provider, access) in self.providers.iter().zip(access) {
            provider.idp.replace(access);
        }
    }

    /// What is wrong with the first identity provider that could not be asked the last time.
    pub(super) fn trouble(&self) -> Option<String> {
        let trouble = |provider: &Provider| {
            provider
                .idp
                .trouble()
                .map(|why| format!("`{}`: {why}", provider.name))
        };
        self.providers.iter().find_map(trouble)
    }

    /// Looks for a token. One that is remembered is answered at once.
    pub(super) async fn attempt(&self, facts: &RequestFacts) -> Attempt {
        let found = presented::find(
            &facts.headers,
            self.access_token_cookie.as_ref(),
            self.id_token_cookie.as_ref(),
        );
        let outcome = match found {
            Ok(None) => return Attempt::NotRequested,
            Err(why) => Err(Rejected::Token(why)),
            Ok(Some(presented)) => {
                let digest = digest_of(presented);
                match self.recall(&digest) {
                    Some(known) => known,
                    // Boxed: what is rare must not make every request's future large.
                    None => Box::pin(self.first_sight(presented, digest)).await,
                }
            }
        };
        match outcome {
            Ok(identity) => Attempt::Identified(identity),
            Err(why) => Attempt::Rejected(why),
        }
    }

    /// Forgets what a provider has said about the request's token, if it was asked more than a
    /// moment ago; whether there was such a word. It is asked again then.
    pub(super) fn forget(&self, facts: &RequestFacts) -> bool {
        let found = presented::find(
            &facts.headers,
            self.access_token_cookie.as_ref(),
            self.id_token_cookie.as_ref(),
        );
        let Ok(Some(presented)) = found else {
            return false;
        };
        let now = self.clock.now();
        let was_a_while_ago =
            |asked: Timestamp| now.since(asked).is_some_and(|past| past >= ASKED_AGAIN);
        self.remembered
            .remove_if(&digest_of(presented), |remembered| {
                remembered.asked.is_some_and(was_a_while_ago)
            })
            .is_some()
    }

    fn recall(&self, digest: &Digest) -> Option<Result<Identity, Rejected>> {
        let remembered = self.remembered.get(digest)?;
        if let Some(provider) = self.providers.get(remembered.provider) {
            provider.idp.keep_fresh();
        }
        self.is_good(&remembered).then(|| self.told(&remembered))
    }

    fn told(&self, remembered: &Remembered) -> Result<Identity, Rejected> {
        let identity = remembered.outcome.clone().map_err(|why| *why)?;
        let over = remembered.asked.is_none()
            && self
                .providers
                .get(remembered.provider)
                .is_some_and(|provider| provider.is_over(&identity, self.clock.now()));
        if over {
            Err(Rejected::Token(Refused::LoggedOut))
        } else {
            Ok(identity)
        }
    }

    fn is_good(&self, remembered: &Remembered) -> bool {
        let Some(provider) = self.providers.get(remembered.provider) else {
            return false;
        };
        self.clock.now() < remembered.until
            && remembered.withdrawals == provider.idp.withdrawals()
            && match (&remembered.outcome, remembered.asked) {
                (Ok(identity), Some(asked)) => !provider.ended.outdates(identity, asked),
                _ => true,
            }
    }

    async fn first_sight(
        &self,
        presented: Presented<'_>,
        digest: Digest,
    ) -> Result<Identity, Rejected> {
        let (index, token) = self.chosen(presented.token)?;
        let provider = self
            .providers
            .get(index)
            .ok_or(Rejected::Token(Refused::UnknownIssuer))?;
        let withdrawals = provider.idp.withdrawals();
        if !provider.asks(&token) {
            let judged = provider.judge(token, presented, self.clock.now()).await?;
            if let Some(until) = judged.until {
                let known = Remembered {
                    outcome: Ok(judged.identity.clone()),
                    until,
                    provider: index,
                    withdrawals,
                    asked: None,
                };
                self.remembered.insert(digest, known);
            }
            return Ok(judged.identity);
        }
        if provider.config.cache.is_zero() {
            return provider
                .judge(token, presented, self.clock.now())
                .await
                .map(|judged| judged.identity);
        }
        // All who come with the same token wait for the first of them: a page of fifty requests is
        // one call.
        let _old = self
            .remembered
            .remove_if(&digest, |remembered| !self.is_good(remembered));
        let guard = match self.remembered.get_value_or_guard_async(&digest).await {
            Ok(remembered) => return self.told(&remembered),
            Err(guard) => guard,
        };
        let asked = self.clock.now();
        let judged = provider.judge(token, presented, asked).await;
        let (outcome, until) = match judged {
            Ok(Judged { identity, until }) => (Ok(identity), until.unwrap_or(asked)),
            Err(why) => (Err(Box::new(why)), asked.after(NO_LIVES)),
        };
        let remembered = Remembered {
            outcome,
            until,
            provider: index,
            withdrawals,
            asked: Some(asked),
        };
        let told = remembered.outcome.clone().map_err(|why| *why);
        let _if_the_entry_is_gone_it_is_asked_again = guard.insert(remembered);
        told
    }

    /// Which provider a token belongs to, by its issuer. A token without one can belong only to the
    /// one provider that can be asked.
    fn chosen<'a>(&self, token: &'a str) -> Result<(usize, Token<'a>), Rejected> {
        if idp::has_shape(token) {
            let jws = Jws::parse(token).map_err(|why| Rejected::Token(Refused::Form(why)))?;
            let issuer = jws
                .unproven()
                .get("iss")
                .and_then(Value::as_str)
                .ok_or(Rejected::Token(Refused::Issuer))?;
            let index = *self
                .by_issuer
                .get(issuer)
                .ok_or(Rejected::Token(Refused::UnknownIssuer))?;
            return Ok((index, Token::Signed(jws)));
        }
        if token.len() > idp::MAX_TOKEN_BYTES {
            return Err(Rejected::Token(Refused::Form(idp::BadToken::TooLong)));
        }
        let mut able = self
            .providers
            .iter()
            .enumerate()
            .filter(|(_, provider)| provider.config.validation != Validation::Jwks);
        match (able.next(), able.next()) {
            (Some((index, _)), None) => Ok((index, Token::Opaque)),
            (None, _) => Err(Rejected::Token(Refused::Opaque)),
            (Some(_), Some(_)) => Err(Rejected::Token(Refused::Unroutable)),
        }
    }

    /// Takes a logout token of a provider: tokens of that session, or of that subject so far, are
    /// worth nothing from now on.
    ///
    /// # Errors
    /// When the token is refused, or the provider's keys cannot be had.
    pub async fn backchannel_logout(&self, token: &str) -> Result<(), LogoutError> {
        let jws = Jws::parse(token).map_err(Refused::Form)?;
        let issuer = jws
            .unproven()
            .get("iss")
            .and_then(Value::as_str)
            .ok_or(Refused::Issuer)?;
        let provider = self
            .by_issuer
            .get(issuer)
            .and_then(|index| self.providers.get(*index))
            .ok_or(Refused::UnknownIssuer)?;
        let verified = match provider.signed(jws).await {
            Ok(verified) => verified,
            Err(Rejected::Idp { source, .. }) => return Err(LogoutError::Idp(source)),
            Err(Rejected::Token(why)) => return Err(LogoutError::Refused(why)),
            Err(_of_another_provider) => return Err(LogoutError::Refused(Refused::Signature)),
        };
        let now = self.clock.now();
        let notice = Notice::read(
            &verified,
            provider.idp.issuer().as_str(),
            provider.idp.client_id(),
            provider.config.leeway,
            now,
        )?;
        provider.ended.take(notice, now)?;
        tracing::info!(provider = %provider.name, "a session was ended by the identity provider");
        Ok(())
    }

    /// How many tokens are remembered.
    #[must_use]
    pub fn remembered(&self) -> usize {
        self.remembered.len()
    }
}

impl fmt::Debug for Oidc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Oidc")
            .field("providers", &self.providers)
            .field("remembered", &self.remembered.len())
            .finish_non_exhaustive()
    }
}

enum Token<'a> {
    Signed(Jws<'a>),
    Opaque,
}

impl Provider {
    /// Whether the provider itself is asked about this token.
    fn asks(&self, token: &Token<'_>) -> bool {
        match (self.config.validation, token) {
            (Validation::Jwks | Validation::Both(_), Token::Signed(_)) => false,
            (Validation::Userinfo | Validation::Introspection, _) | (_, Token::Opaque) => true,
        }
    }

    async fn judge(
        &self,
        token: Token<'_>,
        presented: Presented<'_>,
        now: Timestamp,
    ) -> Result<Judged, Rejected> {
        let Presented { token: text, slot } = presented;
        match (self.config.validation, token) {
            (Validation::Jwks | Validation::Both(_), Token::Signed(jws)) => {
                let (verified, accepted) = self.accepted(jws, slot, now).await?;
                let until = accepted.until;
                Ok(Judged {
                    identity: self.identity(verified.claims(), accepted, None)?,
                    until,
                })
            }
            (Validation::Userinfo, Token::Signed(jws)) => {
                let (_, accepted) = self.accepted(jws, slot, now).await?;
                self.ask_userinfo(text, accepted, now).await
            }
            (Validation::Introspection, Token::Signed(jws)) => {
                // What says of itself that it is over need not be asked about. Nothing else is
                // taken from it.
                if moment(jws.unproven(), "exp", Refused::ExpiryMissing)?
                    .is_some_and(|until| now >= until.after(self.config.leeway))
                {
                    return Err(Rejected::Token(Refused::Expired));
                }
                let (claims, accepted) = self.ask_introspection(text, slot, now).await?;
                self.believed_for_a_while(&claims, accepted, now)
            }
            (Validation::Introspection | Validation::Both(Asked::Introspection), Token::Opaque) => {
                let (claims, accepted) = self.ask_introspection(text, slot, now).await?;
                self.believed_for_a_while(&claims, accepted, now)
            }
            (Validation::Both(Asked::IntrospectionThenUserinfo), Token::Opaque) => {
                let (_, accepted) = self.ask_introspection(text, slot, now).await?;
                self.ask_userinfo(text, accepted, now).await
            }
            (Validation::Userinfo | Validation::Both(Asked::Userinfo), Token::Opaque) => {
                let nothing_known = Accepted {
                    until: None,
                    issued_at: None,
                    subject: None,
                    session: None,
                };
                self.ask_userinfo(text, nothing_known, now).await
            }
            (Validation::Jwks, Token::Opaque) => Err(Rejected::Token(Refused::Opaque)),
        }
    }

    /// Signature first, then what the claims say, then whether the session is over.
    async fn accepted(
        &self,
        jws: Jws<'_>,
        slot: Slot,
        now: Timestamp,
    ) -> Result<(Verified, Accepted), Rejected> {
        let verified = self.signed(jws).await?;
        let accepted = self
            .policy
            .token(verified.claims(), verified.kind(), slot, now)?;
        if self.ended.ends(
            accepted.session.as_deref(),
            accepted.subject.as_deref(),
            accepted.issued_at,
            now,
        ) {
            return Err(Rejected::Token(Refused::LoggedOut));
        }
        Ok((verified, accepted))
    }

    async fn signed(&self, jws: Jws<'_>) -> Result<Verified, Rejected> {
        if !self.config.algorithms.contains(&jws.algorithm()) {
            return Err(Rejected::Token(Refused::Algorithm));
        }
        let keys = self
            .idp
            .keys(jws.kid(), jws.algorithm())
            .await
            .map_err(|why| self.away(why))?;
        let kid = jws.kid().map(str::to_owned);
        let mut candidates = keys.candidates(kid.as_deref(), jws.algorithm()).peekable();
        if candidates.peek().is_none() {
            return Err(Rejected::Token(Refused::UnknownKey));
        }
        // A bad signature by a known key tells nothing about the keys: they are not fetched again.
        jws.verified(candidates)
            .ok_or(Rejected::Token(Refused::Signature))
    }

    async fn ask_introspection(
        &self,
        token: &str,
        slot: Slot,
        now: Timestamp,
    ) -> Result<(Map<String, Value>, Accepted), Rejected> {
        match self
            .idp
            .introspect(token)
            .await
            .map_err(|why| self.away(why))?
        {
            Verdict::Refused => Err(Rejected::Token(Refused::Inactive)),
            Verdict::Claims(claims) => {
                let accepted = self.policy.introspected(&claims, slot, now)?;
                Ok((claims, accepted))
            }
        }
    }

    async fn ask_userinfo(
        &self,
        token: &str,
        accepted: Accepted,
        now: Timestamp,
    ) -> Result<Judged, Rejected> {
        let Verdict::Claims(claims) = self
            .idp
            .userinfo(token)
            .await
            .map_err(|why| self.away(why))?
        else {
            return Err(Rejected::Token(Refused::Inactive));
        };
        // The answer must be about the token's own subject (OpenID Connect Core §5.3.2).
        let said = policy::id(&claims, "sub")?.ok_or(Refused::Subject)?;
        if accepted
            .subject
            .as_ref()
            .is_some_and(|subject| *subject != said)
        {
            return Err(Rejected::Token(Refused::Subject));
        }
        self.believed_for_a_while(
            &claims,
            Accepted {
                subject: Some(said),
                ..accepted
            },
            now,
        )
    }

    fn away(&self, source: idp::IdpError) -> Rejected {
        Rejected::Idp {
            provider: Arc::clone(&self.name),
            source,
        }
    }

    fn believed_for_a_while(
        &self,
        claims: &Map<String, Value>,
        accepted: Accepted,
        now: Timestamp,
    ) -> Result<Judged, Rejected> {
        let until = accepted
            .until
            .map_or(now.after(self.config.cache), |until| {
                until.min(now.after(self.config.cache))
            });
        Ok(Judged {
            identity: self.identity(claims, accepted, Some(now))?,
            until: Some(until),
        })
    }

    fn identity(
        &self,
        claims: &Map<String, Value>,
        accepted: Accepted,
        asked: Option<Timestamp>,
    ) -> Result<Identity, Rejected> {
        let person = self
            .config
            .claims
            .person(claims)
            .map_err(Rejected::Claims)?;
        let Accepted {
            issued_at,
            subject,
            session,
            ..
        } = accepted;
        Ok(person.vouched(Vouched {
            by: VouchedBy::Oidc(Arc::clone(&self.name)),
            issued_at,
            asked,
            subject,
            session,
        }))
    }

    fn is_over(&self, identity: &Identity, now: Timestamp) -> bool {
        self.ended.ends(
            identity.session(),
            identity.subject(),
            identity.issued_at(),
            now,
        )
    }
}

fn digest_of(presented: Presented<'_>) -> Digest {
    let mut context = digest::Context::new(&SHA256);
    // An ID token that was good in its cookie is not good as a bearer.
    context.update(match presented.slot {
        Slot::Bearer => b"b",
        Slot::AccessCookie => b"a",
        Slot::IdCookie => b"i",
    });
    context.update(presented.token.as_bytes());
    let mut out = [0; 32];
    out.copy_from_slice(context.finish().as_ref());
    out
}
