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
    idp::{self, Idp, IdpError, Jws, MalformedToken, Verdict, Verified},
    net::tls::TlsError,
    shutdown::Tasks,
    telemetry::Telemetry,
};
use serde_json::{Map, Value};
use std::sync::Arc;

#[derive(Debug)]
pub(super) struct OidcProvider {
    pub(super) idp: Idp,
    policy: Policy,
    pub(super) revoked: Revoked,
    pub(super) notices: NoticeShares,
    by: Provider,
    config: OidcProviderConfig,
}

pub(super) enum ParsedToken<'a> {
    Signed(Jws<'a>),
    Opaque,
}

impl<'a> ParsedToken<'a> {
    pub(super) fn read(text: &'a str) -> Result<Self, RefusedToken> {
        if idp::has_shape(text) {
            return Jws::parse(text)
                .map(Self::Signed)
                .map_err(RefusedToken::Form);
        }
        if text.len() > idp::MAX_TOKEN_BYTES {
            return Err(RefusedToken::Form(MalformedToken::TooLong));
        }
        Ok(Self::Opaque)
    }
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

    fn check(&self, token: &ParsedToken<'_>) -> Option<TokenCheck> {
        let signed = matches!(token, ParsedToken::Signed(_));
        self.config.validation.check(signed)
    }

    /// Whether the provider itself is asked about this token.
    pub(super) fn asks(&self, token: &ParsedToken<'_>) -> bool {
        self.check(token)
            .is_some_and(|check| check != TokenCheck::Signature)
    }

    /// Whether no answer is remembered.
    pub(super) fn asks_each_time(&self) -> bool {
        self.config.cache.is_zero()
    }

    /// Whether tokens that are not signed are accepted.
    pub(super) fn takes_opaque(&self) -> bool {
        self.check(&ParsedToken::Opaque).is_some()
    }

    pub(super) async fn judge(
        &self,
        token: ParsedToken<'_>,
        presented: Presented<'_>,
        now: Timestamp,
    ) -> Result<Judged, Rejected> {
        let Presented { token: text, slot } = presented;
        let check = self.check(&token).ok_or(RefusedToken::Opaque)?;
        match (check, token) {
            (TokenCheck::Signature, ParsedToken::Signed(jws)) => {
                let (verified, accepted) = self.accepted(jws, slot, now).await?;
                let until = accepted.until.unwrap_or(now);
                let identity = self.identity(verified.claims(), accepted, None)?;
                Ok(Judged { identity, until })
            }
            (TokenCheck::SignatureThenUserinfo, ParsedToken::Signed(jws)) => {
                let (_, accepted) = self.accepted(jws, slot, now).await?;
                self.ask_userinfo(text, accepted, now).await
            }
            (TokenCheck::Introspection, token) => {
                // A token that says of itself that it has expired is not asked about. Nothing else
                // is taken from its claims.
                if let ParsedToken::Signed(jws) = token
                    && time(jws.unproven(), "exp", RefusedToken::ExpiryMissing)?
                        .is_some_and(|until| now >= until.after(self.config.leeway))
                {
                    return Err(RefusedToken::Expired.into());
                }
                let (claims, accepted) = self.ask_introspection(text, slot, now).await?;
                self.valid_for_a_while(&claims, accepted, now)
            }
            (TokenCheck::IntrospectionThenUserinfo, _) => {
                let (_, accepted) = self.ask_introspection(text, slot, now).await?;
                self.ask_userinfo(text, accepted, now).await
            }
            (TokenCheck::Userinfo, _) => self.ask_userinfo(text, Accepted::default(), now).await,
            (TokenCheck::Signature | TokenCheck::SignatureThenUserinfo, ParsedToken::Opaque) => {
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
        let verified = self.signed(jws).await.map_err(|why| self.away(why))??;
        let accepted = self
            .policy
            .token(verified.claims(), verified.kind(), slot, now)?;
        if self.revoked.is_revoked(&accepted.statement, now) {
            return Err(RefusedToken::LoggedOut.into());
        }
        Ok((verified, accepted))
    }

    async fn signed(&self, jws: Jws<'_>) -> Result<Result<Verified, RefusedToken>, IdpError> {
        if !self.config.algorithms.contains(&jws.algorithm()) {
            return Ok(Err(RefusedToken::Algorithm));
        }
        let keys = self.idp.keys(jws.kid(), jws.algorithm()).await?;
        let kid = jws.kid().map(str::to_owned);
        let mut candidates = keys.candidates(kid.as_deref(), jws.algorithm()).peekable();
        if candidates.peek().is_none() {
            return Ok(Err(RefusedToken::UnknownKey));
        }
        // A bad signature by a known key says nothing about the keys: they are not fetched again.
        Ok(jws.verified(candidates).ok_or(RefusedToken::Signature))
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
        let verified = self.signed(jws).await.map_err(LogoutError::Idp)??;
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
            Verdict::Refused => Err(RefusedToken::Inactive.into()),
            Verdict::Claims(claims) => {
                let accepted = self.policy.introspected(&claims, slot, now)?;
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
        let Verdict::Claims(claims) = verdict.map_err(|why| self.away(why))? else {
            return Err(RefusedToken::Inactive.into());
        };
        // The answer must be about the token's own subject (OpenID Connect Core §5.3.2).
        let subject = policy::id(&claims, "sub")?.ok_or(RefusedToken::Subject)?;
        let own = accepted.statement.subject.replace(subject);
        if own.is_some_and(|own| accepted.statement.subject != Some(own)) {
            return Err(RefusedToken::Subject.into());
        }
        self.valid_for_a_while(&claims, accepted, now)
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
