//! A histogram without a lock: that of `prometheus-client` takes a mutex for each observation, and
//! each decision makes one.

use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::{MetricType, TypedMetric},
};
use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// The upper bounds of the buckets, in nanoseconds. A known user takes tens of microseconds, a write
/// takes milliseconds, and after 2 s nobody waits for a decision any more; the last two are for
/// writes.
const BOUNDS: [u64; 17] = [
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
    25_000_000,
    50_000_000,
    100_000_000,
    250_000_000,
    500_000_000,
    1_000_000_000,
    2_000_000_000,
    5_000_000_000,
    10_000_000_000,
];

/// How long something took, in buckets. Clones count into the same ones.
#[derive(Debug, Clone, Default)]
pub(super) struct Durations(Arc<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    nanos: AtomicU64,
    counts: [AtomicU64; BOUNDS.len()],
    /// Longer than the last bound.
    longer: AtomicU64,
}

impl Durations {
    pub(super) fn observe(&self, took: Duration) {
        let nanos = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let bucket = BOUNDS.partition_point(|bound| *bound < nanos);
        let count = self.0.counts.get(bucket).unwrap_or(&self.0.longer);
        count.fetch_add(1, Relaxed);
        self.0.nanos.fetch_add(nanos, Relaxed);
    }
}

impl TypedMetric for Durations {
    const TYPE: MetricType = MetricType::Histogram;
}

impl EncodeMetric for Durations {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        let bounds = BOUNDS.map(|bound| Duration::from_nanos(bound).as_secs_f64());
        let bounds = bounds.into_iter().chain([f64::INFINITY]);
        let counts = self.0.counts.iter().chain([&self.0.longer]);
        let buckets: Vec<_> = bounds
            .zip(counts.map(|count| count.load(Relaxed)))
            .collect();
        // The count is the sum of the buckets: read separately, the two could disagree.
        let count = buckets.iter().map(|(_, count)| count).sum();
        let sum = Duration::from_nanos(self.0.nanos.load(Relaxed)).as_secs_f64();
        encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)
    }

    fn metric_type(&self) -> MetricType {
        Self::TYPE
    }
}
