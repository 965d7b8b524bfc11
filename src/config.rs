//! The configuration: from flags, environment, `.env` and YAML to each component's own `Config`,
//! with every fault at once.
//!
//! `table` knows the keys, `kind` their values. `load` reads what the process has, `layers` says
//! which source gives which key, `settings` keeps the highest one, `fill` hands it out. Nothing
//! above this floor knows where a value came from.

mod describe;
mod dotenv;
mod effective;
mod expand;
mod fill;
mod finding;
mod key;
mod layers;
mod load;
mod raw;
mod reload;
mod schema;
mod section;
mod settings;
mod sources;
mod table;
#[cfg(test)]
mod tests;
mod value;
mod value_type;
mod yaml;

pub use describe::{example, reference};
pub use effective::{Setting, effective};
pub use finding::{Fault, Place, Warning};
pub use reload::{Loaded, Reloaded};
pub use schema::schema;
pub use sources::{Flags, Sources};

use crate::{
    broker, cluster, identity, ledger,
    net::{tls, trust},
    roles,
    secret::{NoRandomness, SecretKey},
    server, telemetry,
};
use finding::Findings;
use settings::Settings;
use std::error::Error;

/// What each component is told.
#[derive(Debug, Clone)]
#[expect(
    missing_docs,
    reason = "one field a component, and the component's type says the rest"
)]
pub struct Config {
    pub server: server::Config,
    pub trust: trust::Config,
    pub identity: identity::Config,
    pub roles: roles::Config,
    pub broker: broker::Config,
    pub cluster: cluster::Config,
    pub telemetry: telemetry::log::Config,
    pub audit: telemetry::audit::Config,
    pub traces: telemetry::traces::Config,
    pub admin: server::AdminConfig,
    /// The effective configuration for people, with `***` in the place of every secret.
    pub shown: serde_json::Value,
}

/// A configuration that was looked at as a whole.
#[derive(Debug)]
pub struct Checked {
    /// The configuration, or everything that is wrong with it: at least one fault.
    pub outcome: Result<Config, Vec<Fault>>,
    /// What is legal, and weak or old.
    pub warnings: Vec<Warning>,
}

impl Checked {
    /// What came of filling everything in. Without a configuration there is a fault, and with a
    /// fault no configuration.
    fn new(config: Option<Config>, findings: Findings) -> Self {
        let (mut faults, warnings) = findings.sorted();
        let outcome = match config {
            Some(config) if faults.is_empty() => Ok(config),
            _ => {
                if faults.is_empty() {
                    // A filler that asks for the wrong type; the tests of the defaults would have
                    // found it.
                    faults.push(Fault {
                        place: Place::Nowhere,
                        text: "a value was lost on its way; this is a bug of elastauth".to_owned(),
                    });
                }
                Err(faults)
            }
        };
        Self { outcome, warnings }
    }
}

/// Reads the sources as a whole. Changes nothing and asks nobody.
#[must_use]
pub fn check(sources: &Sources) -> Checked {
    read(sources).0
}

/// The same, and what is needed to read them again while the program runs.
#[must_use]
pub fn read(sources: &Sources) -> (Checked, Loaded) {
    let mut findings = Findings::default();
    let settings = Settings::gather(sources, &mut findings);
    // Where a source could not be read, every other fault would be a guess.
    let config = if settings.unread {
        None
    } else {
        fill::fill(&settings, &mut findings)
    };
    (
        Checked::new(config, findings),
        Loaded::new(settings, sources),
    )
}

/// What is wrong with the certificate and key files that a good configuration names. The start
/// finds the same, one at a time.
#[must_use]
pub fn check_files(config: &Config) -> Vec<Fault> {
    let mut faults = Vec::new();
    if config
        .cluster
        .hosts
        .iter()
        .any(|host| host.scheme_str() == Some("https"))
    {
        look(
            "elasticsearch.tls",
            tls::client(&config.cluster.tls),
            &mut faults,
        );
    }
    if let ledger::StoreConfig::Redis(redis) = &config.broker.ledger.store {
        look("redis", redis.access().map(drop), &mut faults);
    }
    for provider in &config.identity.providers {
        if let identity::ProviderConfig::Oidc(oidc) = provider {
            for issuer in &oidc.providers {
                look("oidc.tls", tls::client(&issuer.idp.http.tls), &mut faults);
            }
        }
    }
    if let Some(files) = &config.server.tls {
        look("tls", tls::server(files), &mut faults);
    }
    if let telemetry::traces::Config::Otlp(otlp) = &config.traces
        && otlp.endpoint.scheme_str() == Some("https")
    {
        look(
            "OTEL_EXPORTER_OTLP_CERTIFICATE",
            tls::client(&otlp.http.tls),
            &mut faults,
        );
    }
    faults
}

fn look<T>(section: &str, result: Result<T, impl Error + 'static>, faults: &mut Vec<Fault>) {
    if let Err(error) = result {
        faults.push(Fault {
            place: Place::Nowhere,
            text: format!("`{section}`: {}", telemetry::chain(&error)),
        });
    }
}

/// A new `secret_key` as the configuration takes it.
///
/// # Errors
/// When the system has no randomness to give.
pub fn generate_key() -> Result<String, NoRandomness> {
    SecretKey::random().map(|key| key.expose_hex())
}
