//! Several providers of tokens.

use super::*;
use crate::{
    identity::oidc::{self, Validation},
    model::Role,
};

const TWO: &str = "auth_provider: [oidc, authelia]
oidc:
  access_token_cookie: kibana
  providers:
    - name: staff
      issuer: https://sso.example.org/realms/main
      client_id: elastauth
      claim_mappings: {groups: realm_access.roles}
    - Name: partners
      issuer: https://partner.example
      client_id: ours
      client_secret: ${SECRET:-s}
      token_validation: introspection
      username_prefix: partner-
      group_mappings: {admins: [viewer]}
";

fn providers(config: &Config) -> &oidc::Config {
    let found = config
        .identity
        .providers
        .iter()
        .find_map(|provider| match provider {
            ProviderConfig::Oidc(oidc) => Some(oidc),
            ProviderConfig::Headers(_) => None,
        });
    found.unwrap()
}

#[test]
fn each_section_is_a_provider_with_keys_and_rules_of_its_own() {
    let config = good(&least_and(TWO), &[]);
    let [staff, partners] = providers(&config).providers.as_slice() else {
        panic!("two")
    };
    assert_eq!(
        (&*staff.name, staff.idp.issuer.as_str(), staff.validation),
        (
            "staff",
            "https://sso.example.org/realms/main",
            Validation::Jwks
        )
    );
    assert_eq!(
        (
            &*partners.name,
            &*partners.idp.client_id,
            partners.validation
        ),
        ("partners", "ours", Validation::Introspection)
    );
    assert_eq!(
        (&*partners.claims.username_prefix, partners.leeway),
        ("partner-", Duration::from_secs(30)),
        "defaults are those of `oidc`"
    );
    let names: Vec<&str> = config.clusters[0]
        .roles
        .by_provider
        .keys()
        .map(|name| &**name)
        .collect();
    assert_eq!(names, ["partners"], "the other one has the general rules");
    let own = &config.clusters[0].roles.by_provider["partners"];
    assert_eq!(
        (
            own.default_roles.as_slice(),
            own.group_mappings[0].1.as_slice()
        ),
        (&[][..], &[Role::parse("viewer").unwrap()][..])
    );
    let shown = &config.shown["oidc"]["providers"];
    assert_eq!(
        (
            &shown[1]["client_secret"],
            &shown[1]["Name"],
            &shown[0]["name"]
        ),
        (&"***".into(), &serde_json::Value::Null, &"staff".into())
    );
    assert!(
        !effective(&sources(&least_and(TWO), &[("SECRET", "hidden")]))
            .iter()
            .any(|setting| format!("{setting:?}").contains("hidden"))
    );
    assert_eq!(warnings(&least_and(TWO), &[]), Vec::<String>::new());
}

#[test]
fn variables_make_a_list_of_their_own() {
    let key = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(key.path(), "from-a-file\n").unwrap();
    let variables = [
        ("ELASTAUTH_AUTH_PROVIDER", "oidc"),
        ("ELASTAUTH_OIDC_PROVIDERS_0_NAME", "staff"),
        (
            "ELASTAUTH_OIDC_PROVIDERS_0_ISSUER",
            "https://sso.example.org",
        ),
        ("ELASTAUTH_OIDC_PROVIDERS_0_CLIENT_ID", "elastauth"),
        ("ELASTAUTH_OIDC_PROVIDERS_1_NAME", "partners"),
        (
            "ELASTAUTH_OIDC_PROVIDERS_1_ISSUER",
            "https://partner.example",
        ),
        ("ELASTAUTH_OIDC_PROVIDERS_1_CLIENT_ID", "elastauth"),
        (
            "ELASTAUTH_OIDC_PROVIDERS_1_CLIENT_SECRET_FILE",
            key.path().to_str().unwrap(),
        ),
        (
            "ELASTAUTH_OIDC_PROVIDERS_1_TOKEN_VALIDATION",
            "introspection",
        ),
        ("ELASTAUTH_OIDC_PROVIDERS_1_AUDIENCES_0", "one"),
        ("ELASTAUTH_OIDC_PROVIDERS_1_CLAIM_MAPPINGS_GROUPS", "a,b"),
        (
            "ELASTAUTH_OIDC_PROVIDERS_1_GROUP_MAPPINGS_ADMINS",
            "viewer,editor",
        ),
    ];
    let config = good(LEAST, &variables);
    let [_, partners] = providers(&config).providers.as_slice() else {
        panic!("two")
    };
    assert_eq!(
        (partners.audiences.as_slice(), partners.claims.groups.len()),
        (&["one".into()][..], 2)
    );
    assert_eq!(
        config.clusters[0].roles.by_provider["partners"].group_mappings[0]
            .1
            .len(),
        2
    );
    let texts = warnings(LEAST, &[("ELASTAUTH_OIDC_PROVIDERS_0_ISUER", "x")]);
    assert!(
        texts
            .iter()
            .any(|warning| warning.contains("did you mean `ELASTAUTH_OIDC_PROVIDERS_0_ISSUER`?")),
        "{texts:#?}"
    );
}

#[test]
fn what_would_let_two_providers_be_taken_for_each_other_is_a_fault() {
    for (was, is, place, words) in [
        ("name: staff", "name: partners", "8:5", "the same name"),
        ("name: staff", "name: authelia", "8:5", "identity headers"),
        ("name: staff", "name: \"a b\"", "8:", "1 to 64 letters"),
        ("name: staff\n      ", "", "8:7", "needs `name`"),
        (
            "https://sso.example.org/realms/main",
            "https://partner.example",
            "8:5",
            "the same issuer",
        ),
        (
            "https://sso.example.org/realms/main",
            "ldap://sso.example.org",
            "9:15",
            "https",
        ),
        (
            "client_id: ours\n",
            "client_idd: ours\n",
            "14:",
            "did you mean `client_id`",
        ),
        ("client_id: ours\n", "x: 1\n", "12:7", "needs `client_id`"),
        (
            "claim_mappings: {groups: realm_access.roles}",
            "token_validation: both",
            "8:5",
            "only one may take such tokens",
        ),
        (
            "access_token_cookie: kibana",
            "issuer: https://third.example",
            "6:11",
            "and `oidc.providers` are both set",
        ),
        (
            "username_prefix: partner-",
            "access_token_cookie: x",
            "17:7",
            "is not a key",
        ),
        (
            "username_prefix: partner-",
            "leeway: soon",
            "17:15",
            "a duration",
        ),
        ("{admins: [viewer]}", "{admins: []}", "18:24", "to no role"),
        (
            "- name: staff",
            "- nothing\n    - name: staff",
            "8:7",
            "instead of a section",
        ),
    ] {
        assert!(TWO.contains(was), "{was}");
        let texts = faults(&least_and(&TWO.replace(was, is)));
        let place = format!("config.yml:{place}");
        assert!(
            texts
                .iter()
                .any(|fault| fault.starts_with(&place) && fault.contains(words)),
            "{is}: {texts:#?}"
        );
        assert_eq!(
            texts.iter().filter(|fault| fault.contains(words)).count(),
            1,
            "{is}: texts once: {texts:#?}"
        );
    }
    assert!(
        faults(&least_and("auth_provider: oidc\noidc: {providers: []}\n"))[0]
            .contains("names no provider")
    );
    let one = "auth_provider: oidc\n\
     oidc: {name: authelia, issuer: \"https://sso.example.org\", client_id: elastauth}\n";
    assert!(
        faults(&least_and(one))[0]
            .starts_with("config.yml:5:14: `oidc.name`: a provider is named `authelia`")
    );
    let texts = fault_texts(&check(&sources(
        &least_and(TWO),
        &[("HTTPS_PROXY", "socks5://proxy:1080")],
    )));
    assert_eq!(
        texts
            .iter()
            .filter(|fault| fault.contains("HTTPS_PROXY"))
            .count(),
        1,
        "texts once, not once a provider: {texts:#?}"
    );
}

#[test]
fn several_that_are_asked_are_warned_about_and_rules_that_nobody_needs_are_not_missed() {
    let asked = TWO.replace(
        "claim_mappings: {groups: realm_access.roles}",
        "token_validation: userinfo",
    );
    assert!(
        warnings(&least_and(&asked), &[])
            .iter()
            .any(|warning| warning.contains("not signed are refused"))
    );
    let without = LEAST.replace("default_roles: [viewer]\n", "");
    let own = TWO.replace("[oidc, authelia]", "oidc").replace(
        "client_id: elastauth\n",
        "client_id: elastauth\n      default_roles: [viewer]\n",
    );
    assert_eq!(
        warnings(&format!("{without}{own}"), &[]),
        Vec::<String>::new()
    );
    assert!(
        warnings(&format!("{without}{TWO}"), &[])
            .iter()
            .any(|warning| warning.contains("gives anybody a role"))
    );
}
