//! The clusters, as decisions see them: which requests are for which, which roles each gives, and
//! the broker that gives the logins. Nothing that can fill or fail is shared between two of them.

mod cluster;
mod index;
mod list;
mod matching;
mod no_cluster;
mod proxied;
mod readiness;
mod tenants;

pub use cluster::Upstream;
pub(crate) use list::Member;
pub use list::Unmatched;
pub(crate) use list::{Chosen, Upstreams};
pub use matching::Match;
pub(crate) use matching::{HeaderMatch, HostPattern, PathPrefix, TenantLabel};
pub(crate) use no_cluster::NoCluster;
pub(crate) use proxied::ProxyError;
#[allow(unused_imports, reason = "the configuration has no key for it yet")]
pub use proxied::ProxyUpstream;
pub use proxied::{HostHeader, ProxyConfig, ProxyTarget};
pub(crate) use proxied::{Proxied, ProxiedTls};
#[cfg(test)]
pub(crate) use readiness::ClusterCheck;
pub(crate) use readiness::{Accepted, NotReady};
pub(crate) use tenants::{NoTenant, Opened, TenantNodes, TenantSource, Tenants};
