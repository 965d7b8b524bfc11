//! Why a token is refused. One variant a rule; what is in it of the token is bounded and escaped,
//! so each may be logged as it is.

use crate::{
    identity::types::Field,
    idp::{IdpError, MalformedToken},
    model::{InvalidUsername, Shown},
};

/// Groups of one user. Larger numbers come from a mapping to the wrong claim.
pub(super) const MAX_GROUPS: usize = 2_000;

/// Why a token is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RefusedToken {
    #[error(
        "the request has two `Authorization` headers, or more tokens than elastauth looks at; it \
         does not guess which one counts"
    )]
    Ambiguous,
    #[error("the request has tokens of different users ({0}, {1})")]
    DifferentUsers(Shown, Shown),
    #[error("the value is not a token: it has characters that a token cannot have")]
    Alphabet,
    #[error("the token is malformed")]
    Form(#[source] MalformedToken),
    #[error("the token is not signed, and the provider's `token_validation` is `jwks`")]
    Opaque,
    #[error("the token is not signed, and more than one provider could be asked about it")]
    Unroutable,
    #[error("the token's issuer is not configured: {0}")]
    UnknownIssuer(Shown),
    #[error("the gateway's key is not for the token's provider (`providers` in `gateway_keys`)")]
    OtherGateway,
    #[error("the token's algorithm is not among those allowed for this provider")]
    Algorithm,
    #[error("the provider has no key of the token's `kid` that signs with the token's algorithm")]
    UnknownKey,
    #[error("the token's signature does not match the key that it names")]
    Signature,
    #[error("the token's issuer is not exactly the configured one: {0}")]
    Issuer(Shown),
    #[error("the token is not for elastauth: {0}")]
    Audience(Shown),
    #[error("the token was issued to another client: {0}")]
    Party(Shown),
    #[error("the token has no `exp`, or it is not a time")]
    ExpiryMissing,
    #[error("the token has expired (`exp`)")]
    Expired,
    /// Without a proof of who issued it.
    #[error("the token says of itself that it has expired (`exp`), so no provider was asked")]
    SaysExpired,
    #[error("the token is not valid yet (`nbf`)")]
    NotYet,
    #[error("the token was issued in the future (`iat`); one of the clocks is wrong")]
    IssuedAhead,
    #[error("a time in the token (`iat`, `nbf` or `exp`) is not a time")]
    Times,
    #[error("the token's header says that it is not an access token (`typ`)")]
    HeaderType,
    #[error("the token says that it is not an access token (claim `typ`)")]
    ClaimType,
    #[error(
        "the token looks like an ID token (`nonce`, `at_hash`, or neither `scope` nor \
         `client_id`), which is not accepted here; `id_tokens` decides, and Dex needs `anywhere`"
    )]
    IdToken,
    #[error("the provider says that the token is not an access token (`token_type`, `token_use`)")]
    TokenType,
    #[error(
        "`events` is wrong: a logout token must name the logout event, and no other token may \
         have it"
    )]
    Events,
    #[error("the token is bound to a key that elastauth cannot check (`cnf`)")]
    Bound,
    #[error("`{0}` is missing or not a text of 1 to 255 bytes")]
    Id(&'static str),
    #[error("a logout token needs `sub` or `sid`, and has neither")]
    NoSession,
    #[error("the provider's answer is not about the token's subject (`sub`)")]
    Subject,
    #[error("the provider says that the token is not active")]
    Inactive,
    #[error("the session was ended at the identity provider")]
    LoggedOut,
    #[error("a logout token must not have a `nonce`")]
    Nonce,
    #[error("the logout token was used before")]
    Replayed,
    #[error("too many logout tokens are valid at the same time")]
    TooManyNotices,
}

/// Why accepted claims do not name a user.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoUser {
    #[error(
        "the claim for the user name is missing; check `claim_mappings.username` and the scopes \
         that the client asks for"
    )]
    Missing,
    #[error("the claim for the {0} has the wrong JSON type")]
    Shape(Field),
    #[error("the claim for the user name, {0}, does not match `username_pattern`")]
    Pattern(Shown),
    #[error(
        "`username_case` or `username_pattern` can give two people one name, and without a subject \
         (`sub`) the token does not say whose it is"
    )]
    NoSubject,
    #[error("the user name is a mail address that the provider says is not verified")]
    Unverified,
    #[error(
        "the user name is a mail address and the provider does not say whether it is verified \
         (`email_verified`); name another claim in `claim_mappings.username`, or set \
         `email_verified_required: false` if the provider verifies every address"
    )]
    PerhapsUnverified,
    #[error(
        "the provider has left the groups out because there are too many; configure it to send \
         only the assigned groups, or roles"
    )]
    TooManyToSend,
    #[error("there are more than {MAX_GROUPS} groups")]
    TooMany,
    #[error("the name {0} cannot be a user of the cluster")]
    Name(Shown, #[source] InvalidUsername),
}

/// Why a back-channel logout was not done.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum LogoutError {
    /// 400 by the standard.
    #[error("the logout token is refused")]
    Refused(#[source] RefusedToken),
    /// The issuer's share is used up.
    #[error("too many logout tokens in one second")]
    TooMany,
    /// The provider's keys cannot be fetched.
    #[error("the logout token cannot be checked")]
    Idp(#[source] IdpError),
}

impl From<RefusedToken> for LogoutError {
    fn from(why: RefusedToken) -> Self {
        Self::Refused(why)
    }
}
