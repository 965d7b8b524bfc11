use super::*;
use crate::secret::SecretKey;

const ONE: Fingerprint = Fingerprint([1; 16]);
const TWO: Fingerprint = Fingerprint([2; 16]);

fn ledger(capacity: usize) -> Ledger {
    Ledger::start(
        &Config {
            capacity,
            store: StoreConfig::Memory,
        },
        &Arc::new(Keyring::new(&SecretKey::random().unwrap(), None, "default")),
        Duration::from_hours(1),
        &Clock::System,
        &Tasks::default(),
        &ClusterTelemetry::default(),
    )
    .unwrap()
}

fn user(n: usize) -> Username {
    Username::parse(&format!("user-{n}")).unwrap()
}

fn target(n: usize, fingerprint: Fingerprint) -> Target {
    Target {
        user: user(n),
        fingerprint,
        epoch: 0,
        key: Slot::Current,
    }
}

fn stands(fingerprint: Fingerprint, at: u64) -> Entry {
    Entry::Present {
        fingerprint,
        seen: Timestamp(at),
    }
}

#[tokio::test]
async fn the_last_word_counts() {
    let ledger = ledger(10);
    assert_eq!(ledger.recall(&user(1), Timestamp(1)), None);
    ledger.confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(1));
    assert_eq!(ledger.recall(&user(1), Timestamp(1)), Some(stands(ONE, 1)));
    let mut update = ledger.begin_update(target(1, TWO)).await;
    ledger.begin_write(&mut update, Timestamp(2)).await;
    assert_eq!(
        ledger.recall(&user(1), Timestamp(2)),
        Some(Entry::WritePending)
    );
    ledger.written(&update, Timestamp(3));
    assert_eq!(
        ledger.recall(&user(1), Timestamp(999_999)),
        Some(stands(TWO, 3))
    );
}

#[tokio::test]
async fn a_flood_of_users_stays_within_the_bound() {
    let ledger = ledger(1_000);
    for n in 0..50_000 {
        ledger.confirmed(&ledger.begin_update(target(n, ONE)).await, Timestamp(1));
    }
    assert!(ledger.len() <= 1_000, "{}", ledger.len());
    assert!(lock(&ledger.front.aloft).is_empty());
}

#[tokio::test]
async fn what_others_say_counts_before_during_and_after_a_flight() {
    let ledger = ledger(10);
    let now = Timestamp(1);
    ledger.confirmed(&ledger.begin_update(target(1, ONE)).await, now);
    ledger.front.contradict(&user(1), ONE);
    assert_eq!(
        ledger.recall(&user(1), now),
        Some(stands(ONE, 1)),
        "the same is no contradiction"
    );
    ledger.front.contradict(&user(1), TWO);
    assert_eq!(ledger.recall(&user(1), now), None);
    // The cluster's answer to this flight may be older than the other replica's write.
    let update = ledger.begin_update(target(1, ONE)).await;
    ledger.front.contradict(&user(1), TWO);
    ledger.confirmed(&update, now);
    assert_eq!(ledger.recall(&user(1), now), None);
    // One's own doubt is never taken away by others.
    ledger
        .begin_write(&mut ledger.begin_update(target(1, ONE)).await, now)
        .await;
    ledger.front.contradict(&user(1), TWO);
    assert_eq!(ledger.recall(&user(1), now), Some(Entry::WritePending));
}

#[tokio::test]
async fn while_others_go_unheard_an_entry_lives_ten_seconds_at_most_and_not_all_end_at_once() {
    let ledger = ledger(1_000);
    let alive = |at: u64| {
        (0..100)
            .filter(|n| ledger.recall(&user(*n), Timestamp(at)).is_some())
            .count()
    };
    for n in 0..100 {
        ledger.confirmed(&ledger.begin_update(target(n, ONE)).await, Timestamp(1_000));
    }
    // Everything was heard until then, so the entries are as fresh as that.
    ledger.front.hears_no_more(Timestamp(60_000));
    assert_eq!((alive(64_900), alive(70_000)), (100, 0));
    assert!((30..70).contains(&alive(67_500)), "{}", alive(67_500));
    // Heard again: what was kept before may have missed a change, and what is kept from now on has
    // not.
    ledger.front.hears();
    assert_eq!((alive(64_900), alive(70_000)), (100, 0));
    ledger.confirmed(
        &ledger.begin_update(target(1, ONE)).await,
        Timestamp(70_000),
    );
    assert_eq!(alive(9_999_999), 1);
    // Of two outages ago: nothing is known but when it came.
    ledger.front.hears_no_more(Timestamp(90_000));
    ledger.front.hears();
    ledger.front.hears_no_more(Timestamp(100_000));
    assert_eq!(alive(100_000), 0);
}

#[tokio::test]
async fn what_a_flight_brings_home_from_before_others_were_heard_lives_as_if_unheard() {
    let ledger = ledger(10);
    ledger.front.hears_no_more(Timestamp(0));
    let update = ledger.begin_update(target(1, ONE)).await;
    ledger.front.hears();
    ledger.confirmed(&update, Timestamp(1_000));
    assert!(ledger.recall(&user(1), Timestamp(1_000)).is_some());
    assert_eq!(ledger.recall(&user(1), Timestamp(11_000)), None);
}

#[tokio::test]
async fn a_clock_that_is_set_back_does_not_make_others_unheard() {
    let ledger = ledger(10);
    ledger.front.hears_no_more(Timestamp(5_000_000));
    ledger.front.hears();
    ledger.confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(1_000));
    assert!(ledger.recall(&user(1), Timestamp(999_999)).is_some());
}

#[tokio::test]
async fn who_is_forgotten_is_asked_about_even_if_a_flight_was_in_the_air() {
    let ledger = ledger(10);
    let now = Timestamp(1);
    assert_eq!(
        ledger.forget(&user(1)),
        Forgotten {
            known: false,
            others: Others::NotShared
        }
    );
    ledger.confirmed(&ledger.begin_update(target(1, ONE)).await, now);
    let update = ledger.begin_update(target(1, ONE)).await;
    assert!(ledger.forget(&user(1)).known);
    assert_eq!(ledger.recall(&user(1), now), None);
    ledger.confirmed(&update, now);
    assert_eq!(ledger.recall(&user(1), now), None, "it had asked before");
}

/// What is believed of user 1 at this moment.
fn believed(ledger: &Ledger, at: u64) -> Option<Entry> {
    ledger.recall(&user(1), Timestamp(at))
}

#[tokio::test]
async fn what_another_replica_has_checked_counts_from_when_our_own_clock_reaches_it() {
    let ledger = ledger(10);
    let told = |fingerprint, at| ledger.front.told(&user(1), fingerprint, Timestamp(at));
    told(ONE, 500);
    assert_eq!(believed(&ledger, 1_000), None, "it makes no entry");
    ledger.confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(1_000));
    told(TWO, 2_000);
    assert_eq!(
        believed(&ledger, 9_000),
        Some(stands(ONE, 1_000)),
        "of another fingerprint"
    );
    told(ONE, 3_000);
    assert_eq!(
        (believed(&ledger, 2_999), believed(&ledger, 3_000)),
        (Some(stands(ONE, 1_000)), Some(stands(ONE, 3_000)))
    );
    told(ONE, 2_000);
    assert_eq!(
        believed(&ledger, 9_000),
        Some(stands(ONE, 3_000)),
        "an older one, or the same again"
    );
    ledger.confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(4_000));
    told(ONE, 3_500);
    assert_eq!(believed(&ledger, 9_000), Some(stands(ONE, 4_000)));
}

#[tokio::test]
async fn what_another_replica_has_checked_revives_nothing_and_ends_no_doubt() {
    let ledger = ledger(10);
    let told = |at| ledger.front.told(&user(1), ONE, Timestamp(at));
    ledger.confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(1));
    ledger.front.contradict(&user(1), TWO);
    told(2);
    assert_eq!(believed(&ledger, 9), None);
    // Nor for a flight that was contradicted in the air.
    let update = ledger.begin_update(target(1, ONE)).await;
    ledger.front.contradict(&user(1), TWO);
    told(3);
    ledger.confirmed(&update, Timestamp(4));
    told(5);
    assert_eq!(believed(&ledger, 9), None);
    drop(update);
    let mut update = ledger.begin_update(target(1, ONE)).await;
    ledger.begin_write(&mut update, Timestamp(6)).await;
    told(7);
    assert_eq!(believed(&ledger, 9), Some(Entry::WritePending));
    // An own write of unknown end may undo what the other one saw.
    update.keep_local();
    ledger.confirmed(&update, Timestamp(8));
    told(9);
    assert_eq!(believed(&ledger, 9), Some(stands(ONE, 8)));
    drop(update);
    ledger.confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(10));
    told(11);
    assert_eq!(
        believed(&ledger, 11),
        Some(stands(ONE, 11)),
        "the doubt is over"
    );
}

#[tokio::test]
async fn what_may_have_missed_a_change_is_prolonged_by_nobody() {
    let ledger = ledger(10);
    ledger.confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(1_000));
    ledger.front.hears_no_more(Timestamp(2_000));
    ledger.front.told(&user(1), ONE, Timestamp(2_500));
    ledger.front.hears();
    ledger.front.told(&user(1), ONE, Timestamp(3_000));
    assert_eq!(
        (believed(&ledger, 3_000), believed(&ledger, 12_000)),
        (Some(stands(ONE, 1_000)), None)
    );
}

#[tokio::test]
async fn what_lies_in_the_store_is_known_until_it_is_not_there_or_a_change_may_be_missing() {
    let ledger = ledger(10);
    let stored = |fingerprint| ledger.front.stored(&user(1), fingerprint);
    ledger.confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(1));
    assert_eq!(stored(ONE), Stored::Unknown, "not told yet");
    ledger.front.lies_there(&user(1), ONE, Timestamp(1));
    assert_eq!(
        (stored(ONE), stored(TWO)),
        (Stored::At(Timestamp(1)), Stored::Unknown)
    );
    // A later check is stored in its place: until it is, the old one lies there.
    ledger.confirmed(&ledger.begin_update(target(1, ONE)).await, Timestamp(2));
    assert_eq!(stored(ONE), Stored::At(Timestamp(1)));
    // Another replica was first. That ours was refused says nothing against what that one has told.
    ledger.front.told(&user(1), ONE, Timestamp(3));
    ledger.front.lies_there_no_more(&user(1), ONE, Timestamp(1));
    assert_eq!(stored(ONE), Stored::At(Timestamp(3)));
    ledger.front.lies_there_no_more(&user(1), ONE, Timestamp(3));
    assert_eq!(
        (stored(ONE), believed(&ledger, 9)),
        (Stored::Unknown, Some(stands(ONE, 2)))
    );
    ledger.front.lies_there(&user(1), ONE, Timestamp(2));
    ledger.front.hears_no_more(Timestamp(4));
    ledger.front.hears();
    assert_eq!(stored(ONE), Stored::Unknown);
}
