//! All identity providers together: which of them judges a token, and what is remembered.

use super::{
    config::{Config, OidcProviderConfig},
    digest::{Digest, DigestKey},
    notice_shares::NoticeSource,
    presented::{Candidate, CookieName, Found, Presented, TokenPlaces},
    provider::{Judged, OidcProvider},
    refused::{LogoutError, RefusedToken},
};
use crate::{
    clock::{Clock, Timestamp},
    identity::{rejected::Rejected, types::Identity},
    idp::{self, EndpointKind, Idp, IdpError, Jws, PATIENCE, TokenForm},
    model::Shown,
    net::{tls::TlsError, trust::AllowedProviders},
    shutdown::Tasks,
    single_flight::{Full, SingleFlight},
    telemetry::Telemetry,
};
use http::{HeaderMap, HeaderName};
use quick_cache::{Weighter, sync::Cache};
use secrecy::{ExposeSecret as _, SecretString};
use std::{collections::HashMap, fmt, sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long a refusal by a provider that was asked answers the same token: long enough that a page
/// of fifty requests asks once.
const REFUSAL_LASTS: Duration = Duration::from_secs(1);
/// How old a provider's statement about a token must be for the provider to be asked again because
/// of a newer statement about the same user: two tokens of one user with different groups cost a
/// call a second each.
const ASKED_AGAIN: Duration = Duration::from_secs(1);
/// Tokens about which providers are being asked, and refusals that still answer. Each provider
/// takes 64 calls at once, so more than this is a flood.
const MAX_ASKED: usize = 4_096;

/// What a remembered token of a usual user costs: a name, a mail, an id, and some ten groups.
const USUAL_BYTES: usize = 1_024;
/// The part of it that is the same for all: the table and its lists of what was used last.
const ENTRY_BYTES: usize = size_of::<(Digest, Remembered)>() + 48;

/// All identity providers.
pub struct Oidc {
    providers: Vec<Arc<OidcProvider>>,
    by_issuer: HashMap<Box<str>, usize>,
    places: TokenPlaces,
    digests: DigestKey,
    remembered: Arc<Cache<Digest, Remembered, Bytes>>,
    asked: SingleFlight<Digest, (), Result<Identity, Rejected>>,
    clock: Clock,
}

#[derive(Clone)]
struct Remembered {
    identity: Identity,
    until: Timestamp,
    provider: usize,
    judged: Timestamp,
    /// The generation of the keys, for what a signature proves.
    withdrawals: u64,
    /// For what the provider said: logout notices before it was asked.
    asked: Option<u64>,
}

impl Remembered {
    /// Judged in the future (a clock was set back) is not judged: what a provider said would
    /// otherwise count until the old time is reached again.
    fn is_valid(&self, now: Timestamp) -> bool {
        self.judged <= now && now < self.until
    }
}

/// What an entry costs in memory.
#[derive(Debug, Clone)]
struct Bytes;

impl Weighter<Digest, Remembered> for Bytes {
    fn weight(&self, _: &Digest, remembered: &Remembered) -> u64 {
        (ENTRY_BYTES + remembered.identity.bytes()) as u64
    }
}

/// Why no provider needs to be asked, or none can be.
enum NotAsked {
    /// The answer came meanwhile.
    Known(Result<Identity, Rejected>),
    Full,
}

impl From<Full> for NotAsked {
    fn from(_: Full) -> Self {
        Self::Full
    }
}

impl Oidc {
    /// Headers that hold tokens and nothing else.
    pub(crate) fn token_headers(&self) -> &[HeaderName] {
        &self.places.headers
    }

    /// Names of the cookies that hold tokens.
    pub(crate) fn token_cookies(&self) -> impl Iterator<Item = &str> {
        let both = [&self.places.access, &self.places.id];
        both.into_iter().flatten().map(CookieName::as_str)
    }

    /// Whether a browser sends the token of a request unasked. With a token in a header beside it
    /// the request is none of another site: for that the browser asks first, and without cookies.
    pub(crate) fn is_in_cookie(&self, headers: &HeaderMap) -> bool {
        let found = self.places.find(headers).ok().flatten();
        let first = found.and_then(|found| found.all().next());
        first.is_some_and(|first| first.slot.is_cookie() && first.token().is_ok())
    }

    /// Asks nothing yet: a provider that is away at start-up is no error.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub fn new(
        config: Config,
        clock: &Clock,
        tasks: &Tasks,
        telemetry: &Telemetry,
    ) -> Result<Self, TlsError> {
        let providers = config.providers.into_iter();
        let providers = providers
            .map(|config| OidcProvider::new(config, clock, tasks, telemetry).map(Arc::new))
            .collect::<Result<Vec<_>, TlsError>>()?;
        let by_issuer = providers
            .iter()
            .enumerate()
            .filter_map(|(index, provider)| Some((provider.idp.issuer().expected()?.into(), index)))
            .collect();
        let keep = |outcome: &Result<_, _>| outcome.is_err().then_some(REFUSAL_LASTS);
        Ok(Self {
            by_issuer,
            providers,
            places: TokenPlaces {
                headers: config.token_headers,
                access: config.access_token_cookie,
                id: config.id_token_cookie,
            },
            digests: DigestKey::random(),
            remembered: Arc::new(Cache::with_weighter(
                config.remembered_bytes / USUAL_BYTES,
                config.remembered_bytes as u64,
                Bytes,
            )),
            asked: SingleFlight::new(MAX_ASKED, keep, tasks.clone(), clock.clone()),
            clock: clock.clone(),
        })
    }

    /// Takes from the settings how each provider is reached, in their order.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub fn access(config: &Config) -> Result<Vec<idp::IdpAccess>, TlsError> {
        let access = |provider: &OidcProviderConfig| Idp::access(&provider.idp);
        config.providers.iter().map(access).collect()
    }

    /// Uses them from the next call on.
    pub fn replace(&self, access: Vec<idp::IdpAccess>) {
        for (provider, access) in self.providers.iter().zip(access) {
            provider.idp.replace(access);
        }
    }

    /// Why the first identity provider that could not be asked the last time could not.
    pub(crate) fn trouble(&self) -> Option<String> {
        self.providers.iter().find_map(|provider| {
            let why = provider.idp.trouble()?;
            Some(format!("`{}`: {why}", provider.name()))
        })
    }

    /// Looks for a token of one of the allowed providers. One that is remembered is answered at
    /// once.
    pub(crate) async fn identify(
        &self,
        headers: &HeaderMap,
        allowed: &AllowedProviders,
    ) -> Result<Option<Identity>, Rejected> {
        if !self.providers.iter().any(|one| allowed.allow(one.name())) {
            return Ok(None);
        }
        let Some(found) = self.places.find(headers)? else {
            return Ok(None);
        };
        let outcome = match found {
            Found::One(candidate) => self.judge(candidate, allowed).await,
            Found::Several(tokens) => Box::pin(self.judge_several(tokens, allowed)).await,
        };
        outcome.map(Some)
    }

    pub(super) async fn judge(
        &self,
        candidate: Candidate<'_>,
        allowed: &AllowedProviders,
    ) -> Result<Identity, Rejected> {
        let digest = self.digest_of(candidate);
        match self.recall(&digest) {
            Some(Ok(known)) if !allowed.allow(known.provider().name()) => {
                Err(RefusedToken::OtherGateway.into())
            }
            Some(known) => known,
            // Boxed: what is rare must not make every request's future large.
            None => Box::pin(self.first_sight(candidate.token()?, digest, allowed)).await,
        }
    }

    fn digest_of(&self, candidate: Candidate<'_>) -> Digest {
        self.digests.digest(candidate.text, candidate.slot)
    }

    /// Forgets what a provider said about the request's token, if it was asked a second ago or
    /// longer; whether there was such a statement. It is asked again then.
    pub(crate) fn forget(&self, headers: &HeaderMap) -> bool {
        let Ok(Some(found)) = self.places.find(headers) else {
            return false;
        };
        let now = self.clock.now();
        let was_a_while_ago =
            |asked: Timestamp| now.since(asked).is_none_or(|past| past >= ASKED_AGAIN);
        let forgets = |candidate| {
            let digest = self.digest_of(candidate);
            let removed = self.remembered.remove_if(&digest, |remembered| {
                remembered.asked.is_some() && was_a_while_ago(remembered.judged)
            });
            removed.is_some()
        };
        found.all().fold(false, |any, one| any | forgets(one))
    }

    /// Whether the provider that such a token belongs to is asked about it; `None` if it is none's.
    pub(super) fn provider_asked(&self, token: &str, allowed: &AllowedProviders) -> Option<bool> {
        let form = TokenForm::of(token).ok()?;
        let index = self.provider_of(&form, allowed).ok()?;
        Some(self.providers.get(index)?.asks(&form))
    }

    /// What is remembered of this token, if it still counts.
    fn recall(&self, digest: &Digest) -> Option<Result<Identity, Rejected>> {
        let remembered = self.remembered.get(digest)?;
        let provider = self.providers.get(remembered.provider)?;
        provider.idp.keep_fresh();
        let now = self.clock.now();
        if !remembered.is_valid(now) || remembered.withdrawals != provider.idp.withdrawals() {
            return None;
        }
        let identity = remembered.identity;
        match remembered.asked {
            Some(notices) if provider.revoked.outdates(identity.statement(), notices) => None,
            None if provider.revoked.is_revoked(identity.statement(), now) => {
                Some(Err(RefusedToken::LoggedOut.into()))
            }
            Some(_) | None => Some(Ok(identity)),
        }
    }

    async fn first_sight(
        &self,
        presented: Presented<'_>,
        digest: Digest,
        allowed: &AllowedProviders,
    ) -> Result<Identity, Rejected> {
        let token = TokenForm::of(presented.token).map_err(RefusedToken::Form)?;
        let index = self.described_provider_of(&token, allowed).await?;
        let provider = self.providers.get(index).ok_or(RefusedToken::Unroutable)?;
        let now = self.clock.now();
        let withdrawals = provider.idp.withdrawals();
        let notices = provider.revoked.notices();
        let remembered = move |answer: &Judged, asked| Remembered {
            identity: answer.identity.clone(),
            until: answer.until,
            provider: index,
            judged: now,
            withdrawals,
            asked,
        };
        if !provider.asks(&token) {
            let judged = provider.judge(token, presented, now).await?;
            self.remembered.insert(digest, remembered(&judged, None));
            return Ok(judged.identity);
        }
        if provider.asks_each_time() {
            let judged = provider.judge(token, presented, now).await?;
            return Ok(judged.identity);
        }
        // All requests with the same token wait for the first of them: a page of fifty requests is
        // one call.
        let asked = self.asked.join(&digest, (), || {
            if let Some(known) = self.recall(&digest) {
                return Err(NotAsked::Known(known));
            }
            let (text, slot) = (SecretString::from(presented.token), presented.slot);
            let (provider, cache) = (Arc::clone(provider), Arc::clone(&self.remembered));
            Ok(async move {
                let token = text.expose_secret();
                let presented = Presented { token, slot };
                let form = TokenForm::of(token).map_err(RefusedToken::Form)?;
                let judged = provider.judge(form, presented, now).await?;
                cache.insert(digest, remembered(&judged, Some(notices)));
                Ok(judged.identity)
            })
        });
        match asked {
            Ok(run) => run
                .result()
                .await
                .unwrap_or_else(|| Err(provider.away(IdpError::Crashed))),
            Err(NotAsked::Known(known)) => known,
            Err(NotAsked::Full) => Err(provider.away(IdpError::Busy)),
        }
    }

    /// The provider that a token belongs to. Where no configured issuer is the token's, it may be
    /// one that a description names for access tokens: descriptions that are needed anyway are read
    /// before it is refused.
    async fn described_provider_of(
        &self,
        token: &TokenForm<'_>,
        allowed: &AllowedProviders,
    ) -> Result<usize, Rejected> {
        let unknown = match self.provider_of(token, allowed) {
            Err(unknown @ RefusedToken::UnknownIssuer(_)) => unknown,
            known_or_refused => return Ok(known_or_refused?),
        };
        let providers = self.providers.iter();
        let undescribed: Vec<_> = providers
            .filter(|one| one.is_to_be_described() && allowed.allow(one.name()))
            .collect();
        let Some(first) = undescribed.first() else {
            return Err(unknown.into());
        };
        // All at the same time, so that one that hangs takes no other's time.
        for provider in &undescribed {
            provider.idp.begin_to_describe();
        }
        let mut away = None;
        let all = async {
            for provider in &undescribed {
                if let Err(why) = provider.idp.describe().await {
                    away.get_or_insert_with(|| provider.away(why));
                }
            }
        };
        if timeout(PATIENCE, all).await.is_err() {
            let late = || first.away(IdpError::Late(EndpointKind::Discovery));
            away.get_or_insert_with(late);
        }
        match (self.provider_of(token, allowed), away) {
            (Err(RefusedToken::UnknownIssuer(_)), Some(away)) => Err(away),
            (known_or_refused, _) => Ok(known_or_refused?),
        }
    }

    /// The provider that a token belongs to, by its issuer. A token without one can belong only to
    /// the one provider that can be asked.
    fn provider_of(
        &self,
        token: &TokenForm<'_>,
        allowed: &AllowedProviders,
    ) -> Result<usize, RefusedToken> {
        let is_allowed = |provider: &OidcProvider| allowed.allow(provider.name());
        let jws = match token {
            TokenForm::Signed(jws) => jws,
            TokenForm::Foreign(_) | TokenForm::Broken(_) | TokenForm::Opaque => {
                let providers = self.providers.iter().enumerate();
                let mut able =
                    providers.filter(|(_, provider)| provider.takes(token) && is_allowed(provider));
                return match (able.next(), able.next(), token) {
                    (Some((index, _)), None, _) => Ok(index),
                    (Some(_), Some(_), _) => Err(RefusedToken::Unroutable),
                    (None, _, TokenForm::Foreign(why) | TokenForm::Broken(why)) => {
                        Err(RefusedToken::Form(*why))
                    }
                    (None, _, TokenForm::Signed(_) | TokenForm::Opaque) => {
                        Err(RefusedToken::Opaque)
                    }
                };
            }
        };
        let index = self.of_issuer(jws).or_else(|unknown| {
            // A configured issuer comes first: no description takes the tokens of another provider.
            let issuer = jws.unproven_issuer().ok_or_else(|| unknown.clone())?;
            let mut providers = self.providers.iter();
            let index = providers.position(|one| one.calls_access_tokens(issuer));
            index.ok_or(unknown)
        })?;
        let provider = self.providers.get(index);
        if provider.is_some_and(|provider| is_allowed(provider)) {
            Ok(index)
        } else {
            Err(RefusedToken::OtherGateway)
        }
    }

    /// The provider that a token says it is from, by the configured issuers.
    fn of_issuer(&self, jws: &Jws<'_>) -> Result<usize, RefusedToken> {
        let index = jws
            .unproven_issuer()
            .and_then(|issuer| self.by_issuer.get(issuer));
        index.copied().ok_or_else(|| self.not_configured(jws))
    }

    fn not_configured(&self, jws: &Jws<'_>) -> RefusedToken {
        let found = [("iss", jws.unproven().get("iss"))];
        let providers = self.providers.iter();
        let expected = providers.filter_map(|one| one.idp.issuer().expected());
        let shown = Shown::mismatch(&found, expected);
        match jws.unproven_issuer() {
            Some(_) => RefusedToken::UnknownIssuer(shown),
            None => RefusedToken::Issuer(shown),
        }
    }

    /// Whether a logout token from there may be read, where the address is a provider's: valid ones
    /// have come from it.
    pub(crate) fn may_read_logout(&self, from: NoticeSource) -> Option<bool> {
        let now = self.clock.now();
        let mut providers = self.providers.iter();
        providers.find_map(|provider| provider.notices.may_read(from, now))
    }

    /// Takes a logout token of a provider: tokens of that session, or of that subject so far, are
    /// refused from now on.
    ///
    /// # Errors
    /// When the token is refused, or the provider's keys cannot be fetched.
    pub(crate) async fn backchannel_logout(
        &self,
        token: &str,
        from: NoticeSource,
    ) -> Result<(), LogoutError> {
        let jws = Jws::parse(token).map_err(RefusedToken::Form)?;
        let index = self.of_issuer(&jws)?;
        let provider = self
            .providers
            .get(index)
            .ok_or_else(|| self.not_configured(&jws))?;
        provider.log_out(jws, from, &self.clock).await?;
        tracing::info!(
            provider = %provider.name(),
            "a session was ended by the identity provider"
        );
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
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
