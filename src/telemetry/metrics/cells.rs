//! Where numbers are counted: one relaxed atomic a label value, found by its place in an array.
//!
//! They are not split between cores. A decision adds to four of them; a shared cache line takes
//! tens of millions of such additions a second, and the whole service a hundredth of that in
//! decisions. `metrics::tests::what_a_decision_pays` measures it.

use super::labels::{Label, Nothing};
use prometheus_client::{
    encoding::{EncodeMetric, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};
use std::{
    fmt,
    marker::PhantomData,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

/// Counters by one closed label, or by two.
#[derive(Debug)]
pub(super) struct Counters<A, B = Nothing> {
    cells: Arc<[AtomicU64]>,
    labels: PhantomData<(A, B)>,
}

impl<A, B> Clone for Counters<A, B> {
    fn clone(&self) -> Self {
        Self {
            cells: Arc::clone(&self.cells),
            labels: PhantomData,
        }
    }
}

impl<A: Label, B: Label> Default for Counters<A, B> {
    fn default() -> Self {
        let cells = std::iter::repeat_with(AtomicU64::default)
            .take(A::ALL.len() * B::ALL.len())
            .collect();
        Self {
            cells,
            labels: PhantomData,
        }
    }
}

impl<A: Label, B: Label> Counters<A, B> {
    /// Has no cells, so that nothing is counted and everything reads as zero.
    pub(super) fn without_cells() -> Self {
        Self {
            cells: Arc::new([]),
            labels: PhantomData,
        }
    }

    /// One more of this kind.
    pub(super) fn add(&self, a: A, b: B) {
        if let Some(cell) = self.cell(a, b) {
            cell.fetch_add(1, Relaxed);
        }
    }

    /// `count` more of this kind.
    pub(super) fn add_many(&self, a: A, b: B, count: u64) {
        if let Some(cell) = self.cell(a, b) {
            cell.fetch_add(count, Relaxed);
        }
    }

    /// How many of this kind.
    pub(super) fn get(&self, a: A, b: B) -> u64 {
        self.cell(a, b).map_or(0, |cell| cell.load(Relaxed))
    }

    /// How many with this first label.
    pub(super) fn of(&self, a: A) -> u64 {
        B::ALL.iter().map(|b| self.get(a, *b)).sum()
    }

    /// How many in all.
    pub(super) fn total(&self) -> u64 {
        self.cells.iter().map(|cell| cell.load(Relaxed)).sum()
    }

    fn cell(&self, a: A, b: B) -> Option<&AtomicU64> {
        self.cells.get(a.place() * B::ALL.len() + b.place())
    }
}

impl<A: Label, B: Label> EncodeMetric for Counters<A, B> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (a, b) in A::ALL
            .iter()
            .flat_map(|a| B::ALL.iter().map(move |b| (*a, *b)))
        {
            let pairs = [(A::NAME, a.text()), (B::NAME, b.text())];
            let named = pairs
                .iter()
                .filter(|(name, _)| !name.is_empty())
                .copied()
                .collect::<Vec<_>>();
            count(&mut encoder, &named, self.get(a, b))?;
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

fn count(
    encoder: &mut MetricEncoder<'_>,
    labels: &[(&'static str, &'static str)],
    value: u64,
) -> fmt::Result {
    if labels.is_empty() {
        return encoder.encode_counter::<NoLabelSet, _, u64>(&value, None);
    }
    encoder
        .encode_family(&labels)?
        .encode_counter::<NoLabelSet, _, u64>(&value, None)
}

/// A counter that is worked out from others when somebody looks: a name that older dashboards use.
pub(super) struct Derived {
    label: &'static str,
    values: &'static [&'static str],
    of: Box<dyn Fn(&str) -> u64 + Send + Sync>,
}

impl Derived {
    pub(super) fn new(
        label: &'static str,
        values: &'static [&'static str],
        of: impl Fn(&str) -> u64 + Send + Sync + 'static,
    ) -> Self {
        Self {
            label,
            values,
            of: Box::new(of),
        }
    }
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Derived")
            .field("label", &self.label)
            .finish_non_exhaustive()
    }
}

impl EncodeMetric for Derived {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        self.values
            .iter()
            .try_for_each(|value| count(&mut encoder, &[(self.label, value)], (self.of)(value)))
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Counter
    }
}

/// The upper ends of the classes of times, in nanoseconds. A known user takes tens of microseconds,
/// a write milliseconds, and after 2 s nobody waits for a decision any more; the last two are for
/// writes.
const ENDS: [u64; 17] = [
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

/// Times, in classes, by a closed label.
#[derive(Debug)]
pub(super) struct Times<A = Nothing> {
    rows: Arc<[Row]>,
    label: PhantomData<A>,
}

#[derive(Debug, Default)]
struct Row {
    nanos: AtomicU64,
    classes: [AtomicU64; ENDS.len()],
    /// Longer than the last class.
    longer: AtomicU64,
}

impl<A> Clone for Times<A> {
    fn clone(&self) -> Self {
        Self {
            rows: Arc::clone(&self.rows),
            label: PhantomData,
        }
    }
}

impl<A: Label> Default for Times<A> {
    fn default() -> Self {
        Self {
            rows: std::iter::repeat_with(Row::default)
                .take(A::ALL.len())
                .collect(),
            label: PhantomData,
        }
    }
}

impl<A: Label> Times<A> {
    /// Has no classes, so that nothing is counted.
    pub(super) fn without_cells() -> Self {
        Self {
            rows: Arc::new([]),
            label: PhantomData,
        }
    }

    /// Something took so long.
    pub(super) fn add(&self, of: A, time: Duration) {
        let Some(row) = self.rows.get(of.place()) else {
            return;
        };
        let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        row.classes
            .get(ENDS.partition_point(|end| *end < nanos))
            .unwrap_or(&row.longer)
            .fetch_add(1, Relaxed);
        row.nanos.fetch_add(nanos, Relaxed);
    }
}

impl<A: Label> EncodeMetric for Times<A> {
    fn encode(&self, mut encoder: MetricEncoder<'_>) -> fmt::Result {
        for (of, row) in A::ALL.iter().zip(self.rows.iter()) {
            let classes = row
                .classes
                .iter()
                .chain([&row.longer])
                .map(|class| class.load(Relaxed));
            let ends = ENDS
                .iter()
                .map(|end| Duration::from_nanos(*end).as_secs_f64())
                .chain([f64::INFINITY]);
            let buckets: Vec<(f64, u64)> = ends.zip(classes).collect();
            // The count is the sum of the classes: read apart, the two could disagree.
            let count = buckets.iter().map(|(_, class)| class).sum();
            let sum = Duration::from_nanos(row.nanos.load(Relaxed)).as_secs_f64();
            if A::NAME.is_empty() {
                encoder.encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            } else {
                encoder
                    .encode_family(&[(A::NAME, of.text())])?
                    .encode_histogram::<NoLabelSet>(sum, count, &buckets, None)?;
            }
        }
        Ok(())
    }

    fn metric_type(&self) -> MetricType {
        MetricType::Histogram
    }
}
