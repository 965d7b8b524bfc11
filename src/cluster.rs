//! A cluster as an outside party, in two halves: the pool knows its nodes and whether a request has
//! left, the security API knows what is asked of them and what the answers mean.
//!
//! Every call has a deadline over connecting, head and body.

mod error;
mod pool;
mod security;
#[cfg(test)]
mod tests;

pub use error::CallError;
pub use security::{
    Account, ClusterAccess, Config, Elasticsearch, Marker, NewPassword, Origin, PasswordForm,
    SecurityApi, ServiceAccount, StoredAccount, Whoami,
};
