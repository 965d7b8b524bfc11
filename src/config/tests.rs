mod documents;
mod providers;
mod reload;
mod secrets;
mod traces;
mod users;

use super::{finding::Findings, *};
use crate::{
    identity::ProviderConfig,
    model::Group,
    telemetry::{self, audit},
};
use std::time::Duration;

const KEY: &str = "5b0e4a6fd2c97381f0a4be6c1d7e93528c2f6b1a0d94e7738fb15c60a29ed847";

/// What a configuration needs at least.
const LEAST: &str = "default_roles: [viewer]\nsecret_key: 5b0e4a6fd2c97381f0a4be6c1d7e93528c2f6b1a0d94e7738fb15c60a29ed847\n\
                     elasticsearch: {hosts: [\"https://es:9200\"], username: elastauth, password: p}\n";

fn sources(file: &str, environment: &[(&str, &str)]) -> Sources {
    Sources::given(Flags::default(), environment).with_file("config.yml", file.as_bytes())
}

fn faults(file: &str) -> Vec<String> {
    fault_texts(&check(&sources(file, &[])))
}

fn fault_texts(checked: &Checked) -> Vec<String> {
    checked
        .outcome
        .as_ref()
        .err()
        .into_iter()
        .flatten()
        .map(ToString::to_string)
        .collect()
}

fn warnings(file: &str, environment: &[(&str, &str)]) -> Vec<String> {
    check(&sources(file, environment))
        .warnings
        .iter()
        .map(ToString::to_string)
        .collect()
}

fn good(file: &str, environment: &[(&str, &str)]) -> Config {
    let checked = check(&sources(file, environment));
    assert_eq!(fault_texts(&checked), Vec::<String>::new());
    checked.outcome.unwrap()
}

/// `LEAST` with more lines below, which begin on line 4.
fn least_and(more: &str) -> String {
    format!("{LEAST}{more}")
}

#[test]
fn the_least_that_works_has_the_documented_defaults() {
    let config = good(LEAST, &[]);
    assert_eq!(config.server.listen, "127.0.0.1:5000".parse().unwrap());
    assert!(config.server.tls.is_none());
    assert!(
        config.trust.proxies.contains(&"fe80::/10".parse().unwrap())
            && config.trust.proxies.len() == 7
    );
    assert_eq!(
        (config.broker.rotation, config.broker.grace),
        (Duration::from_hours(24), Duration::from_millis(500))
    );
    assert_eq!(
        (config.broker.expiration, config.broker.writes_per_minute),
        (Duration::from_hours(1), 10)
    );
    assert_eq!(
        (
            config.broker.cluster_name.as_str(),
            config.broker.service_account.as_deref()
        ),
        ("default", Some("elastauth"))
    );
    assert_eq!(config.broker.ledger.capacity, 1_200_000);
    assert!(config.roles.allowed_groups.is_none());
    let [ProviderConfig::Headers(headers)] = config.identity.providers.as_slice() else {
        panic!("one provider")
    };
    assert_eq!(
        (headers.user.as_str(), headers.groups_required),
        ("remote-user", false)
    );
    assert_eq!(warnings(LEAST, &[]), Vec::<String>::new());
}

#[test]
fn every_default_is_a_value_of_its_type() {
    let mut findings = Findings::default();
    for key in table::ALL.iter().filter(|key| !key.default.is_empty()) {
        let raw = raw::Raw::text(key.default, Place::Default);
        assert!(
            key.value_type.read(key.path, &raw, &mut findings).is_some(),
            "{}",
            key.path
        );
    }
}

#[test]
fn no_two_keys_have_one_name() {
    let mut names: Vec<String> = table::ALL
        .iter()
        .flat_map(|key| [key.path].into_iter().chain(key.old.iter().copied()))
        .map(str::to_lowercase)
        .collect();
    names.sort();
    let count = names.len();
    names.dedup();
    assert_eq!(names.len(), count);
}

#[test]
fn all_faults_are_reported_at_once_in_the_order_of_the_file() {
    let file = "\
defualt_roles: [viewer]
listen: here
hosts: [x]
elasticsearch:
  hosts: [\"https://u:p@es\", es]
  pasword: p
trusted_proxies:
  - 10.0.0.0/8
  - 10.1.2.3/8
group_mappings:
  a: []
  b: [\"\"]
cache: {expiration: 10}
log_level: wran
default_roles: yes please
default_roles_apply: yes
";
    let texts = faults(file);
    let expected = [
        ("1:1", "did you mean `default_roles`?"),
        (
            "2:9",
            "`listen` holds a text; it must be an address and a port",
        ),
        ("3:1", "did you mean `elasticsearch.hosts`?"),
        ("5:11", "keys of their own"),
        ("5:29", "begin with `http://` or `https://`"),
        ("6:3", "did you mean `elasticsearch.password`?"),
        ("9:5", "host bits"),
        ("11:3", "maps a group to no role"),
        ("12:7", "`group_mappings` holds an empty text"),
        (
            "13:21",
            "`cache.expiration` holds a number; it must be a duration",
        ),
        ("14:12", "did you mean `warn`?"),
        ("16:22", "must be `always` or `unmapped`"),
        ("configuration", "`elasticsearch.api_key`"),
    ];
    assert_eq!(texts.len(), expected.len(), "{texts:#?}");
    for (fault, (place, words)) in texts.iter().zip(expected) {
        let place = if place == "configuration" {
            format!("{place}: ")
        } else {
            format!("config.yml:{place}: ")
        };
        assert!(
            fault.starts_with(&place) && fault.contains(words),
            "{fault} | {place} {words}"
        );
    }
}

#[test]
fn contradictions_are_faults() {
    for (more, place, words) in [
        ("allowed_groups: []\n", "4:17", "nobody could enter"),
        ("allowed_groups:\n", "4:15", "nobody could enter"),
        (
            "enable_group_whitelist: true\n",
            "4:25",
            "nobody could enter",
        ),
        ("tls: {cert: /a}\n", "4:13", "needs `tls.key`"),
        ("tls: {client_ca: /a}\n", "4:18", "needs `tls.cert`"),
        ("trusted_proxies: []\n", "4:18", "nobody could ask"),
        ("gateway_keys: []\n", "4:15", "empty list"),
        ("gateway_keys: [short]\n", "4:16", "at least 16"),
        ("auth_provider: []\n", "4:16", "empty list"),
        ("auth_provider: [authelia, authelia]\n", "4:16", "twice"),
        ("auth_provider: oidc\n", "4:16", "needs `oidc.issuer`"),
        ("auth_provider: oidc\n", "4:16", "needs `oidc.client_id`"),
        (
            "auth_provider: oidc\noidc: {issuer: \"http://a.example\", client_id: a}\n",
            "5:16",
            "`oidc.issuer`: ",
        ),
        (
            "auth_provider: oidc\noidc: {issuer: \"https://a\", client_id: a, token_validation: introspection}\n",
            "5:61",
            "needs `oidc.client_secret`",
        ),
        (
            "auth_provider: oidc\noidc: {issuer: \"https://a\", client_id: a, claim_mappings: {groups: \"a..b\"}}\n",
            "5:68",
            "`oidc.claim_mappings.groups`",
        ),
        (
            "authelia: {header_email: remote-user}\n",
            "4:26",
            "the same header",
        ),
        (
            "authelia: {header_email: Authorization}\n",
            "4:26",
            "another meaning",
        ),
        (
            "default_roles_apply: unmapped\nauthelia: {groups_required: false}\n",
            "5:29",
            "would get the default roles",
        ),
        ("credentials: {rotation: 900ms}\n", "4:25", "twice"),
        ("credentials: {grace: 2s}\n", "4:22", "from 0s to 1s 500ms"),
        ("users: {writes_per_minute: 0}\n", "4:28", "from 1 to 1000"),
        ("extend_cache: yes\n", "4:15", "`true` or `false`"),
        (
            "elasticsearch.api_key: k\n",
            "3:",
            "and `elasticsearch.api_key` are both set",
        ),
        (
            "elasticsearch.tls: {client_cert: /a}\n",
            "4:34",
            "needs `elasticsearch.tls.client_key`",
        ),
        (
            "elasticsearch.tls: {insecure_skip_verify: true, ca_cert: /a}\n",
            "4:58",
            "has no effect with",
        ),
    ] {
        let texts = faults(&least_and(more));
        let place = format!("config.yml:{place}");
        assert!(
            texts
                .iter()
                .any(|fault| fault.starts_with(&place) && fault.contains(words)),
            "{more}: {texts:#?}"
        );
    }
    let plain = LEAST.replace("https", "http");
    assert!(
        faults(&format!("{plain}elasticsearch.tls: {{enabled: true}}\n"))
            .iter()
            .any(|fault| fault.contains("write `https`"))
    );
    assert!(
        faults(&format!("{plain}elasticsearch.tls: {{ca_cert: /a}}\n"))
            .iter()
            .any(|fault| fault.contains("every host is `http`"))
    );
    let keyless = LEAST.replace("secret_key", "#");
    assert!(
        faults(&format!("{keyless}cache: {{type: redis}}\n"))
            .iter()
            .any(|fault| fault.contains("needs `secret_key`"))
    );
    for sample in ["0123456789abcdef".repeat(4), "0".repeat(64)] {
        assert!(
            faults(&LEAST.replace(KEY, &format!("\"{sample}\"")))
                .iter()
                .any(|fault| fault.contains("published sample"))
        );
    }
}

#[test]
fn what_is_legal_and_weak_is_a_warning() {
    for (file, place, words) in [
        (
            LEAST.replace("https://es", "http://es"),
            "config.yml:3:24",
            "in clear",
        ),
        (
            LEAST.replace("secret_key", "#"),
            "configuration",
            "every restart writes all users again",
        ),
        (
            least_and("listen: :5000\n"),
            "default",
            "every private network",
        ),
        (
            least_and("trusted_proxies: [0.0.0.0/0]\n"),
            "config.yml:4:18",
            "trusts every address",
        ),
        (
            least_and("group_mappings: {\"*-admins\": [superuser]}\n"),
            "config.yml:4:18",
            "wildcard",
        ),
        (
            LEAST.replace("viewer", "superuser"),
            "config.yml:1:16",
            "every user a superuser",
        ),
        (
            least_and("elasticsearch.tls: {insecure_skip_verify: true}\n"),
            "config.yml:4:43",
            "anyone between elastauth and the cluster",
        ),
        (
            least_and("extend_cache: true\n"),
            "config.yml:4:15",
            "has no effect",
        ),
        (
            least_and("elasticsearch_dry_run: true\n"),
            "config.yml:4:1",
            "`elasticsearch.dry_run` now",
        ),
        (
            LEAST.replace("default_roles", "#"),
            "configuration",
            "every request will be refused",
        ),
    ] {
        let texts = warnings(&file, &[]);
        assert!(
            texts
                .iter()
                .any(|warning| warning.starts_with(place) && warning.contains(words)),
            "{file}: {texts:#?}"
        );
        assert_eq!(faults(&file), Vec::<String>::new());
    }
    let loopback = LEAST.replace("https://es", "http://127.0.0.1");
    assert_eq!(
        warnings(&loopback, &[]),
        Vec::<String>::new(),
        "in clear, but nowhere to be heard"
    );
}

#[test]
fn flags_come_before_variables_before_dot_env_before_the_file() {
    let file = least_and("listen: 127.0.0.1:1\n");
    let listen = |sources: &Sources| check(sources).outcome.unwrap().server.listen.port();
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
        config.cluster.hosts,
        ["https://one:9200", "https://two:9200"]
    );
    assert_eq!(
        config
            .roles
            .default_roles
            .iter()
            .map(crate::model::Role::as_str)
            .collect::<Vec<_>>(),
        ["viewer", "reader"]
    );
    let mut mappings: Vec<_> = config
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
fn the_keys_of_the_proxy_are_warned_about_and_the_proxy_itself_is_refused() {
    let harmless = "proxy: {enabled: false, timeout: 0m30s}\nenable_metrics: false\noidc:\ncache: {redis_db: 0}\nredis: {url: \"\"}\n";
    good(&least_and(harmless), &[]);
    // The examples of elastauth 2 write the whole section and switch it off.
    let switched_off = least_and(
        "proxy:\n  enabled: false\n  elasticsearch_url: \"https://es:9200\"\n  max_idle_conns: 50\n  tls: {enabled: true, ca_cert: /a}\n",
    );
    good(&switched_off, &[]);
    let texts = warnings(&switched_off, &[]);
    assert!(
        texts.len() == 4
            && texts
                .iter()
                .all(|warning| warning.contains("has no effect without `proxy.enabled: true`")),
        "{texts:#?}"
    );
    let texts = faults(&least_and("proxy: {enabled: true}\n"));
    assert!(
        texts.len() == 1
            && texts
                .iter()
                .all(|fault| fault.contains("`proxy.enabled` is not available yet")),
        "{texts:#?}"
    );
}

#[test]
fn what_operators_are_shown_is_the_whole_in_sections_without_a_secret() {
    let config = good(
        &least_and(
            "enable_metrics: true\nadmin: {listen: \":5001\"}\naudit: {path: stdout}\nlog_format: ecs\n",
        ),
        &[("ELASTAUTH_DEFAULT_ROLES", "viewer, editor")],
    );
    assert!(config.admin.metrics && config.admin.listen.is_some());
    assert_eq!(
        (config.audit.target, config.telemetry.format),
        (audit::Target::Stdout, telemetry::log::Format::Ecs)
    );
    let shown = config.shown;
    assert_eq!(
        (
            &shown["mode"],
            &shown["enable_metrics"],
            &shown["admin"]["listen"]
        ),
        (&"auth-only".into(), &true.into(), &":5001".into())
    );
    assert_eq!(
        shown["default_roles"],
        serde_json::json!(["viewer", "editor"])
    );
    assert_eq!(
        (
            &shown["elasticsearch"]["password"],
            &shown["cache"]["capacity"]
        ),
        (&"***".into(), &1_200_000.into())
    );
    assert_eq!(
        shown["provider_config"]["authelia"]["header_username"],
        "Remote-User"
    );
    // As scripts for elastauth 2 expect it.
    assert_eq!(
        (&shown["auth_provider"], &shown["proxy"]),
        (&"authelia".into(), &serde_json::json!({"enabled": false}))
    );
    let two = least_and(
        "auth_provider: [authelia, oidc]\noidc: {issuer: \"https://idp.test\", client_id: a}\n",
    );
    assert_eq!(
        good(&two, &[]).shown["auth_provider"],
        serde_json::json!(["authelia", "oidc"])
    );
}

#[test]
fn malformed_files_are_one_clear_fault() {
    let bomb: String = (1..40).fold("a0: &a0 [x, x]\n".to_owned(), |text, n| {
        text + &format!(
            "a{n}: &a{n} [{}]\n",
            vec![format!("*a{}", n - 1); 9].join(", ")
        )
    });
    let deep = format!("a: {}", "[".repeat(100));
    let deeper = "[".repeat(100_000);
    let large = "#".repeat(5 << 20);
    for (file, place, words) in [
        (
            "a: 1\nlisten: x\nlisten: y\n".as_bytes(),
            "3:1",
            "is in its section twice",
        ),
        (b"listen: \xff", "1:9", "UTF-8"),
        (b"a:\n\t- b\n", "2:", "not YAML"),
        (b"listen: !!str x\n", "1:", "tags"),
        (b"a: {<<: {b: c}}\n", "1:5", "merge keys"),
        (b"listen: ':1'\n---\nlisten: ':2'\n", "", "second document"),
        (b"just a text\n", "1:1", "must be a section"),
        (b"- a\n", "1:", "must be a section"),
        (b"tls: x\n", "1:6", "`tls` must be a section"),
        (b"listen: ${UNSET}\n", "1:9", "`UNSET` is not set"),
        (b"listen: \"${\"\n", "1:9", "no `}`"),
        (b"listen: {a: b}\n", "1:9", "holds a section"),
        (bomb.as_bytes(), "", "aliases are written out"),
        (deep.as_bytes(), "1:20", "too deep"),
        (deeper.as_bytes(), "1:", "recursion limit"),
        (large.as_bytes(), "", "larger than 4 MiB"),
        (b"a: *a\n", "1:4", ""),
        (b"a: &a [*a]\n", "1:8", "not complete"),
    ] {
        let texts = fault_texts(&check(
            &Sources::given(Flags::default(), &[]).with_file("config.yml", file),
        ));
        let shown = String::from_utf8_lossy(file)
            .chars()
            .take(60)
            .collect::<String>();
        assert!(
            texts
                .iter()
                .any(|fault| fault.starts_with(&format!("config.yml:{place}"))
                    && fault.contains(words)),
            "{shown}: {texts:#?}"
        );
    }
    assert!(
        faults("")
            .iter()
            .all(|fault| fault.starts_with("configuration: ")),
        "an empty file says nothing"
    );
    let many = (0..1_000)
        .map(|n| format!("unknown{n}: x"))
        .collect::<Vec<_>>()
        .join("\n");
    assert!(
        faults(&many).len() == 101
            && faults(&many)
                .iter()
                .any(|fault| fault.contains("more faults"))
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
fn a_certificate_that_cannot_be_used_is_found_before_the_start() {
    let config = good(
        &least_and(
            "tls: {cert: /nonexistent/crt, key: /nonexistent/key}\nelasticsearch.tls: {ca_cert: /nonexistent/ca}\n",
        ),
        &[],
    );
    let texts: Vec<String> = check_files(&config)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        texts.len() == 2
            && texts[0].contains("/nonexistent/ca cannot be read")
            && texts[1].contains("/nonexistent/crt"),
        "{texts:#?}"
    );
    let config = good(
        &least_and(
            "cache: {type: redis}\nredis: {url: \"rediss://redis:6379\", tls: {ca_cert: /nonexistent/redis}}\n\
             auth_provider: oidc\noidc: {issuer: \"https://idp.test\", client_id: a, tls: {ca_cert: /nonexistent/idp}}\n",
        ),
        &[],
    );
    let texts: Vec<String> = check_files(&config)
        .iter()
        .map(ToString::to_string)
        .collect();
    assert!(
        texts.len() == 2
            && texts[0].contains("/nonexistent/redis cannot be read")
            && texts[1].contains("/nonexistent/idp"),
        "{texts:#?}"
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
    assert_eq!(config.roles.group_mappings.len(), 1_001);
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
