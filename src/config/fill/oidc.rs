//! The providers of tokens.

use super::{
    filler::{Filler, OutboundProxy},
    user_names::user_names,
};
use crate::{
    config::{
        choice::ClientAuthMethod,
        key::ConfigKey,
        section, table,
        value_type::{SectionsOf, all},
    },
    identity::oidc::{
        Asked, AuthorizedParties, Config, CookieName, InvalidProviders, OidcProviderConfig,
        Validation,
        claims::{ClaimMapping, ClaimPath},
    },
    idp::{
        self, ClientAuth, EndpointKind, Endpoints, IdpEndpoint, InvalidEndpoint, Issuer, SigningKey,
    },
    net::{client, tls},
    secret::{ExposeSecret as _, SecretString},
};
use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{AUTHORIZATION, COOKIE},
};
use std::fmt::Display;

/// The longest name of a provider: it is in lines of the log and in the metadata of users.
const MAX_NAME_BYTES: usize = 64;

pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Config> {
    let several = fill.given(&table::OIDC_PROVIDERS);
    let proxy = fill.outbound_proxy();
    let providers = if several {
        in_sections(fill, &proxy)
    } else {
        the_one(fill, &proxy).map(|one| vec![one])
    };
    let access_token_cookie = cookie(fill, &table::OIDC_ACCESS_COOKIE);
    let id_token_cookie = cookie(fill, &table::OIDC_ID_COOKIE);
    let token_headers = token_headers(fill);
    match Config::new(providers?) {
        Ok(config) => Some(Config {
            access_token_cookie,
            id_token_cookie,
            token_headers,
            ..config
        }),
        Err(error) => {
            let key = match (several, error) {
                (true, _) => &table::OIDC_PROVIDERS,
                (false, InvalidProviders::NoAlgorithm) => &table::OIDC_ALGORITHMS,
                (false, _) => &table::OIDC_NAME,
            };
            fill.invalid(key, error);
            None
        }
    }
}

fn the_one(fill: &mut Filler<'_>, proxy: &OutboundProxy) -> Option<OidcProviderConfig> {
    for key in [&table::OIDC_ISSUER, &table::OIDC_CLIENT_ID] {
        if !fill.given(key) && !is_optional(fill, key) {
            let fault = format!("`auth_provider: oidc` needs `{}`", key.path);
            fill.fault(&table::AUTH_PROVIDER, fault);
        }
    }
    provider(fill, proxy)
}

fn in_sections(fill: &mut Filler<'_>, proxy: &OutboundProxy) -> Option<Vec<OidcProviderConfig>> {
    for key in section::of_one_provider().filter(|key| fill.settings.given(key)) {
        let fault = format!(
            "`{}` and `oidc.providers` are both set; move it into the sections of the providers",
            key.path
        );
        fill.fault(key, fault);
    }
    let sections = fill.settings.sections(SectionsOf::Providers);
    if sections.is_empty() {
        fill.fault(&table::OIDC_PROVIDERS, "`oidc.providers` names no provider");
    }
    let filled = sections.iter().map(|own| {
        for key in [
            &table::OIDC_NAME,
            &table::OIDC_ISSUER,
            &table::OIDC_CLIENT_ID,
        ] {
            if !own.given(key) && !is_optional(&fill.section(own), key) {
                let name = section::name(key);
                let fault = format!("a provider of `oidc.providers` needs `{name}`");
                fill.findings.fault(&own.place, fault);
            }
        }
        provider(&mut fill.section(own), proxy)
    });
    // Every section is filled, so that all faults are reported.
    let providers: Vec<OidcProviderConfig> = all(filled)?;
    let is_asked = |provider: &&OidcProviderConfig| {
        matches!(
            provider.validation,
            Validation::Userinfo | Validation::Introspection
        )
    };
    if providers.iter().filter(is_asked).count() > 1 {
        fill.warn(
            &table::OIDC_PROVIDERS,
            "several providers are asked about tokens: tokens that are not signed are refused, \
             because they do not name their provider",
        );
    }
    Some(providers)
}

fn provider(fill: &mut Filler<'_>, proxy: &OutboundProxy) -> Option<OidcProviderConfig> {
    let name = parsed(fill, &table::OIDC_NAME, |text| {
        name(text).ok_or("it must be 1 to 64 letters, digits, `.`, `_` and `-`")
    });
    id_tokens_of_before(fill);
    let client_auth = client_auth(fill);
    let endpoints = Endpoints {
        jwks: endpoint(fill, &table::OIDC_JWKS_URI),
        userinfo: endpoint(fill, &table::OIDC_USERINFO_ENDPOINT),
        introspection: endpoint(fill, &table::OIDC_INTROSPECTION_ENDPOINT),
    };
    let http = http(fill, proxy);
    let claims = claims(fill);
    let issuer = issuer(fill, &endpoints);
    if let Some(issuer) = &issuer {
        if issuer.as_str().contains("/.well-known/") {
            fill.warn(
                &table::OIDC_ISSUER,
                "`oidc.issuer` is the address of a description; the issuer is what comes before \
                 `/.well-known/`, as the description says in `issuer`",
            );
        }
        plain_http(fill, issuer, &endpoints);
    }
    let mut idp = idp::Config::new(
        issuer?,
        &fill.get::<String>(&table::OIDC_CLIENT_ID)?,
        client_auth?,
    );
    idp.endpoints = endpoints;
    idp.http = http?;
    Some(OidcProviderConfig {
        validation: validation(fill)?,
        audiences: texts(fill, &table::OIDC_AUDIENCES),
        authorized_parties: authorized_parties(fill),
        id_tokens: fill.get(&table::OIDC_ID_TOKENS)?,
        require_at_jwt: fill.get(&table::OIDC_REQUIRE_AT_JWT)?,
        algorithms: fill.get(&table::OIDC_ALGORITHMS)?,
        leeway: fill.get(&table::OIDC_LEEWAY)?,
        cache: fill.get(&table::OIDC_CACHE)?,
        claims: claims?,
        ..OidcProviderConfig::new(&name?, idp)
    })
}

/// Tokens that are not signed name no issuer. Where the provider is asked about all, and it is
/// known where, none is needed.
fn is_optional(fill: &Filler<'_>, key: &ConfigKey) -> bool {
    key.path == table::OIDC_ISSUER.path
        && match fill.get(&table::OIDC_TOKEN_VALIDATION) {
            Some(Validation::Userinfo) => fill.given(&table::OIDC_USERINFO_ENDPOINT),
            // The assertion of a client with a key names the issuer.
            Some(Validation::Introspection) => {
                fill.given(&table::OIDC_INTROSPECTION_ENDPOINT)
                    && !fill.given(&table::OIDC_PRIVATE_KEY)
            }
            Some(Validation::Jwks | Validation::Both(_)) | None => false,
        }
}

/// Any text will do where every address is configured: ADFS and Kibana name no https URL.
fn issuer(fill: &mut Filler<'_>, endpoints: &Endpoints) -> Option<Issuer> {
    let key = &table::OIDC_ISSUER;
    if !fill.given(key) && is_optional(fill, key) {
        return Some(Issuer::absent(&fill.get::<String>(&table::OIDC_NAME)?));
    }
    let text: String = fill.get(key)?;
    let key_of = |what: &EndpointKind| match what {
        EndpointKind::Keys => &table::OIDC_JWKS_URI,
        EndpointKind::Userinfo => &table::OIDC_USERINFO_ENDPOINT,
        EndpointKind::Introspection => &table::OIDC_INTROSPECTION_ENDPOINT,
        EndpointKind::Discovery => key,
    };
    let needed = validation(fill)?.endpoints().iter();
    let missing = needed.filter(|what| endpoints.get(**what).is_none());
    let missing: Vec<String> = missing
        .map(|what| format!("`{}`", key_of(what).path))
        .collect();
    if missing.is_empty() {
        let parsed = Issuer::parse(&text)
            .ok()
            .filter(|_| text.starts_with("https://"));
        return Some(parsed.unwrap_or_else(|| Issuer::compared(&text)));
    }
    let parsed = Issuer::parse(&text).map_err(|why| {
        let way = format!(
            "{why}; it may be any text once nothing is fetched from it: set {}",
            missing.join(" and ")
        );
        fill.invalid(key, way);
    });
    parsed.ok()
}

/// elastauth 2 took ID tokens as bearer tokens. A file that was made for it has keys of a sign-in,
/// which only it had a use for.
fn id_tokens_of_before(fill: &mut Filler<'_>) {
    let of_before = [
        &table::OIDC_AUTHORIZATION_ENDPOINT,
        &table::OIDC_TOKEN_ENDPOINT,
        &table::OIDC_SCOPES,
        &table::OIDC_USE_PKCE,
    ];
    let key = of_before.into_iter().find(|key| fill.given(key));
    if let Some(key) = key
        && !fill.given(&table::OIDC_ID_TOKENS)
    {
        let warning = format!(
            "`{}` is from elastauth 2, which accepted ID tokens as bearer tokens. elastauth \
             accepts them only in the cookie `{}`: if your clients send ID tokens as bearer tokens, set \
             `oidc.id_tokens: anywhere`, otherwise `oidc.id_tokens: in_cookie`",
            key.path,
            fill.get::<String>(&table::OIDC_ID_COOKIE)
                .unwrap_or_else(|| table::OIDC_ID_COOKIE.default.to_owned())
        );
        fill.warn(key, warning);
    }
}

/// Keys in clear are a warning, as the cluster's own address is, which carries heavier secrets. A
/// secret that leaves a provider reached over TLS in clear is a fault.
fn plain_http(fill: &mut Filler<'_>, issuer: &Issuer, endpoints: &Endpoints) {
    let is_plain =
        |endpoint: &Option<IdpEndpoint>| endpoint.as_ref().is_some_and(IdpEndpoint::is_plain);
    if issuer.is_plain() {
        fill.warn(
            &table::OIDC_ISSUER,
            "the issuer is plain `http`: whoever is between elastauth and the provider can sign \
             tokens for anybody, and reads what is sent to the provider; use `https`",
        );
        return;
    }
    if is_plain(&endpoints.jwks) {
        fill.warn(
            &table::OIDC_JWKS_URI,
            "`oidc.jwks_uri` is plain `http`: whoever is between elastauth and the provider can \
             sign tokens for anybody; use `https`",
        );
    }
    for (key, endpoint) in [
        (&table::OIDC_USERINFO_ENDPOINT, &endpoints.userinfo),
        (
            &table::OIDC_INTROSPECTION_ENDPOINT,
            &endpoints.introspection,
        ),
    ] {
        if is_plain(endpoint) && !issuer.is_https() {
            let warning = format!(
                "`{}` is plain `http`: tokens and the client's secret are sent in clear; use \
                 `https`",
                key.path
            );
            fill.warn(key, warning);
        } else if is_plain(endpoint) {
            let fault = format!(
                "`{}` is plain `http` and the issuer is not: tokens and the client's secret would \
                 be sent in clear; write `https`",
                key.path
            );
            fill.fault(key, fault);
        }
    }
}

fn name(text: &str) -> Option<String> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    let fits = text.len() <= MAX_NAME_BYTES && text.bytes().all(is_allowed);
    fits.then(|| text.to_owned())
}

/// Reads a text by a rule of its own; a fault names the rule.
fn parsed<T, E: Display>(
    fill: &mut Filler<'_>,
    key: &ConfigKey,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let text: String = fill.get(key)?;
    let parsed = parse(&text).map_err(|why| fill.invalid(key, why));
    parsed.ok()
}

fn endpoint(fill: &mut Filler<'_>, key: &ConfigKey) -> Option<IdpEndpoint> {
    parsed::<_, InvalidEndpoint>(fill, key, IdpEndpoint::parse)
}

/// Headers that mean something else cannot hold a token alone.
fn token_headers(fill: &mut Filler<'_>) -> Vec<HeaderName> {
    let key = &table::OIDC_TOKEN_HEADERS;
    let names = fill.get::<Vec<HeaderName>>(key).unwrap_or_default();
    if names
        .iter()
        .any(|name| *name == AUTHORIZATION || *name == COOKIE)
    {
        fill.invalid(key, "`Authorization` and cookies are always looked at");
    }
    names
}

fn cookie(fill: &mut Filler<'_>, key: &ConfigKey) -> Option<CookieName> {
    parsed(fill, key, |text| {
        CookieName::parse(text).ok_or("it must be the name of a cookie")
    })
}

fn texts(fill: &Filler<'_>, key: &ConfigKey) -> Vec<Box<str>> {
    let texts = fill.get::<Vec<String>>(key).unwrap_or_default();
    texts.into_iter().map(Box::from).collect()
}

fn validation(fill: &Filler<'_>) -> Option<Validation> {
    let validation = fill.get(&table::OIDC_TOKEN_VALIDATION)?;
    // Introspection is only for clients that can authenticate.
    let can_introspect =
        fill.given(&table::OIDC_CLIENT_SECRET) || fill.given(&table::OIDC_PRIVATE_KEY);
    Some(match validation {
        Validation::Both(_) if can_introspect => Validation::Both(Asked::IntrospectionThenUserinfo),
        Validation::Jwks
        | Validation::Userinfo
        | Validation::Introspection
        | Validation::Both(_) => validation,
    })
}

fn authorized_parties(fill: &Filler<'_>) -> AuthorizedParties {
    let parties = texts(fill, &table::OIDC_AUTHORIZED_PARTIES);
    if parties.iter().any(|party| &**party == "*") {
        AuthorizedParties::Any
    } else if parties.is_empty() {
        AuthorizedParties::Audiences
    } else {
        AuthorizedParties::These(parties)
    }
}

fn client_auth(fill: &mut Filler<'_>) -> Option<ClientAuth> {
    let method = fill.get(&table::OIDC_CLIENT_AUTH_METHOD)?;
    let secret = fill.get::<SecretString>(&table::OIDC_CLIENT_SECRET);
    let validation = fill.get::<Validation>(&table::OIDC_TOKEN_VALIDATION)?;
    match (method, secret) {
        (ClientAuthMethod::None, _) => Some(ClientAuth::NameOnly),
        (ClientAuthMethod::PrivateKeyJwt, _) => private_key(fill).map(ClientAuth::PrivateKeyJwt),
        (ClientAuthMethod::SecretPost, Some(secret)) => Some(ClientAuth::SecretPost(secret)),
        (ClientAuthMethod::SecretBasic, Some(secret)) => Some(ClientAuth::SecretBasic(secret)),
        (ClientAuthMethod::SecretPost | ClientAuthMethod::SecretBasic, None)
            if validation == Validation::Introspection =>
        {
            fill.fault(
                &table::OIDC_TOKEN_VALIDATION,
                "`oidc.token_validation: introspection` needs `oidc.client_secret`, or another \
                 `oidc.client_auth_method`",
            );
            None
        }
        // Nothing is asked that needs it.
        (ClientAuthMethod::SecretPost | ClientAuthMethod::SecretBasic, None) => {
            Some(ClientAuth::NameOnly)
        }
    }
}

fn private_key(fill: &mut Filler<'_>) -> Option<SigningKey> {
    let key = &table::OIDC_PRIVATE_KEY;
    let Some(pem) = fill.get::<SecretString>(key) else {
        fill.fault(
            &table::OIDC_CLIENT_AUTH_METHOD,
            "`oidc.client_auth_method: private_key_jwt` needs `oidc.private_key`",
        );
        return None;
    };
    let kid = fill.get::<String>(&table::OIDC_PRIVATE_KEY_ID);
    let signing = SigningKey::parse_pem(pem.expose_secret().as_bytes(), kid.as_deref())
        .map_err(|why| fill.invalid(key, why));
    signing.ok()
}

fn claims(fill: &mut Filler<'_>) -> Option<ClaimMapping> {
    let mut path = |key: &ConfigKey| parsed(fill, key, ClaimPath::parse);
    let email = path(&table::OIDC_CLAIM_EMAIL);
    let full_name = path(&table::OIDC_CLAIM_NAME);
    let users = paths(fill, &table::OIDC_CLAIM_USERNAME);
    if users.as_ref().is_some_and(Vec::is_empty) {
        fill.invalid(
            &table::OIDC_CLAIM_USERNAME,
            "it names no claim, so nobody could be identified",
        );
    }
    let groups = paths(fill, &table::OIDC_CLAIM_GROUPS);
    let prefix = |key: &ConfigKey| fill.get::<String>(key).unwrap_or_default().into_boxed_str();
    let (username_prefix, group_prefix) = (
        prefix(&table::OIDC_USERNAME_PREFIX),
        prefix(&table::OIDC_GROUP_PREFIX),
    );
    let user_names = user_names(
        fill,
        &table::OIDC_USERNAME_CASE,
        &table::OIDC_USERNAME_PATTERN,
    );
    let users = users?;
    let email_verified_required = email_verified_required(fill, &users)?;
    Some(ClaimMapping {
        users,
        email_verified_required,
        user_names: user_names?,
        groups: groups?,
        group_member: fill.get::<String>(&table::OIDC_CLAIM_GROUP_MEMBER)?.into(),
        separator: fill.get(&table::OIDC_GROUPS_SEPARATOR),
        email: email?,
        full_name: full_name?,
        username_prefix,
        group_prefix,
    })
}

fn paths(fill: &mut Filler<'_>, key: &ConfigKey) -> Option<Vec<ClaimPath>> {
    let texts = fill.get::<Vec<String>>(key)?;
    let paths = texts.iter().map(|text| {
        let path = ClaimPath::parse(text);
        path.map_err(|why| fill.invalid(key, why)).ok()
    });
    all(paths)
}

/// Files of before this key must still start: what it refuses is told as a warning.
fn email_verified_required(fill: &mut Filler<'_>, users: &[ClaimPath]) -> Option<bool> {
    let key = &table::OIDC_EMAIL_VERIFIED_REQUIRED;
    if users.iter().any(ClaimPath::is_mail) && !fill.given(key) {
        fill.warn(
            &table::OIDC_CLAIM_USERNAME,
            "`oidc.claim_mappings.username` is a mail address: tokens without `email_verified` \
             are refused; set `oidc.email_verified_required: false` only if the provider verifies \
             every address itself, or `true` to keep it so",
        );
    }
    fill.get(key)
}

fn http(fill: &mut Filler<'_>, proxy: &OutboundProxy) -> Option<client::Config> {
    let tls = tls::ClientConfig {
        ca_cert: fill.get(&table::OIDC_TLS_CA),
        identity: fill.identity_files(&table::OIDC_TLS_CERT, &table::OIDC_TLS_KEY),
        ..tls::ClientConfig::default()
    };
    let mut headers = HeaderMap::new();
    let key = &table::OIDC_CUSTOM_HEADERS;
    let pairs = fill.get::<Vec<(String, SecretString)>>(key);
    for (name, value) in pairs.unwrap_or_default() {
        let name = name.parse::<HeaderName>();
        let value = HeaderValue::from_str(value.expose_secret());
        if let (Ok(name), Ok(mut value)) = (name, value) {
            value.set_sensitive(true);
            headers.append(name, value);
        } else {
            fill.fault(
                key,
                "`oidc.custom_headers` has a name or a value that cannot be in a header",
            );
        }
    }
    Some(client::Config {
        tls,
        headers,
        proxy: proxy.clone().ok()?,
    })
}
