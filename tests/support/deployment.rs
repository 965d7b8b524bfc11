//! The decisions of elastauth in front of the stand-in cluster, without a listener. The clock is
//! set by hand; sockets are real.

use super::request::request;
pub(crate) use elastauth::internals::{
    broker::{self, Adopt, Broker, BrokerError},
    cluster::PasswordForm,
    demo::standin::{By, Endpoint, Fault, Misbehaviour, StandIn, StoredUser},
    flow::{AuthError, Flow, Grant},
    ledger::StoreConfig,
    shutdown::Tasks,
    telemetry::ClusterTelemetry,
};
use elastauth::internals::{
    clock::Clock,
    cluster::{self, SecurityApi},
    identity::{Providers, headers},
    ledger,
    model::{Group, Role},
    net::tls,
    roles::{self, Mapping},
    secret::SecretKey,
    upstream::Upstream,
};
use http::{HeaderMap, HeaderValue};
use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

const KEY: &str = "8f1d0e2c3b4a59687786950413f2e1d0c9b8a7968574635241302f1e0d9c8b7a";

pub(crate) struct Deployment {
    pub(crate) cluster: StandIn,
    pub(crate) flow: Arc<Flow>,
    pub(crate) ms: Arc<AtomicU64>,
    pub(crate) tasks: Tasks,
}

impl Deployment {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut broker::Config)) -> Self {
        let tasks = Tasks::default();
        let cluster = StandIn::start(&tasks).await.unwrap();
        Self::before(cluster, tasks, change)
    }

    /// In front of OpenSearch, which is not configured to be it.
    pub(crate) async fn opensearch(change: impl FnOnce(&mut broker::Config)) -> Self {
        let tasks = Tasks::default();
        let cluster = StandIn::start_opensearch(&tasks).await.unwrap();
        Self::before(cluster, tasks, change)
    }

    fn before(cluster: StandIn, tasks: Tasks, change: impl FnOnce(&mut broker::Config)) -> Self {
        let ms = Arc::new(AtomicU64::new(1_800_000_000_000));
        let flow = Self::flow(&cluster, &ms, &tasks, change);
        Self {
            cluster,
            flow,
            ms,
            tasks,
        }
    }

    /// One that sends passwords in this form.
    pub(crate) async fn sending(passwords: PasswordForm) -> Self {
        let mut deployment = Self::new().await;
        deployment.flow = Self::flow_with(
            &deployment.cluster,
            &deployment.ms,
            &deployment.tasks,
            passwords,
            |_| {},
        );
        deployment
    }

    /// A second replica of the same deployment, or the first one after a restart.
    pub(crate) fn replica(&self, change: impl FnOnce(&mut broker::Config)) -> Arc<Flow> {
        Self::flow(&self.cluster, &self.ms, &self.tasks, change)
    }

    /// A replica whose clock is so far ahead of that of the deployment; where it stands comes back,
    /// to be moved by hand.
    pub(crate) fn replica_ahead(
        &self,
        by: Duration,
        change: impl FnOnce(&mut broker::Config),
    ) -> (Arc<Flow>, Arc<AtomicU64>) {
        let ms = Arc::new(AtomicU64::new(
            self.ms.load(Ordering::SeqCst) + u64::try_from(by.as_millis()).unwrap(),
        ));
        (Self::flow(&self.cluster, &ms, &self.tasks, change), ms)
    }

    /// A replica with a store behind its memory; `tasks` end it.
    pub(crate) fn replica_with(
        &self,
        tasks: &Tasks,
        change: impl FnOnce(&mut broker::Config),
        store: StoreConfig,
    ) -> Arc<Flow> {
        let change = |config: &mut broker::Config| {
            config.ledger.store = store;
            change(config);
        };
        Self::flow(&self.cluster, &self.ms, tasks, change)
    }

    fn flow(
        standin: &StandIn,
        ms: &Arc<AtomicU64>,
        tasks: &Tasks,
        change: impl FnOnce(&mut broker::Config),
    ) -> Arc<Flow> {
        Self::flow_with(standin, ms, tasks, PasswordForm::Hash, change)
    }

    fn flow_with(
        standin: &StandIn,
        ms: &Arc<AtomicU64>,
        tasks: &Tasks,
        passwords: PasswordForm,
        change: impl FnOnce(&mut broker::Config),
    ) -> Arc<Flow> {
        let clock = Clock::Manual(Arc::clone(ms));
        let mut config = broker::Config {
            secret_key: Some(SecretKey::parse(KEY).unwrap()),
            previous_key: None,
            cluster_name: "default".to_owned(),
            service_account: Some("elastauth".to_owned()),
            rotation_window: None,
            opensearch: broker::OpenSearchPeriods::default(),
            rotation: Duration::from_hours(24),
            grace: Duration::from_millis(500),
            park_within: None,
            prune_after: None,
            expiration: Duration::from_hours(1),
            adopt: Adopt::ElastauthGo,
            writes_per_minute: 10,
            new_per_minute: 10_000,
            tries_for: Duration::from_millis(1_500),
            writes_at_once: 16,
            dry_run: false,
            ledger: ledger::Config {
                capacity: 10_000,
                store: StoreConfig::Memory,
            },
        };
        change(&mut config);
        let account = cluster::ServiceAccount::Basic {
            username: "elastauth".to_owned(),
            password: standin.service_password().to_owned().into(),
        };
        let cluster = cluster::Config {
            kind: if standin.is_opensearch() {
                cluster::Kind::Auto
            } else {
                cluster::Kind::Elasticsearch
            },
            hosts: vec![standin.url().parse().unwrap()],
            account,
            tls: tls::ClientConfig::default(),
            passwords,
        };
        let cluster =
            SecurityApi::new(&cluster, clock.clone(), &ClusterTelemetry::default()).unwrap();
        let broker = Broker::new(
            config,
            cluster.clone(),
            clock,
            tasks.clone(),
            ClusterTelemetry::default(),
        )
        .unwrap();
        let role = |name: &str| Role::parse(name).unwrap();
        let mapping = Mapping::new(roles::Config {
            default_roles: vec![role("viewer")],
            group_mappings: vec![
                (Group::parse("dev").unwrap(), vec![role("editor")]),
                (
                    Group::parse("admins").unwrap(),
                    vec![role("kibana_admin"), role("superuser")],
                ),
            ],
            ..roles::Config::default()
        });
        let identity = Providers::headers(headers::Config::default());
        let upstream = Upstream::new("default", mapping, broker);
        Arc::new(Flow::new(identity, upstream.into()))
    }

    pub(crate) async fn ask(&self, user: &str, groups: &str) -> Result<Grant, AuthError> {
        ask(&self.flow, user, groups).await
    }

    pub(crate) fn pass(&self, time: Duration) {
        self.ms
            .fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::SeqCst);
    }

    /// Method, status and whose credential, of each call since the last look.
    pub(crate) fn calls(&self) -> Vec<String> {
        let calls = self.cluster.calls();
        self.cluster.forget_calls();
        let by = |by: &By| match by {
            By::ServiceAccount => "service".to_owned(),
            By::User(name) => name.clone(),
            By::Nobody => "nobody".to_owned(),
        };
        calls
            .iter()
            .map(|call| format!("{} by {}", call.line(), by(&call.by)))
            .collect()
    }

    pub(crate) fn roles(&self, user: &str) -> Vec<String> {
        self.cluster.roles_of(user).unwrap()
    }
}

/// The only cluster.
pub(crate) fn upstream_of(flow: &Flow) -> Arc<Upstream> {
    flow.upstreams().iter().next().unwrap()
}

pub(crate) async fn ask(flow: &Flow, user: &str, groups: &str) -> Result<Grant, AuthError> {
    let mut headers = HeaderMap::new();
    headers.insert("remote-user", HeaderValue::from_str(user).unwrap());
    headers.insert("remote-groups", HeaderValue::from_str(groups).unwrap());
    headers.insert(
        "remote-email",
        HeaderValue::from_str(&format!("{user}@example.org")).unwrap(),
    );
    let request = request(headers);
    flow.decide(&flow.choose(&request).unwrap(), &request)
        .await
        .map_err(|refused| refused.why)
}

pub(crate) fn why(result: Result<Grant, AuthError>) -> BrokerError {
    match result {
        Err(AuthError::Broker(why)) => why,
        other => panic!("{other:?}"),
    }
}
