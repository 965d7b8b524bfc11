//! `elastauth check --online`: are the others there, and would they let us do our work? Nothing is
//! written anywhere.

use crate::{
    clock::Clock,
    cluster::{CallError, Config, SecurityApi},
    config,
    identity::{
        ProviderConfig,
        oidc::{self, Asked, Validation},
    },
    idp::{Idp, What},
    ledger::{Ledger, StoreConfig},
    shutdown::Tasks,
    telemetry::{ClusterTelemetry, Telemetry, chain},
};
use serde::Serialize;
use std::{sync::Arc, time::Duration};
use tokio::time::{Instant, sleep, timeout};

/// How long the store is given: connecting, subscribing and hearing oneself.
const STORE: Duration = Duration::from_secs(5);

/// How long an identity provider is given for its description and its keys.
const ISSUER: Duration = Duration::from_secs(10);

/// One thing that was tried.
#[derive(Debug, Serialize)]
pub(super) struct Tried {
    /// What was looked at.
    pub(super) what: String,
    /// Whether it is as it should be.
    pub(super) ok: bool,
    /// What was found.
    pub(super) found: String,
}

/// Tries everything that the configuration names.
pub(super) async fn run(config: &config::Config) -> Vec<Tried> {
    let mut tried = Vec::new();
    for host in &config.cluster.hosts {
        // One host at a time: the client itself would go on to the next one and hide that this one
        // is away.
        let alone = Config {
            hosts: vec![host.clone()],
            ..config.cluster.clone()
        };
        tried.extend(node(alone).await);
    }
    tried.extend(store(config).await);
    for provider in &config.identity.providers {
        if let ProviderConfig::Oidc(oidc) = provider {
            for issuer in &oidc.providers {
                tried.push(self::issuer(issuer).await);
                tried.extend(clock(issuer).await);
            }
        }
    }
    tried
}

/// An identity provider's description, and its keys where tokens are verified with them.
async fn issuer(config: &oidc::ProviderConfig) -> Tried {
    let what = format!("issuer {}", config.idp.issuer);
    let idp = match Idp::new(
        config.idp.clone(),
        &config.name,
        Clock::System,
        Tasks::default(),
        &Telemetry::default(),
    ) {
        Ok(idp) => idp,
        Err(error) => {
            return Tried {
                what,
                ok: false,
                found: chain(&error),
            };
        }
    };
    let (asked, keys) = match config.validation {
        Validation::Jwks => (None, true),
        Validation::Userinfo | Validation::Both(Asked::Userinfo) => (Some(What::Userinfo), true),
        Validation::Introspection => (Some(What::Introspection), false),
        Validation::Both(Asked::Introspection | Asked::IntrospectionThenUserinfo) => {
            (Some(What::Introspection), true)
        }
    };
    match timeout(ISSUER, idp.try_out(asked, keys)).await {
        Ok(Ok(Some(0))) => Tried {
            what,
            ok: false,
            found: "it answers, and none of its keys can verify a token".to_owned(),
        },
        Ok(Ok(Some(keys))) => Tried {
            what,
            ok: true,
            found: format!("it answers, and {keys} of its keys can verify tokens"),
        },
        Ok(Ok(None)) => Tried {
            what,
            ok: true,
            found: "it says where tokens are asked about".to_owned(),
        },
        Ok(Err(error)) => Tried {
            what,
            ok: false,
            found: chain(&error),
        },
        Err(_late) => Tried {
            what,
            ok: false,
            found: format!("no answer within {ISSUER:?}"),
        },
    }
}

/// Whether an identity provider's clock agrees with ours: tokens are judged by both. Where it does
/// not answer, the other line has told it.
async fn clock(config: &oidc::ProviderConfig) -> Option<Tried> {
    let what = format!("clock of issuer {}", config.idp.issuer);
    let idp = Idp::new(
        config.idp.clone(),
        &config.name,
        Clock::System,
        Tasks::default(),
        &Telemetry::default(),
    )
    .ok()?;
    let (theirs, ours) = timeout(ISSUER, idp.time()).await.ok()?.ok()??;
    let (ahead, behind) = (
        theirs.0.saturating_sub(ours.0) / 1_000,
        ours.0.saturating_sub(theirs.0) / 1_000,
    );
    let ok = ahead.max(behind) <= config.leeway.as_secs().max(1);
    let found = match (ok, ahead) {
        (true, _) => "it agrees with ours".to_owned(),
        (false, 0) => {
            format!(
                "it is {behind} s behind ours, and `leeway` is {:?}: tokens are taken longer than they should be",
                config.leeway
            )
        }
        (false, _) => format!(
            "it is {ahead} s ahead of ours, and `leeway` is {:?}: fresh tokens are refused",
            config.leeway
        ),
    };
    Some(Tried { what, ok, found })
}

/// The store behind the memory, tried as the program uses it.
async fn store(config: &config::Config) -> Option<Tried> {
    let (what, tasks) = (|kind: &str| format!("cache.type: {kind}"), Tasks::default());
    let StoreConfig::Redis(..) = &config.broker.ledger.store else {
        return None;
    };
    let keys = Arc::new(config.broker.keyring().ok()?);
    let tried = match Ledger::start(
        &config.broker.ledger,
        &keys,
        config.broker.expiration,
        &Clock::System,
        &tasks,
        &ClusterTelemetry::default(),
    ) {
        Err(error) => Tried {
            what: what("redis"),
            ok: false,
            found: chain(&error),
        },
        Ok(ledger) => {
            let mut state = ledger.store_state();
            let end = Instant::now() + STORE;
            while state.is_err() && Instant::now() < end {
                sleep(Duration::from_millis(50)).await;
                state = ledger.store_state();
            }
            let (ok, found) = match state {
                Ok(_) => (
                    true,
                    "Redis answers, and what replicas tell each other is heard".to_owned(),
                ),
                Err(why) => (false, why),
            };
            Tried {
                what: what("redis"),
                ok,
                found,
            }
        }
    };
    tasks.end();
    Some(tried)
}

async fn node(config: Config) -> Vec<Tried> {
    let host = config
        .hosts
        .first()
        .map(ToString::to_string)
        .unwrap_or_default();
    let what = |what: &str| format!("{} {what}", host.trim_end_matches('/'));
    let cluster = match SecurityApi::new(&config, Clock::System, &ClusterTelemetry::default()) {
        Ok(cluster) => cluster,
        Err(error) => {
            return vec![Tried {
                what: what("TLS"),
                ok: false,
                found: chain(&error),
            }];
        }
    };
    let mut tried = vec![match cluster.check().await {
        Ok(()) => Tried {
            what: what("service account"),
            ok: true,
            found: "the cluster answers and takes it".to_owned(),
        },
        Err(error) => {
            return vec![Tried {
                what: what("service account"),
                ok: false,
                found: refusal(&error),
            }];
        }
    }];
    tried.push(match cluster.version().await {
        Ok(Some(version)) => Tried {
            what: what("version"),
            ok: true,
            found: version,
        },
        Ok(None) => Tried {
            what: what("version"),
            ok: true,
            found: "not shown to this account, which needs no right to see it".to_owned(),
        },
        Err(error) => Tried {
            what: what("version"),
            ok: false,
            found: refusal(&error),
        },
    });
    tried.push(match cluster.missing_privileges().await {
        Ok(missing) if missing.is_empty() => Tried {
            what: what("privileges"),
            ok: true,
            found: "the account may read and write users".to_owned(),
        },
        Ok(missing) => {
            let found = format!(
                "the account lacks {}; give its role these cluster privileges",
                missing.join(" and ")
            );
            Tried {
                what: what("privileges"),
                ok: false,
                found,
            }
        }
        Err(error) => Tried {
            what: what("privileges"),
            ok: false,
            found: refusal(&error),
        },
    });
    tried
}

fn refusal(error: &CallError) -> String {
    match error.status().map(|status| status.as_u16()) {
        Some(401) => format!(
            "{error}: the cluster does not take the account; look at `elasticsearch.username`, `.password` or `.api_key`"
        ),
        _ => chain(error),
    }
}
