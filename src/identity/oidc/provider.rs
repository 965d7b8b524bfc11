//! One identity provider, and how it judges a token.

use super::{
    config::{OidcProviderConfig, TokenCheck},
    logout::{LogoutNotice, Revoked},
    notice_shares::{NoticeShares, NoticeSource},
    policy::{self, Accepted, Policy, time},
    presented::{Presented, TokenPlace},
    refused::{LogoutError, NoUser, RefusedToken},
};
use crate::{
    clock::{Clock, Timestamp},
    identity::{
        rejected::Rejected,
        types::{Identity, Provider, Statement},
    },
    idp::{Description, EndpointKind, Idp, IdpError, Jws, TokenForm, Verdict, Verified},
    net::tls::TlsError,
    shutdown::Tasks,
    telemetry::{Telemetry, chain},
};
use serde_json::{Map, Value};
use std::{error::Error, sync::Arc};

#[derive(Debug)]
pub(super) struct OidcProvider {
    pub(super) idp: Idp,
    policy: Policy,
    pub(super) revoked: Revoked,
    pub(super) notices: NoticeShares,
    by: Provider,
    config: OidcProviderConfig,
}

/// What the wrong signature of a known key says about the key.
#[derive(Clone, Copy)]
enum WrongSignature {
    IsFinal,
    /// The provider may have changed it under the same name.
    MayBeNewKey,
}

/// A token that was accepted.
pub(super) struct Judged {
    pub(super) identity: Identity,
    pub(super) until: Timestamp,
}

impl OidcProvider {
    pub(super) fn new(
        mut config: OidcProviderConfig,
        clock: &Clock,
        tasks: &Tasks,
        telemetry: &Telemetry,
    ) -> Result<Self, TlsError> {
        if let Some(first) = config.algorithms.iter().find(|one| one.is_rsa()) {
            config.idp.rsa_unnamed = *first;
        }
        Ok(Self {
            idp: Idp::new(
                config.idp.clone(),
                &config.name,
                clock.clone(),
                tasks.clone(),
                telemetry,
            )?,
            policy: Policy::new(&config),
            revoked: Revoked::new(config.leeway),
            notices: NoticeShares::new(),
            by: Provider::oidc(Arc::clone(&config.name)),
            config,
        })
    }

    pub(super) fn name(&self) -> &Arc<str> {
        &self.config.name
    }

    fn check(&self, token: &TokenForm<'_>) -> Option<TokenCheck> {
        let validation = self.config.validation;
        match token {
            TokenForm::Signed(_) => validation.check(true),
            TokenForm::Foreign(_) | TokenForm::Opaque => validation.check(false),
            // Where signatures decide, a token with a wrong one is not asked about.
            TokenForm::Broken(_) => validation
                .check(true)
                .filter(|check| *check == TokenCheck::Introspection),
        }
    }

    /// Whether its access tokens name this issuer, as its description says.
    pub(super) fn calls_access_tokens(&self, issuer: &str) -> bool {
        let described = self.idp.description();
        access_token_issuer(described.as_deref()) == Some(issuer)
    }

    /// Whether its description would have to be read first to know which tokens are its own. A
    /// description that nothing else is needed from is never read.
    pub(super) fn is_to_be_described(&self) -> bool {
        let endpoints = &self.config.idp.endpoints;
        let needed = self.config.validation.endpoints().iter();
        self.idp.issuer().is_fetched()
            && needed.copied().any(|what| endpoints.get(what).is_none())
            && self.idp.description().is_none()
    }

    /// Whether the provider itself is asked about this token.
    pub(super) fn asks(&self, token: &TokenForm<'_>) -> bool {
        self.check(token)
            .is_some_and(|check| check != TokenCheck::Signature)
    }

    /// Whether no answer is remembered.
    pub(super) fn asks_each_time(&self) -> bool {
        self.config.cache.is_zero()
    }

    /// Whether such a token may be one of this provider's.
    pub(super) fn takes(&self, token: &TokenForm<'_>) -> bool {
        self.check(token).is_some()
    }

    pub(super) async fn judge(
        &self,
        token: TokenForm<'_>,
        presented: Presented<'_>,
        now: Timestamp,
    ) -> Result<Judged, Rejected> {
        let Presented { token: text, slot } = presented;
        let check = self.check(&token).ok_or(RefusedToken::Opaque)?;
        match (check, token) {
            (TokenCheck::Signature, TokenForm::Signed(jws)) => {
                let (verified, accepted) = self.accepted(jws, slot, now).await?;
                let until = accepted.until.unwrap_or(now);
                let identity = self.identity(verified.claims(), accepted, None)?;
                Ok(Judged { identity, until })
            }
            (TokenCheck::SignatureThenUserinfo, TokenForm::Signed(jws)) => {
                let (_, accepted) = self.accepted(jws, slot, now).await?;
                self.ask_userinfo(text, accepted, now).await
            }
            (TokenCheck::Introspection, token) => {
                // A token that says of itself that it has expired is not asked about. Nothing else
                // is taken from its claims.
                if let TokenForm::Signed(jws) = token
                    && time(jws.unproven(), "exp", RefusedToken::ExpiryMissing)?
                        .is_some_and(|until| now >= until.after(self.config.leeway))
                {
                    return Err(RefusedToken::SaysExpired.into());
                }
                let (claims, accepted) = self.ask_introspection(text, slot, now).await?;
                self.valid_for_a_while(&claims, accepted, now)
            }
            (TokenCheck::IntrospectionThenUserinfo, _) => {
                let (_, accepted) = self.ask_introspection(text, slot, now).await?;
                self.ask_userinfo(text, accepted, now).await
            }
            (TokenCheck::Userinfo, _) => self.ask_userinfo(text, Accepted::default(), now).await,
            (TokenCheck::Signature | TokenCheck::SignatureThenUserinfo, _) => {
                Err(RefusedToken::Opaque.into())
            }
        }
    }

    /// Signature first, then what the claims say, then whether the session was ended.
    async fn accepted(
        &self,
        jws: Jws<'_>,
        slot: TokenPlace,
        now: Timestamp,
    ) -> Result<(Verified, Accepted), Rejected> {
        let verified = self.signed(jws, WrongSignature::MayBeNewKey).await;
        let verified = verified.map_err(|why| self.away(why))??;
        let described = self.idp.description();
        let accepted = self.policy.token(
            verified.claims(),
            verified.kind(),
            slot,
            now,
            access_token_issuer(described.as_deref()),
        )?;
        if self.revoked.is_revoked(&accepted.statement, now) {
            return Err(RefusedToken::LoggedOut.into());
        }
        Ok((verified, accepted))
    }

    async fn signed(
        &self,
        jws: Jws<'_>,
        wrong: WrongSignature,
    ) -> Result<Result<Verified, RefusedToken>, IdpError> {
        if !self.config.algorithms.contains(&jws.algorithm()) {
            return Ok(Err(RefusedToken::Algorithm));
        }
        let keys = self.idp.keys(jws.kid(), jws.algorithm()).await?;
        let (kid, algorithm) = (jws.kid().map(str::to_owned), jws.algorithm());
        let mut candidates = keys.candidates(kid.as_deref(), algorithm).peekable();
        if candidates.peek().is_none() {
            return Ok(Err(RefusedToken::UnknownKey));
        }
        let jws = match jws.verified(candidates) {
            Ok(verified) => return Ok(Ok(verified)),
            Err(jws) => jws,
        };
        let newer = match wrong {
            WrongSignature::IsFinal => None,
            WrongSignature::MayBeNewKey => self.idp.newer_keys(&keys).await,
        };
        let Some(newer) = newer else {
            return Ok(Err(RefusedToken::Signature));
        };
        let verified = jws.verified(newer.candidates(kid.as_deref(), algorithm));
        Ok(verified.map_err(|_| RefusedToken::Signature))
    }

    /// Takes a logout token that names this provider.
    pub(super) async fn log_out(
        &self,
        jws: Jws<'_>,
        from: NoticeSource,
        clock: &Clock,
    ) -> Result<(), LogoutError> {
        if !self.notices.may_check(from, clock.now()) {
            return Err(LogoutError::TooMany);
        }
        // Anybody may send one: a wrong signature costs the provider nothing.
        let verified = self.signed(jws, WrongSignature::IsFinal).await;
        let verified = verified.map_err(LogoutError::Idp)??;
        let (issuer, client_id) = (self.idp.issuer().as_str(), self.idp.client_id());
        let now = clock.now();
        let notice = LogoutNotice::read(&verified, issuer, client_id, self.config.leeway, now)?;
        self.revoked.revoke(notice, now)?;
        self.notices.proved(from);
        Ok(())
    }

    async fn ask_introspection(
        &self,
        token: &str,
        slot: TokenPlace,
        now: Timestamp,
    ) -> Result<(Map<String, Value>, Accepted), Rejected> {
        let verdict = self.idp.introspect(token).await;
        match verdict.map_err(|why| self.away(why))? {
            // Only userinfo answers are taken in this form.
            Verdict::Refused | Verdict::Signed(_) => Err(RefusedToken::Inactive.into()),
            Verdict::Claims(claims) => {
                let described = self.idp.description();
                let other = access_token_issuer(described.as_deref());
                let accepted = self.policy.introspected(&claims, slot, now, other)?;
                Ok((claims, accepted))
            }
        }
    }

    async fn ask_userinfo(
        &self,
        token: &str,
        mut accepted: Accepted,
        now: Timestamp,
    ) -> Result<Judged, Rejected> {
        let verdict = self.idp.userinfo(token).await;
        let claims = match verdict.map_err(|why| self.away(why))? {
            Verdict::Claims(claims) => claims,
            Verdict::Signed(answer) => {
                let claims = self.signed_answer(&answer).await;
                claims.map_err(|why| self.away(why))?
            }
            Verdict::Refused => return Err(RefusedToken::Inactive.into()),
        };
        // The answer must be about the token's own subject (OpenID Connect Core §5.3.2).
        let subject = policy::id(&claims, "sub")?.ok_or(RefusedToken::Subject)?;
        let own = accepted.statement.subject.replace(subject);
        if own.is_some_and(|own| accepted.statement.subject != Some(own)) {
            return Err(RefusedToken::Subject.into());
        }
        self.valid_for_a_while(&claims, accepted, now)
    }

    /// What a provider says in the form of a token (OpenID Connect Core §5.3.2): signed by it, and
    /// for a client that tokens may be issued to.
    async fn signed_answer(&self, answer: &str) -> Result<Map<String, Value>, IdpError> {
        let refused = |why: &(dyn Error + 'static)| {
            IdpError::SignedAnswer(EndpointKind::Userinfo, chain(why).into())
        };
        let jws = Jws::parse(answer).map_err(|why| refused(&why))?;
        let verified = self.signed(jws, WrongSignature::MayBeNewKey).await?;
        let verified = verified.map_err(|why| refused(&why))?;
        let claims = verified.claims();
        self.policy.answer(claims).map_err(|why| refused(&why))?;
        Ok(claims.clone())
    }

    pub(super) fn away(&self, source: IdpError) -> Rejected {
        Rejected::Idp {
            provider: Arc::clone(self.name()),
            source,
        }
    }

    fn valid_for_a_while(
        &self,
        claims: &Map<String, Value>,
        accepted: Accepted,
        now: Timestamp,
    ) -> Result<Judged, Rejected> {
        let longest = now.after(self.config.cache);
        let until = accepted.until.map_or(longest, |until| until.min(longest));
        let identity = self.identity(claims, accepted, Some(now))?;
        Ok(Judged { identity, until })
    }

    fn identity(
        &self,
        claims: &Map<String, Value>,
        accepted: Accepted,
        asked: Option<Timestamp>,
    ) -> Result<Identity, Rejected> {
        let mapping = &self.config.claims;
        let person = mapping.person(claims).map_err(Rejected::Claims)?;
        if mapping.user_names.can_join_two() && accepted.statement.subject.is_none() {
            return Err(Rejected::Claims(NoUser::NoSubject));
        }
        let statement = Statement {
            as_of: asked.or(accepted.statement.as_of),
            ..accepted.statement
        };
        Ok(Identity::new(person, self.by.clone(), statement))
    }
}

fn access_token_issuer(described: Option<&Description>) -> Option<&str> {
    described?.access_token_issuer.as_deref()
}
