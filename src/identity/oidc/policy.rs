//! What claims must say to be accepted. Signature and form have been judged before; here every rule
//! is about the content.
//!
//! RFC 8725 (JWT best practice), RFC 9068 (JWT access tokens), OpenID Connect Core §3.1.3.7 and RFC
//! 7662 are what the rules follow.

use super::{
    config::{AuthorizedParties, IdTokens, OidcProviderConfig},
    presented::TokenPlace,
    refused::RefusedToken,
};
use crate::{clock::Timestamp, identity::types::Statement, model::Shown};
use serde_json::{Map, Value};
use std::time::Duration;

/// The end of the year 9999. Later times are milliseconds instead of seconds, or wrong.
const LAST_SECOND: u64 = 253_402_300_799;
/// `sub` and `sid` are kept with each remembered token. OpenID Connect bounds `sub` at 255.
const MAX_ID_BYTES: usize = 255;

/// The rules of one provider.
#[derive(Debug)]
pub(super) struct Policy {
    /// `None`: tokens name none, and the provider is asked about each.
    issuer: Option<Box<str>>,
    audiences: Vec<Box<str>>,
    /// `None`: any.
    parties: Option<Vec<Box<str>>>,
    party_required: bool,
    id_tokens: IdTokens,
    require_at_jwt: bool,
    leeway: Duration,
}

/// The part of the claims that is needed later.
#[derive(Debug, Default)]
pub(super) struct Accepted {
    /// Until when, leeway included. `None` where an answer of the provider names no end.
    pub(super) until: Option<Timestamp>,
    pub(super) statement: Statement,
}

impl Policy {
    pub(super) fn new(config: &OidcProviderConfig) -> Self {
        let client = &config.idp.client_id;
        let audiences = if config.audiences.is_empty() {
            vec![client.clone()]
        } else {
            config.audiences.clone()
        };
        let (parties, party_required) = match &config.authorized_parties {
            AuthorizedParties::Audiences => (
                Some(audiences.iter().cloned().chain([client.clone()]).collect()),
                false,
            ),
            AuthorizedParties::These(these) => (Some(these.clone()), true),
            AuthorizedParties::Any => (None, false),
        };
        Self {
            issuer: config.idp.issuer.expected().map(Box::from),
            audiences,
            parties,
            party_required,
            id_tokens: config.id_tokens,
            require_at_jwt: config.require_at_jwt,
            leeway: config.leeway,
        }
    }

    /// Judges a signed token whose signature was verified. `kind` is the header's `typ`.
    pub(super) fn token(
        &self,
        claims: &Map<String, Value>,
        kind: Option<&str>,
        slot: TokenPlace,
        now: Timestamp,
        access_token_issuer: Option<&str>,
    ) -> Result<Accepted, RefusedToken> {
        self.header_kind(kind)?;
        self.purpose(claims, slot)?;
        if own_word(claims) == Some(TokenWord::Refresh) {
            return Err(RefusedToken::TokenType);
        }
        if kind != Some("at+jwt") && looks_like_id_token(claims) && !self.takes_id_tokens(slot) {
            return Err(RefusedToken::IdToken);
        }
        let issuer = claims.get("iss");
        if !self.is_issuer(issuer) && !is(issuer, access_token_issuer) {
            return Err(self.other_issuer(claims, access_token_issuer));
        }
        if present(claims, "aud").is_none() {
            // Amazon Cognito's access tokens have none.
            self.client_as_audience(claims)?;
            self.party(claims, false)?;
        } else {
            self.audience(claims, slot)?;
        }
        let until =
            time(claims, "exp", RefusedToken::ExpiryMissing)?.ok_or(RefusedToken::ExpiryMissing)?;
        self.times(claims, Some(until), now)
    }

    /// Judges an introspection answer that says `active`. It comes from the provider itself, so it
    /// may leave out what a token must say; what it says must be correct.
    pub(super) fn introspected(
        &self,
        claims: &Map<String, Value>,
        slot: TokenPlace,
        now: Timestamp,
        access_token_issuer: Option<&str>,
    ) -> Result<Accepted, RefusedToken> {
        // Keycloak calls refresh and ID tokens active too; Ory and Authelia have `token_use`.
        let says = |name: &str, allowed: &[&str]| match present(claims, name) {
            None => true,
            Some(Value::String(text)) => allowed.iter().any(|one| text.eq_ignore_ascii_case(one)),
            Some(_) => false,
        };
        let as_id_token = self.takes_id_tokens(slot) && says("token_type", &["ID"]);
        if !says("token_type", &["Bearer"]) && !as_id_token {
            return Err(RefusedToken::TokenType);
        }
        if !says("token_use", &["access_token", "access"]) {
            return Err(RefusedToken::TokenType);
        }
        self.purpose(claims, slot)?;
        let issuer = present(claims, "iss").filter(|_| self.issuer.is_some());
        if issuer.is_some() && !self.is_issuer(issuer) && !is(issuer, access_token_issuer) {
            return Err(self.other_issuer(claims, access_token_issuer));
        }
        if present(claims, "aud").is_none() {
            self.client_as_audience(claims)?;
        } else {
            self.audience(claims, slot)?;
        }
        let until = time(claims, "exp", RefusedToken::Times)?;
        self.times(claims, until, now)
    }

    /// Judges an answer about a token that is a signed token itself: who says it, and to whom.
    pub(super) fn answer(&self, claims: &Map<String, Value>) -> Result<(), RefusedToken> {
        if !self.is_issuer(claims.get("iss")) {
            return Err(self.other_issuer(claims, None));
        }
        // It is for the client that the token was issued to.
        let among = |all: &[Box<str>], audience: &str| all.iter().any(|one| **one == *audience);
        let ours = |audience: &Value| {
            audience.as_str().is_some_and(|audience| {
                let parties = self.parties.as_ref();
                among(&self.audiences, audience)
                    || parties.is_none_or(|parties| among(parties, audience))
            })
        };
        match present(claims, "aud") {
            Some(Value::Array(all)) if all.iter().any(ours) => Ok(()),
            Some(one) if ours(one) => Ok(()),
            _ => Err(self.other_audience(claims)),
        }
    }

    fn is_issuer(&self, found: Option<&Value>) -> bool {
        is(found, self.issuer.as_deref())
    }

    fn other_issuer(&self, claims: &Map<String, Value>, other: Option<&str>) -> RefusedToken {
        let found = [("iss", claims.get("iss"))];
        let expected = self.issuer.as_deref().into_iter().chain(other);
        RefusedToken::Issuer(Shown::mismatch(&found, expected))
    }

    fn other_audience(&self, claims: &Map<String, Value>) -> RefusedToken {
        let audience = ("aud", present(claims, "aud"));
        let expected = self.audiences.iter().map(|one| &**one);
        let client = ("client_id", present(claims, "client_id"));
        let found: &[_] = if audience.1.is_some() {
            &[audience]
        } else {
            &[audience, client]
        };
        RefusedToken::Audience(Shown::mismatch(found, expected))
    }

    fn takes_id_tokens(&self, slot: TokenPlace) -> bool {
        match self.id_tokens {
            IdTokens::Never => false,
            IdTokens::InCookie => slot.is_for_id_tokens(),
            IdTokens::Anywhere => true,
        }
    }

    fn header_kind(&self, kind: Option<&str>) -> Result<(), RefusedToken> {
        match kind {
            Some("at+jwt") => Ok(()),
            None | Some("jwt") if !self.require_at_jwt => Ok(()),
            // Logout tokens, DPoP proofs, security events, client assertions: signed with the same
            // keys, and no access tokens.
            _ => Err(RefusedToken::HeaderType),
        }
    }

    /// Access and ID tokens of Keycloak have the same header, key, issuer and audience; only the
    /// claim `typ` tells them apart.
    fn purpose(&self, claims: &Map<String, Value>, slot: TokenPlace) -> Result<(), RefusedToken> {
        if claims.contains_key("events") {
            return Err(RefusedToken::Events);
        }
        // A token that is bound to a key is valid only together with the key, which elastauth
        // cannot ask for.
        if present(claims, "cnf").is_some() {
            return Err(RefusedToken::Bound);
        }
        match present(claims, "typ") {
            None => Ok(()),
            Some(Value::String(kind)) if kind.eq_ignore_ascii_case("bearer") => Ok(()),
            Some(Value::String(kind))
                if kind.eq_ignore_ascii_case("id") && self.takes_id_tokens(slot) =>
            {
                Ok(())
            }
            Some(_) => Err(RefusedToken::ClaimType),
        }
    }

    /// Certified providers leave `aud` out and name the client that the token was issued to.
    fn client_as_audience(&self, claims: &Map<String, Value>) -> Result<(), RefusedToken> {
        let client = present(claims, "client_id").and_then(Value::as_str);
        let is_ours =
            client.is_some_and(|client| self.audiences.iter().any(|one| **one == *client));
        is_ours
            .then_some(())
            .ok_or_else(|| self.other_audience(claims))
    }

    fn audience(&self, claims: &Map<String, Value>, slot: TokenPlace) -> Result<(), RefusedToken> {
        let ours = |audience: &Value| {
            audience
                .as_str()
                .is_some_and(|text| self.audiences.iter().any(|one| **one == *text))
        };
        let several = match present(claims, "aud") {
            Some(Value::String(_)) if present(claims, "aud").is_some_and(ours) => false,
            Some(Value::Array(all)) if all.iter().all(Value::is_string) && all.iter().any(ours) => {
                all.len() > 1
            }
            _ => return Err(self.other_audience(claims)),
        };
        // An ID token for several must say for whom it was made.
        self.party(claims, several && slot.is_for_id_tokens())
    }

    /// To whom the token was issued.
    fn party(&self, claims: &Map<String, Value>, required: bool) -> Result<(), RefusedToken> {
        // Okta says `cid`; ADFS and Entra ID 1.0 say `appid`. They count only where the operator
        // has named parties: elsewhere they would refuse tokens that are accepted today.
        let names = ["azp", "client_id", "cid", "appid"];
        let known = if self.party_required { 4 } else { 2 };
        let mut names = names.into_iter().take(known);
        let found = names.find_map(|name| Some((name, present(claims, name)?)));
        let refused = || {
            let found = found.map_or(("azp", None), |(name, party)| (name, Some(party)));
            let expected = self.parties.iter().flatten().map(|one| &**one);
            RefusedToken::Party(Shown::mismatch(&[found], expected))
        };
        let party = match found {
            None => None,
            Some((_, Value::String(party))) => Some(party.as_str()),
            Some(_) => return Err(refused()),
        };
        let Some(parties) = &self.parties else {
            return Ok(());
        };
        match party {
            Some(party) if parties.iter().any(|one| **one == *party) => Ok(()),
            Some(_) => Err(refused()),
            None if self.party_required || required => Err(refused()),
            None => Ok(()),
        }
    }

    fn times(
        &self,
        claims: &Map<String, Value>,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Result<Accepted, RefusedToken> {
        let until = until.map(|until| until.after(self.leeway));
        if until.is_some_and(|until| now >= until) {
            return Err(RefusedToken::Expired);
        }
        let ahead = |at: Option<Timestamp>| at.is_some_and(|at| at > now.after(self.leeway));
        if ahead(time(claims, "nbf", RefusedToken::Times)?) {
            return Err(RefusedToken::NotYet);
        }
        let issued_at = time(claims, "iat", RefusedToken::Times)?;
        if ahead(issued_at) {
            return Err(RefusedToken::IssuedAhead);
        }
        let statement = Statement {
            issued_at,
            as_of: issued_at.map(|at| at.min(now)),
            subject: id(claims, "sub")?,
            session: id(claims, "sid")?,
        };
        Ok(Accepted { until, statement })
    }
}

/// Whether a claim is this text.
fn is(found: Option<&Value>, expected: Option<&str>) -> bool {
    let found = found.and_then(Value::as_str);
    found.is_some() && found == expected
}

/// For a token that does not say by its header (`at+jwt`) what it is.
///
/// What the provider calls the token counts first. Then come the claims that bind an ID token to
/// the sign-in that it came from (OpenID Connect Core §2, §3.3.2.11). Access tokens do not need
/// them; Dex and old Keycloaks add them nevertheless, and Keycloak marks its tokens by the claim
/// `typ`. But an ID token may have none of them: certified providers leave them out in the code
/// flow. So a token must also have a claim that only access tokens have: what it allows (`scope`,
/// `scp`), or to whom it was issued (`client_id`; ID tokens have `azp` as well).
fn looks_like_id_token(claims: &Map<String, Value>) -> bool {
    let has = |name: &&str| present(claims, name).is_some();
    if has(&"typ") {
        return false;
    }
    if let Some(word) = own_word(claims) {
        return word != TokenWord::Access;
    }
    // An empty one binds nothing.
    let binds = |name: &&str| present(claims, name).is_some_and(|value| *value != "");
    ["nonce", "at_hash", "c_hash", "s_hash"].iter().any(binds)
        || !["scope", "scp", "client_id"].iter().any(has)
}

/// What a provider calls its token.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TokenWord {
    Access,
    Refresh,
    /// An ID token, or something else that is no access token.
    Other,
}

/// The provider's word for the token, in the claims that providers have for it: Amazon Cognito and
/// Ory write `token_use`, `ForgeRock` writes `tokenName`. Where two differ, the token is no access
/// token. `token_use` has no other meaning, so an unknown word there counts; the other claims may.
fn own_word(claims: &Map<String, Value>) -> Option<TokenWord> {
    let word = |name: &str| {
        let value = present(claims, name)?;
        let letters = value.as_str().unwrap_or_default().bytes();
        let letters = letters.filter(u8::is_ascii_alphanumeric);
        let word: Vec<u8> = letters.map(|byte| byte.to_ascii_lowercase()).collect();
        match word.as_slice() {
            b"access" | b"accesstoken" | b"oauthaccesstoken" | b"oauth2accesstoken" | b"bearer"
            | b"bearertoken" | b"atjwt" => Some(TokenWord::Access),
            b"refresh" | b"refreshtoken" | b"oauthrefreshtoken" => Some(TokenWord::Refresh),
            b"id" | b"idtoken" | b"oidcidtoken" => Some(TokenWord::Other),
            _ => (name == "token_use").then_some(TokenWord::Other),
        }
    };
    ["token_use", "token_type", "tokenType", "tokenName", "type"]
        .into_iter()
        .filter_map(word)
        .reduce(|one, other| match (one, other) {
            (TokenWord::Refresh, _) | (_, TokenWord::Refresh) => TokenWord::Refresh,
            (TokenWord::Other, _) | (_, TokenWord::Other) => TokenWord::Other,
            (TokenWord::Access, TokenWord::Access) => TokenWord::Access,
        })
}

/// Null counts as absent.
pub(super) fn present<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    claims.get(name).filter(|value| !value.is_null())
}

/// `NumericDate`: seconds, with or without a fraction.
pub(super) fn time(
    claims: &Map<String, Value>,
    name: &str,
    otherwise: RefusedToken,
) -> Result<Option<Timestamp>, RefusedToken> {
    let Some(value) = claims.get(name) else {
        return Ok(None);
    };
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "bounded on the line itself"
    )]
    let whole = || {
        value
            .as_f64()
            .filter(|seconds| (0.0..=LAST_SECOND as f64).contains(seconds))
            .map(|seconds| seconds as u64)
    };
    let seconds = value
        .as_u64()
        .or_else(whole)
        .filter(|seconds| *seconds <= LAST_SECOND)
        .ok_or(otherwise)?;
    Ok(Some(Timestamp(seconds * 1_000)))
}

pub(super) fn id(
    claims: &Map<String, Value>,
    name: &'static str,
) -> Result<Option<Box<str>>, RefusedToken> {
    match present(claims, name) {
        None => Ok(None),
        Some(Value::String(id)) if (1..=MAX_ID_BYTES).contains(&id.len()) => {
            Ok(Some(id.as_str().into()))
        }
        Some(_) => Err(RefusedToken::Id(name)),
    }
}
