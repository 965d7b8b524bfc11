//! The choices of the configuration: every enum that a key selects from, with the text of each of
//! its values.
//!
//! The reference, the schema, the faults and the value that a component gets all come from these
//! lists. A text without a value does not compile, nor does a value without a text, and `fill/` has
//! no default arm.

use crate::{
    broker::Adopt,
    cluster::{Kind, PasswordForm},
    identity::{
        group_list::Separator,
        oidc::{Asked, IdTokens, Validation},
        user_name::UserNameCase,
    },
    idp::Algorithm,
    roles::DefaultRolesApply,
    telemetry::{
        access_log::Format as AccessLogFormat,
        audit::{Grants, Requests},
        log::{Format, Level},
    },
    upstream::HostHeader,
};

/// An enum of which a key of the configuration selects one value.
pub(super) trait ConfigChoice: Copy + PartialEq + 'static {
    /// The values with their texts, in the order of the documentation.
    const ALL: &'static [(&'static str, Self)];

    fn text(self) -> &'static str;

    /// ASCII case does not count.
    fn parse(text: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(own, _)| own.eq_ignore_ascii_case(text))
            .map(|(_, value)| *value)
    }
}

/// The texts of a choice. The table of keys holds this function, not the type.
pub(super) fn texts<T: ConfigChoice>() -> Vec<&'static str> {
    T::ALL.iter().map(|(text, _)| *text).collect()
}

/// Which kind of provider identifies users (`auth_provider`).
#[derive(Clone, Copy, PartialEq)]
pub(super) enum AuthProvider {
    Headers,
    Oidc,
}

/// Where the ledger keeps its entries (`cache.type`).
#[derive(Clone, Copy, PartialEq)]
pub(super) enum CacheType {
    Memory,
    Redis,
    File,
}

/// How elastauth authenticates as a client of the issuer (`oidc.client_auth_method`).
#[derive(Clone, Copy, PartialEq)]
pub(super) enum ClientAuthMethod {
    SecretBasic,
    SecretPost,
    PrivateKeyJwt,
    None,
}

/// The list and a `match` without a default arm: a variant that is missing here does not compile.
macro_rules! choices {
    ($($choice:ident { $($text:literal = $variant:ident $(($inner:expr))?),+ $(,)? })+) => {
        $(impl ConfigChoice for $choice {
            const ALL: &'static [(&'static str, Self)] =
                &[$(($text, Self::$variant $(($inner))?)),+];

            fn text(self) -> &'static str {
                match self { $(Self::$variant { .. } => $text),+ }
            }
        })+
    };
}

choices! {
    AuthProvider { "authelia" = Headers, "oidc" = Oidc }
    CacheType { "memory" = Memory, "redis" = Redis, "file" = File }
    ClientAuthMethod {
        "client_secret_basic" = SecretBasic,
        "client_secret_post" = SecretPost,
        "private_key_jwt" = PrivateKeyJwt,
        "none" = None,
    }
    Separator { "," = Comma, "|" = Pipe, ";" = Semicolon, "space" = Space }
    UserNameCase { "keep" = Keep, "lower" = Lower }
    DefaultRolesApply { "always" = Always, "unmapped" = Unmapped }
    Kind { "auto" = Auto, "elasticsearch" = Elasticsearch, "opensearch" = Opensearch }
    PasswordForm { "auto" = Hash, "off" = Clear }
    Adopt { "never" = Never, "elastauth-go" = ElastauthGo, "any" = Any }
    HostHeader { "client" = Client, "upstream" = Upstream }
    Level { "debug" = Debug, "info" = Info, "warn" = Warn, "error" = Error }
    Format { "text" = Text, "json" = Json, "ecs" = Ecs }
    Grants { "changes" = Changes, "all" = All }
    Requests { "off" = Off, "writes" = Writes, "all" = All }
    AccessLogFormat { "off" = Off, "text" = Text, "json" = Json, "ecs" = Ecs }
    // With a secret or a key of the client, `fill/oidc` adds introspection to `both`.
    Validation {
        "jwks" = Jwks,
        "userinfo" = Userinfo,
        "introspection" = Introspection,
        "both" = Both(Asked::Userinfo),
    }
    IdTokens { "in_cookie" = InCookie, "never" = Never, "anywhere" = Anywhere }
    Algorithm {
        "RS256" = Rs256,
        "RS384" = Rs384,
        "RS512" = Rs512,
        "PS256" = Ps256,
        "PS384" = Ps384,
        "PS512" = Ps512,
        "ES256" = Es256,
        "ES384" = Es384,
        "ES512" = Es512,
        "EdDSA" = Ed25519,
    }
}
