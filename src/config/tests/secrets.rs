//! Where secrets come from, and where they never show.

use super::*;
use crate::secret::ExposeSecret as _;

const MARK: &str = "MARKED-not-to-be-seen";

fn file(folder: &tempfile::TempDir, name: &str, text: &str, mode: u32) -> String {
    use std::os::unix::fs::PermissionsExt as _;
    let path = folder.path().join(name);
    std::fs::write(&path, text).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    path.display().to_string()
}

#[test]
fn a_secret_may_stand_in_a_file_of_its_own() {
    let folder = tempfile::tempdir().unwrap();
    let key = file(&folder, "key", &format!("{KEY}\n"), 0o600);
    let password = file(&folder, "password", "two\nlines\n\n", 0o600);
    let gateways = file(
        &folder,
        "gateways",
        "first-gateway-key\nsecond-gateway-key\n",
        0o600,
    );
    let text = format!(
        "default_roles: [a]\nsecret_key_file: {key}\n\
         elasticsearch: {{hosts: https://es, username: u}}\ngateway_keys_file: {gateways}\n"
    );
    let config = good(
        &text,
        &[("ELASTAUTH_ELASTICSEARCH_PASSWORD_FILE", &password)],
    );
    assert!(config.clusters[0].broker.secret_key.is_some());
    assert_eq!(config.trust.gateway_keys.len(), 2);
    let crate::cluster::ServiceAccount::Basic { password, .. } =
        &config.clusters[0].cluster.account
    else {
        panic!("a password")
    };
    assert_eq!(
        password.expose_secret(),
        "two\nlines\n",
        "one newline at the end belongs to the file"
    );
}

#[test]
fn a_file_that_cannot_be_used_is_named_with_the_place_that_names_it() {
    let folder = tempfile::tempdir().unwrap();
    let (empty, open) = (
        file(&folder, "empty", "\n", 0o600),
        file(&folder, "open", KEY, 0o644),
    );
    for (path, words) in [
        ("/nonexistent/key", "cannot be read"),
        (&empty, "is empty"),
        (&folder.path().display().to_string(), "cannot be read"),
    ] {
        let texts = faults(&format!("secret_key_file: {path}\n"));
        assert!(
            texts.iter().any(|fault| fault
                .starts_with(&format!("{path} (named at config.yml:1:1): "))
                && fault.contains(words)),
            "{texts:#?}"
        );
    }
    assert!(
        warnings(&format!("secret_key_file: {open}\n"), &[])
            .iter()
            .any(|warning| warning.contains("every user of this machine"))
    );
}

#[test]
fn a_value_and_a_file_in_one_place_are_a_fault_and_in_two_the_higher_counts() {
    let both = format!("{LEAST}secret_key_file: /nonexistent\n");
    assert!(
        faults(&both)
            .iter()
            .any(|fault| fault.contains("`secret_key` is given twice")),
        "{:#?}",
        faults(&both)
    );
    let text = LEAST.replace("secret_key: ", "secret_key: # ") + "secret_key_file: /nonexistent\n";
    assert!(
        fault_texts(&check(&sources(&text, &[])))
            .iter()
            .any(|fault| fault.contains("/nonexistent"))
    );
    let folder = tempfile::tempdir().unwrap();
    let key = file(&folder, "key", KEY, 0o600);
    good(LEAST, &[("ELASTAUTH_SECRET_KEY_FILE", &key)]);
}

/// Everything that is ever reported about these sources.
fn everything_reported(sources: &Sources) -> String {
    let checked = check(sources);
    let faults = checked
        .outcome
        .as_ref()
        .err()
        .map_or(String::new(), |faults| {
            serde_json::to_string(faults).unwrap()
        });
    format!(
        "{checked:?} {faults} {:?} {sources:?} {:?}",
        effective(sources),
        fault_texts(&checked)
    )
}

#[test]
fn a_secret_never_shows_wherever_it_stands() {
    for key in table::ALL.iter().filter(|key| key.value_type.is_secret()) {
        let names = [key.path].into_iter().chain(key.old.iter().copied());
        for (name, form) in names.flat_map(|name| {
            [
                "MARK",
                "[MARK]",
                "[MARK, 'MARK,MARK']",
                "{MARK: MARK}",
                "{a: MARK}",
                "[{a: MARK}]",
                "\"MARK",
                "!x MARK",
                "&a MARK",
                "${MARK}",
            ]
            .map(|form| (name, form))
        }) {
            let text = format!("{name}: {}\n", form.replace("MARK", MARK));
            let reported = everything_reported(&sources(&text, &[]));
            // The name of a variable is no secret, and telling it is the point.
            assert!(
                !reported.contains("MARKED") || form == "${MARK}",
                "{text}: {reported}"
            );
        }
        for value in [MARK.to_owned(), format!("{MARK},{MARK}")] {
            for suffix in ["", "_0", "_A"] {
                let name = format!("{}{suffix}", key.variable());
                let reported = everything_reported(
                    &sources("", &[(&name, &value)])
                        .with_dot_env(&format!("{name}={value}\n{value}")),
                );
                assert!(!reported.contains("MARKED"), "{name}: {reported}");
            }
        }
    }
}

#[test]
fn user_information_and_queries_of_addresses_never_show() {
    let keys = table::ALL.iter().map(|key| (key.path.to_owned(), *key));
    let sections = section::keys(value_type::SectionsOf::Providers)
        .map(|(name, key)| (format!("oidc.providers: [{{{name}"), key));
    let of_provider = |name: &str| name.starts_with("oidc.providers: [");
    let mut walked = 0;
    for (name, key) in keys.chain(sections) {
        if !key.value_type.is_address() {
            // Whatever looks like an address in the table is one, or a secret.
            let looks = key.default.contains("://") || key.example.contains("://");
            let is_list = matches!(key.value_type, value_type::ValueType::Sections(_));
            // A name in a certificate is as public as the certificate.
            let is_name = key == &table::TLS_CLIENT_NAMES;
            assert!(
                !looks || is_list || is_name || key.value_type.is_secret(),
                "{name}"
            );
            continue;
        }
        walked += 1;
        for address in [
            "https://user:MARK@host:9200/path",
            "https://MARK@host/path?MARK#MARK",
            "https://host:9200/path?key=MARK",
            "https://host/path?a=1,MARK",
            "https://host/path#MARK",
            "redis://:MARK@host:6379/0",
            "user:MARK@host:6379",
            "https://user:a/MARK@host",
        ] {
            let address = address.replace("MARK", MARK);
            let end = if of_provider(&name) { "}]" } else { "" };
            let mut given = vec![sources(&format!("{name}: \"{address}\"{end}\n"), &[])];
            if !of_provider(&name) {
                given.push(sources("", &[(&key.variable(), &address)]));
            }
            for sources in given {
                let settings = gather::gather(&sources, &mut Findings::default());
                let page = effective::tree(&settings).to_string();
                let reported = everything_reported(&sources) + &page;
                // A list in one text ends its items at commas.
                let cut = address.contains(',')
                    && matches!(key.value_type, value_type::ValueType::List(_));
                assert!(
                    !reported.contains("MARKED") || cut,
                    "{name}: {address}: {reported}"
                );
            }
        }
    }
    assert!(walked >= 12, "{walked}");
}

#[test]
fn a_good_secret_does_not_show_either() {
    let text = LEAST.replace("password: p", &format!("password: {MARK}"))
        + &format!("gateway_keys: [{MARK}]\n");
    let reported = everything_reported(&sources(&text, &[]));
    assert!(
        !reported.contains("MARKED") && !reported.contains(KEY) && reported.contains("***"),
        "{reported}"
    );
    let inside = LEAST.replace("https://es", &format!("https://user:{MARK}@es"));
    let reported = everything_reported(&sources(&inside, &[]));
    assert!(
        !reported.contains("MARKED"),
        "a password in a URL: {reported}"
    );
}
