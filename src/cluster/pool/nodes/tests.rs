//! Which node is asked, and what an outcome does to it.

use super::*;
use crate::telemetry::metrics::NodeMetrics;
use http::Uri;
use std::{
    sync::{Arc, atomic::AtomicU64},
    time::Duration,
};

#[derive(Debug, thiserror::Error)]
#[error("gone")]
struct Gone;

fn nodes(count: usize) -> (Nodes, Arc<AtomicU64>) {
    let time = Arc::new(AtomicU64::new(1_000_000));
    let url = |i| format!("http://es{i}:9200").parse::<Uri>().unwrap();
    (
        Nodes::new(
            "logs".into(),
            (0..count)
                .map(|i| ClusterNode::new(&url(i), NodeMetrics::default()))
                .collect(),
            Clock::Manual(Arc::clone(&time)),
        ),
        time,
    )
}

fn pass(time: &AtomicU64, wait: Duration) {
    time.fetch_add(u64::try_from(wait.as_millis()).unwrap(), Ordering::SeqCst);
}

/// Asks once and says whom.
fn ask(nodes: &Nodes, purpose: Purpose) -> Lease<'_> {
    nodes.next(&mut nodes.round(), purpose).unwrap()
}

fn eject(nodes: &Nodes, index: usize) {
    let mut round = nodes.round();
    while let Some(lease) = nodes.next(&mut round, Purpose::Read) {
        if lease.index == index {
            return lease.failed(&Gone);
        }
    }
    panic!("node {index} was not to be had");
}

#[test]
fn healthy_nodes_take_turns_and_a_call_asks_each_once() {
    let (nodes, _) = nodes(3);
    let mut first: Vec<usize> = (0..6).map(|_| ask(&nodes, Purpose::Read).index).collect();
    first.sort_unstable();
    assert_eq!(first, [0, 0, 1, 1, 2, 2]);

    let mut round = nodes.round();
    let mut asked: Vec<usize> = std::iter::from_fn(|| {
        nodes
            .next(&mut round, Purpose::Read)
            .map(|lease| lease.index)
    })
    .collect();
    asked.sort_unstable();
    assert_eq!(asked, [0, 1, 2]);
}

#[test]
fn an_ejected_node_rests_and_is_then_tried_by_one_request_at_a_time() {
    let (nodes, time) = nodes(2);
    eject(&nodes, 0);
    assert!((0..10).all(|_| ask(&nodes, Purpose::Read).index == 1));

    pass(&time, Duration::from_millis(1_201));
    let leases: Vec<Lease<'_>> = (0..10).map(|_| ask(&nodes, Purpose::Read)).collect();
    assert_eq!(
        leases.iter().filter(|lease| lease.index == 0).count(),
        1,
        "one probe is out"
    );
    drop(leases);

    let probe = std::iter::repeat_with(|| ask(&nodes, Purpose::Read))
        .find(|lease| lease.index == 0)
        .unwrap();
    probe.succeeded();
    assert_eq!(
        (0..10)
            .filter(|_| ask(&nodes, Purpose::Read).index == 0)
            .count(),
        5,
        "a probe given up left the way free; it is back"
    );
}

#[test]
fn a_write_does_not_try_out_a_node_while_a_healthy_one_is_there() {
    let (nodes, time) = nodes(2);
    eject(&nodes, 0);
    pass(&time, Duration::from_secs(5));
    assert!((0..10).all(|_| ask(&nodes, Purpose::Write).index == 1));
    eject(&nodes, 1);
    assert_eq!(
        ask(&nodes, Purpose::Write).index,
        0,
        "no healthy one is left"
    );
}

#[test]
fn a_write_goes_to_the_node_that_answered_last() {
    let (nodes, _) = nodes(3);
    for _ in 0..6 {
        let lease = ask(&nodes, Purpose::Read);
        let index = lease.index;
        lease.succeeded();
        assert_eq!(ask(&nodes, Purpose::Write).index, index);
    }
    let last = ask(&nodes, Purpose::Write).index;
    eject(&nodes, last);
    assert_ne!(ask(&nodes, Purpose::Write).index, last);
}

#[test]
fn with_all_ejected_the_first_to_return_is_asked() {
    let (nodes, time) = nodes(3);
    for index in [2, 0, 1] {
        eject(&nodes, index);
        pass(&time, Duration::from_millis(500));
    }
    let lease = ask(&nodes, Purpose::Write);
    assert_eq!(lease.index, 2);
    lease.succeeded();
    assert_eq!(
        ask(&nodes, Purpose::Write).index,
        2,
        "it answered, so it is back before its time"
    );
}

#[test]
fn many_failures_at_once_are_one_strike_and_a_late_answer_does_not_count() {
    let (nodes, time) = nodes(1);
    let mut leases: Vec<Lease<'_>> = (0..50).map(|_| ask(&nodes, Purpose::Read)).collect();
    let late = leases.pop().unwrap();
    for lease in leases {
        lease.failed(&Gone);
    }
    assert_eq!(nodes.health()[0].strikes(), 1);
    late.succeeded();
    assert!(nodes.health()[0].ejection.is_some());

    let waits: Vec<Duration> = std::iter::repeat_with(|| {
        pass(&time, Duration::from_mins(2));
        ask(&nodes, Purpose::Read).failed(&Gone);
        nodes.health()[0].ejection.as_ref().unwrap().wait
    })
    .take(20)
    .collect();
    assert!(
        waits[0] >= Duration::from_millis(1_600) && waits[0] <= Duration::from_millis(2_400),
        "{waits:?}"
    );
    assert!(
        waits[19] >= Duration::from_secs(48) && waits[19] <= Duration::from_secs(72),
        "{waits:?}"
    );
}

/// What the log has of coming and going.
fn logged(story: impl FnOnce()) -> Vec<String> {
    let log = tempfile::NamedTempFile::new().unwrap();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(Arc::new(log.reopen().unwrap()))
        .with_ansi(false)
        .without_time()
        .finish();
    // While there is just one subscriber, `tracing` lets the thread that meets an event first
    // decide for all whether anybody listens, and tests beside this one listen to nothing. With
    // a second one it asks both.
    let _second = tracing::Dispatch::new(tracing_subscriber::registry());
    tracing::subscriber::with_default(subscriber, story);
    std::fs::read_to_string(log.path())
        .unwrap()
        .lines()
        .map(|line| line.trim().to_owned())
        .collect()
}

#[test]
fn coming_and_going_are_each_logged_once_with_the_cause() {
    let log = logged(|| {
        let (nodes, time) = nodes(1);
        let leases: Vec<Lease<'_>> = (0..5).map(|_| ask(&nodes, Purpose::Read)).collect();
        for lease in leases {
            lease.failed(&Gone);
        }
        pass(&time, Duration::from_secs(5));
        ask(&nodes, Purpose::Read).failed(&Gone);
        let leases: Vec<Lease<'_>> = (0..5).map(|_| ask(&nodes, Purpose::Read)).collect();
        leases.into_iter().for_each(Lease::succeeded);
    });
    assert_eq!(log.len(), 2, "{log:?}");
    assert!(
        log[0].starts_with("WARN")
            && log[0].contains("cluster=\"logs\" node=http://es0:9200 reason=gone ejected_ms="),
        "{log:?}"
    );
    assert!(
        log[1].starts_with("INFO") && log[1].contains("cluster node is back cluster=\"logs\""),
        "{log:?}"
    );
}

#[test]
fn a_node_that_comes_and_goes_is_told_once_a_minute_and_one_that_stays_away_in_any_case() {
    let log = logged(|| {
        let (nodes, time) = nodes(1);
        for _ in 0..30 {
            ask(&nodes, Purpose::Read).failed(&Gone);
            ask(&nodes, Purpose::Read).succeeded();
            pass(&time, Duration::from_secs(1));
        }
        // It goes for the last time, and fails again when it is tried.
        ask(&nodes, Purpose::Read).failed(&Gone);
        pass(&time, Duration::from_secs(2));
        ask(&nodes, Purpose::Read).failed(&Gone);
        pass(&time, Duration::from_mins(2));
        ask(&nodes, Purpose::Read).succeeded();
        ask(&nodes, Purpose::Read).failed(&Gone);
    });
    let levels: Vec<&str> = log
        .iter()
        .map(|line| line.split_once(' ').unwrap().0)
        .collect();
    assert_eq!(levels, ["WARN", "INFO", "WARN", "INFO", "WARN"], "{log:?}");
}

#[test]
fn a_clock_set_back_ends_an_ejection() {
    let (nodes, time) = nodes(2);
    eject(&nodes, 0);
    time.store(5, Ordering::SeqCst);
    assert!((0..10).any(|_| ask(&nodes, Purpose::Read).index == 0));
}
