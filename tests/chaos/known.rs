//! Who has to be answered whatever becomes of the cluster: a user whom this very replica has
//! answered already, with the same groups and in the same period of passwords, which has just
//! begun, and with no moment since at which they are checked again. Nothing excuses a failure
//! there.

use crate::{EXPIRATION_MS, GRACE_MS, Pace, World, clocks, directory::Visit};
use std::{collections::HashMap, net::SocketAddr, sync::Mutex, time::Duration};
use tokio::time::Instant;

/// Memory is believed for five seconds at least, even beside another replica's write, and what is
/// remembered of this period is no older than its boundary and the grace. So until then at most,
/// counted from the boundary.
const REMEMBERED_MS: u64 = 4_500;
/// What a clock shows that was set so long ago is of no matter any more.
const SET: Duration = Duration::from_secs(8);
/// A write that failed may leave a user uncertain, and an uncertain user is checked before each
/// answer.
const UNCERTAIN: Duration = Duration::from_secs(110);

/// How long a request waits at most, and what is little of that for the cluster on a machine that
/// has other things to do.
const PATIENCE_MS: u64 = 1_800;
const LITTLE_MS: u64 = 600;

#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    granted: HashMap<(SocketAddr, usize), (usize, Instant)>,
    failed: HashMap<usize, Instant>,
    clock_set: Option<Instant>,
}

impl Known {
    pub(crate) fn granted(&self, by: SocketAddr, place: usize, groups: usize) {
        self.0
            .lock()
            .unwrap()
            .granted
            .insert((by, place), (groups, Instant::now()));
    }

    pub(crate) fn failed(&self, place: usize) {
        self.0.lock().unwrap().failed.insert(place, Instant::now());
    }

    /// Somebody has changed the user in the cluster and had them checked, or a write for them was
    /// made to hang.
    pub(crate) fn forget(&self, place: usize) {
        self.0
            .lock()
            .unwrap()
            .granted
            .retain(|(_, user), _| *user != place);
    }

    /// What was seen lies ahead of a clock that was set back, and is not believed.
    pub(crate) fn a_clock_is_set(&self) {
        self.0.lock().unwrap().clock_set = Some(Instant::now());
    }

    /// Whether the replica that has answered had to let the user in.
    pub(crate) fn has_to_answer(&self, world: &World, visit: &Visit) -> bool {
        let Visit {
            place,
            groups,
            ref name,
            by: Some(by),
            asked,
            ..
        } = *visit
        else {
            return false;
        };
        let table = self.0.lock().unwrap();
        let Some((same, at)) = table.granted.get(&(by, place)).copied() else {
            return false;
        };
        let in_time = same == groups
            && world
                .pace
                .period(name)
                .1
                .saturating_sub(ms(asked.elapsed()))
                < REMEMBERED_MS;
        let certain = table
            .failed
            .get(&place)
            .is_none_or(|at| at.elapsed() > UNCERTAIN);
        let clocks_stand = table.clock_set.is_none_or(|set| set.elapsed() > SET);
        drop(table);
        let heard = world.faults.lock().unwrap().unheard().is_none();
        let alone = world
            .directory
            .other_groups(place, groups)
            .is_none_or(|ago| ago > at.elapsed() + Duration::from_secs(1));
        in_time
            && certain
            && clocks_stand
            && heard
            && alone
            && !has_boundary_since(&world.pace, name, at)
            && !was_to_be_checked_since(name, at)
    }
}

/// Whether some replica may have seen a boundary of this user's passwords since then, or sees one
/// now.
fn has_boundary_since(pace: &Pace, name: &str, at: Instant) -> bool {
    let (into, ago) = (pace.period(name).1, ms(at.elapsed()));
    into < ago + clocks::MOST + GRACE_MS || into + clocks::MOST + 100 > pace.rotation
}

/// Whether some replica had to check the user again since then, or has to now.
fn was_to_be_checked_since(name: &str, at: Instant) -> bool {
    let ago = Pace::moment(name);
    ago < ms(at.elapsed()) + clocks::MOST + 100 || ago + clocks::MOST + 100 > EXPIRATION_MS
}

/// Whether this question, which has just been answered, had to wait for a boundary and through its
/// grace, and little was left of its time: whoever needs a write shortly before a boundary gets it
/// after the grace, and after 1.8 s there is no answer.
pub(crate) fn waited_for_a_boundary(pace: &Pace, name: &str, asked: Instant) -> bool {
    let (_, into) = pace.period(name);
    ms(asked.elapsed()) >= PATIENCE_MS
        && (into < GRACE_MS + LITTLE_MS || into + clocks::MOST > pace.rotation)
}

pub(crate) fn ms(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap()
}
