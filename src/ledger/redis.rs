//! Facts that replicas share through Redis.
//!
//! Redis is never on the way of a known user. A flight asks it at most once and tells it once, each
//! within [`DEADLINE`]; whatever else has to be told waits in a bounded queue. A Redis that is
//! slow, full, read-only, lost or lying costs calls to the cluster, never a login.
//!
//! What keeps the facts right while several replicas write:
//! - Before a write leaves, its replica puts "in flux" in the place of the fact and tells the
//!   others, in one step. Only if that still lies there when the write has ended does the new fact
//!   take its place; otherwise somebody else wrote meanwhile, and nothing is left that could be
//!   wrong.
//! - Whoever finds "in flux" at the beginning of its own write leaves it there at the end: the
//!   other write may be lost, and land when this one is long over. What is learnt beside it is
//!   believed for ten seconds.
//! - A replica that only asked the cluster stores the answer only in the place of what it knew to
//!   lie there before it asked: nothing has changed in Redis since. It has seen that there, or has
//!   put it there, or has been told, and has heard every change since then. A value follows from
//!   what it says, so it need not be fetched to be compared.
//! - Every replica hears of each change (`hearing`) and drops what it remembers. Whoever cannot
//!   hear believes its memory for ten seconds.
//! - Every replica hears of each answer that was stored. Who remembers the same, and has heard
//!   every change of it, believes it for as long as if it had asked by itself. Such a letter makes
//!   no entry, revives none that was contradicted, and ends no doubt: it prolongs what is there.
//! - After an outage nothing that was stored before it is believed: changes may be missing.
//!
//! So a user who is active on every replica costs one command in each `cache.expiration`, whoever
//! comes first at his moment. What two replicas ask in the same few milliseconds costs two. An
//! answer that cannot be stored, because something else lies there, is told to nobody, and the next
//! flight asks what does.
//!
//! (A long file: the three scripts and whoever sends them hold each other to these rules.)

mod address;
mod health;
mod hearing;
mod link;
mod pending;

pub use address::{Config, InvalidAddress, Node, Place};
pub use link::SetUpError;

use super::{
    Expected, FLUX, Found, Front, NO_FINGERPRINT, Others, Stored, Target, Update, lock,
    seal::{self, Fact, Kind, Letter, News, SUBJECT, Worthless, claimed, claimed_key},
};
use crate::{
    clock::{Clock, Timestamp},
    keys::{Keyring, StoreKeys},
    model::{Fingerprint, Username},
    shutdown::Tasks,
    telemetry::clocks::ClockCheck,
};
use aws_lc_rs::rand;
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use health::{Health, Part};
use link::{AskError, Link, Topology};
use pending::{Errand, Pending, What};
use redis::Cmd;
use std::{
    fmt,
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};
use tokio::{sync::Notify, time::sleep};
use tokio_util::sync::CancellationToken;
use tracing::warn;

/// How long a flight waits for Redis. A Redis in the same network answers within a millisecond; the
/// cluster's own answer takes several.
pub const DEADLINE: Duration = Duration::from_millis(50);
/// How long an errand of the queue may take: nobody waits for it.
const ERRAND: Duration = Duration::from_secs(1);

/// By how much another replica's clock may be ahead for its word to count: the most that
/// `credentials.grace` can be. Beyond it something is wrong, and is reported as that.
const AHEAD: Duration = Duration::from_millis(1_500);
/// How long the end waits for a Redis that is away or takes no writes, while it has still to be
/// told of changes. Long enough for a failover, and well within the time that the end has.
const LAST_TRIES: Duration = Duration::from_secs(5);
/// Between two tries to take a fact back.
const PAUSE: Duration = Duration::from_millis(500);

/// For how long a replica with another key is reported after its last sign: its beats come every
/// two seconds.
const FOREIGN: Duration = Duration::from_secs(30);

/// What lies there, from a Redis that would take it back: one that answers and takes no writes (its
/// disk is full, it has lost its replicas, it is a replica itself) may say what stood before a
/// change. The second name is that of nothing, and lies where the first one lies.
const LOOK: &str = "redis.call('DEL', KEYS[2]) return redis.call('GET', KEYS[1])";
/// Puts "in flux" in the place of what is there, tells everybody, and gives back what was there.
const BEGIN: &str = "local old = redis.call('GET', KEYS[1]) redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2]) redis.call('PUBLISH', ARGV[3], ARGV[4]) return old";
/// The end of a write: the new fact if nobody else wrote meanwhile, else nothing; and tells
/// everybody. What says that another write is under way stays. Says whether the fact lies there.
const WRITTEN: &str = "local now, stored = redis.call('GET', KEYS[1]), 0 if now and ARGV[1] ~= '' and string.sub(now, 1, #ARGV[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) stored = 1 elseif now and string.sub(now, 2, 2) ~= 'f' then redis.call('DEL', KEYS[1]) end redis.call('PUBLISH', ARGV[4], ARGV[5]) return stored";
/// What the cluster has said, if nothing has changed since before it was asked; and tells
/// everybody. Says whether it lies there, also to whoever has to ask twice because an answer was
/// lost.
const CONFIRMED: &str = "local now = redis.call('GET', KEYS[1]) or '' if now == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) redis.call('PUBLISH', ARGV[4], ARGV[5]) return 1 end if now == ARGV[2] then return 1 end return 0";

/// The store.
pub(super) struct Redis(Arc<Shared>);

/// User, password and certificates of a new configuration, ready to be used.
pub struct Access(Topology);

impl Config {
    /// Looks at what Redis is to be shown, and at whom to believe.
    ///
    /// # Errors
    /// When a certificate or key file cannot be used.
    pub fn access(&self) -> Result<Access, SetUpError> {
        Topology::new(self).map(Access)
    }
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").finish_non_exhaustive()
    }
}

struct Shared {
    link: Link,
    health: Arc<Health>,
    keys: Arc<Keyring>,
    front: Arc<Front>,
    clock: Clock,
    clocks: ClockCheck,
    /// Stands before every name.
    prefix: String,
    channel: String,
    /// How long a fact lies in Redis: twice as long as it is believed, so that it still lies there
    /// when the next one takes its place. Whether it is believed our own clock says.
    lasts: Duration,
    /// Who we are among the replicas.
    own: [u8; 8],
    pending: Mutex<Pending>,
    wake: Notify,
    /// The last errand has been run: the connection is needed no more.
    told: CancellationToken,
    /// Somebody has begun to listen for our own beat.
    wake_beat: Notify,
    /// When the last outage ended: what was stored before may have missed a change.
    outage_ended: AtomicU64,
    foreign_told: AtomicBool,
    /// When something made with another key was last seen.
    foreign_at: AtomicU64,
    damaged_told: AtomicBool,
    counts: Counts,
}

/// What became of the dealings with Redis.
#[derive(Debug, Default)]
struct Counts {
    foreign: AtomicU64,
    damaged: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Redis {
    /// Prepares the way and sets out on it; does not wait to arrive.
    pub(super) fn start(
        config: &Config,
        keys: Arc<Keyring>,
        expiration: Duration,
        front: Arc<Front>,
        clock: Clock,
        tasks: &Tasks,
        clocks: &ClockCheck,
    ) -> Result<Self, SetUpError> {
        let health = Arc::new(Health::new(clock.clone()));
        let mut own = [0; 8];
        rand::fill(&mut own).map_err(|_| SetUpError::NoRandomness)?;
        let shared = Arc::new(Shared {
            link: Link::new(config, Arc::clone(&health))?,
            health,
            prefix: format!("elastauth:{}:", keys.cluster()),
            channel: format!("elastauth:{}", keys.cluster()),
            keys,
            front,
            clock,
            clocks: clocks.clone(),
            lasts: expiration.saturating_mul(2),
            own,
            pending: Mutex::default(),
            wake: Notify::new(),
            told: CancellationToken::new(),
            wake_beat: Notify::new(),
            outage_ended: AtomicU64::new(0),
            foreign_told: AtomicBool::new(false),
            foreign_at: AtomicU64::new(0),
            damaged_told: AtomicBool::new(false),
            counts: Counts::default(),
        });
        let linked = Arc::clone(&shared);
        tasks.spawn(async move {
            tokio::select! {
                () = linked.link.keep() => {}
                () = linked.told.cancelled() => {}
            }
        });
        tasks.spawn(until_the_end(
            tasks.clone(),
            Arc::clone(&shared),
            async |shared| hearing::hear(shared).await,
        ));
        tasks.spawn(until_the_end(
            tasks.clone(),
            Arc::clone(&shared),
            async |shared| hearing::beat(shared).await,
        ));
        tasks.spawn(Arc::clone(&shared).run_errands(tasks.clone()));
        Ok(Self(shared))
    }

    pub(super) fn state(&self) -> Result<(), String> {
        self.0.health.state()
    }

    /// Uses it from the next connection on.
    pub(super) fn replace(&self, access: Access) {
        self.0.link.replace(access.0);
    }

    /// What Redis has about the user, where that is known without asking.
    pub(super) fn as_remembered(&self, update: &Update) -> Option<Found> {
        let (shared, target) = (&self.0, &update.target);
        let Stored::At(at) = update.stored else {
            return None;
        };
        if shared
            .clock
            .now()
            .since(at)
            .is_some_and(|age| age >= shared.lasts)
        {
            return None;
        }
        let fact = Fact {
            kind: Kind::Present,
            epoch: target.epoch,
            fingerprint: target.fingerprint,
            at,
        };
        Some(Found {
            fact: Some(fact),
            raw: Some(shared.value(target, &fact)),
        })
    }

    /// What Redis has about the user; `None` where it could not be asked.
    pub(super) async fn look(&self, target: &Target) -> Option<Found> {
        let shared = &self.0;
        let (mut look, key) = (Cmd::new(), shared.key(target));
        look.arg("EVAL")
            .arg(LOOK)
            .arg(2)
            .arg(&key)
            .arg(format!("elastauth:{{{key}}}"));
        match shared.link.ask::<Option<Vec<u8>>>(&look, DEADLINE).await {
            Ok(raw) => {
                shared.health.set(Part::Reads, None);
                let fact = raw.as_deref().and_then(|raw| shared.judge(target, raw));
                Some(Found { fact, raw })
            }
            Err(error) => {
                shared.failed(Part::Reads, &error);
                None
            }
        }
    }

    /// Puts "in flux" there and tells the others. If that cannot be done in time it is done later,
    /// without holding up the write.
    pub(super) async fn begin_write(&self, target: &Target, now: Timestamp) -> Expected {
        let shared = &self.0;
        let flux = Fact {
            kind: Kind::WritePending,
            epoch: target.epoch,
            fingerprint: target.fingerprint,
            at: now,
        };
        let flux = shared.value(target, &flux);
        let Some(letter) = shared.letter_about(target) else {
            return Expected::Unknown;
        };
        let mut begin = Cmd::new();
        begin.arg("EVAL").arg(BEGIN).arg(1).arg(shared.key(target));
        begin
            .arg(&flux)
            .arg(millis(FLUX))
            .arg(&shared.channel)
            .arg(&letter);
        match shared.link.ask::<Option<Vec<u8>>>(&begin, DEADLINE).await {
            Ok(old) => {
                shared.health.set(Part::Writes, None);
                let others = old.is_some_and(|old| is_flux(shared.judge(target, &old)));
                if others {
                    Expected::Others
                } else {
                    Expected::Value(flux)
                }
            }
            Err(error) => {
                shared.failed(Part::Writes, &error);
                // To forget takes no memory: it works where Redis is full.
                if let Some(errand) = shared.forgetting(shared.keys_of(target), &target.user)
                    && (!matches!(error, AskError::Refused(_))
                        || shared.forget(&errand, DEADLINE).await.is_err())
                {
                    shared.put(errand);
                }
                Expected::Unknown
            }
        }
    }

    /// Takes away what lies there about the user, under whichever key, and tells the others.
    pub(super) fn forget(&self, user: &Username) -> Others {
        let shared = &self.0;
        for keys in shared.keys.all() {
            if let Some(errand) = shared.forgetting(&keys.store, user) {
                shared.put(errand);
            }
        }
        if shared.link.is_up() {
            Others::Reported
        } else {
            Others::ReportedLater
        }
    }

    /// The user stands as the flight wanted it; `alone` unless another replica has said something
    /// else meanwhile.
    pub(super) fn stands(&self, update: &Update, now: Timestamp, written: bool, alone: bool) {
        let (shared, target) = (&self.0, &update.target);
        let fact = Fact {
            kind: Kind::Present,
            epoch: target.epoch,
            fingerprint: target.fingerprint,
            at: now,
        };
        let value = shared.value(target, &fact);
        let (what, news) = match (&update.expected, &update.vouched) {
            (Expected::Value(flux), _) if written => {
                let instead_of = if alone {
                    subject(flux).to_vec()
                } else {
                    Vec::new()
                };
                (
                    What::Written { instead_of, value },
                    News::Changed(target.user.clone(), target.fingerprint),
                )
            }
            (Expected::Others, _) if written => (
                What::Written {
                    instead_of: Vec::new(),
                    value,
                },
                News::Changed(target.user.clone(), target.fingerprint),
            ),
            (Expected::Unknown, _) if written => {
                if let Some(errand) = shared.forgetting(shared.keys_of(target), &target.user) {
                    shared.put(errand);
                }
                return;
            }
            (_, Some(found))
                if alone && !is_flux(found.fact) && !shared.was_told_meanwhile(update) =>
            {
                let stands = News::Stands(target.user.clone(), target.fingerprint, now);
                (
                    What::Confirmed {
                        instead_of: found.raw.clone().unwrap_or_default(),
                        value,
                    },
                    stands,
                )
            }
            _ => return,
        };
        if let Some(letter) = shared.letter(shared.keys_of(target), news) {
            shared.put(Errand {
                key: shared.key(target),
                user: target.user.clone(),
                what,
                letter,
            });
        }
    }
}

impl Shared {
    fn key(&self, target: &Target) -> String {
        self.key_of(self.keys_of(target), &target.user)
    }

    fn key_of(&self, keys: &StoreKeys, user: &Username) -> String {
        format!(
            "{}{}",
            self.prefix,
            BASE64_URL_SAFE_NO_PAD.encode(keys.name(user))
        )
    }

    fn keys_of(&self, target: &Target) -> &StoreKeys {
        &self.keys.of(target.key).store
    }

    fn value(&self, target: &Target, fact: &Fact) -> Vec<u8> {
        let keys = self.keys_of(target);
        seal::close(keys, &keys.name(&target.user), fact)
    }

    fn letter(&self, keys: &StoreKeys, news: News) -> Option<Vec<u8>> {
        let from = self.own;
        Letter { from, news }.close(keys)
    }

    /// Takes away what lies there about the user, and contradicts whatever is remembered of him: it
    /// is told late, in the place of older news perhaps, and who remembers what he is to become may
    /// have missed what he was in between.
    fn forgetting(&self, keys: &StoreKeys, user: &Username) -> Option<Errand> {
        let news = News::Changed(user.clone(), NO_FINGERPRINT);
        Some(Errand {
            key: self.key_of(keys, user),
            user: user.clone(),
            what: What::Forget,
            letter: self.letter(keys, news)?,
        })
    }

    fn letter_about(&self, target: &Target) -> Option<Vec<u8>> {
        let news = News::Changed(target.user.clone(), target.fingerprint);
        self.letter(self.keys_of(target), news)
    }

    /// Another replica has stored what the cluster has just said.
    fn confirmed_elsewhere(&self, user: &Username, fingerprint: Fingerprint, seen: Timestamp) {
        let too_early = seen.0 < self.outage_ended.load(Ordering::Acquire);
        if too_early || seen > self.clock.now().after(AHEAD) {
            return;
        }
        self.front.told(user, fingerprint, seen);
    }

    /// Whether another replica has stored the same since this flight began.
    fn was_told_meanwhile(&self, update: &Update) -> bool {
        let now = self
            .front
            .stored(&update.target.user, update.target.fingerprint);
        matches!(now, Stored::At(_)) && now != update.stored
    }

    /// Redis has answered whether the value lies there.
    fn answered(&self, user: &Username, instead_of: &[u8], value: &[u8], lies_there: bool) {
        // Values of our own making, or proven when they came.
        match (claimed(value), claimed(instead_of)) {
            (Some(fact), _) if lies_there => self.front.lies_there(user, fact.fingerprint, fact.at),
            (_, Some(fact)) => self
                .front
                .lies_there_no_more(user, fact.fingerprint, fact.at),
            _ => {}
        }
    }

    /// What a value is worth, and a word in the log where it is not what we would have written.
    fn judge(&self, target: &Target, raw: &[u8]) -> Option<Fact> {
        let keys = self.keys_of(target);
        match seal::open(keys, &keys.name(&target.user), raw) {
            // One of before an outage may have missed its end.
            Ok(fact)
                if fact.kind == Kind::Present
                    && fact.at.0 < self.outage_ended.load(Ordering::Acquire) =>
            {
                None
            }
            Ok(fact) => Some(fact),
            Err(worthless) => {
                let own = claimed_key(raw).is_some_and(|id| self.keys.store_keys(id).is_some());
                self.worthless(if own { Worthless::Damaged } else { worthless });
                None
            }
        }
    }

    fn worthless(&self, why: Worthless) {
        match why {
            Worthless::Foreign => {
                count(&self.counts.foreign);
                self.foreign_at.store(self.clock.now().0, Ordering::Relaxed);
                self.health.set(
                    Part::Keys,
                    Some("replicas with another `secret_key` use the same cluster name"),
                );
                if !self.foreign_told.swap(true, Ordering::Relaxed) {
                    warn!(
                        "Redis holds facts of an elastauth with another `secret_key` for the same cluster name; they are ignored. Replicas of one cluster need one key, two clusters need two names (`elasticsearch.cluster_name`)"
                    );
                }
            }
            Worthless::Damaged => {
                count(&self.counts.damaged);
                if !self.damaged_told.swap(true, Ordering::Relaxed) {
                    warn!(
                        "Redis holds something that no elastauth has written there, or not so; it is ignored"
                    );
                }
            }
        }
    }

    /// A replica with another key that is gone is reported no more.
    fn forget_foreign(&self) {
        let last = Timestamp(self.foreign_at.load(Ordering::Relaxed));
        if self.clock.now().since(last).is_none_or(|age| age > FOREIGN) {
            self.health.set(Part::Keys, None);
        }
    }

    fn failed(&self, part: Part, error: &AskError) {
        count(&self.counts.failed);
        // A link that is away says so for itself.
        if let AskError::Refused(why) = error {
            self.health.set(part, Some(*why));
        }
    }

    fn put(&self, errand: Errand) {
        if !lock(&self.pending).put(errand) {
            count(&self.counts.dropped);
            self.health.set(
                Part::Queue,
                Some("changes were lost while it could not be told"),
            );
        }
        self.wake.notify_one();
    }

    /// Runs errands until the end, and those of the last flights after it.
    async fn run_errands(self: Arc<Self>, tasks: Tasks) {
        let mut patience = pin!(async {
            tasks.ending().await;
            sleep(LAST_TRIES).await;
        });
        let (mut has_patience, mut lost) = (true, 0_u32);
        loop {
            let next = lock(&self.pending).next();
            match next {
                Some(errand) => {
                    let Err(error) = self.run(&errand).await else {
                        continue;
                    };
                    let ending = tasks.is_ending();
                    if ending && !(has_patience && errand.what.is_news()) {
                        lost += u32::from(errand.what.is_news());
                        continue;
                    }
                    // One that is refused lets others pass: in a cluster some of them go to another
                    // node.
                    let refused = matches!(error, AskError::Refused(_));
                    lock(&self.pending).put_back(errand, refused);
                    tokio::select! {
                        () = async { if refused { sleep(PAUSE).await } else { self.link.up().await } } => {}
                        () = tasks.ending(), if !ending => {}
                        () = &mut patience, if has_patience => has_patience = false,
                    }
                }
                None if tasks.is_ending() && lock(&self.front.aloft).is_empty() => break,
                None => {
                    self.health.set(Part::Queue, None);
                    tokio::select! {
                        () = self.wake.notified() => {}
                        () = ended_and_a_moment(&tasks) => {}
                    }
                }
            }
        }
        if lost > 0 {
            warn!(
                changes = lost,
                "Redis could not be told of changes before the end; other replicas may believe what stood before"
            );
        }
        self.told.cancel();
    }

    /// Runs one. What is no news is not worth a second try where Redis refuses it.
    async fn run(&self, errand: &Errand) -> Result<(), AskError> {
        let mut script = Cmd::new();
        let (value, instead_of) = match &errand.what {
            What::Forget => return self.forget(errand, ERRAND).await,
            What::Written { value, instead_of } => {
                script.arg("EVAL").arg(WRITTEN);
                (value, instead_of)
            }
            What::Confirmed { value, instead_of } => {
                script.arg("EVAL").arg(CONFIRMED);
                (value, instead_of)
            }
        };
        script
            .arg(1)
            .arg(&errand.key)
            .arg(instead_of)
            .arg(value)
            .arg(millis(self.lasts))
            .arg(&self.channel)
            .arg(&errand.letter);
        match self.link.ask::<bool>(&script, ERRAND).await {
            Ok(lies_there) => {
                self.health.set(Part::Writes, None);
                self.answered(&errand.user, instead_of, value, lies_there);
                Ok(())
            }
            Err(error) => {
                self.failed(Part::Writes, &error);
                match error {
                    AskError::Refused(_) if errand.what.is_news() => {
                        self.forget(errand, ERRAND).await
                    }
                    AskError::Refused(_) => Ok(()),
                    AskError::Away | AskError::Late => Err(error),
                }
            }
        }
    }

    /// Takes the fact away and tells everybody: two commands that work where scripts do not. Both
    /// are tried.
    async fn forget(&self, errand: &Errand, deadline: Duration) -> Result<(), AskError> {
        let (mut del, mut publish) = (Cmd::new(), Cmd::new());
        del.arg("DEL").arg(&errand.key);
        publish
            .arg("PUBLISH")
            .arg(&self.channel)
            .arg(&errand.letter);
        let (gone, told) = tokio::join!(
            self.link.ask::<()>(&del, deadline),
            self.link.ask::<()>(&publish, deadline)
        );
        for error in [gone.as_ref().err(), told.as_ref().err()]
            .into_iter()
            .flatten()
        {
            self.failed(Part::Writes, error);
        }
        gone.and(told)
    }
}

/// Ends the work with the program, wherever it is.
async fn until_the_end(tasks: Tasks, shared: Arc<Shared>, work: impl AsyncFnOnce(&Shared)) {
    tokio::select! {
        () = work(&shared) => {}
        () = tasks.ending() => {}
    }
}

/// After the end has begun, often enough to see that the last flight has landed.
async fn ended_and_a_moment(tasks: &Tasks) {
    tasks.ending().await;
    sleep(Duration::from_millis(20)).await;
}

/// What a value is about.
fn subject(value: &[u8]) -> &[u8] {
    value.get(..SUBJECT).unwrap_or(value)
}

fn is_flux(fact: Option<Fact>) -> bool {
    fact.is_some_and(|fact| fact.kind == Kind::WritePending)
}

fn millis(time: Duration) -> u64 {
    // Redis refuses an expiry of zero.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl fmt::Debug for Redis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Redis")
            .field("counts", &self.0.counts)
            .finish_non_exhaustive()
    }
}
