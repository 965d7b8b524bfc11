//! Why a token is refused. One variant a rule; nothing of the token is in it, so each may be logged
//! as it is.

use crate::{
    identity::types::Field,
    idp::{BadToken, IdpError},
    model::InvalidUsername,
};

/// Groups of one user. Larger numbers come from a mapping to the wrong claim.
pub(super) const MAX_GROUPS: usize = 2_000;

/// Why a token is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum Refused {
    #[error("the request carries more than one token; which one counts is not for us to guess")]
    Ambiguous,
    #[error("what stands in the place of a token is none: other characters than a token has")]
    Alphabet,
    #[error("the token's form is not accepted")]
    Form(#[source] BadToken),
    #[error("the token is not signed, and the provider's `token_validation` is `jwks`")]
    Opaque,
    #[error("the token is not signed, and more than one provider could be asked about it")]
    Unroutable,
    #[error("the token's issuer is none of the configured ones")]
    UnknownIssuer,
    #[error("the token's algorithm is not among those allowed for this provider")]
    Algorithm,
    #[error("the provider has no key of the token's `kid` that signs with the token's algorithm")]
    UnknownKey,
    #[error("the token's signature is not that of the key it names")]
    Signature,
    #[error("the token's issuer (`iss`) is missing or not exactly the configured one")]
    Issuer,
    #[error("the token is not for us: `aud` is missing, or none of the audiences")]
    Audience,
    #[error(
        "the token was issued to somebody else: `azp` or `client_id` is none of the authorized parties"
    )]
    Party,
    #[error("the token has no `exp` that is a time")]
    ExpiryMissing,
    #[error("the token has expired (`exp`)")]
    Expired,
    #[error("the token is not valid yet (`nbf`)")]
    NotYet,
    #[error("the token was issued in the future (`iat`); one of the clocks is wrong")]
    IssuedAhead,
    #[error("a time in the token is not one")]
    Times,
    #[error("the token's header says that it is something else than an access token (`typ`)")]
    HeaderType,
    #[error("the token says that it is something else than an access token (claim `typ`)")]
    ClaimType,
    #[error(
        "the token looks like an ID token (`nonce`, `at_hash`, or neither `scope` nor `client_id`), which is not taken here; `id_tokens` decides, and Dex needs `anywhere`"
    )]
    IdToken,
    #[error(
        "the provider says that the token is something else than an access token (`token_type`, `token_use`)"
    )]
    TokenType,
    #[error("`events` is not what it must be: a logout token has it, no other token may")]
    Events,
    #[error("the token is bound to a key that nobody shows (`cnf`)")]
    Bound,
    #[error("`sub`, `sid` or `jti` is missing or not a text of 1 to 255 bytes")]
    Id,
    #[error("the provider's answer is not about the token's subject (`sub`)")]
    Subject,
    #[error("the provider says that the token is not active")]
    Inactive,
    #[error("the session was ended at the identity provider")]
    LoggedOut,
    #[error("a logout token has no `nonce`")]
    Nonce,
    #[error("the logout token was used before")]
    Replayed,
    #[error("too many logout tokens are alive at one time")]
    TooManyNotices,
}

/// Why accepted claims do not name a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum NoUser {
    #[error(
        "the claim for the user name is not there; is the mapping right, and the scope asked for?"
    )]
    Missing,
    #[error("the claim for the {0} is of a kind that it cannot be")]
    Shape(Field),
    #[error("the user name is a mail address that the provider says is not verified")]
    Unverified,
    #[error(
        "the provider has left the groups out because there are too many; let it send only the assigned ones, or roles"
    )]
    TooManyToSend,
    #[error("there are more than {MAX_GROUPS} groups")]
    TooMany,
    #[error("the name cannot be a user of the cluster")]
    Name(#[source] InvalidUsername),
}

/// Why a back-channel logout was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LogoutError {
    /// 400 by the standard.
    #[error("the logout token is refused")]
    Refused(#[source] Refused),
    /// It cannot be checked.
    #[error("the logout token cannot be checked")]
    Idp(#[source] IdpError),
}

impl From<Refused> for LogoutError {
    fn from(why: Refused) -> Self {
        Self::Refused(why)
    }
}
