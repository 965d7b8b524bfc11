//! `elastauth check --online`: do the cluster, Redis and the identity providers answer, and would
//! they let elastauth do its work? Writes nothing.

use crate::{
    clock::Clock,
    cluster::{CallError, Config, Kind, SecurityApi, version_warning},
    config,
    identity::{
        ProviderConfig,
        oidc::{self, Validation},
    },
    idp::{EndpointKind, Idp, Verdict},
    ledger::{self, Ledger, StoreConfig},
    roles,
    shutdown::Tasks,
    telemetry::{ClusterTelemetry, Telemetry, chain, clocks::ClockCheck, metrics::ClusterMetrics},
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// For the store: connecting, subscribing, and receiving its own message.
const STORE: Duration = Duration::from_secs(5);

/// For an identity provider: its description and its keys.
const ISSUER: Duration = Duration::from_secs(10);

/// A token of no provider. The alphabet is that of opaque tokens.
const MADE_UP: &str = "made-up-by-elastauth-check";

/// One thing that was tried.
#[derive(Debug, Serialize)]
pub(super) struct Tried {
    pub(super) what: String,
    pub(super) ok: bool,
    /// It was left out, for the reason in `found`.
    pub(super) skipped: bool,
    pub(super) found: String,
}

impl Tried {
    /// `Ok` with what was found, or `Err` with what is wrong.
    pub(super) fn new(what: String, found: Result<String, String>) -> Self {
        let ok = found.is_ok();
        let found = found.unwrap_or_else(|why| why);
        Self {
            what,
            ok,
            skipped: false,
            found,
        }
    }

    /// Left out; that is no failure.
    pub(super) fn skipped(what: String, why: String) -> Self {
        Self {
            skipped: true,
            ..Self::new(what, Ok(why))
        }
    }
}

/// Tries everything that the configuration names.
pub(super) async fn run(config: &config::Config) -> Vec<Tried> {
    let mut tried = Vec::new();
    let is_one = config.clusters.len() == 1;
    for of_cluster in &config.clusters {
        if let Some(tenants) = of_cluster
            .tenants
            .as_ref()
            .filter(|tenants| tenants.separate)
        {
            let why = format!(
                "each tenant has nodes of its own; they are known when somebody asks for `{{{}}}`",
                tenants.capture
            );
            tried.push(Tried::skipped(format!("cluster {}", of_cluster.name), why));
            continue;
        }
        for host in &of_cluster.cluster.hosts {
            // One host at a time: the client itself would use the next one, and hide that this one
            // does not answer.
            let alone = Config {
                hosts: vec![host.clone()],
                ..of_cluster.cluster.clone()
            };
            let url = host.to_string();
            let url = url.trim_end_matches('/');
            let name = if is_one {
                url.to_owned()
            } else {
                format!("cluster {}: {url}", of_cluster.name)
            };
            // A role with a capture has another name for each tenant.
            let none = roles::Config::default();
            let are_known = of_cluster.tenants.is_none();
            let roles = if are_known { &of_cluster.roles } else { &none };
            node(&name, &alone, roles, &mut tried).await;
        }
    }
    tried.extend(store(config).await);
    for provider in &config.identity.providers {
        if let ProviderConfig::Oidc(oidc) = provider {
            for issuer in &oidc.providers {
                let kind = match issuer.idp.issuer.expected() {
                    Some(_) => "issuer",
                    None => "provider",
                };
                let name = format!("{kind} {}", issuer.idp.issuer);
                match idp(issuer) {
                    Err(why) => tried.push(Tried::new(name, Err(why))),
                    Ok(idp) => {
                        let answers = answers(&idp, issuer.validation);
                        let answers = timeout(ISSUER, answers).await;
                        let late = |_| Err(format!("no answer within {ISSUER:?}"));
                        tried.push(Tried::new(name, answers.unwrap_or_else(late)));
                        tried.extend(clock(&idp, issuer).await);
                    }
                }
            }
        }
    }
    tried
}

/// What tokens will need of an identity provider: its description, its keys, and the endpoints that
/// are asked about tokens. These are asked about a token that nobody has issued: whoever accepts it
/// would accept any.
async fn answers(idp: &Idp, validation: Validation) -> Result<String, String> {
    // Without an issuer no token is verified.
    let signed = idp.issuer().expected().is_some();
    let needed = validation.endpoints().iter();
    let mut found = Vec::new();
    for what in needed.filter(|what| signed || **what != EndpointKind::Keys) {
        let answer = match what {
            EndpointKind::Keys | EndpointKind::Discovery => match idp.count_keys().await {
                Ok(0) => {
                    return Err("it answers, and none of its keys can verify a token".to_owned());
                }
                Ok(keys) => {
                    found.push(format!("{keys} of its keys can verify tokens"));
                    continue;
                }
                Err(error) => Err(error),
            },
            EndpointKind::Userinfo => idp.userinfo(MADE_UP).await,
            EndpointKind::Introspection => idp.introspect(MADE_UP).await,
        };
        match answer {
            Ok(Verdict::Refused) => found.push(format!("its {what} refuses a made-up token")),
            Ok(Verdict::Claims(_) | Verdict::Signed(_)) => {
                return Err(format!(
                    "its {what} accepts a token that nobody has issued: look at the address"
                ));
            }
            Err(error) => return Err(chain(&error)),
        }
    }
    Ok(format!("it answers, and {}", found.join(", and ")))
}

fn idp(config: &oidc::OidcProviderConfig) -> Result<Idp, String> {
    let idp = Idp::new(
        config.idp.clone(),
        &config.name,
        Clock::System,
        Tasks::default(),
        &Telemetry::default(),
    );
    idp.map_err(|error| chain(&error))
}

/// Whether an identity provider's clock agrees with ours: tokens are checked by both. If it does
/// not answer, the line before has reported it.
async fn clock(idp: &Idp, config: &oidc::OidcProviderConfig) -> Option<Tried> {
    let (theirs, ours) = timeout(ISSUER, idp.time()).await.ok()?.ok()??;
    let ahead = theirs.0.saturating_sub(ours.0) / 1_000;
    let behind = ours.0.saturating_sub(theirs.0) / 1_000;
    let leeway = config.leeway;
    let found = if ahead.max(behind) <= leeway.as_secs().max(1) {
        Ok("it agrees with ours".to_owned())
    } else if ahead > 0 {
        Err(format!(
            "it is {ahead} s ahead of ours, and `leeway` is {leeway:?}: new tokens are refused; \
             correct the clock that is wrong"
        ))
    } else {
        Err(format!(
            "it is {behind} s behind ours, and `leeway` is {leeway:?}: tokens are accepted longer \
             than they should be; correct the clock that is wrong"
        ))
    };
    let what = format!("clock of issuer {}", config.idp.issuer);
    Some(Tried::new(what, found))
}

/// The store of the ledger, tried as the service uses it.
async fn store(config: &config::Config) -> Option<Tried> {
    // All clusters have the same Redis.
    let broker = &config.clusters.first()?.broker;
    let StoreConfig::Redis(..) = &broker.ledger.store else {
        return None;
    };
    let keys = Arc::new(broker.keyring().ok()?);
    let tasks = Tasks::default();
    let context = ledger::LedgerContext {
        keys,
        expiration: broker.expiration,
        clock: Clock::System,
        tasks: tasks.clone(),
        clocks: ClockCheck::default(),
        metrics: ClusterMetrics::default(),
    };
    let ledger = Ledger::start(&broker.ledger, context, &ledger::Folders::default());
    let found = match ledger {
        Err(error) => Err(chain(&error)),
        Ok(ledger) => {
            let end = Instant::now() + STORE;
            loop {
                let state = ledger.store_state();
                if state.is_ok() || Instant::now() >= end {
                    break state
                        .map(|_| "Redis answers, and messages between replicas arrive".to_owned())
                        .map_err(str::to_owned);
                }
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    tasks.end();
    Some(Tried::new("cache.type: redis".to_owned(), found))
}

async fn node(host: &str, config: &Config, roles: &roles::Config, tried: &mut Vec<Tried>) {
    let mut add = |what: &str, found: Result<String, String>| {
        let ok = found.is_ok();
        tried.push(Tried::new(format!("{host} {what}"), found));
        ok
    };
    let cluster = match SecurityApi::new(config, Clock::System, &ClusterTelemetry::default()) {
        Ok(cluster) => cluster,
        Err(error) => {
            add("TLS", Err(chain(&error)));
            return;
        }
    };
    let account = cluster.check().await.map_err(|error| refusal(&error));
    let accepted = account.map(|()| "the cluster answers and accepts it".to_owned());
    if !add("service account", accepted) {
        return;
    }
    let version = cluster.version().await.map_err(|error| refusal(&error));
    let not_shown = || "not shown to this account, which needs no right to see it".to_owned();
    let kind = cluster.kind();
    add(
        "version",
        version.map(|version| match version {
            None => format!("{kind}, {}", not_shown()),
            Some(version) => match version_warning(kind, &version) {
                Some(warning) => format!("{kind} {version}: {warning}"),
                None => format!("{kind} {version}"),
            },
        }),
    );
    let missing = cluster.missing_privileges().await;
    let privileges = match missing {
        Ok(missing) if missing.is_empty() => Ok("the account may read and write users".to_owned()),
        Ok(missing) => Err(format!(
            "the account lacks {}; {}",
            missing.join(" and "),
            if kind == Kind::Opensearch {
                "give it a role that `plugins.security.restapi.roles_enabled` lists"
            } else {
                "give its role these cluster privileges"
            }
        )),
        Err(error) => Err(refusal(&error)),
    };
    add("privileges", privileges);
    let roles = roles.named_roles();
    if !roles.is_empty() {
        let what = format!("{host} roles");
        tried.push(configured_roles(what, &cluster, &roles).await);
    }
}

/// Whether the cluster has the roles of the configuration. That of Elasticsearch gives any, and one
/// that does not exist grants nothing; that of OpenSearch refuses users with such a role.
async fn configured_roles(what: String, cluster: &SecurityApi, roles: &[&str]) -> Tried {
    match cluster.missing_roles(roles).await {
        Ok(Some(missing)) if missing.is_empty() => {
            let found = "the cluster has all roles of the configuration";
            Tried::new(what, Ok(found.to_owned()))
        }
        Ok(Some(missing)) => {
            let found = format!(
                "the cluster does not have {}; create them there, or correct `group_mappings`, \
                 `user_mappings` and `default_roles`",
                missing.join(", ")
            );
            Tried::new(what, Err(found))
        }
        Ok(None) | Err(_) => {
            let why = "cannot tell whether the cluster has the roles of the configuration: the \
                       account may not list roles, which elastauth does not need";
            Tried::skipped(what, why.to_owned())
        }
    }
}

pub(super) fn refusal(error: &CallError) -> String {
    if error.status().is_some_and(|status| status == 401) {
        return format!(
            "{error}: the cluster does not accept the account; look at `elasticsearch.username`, \
             `.password` or `.api_key`"
        );
    }
    chain(error)
}
