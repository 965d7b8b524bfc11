//! The token provider.

use super::{Findings, OutboundProxy, Settings, identity_files, outbound_proxy};
use crate::{
    config::{key::Key, section, table},
    identity::oidc::{
        Asked, AuthorizedParties, Config, CookieName, IdTokens, InvalidProviders, ProviderConfig,
        Validation,
        claims::{ClaimPath, Mapping},
    },
    idp::{self, Algorithm, ClientAuth, Endpoint, InvalidEndpoint, Issuer, Overrides, SigningKey},
    net::{client, tls},
    secret::{ExposeSecret as _, SecretString},
};
use http::{HeaderMap, HeaderName, HeaderValue};

/// The longest name of a provider: it stands in lines of the log and in the metadata of users.
const MOST_NAME_BYTES: usize = 64;

pub(super) fn fill(settings: &Settings, findings: &mut Findings) -> Option<Config> {
    let several = settings.given(&table::OIDC_PROVIDERS);
    let outbound_proxy = outbound_proxy(settings, findings);
    let providers = if several {
        in_sections(settings, &outbound_proxy, findings)
    } else {
        the_one(settings, &outbound_proxy, findings).map(|one| vec![one])
    };
    let access_token_cookie = cookie(settings, &table::OIDC_ACCESS_COOKIE, findings);
    let id_token_cookie = cookie(settings, &table::OIDC_ID_COOKIE, findings);
    match Config::new(providers?) {
        Ok(config) => Some(Config {
            access_token_cookie,
            id_token_cookie,
            ..config
        }),
        Err(error) => {
            let key = match (several, error) {
                (true, _) => &table::OIDC_PROVIDERS,
                (false, InvalidProviders::NoAlgorithm) => &table::OIDC_ALGORITHMS,
                (false, _) => &table::OIDC_NAME,
            };
            findings.fault(&settings.place(key), format!("`{}`: {error}", key.path));
            None
        }
    }
}

fn the_one(
    settings: &Settings,
    outbound_proxy: &OutboundProxy,
    findings: &mut Findings,
) -> Option<ProviderConfig> {
    for key in [&table::OIDC_ISSUER, &table::OIDC_CLIENT_ID] {
        if !settings.given(key) {
            findings.fault(
                &settings.place(&table::AUTH_PROVIDER),
                format!("`auth_provider: oidc` needs `{}`", key.path),
            );
        }
    }
    provider(settings, outbound_proxy, findings)
}

fn in_sections(
    settings: &Settings,
    outbound_proxy: &OutboundProxy,
    findings: &mut Findings,
) -> Option<Vec<ProviderConfig>> {
    for key in section::of_one_provider().filter(|key| settings.given(key)) {
        findings.fault(
            &settings.place(key),
            format!(
                "`{}` stands beside `oidc.providers`, where each provider has its own",
                key.path
            ),
        );
    }
    let sections = settings.providers();
    if sections.is_empty() {
        findings.fault(
            &settings.place(&table::OIDC_PROVIDERS),
            "`oidc.providers` names no provider",
        );
    }
    let filled: Vec<Option<ProviderConfig>> = sections
        .iter()
        .map(|own| {
            for key in [
                &table::OIDC_NAME,
                &table::OIDC_ISSUER,
                &table::OIDC_CLIENT_ID,
            ] {
                if !own.given(key) {
                    findings.fault(
                        own.home(),
                        format!(
                            "a provider of `oidc.providers` needs `{}`",
                            section::name(key)
                        ),
                    );
                }
            }
            provider(own, outbound_proxy, findings)
        })
        .collect();
    // All of them were looked at: every fault is told.
    let providers = filled.into_iter().collect::<Option<Vec<_>>>()?;
    if providers
        .iter()
        .filter(|one| {
            matches!(
                one.validation,
                Validation::Userinfo | Validation::Introspection
            )
        })
        .count()
        > 1
    {
        findings.warn(
            &settings.place(&table::OIDC_PROVIDERS),
            "several providers are asked about tokens: those that are not signed are refused, because they do not say whose they are",
        );
    }
    Some(providers)
}

fn provider(
    settings: &Settings,
    outbound_proxy: &OutboundProxy,
    findings: &mut Findings,
) -> Option<ProviderConfig> {
    let name = read(settings, &table::OIDC_NAME, findings, |text| {
        name(text).ok_or("it must be 1 to 64 letters, digits, `.`, `_` and `-`")
    });
    let client_auth = client_auth(settings, findings);
    let endpoints = Overrides {
        jwks: endpoint(settings, &table::OIDC_JWKS_URI, findings),
        userinfo: endpoint(settings, &table::OIDC_USERINFO_ENDPOINT, findings),
        introspection: endpoint(settings, &table::OIDC_INTROSPECTION_ENDPOINT, findings),
    };
    let http = http(settings, outbound_proxy, findings);
    let claims = claims(settings, findings);
    let issuer = read(settings, &table::OIDC_ISSUER, findings, Issuer::parse);
    let mut idp = idp::Config::new(
        issuer?,
        &settings.get::<String>(&table::OIDC_CLIENT_ID)?,
        client_auth?,
    );
    idp.endpoints = endpoints;
    idp.http = http?;
    Some(ProviderConfig {
        validation: validation(settings)?,
        audiences: texts(settings, &table::OIDC_AUDIENCES),
        authorized_parties: authorized_parties(settings),
        id_tokens: match settings.get::<&str>(&table::OIDC_ID_TOKENS)? {
            "never" => IdTokens::Never,
            "anywhere" => IdTokens::Anywhere,
            _ => IdTokens::InCookie,
        },
        require_at_jwt: settings.get(&table::OIDC_REQUIRE_AT_JWT)?,
        algorithms: algorithms(settings),
        leeway: settings.get(&table::OIDC_LEEWAY)?,
        cache: settings.get(&table::OIDC_CACHE)?,
        claims: claims?,
        ..ProviderConfig::new(&name?, idp)
    })
}

fn name(text: &str) -> Option<String> {
    let fits = text.len() <= MOST_NAME_BYTES
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"._-".contains(&byte));
    fits.then(|| text.to_owned())
}

/// Reads a text by a rule of its own; a fault names the rule.
fn read<T, E: std::fmt::Display>(
    settings: &Settings,
    key: &Key,
    findings: &mut Findings,
    parse: impl FnOnce(&str) -> Result<T, E>,
) -> Option<T> {
    let text: String = settings.get(key)?;
    match parse(&text) {
        Ok(value) => Some(value),
        Err(why) => {
            findings.fault(&settings.place(key), format!("`{}`: {why}", key.path));
            None
        }
    }
}

fn endpoint(settings: &Settings, key: &Key, findings: &mut Findings) -> Option<Endpoint> {
    read::<_, InvalidEndpoint>(settings, key, findings, Endpoint::parse)
}

fn cookie(settings: &Settings, key: &Key, findings: &mut Findings) -> Option<CookieName> {
    read(settings, key, findings, |text| {
        CookieName::parse(text).ok_or("it must be the name of a cookie")
    })
}

fn texts(settings: &Settings, key: &Key) -> Vec<Box<str>> {
    settings
        .get::<Vec<String>>(key)
        .unwrap_or_default()
        .into_iter()
        .map(Box::from)
        .collect()
}

fn validation(settings: &Settings) -> Option<Validation> {
    Some(match settings.get::<&str>(&table::OIDC_TOKEN_VALIDATION)? {
        "userinfo" => Validation::Userinfo,
        "introspection" => Validation::Introspection,
        // What can be asked about a token depends on what the issuer would let us ask.
        "both"
            if settings.given(&table::OIDC_CLIENT_SECRET)
                || settings.given(&table::OIDC_PRIVATE_KEY) =>
        {
            Validation::Both(Asked::IntrospectionThenUserinfo)
        }
        "both" => Validation::Both(Asked::Userinfo),
        _ => Validation::Jwks,
    })
}

fn authorized_parties(settings: &Settings) -> AuthorizedParties {
    let parties = texts(settings, &table::OIDC_AUTHORIZED_PARTIES);
    if parties.iter().any(|party| &**party == "*") {
        AuthorizedParties::Any
    } else if parties.is_empty() {
        AuthorizedParties::Audiences
    } else {
        AuthorizedParties::These(parties)
    }
}

fn algorithms(settings: &Settings) -> Vec<Algorithm> {
    let names = settings
        .get::<Vec<&str>>(&table::OIDC_ALGORITHMS)
        .unwrap_or_default();
    names.into_iter().filter_map(Algorithm::parse).collect()
}

fn client_auth(settings: &Settings, findings: &mut Findings) -> Option<ClientAuth> {
    let method = settings.get::<&str>(&table::OIDC_CLIENT_AUTH_METHOD)?;
    let secret = settings.get::<SecretString>(&table::OIDC_CLIENT_SECRET);
    let asks = settings.get::<&str>(&table::OIDC_TOKEN_VALIDATION)? == "introspection";
    match (method, secret) {
        ("none", _) => Some(ClientAuth::NameOnly),
        ("private_key_jwt", _) => {
            let key = &table::OIDC_PRIVATE_KEY;
            let Some(pem) = settings.get::<SecretString>(key) else {
                findings.fault(
                    &settings.place(&table::OIDC_CLIENT_AUTH_METHOD),
                    "`oidc.client_auth_method: private_key_jwt` needs `oidc.private_key`",
                );
                return None;
            };
            let kid = settings.get::<String>(&table::OIDC_PRIVATE_KEY_ID);
            match SigningKey::parse_pem(pem.expose_secret().as_bytes(), kid.as_deref()) {
                Ok(signing) => Some(ClientAuth::PrivateKeyJwt(signing)),
                Err(why) => {
                    findings.fault(&settings.place(key), format!("`{}`: {why}", key.path));
                    None
                }
            }
        }
        ("client_secret_post", Some(secret)) => Some(ClientAuth::SecretPost(secret)),
        (_, Some(secret)) => Some(ClientAuth::SecretBasic(secret)),
        (_, None) if asks => {
            findings.fault(
                &settings.place(&table::OIDC_TOKEN_VALIDATION),
                "`oidc.token_validation: introspection` needs `oidc.client_secret`, or another `oidc.client_auth_method`",
            );
            None
        }
        // Nothing is asked that would need it.
        (_, None) => Some(ClientAuth::NameOnly),
    }
}

fn claims(settings: &Settings, findings: &mut Findings) -> Option<Mapping> {
    let mut path = |key: &Key| read(settings, key, findings, ClaimPath::parse);
    let (user, email, full_name) = (
        path(&table::OIDC_CLAIM_USERNAME),
        path(&table::OIDC_CLAIM_EMAIL),
        path(&table::OIDC_CLAIM_NAME),
    );
    let groups: Vec<Option<ClaimPath>> = settings
        .get::<Vec<String>>(&table::OIDC_CLAIM_GROUPS)?
        .iter()
        .map(|text| match ClaimPath::parse(text) {
            Ok(path) => Some(path),
            Err(why) => {
                findings.fault(
                    &settings.place(&table::OIDC_CLAIM_GROUPS),
                    format!("`{}`: {why}", table::OIDC_CLAIM_GROUPS.path),
                );
                None
            }
        })
        .collect();
    let prefix = |key: &Key| {
        settings
            .get::<String>(key)
            .unwrap_or_default()
            .into_boxed_str()
    };
    Some(Mapping {
        user: user?,
        groups: groups.into_iter().collect::<Option<_>>()?,
        group_member: settings
            .get::<String>(&table::OIDC_CLAIM_GROUP_MEMBER)
            .map(Box::from),
        email: email?,
        full_name: full_name?,
        username_prefix: prefix(&table::OIDC_USERNAME_PREFIX),
        group_prefix: prefix(&table::OIDC_GROUP_PREFIX),
    })
}

fn http(
    settings: &Settings,
    outbound_proxy: &OutboundProxy,
    findings: &mut Findings,
) -> Option<client::Config> {
    let identity = identity_files(
        settings,
        &table::OIDC_TLS_CERT,
        &table::OIDC_TLS_KEY,
        findings,
    );
    let tls = tls::ClientConfig {
        ca_cert: settings.get(&table::OIDC_TLS_CA),
        identity,
        danger_skip_verify: false,
    };
    let mut headers = HeaderMap::new();
    for (name, value) in settings
        .get::<Vec<(String, SecretString)>>(&table::OIDC_CUSTOM_HEADERS)
        .unwrap_or_default()
    {
        match (
            name.parse::<HeaderName>(),
            HeaderValue::from_str(value.expose_secret()),
        ) {
            (Ok(name), Ok(mut value)) => {
                value.set_sensitive(true);
                headers.append(name, value);
            }
            _ => findings.fault(
                &settings.place(&table::OIDC_CUSTOM_HEADERS),
                "`oidc.custom_headers` has a name or a value that cannot be in a header",
            ),
        }
    }
    let proxy = outbound_proxy.clone().ok()?;
    Some(client::Config {
        tls,
        headers,
        proxy,
    })
}
