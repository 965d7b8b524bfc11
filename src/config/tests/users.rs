//! Configurations as the users of version 1 and 2 have them, in tests/configurations.

use super::*;
use std::path::Path;

const VARIABLES: [(&str, &str); 3] = [
    ("SECRET_KEY", KEY),
    ("ELASTICSEARCH_PASSWORD", "p"),
    ("CLIENT_SECRET", "s"),
];

fn read(name: &str) -> String {
    std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/configurations")
            .join(name),
    )
    .unwrap()
}

#[test]
fn version_2_with_headers_starts_as_it_is() {
    let config = good(&read("v2-minimal.yml"), &VARIABLES);
    assert_eq!(config.listeners[0].listen.tcp().unwrap().port(), 5000);
    assert_eq!(config.clusters[0].roles.group_mappings.len(), 2);
}

#[test]
fn version_1_starts_and_warnings_name_the_new_keys() {
    let text = read("v1-flat.yml");
    let config = good(&text, &[]);
    assert_eq!(config.clusters[0].cluster.hosts, ["http://localhost:9200"]);
    assert_eq!(
        config.clusters[0].broker.expiration,
        Duration::from_mins(90)
    );
    assert_eq!(
        config.clusters[0]
            .roles
            .allowed_groups
            .as_ref()
            .map(Vec::len),
        Some(2)
    );
    let ProviderConfig::Headers(headers) = &config.identity.providers[0] else {
        panic!("headers")
    };
    assert_eq!(headers.users, ["x-user"]);
    let texts = warnings(&text, &[]);
    for (old, new) in [
        ("elasticsearch_host", "elasticsearch.hosts"),
        ("elasticsearch_password", "elasticsearch.password"),
        ("cache_type", "cache.type"),
        ("cache_expire", "cache.expiration"),
        ("headers_username", "authelia.header_username"),
        ("headers.groups", "authelia.header_groups"),
        ("group_whitelist", "allowed_groups"),
    ] {
        assert!(
            texts
                .iter()
                .any(|warning| warning.contains(&format!("`{old}`"))
                    && warning.contains(&format!("`{new}`"))),
            "{old}: {texts:#?}"
        );
    }
}

#[test]
fn the_environment_alone_is_enough() {
    let text = read("environment.env");
    let checked = check(&Sources::given(Flags::default(), &[]).with_dot_env(&text));
    assert_eq!(fault_texts(&checked), Vec::<String>::new());
    let pairs: Vec<(&str, &str)> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .filter_map(|line| line.split_once('='))
        .collect();
    let config = check(&Sources::given(Flags::default(), &pairs))
        .outcome
        .unwrap();
    assert_eq!(
        (
            config.clusters[0].cluster.hosts.len(),
            config.clusters[0].roles.group_mappings.len()
        ),
        (2, 2)
    );
}

#[test]
fn in_kubernetes_secrets_are_files() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("secret-key"), KEY).unwrap();
    std::fs::write(folder.path().join("password"), "p\n").unwrap();
    let text = read("kubernetes.yml").replace(
        "/run/secrets/elastauth",
        &folder.path().display().to_string(),
    );
    let password = folder.path().join("password").display().to_string();
    let links = [
        ("ELASTAUTH_PORT", "tcp://10.96.0.7:5000"),
        ("ELASTAUTH_SERVICE_HOST", "10.96.0.7"),
    ];
    let config = good(
        &text,
        &[
            &links[..],
            &[("ELASTAUTH_ELASTICSEARCH_PASSWORD_FILE", &password)],
        ]
        .concat(),
    );
    assert!(config.clusters[0].broker.secret_key.is_some());
}

#[test]
fn version_2_with_redis_starts_as_it_is_and_not_without_a_key() {
    let text = read("v2-redis.yml");
    good(&text, &VARIABLES);
    let keyless: String = text
        .lines()
        .filter(|line| !line.starts_with("secret_key"))
        .map(|line| line.to_owned() + "\n")
        .collect();
    let texts = fault_texts(&check(&sources(&keyless, &VARIABLES)));
    assert!(
        texts.iter().any(|fault| fault.contains("secret_key")),
        "{texts:#?}"
    );
}

#[test]
fn version_2_with_tokens_starts_as_it_is() {
    for name in [
        "v2-oidc-keycloak.yml",
        "v2-oidc-entra.yml",
        "v2-oidc-okta.yml",
        "v2-oidc-google.yml",
    ] {
        let config = good(&read(name), &VARIABLES);
        let ProviderConfig::Oidc(oidc) = &config.identity.providers[0] else {
            panic!("{name}: tokens")
        };
        assert_eq!(
            (&*oidc.providers[0].idp.client_id, oidc.providers.len()),
            ("elastauth", 1),
            "{name}"
        );
        assert!(!format!("{config:?}").contains("CLIENT_SECRET"), "{name}");
    }
}

/// docs/src/content/docs, deployment/example/direct-proxy and its `.env.example`.
#[test]
fn version_2_with_its_proxy_starts_as_it_is() {
    for (name, seconds) in [
        ("v2-proxy.yml", 60),
        ("v2-proxy-direct.yml", 30),
        ("v2-proxy-oidc.yml", 30),
        ("v2-proxy-client-certificate.yml", 30),
    ] {
        let config = good(&read(name), &VARIABLES);
        let proxy = &config.clusters[0].proxy;
        assert_eq!(proxy.timeout, Some(Duration::from_secs(seconds)), "{name}");
        let target = proxy.target.as_ref().expect(name);
        assert_eq!(target.urls[0].port_u16(), Some(9200), "{name}");
        assert_eq!(config.shown["mode"], "proxy", "{name}");
    }
    let text = read("v2-proxy.env");
    let checked = check(&Sources::given(Flags::default(), &[]).with_dot_env(&text));
    assert_eq!(fault_texts(&checked), Vec::<String>::new());
    let config = checked.outcome.unwrap();
    let proxy = &config.clusters[0].proxy;
    assert_eq!(
        (proxy.max_idle_conns, proxy.idle_conn_timeout),
        (100, Duration::from_secs(90))
    );
}
