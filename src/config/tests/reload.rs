//! A configuration that is read again: what is applied, what requires a restart, what is refused.

use super::*;

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
    assert_eq!(config.server.listen.to_string(), "127.0.0.1:5000");
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
    assert!(gone.outcome.unwrap().0.server.tls.is_some());
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
    assert_eq!(
        named(&loaded),
        [
            "/etc/a.crt".to_owned(),
            "/etc/a.key".to_owned(),
            secret.display().to_string(),
            ".env".to_owned()
        ]
    );
    // One that is missing is waited for.
    std::fs::remove_file(&secret).unwrap();
    assert_eq!(named(&read(&sources(&file, &[])).1).len(), 4);
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
    let of_a = |config: &Config| format!("{:?}", config.roles.by_provider.get("a"));
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
