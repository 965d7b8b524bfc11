//! The names that elastauth 2 gave to some metrics, for its dashboards. They are sums of ours,
//! computed when somebody reads them.

use super::{
    cluster::{ClusterMetrics, Clusters},
    handles::Handles,
    labels::{Label as _, Lookup, ProviderLabel},
};
use crate::outcome::Outcome;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{MetricType, counter::ConstCounter, counter::Counter},
};
use std::{
    fmt,
    sync::{Arc, PoisonError},
};

#[derive(Debug)]
pub(super) struct LegacyNames {
    pub(super) unassigned: Handles<(Outcome, ProviderLabel)>,
    pub(super) clusters: Arc<Clusters>,
}

impl Collector for LegacyNames {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let clusters = self.clusters.lock().unwrap_or_else(PoisonError::into_inner);
        let of_clusters = clusters.values().map(ClusterMetrics::decisions);
        let decisions: Vec<_> = of_clusters.chain([&self.unassigned]).collect();
        let granted = decisions.iter().flat_map(|decisions| {
            ProviderLabel::all().map(|label| decisions.get((Outcome::Granted, label)))
        });
        let granted = sum(granted);
        let all = sum(decisions.iter().flat_map(|decisions| decisions.iter()));
        counters(
            &mut encoder,
            "elastauth_proxy_authentication",
            "The name of elastauth_decisions in elastauth 2",
            [
                ("success", granted),
                ("failure", all.saturating_sub(granted)),
            ],
        )?;
        let lookups = || clusters.values().map(ClusterMetrics::lookups);
        let hits = sum(lookups().map(|lookups| lookups.get(Lookup::Hit)));
        let all = sum(lookups().flat_map(Handles::iter));
        counters(
            &mut encoder,
            "elastauth_proxy_cache_hits",
            "The name of elastauth_ledger_lookups in elastauth 2",
            [("hit", hits), ("miss", all.saturating_sub(hits))],
        )
    }
}

fn sum<'a>(counters: impl Iterator<Item = &'a Counter>) -> u64 {
    counters.map(Counter::get).sum()
}

fn counters(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    values: [(&'static str, u64); 2],
) -> fmt::Result {
    let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
    for (result, value) in values {
        ConstCounter::new(value).encode(metric.encode_family(&[("result", result)])?)?;
    }
    Ok(())
}
