//! What is written from the table stands in the repository, and is current.

use super::*;
use std::path::{Path, PathBuf};

const OTHER_KEY: &str = "c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

#[expect(
    clippy::disallowed_methods,
    reason = "a test that is fault_texts to write its expectation"
)]
fn assert_current(name: &str, text: &str) {
    if std::env::var_os("ELASTAUTH_BLESS").is_some() {
        std::fs::write(path(name), text).unwrap();
    }
    let stands = std::fs::read_to_string(path(name)).unwrap_or_default();
    assert!(
        stands == text,
        "{name} is not current; `ELASTAUTH_BLESS=1 cargo test --lib config::` writes it anew"
    );
}

#[test]
fn the_reference_is_current() {
    assert_current("docs/CONFIG.md", &reference());
}

#[test]
fn the_example_is_current_and_works() {
    let text = example();
    assert_current("elastauth.example.yml", &text);
    let config = good(
        &text,
        &[("SECRET_KEY", KEY), ("ELASTICSEARCH_PASSWORD", "p")],
    );
    assert_eq!(config.roles.group_mappings.len(), 2);
    // With everything taken out of its comment only what excludes each other is refused.
    let all = text.lines().map(uncommented).collect::<Vec<_>>().join("\n");
    let variables = [
        ("SECRET_KEY", KEY),
        ("SECRET_KEY_PREVIOUS", OTHER_KEY),
        ("ELASTICSEARCH_PASSWORD", "p"),
        ("ELASTICSEARCH_API_KEY", "k"),
        ("GATEWAY_KEY", "sixteen-or-more-bytes"),
        ("OIDC_CLIENT_SECRET", "s"),
        ("OIDC_PRIVATE_KEY", "p"),
        ("TENANT", "t"),
        ("REDIS_PASSWORD", "r"),
    ];
    let fault_texts = fault_texts(&check(&sources(&all, &variables)));
    assert!(
        fault_texts.len() == 2
            && fault_texts
                .iter()
                .all(|fault| fault.contains("stands beside `elasticsearch.api_key`")),
        "{fault_texts:#?}"
    );
    let given = effective(&sources(&all, &variables));
    let missing: Vec<_> = given
        .iter()
        .filter(|setting| setting.place == Place::Default)
        .map(|setting| setting.key)
        .collect();
    assert_eq!(
        missing,
        Vec::<&str>::new(),
        "every available key stands in the example"
    );
}

fn uncommented(line: &str) -> String {
    let indent: String = line.chars().take_while(|c| *c == ' ').collect();
    match line.trim_start().strip_prefix('#') {
        Some(rest) if !rest.starts_with(' ') || line.starts_with("#  ") => {
            format!("{indent}{rest}")
        }
        _ => line.to_owned(),
    }
}

#[test]
fn every_reference_is_of_a_key_that_has_its_words() {
    for key in table::ALL {
        assert!(
            key.doc().ends_with('.') && key.doc().len() > 10,
            "{}",
            key.path
        );
    }
}

/// A small reading of the schema: enough for what ours says.
#[test]
fn the_schema_takes_what_the_program_takes() {
    let schema = schema();
    assert_eq!(
        schema["$schema"],
        "https://json-schema.org/draft/2020-12/schema"
    );
    for key in table::ALL {
        let mut at = &schema;
        for part in key.path.split('.') {
            assert_eq!(
                at["additionalProperties"],
                serde_json::json!(false),
                "{}",
                key.path
            );
            at = &at["properties"][part];
        }
        assert!(at["description"].is_string(), "{}", key.path);
    }
    assert!(schema["properties"]["secret_key_file"].is_object());
    assert_eq!(
        schema["properties"]["elasticsearch_host"]["deprecated"],
        true
    );
}

#[test]
fn the_files_of_the_guides_are_good() {
    for name in ["config.yml", "config-tls.yml"] {
        let text = std::fs::read_to_string(path("docs/gateways/traefik").join(name)).unwrap();
        let config = good(
            &text,
            &[
                ("SECRET_KEY", KEY),
                ("GATEWAY_KEY", "0b6f0e3a7c5549d8a1f2c7e4"),
                ("ELASTICSEARCH_PASSWORD", "p"),
            ],
        );
        assert_eq!(
            (
                config.trust.gateway_keys.len(),
                config.roles.group_mappings.len()
            ),
            (1, 3),
            "{name}"
        );
    }
}

#[test]
fn the_guides_to_identity_providers_have_neither_faults_nor_warnings() {
    let guides = std::fs::read_dir(path("docs/oidc"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect::<Vec<_>>();
    assert_eq!(guides.len(), 8);
    for guide in guides {
        let text = std::fs::read_to_string(&guide).unwrap();
        let config = text
            .split("```yaml\n")
            .find(|block| block.starts_with("# elastauth: config.yml"))
            .unwrap()
            .split("```")
            .next()
            .unwrap();
        let variables = [
            ("SECRET_KEY", KEY),
            ("GATEWAY_KEY", "0b6f0e3a7c5549d8a1f2c7e4"),
            ("ELASTICSEARCH_PASSWORD", "p"),
        ];
        let read = good(config, &variables);
        assert!(
            matches!(
                read.identity.providers.as_slice(),
                [ProviderConfig::Oidc(_)]
            ),
            "{}",
            guide.display()
        );
        assert_eq!(
            warnings(config, &variables),
            Vec::<String>::new(),
            "{}",
            guide.display()
        );
    }
    let several = std::fs::read_to_string(path("docs/oidc.md")).unwrap();
    let several = several
        .split("```yaml\n")
        .nth(1)
        .unwrap()
        .split("```")
        .next()
        .unwrap();
    assert_eq!(warnings(&least_and(several), &[]), Vec::<String>::new());
    assert_eq!(good(&least_and(several), &[]).roles.by_provider.len(), 1);
}
