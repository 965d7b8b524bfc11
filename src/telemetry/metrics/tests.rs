use super::{labels::Label, *};
use crate::outcome::Refusal;

fn line<'a>(text: &'a str, start: &str) -> Option<&'a str> {
    text.lines()
        .find_map(|line| line.strip_prefix(start))
        .map(str::trim)
}

#[test]
fn what_is_counted_is_exposed() {
    let metrics = Metrics::new(Timestamp(1_500));
    let cluster = metrics.cluster("default");
    metrics.decided(
        Some(&cluster),
        Outcome::Granted,
        ProviderLabel::Authelia,
        Duration::from_micros(70),
    );
    metrics.decided(
        None,
        Outcome::Refused(Refusal::NobodyAsks),
        ProviderLabel::None,
        Duration::from_mins(1),
    );
    cluster.looked_up(Lookup::Hit);
    cluster.looked_up(Lookup::Stale);
    cluster.called(Call::WriteUser, CallEnd::Success, Duration::from_millis(3));
    cluster.node(1).up(false);
    cluster.ledger(7, true);
    let text = metrics.expose();
    for (start, value) in [
        (
            "elastauth_decisions_total{cluster=\"default\",outcome=\"granted\",provider=\"authelia\"}",
            "1",
        ),
        (
            "elastauth_decisions_total{cluster=\"\",outcome=\"nobody_asks\",provider=\"none\"}",
            "1",
        ),
        (
            "elastauth_decisions_total{cluster=\"\",outcome=\"granted\",provider=\"authelia\"}",
            "0",
        ),
        (
            "elastauth_decisions_total{cluster=\"default\",outcome=\"granted\",provider=\"oidc\"}",
            "0",
        ),
        ("elastauth_decision_duration_seconds_count", "2"),
        (
            "elastauth_decision_duration_seconds_bucket{le=\"5e-05\"}",
            "0",
        ),
        (
            "elastauth_decision_duration_seconds_bucket{le=\"0.0001\"}",
            "1",
        ),
        ("elastauth_decision_duration_seconds_bucket{le=\"10\"}", "1"),
        (
            "elastauth_decision_duration_seconds_bucket{le=\"+Inf\"}",
            "2",
        ),
        (
            "elastauth_ledger_lookups_total{cluster=\"default\",result=\"stale\"}",
            "1",
        ),
        (
            "elastauth_cluster_calls_total{cluster=\"default\",call=\"write_user\",status_class=\"2xx\"}",
            "1",
        ),
        (
            "elastauth_cluster_call_duration_seconds_bucket{cluster=\"default\",call=\"write_user\",le=\"0.005\"}",
            "1",
        ),
        ("elastauth_node_up{cluster=\"default\",node=\"1\"}", "0"),
        ("elastauth_ledger_users{cluster=\"default\"}", "7"),
        (
            "elastauth_write_budget_refusals_total{cluster=\"default\"}",
            "0",
        ),
        (
            "elastauth_proxy_authentication_total{result=\"success\"}",
            "1",
        ),
        (
            "elastauth_proxy_authentication_total{result=\"failure\"}",
            "1",
        ),
        ("elastauth_proxy_cache_hits_total{result=\"hit\"}", "1"),
        ("elastauth_proxy_cache_hits_total{result=\"miss\"}", "1"),
        ("process_start_time_seconds", "1.5"),
    ] {
        assert_eq!(
            line(&text, &format!("{start} ")),
            Some(value),
            "{start}\n{text}"
        );
    }
    assert!(text.contains("elastauth_build_info{version=\""), "{text}");
}

#[test]
fn what_is_in_flight_is_counted_until_it_ends() {
    let metrics = Metrics::default();
    let cluster = metrics.cluster("default");
    let (one, other) = (cluster.update_in_flight(), cluster.update_in_flight());
    let series = "elastauth_flights{cluster=\"default\"} ";
    assert_eq!(line(&metrics.expose(), series), Some("2"));
    drop((one, other));
    assert_eq!(line(&metrics.expose(), series), Some("0"));
}

#[test]
fn a_cluster_has_its_own_series_and_the_old_names_add_them_up() {
    let metrics = Metrics::default();
    for (name, hits) in [("main", 2), ("logs", 1)] {
        for _ in 0..hits {
            metrics.cluster(name).looked_up(Lookup::Hit);
        }
    }
    let text = metrics.expose();
    for (series, value) in [
        (
            "elastauth_ledger_lookups_total{cluster=\"main\",result=\"hit\"} ",
            "2",
        ),
        (
            "elastauth_ledger_lookups_total{cluster=\"logs\",result=\"hit\"} ",
            "1",
        ),
        ("elastauth_proxy_cache_hits_total{result=\"hit\"} ", "3"),
    ] {
        assert_eq!(line(&text, series), Some(value), "{series}\n{text}");
    }
}

#[test]
fn the_size_of_the_exposition_does_not_depend_on_who_comes() {
    let metrics = Metrics::default();
    let cluster = metrics.cluster("default");
    let lines = metrics.expose().lines().count();
    for outcome in Outcome::ALL {
        for provider in ProviderLabel::all() {
            metrics.decided(None, outcome, provider, Duration::ZERO);
            metrics.decided(Some(&cluster), outcome, provider, Duration::ZERO);
        }
    }
    assert_eq!(metrics.expose().lines().count(), lines);
}

/// Not a bound, only a measurement: `cargo test --release --lib what_a_decision_pays -- --ignored
/// --nocapture`.
#[test]
#[ignore = "it measures"]
#[expect(clippy::print_stdout, reason = "its result is for a person")]
fn what_a_decision_pays() {
    const DECISIONS: u32 = 5_000_000;
    let metrics = Metrics::default();
    let cluster = metrics.cluster("default");
    let count = |took: Duration| {
        cluster.looked_up(Lookup::Hit);
        metrics.decided(
            Some(&cluster),
            Outcome::Granted,
            ProviderLabel::Authelia,
            took,
        );
    };
    // Tokio's clock is slower in tests than in the program: there it can be stopped, and asks a
    // lock whether it is.
    let timed = || {
        let begun = tokio::time::Instant::now();
        count(begun.elapsed());
    };
    let on = |threads: u32, work: &(dyn Fn() + Sync)| {
        let start = tokio::time::Instant::now();
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| (0..DECISIONS).for_each(|_| work()));
            }
        });
        start.elapsed() / DECISIONS
    };
    for threads in [1, 2] {
        let (counted, clocked) = (
            on(threads, &|| count(Duration::from_micros(20))),
            on(threads, &timed),
        );
        println!("{threads} threads: {counted:?} to count a decision, {clocked:?} with the clock");
    }
}
