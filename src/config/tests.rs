mod clusters;
mod documents;
mod faults;
mod listeners;
mod names;
mod providers;
mod proxy;
mod reload;
mod secrets;
mod sources;
mod traces;
mod users;

use super::{
    finding::{Findings, Place},
    *,
};
use crate::{
    broker::OpenSearchPeriods,
    identity::ProviderConfig,
    model::Group,
    telemetry::{self, audit},
};
use std::time::Duration;

const KEY: &str = "5b0e4a6fd2c97381f0a4be6c1d7e93528c2f6b1a0d94e7738fb15c60a29ed847";

/// What a configuration needs at least.
const LEAST: &str = "default_roles: [viewer]\n\
 secret_key: 5b0e4a6fd2c97381f0a4be6c1d7e93528c2f6b1a0d94e7738fb15c60a29ed847\n\
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
fn a_rotation_that_is_given_counts_for_either_kind_of_cluster() {
    let given = |credentials: &str| {
        let config = good(&least_and(credentials), &[]);
        let broker = &config.clusters[0].broker;
        let OpenSearchPeriods {
            rotation,
            park_within,
        } = broker.opensearch;
        (broker.rotation, rotation, broker.park_within, park_within)
    };
    let hours = Duration::from_hours;
    assert_eq!(
        given("credentials: {rotation: 24h}"),
        (hours(24), hours(24), Some(hours(1)), hours(6))
    );
    assert_eq!(
        given("credentials: {rotation: 8h, park_within: 3h}"),
        (hours(8), hours(8), Some(hours(3)), hours(3))
    );
    assert_eq!(
        given("credentials: {park_within: 2h}"),
        (hours(24), hours(7 * 24), Some(hours(2)), hours(2))
    );
}

#[test]
fn the_least_that_works_has_the_documented_defaults() {
    let config = good(LEAST, &[]);
    assert_eq!(config.listeners[0].listen.to_string(), "127.0.0.1:5000");
    assert!(config.listeners[0].tls.is_none());
    assert!(
        config.trust.proxies.contains(&"fe80::/10".parse().unwrap())
            && config.trust.proxies.len() == 7
    );
    assert_eq!(
        (
            config.clusters[0].broker.rotation,
            config.clusters[0].broker.grace
        ),
        (Duration::from_hours(24), Duration::from_millis(500))
    );
    assert_eq!(
        config.clusters[0].broker.opensearch,
        OpenSearchPeriods {
            rotation: Duration::from_hours(7 * 24),
            park_within: Duration::from_hours(24),
        }
    );
    assert_eq!(
        (
            config.clusters[0].broker.expiration,
            config.clusters[0].broker.writes_per_minute
        ),
        (Duration::from_hours(1), 10)
    );
    assert_eq!(
        (
            config.clusters[0].broker.cluster_name.as_str(),
            config.clusters[0].broker.service_account.as_deref()
        ),
        ("default", Some("elastauth"))
    );
    assert_eq!(config.clusters[0].broker.ledger.capacity, 1_200_000);
    assert!(config.clusters[0].roles.allowed_groups.is_none());
    let [ProviderConfig::Headers(headers)] = config.identity.providers.as_slice() else {
        panic!("one provider")
    };
    assert_eq!(
        (&headers.users[..], headers.groups_required),
        (&[http::HeaderName::from_static("remote-user")][..], false)
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
fn what_operators_are_shown_is_the_whole_in_sections_without_a_secret() {
    let config = good(
        &least_and(
            "enable_metrics: true\nadmin: {listen: \":5001\"}\naudit: {path: stdout}\n\
             log_format: ecs\n",
        ),
        &[("ELASTAUTH_DEFAULT_ROLES", "viewer, editor")],
    );
    assert!(config.admin.metrics && config.admin.listen.is_some());
    assert_eq!(
        (config.audit.target, config.telemetry.format),
        (audit::AuditTarget::Stdout, telemetry::log::Format::Ecs)
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
        (
            &shown["auth_provider"],
            &shown["mode"],
            &shown["proxy"]["enabled"],
            &shown["proxy"]["timeout"]
        ),
        (
            &"authelia".into(),
            &"auth-only".into(),
            &false.into(),
            &"30s".into()
        )
    );
    let two = least_and(
        "auth_provider: [authelia, oidc]\noidc: {issuer: \"https://idp.test\", client_id: a}\n",
    );
    assert_eq!(
        good(&two, &[]).shown["auth_provider"],
        serde_json::json!(["authelia", "oidc"])
    );
}
