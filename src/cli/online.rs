//! `elastauth check --online`: are the others there, and would they let us do our work? Nothing is written anywhere.

use super::reason;
use crate::{
    clock::Clock,
    cluster::{CallError, Cluster, Config},
    config,
    ledger::{self, Ledger, StoreConfig},
    shutdown::Tasks,
    telemetry::skew::Skew,
};
use serde::Serialize;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How long the store is given: connecting, subscribing and hearing oneself.
const STORE: Duration = Duration::from_secs(5);

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
        // One host at a time: the client itself would go on to the next one and hide that this one is away.
        let alone = Config { hosts: vec![host.clone()], ..config.cluster.clone() };
        tried.extend(node(alone).await);
    }
    tried.extend(store(config).await);
    tried
}

/// The store behind the memory, tried as the program uses it.
async fn store(config: &config::Config) -> Option<Tried> {
    let (what, tasks) = (|kind: &str| format!("cache.type: {kind}"), Tasks::default());
    let StoreConfig::Redis(..) = &config.store else { return None };
    let tried = match Ledger::start(&ledger::Config { capacity: 1 }, config.store.clone(), &Clock::System, &tasks, &Skew::default()) {
        Err(error) => Tried { what: what("redis"), ok: false, found: reason(&error) },
        Ok(ledger) => {
            let mut state = ledger.store_state();
            let end = Instant::now() + STORE;
            while state.is_err() && Instant::now() < end {
                sleep(Duration::from_millis(50)).await;
                state = ledger.store_state();
            }
            let (ok, found) = match state {
                Ok(_) => (true, "Redis answers, and what replicas tell each other is heard".to_owned()),
                Err(why) => (false, why),
            };
            Tried { what: what("redis"), ok, found }
        }
    };
    tasks.end();
    Some(tried)
}

async fn node(config: Config) -> Vec<Tried> {
    let host = config.hosts.first().map(ToString::to_string).unwrap_or_default();
    let what = |what: &str| format!("{} {what}", host.trim_end_matches('/'));
    let cluster = match Cluster::new(config, Clock::System) {
        Ok(cluster) => cluster,
        Err(error) => return vec![Tried { what: what("TLS"), ok: false, found: reason(&error) }],
    };
    let mut tried = vec![match cluster.check().await {
        Ok(()) => Tried { what: what("service account"), ok: true, found: "the cluster answers and takes it".to_owned() },
        Err(error) => return vec![Tried { what: what("service account"), ok: false, found: refusal(&error) }],
    }];
    tried.push(match cluster.version().await {
        Ok(Some(version)) => Tried { what: what("version"), ok: true, found: version },
        Ok(None) => {
            Tried { what: what("version"), ok: true, found: "not shown to this account, which needs no right to see it".to_owned() }
        }
        Err(error) => Tried { what: what("version"), ok: false, found: refusal(&error) },
    });
    let (read, write) = ("cluster:admin/xpack/security/user/get", "cluster:admin/xpack/security/user/put");
    tried.push(match cluster.privileges().await {
        Ok(may) if may.read && may.write => {
            Tried { what: what("privileges"), ok: true, found: "the account may read and write users".to_owned() }
        }
        Ok(may) => {
            let missing: Vec<&str> =
                [(may.read, read), (may.write, write)].into_iter().filter(|(may, _)| !may).map(|(_, name)| name).collect();
            let found = format!("the account lacks {}; give its role these cluster privileges", missing.join(" and "));
            Tried { what: what("privileges"), ok: false, found }
        }
        Err(error) => Tried { what: what("privileges"), ok: false, found: refusal(&error) },
    });
    tried
}

fn refusal(error: &CallError) -> String {
    match error.status().map(|status| status.as_u16()) {
        Some(401) => format!("{error}: the cluster does not take the account; look at `elasticsearch.username`, `.password` or `.api_key`"),
        _ => reason(error),
    }
}
