//! The choices of the configuration: every enum that a key selects from, with the text of each of
//! its values.
//!
//! The reference, the schema, the faults and the value that a component gets all come from these
//! lists. A text without a value does not compile, and `fill/` has no default arm.

use crate::{
    broker::Adopt,
    cluster::PasswordForm,
    identity::oidc::{Asked, IdTokens, Validation},
    idp::Algorithm,
    roles::DefaultRolesApply,
    telemetry::{
        audit::Grants,
        log::{Format, Level},
    },
};

/// An enum of which a key of the configuration selects one value.
pub(super) trait Choice: Copy + PartialEq + 'static {
    /// The values with their texts, in the order of the documentation.
    const ALL: &'static [(&'static str, Self)];

    /// ASCII case does not count.
    fn parse(text: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(own, _)| own.eq_ignore_ascii_case(text))
            .map(|(_, value)| *value)
    }

    fn text(self) -> &'static str {
        let mut all = Self::ALL.iter();
        let own = all.find(|(_, value)| *value == self);
        own.map_or("", |(text, _)| *text)
    }
}

/// The texts of a choice. The table of keys holds this function, not the type.
pub(super) fn texts<T: Choice>() -> Vec<&'static str> {
    T::ALL.iter().map(|(text, _)| *text).collect()
}

/// Which kind of provider identifies users (`auth_provider`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AuthProvider {
    Headers,
    Oidc,
}

/// Where the ledger keeps its entries (`cache.type`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CacheType {
    Memory,
    Redis,
    File,
}

/// How elastauth authenticates as a client of the issuer (`oidc.client_auth_method`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ClientAuthMethod {
    SecretBasic,
    SecretPost,
    PrivateKeyJwt,
    None,
}

impl Choice for AuthProvider {
    const ALL: &'static [(&'static str, Self)] =
        &[("authelia", Self::Headers), ("oidc", Self::Oidc)];
}

impl Choice for CacheType {
    const ALL: &'static [(&'static str, Self)] = &[
        ("memory", Self::Memory),
        ("redis", Self::Redis),
        ("file", Self::File),
    ];
}

impl Choice for ClientAuthMethod {
    const ALL: &'static [(&'static str, Self)] = &[
        ("client_secret_basic", Self::SecretBasic),
        ("client_secret_post", Self::SecretPost),
        ("private_key_jwt", Self::PrivateKeyJwt),
        ("none", Self::None),
    ];
}

impl Choice for DefaultRolesApply {
    const ALL: &'static [(&'static str, Self)] =
        &[("always", Self::Always), ("unmapped", Self::Unmapped)];
}

impl Choice for PasswordForm {
    const ALL: &'static [(&'static str, Self)] = &[("auto", Self::Hash), ("off", Self::Clear)];
}

impl Choice for Adopt {
    const ALL: &'static [(&'static str, Self)] = &[
        ("never", Self::Never),
        ("elastauth-go", Self::ElastauthGo),
        ("any", Self::Any),
    ];
}

impl Choice for Level {
    const ALL: &'static [(&'static str, Self)] = &[
        ("debug", Self::Debug),
        ("info", Self::Info),
        ("warn", Self::Warn),
        ("error", Self::Error),
    ];
}

impl Choice for Format {
    const ALL: &'static [(&'static str, Self)] = &[
        ("text", Self::Text),
        ("json", Self::Json),
        ("ecs", Self::Ecs),
    ];
}

impl Choice for Grants {
    const ALL: &'static [(&'static str, Self)] = &[("changes", Self::Changes), ("all", Self::All)];
}

impl Choice for Validation {
    const ALL: &'static [(&'static str, Self)] = &[
        ("jwks", Self::Jwks),
        ("userinfo", Self::Userinfo),
        ("introspection", Self::Introspection),
        // With a secret or a key of the client, `fill/oidc` adds introspection.
        ("both", Self::Both(Asked::Userinfo)),
    ];
}

impl Choice for IdTokens {
    const ALL: &'static [(&'static str, Self)] = &[
        ("in_cookie", Self::InCookie),
        ("never", Self::Never),
        ("anywhere", Self::Anywhere),
    ];
}

impl Choice for Algorithm {
    const ALL: &'static [(&'static str, Self)] = &[
        ("RS256", Self::Rs256),
        ("RS384", Self::Rs384),
        ("RS512", Self::Rs512),
        ("PS256", Self::Ps256),
        ("PS384", Self::Ps384),
        ("PS512", Self::Ps512),
        ("ES256", Self::Es256),
        ("ES384", Self::Es384),
        ("ES512", Self::Es512),
        ("EdDSA", Self::Ed25519),
    ];
}
