//! How users, groups and mappings are read.

use super::*;
use crate::identity::{group_list::Separator, oidc::OidcProviderConfig, user_name::UserNameCase};

fn headers(config: &Config) -> &crate::identity::headers::Config {
    let ProviderConfig::Headers(headers) = &config.identity.providers[0] else {
        panic!("headers")
    };
    headers
}

fn issuer(config: &Config) -> &OidcProviderConfig {
    let ProviderConfig::Oidc(oidc) = &config.identity.providers[0] else {
        panic!("oidc")
    };
    &oidc.providers[0]
}

#[test]
fn several_headers_may_name_the_user_and_one_is_shown_as_before() {
    let config = good(
        &least_and("authelia: {header_username: [X-Upn, Remote-User]}\n"),
        &[],
    );
    assert_eq!(headers(&config).users, ["x-upn", "remote-user"]);
    assert_eq!(
        config.shown["authelia"]["header_username"],
        serde_json::json!(["X-Upn", "Remote-User"])
    );
    let config = good(
        LEAST,
        &[("ELASTAUTH_AUTHELIA_HEADER_USERNAME", "X-Upn, Remote-User")],
    );
    assert_eq!(headers(&config).users, ["x-upn", "remote-user"]);
    let one = good(&least_and("authelia: {header_username: [X-Upn]}\n"), &[]);
    assert_eq!(one.shown["authelia"]["header_username"], "X-Upn");
    for bad in [
        "[X-Upn, x-upn]",
        "[Remote-Groups]",
        "[Cookie]",
        "[]",
        "[\"a b\"]",
    ] {
        let faults = faults(&least_and(&format!(
            "authelia: {{header_username: {bad}}}\n"
        )));
        assert!(
            faults.iter().any(|fault| fault.contains("header_username")),
            "{bad}: {faults:?}"
        );
    }
}

#[test]
fn separators_patterns_and_cases_are_read() {
    let config = good(
        &least_and(
            "authelia: {groups_separator: \"|\", username_case: lower, \
             username_pattern: 'CORP\\\\(.+)'}\n",
        ),
        &[],
    );
    let own = headers(&config);
    assert_eq!(
        (
            own.separator,
            own.user_names.case,
            own.user_names.pattern.is_some()
        ),
        (Separator::Pipe, UserNameCase::Lower, true)
    );
    let config = good(
        &least_and(
            "auth_provider: oidc\noidc: {issuer: \"https://idp.test\", client_id: a, \
             groups_separator: space, claim_mappings: {username: [upn, email], \
             groups: \"https://app.test/roles\"}}\n",
        ),
        &[],
    );
    let claims = &issuer(&config).claims;
    assert_eq!(claims.separator, Some(Separator::Space));
    assert_eq!((claims.users.len(), claims.groups.len()), (2, 1));
    for (bad, words) in [
        ("username_pattern: \"(a)(b)\"", "exactly one group"),
        ("username_pattern: \"(a\"", "not a regular expression"),
        ("username_case: upper", "`keep` or `lower`"),
        ("groups_separator: \"-\"", "`,` or `|` or `;` or `space`"),
    ] {
        let faults = faults(&least_and(&format!("authelia: {{{bad}}}\n")));
        assert!(
            faults.iter().any(|fault| fault.contains(words)),
            "{bad}: {faults:?}"
        );
    }
}

#[test]
fn a_separator_that_the_headers_name_suggests_is_a_warning() {
    let of = |more: &str| warnings(&least_and(&format!("authelia: {{{more}}}\n")), &[]);
    let authentik = of("header_groups: X-authentik-groups");
    assert!(
        authentik[0].contains("authelia.groups_separator: \"|\""),
        "{authentik:?}"
    );
    let caddy = of("header_groups: X-Token-User-Roles");
    assert!(
        caddy[0].contains("authelia.groups_separator: space"),
        "{caddy:?}"
    );
    for none in [
        "header_groups: X-Forwarded-Groups",
        "header_groups: X-authentik-groups, groups_separator: \"|\"",
        "header_groups: X-authentik-groups, groups_separator: \",\"",
    ] {
        assert_eq!(of(none), Vec::<String>::new(), "{none}");
    }
}

#[test]
fn mappings_of_users_come_from_files_sections_and_the_environment() {
    let file = least_and(
        "user_mappings: {Alice: [editor], \"svc-*\": [\"service-{1}\"]}\nauth_provider: oidc\n\
         oidc: {providers: [{name: a, issuer: \"https://idp.test\", client_id: a, \
         user_mappings: {bob: [viewer]}}]}\n",
    );
    let config = good(&file, &[("ELASTAUTH_USER_MAPPINGS_CAROL", "viewer")]);
    let names = |rules: &crate::roles::Config| {
        let names = rules.user_mappings.iter();
        let mut names: Vec<_> = names.map(|(name, _)| name.as_str().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(
        names(&config.clusters[0].roles),
        ["Alice", "carol", "svc-*"]
    );
    assert_eq!(names(&config.clusters[0].roles.by_provider["a"]), ["bob"]);
}

#[test]
fn a_mapping_that_no_wildcard_can_fill_is_a_fault_and_one_that_gives_too_much_a_warning() {
    for key in ["group_mappings", "user_mappings"] {
        let texts = faults(&least_and(&format!("{key}: {{\"a-*\": [\"x-{{2}}\"]}}\n")));
        assert!(
            texts[0].contains(key) && texts[0].contains("`{2}` stands for wildcard 2"),
            "{texts:?}"
        );
        // Below an exact name the same text is the name of a role.
        good(&least_and(&format!("{key}: {{a: [\"x-{{2}}\"]}}\n")), &[]);
        for (roles, words) in [
            ("superuser", "makes superusers"),
            ("\"{1}\"", "any name a role"),
        ] {
            let texts = warnings(&least_and(&format!("{key}: {{\"*\": [{roles}]}}\n")), &[]);
            assert!(
                texts.iter().any(|text| text.contains(words)),
                "{key} {roles}: {texts:?}"
            );
        }
    }
}

#[test]
fn a_configuration_of_elastauth_2_is_told_about_id_tokens() {
    let with = |more: &str| {
        let oidc = "issuer: \"https://idp.test\", client_id: a";
        warnings(
            &least_and(&format!("auth_provider: oidc\noidc: {{{oidc}{more}}}\n")),
            &[],
        )
    };
    let told = |texts: &[String]| {
        texts
            .iter()
            .any(|text| text.contains("oidc.id_tokens: anywhere"))
    };
    assert!(!told(&with("")));
    for key in [
        "token_endpoint: \"https://idp.test/token\"",
        "scopes: [openid]",
        "use_pkce: true",
    ] {
        assert!(told(&with(&format!(", {key}"))), "{key}");
        assert!(
            !told(&with(&format!(", {key}, id_tokens: in_cookie"))),
            "{key}"
        );
    }
}
