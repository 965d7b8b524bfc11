//! What is wrong or weak, and where it is reported.

use super::*;

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
        ("11:3", "maps a name to no role"),
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
        ("gateway_keys: [{key: short}]\n", "4:16", "at least 16"),
        (
            "gateway_keys: [{providers: [authelia]}]\n",
            "4:16",
            "no `key`",
        ),
        (
            "gateway_keys: [{key: 0123456789abcdef, provider: [authelia]}]\n",
            "4:40",
            "it may have `key`",
        ),
        (
            "gateway_keys: [{key: 0123456789abcdef, providers: []}]\n",
            "4:51",
            "a list of names",
        ),
        (
            "gateway_keys: [{key: 0123456789abcdef, providers: [autelia]}]\n",
            "4:15",
            "did you mean `authelia`?",
        ),
        (
            "gateway_keys: [0123456789abcdef, {key: 0123456789abcdef, providers: [authelia]}]\n",
            "4:15",
            "the same key twice",
        ),
        ("auth_provider: []\n", "4:16", "empty list"),
        ("auth_provider: [authelia, authelia]\n", "4:16", "twice"),
        ("auth_provider: oidc\n", "4:16", "needs `oidc.issuer`"),
        ("auth_provider: oidc\n", "4:16", "needs `oidc.client_id`"),
        (
            "auth_provider: oidc\noidc: {issuer: \"ldap://a.example\", client_id: a}\n",
            "5:16",
            "set `oidc.jwks_uri`",
        ),
        (
            "auth_provider: oidc\noidc: {client_id: a, token_validation: userinfo}\n",
            "4:16",
            "needs `oidc.issuer`",
        ),
        (
            "auth_provider: oidc\n\
             oidc: {issuer: \"https://a\", client_id: a, introspection_endpoint: \"http://a/i\"}\n",
            "5:67",
            "would be sent in clear",
        ),
        (
            "auth_provider: oidc\n\
             oidc: {issuer: \"https://a\", client_id: a, token_validation: introspection}\n",
            "5:61",
            "needs `oidc.client_secret`",
        ),
        (
            "auth_provider: oidc\n\
             oidc: {issuer: \"https://a\", client_id: a, claim_mappings: {groups: \"a..b\"}}\n",
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
        (
            "users: {prune_after: 47h}\n",
            "4:22",
            "must be at least 48h here",
        ),
        (
            "users: {prune_after: 100h}\nelasticsearch.kind: opensearch\n",
            "4:22",
            "must be at least 336h here",
        ),
        (
            "users: {prune_after: 49h}\ncredentials: {rotation: 0s}\n",
            "4:22",
            "must be at least 50h here",
        ),
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
            "config.yml:4:9",
            "every host in a private network",
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
            least_and("auth_provider: oidc\noidc: {issuer: \"http://a.example\", client_id: a}\n"),
            "config.yml:5:16",
            "the issuer is plain `http`",
        ),
        (
            least_and(
                "auth_provider: oidc\noidc: {issuer: \"https://a.example\", client_id: a, \
                 jwks_uri: \"http://a.example/keys\"}\n",
            ),
            "config.yml:5:61",
            "`oidc.jwks_uri` is plain `http`",
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
        "in clear, but only on this machine"
    );
}

#[test]
fn the_keys_of_a_proxy_that_is_switched_off_are_warned_about() {
    let harmless = "proxy: {enabled: false, timeout: 0m30s}\nenable_metrics: false\noidc:\n\
     cache: {redis_db: 0}\nredis: {url: \"\"}\n";
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
fn a_certificate_that_cannot_be_used_is_found_before_the_start() {
    let config = good(
        &least_and(
            "tls: {cert: /nonexistent/crt, key: /nonexistent/key}\n\
             elasticsearch.tls: {ca_cert: /nonexistent/ca}\n",
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
            "cache: {type: redis}\n\
             redis: {url: \"rediss://redis:6379\", tls: {ca_cert: /nonexistent/redis}}\n\
             auth_provider: oidc\n\
             oidc: {issuer: \"https://idp.test\", client_id: a, tls: {ca_cert: /nonexistent/idp}}\n",
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
