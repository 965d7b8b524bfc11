//! The providers.

use super::{Findings, Settings, oidc};
use crate::{
    config::table,
    identity::{Config, ProviderConfig, headers},
};
use http::{HeaderName, header};

pub(super) fn fill(settings: &Settings, findings: &mut Findings) -> Option<Config> {
    let place = settings.place(&table::AUTH_PROVIDER);
    let headers = headers(settings, findings);
    let oidc = if settings.says(&table::AUTH_PROVIDER, "oidc") {
        oidc::fill(settings, findings)
    } else {
        None
    };
    let names: Vec<&str> = settings.get(&table::AUTH_PROVIDER)?;
    if names.is_empty() {
        findings.fault(
            &place,
            "`auth_provider` is an empty list: nobody could be known; name a provider",
        );
    }
    if (1..names.len()).any(|at| {
        names
            .get(..at)
            .is_some_and(|before| names.get(at).is_some_and(|name| before.contains(name)))
    }) {
        findings.fault(&place, "`auth_provider` names a provider twice");
    }
    let providers: Option<Vec<ProviderConfig>> = names
        .iter()
        .map(|name| match *name {
            "authelia" => headers.clone().map(ProviderConfig::Headers),
            "oidc" => oidc.clone().map(ProviderConfig::Oidc),
            // The kind of the key refuses every other word.
            _ => None,
        })
        .collect();
    Some(Config {
        providers: providers?,
    })
}

fn headers(settings: &Settings, findings: &mut Findings) -> Option<headers::Config> {
    let keys = [
        &table::AUTHELIA_USERNAME,
        &table::AUTHELIA_GROUPS,
        &table::AUTHELIA_EMAIL,
        &table::AUTHELIA_NAME,
    ];
    let names = keys.map(|key| settings.get::<HeaderName>(key));
    for (at, (key, name)) in keys.iter().zip(&names).enumerate() {
        let Some(name) = name else { continue };
        let earlier = keys
            .iter()
            .zip(&names)
            .take(at)
            .find(|(_, other)| other.as_ref() == Some(name));
        if let Some((other, _)) = earlier {
            let place = settings.place(if settings.given(key) { key } else { other });
            findings.fault(
                &place,
                format!("`{}` and `{}` name the same header", key.path, other.path),
            );
        }
        if [
            header::AUTHORIZATION,
            header::COOKIE,
            header::HOST,
            crate::net::trust::KEY_HEADER,
        ]
        .contains(name)
        {
            findings.fault(
                &settings.place(key),
                format!(
                    "`{}` names a header that has a meaning of its own",
                    key.path
                ),
            );
        }
    }
    let unmapped = settings.get::<&str>(&table::DEFAULT_ROLES_APPLY)? == "unmapped";
    let required: bool = settings.get(&table::AUTHELIA_GROUPS_REQUIRED)?;
    if unmapped && !required && settings.given(&table::AUTHELIA_GROUPS_REQUIRED) {
        findings.fault(
            &settings.place(&table::AUTHELIA_GROUPS_REQUIRED),
            "`authelia.groups_required: false` cannot stand beside `default_roles_apply: unmapped`: a client that makes its groups vanish would get the default roles",
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
