//! The users: who has which groups now, and what was seen of each.

use crate::support::{Why, pause};
use crate::{Chance, Pace, clients::LATER, health::CARRIED_OUT_LATE};
use elastauth::internals::demo::standin::StandIn;
use std::{collections::BTreeSet, net::SocketAddr, sync::Mutex, time::Duration};
use tokio::time::Instant;

/// Users whose groups never change. Those whose groups do come after them.
pub(crate) const STEADY: usize = 120;
/// Three seconds of reading, and the one for which a failure answers the same question: what one
/// replica began before another made a user stand may fail for so long.
const ONE_UPDATE: Duration = Duration::from_secs(4);

/// Groups that a user may have, with the roles that they give beside `viewer`.
pub(crate) const GROUPS: [(&str, &[&str]); 4] = [
    ("", &[]),
    ("dev", &["editor"]),
    ("ops", &["monitoring_user"]),
    ("dev,ops", &["editor", "monitoring_user"]),
];

/// Who has which groups now.
pub(crate) struct Directory {
    users: Vec<Mutex<User>>,
}

struct User {
    name: String,
    groups: usize,
    /// For each set of groups: when a request with it was last about, when one last failed, perhaps
    /// with a write under way, and how many are about.
    seen: [Option<Instant>; GROUPS.len()],
    failed: [Option<Instant>; GROUPS.len()],
    about: [u32; GROUPS.len()],
    /// Logins that are yet to be used once more.
    kept: u32,
    /// Whether some replica has let the user in: from then on a refusal needs a reason.
    known: bool,
    /// Nobody asks for the user: somebody is changing them in the cluster.
    aside: bool,
    /// The password period in which the user was last let in, and since when, until somebody
    /// changes them. Within it nothing has to be written for them.
    stands: Option<(u64, Instant)>,
}

/// One request of a user, as it was asked.
#[derive(Debug)]
pub(crate) struct Visit {
    pub(crate) place: usize,
    pub(crate) name: String,
    pub(crate) groups: usize,
    /// Whether the user was let in before.
    pub(crate) known: bool,
    pub(crate) asked: Instant,
    /// The replica that has answered, where that is known.
    pub(crate) by: Option<SocketAddr>,
    /// The password period for which the user was in the cluster, if at all.
    stood: Option<(u64, Instant)>,
}

impl Directory {
    pub(crate) fn new(pace: &Pace) -> Self {
        let users = (0..STEADY + pace.changing).map(|n| {
            let name = if n < STEADY {
                format!("steady-{n}")
            } else {
                format!("changing-{n}")
            };
            Mutex::new(User {
                name,
                groups: n % GROUPS.len(),
                seen: [None; GROUPS.len()],
                failed: [None; GROUPS.len()],
                about: [0; GROUPS.len()],
                kept: 0,
                known: false,
                aside: false,
                stands: None,
            })
        });
        Self {
            users: users.collect(),
        }
    }

    /// Somebody asks for the user, unless they are aside.
    pub(crate) fn visit(&self, place: usize) -> Option<Visit> {
        let mut user = self.users[place].lock().unwrap();
        if user.aside {
            return None;
        }
        let groups = user.groups;
        user.about[groups] += 1;
        Some(Visit {
            place,
            name: user.name.clone(),
            groups,
            known: user.known,
            asked: Instant::now(),
            by: None,
            stood: user.stands,
        })
    }

    /// The user was let in, and their login will be used once more after the visit.
    pub(crate) fn granted(&self, visit: &Visit, pace: &Pace) {
        let mut user = self.users[visit.place].lock().unwrap();
        let (period, _) = pace.period(&user.name);
        user.known = true;
        user.stands = user
            .stands
            .filter(|(stood, _)| *stood == period)
            .or(Some((period, Instant::now())));
        user.kept += 1;
    }

    pub(crate) fn failed(&self, visit: &Visit) {
        self.users[visit.place].lock().unwrap().failed[visit.groups] = Some(Instant::now());
    }

    pub(crate) fn leave(&self, visit: &Visit) {
        let mut user = self.users[visit.place].lock().unwrap();
        user.about[visit.groups] -= 1;
        user.seen[visit.groups] = Some(Instant::now());
    }

    /// The login has been used for the last time.
    pub(crate) fn used(&self, visit: &Visit) {
        self.users[visit.place].lock().unwrap().kept -= 1;
    }

    /// Whether nothing has to be written for this request: the user is written for this period, has
    /// for a moment, and always has the same groups. Where clocks differ, nobody can say from
    /// outside which period it is.
    pub(crate) fn stands_for(&self, visit: &Visit, pace: &Pace) -> bool {
        let (period, _) = pace.period(&visit.name);
        let stood = visit
            .stood
            .is_some_and(|(stood, since)| stood == period && since + ONE_UPDATE <= visit.asked);
        pace.clocks == 0
            && stood
            && visit.place < STEADY
            && visit.stood == self.users[visit.place].lock().unwrap().stands
    }

    /// Waits until nobody asks for the user and no login of theirs is in use; the name, if they are
    /// known and not aside already.
    pub(crate) async fn take_aside(&self, place: usize) -> Option<String> {
        {
            let mut user = self.users[place].lock().unwrap();
            if user.aside || !user.known {
                return None;
            }
            user.aside = true;
        }
        let in_use = |user: &User| user.kept > 0 || user.about.iter().any(|about| *about > 0);
        while in_use(&self.users[place].lock().unwrap()) {
            pause(Why::Again, Duration::from_millis(5)).await;
        }
        // What nobody waits for any more has a moment to end, too.
        pause(Why::Pace, Duration::from_millis(2 * LATER)).await;
        let mut user = self.users[place].lock().unwrap();
        user.stands = None;
        Some(user.name.clone())
    }

    pub(crate) fn let_back(&self, place: usize) {
        self.users[place].lock().unwrap().aside = false;
    }

    pub(crate) fn give_any_groups(&self, place: usize, chance: &mut Chance) {
        self.users[place].lock().unwrap().groups =
            usize::try_from(chance.below(GROUPS.len() as u64)).unwrap();
    }

    /// Gives the user groups that come to other roles than those that stand in the cluster.
    pub(crate) fn give_other_groups(
        &self,
        place: usize,
        cluster: &StandIn,
        chance: &mut Chance,
    ) -> &'static str {
        let mut user = self.users[place].lock().unwrap();
        let standing: BTreeSet<String> = cluster
            .user(&user.name)
            .into_iter()
            .flat_map(|user| user.roles)
            .collect();
        let others: Vec<usize> = (0..GROUPS.len())
            .filter(|groups| roles(*groups) != standing)
            .collect();
        user.groups = others[usize::try_from(chance.below(others.len() as u64)).unwrap()];
        GROUPS[user.groups].0
    }

    /// How long ago somebody asked for this user with other groups.
    pub(crate) fn other_groups(&self, place: usize, groups: usize) -> Option<Duration> {
        let user = self.users[place].lock().unwrap();
        let others = (0..GROUPS.len()).filter(|other| *other != groups);
        others
            .filter_map(|other| {
                if user.about[other] > 0 {
                    Some(Duration::ZERO)
                } else {
                    user.seen[other].map(|at| at.elapsed())
                }
            })
            .min()
    }

    /// Whether a write for the user may have been given up lately that a real cluster carries out
    /// late; one with other groups than these, if any are given.
    pub(crate) fn gave_up(&self, place: usize, but: Option<usize>) -> bool {
        let user = self.users[place].lock().unwrap();
        let carried_out_late =
            |groups: usize| user.failed[groups].is_some_and(|at| at.elapsed() < CARRIED_OUT_LATE);
        (0..GROUPS.len()).any(|groups| Some(groups) != but && carried_out_late(groups))
    }
}

/// What these groups give.
pub(crate) fn roles(groups: usize) -> BTreeSet<String> {
    GROUPS[groups]
        .1
        .iter()
        .chain(&["viewer"])
        .map(|role| (*role).to_owned())
        .collect()
}
