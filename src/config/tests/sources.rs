//! Where values come from, and that nothing in them makes the reader panic.

use super::*;

#[test]
fn flags_come_before_variables_before_dot_env_before_the_file() {
    let file = least_and("listen: 127.0.0.1:1\n");
    let listen = |sources: &Sources| {
        check(sources).outcome.unwrap().listeners[0]
            .listen
            .tcp()
            .unwrap()
            .port()
    };
    let all = Sources {
        flags: Flags {
            listen: Some("127.0.0.1:4".to_owned()),
            ..Flags::default()
        },
        ..sources(&file, &[("ELASTAUTH_LISTEN", "127.0.0.1:3")])
            .with_dot_env("ELASTAUTH_LISTEN=127.0.0.1:2")
    };
    assert_eq!(listen(&all), 4);
    assert_eq!(
        listen(&Sources {
            flags: Flags::default(),
            ..all.clone()
        }),
        3
    );
    assert_eq!(
        listen(&sources(&file, &[]).with_dot_env("export ELASTAUTH_LISTEN='127.0.0.1:2'")),
        2
    );
    assert_eq!(
        listen(&sources(&file, &[("ELASTAUTH_LISTEN", "")])),
        1,
        "an empty variable is none"
    );
    assert_eq!(listen(&sources(LEAST, &[])), 5000);
}

#[test]
fn the_forms_of_the_environment_are_understood() {
    let config = good(
        &least_and("group_mappings: {Dev: [editor], ops: [monitoring_user]}\n"),
        &[
            ("ELASTAUTH_ELASTICSEARCH_HOSTS_1", "https://two:9200"),
            ("ELASTAUTH_ELASTICSEARCH_HOSTS_0", "https://one:9200"),
            ("ELASTAUTH_DEFAULT_ROLES", "viewer, reader"),
            ("ELASTAUTH_GROUP_MAPPINGS_DEV", "role1,role2"),
            ("ELASTAUTH_GROUP_MAPPINGS_TEAM_A", "role3"),
            ("ELASTAUTH_ENABLE_OTEL", "false"),
        ],
    );
    assert_eq!(
        config.clusters[0].cluster.hosts,
        ["https://one:9200", "https://two:9200"]
    );
    assert_eq!(
        config.clusters[0]
            .roles
            .default_roles
            .iter()
            .map(crate::model::Role::as_str)
            .collect::<Vec<_>>(),
        ["viewer", "reader"]
    );
    let mut mappings: Vec<_> = config.clusters[0]
        .roles
        .group_mappings
        .iter()
        .map(|(group, roles)| (Group::as_str(group), roles.len()))
        .collect();
    mappings.sort_unstable();
    assert_eq!(mappings, [("dev", 2), ("ops", 1), ("team_a", 1)]);
    let on = good(LEAST, &[("ELASTAUTH_ENABLEOTEL", "true")]).traces;
    assert!(matches!(on, telemetry::traces::Config::Otlp(_)), "{on:?}");
    assert!(
        fault_texts(&check(&sources(LEAST, &[("ELASTAUTH_LISTEN", "x")])))
            .iter()
            .any(|fault| fault.starts_with("ELASTAUTH_LISTEN: "))
    );
}

#[test]
fn an_unknown_variable_is_a_warning_and_a_service_link_is_nothing() {
    let links = [
        ("ELASTAUTH_SERVICE_HOST", "10.0.0.1"),
        ("ELASTAUTH_SERVICE_PORT", "5000"),
        ("ELASTAUTH_SERVICE_PORT_HTTP", "5000"),
        ("ELASTAUTH_PORT", "tcp://10.0.0.1:5000"),
        ("ELASTAUTH_PORT_5000_TCP", "tcp://10.0.0.1:5000"),
        ("ELASTAUTH_PORT_5000_TCP_ADDR", "10.0.0.1"),
        ("ELASTAUTH_METRICS_SERVICE_HOST", "10.0.0.2"),
        ("ELASTAUTH_METRICS_PORT_9090_TCP_PROTO", "tcp"),
        ("ELASTAUTH_CONFIG", "/etc/elastauth"),
        ("OTHER", "x"),
    ];
    assert_eq!(warnings(LEAST, &links), Vec::<String>::new());
    let texts = warnings(
        LEAST,
        &[("ELASTAUTH_HTTP_PORT", "80"), ("ELASTAUTH_LISTN", "x")],
    );
    assert_eq!(texts.len(), 2, "{texts:#?}");
    assert!(
        texts
            .iter()
            .any(|warning| warning.starts_with("ELASTAUTH_LISTN: ")
                && warning.ends_with("did you mean `ELASTAUTH_LISTEN`?"))
    );
    // Nothing is near to it but the beginning that all names have.
    assert!(
        texts
            .iter()
            .any(|warning| warning.starts_with("ELASTAUTH_HTTP_PORT: ")
                && !warning.contains("did you mean")),
        "{texts:#?}"
    );
}

#[test]
fn a_file_that_is_named_must_be_there_and_a_folder_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("config.yml"), LEAST).unwrap();
    let read = |path: std::path::PathBuf| {
        check(&Sources::system(Flags {
            config: Some(path),
            ..Flags::default()
        }))
    };
    assert!(read(folder.path().to_owned()).outcome.is_ok());
    assert!(read(folder.path().join("config.yml")).outcome.is_ok());
    let faults = fault_texts(&read(folder.path().join("other.yml")));
    assert!(
        matches!(faults.as_slice(), [fault] if fault.contains("other.yml: the configuration cannot be read")),
        "{faults:#?}"
    );
}

#[test]
fn a_thousand_mappings_are_read() {
    let mappings = (0..1_000)
        .map(|n| format!("  group-{n}: [role-{n}, viewer]"))
        .collect::<Vec<_>>()
        .join("\n");
    let config = good(
        &least_and(&format!("group_mappings:\n{mappings}")),
        &[("ELASTAUTH_GROUP_MAPPINGS_X", "y")],
    );
    assert_eq!(config.clusters[0].roles.group_mappings.len(), 1_001);
}

proptest::proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "\\PC{0,200}") {
        let _ = check(&sources(&text, &[]));
    }

    #[test]
    fn nothing_that_looks_like_a_configuration_does_either(
        text in proptest::collection::vec("(listen|tls|group_mappings|oidc|headers|secret_key|a)?[:\\-\\[\\]{}&*!|>'\"#, \n]{0,4}(\\$\\{A\\}|~|&a|\\*a| |\n  )?", 0..20)
    ) {
        let _ = check(&sources(&text.concat(), &[("A", "b")]));
        let _ = effective(&sources(&text.concat(), &[]));
    }

    #[test]
    fn no_variable_makes_the_reader_panic(name in "[A-Z0-9_]{0,30}", value in "\\PC{0,40}") {
        let _ = check(&sources("", &[(&format!("ELASTAUTH_{name}"), &value)]).with_dot_env(&value));
    }

    #[test]
    fn no_bytes_do(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200)) {
        let _ = check(&Sources::given(Flags::default(), &[]).with_file("config.yml", &bytes));
    }
}
