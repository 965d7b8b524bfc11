use super::*;
use crate::{
    clock::Clock,
    keys::{Keyring, Slot},
    ledger::{Config, Entry, Ledger, StoreConfig, types::PENDING_FOR},
    model::{Fingerprint, Generation, Username},
    secret::SecretKey,
    shutdown::Tasks,
    telemetry::{clocks::ClockCheck, metrics::ClusterMetrics},
};
use std::{fs, path::Path, sync::atomic::Ordering};
use tokio::time::sleep;

const ONE: Fingerprint = Fingerprint([1; 16]);
const TWO: Fingerprint = Fingerprint([2; 16]);
const NOW: Timestamp = Timestamp(1_800_000_000_000);

const KEY: &str = "8f1d0e2c3b4a59687786950413f2e1d0c9b8a7968574635241302f1e0d9c8b7a";

fn ledger(folder: &Path, key: &str, capacity: usize, clock: &Clock, tasks: &Tasks) -> Ledger {
    let store = StoreConfig::File(folder.to_owned());
    ledger_in(&Folders::default(), store, key, capacity, clock, tasks)
}

fn ledger_in(
    folders: &Folders,
    store: StoreConfig,
    key: &str,
    capacity: usize,
    clock: &Clock,
    tasks: &Tasks,
) -> Ledger {
    let config = Config { capacity, store };
    let keys = Keyring::new(&SecretKey::parse(key).unwrap(), None, "default");
    let context = LedgerContext {
        keys: Arc::new(keys),
        expiration: Duration::from_hours(1),
        clock: clock.clone(),
        tasks: tasks.clone(),
        clocks: ClockCheck::default(),
        metrics: ClusterMetrics::default(),
    };
    Ledger::start(&config, context, folders).unwrap()
}

struct Process {
    ledger: Ledger,
    tasks: Tasks,
}

impl Process {
    fn start(folder: &Path) -> Self {
        Self::with_key(folder, KEY)
    }

    fn with_key(folder: &Path, key: &str) -> Self {
        Self::with(folder, key, 1_000, NOW)
    }

    fn at(folder: &Path, capacity: usize, now: Timestamp) -> Self {
        Self::with(folder, KEY, capacity, now)
    }

    fn with(folder: &Path, key: &str, capacity: usize, now: Timestamp) -> Self {
        let clock = Clock::Manual(Arc::new(now.0.into()));
        let tasks = Tasks::default();
        Self {
            ledger: ledger(folder, key, capacity, &clock, &tasks),
            tasks,
        }
    }

    /// One of several ledgers of the same process.
    fn among(folders: &Folders, store: StoreConfig, process: &Tasks) -> Self {
        let clock = Clock::Manual(Arc::new(NOW.0.into()));
        let tasks = process.branch();
        Self {
            ledger: ledger_in(folders, store, KEY, 1_000, &clock, &tasks),
            tasks,
        }
    }

    async fn knows(&self, user: &str, fingerprint: Fingerprint) -> bool {
        self.ledger
            .begin_update(target(user, fingerprint))
            .await
            .confirmed_at()
            == Some(NOW)
    }

    async fn learns(&self, user: &str, fingerprint: Fingerprint) {
        self.ledger.record_confirmed(
            &self.ledger.begin_update(target(user, fingerprint)).await,
            NOW,
        );
    }

    /// Ends in order; without it, what is dropped is as good as killed.
    async fn end(self) {
        self.tasks.end();
        assert!(self.tasks.drained(Duration::from_secs(10)).await);
    }
}

fn target(user: &str, fingerprint: Fingerprint) -> Target {
    Target {
        user: Username::parse(user).unwrap(),
        fingerprint,
        generation: Generation::default(),
        epoch: 7,
        key: Slot::Current,
    }
}

#[tokio::test]
async fn facts_survive_a_restart_and_hold_no_names() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path());
    for n in 0..500 {
        first.learns(&format!("user-{n}"), ONE).await;
    }
    first.end().await;
    let bytes = fs::read(folder.path().join("ledger")).unwrap();
    assert!(!bytes.windows(5).any(|window| window == b"user-"));
    let second = Process::start(folder.path());
    assert!(second.knows("user-0", ONE).await && second.knows("user-499", ONE).await);
    assert!(!second.knows("user-0", TWO).await && !second.knows("somebody", ONE).await);
    assert_eq!(
        second
            .ledger
            .recall(&Username::parse("user-0").unwrap(), NOW),
        None::<Entry>
    );
    second.end().await;
}

#[tokio::test]
async fn a_write_of_unknown_result_leaves_nothing_to_use() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path());
    first.learns("alice", ONE).await;
    first.learns("bob", ONE).await;
    first
        .ledger
        .begin_write(
            &mut first.ledger.begin_update(target("alice", TWO)).await,
            NOW,
        )
        .await;
    first.end().await;
    let second = Process::start(folder.path());
    assert!(
        !second.knows("alice", ONE).await
            && !second.knows("alice", TWO).await
            && second.knows("bob", ONE).await
    );
    second.end().await;
}

#[tokio::test]
async fn a_write_that_was_lost_with_its_process_may_take_effect_late_and_the_next_one_knows() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path());
    // Of alice nothing was known before; that does not matter.
    first
        .ledger
        .begin_write(
            &mut first.ledger.begin_update(target("alice", TWO)).await,
            NOW,
        )
        .await;
    first.end().await;
    let second = Process::start(folder.path());
    let alice = Username::parse("alice").unwrap();
    second.learns("alice", ONE).await;
    assert!(second.ledger.recall(&alice, NOW).is_some());
    assert_eq!(
        second
            .ledger
            .recall(&alice, NOW.after(Duration::from_secs(10))),
        None,
        "checked again soon"
    );
    second.end().await;
    let third = Process::start(folder.path());
    assert!(
        !third.knows("alice", ONE).await,
        "and not used by the next one either"
    );
    third.end().await;
    let later = Process::at(folder.path(), 1_000, NOW.after(PENDING_FOR));
    later.learns("alice", ONE).await;
    assert!(later.knows("alice", ONE).await);
    later.end().await;
}

#[tokio::test]
async fn a_table_that_is_full_of_what_is_too_old_has_room_again() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path());
    for n in 0..10 {
        first.learns(&format!("user-{n}"), ONE).await;
    }
    let clock = Arc::new(std::sync::atomic::AtomicU64::new(NOW.0));
    first.end().await;
    let tasks = Tasks::default();
    let ledger = ledger(
        folder.path(),
        KEY,
        10,
        &Clock::Manual(Arc::clone(&clock)),
        &tasks,
    );
    let later = NOW.after(Duration::from_hours(2));
    clock.store(later.0, Ordering::SeqCst);
    // The first who finds no room has the old ones taken out; it happens in the background.
    let until = tokio::time::Instant::now() + Duration::from_secs(10);
    while ledger
        .begin_update(target("alice", ONE))
        .await
        .confirmed_at()
        != Some(later)
    {
        assert!(tokio::time::Instant::now() < until, "no room");
        ledger.record_confirmed(&ledger.begin_update(target("alice", ONE)).await, later);
        sleep(Duration::from_millis(10)).await;
    }
    tasks.end();
    assert!(tasks.drained(Duration::from_secs(10)).await);
}

#[tokio::test]
async fn a_user_who_is_forgotten_stays_so_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path());
    first.learns("alice", ONE).await;
    first.learns("bob", ONE).await;
    assert!(
        first
            .ledger
            .forget(&Username::parse("alice").unwrap())
            .known
    );
    assert!(!first.knows("alice", ONE).await);
    first.end().await;
    let second = Process::start(folder.path());
    assert!(!second.knows("alice", ONE).await && second.knows("bob", ONE).await);
    second.end().await;
}

#[tokio::test]
async fn a_cut_record_is_dropped_and_a_changed_one_sets_the_file_aside() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ledger");
    let first = Process::start(folder.path());
    first.learns("alice", ONE).await;
    first.learns("bob", ONE).await;
    first.end().await;
    let whole = fs::read(&file).unwrap();
    fs::write(&file, whole.get(..whole.len() - 1).unwrap()).unwrap();
    let cut = Process::start(folder.path());
    assert!(cut.knows("alice", ONE).await != cut.knows("bob", ONE).await);
    cut.end().await;
    let mut changed = whole.clone();
    *changed.last_mut().unwrap() ^= 1;
    for damaged in [changed, b"nonsense".to_vec()] {
        fs::write(&file, &damaged).unwrap();
        let third = Process::start(folder.path());
        assert!(!third.knows("alice", ONE).await && !third.knows("bob", ONE).await);
        assert_eq!(
            fs::read(folder.path().join("ledger.damaged")).unwrap(),
            damaged
        );
        third.end().await;
    }
}

#[tokio::test]
async fn a_second_process_goes_on_in_memory_alone_and_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path());
    let second = Process::start(folder.path());
    assert_eq!(first.ledger.store_state(), Ok("file"));
    assert_eq!(
        second.ledger.store_state(),
        Err("another process has the folder")
    );
    second.learns("alice", ONE).await;
    assert!(
        second
            .ledger
            .recall(&Username::parse("alice").unwrap(), NOW)
            .is_some()
    );
    first.end().await;
}

#[tokio::test]
async fn another_key_finds_nothing_and_a_folder_that_cannot_be_made_costs_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let first = Process::start(folder.path());
    first.learns("alice", ONE).await;
    first.end().await;
    let other = Process::with_key(
        folder.path(),
        "3e5a77c1d09b4f2286e4b1a9c05d7f13a86c2e94b7d05f31c92e6a40d8b17f5c",
    );
    assert!(!other.knows("alice", ONE).await);
    other.end().await;
    let nowhere = Process::start(&folder.path().join("ledger").join("below a file"));
    assert!(nowhere.ledger.store_state().is_err());
    nowhere.learns("alice", ONE).await;
    assert!(
        nowhere
            .ledger
            .recall(&Username::parse("alice").unwrap(), NOW)
            .is_some()
    );
}

#[tokio::test]
async fn a_ledger_that_replaces_another_one_has_its_file_and_its_pending_writes() {
    let (home, folders) = (tempfile::tempdir().unwrap(), Folders::default());
    let (tasks, store) = (Tasks::default(), || {
        StoreConfig::File(home.path().to_owned())
    });
    let first = Process::among(&folders, store(), &tasks);
    first.learns("alice", ONE).await;
    let second = Process::among(&folders, store(), &tasks);
    assert_eq!(second.ledger.store_state(), Ok("file"));
    // A request in hand still writes through the first one.
    first
        .ledger
        .begin_write(
            &mut first.ledger.begin_update(target("alice", TWO)).await,
            NOW,
        )
        .await;
    let update = second.ledger.begin_update(target("alice", ONE)).await;
    assert_eq!(update.other_write_began(), Some(NOW));
    drop(update);
    first.tasks.end();
    drop(first);
    second.learns("bob", ONE).await;
    second.end().await;
    let third = Process::among(&folders, store(), &tasks);
    assert!(third.knows("bob", ONE).await && !third.knows("alice", ONE).await);
    third.end().await;
}

#[tokio::test]
async fn a_folder_that_was_just_left_is_waited_for() {
    let (home, folders) = (tempfile::tempdir().unwrap(), Folders::default());
    let (tasks, store) = (Tasks::default(), || {
        StoreConfig::File(home.path().to_owned())
    });
    let first = Process::among(&folders, store(), &tasks);
    first.learns("alice", ONE).await;
    drop(first.ledger);
    // Its last lines are on their way to the disk.
    let second = Process::among(&folders, store(), &tasks);
    second.learns("bob", ONE).await;
    assert_eq!(second.ledger.store_state(), Ok("file"));
    second.end().await;
    let third = Process::among(&folders, store(), &tasks);
    assert!(third.knows("alice", ONE).await && third.knows("bob", ONE).await);
    third.end().await;
}

#[tokio::test]
async fn a_transient_folder_comes_with_the_first_write_and_goes_if_nobody_is_left() {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("ledger.one.acme");
    let start = || {
        let store = StoreConfig::TransientFile(path.clone());
        Process::among(&Folders::default(), store, &Tasks::default())
    };
    start().end().await;
    assert!(!path.exists());
    let known = start();
    known.learns("alice", ONE).await;
    known.end().await;
    assert!(path.join("ledger").exists());
    let gone = start();
    assert!(gone.knows("alice", ONE).await);
    let _forgotten = gone.ledger.forget(&Username::parse("alice").unwrap());
    gone.end().await;
    assert!(!path.exists());
}
