//! The providers.

use super::{filler::Filler, oidc, user_names::user_names};
use crate::{
    config::{
        choice::AuthProvider,
        key::ConfigKey,
        settings::Settings,
        table,
        value_type::{SectionsOf, all},
    },
    identity::{Config, ProviderConfig, group_list::Separator, headers},
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
    let users = fill.get::<Vec<HeaderName>>(&table::AUTHELIA_USERNAME);
    if users.as_ref().is_some_and(Vec::is_empty) {
        fill.fault(
            &table::AUTHELIA_USERNAME,
            "`authelia.header_username` names no header, so nobody could be identified",
        );
    }
    let others = [
        &table::AUTHELIA_GROUPS,
        &table::AUTHELIA_EMAIL,
        &table::AUTHELIA_NAME,
    ];
    let [groups, email, name] = others.map(|key| fill.get::<HeaderName>(key));
    let named = users.iter().flatten();
    let named = named.map(|name| (&table::AUTHELIA_USERNAME, name));
    let others = others.into_iter().zip([&groups, &email, &name]);
    let others = others.filter_map(|(key, name)| Some((key, name.as_ref()?)));
    let all_named: Vec<(&ConfigKey, &HeaderName)> = named.chain(others).collect();
    for (at, (key, name)) in all_named.iter().enumerate() {
        let mut earlier = all_named.iter().take(at);
        if let Some((other, _)) = earlier.find(|(_, other)| other == name) {
            let given = if fill.given(key) { key } else { other };
            let fault = format!("`{}` and `{}` name the same header", key.path, other.path);
            fill.fault(given, fault);
        }
        if RESERVED.contains(name) {
            let fault = format!("`{}` names a header that has another meaning", key.path);
            fill.fault(key, fault);
        }
    }
    let separator = fill.get(&table::AUTHELIA_GROUPS_SEPARATOR);
    if let (None, Some(groups)) = (separator, &groups) {
        usual_separator(fill, groups);
    }
    let is_unmapped = |settings: &Settings| {
        settings.get(&table::DEFAULT_ROLES_APPLY) == Some(DefaultRolesApply::Unmapped)
    };
    let clusters = fill.settings.sections(SectionsOf::Clusters);
    let unmapped = is_unmapped(fill.settings) || clusters.iter().any(is_unmapped);
    let required: bool = fill.get(&table::AUTHELIA_GROUPS_REQUIRED)?;
    if unmapped && !required && fill.given(&table::AUTHELIA_GROUPS_REQUIRED) {
        fill.fault(
            &table::AUTHELIA_GROUPS_REQUIRED,
            "`authelia.groups_required: false` does not go with `default_roles_apply: unmapped`: a \
             client that suppresses its groups would get the default roles; remove one of them",
        );
    }
    Some(headers::Config {
        users: users?,
        groups: groups?,
        separator: separator.unwrap_or_default(),
        email: email?,
        name: name?,
        user_names: user_names(
            fill,
            &table::AUTHELIA_USERNAME_CASE,
            &table::AUTHELIA_USERNAME_PATTERN,
        )?,
        groups_required: required || unmapped,
    })
}

/// Warns where the name of the groups header belongs to a program that does not separate them by
/// commas.
fn usual_separator(fill: &mut Filler<'_>, groups: &HeaderName) {
    const USUAL: [(&str, &str, &str, Separator); 2] = [
        ("x-authentik-groups", "authentik", "\"|\"", Separator::Pipe),
        (
            "x-token-user-roles",
            "caddy-security",
            "space",
            Separator::Space,
        ),
    ];
    let usual = USUAL.iter().find(|(name, ..)| groups == *name);
    if let Some((_, program, text, separator)) = usual {
        let warning = format!(
            "{program} separates the groups in this header by {:?}, and elastauth expects a comma: \
             set `authelia.groups_separator: {text}`",
            separator.char()
        );
        fill.warn(&table::AUTHELIA_GROUPS, warning);
    }
}
