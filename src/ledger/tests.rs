use super::{types::StoreState, *};
use crate::{
    clock::Clock,
    keys::{Keyring, Slot},
    model::{Fingerprint, Generation},
    secret::SecretKey,
    shutdown::Tasks,
    telemetry::{clocks::ClockCheck, metrics::ClusterMetrics},
};

const ONE: Fingerprint = Fingerprint([1; 16]);
const TWO: Fingerprint = Fingerprint([2; 16]);

fn ledger(capacity: usize) -> Ledger {
    let config = Config {
        capacity,
        store: StoreConfig::Memory,
    };
    let keys = Keyring::new(&SecretKey::random().unwrap(), None, "default");
    let context = LedgerContext {
        keys: Arc::new(keys),
        expiration: Duration::from_hours(1),
        clock: Clock::System,
        tasks: Tasks::default(),
        clocks: ClockCheck::default(),
        metrics: ClusterMetrics::default(),
    };
    Ledger::start(&config, context, &Folders::default()).unwrap()
}

fn user(n: usize) -> Username {
    Username::parse(&format!("user-{n}")).unwrap()
}

fn target(n: usize, fingerprint: Fingerprint) -> Target {
    Target {
        user: user(n),
        fingerprint,
        generation: Generation::default(),
        epoch: 0,
        key: Slot::Current,
    }
}

fn present(fingerprint: Fingerprint, at: u64) -> Entry {
    Entry::Present {
        fingerprint,
        generation: Generation::default(),
        seen: Timestamp(at),
    }
}

#[tokio::test]
async fn the_latest_counts() {
    let ledger = ledger(10);
    assert_eq!(ledger.recall(&user(1), Timestamp(1)), None);
    ledger.record_confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(1));
    assert_eq!(ledger.recall(&user(1), Timestamp(1)), Some(present(ONE, 1)));
    let mut update = ledger.begin_update(target(1, TWO)).await;
    ledger.begin_write(&mut update, Timestamp(2)).await;
    assert_eq!(
        ledger.recall(&user(1), Timestamp(2)),
        Some(Entry::WritePending)
    );
    ledger.record_written(&update, Timestamp(3));
    assert_eq!(
        ledger.recall(&user(1), Timestamp(999_999)),
        Some(present(TWO, 3))
    );
}

#[tokio::test]
async fn an_earlier_login_than_the_one_that_was_learnt_is_not_recalled() {
    let (ledger, now) = (ledger(10), Timestamp(1));
    ledger.record_confirmed(&ledger.begin_update(target(1, ONE)).await, now);
    ledger.learn_generation(&user(1), Generation::default());
    assert_eq!(ledger.recall(&user(1), now), Some(present(ONE, 1)));
    ledger.learn_generation(&user(1), Generation(1));
    assert_eq!(ledger.recall(&user(1), now), None);
    assert_eq!(ledger.generation(&user(1)), Generation(1));
    ledger.learn_generation(&user(1), Generation::default());
    assert_eq!(ledger.generation(&user(1)), Generation(1));
}

#[tokio::test]
async fn a_flood_of_users_stays_within_the_bound() {
    let ledger = ledger(1_000);
    for n in 0..50_000 {
        ledger.record_confirmed(&ledger.begin_update(target(n, ONE)).await, Timestamp(1));
    }
    assert!(ledger.users() <= 1_000, "{}", ledger.users());
    assert!(!ledger.memory.has_updates());
}

#[tokio::test]
async fn a_change_by_another_replica_counts_before_during_and_after_an_update() {
    let ledger = ledger(10);
    let now = Timestamp(1);
    ledger.record_confirmed(&ledger.begin_update(target(1, ONE)).await, now);
    ledger.memory.contradict(&user(1), ONE);
    assert_eq!(
        ledger.recall(&user(1), now),
        Some(present(ONE, 1)),
        "the same is no contradiction"
    );
    ledger.memory.contradict(&user(1), TWO);
    assert_eq!(ledger.recall(&user(1), now), None);
    // The cluster's answer to this update may be older than the other replica's write.
    let update = ledger.begin_update(target(1, ONE)).await;
    ledger.memory.contradict(&user(1), TWO);
    ledger.record_confirmed(&update, now);
    assert_eq!(ledger.recall(&user(1), now), None);
    // An own pending write is never ended by others.
    ledger
        .begin_write(&mut ledger.begin_update(target(1, ONE)).await, now)
        .await;
    ledger.memory.contradict(&user(1), TWO);
    assert_eq!(ledger.recall(&user(1), now), Some(Entry::WritePending));
}

#[tokio::test]
async fn an_older_update_that_ends_later_leaves_the_record_of_the_newer_one() {
    let (ledger, now) = (ledger(10), Timestamp(1));
    let older = ledger.begin_update(target(1, ONE)).await;
    let newer = ledger.begin_update(target(1, TWO)).await;
    ledger.record_confirmed(&older, now);
    assert_eq!(
        ledger.recall(&user(1), now),
        None,
        "without a record it may have missed a contradiction"
    );
    drop(older);
    assert!(ledger.memory.has_updates());
    ledger.memory.contradict(&user(1), ONE);
    assert!(ledger.is_written_elsewhere(&newer, now));
    ledger.record_confirmed(&newer, now);
    assert_eq!(ledger.recall(&user(1), now), None, "it was contradicted");
    drop(newer);
    assert!(!ledger.memory.has_updates());
}

#[tokio::test]
async fn without_a_subscription_an_entry_is_used_ten_seconds_at_most_and_not_all_end_at_once() {
    let ledger = ledger(1_000);
    let alive = |at: u64| {
        (0..100)
            .filter(|n| ledger.recall(&user(*n), Timestamp(at)).is_some())
            .count()
    };
    for n in 0..100 {
        ledger.record_confirmed(&ledger.begin_update(target(n, ONE)).await, Timestamp(1_000));
    }
    // Every change was received until then, so the entries are as fresh as that.
    ledger.memory.subscription.lost(Timestamp(60_000));
    assert_eq!((alive(64_900), alive(70_000)), (100, 0));
    assert!((30..70).contains(&alive(67_500)), "{}", alive(67_500));
    // Subscribed again: an entry from before may have missed a change, and one from now on has
    // not.
    ledger.memory.subscription.begin();
    assert_eq!((alive(64_900), alive(70_000)), (100, 0));
    ledger.record_confirmed(
        &ledger.begin_update(target(1, ONE)).await,
        Timestamp(70_000),
    );
    assert_eq!(alive(9_999_999), 1);
    // From before the last but one outage: only the time of the entry is known.
    ledger.memory.subscription.lost(Timestamp(90_000));
    ledger.memory.subscription.begin();
    ledger.memory.subscription.lost(Timestamp(100_000));
    assert_eq!(alive(100_000), 0);
}

#[tokio::test]
async fn what_an_update_from_before_the_subscription_learns_is_used_as_if_without_one() {
    let ledger = ledger(10);
    ledger.memory.subscription.lost(Timestamp(0));
    let update = ledger.begin_update(target(1, ONE)).await;
    ledger.memory.subscription.begin();
    ledger.record_confirmed(&update, Timestamp(1_000));
    assert!(ledger.recall(&user(1), Timestamp(1_000)).is_some());
    assert_eq!(ledger.recall(&user(1), Timestamp(11_000)), None);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_end_the_subscription() {
    let ledger = ledger(10);
    ledger.memory.subscription.lost(Timestamp(5_000_000));
    ledger.memory.subscription.begin();
    ledger.record_confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(1_000));
    assert!(ledger.recall(&user(1), Timestamp(999_999)).is_some());
}

#[tokio::test]
async fn a_user_who_is_forgotten_is_asked_about_even_if_an_update_was_in_flight() {
    let ledger = ledger(10);
    let now = Timestamp(1);
    assert_eq!(
        ledger.forget(&user(1)),
        Forgotten {
            known: false,
            others: Others::NotShared
        }
    );
    ledger.record_confirmed(&ledger.begin_update(target(1, ONE)).await, now);
    let update = ledger.begin_update(target(1, ONE)).await;
    assert!(ledger.forget(&user(1)).known);
    assert_eq!(ledger.recall(&user(1), now), None);
    ledger.record_confirmed(&update, now);
    assert_eq!(ledger.recall(&user(1), now), None, "it had asked before");
}

/// What is remembered of user 1 at this time.
fn recalled(ledger: &Ledger, at: u64) -> Option<Entry> {
    ledger.recall(&user(1), Timestamp(at))
}

#[tokio::test]
async fn a_check_by_another_replica_counts_from_when_our_own_clock_reaches_its_time() {
    let ledger = ledger(10);
    let confirmed = |fingerprint, at| {
        ledger
            .memory
            .confirmed_elsewhere(&user(1), fingerprint, Timestamp(at));
    };
    confirmed(ONE, 500);
    assert_eq!(recalled(&ledger, 1_000), None, "it makes no entry");
    ledger.record_confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(1_000));
    confirmed(TWO, 2_000);
    assert_eq!(
        recalled(&ledger, 9_000),
        Some(present(ONE, 1_000)),
        "of another fingerprint"
    );
    confirmed(ONE, 3_000);
    assert_eq!(
        (recalled(&ledger, 2_999), recalled(&ledger, 3_000)),
        (Some(present(ONE, 1_000)), Some(present(ONE, 3_000)))
    );
    confirmed(ONE, 2_000);
    assert_eq!(
        recalled(&ledger, 9_000),
        Some(present(ONE, 3_000)),
        "an older one, or the same again"
    );
    ledger.record_confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(4_000));
    confirmed(ONE, 3_500);
    assert_eq!(recalled(&ledger, 9_000), Some(present(ONE, 4_000)));
}

#[tokio::test]
async fn a_check_by_another_replica_revives_nothing_and_ends_no_pending_write() {
    let ledger = ledger(10);
    let confirmed = |at| {
        ledger
            .memory
            .confirmed_elsewhere(&user(1), ONE, Timestamp(at));
    };
    ledger.record_confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(1));
    ledger.memory.contradict(&user(1), TWO);
    confirmed(2);
    assert_eq!(recalled(&ledger, 9), None);
    // Nor for an update that was contradicted in flight.
    let update = ledger.begin_update(target(1, ONE)).await;
    ledger.memory.contradict(&user(1), TWO);
    confirmed(3);
    ledger.record_confirmed(&update, Timestamp(4));
    confirmed(5);
    assert_eq!(recalled(&ledger, 9), None);
    drop(update);
    let mut update = ledger.begin_update(target(1, ONE)).await;
    ledger.begin_write(&mut update, Timestamp(6)).await;
    confirmed(7);
    assert_eq!(recalled(&ledger, 9), Some(Entry::WritePending));
    // An own write of unknown result may undo what the other one saw.
    update.keep_local();
    ledger.record_confirmed(&update, Timestamp(8));
    confirmed(9);
    assert_eq!(recalled(&ledger, 9), Some(present(ONE, 8)));
    drop(update);
    ledger.record_confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(10));
    confirmed(11);
    assert_eq!(
        recalled(&ledger, 11),
        Some(present(ONE, 11)),
        "the uncertain write is over"
    );
}

#[tokio::test]
async fn an_entry_that_may_have_missed_a_change_is_not_prolonged() {
    let ledger = ledger(10);
    ledger.record_confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(1_000));
    ledger.memory.subscription.lost(Timestamp(2_000));
    ledger
        .memory
        .confirmed_elsewhere(&user(1), ONE, Timestamp(2_500));
    ledger.memory.subscription.begin();
    ledger
        .memory
        .confirmed_elsewhere(&user(1), ONE, Timestamp(3_000));
    assert_eq!(
        (recalled(&ledger, 3_000), recalled(&ledger, 12_000)),
        (Some(present(ONE, 1_000)), None)
    );
}

#[tokio::test]
async fn what_is_stored_is_known_until_it_is_not_there_or_a_change_may_be_missing() {
    let ledger = ledger(10);
    let stored = |fingerprint| ledger.memory.stored(&user(1), fingerprint);
    ledger.record_confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(1));
    assert_eq!(stored(ONE), StoreState::Unknown, "not reported yet");
    ledger.memory.note_stored(&user(1), ONE, Timestamp(1));
    assert_eq!(
        (stored(ONE), stored(TWO)),
        (StoreState::At(Timestamp(1)), StoreState::Unknown)
    );
    // A later check is stored instead: until it is, the old one is stored.
    ledger.record_confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(2));
    assert_eq!(stored(ONE), StoreState::At(Timestamp(1)));
    // Another replica was first. That ours was refused is no objection to its report.
    ledger
        .memory
        .confirmed_elsewhere(&user(1), ONE, Timestamp(3));
    ledger.memory.note_not_stored(&user(1), ONE, Timestamp(1));
    assert_eq!(stored(ONE), StoreState::At(Timestamp(3)));
    ledger.memory.note_not_stored(&user(1), ONE, Timestamp(3));
    assert_eq!(
        (stored(ONE), recalled(&ledger, 9)),
        (StoreState::Unknown, Some(present(ONE, 2)))
    );
    ledger.memory.note_stored(&user(1), ONE, Timestamp(2));
    ledger.memory.subscription.lost(Timestamp(4));
    ledger.memory.subscription.begin();
    assert_eq!(stored(ONE), StoreState::Unknown);
}
