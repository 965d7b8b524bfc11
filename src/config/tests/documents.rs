//! The documents that are generated from the table are in the repository, and current.

use super::*;
use crate::config::describe::{example, reference};
use std::path::{Path, PathBuf};

const OTHER_KEY: &str = "c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn documents() -> [(&'static str, String); 2] {
    [
        ("docs/CONFIG.md", reference()),
        ("elastauth.example.yml", example()),
    ]
}

#[test]
fn generated_documents_are_current() {
    for (name, text) in documents() {
        let written = std::fs::read_to_string(path(name)).unwrap_or_default();
        assert!(
            written == text,
            "{name} is not current; write it with `cargo test --lib write_documents -- --ignored`"
        );
    }
}

#[test]
#[ignore = "writes docs/CONFIG.md and elastauth.example.yml"]
fn write_documents() {
    for (name, text) in documents() {
        std::fs::write(path(name), text).unwrap();
    }
}

#[test]
fn lines_of_generated_documents_have_at_most_100_characters() {
    for (name, text) in documents() {
        // Lists as values are not broken.
        for line in text.lines().filter(|line| !line.contains(": [")) {
            assert!(line.chars().count() <= 100, "{name}: {line}");
        }
    }
}

/// One line a key, so that a change is easy to review.
fn lines_of_schema(path: &str, value: &serde_json::Value, lines: &mut Vec<String>) {
    let Some(properties) = value["properties"].as_object() else {
        lines.push(format!("{path}: {value}"));
        return;
    };
    for (names, value) in value["patternProperties"].as_object().into_iter().flatten() {
        lines_of_schema(&format!("{path}.{names}"), value, lines);
    }
    for (name, value) in properties {
        lines_of_schema(&format!("{path}.{name}"), value, lines);
    }
}

#[test]
fn the_schema_is_the_reviewed_one() {
    let mut lines = Vec::new();
    lines_of_schema("", &schema(), &mut lines);
    insta::assert_snapshot!("schema", lines.join("\n"));
}

#[test]
fn the_example_works() {
    let text = example();
    let config = good(
        &text,
        &[("SECRET_KEY", KEY), ("ELASTICSEARCH_PASSWORD", "p")],
    );
    assert_eq!(config.clusters[0].roles.group_mappings.len(), 2);
    // With every comment removed, only keys that exclude each other are refused.
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
        ("SEARCH_PASSWORD", "p"),
    ];
    let texts = fault_texts(&check(&sources(&all, &variables)));
    assert!(
        texts.len() == 3
            && texts.iter().all(|fault| {
                fault.contains("and `elasticsearch.api_key` are both set")
                    || fault.contains("`listen` and `listeners` are both set")
            }),
        "{texts:#?}"
    );
    let given = effective(&sources(&all, &variables));
    let missing: Vec<_> = given
        .iter()
        .filter(|setting| setting.place == Place::Default)
        .map(|setting| setting.key)
        .collect();
    assert_eq!(missing, Vec::<&str>::new(), "every key is in the example");
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
fn every_key_has_a_description() {
    for key in table::ALL {
        assert!(
            key.doc().ends_with('.') && key.doc().len() > 10,
            "{}",
            key.path
        );
    }
}

#[test]
fn the_schema_has_every_key() {
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
fn the_files_of_the_guides_are_valid() {
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
                config.clusters[0].roles.group_mappings.len()
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
        // As a reader writes it: the address in the guides is one that nobody has.
        let config = &config.replace("192.0.2.20/32", "10.0.0.20/32");
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
    assert_eq!(
        good(&least_and(several), &[]).clusters[0]
            .roles
            .by_provider
            .len(),
        1
    );
}
