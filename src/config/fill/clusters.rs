//! The clusters, each with its own components.

use super::{broker, cluster, filler::Filler, roles};
use crate::{
    config::{table, types::ClusterConfig},
    model::ClusterName,
};

pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Vec<ClusterConfig>> {
    one(fill).map(|one| vec![one])
}

/// The cluster of `elasticsearch`.
fn one(fill: &mut Filler<'_>) -> Option<ClusterConfig> {
    let roles = roles::fill(fill);
    let broker = broker::fill(fill);
    let cluster = cluster::fill(fill);
    let name: String = fill.get(&table::ES_CLUSTER_NAME)?;
    Some(ClusterConfig {
        name: ClusterName::of_elasticsearch(&name),
        cluster: cluster?,
        broker: broker?,
        roles: roles?,
    })
}
