//! Settings of the broker.

use super::{last_seen::LastSeen, periods::OpenSearchPeriods, product::Product, rotation::Window};
use crate::{
    clock::Timestamp,
    cluster::Kind,
    keys::Keyring,
    ledger,
    secret::{NoRandomness, SecretKey},
};
use std::time::Duration;

/// Settings of the broker.
#[derive(Debug, Clone)]
pub struct Config {
    /// The key from which credentials are derived; `None` makes one for this process alone.
    pub secret_key: Option<SecretKey>,
    /// The key before it, for a change of keys without an outage.
    pub previous_key: Option<PreviousKey>,
    /// Part of every derivation, so that two clusters never share a password.
    pub cluster_name: String,
    /// The name of the service account, never to be written. `None` with an API key.
    pub service_account: Option<String>,
    /// How long a password lives; zero means for ever.
    pub rotation: Duration,
    /// The same, and the time to park, on OpenSearch.
    pub opensearch: OpenSearchPeriods,
    /// In which part of the day passwords change; `None` spreads the changes over the whole period.
    /// With a window the period is counted in whole days.
    pub rotation_window: Option<Window>,
    /// How long a user's requests wait when the password changes; must exceed the replicas' clock
    /// skew.
    pub grace: Duration,
    /// How long a login may work after its period, if its user stays away; `None` parks nobody.
    pub park_within: Option<Duration>,
    /// How long an answer of the cluster is trusted before it is asked again.
    pub expiration: Duration,
    /// Which users that elastauth has not written may be taken over.
    pub adopt: Adopt,
    /// How long users stay who are not seen; `None` keeps them for ever.
    pub prune_after: Option<Duration>,
    /// How often one user may be written in a minute.
    pub writes_per_minute: u32,
    /// How many users may be created in a minute.
    pub new_per_minute: u32,
    /// How many users may be written at the same time, from 1 to 64.
    pub writes_at_once: usize,
    /// How long an update tries again where the cluster is away for a moment.
    pub tries_for: Duration,
    /// Answer with a credential and never call the cluster.
    pub dry_run: bool,
    /// Where it is remembered what the cluster has agreed to.
    pub ledger: ledger::Config,
}

/// How much may be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteLimits {
    pub(crate) writes_per_minute: u32,
    pub(crate) new_per_minute: u32,
    pub(crate) writes_at_once: usize,
}

impl Config {
    /// What a running broker takes over from another configuration.
    pub(crate) fn limits(&self) -> WriteLimits {
        WriteLimits {
            writes_per_minute: self.writes_per_minute,
            new_per_minute: self.new_per_minute,
            writes_at_once: self.writes_at_once,
        }
    }

    /// Requests wait 1.8 s for their update, and its last attempt needs some of it.
    pub const TRIES_FOR: Duration = Duration::from_millis(1_500);

    /// The shortest `prune_after` on this kind of cluster: for less it cannot be said who has
    /// stayed away.
    pub(crate) fn shortest_pruning(&self, kind: Kind) -> Duration {
        let (product, rotation) = match kind {
            Kind::Opensearch => (Product::OpenSearch, self.opensearch.rotation),
            Kind::Auto | Kind::Elasticsearch => (Product::Elasticsearch, self.rotation),
        };
        LastSeen::new(product, rotation, self.expiration).shortest()
    }

    /// The keys that all credentials and all stored facts follow from.
    ///
    /// # Errors
    /// When a key must be made and the system has no randomness.
    pub fn keyring(&self) -> Result<Keyring, NoRandomness> {
        let current = self.secret_key.clone().map_or_else(SecretKey::random, Ok)?;
        let previous = self.previous_key.as_ref().map(|previous| &previous.key);
        Ok(Keyring::new(&current, previous, &self.cluster_name))
    }
}

/// The key that is being replaced.
#[derive(Debug, Clone)]
pub struct PreviousKey {
    /// The key.
    pub key: SecretKey,
    /// When the change begins: each user moves to the present key at the first boundary of its
    /// passwords from here on. Replicas that all know both keys by then never contradict each
    /// other.
    pub until: Timestamp,
}

/// Which users that elastauth has not written may be taken over.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Adopt {
    /// None.
    Never,
    /// Those that the Go program wrote: metadata whose only key is `groups`.
    #[default]
    ElastauthGo,
    /// Any native user that is not reserved.
    Any,
}
