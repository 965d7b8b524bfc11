//! placeholder
use crate::secret::SecretKey;
use std::time::Duration;

/// Settings of this floor.
#[derive(Debug, Clone)]
pub struct Config {
    /// The key from which credentials are derived; `None` makes one for this process alone.
    pub secret_key: Option<SecretKey>,
    /// Part of every derivation, so that two clusters never share a password.
    pub cluster_name: String,
    /// The service account's own name, never to be written. `None` with an API key.
    pub service_account: Option<String>,
    /// How long a password lives; zero means for ever.
    pub rotation: Duration,
    /// How long nobody is answered at the boundary of two passwords; must exceed the replicas' clock skew.
    pub grace: Duration,
    /// How long the cluster's agreement is believed without asking again.
    pub expiration: Duration,
    /// In which form passwords are sent.
    pub hash: HashMode,
    /// Which users that elastauth has not written may be taken over.
    pub adopt: Adopt,
    /// How often one user may be written in a minute.
    pub writes_per_minute: u32,
    /// Answer with a credential and never call the cluster.
    pub dry_run: bool,
}

/// In which form passwords are sent to the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HashMode {
    /// As a cheap hash, and in clear where the cluster refuses the hash.
    #[default]
    Auto,
    /// In clear; the cluster hashes at its own cost.
    Off,
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
