//! A cluster as an outside party, in two halves: the pool knows its nodes and whether a request has
//! left, the security API knows what is asked of them and what the answers mean.
//!
//! Every call has a deadline over connecting, head and body.

mod diagnosis;
mod error;
mod pool;
mod security;
#[cfg(test)]
mod tests;

pub(crate) use error::CallError;
pub(crate) use pool::{
    ExchangePlace, ForwardError, ForwardLimits, Forwarded, Forwarder, Links, Origins, Outbound,
    Share,
};
pub(crate) use security::version_warning;
pub(crate) use security::{
    Account, ApiKeys, ClusterAccess, ListedUser, Marker, NewPassword, Origin, StoredAccount, Whoami,
};
pub use security::{Config, Kind, PasswordForm, SecurityApi, ServiceAccount};
