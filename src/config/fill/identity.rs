//! The providers.

use super::{filler::Filler, oidc};
use crate::{
    config::{choice::AuthProvider, table, value_type::all},
    identity::{Config, ProviderConfig, headers},
    net::trust,
    roles::DefaultRolesApply,
};
use http::{HeaderName, header};

pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Config> {
    let key = &table::AUTH_PROVIDER;
    let headers = headers(fill);
    let oidc = if fill.settings.names(key, AuthProvider::Oidc) {
        oidc::fill(fill)
    } else {
        None
    };
    let names: Vec<AuthProvider> = fill.get(key)?;
    if names.is_empty() {
        fill.fault(
            key,
            "`auth_provider` is an empty list, so nobody could be identified; name a provider",
        );
    }
    let mut seen = Vec::new();
    let providers = names.into_iter().map(|name| {
        if seen.contains(&name) {
            fill.fault(key, "`auth_provider` names a provider twice");
        }
        seen.push(name);
        match name {
            AuthProvider::Headers => headers.clone().map(ProviderConfig::Headers),
            AuthProvider::Oidc => oidc.clone().map(ProviderConfig::Oidc),
        }
    });
    Some(Config {
        providers: all(providers)?,
    })
}

fn headers(fill: &mut Filler<'_>) -> Option<headers::Config> {
    const RESERVED: [HeaderName; 4] = [
        header::AUTHORIZATION,
        header::COOKIE,
        header::HOST,
        trust::KEY_HEADER,
    ];
    let keys = [
        &table::AUTHELIA_USERNAME,
        &table::AUTHELIA_GROUPS,
        &table::AUTHELIA_EMAIL,
        &table::AUTHELIA_NAME,
    ];
    let names = keys.map(|key| fill.get::<HeaderName>(key));
    for (at, (key, name)) in keys.into_iter().zip(&names).enumerate() {
        let Some(name) = name else { continue };
        let mut earlier = keys.into_iter().zip(&names).take(at);
        if let Some((other, _)) = earlier.find(|(_, other)| other.as_ref() == Some(name)) {
            let given = if fill.given(key) { key } else { other };
            let fault = format!("`{}` and `{}` name the same header", key.path, other.path);
            fill.fault(given, fault);
        }
        if RESERVED.contains(name) {
            let fault = format!("`{}` names a header that has another meaning", key.path);
            fill.fault(key, fault);
        }
    }
    let unmapped = fill.get(&table::DEFAULT_ROLES_APPLY) == Some(DefaultRolesApply::Unmapped);
    let required: bool = fill.get(&table::AUTHELIA_GROUPS_REQUIRED)?;
    if unmapped && !required && fill.given(&table::AUTHELIA_GROUPS_REQUIRED) {
        fill.fault(
            &table::AUTHELIA_GROUPS_REQUIRED,
            "`authelia.groups_required: false` does not go with `default_roles_apply: unmapped`: a \
             client that suppresses its groups would get the default roles; remove one of them",
        );
    }
    let [user, groups, email, name] = names;
    Some(headers::Config {
        user: user?,
        groups: groups?,
        email: email?,
        name: name?,
        groups_required: required || unmapped,
    })
}
