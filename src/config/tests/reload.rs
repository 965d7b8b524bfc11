//! A configuration that is read again: what is applied, what requires a restart, what is refused.

use super::*;
use key::ConfigKey;

const TLS: &str = "tls: {cert: /etc/a.crt, key: /etc/a.key}\n";

fn reload(before: &str, after: &str) -> Reloaded {
    let (checked, loaded) = read(&sources(&least_and(before), &[]));
    assert!(checked.outcome.is_ok(), "{:?}", fault_texts(&checked));
    loaded.reload(&sources(&least_and(after), &[]))
}

#[test]
fn nothing_new_is_nothing_taken_and_nothing_left() {
    let again = reload("log_level: warn\n", "log_level: warn # a remark\n");
    assert!(again.applied.is_empty() && again.requires_restart.is_empty() && again.outcome.is_ok());
}

#[test]
fn what_is_left_keeps_its_value_until_the_next_start() {
    let again = reload("", "listen: :1\nlog_level: warn\ncache.expiration: 5m\n");
    assert_eq!(
        (again.applied, again.requires_restart),
        (vec!["log_level"], vec!["listen", "cache.expiration"])
    );
    let (config, loaded) = again.outcome.unwrap();
    assert_eq!(config.listeners[0].listen.to_string(), "127.0.0.1:5000");
    assert_eq!(config.shown["cache"]["expiration"], "1h");
    // Compared is with what is in force, so it is named again, and not any more when the file goes
    // back.
    assert_eq!(
        loaded
            .reload(&sources(&least_and("log_level: warn\nlisten: :1\n"), &[]))
            .requires_restart,
        ["listen"]
    );
    assert!(
        loaded
            .reload(&sources(&least_and("log_level: warn\n"), &[]))
            .requires_restart
            .is_empty()
    );
}

#[test]
fn a_listener_keeps_speaking_tls_or_plain_http() {
    let gone = reload(TLS, "");
    assert_eq!(
        (gone.applied.len(), gone.requires_restart),
        (0, vec!["tls.cert", "tls.key"])
    );
    assert!(gone.outcome.unwrap().0.listeners[0].tls.is_some());
    let come = reload("", &(TLS.replace('}', ", client_ca: /etc/ca.pem}")));
    assert_eq!(
        (come.applied.len(), come.requires_restart),
        (0, vec!["tls.cert", "tls.key", "tls.client_ca"])
    );
    let changed = reload(TLS, &TLS.replace("a.crt", "b.crt"));
    assert_eq!(
        (changed.applied, changed.requires_restart.len()),
        (vec!["tls.cert"], 0)
    );
}

/// Keys that a running program applies whatever their new values are: what it shows others of
/// itself, and what is as strong after a change as before.
const NO_BARRIERS: [&ConfigKey; 20] = [
    &table::LOGIN_URL,
    &table::TLS_CERT,
    &table::TLS_KEY,
    &table::ES_PASSWORD,
    &table::ES_API_KEY,
    &table::ES_TLS_CERT,
    &table::ES_TLS_KEY,
    &table::REDIS_USERNAME,
    &table::REDIS_PASSWORD,
    &table::REDIS_TLS_CERT,
    &table::REDIS_TLS_KEY,
    &table::LOG_LEVEL,
    &table::OIDC_CLIENT_SECRET,
    &table::OIDC_PRIVATE_KEY,
    &table::OIDC_CUSTOM_HEADERS,
    &table::OIDC_TLS_CERT,
    &table::ES_MATCH_HOSTS,
    &table::ES_MATCH_PATHS,
    &table::ES_MATCH_HEADER_NAME,
    &table::ES_MATCH_HEADER_VALUE,
];

#[test]
fn every_key_that_a_running_program_applies_is_a_barrier_or_known_to_be_none() {
    for key in table::ALL.iter().filter(|key| key.reload) {
        let is_barrier = barriers::ALL
            .iter()
            .any(|barrier| barrier.keys.contains(key));
        let is_none = NO_BARRIERS.contains(key) || key == &&table::OIDC_TLS_KEY;
        assert!(
            is_barrier != is_none,
            "{}: add it to `barriers`, or to the keys that are none",
            key.path
        );
    }
}

#[test]
fn what_widens_a_barrier_is_left_for_a_restart_and_the_rest_is_applied() {
    const KEYS: &str = "gateway_keys: [0123456789abcdef, fedcba9876543210]\n";
    const NETWORKS: &str = "trusted_proxies: [10.1.0.0/16, 10.2.0.0/16]\n";
    let with_ca = TLS.replace('}', ", client_ca: /etc/ca.pem}");
    let es_ca = "elasticsearch.tls.ca_cert: /etc/ca.pem\n";
    let mapped = |mappings: &str| format!("group_mappings: {{{mappings}}}\n");
    for (before, after, held) in [
        (KEYS, "", Some("gateway_keys")),
        (KEYS, "gateway_keys: [fedcba9876543210]\n", None),
        (KEYS, "gateway_keys: [another-gateway-key]\n", None),
        (
            "gateway_keys: [{key: fedcba9876543210, providers: [authelia]}]\n",
            "gateway_keys: [fedcba9876543210]\n",
            Some("gateway_keys"),
        ),
        (
            "gateway_keys: [fedcba9876543210]\n",
            "gateway_keys: [{key: fedcba9876543210, providers: [authelia]}]\n",
            None,
        ),
        (&with_ca, TLS, Some("tls.client_ca")),
        (&with_ca, &with_ca.replace("ca.pem", "new.pem"), None),
        (TLS, &with_ca, None),
        (NETWORKS, "trusted_proxies: [10.1.0.0/16]\n", None),
        (NETWORKS, "trusted_proxies: [10.1.2.3]\n", None),
        (
            NETWORKS,
            "trusted_proxies: [10.0.0.0/8]\n",
            Some("trusted_proxies"),
        ),
        (NETWORKS, "", Some("trusted_proxies")),
        ("", NETWORKS, None),
        ("allowed_groups: [a]\n", "", Some("allowed_groups")),
        (
            "allowed_groups: [a]\n",
            "allowed_groups: ['*']\n",
            Some("allowed_groups"),
        ),
        ("allowed_groups: [a]\n", "allowed_groups: [a, b]\n", None),
        (es_ca, "", Some("elasticsearch.tls.ca_cert")),
        (
            &mapped("ops: [viewer]"),
            &mapped("ops: [superuser]"),
            Some("group_mappings"),
        ),
        (&mapped("ops: [superuser]"), &mapped("ops: [viewer]"), None),
        (&mapped("ops: [viewer]"), &mapped("ops: [editor]"), None),
    ] {
        let again = reload(before, &format!("{after}log_level: warn\n"));
        let held: Vec<&str> = held.into_iter().collect();
        let widened: Vec<&str> = again
            .widenings
            .iter()
            .flat_map(|widening| widening.keys.clone())
            .collect();
        assert_eq!(
            (&widened, &again.requires_restart),
            (&held, &held),
            "{before}{after}"
        );
        assert!(again.applied.contains(&"log_level"), "{before}{after}");
        if !held.is_empty() {
            // What is in force is as before, and it is held again as long as the file says so.
            let (config, loaded) = again.outcome.unwrap();
            let old = good(&least_and(before), &[]);
            assert_eq!(format!("{:?}", config.trust), format!("{:?}", old.trust));
            assert_eq!(
                format!("{:?}", config.clusters[0].roles),
                format!("{:?}", old.clusters[0].roles)
            );
            assert_eq!(
                format!("{:?}", config.clusters[0].cluster.tls),
                format!("{:?}", old.clusters[0].cluster.tls)
            );
            let file = least_and(&format!("{after}log_level: warn\n"));
            let third = loaded.reload(&sources(&file, &[]));
            assert_eq!(
                (third.widenings.len(), third.applied.len()),
                (1, 0),
                "{after}"
            );
        }
    }
}

#[test]
fn a_whitelist_of_older_files_may_move_to_its_new_key() {
    let old = "enable_group_whitelist: true\ngroup_whitelist: [a]\n";
    assert!(reload(old, "allowed_groups: [A]\n").widenings.is_empty());
    let off = "enable_group_whitelist: false\ngroup_whitelist: [a]\n";
    assert_eq!(
        reload(old, off).requires_restart,
        ["enable_group_whitelist"]
    );
}

#[test]
fn the_barriers_of_a_provider_are_its_own() {
    let several = |more: &str| {
        format!(
            "auth_provider: oidc\n\
             oidc:\n  providers:\n  - {{name: a, issuer: \"https://a.example\", client_id: a, {more}}}\n"
        )
    };
    let rules = "default_roles: [viewer], allowed_groups: [a], group_mappings: {ops: [editor]}";
    let ca = "tls: {ca_cert: /etc/ca.pem}";
    for (before, after, held) in [
        (rules, rules.replace("[editor]", "[superuser]"), 1),
        (rules, rules.replace("[viewer]", "[superuser]"), 1),
        (rules, rules.replace(", allowed_groups: [a]", ""), 1),
        (rules, rules.replace("[editor]", "[monitoring_user]"), 0),
        (ca, String::new(), 1),
        (ca, ca.replace("ca.pem", "new.pem"), 0),
    ] {
        let again = reload(&several(before), &several(&after));
        assert_eq!(
            (again.widenings.len(), again.requires_restart.len()),
            (held, held),
            "{before} {after}"
        );
    }
}

#[test]
fn what_only_goes_together_with_a_new_start_is_refused_as_a_whole() {
    let nobody = reload(
        "gateway_keys: [0123456789abcdef]\n",
        "trusted_proxies: []\nlog_level: warn\n",
    );
    assert!(nobody.outcome.is_err() && nobody.applied.is_empty());
    let beside = reload(
        "elasticsearch.tls: {insecure_skip_verify: true}\n",
        "elasticsearch.tls: {ca_cert: /etc/ca.pem}\n",
    );
    let faults = beside.outcome.unwrap_err();
    assert!(
        faults.iter().any(|fault| fault
            .text
            .contains("keeps its elasticsearch.tls.insecure_skip_verify")),
        "{faults:#?}"
    );
}

#[test]
fn the_files_to_look_at_are_those_that_are_read_once() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("key");
    std::fs::write(&secret, KEY).unwrap();
    let file = format!(
        "default_roles: [viewer]\nsecret_key_file: {}\naudit.path: /var/log/audit\n{TLS}",
        secret.display()
    );
    let named = |loaded: &Loaded| {
        loaded
            .files()
            .iter()
            .map(|path| path.display().to_string())
            .collect::<Vec<_>>()
    };
    let (_, loaded) = read(&sources(&file, &[]));
    // The list is in order of the paths, and the secret's folder may come first.
    let mut expected = [
        "/etc/a.crt".to_owned(),
        "/etc/a.key".to_owned(),
        secret.display().to_string(),
    ];
    expected.sort();
    assert_eq!(named(&loaded), expected);
    // `.env` is looked at where it was read.
    let (_, with_env) = read(&sources(&file, &[]).with_dot_env("A=1"));
    assert!(named(&with_env).contains(&".env".to_owned()));
    // One that is missing is waited for.
    std::fs::remove_file(&secret).unwrap();
    assert_eq!(named(&read(&sources(&file, &[])).1).len(), 3);
}

#[test]
fn of_a_token_provider_secrets_and_role_rules_are_taken_and_its_name_is_not() {
    let one = |more: &str| {
        format!(
            "auth_provider: oidc\n\
             oidc: {{issuer: \"https://sso.example\", client_id: a, token_validation: introspection, {more}}}\n"
        )
    };
    let secret = reload(&one("client_secret: one"), &one("client_secret: two"));
    assert_eq!(
        (secret.applied, secret.requires_restart.len()),
        (vec!["oidc.client_secret"], 0)
    );
    let several = |more: &str| {
        format!(
            "auth_provider: oidc\n\
             oidc:\n  providers:\n  - {{name: a, issuer: \"https://a.example\", client_id: a, {more}}}\n  - {{name: b, issuer: \"https://b.example\", client_id: b}}\n"
        )
    };
    let rules = |role: &str| several(&format!("group_mappings: {{dev: [{role}]}}"));
    let of_a = |config: &Config| format!("{:?}", config.clusters[0].roles.by_provider.get("a"));
    let applied = reload(&rules("one"), &rules("two"));
    assert_eq!(
        (applied.applied, applied.requires_restart.len()),
        (vec!["oidc.providers"], 0)
    );
    assert!(of_a(&applied.outcome.unwrap().0).contains("two"));
    // Another client is another provider: nothing of the section counts until the restart.
    let requires_restart = reload(
        &rules("one"),
        &rules("two").replace("client_id: a", "client_id: c"),
    );
    assert_eq!(
        (
            requires_restart.applied.len(),
            requires_restart.requires_restart
        ),
        (0, vec!["oidc.providers"])
    );
    assert!(of_a(&requires_restart.outcome.unwrap().0).contains("one"));
    let same = reload(
        &rules("one"),
        &rules("one").replace("name: a, ", "name: \"a\", "),
    );
    assert!(same.applied.is_empty() && same.requires_restart.is_empty());
}

#[test]
fn secrets_of_a_section_are_looked_at_in_their_files() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("secret");
    std::fs::write(&secret, "one").unwrap();
    let file = least_and(&format!(
        "auth_provider: oidc\n\
         oidc:\n  providers:\n  - {{name: a, issuer: \"https://a.example\", client_id: a, token_validation: introspection, client_secret_file: {}}}\n",
        secret.display()
    ));
    let (checked, loaded) = read(&sources(&file, &[]));
    assert!(checked.outcome.is_ok(), "{:?}", fault_texts(&checked));
    assert!(loaded.files().contains(&secret));
    std::fs::write(&secret, "two").unwrap();
    assert_eq!(
        loaded.reload(&sources(&file, &[])).applied,
        ["oidc.providers"]
    );
}

/// What a reload makes of the listeners: the keys that apply, that require a restart and that are
/// held, and the configuration that is in force then.
fn listeners(
    before: &str,
    after: &str,
) -> (
    Vec<&'static str>,
    Vec<&'static str>,
    Vec<&'static str>,
    Config,
) {
    let again = reload(before, after);
    let held = again.widenings.iter().flat_map(|held| held.keys.clone());
    let mut held: Vec<_> = held.collect();
    held.dedup();
    (
        again.applied,
        again.requires_restart,
        held,
        *again.outcome.unwrap().0,
    )
}

#[test]
fn what_narrows_a_listener_applies_and_what_widens_it_does_not() {
    const TWO: &str = "listeners:\n\
        - {address: \":1\", trusted_proxies: [10.1.0.0/16], gateway_keys: [0123456789abcdef]}\n\
        - {unix: /a, gateway_keys: [0123456789abcdef]}\n";
    let with_names = |names: &str| {
        format!(
            "listeners: [{{address: \":1\", tls: {{cert: /a, key: /b, client_ca: /c{names}}}}}]\n"
        )
    };
    let (named, unnamed) = (with_names(", client_names: [a.test]"), with_names(""));
    for (before, after, applied, restart, held) in [
        (
            TWO,
            TWO.replace("10.1.0.0/16", "10.1.2.3"),
            true,
            false,
            false,
        ),
        (
            TWO,
            TWO.replace("10.1.0.0/16", "10.0.0.0/8"),
            false,
            true,
            true,
        ),
        (
            TWO,
            TWO.replace("0123456789abcdef", "fedcba9876543210"),
            true,
            false,
            false,
        ),
        (
            TWO,
            TWO.replace("{unix: /a, gateway_keys: [0123456789abcdef]}", "{unix: /a}"),
            false,
            true,
            true,
        ),
        (
            TWO,
            TWO.replace("trusted_proxies: [10.1.0.0/16], ", ""),
            false,
            true,
            true,
        ),
        // Where it listens changes with a restart, and nothing of the list does before.
        (TWO, TWO.replace(":1", ":2"), false, true, false),
        (TWO, TWO.replace("/a", "/b"), false, true, false),
        (
            TWO,
            format!("{TWO}- {{address: \":3\"}}\n"),
            false,
            true,
            false,
        ),
        (&named, unnamed.clone(), false, true, true),
        (&unnamed, named.clone(), true, false, false),
        (
            &named,
            with_names(", client_names: [a.test, b.test]"),
            false,
            true,
            true,
        ),
        (
            &named,
            with_names("").replace(", client_ca: /c", ""),
            false,
            true,
            true,
        ),
        (
            &named,
            named.replace("cert: /a", "cert: /d"),
            true,
            false,
            false,
        ),
        (
            &named,
            named.replace("tls: {", "tls: {enabled: true, "),
            false,
            true,
            false,
        ),
    ] {
        let found = listeners(before, &after);
        let has = |keys: &[&str]| keys.contains(&"listeners");
        assert_eq!(
            (has(&found.0), has(&found.1), has(&found.2)),
            (applied, restart, held),
            "{before}{after}"
        );
    }
}

#[test]
fn a_general_key_that_listeners_use_is_judged_by_what_they_would_have() {
    const KEY: &str = "gateway_keys: [0123456789abcdef]\n";
    let one = |own: &str| format!("listeners: [{{address: \":1\"{own}}}]\n");
    let own = one(", gateway_keys: [0123456789abcdef]");
    let keys = |config: &Config| -> Vec<usize> {
        let listeners = config.listeners.iter();
        listeners
            .map(|listener| listener.trust.gateway_keys.len())
            .collect()
    };
    // The listener has a key of its own now.
    let (applied, _, held, config) = listeners(&format!("{KEY}{}", one("")), &own);
    assert_eq!((applied.len(), held.len(), keys(&config)), (2, 0, vec![1]));
    // It would have, but the list waits for a restart: so does the general key.
    let moved = own.replace(":1", ":2");
    let (_, restart, held, config) = listeners(&format!("{KEY}{}", one("")), &moved);
    assert_eq!(
        (restart, held, keys(&config)),
        (
            vec!["gateway_keys", "listeners"],
            vec!["gateway_keys"],
            vec![1]
        )
    );
    // The list is held for another reason, which must not take the key away.
    let wider = one(", gateway_keys: [0123456789abcdef], trusted_proxies: [0.0.0.0/0]");
    let (_, _, held, config) = listeners(&format!("{KEY}{}", one("")), &wider);
    assert_eq!(
        (held, keys(&config)),
        (vec!["listeners", "gateway_keys"], vec![1])
    );
    // What a listener does not use is no barrier of it, but the one of operators uses it.
    let (applied, ..) = listeners(&format!("{KEY}{own}"), &own);
    assert_eq!(applied, ["gateway_keys"]);
    let admin = format!("{own}admin: {{listen: \":9\"}}\n");
    let (applied, _, held, _) = listeners(&format!("{KEY}{admin}"), &admin);
    assert_eq!((applied.len(), held), (0, vec!["gateway_keys"]));
}
