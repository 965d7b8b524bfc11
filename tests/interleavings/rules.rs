//! What must hold, judged from outside: by what the cluster keeps at the moment, and by what each
//! replica was informed of.

mod values;

pub(crate) use values::Author;

use super::cluster::{CallName, Life, State, User};
use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{Hash, Hasher},
};
use values::{As, Changed, InUse, Look, Seen, Sent, Unreported, roles_of};

/// How long a replica believes a check while an own write of unknown end may still be applied:
/// `UNCERTAIN_VALID_FOR` of the broker.
const UNCERTAIN_MS: u64 = 1_000;

/// The times that the rules speak of, in milliseconds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) expiration: u64,
    /// How long a gateway takes to use a login.
    pub(crate) use_within: u64,
    /// Whether replicas tell each other.
    pub(crate) shared: bool,
    /// Whether the cluster is an OpenSearch: a login follows from its roles too, and the user is
    /// read before the login is tried.
    pub(crate) opensearch: bool,
}

#[derive(Debug)]
pub(crate) struct Rules {
    bounds: Bounds,
    seen: BTreeMap<(Life, String), Seen>,
    /// Good answers to logins in this step. They count unless the replica goes on to read the user:
    /// then something else stood there than it wanted.
    heard: BTreeMap<(Life, String), Seen>,
    /// Changes since a call was dealt with, until its answer is heard.
    unheard: BTreeMap<(CallName, String), Changed>,
    /// The same since a replica has last read a user of OpenSearch.
    read: BTreeMap<(Life, String), Changed>,
    author: BTreeMap<String, Author>,
    in_use: Vec<InUse>,
    looks: BTreeMap<(Life, String), Look>,
    /// Every login that was sent to the cluster.
    sent: BTreeMap<String, Sent>,
    /// Those with which users were parked.
    parked: BTreeSet<String>,
    /// Every login that was answered, by user and password.
    answered: BTreeSet<(String, String)>,
    /// The highest generation of each user that was sent.
    highest: BTreeMap<String, u64>,
    /// Of which generation each replica has been informed, by its own revocation or a look of its
    /// own.
    informed: BTreeMap<(Life, String), u64>,
    /// Generations that were found, until the answer is heard.
    found: BTreeMap<CallName, (String, u64)>,
    /// The generation that a replica has last found in OpenSearch. Only what it finds right before
    /// a write counts as known: it reads a user before each login too, and keeps nothing of that.
    last_found: BTreeMap<(Life, String), u64>,
    /// The highest generation of each user that was answered.
    granted: BTreeMap<String, u64>,
    /// Where a revocation was asked for, and what had been answered before the last one.
    revoking: BTreeMap<(Life, String), Option<u64>>,
    /// Replicas that are there.
    lives: BTreeSet<Life>,
    /// Changes so far.
    pub(crate) changes: u64,
    /// Who has not been informed of the last change of a user. Nobody reports what an administrator
    /// does.
    unreported: BTreeMap<(Life, String), Unreported>,
}

impl Hash for Rules {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (
            &self.seen,
            &self.unheard,
            &self.author,
            &self.in_use,
            &self.looks,
        )
            .hash(state);
        (&self.highest, &self.informed, &self.found, &self.read).hash(state);
        (&self.granted, &self.revoking, &self.last_found).hash(state);
        for (whose, unreported) in &self.unreported {
            (whose, unreported.by, unreported.seen).hash(state);
        }
    }
}

/// When any replica has last seen this user in the cluster.
fn last_seen(seen: &BTreeMap<(Life, String), Seen>, user: &str) -> Option<u64> {
    seen.iter()
        .filter(|((_, whose), _)| whose == user)
        .map(|(_, seen)| seen.at)
        .max()
}

impl Rules {
    pub(crate) fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            seen: BTreeMap::new(),
            heard: BTreeMap::new(),
            unheard: BTreeMap::new(),
            read: BTreeMap::new(),
            author: BTreeMap::new(),
            in_use: Vec::new(),
            looks: BTreeMap::new(),
            sent: BTreeMap::new(),
            parked: BTreeSet::new(),
            answered: BTreeSet::new(),
            highest: BTreeMap::new(),
            informed: BTreeMap::new(),
            found: BTreeMap::new(),
            last_found: BTreeMap::new(),
            granted: BTreeMap::new(),
            revoking: BTreeMap::new(),
            lives: BTreeSet::new(),
            changes: 0,
            unreported: BTreeMap::new(),
        }
    }

    /// A replica begins. Nobody tells it what was before.
    pub(crate) fn began(&mut self, life: Life) {
        self.lives.insert(life);
        for (user, author) in &self.author {
            let unreported = Unreported {
                by: author.life(),
                change: self.changes,
                seen: last_seen(&self.seen, user),
            };
            self.unreported.insert((life, user.clone()), unreported);
        }
    }

    /// A replica hears that another one has changed a user, when the cluster had seen so many
    /// changes.
    pub(crate) fn reported(&mut self, life: Life, by: Life, after: u64) {
        self.unreported.retain(|(whose, _), unreported| {
            *whose != life || unreported.by != Some(by) || unreported.change > after
        });
    }

    /// A replica has ended: what it knew is gone with it, and whoever uses its logins goes on.
    pub(crate) fn ended(&mut self, life: Life) {
        self.seen.retain(|(whose, _), _| *whose != life);
        self.looks.retain(|(whose, _), _| *whose != life);
        self.unheard.retain(|((whose, _), _), _| *whose != life);
        self.read.retain(|(whose, _), _| *whose != life);
        self.unreported.retain(|(whose, _), _| *whose != life);
        self.informed.retain(|(whose, _), _| *whose != life);
        self.found.retain(|(whose, _), _| *whose != life);
        self.lives.remove(&life);
    }

    /// A read was dealt with.
    pub(crate) fn looked(&mut self, call: CallName, user: &str, found: Option<&User>) {
        if self.bounds.opensearch {
            let generation = found.map_or(0, User::generation);
            self.found.insert(call, (user.to_owned(), generation));
        }
        let look = match found {
            None => Look::Absent,
            Some(user) if user.is_foreign() => Look::Foreign,
            Some(found) => {
                let generation = (user.to_owned(), found.generation());
                self.found.insert(call, generation);
                Look::Ours(As::of(found))
            }
        };
        let whose = (call.0, user.to_owned());
        if self.bounds.opensearch {
            self.read.insert(whose.clone(), Changed::default());
        }
        self.looks.insert(whose, look);
    }

    /// The answer to a call has come to its caller: what it says of a generation is known there.
    pub(crate) fn learnt(&mut self, call: CallName) {
        let Some((user, generation)) = self.found.remove(&call) else {
            return;
        };
        if self.bounds.opensearch {
            self.last_found.insert((call.0, user), generation);
        } else {
            self.inform(call.0, &user, generation);
        }
    }

    fn inform(&mut self, life: Life, user: &str, generation: u64) {
        let known = self.informed.entry((life, user.to_owned())).or_default();
        *known = generation.max(*known);
    }

    /// An operator asks a replica to revoke a user's login.
    pub(crate) fn revoke_asked(&mut self, life: Life, user: &str) {
        let granted = self.granted.get(user).copied();
        self.revoking.insert((life, user.to_owned()), granted);
    }

    /// The revocation has ended well. Its replica hands out no older login, and the cluster accepts
    /// none, unless somebody has changed the user since.
    pub(crate) fn revoked(
        &mut self,
        life: Life,
        user: &str,
        generation: u64,
        store_is_well: bool,
        state: &State,
    ) -> Result<(), String> {
        // What came late may hide it from a replica that has neither seen it nor a store that says
        // so.
        let known = self.informed.get(&(life, user.to_owned())).copied();
        let may_know = store_is_well || known >= Some(generation);
        self.inform(life, user, generation);
        let before = self
            .revoking
            .get(&(life, user.to_owned()))
            .copied()
            .flatten();
        if may_know && before >= Some(generation) {
            return Err(format!(
                "{user} is revoked by {life:?} with generation {generation}, which somebody had \
                 been given before"
            ));
        }
        let stands = state.users.get(user).map(User::generation);
        let cached = state.cached.get(user).map(User::generation);
        // An own write that was given up may come late, and the answer says so.
        let is_own = matches!(
            self.author.get(user),
            Some(Author::Live(whose) | Author::Overtaken(whose)) if *whose == life
        );
        match stands {
            Some(older) if older < generation && is_own => Err(format!(
                "{user} is revoked by {life:?}, and the login of generation {older} works"
            )),
            _ if is_own && cached < Some(generation) && cached.is_some() => Err(format!(
                "{user} is revoked by {life:?}, and the cluster's cache still has the login of \
                 generation {cached:?}"
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// A replica was asked to check the user again: what it knew, or hears of a check that began
    /// before, does not count any more.
    pub(crate) fn forgets(&mut self, life: Life, user: &str) {
        self.seen.remove(&(life, user.to_owned()));
        self.unheard
            .retain(|(call, whose), _| call.0 != life || whose != user);
    }

    /// A write has come to the cluster: it must follow a look of its own, and the look must allow
    /// it.
    pub(crate) fn write_came(
        &mut self,
        life: Life,
        user: &str,
        written: &User,
    ) -> Result<(), String> {
        let generation = written.generation();
        let highest = self.highest.get(user).copied().unwrap_or_default();
        let sent = Sent {
            generation,
            roles: written.roles.clone(),
        };
        self.sent.insert(written.password.clone(), sent);
        let whose = (life, user.to_owned());
        if let Some(found) = self.last_found.get(&whose).copied() {
            self.inform(life, user, found);
        }
        let known = self.informed.get(&whose).copied().unwrap_or_default();
        if generation < known {
            return Err(format!(
                "{user} is written by {life:?} with the login of generation {generation}, although \
                 it knows of generation {known}"
            ));
        }
        let raises = generation > highest;
        if raises && !self.revoking.contains_key(&whose) {
            return Err(format!(
                "{user} is written by {life:?} with generation {generation}, which nobody has \
                 asked for"
            ));
        }
        self.highest
            .insert(user.to_owned(), generation.max(highest));
        if written.is_parked() {
            self.parked.insert(written.password.clone());
        }
        match self.looks.remove(&whose) {
            Some(Look::Ours(found)) if written.is_parked() && found != As::of(written) => {
                Err(format!(
                    "{user} was found as {found:?} by {life:?}, and is parked as {:?}",
                    As::of(written)
                ))
            }
            Some(Look::Absent) if written.is_parked() => {
                Err(format!("{user}, who is not there, is parked by {life:?}"))
            }
            Some(Look::Ours(found)) if written.is_parked() && !raises && !found.enabled => Err(
                format!("{user}, whom an administrator has disabled, is parked by {life:?}"),
            ),
            // A revocation leaves everything but the login as it was found.
            Some(Look::Ours(found)) if raises && found != As::of(written) => Err(format!(
                "{user} was found as {found:?} by {life:?}, and is revoked as {:?}",
                As::of(written)
            )),
            Some(Look::Ours(found)) if !found.enabled && written.enabled => Err(format!(
                "{user}, whom an administrator has disabled, is enabled by a write of {life:?}"
            )),
            Some(Look::Absent) if raises => {
                Err(format!("{user} is made by a revocation of {life:?}"))
            }
            Some(Look::Ours(_) | Look::Absent) => Ok(()),
            Some(Look::Foreign) => Err(format!(
                "{user} is somebody else's and is written by {life:?}"
            )),
            None => Err(format!("{user} is written by {life:?} without a look")),
        }
    }

    /// The cluster has dealt with a write: from now on its answer grows old.
    pub(crate) fn dealt_with_write(&mut self, call: CallName, user: &str) {
        self.unheard
            .insert((call, user.to_owned()), Changed::default());
    }

    /// The same of a login. What OpenSearch says of it is held against what was read before.
    pub(crate) fn dealt_with_login(&mut self, call: CallName, user: &str) {
        let since = self.read.get(&(call.0, user.to_owned())).copied();
        self.unheard
            .insert((call, user.to_owned()), since.unwrap_or_default());
    }

    /// A good answer was given to its caller. Whatever follows a write, it was done.
    pub(crate) fn heard(&mut self, call: CallName, is_write: bool, now: u64) {
        let of_call = self.unheard.extract_if(.., |(whose, _), _| *whose == call);
        for ((_, user), changed) in of_call {
            let known = if is_write {
                &mut self.seen
            } else {
                &mut self.heard
            };
            known.insert((call.0, user), Seen { at: now, changed });
        }
    }

    /// A replica has gone on to read a user.
    pub(crate) fn went_on(&mut self, life: Life, user: &str) {
        self.heard.remove(&(life, user.to_owned()));
    }

    /// The world has come to rest.
    pub(crate) fn rested(&mut self) {
        self.seen.append(&mut self.heard);
    }

    /// An answer about which nobody learns anything.
    pub(crate) fn forget(&mut self, call: CallName) {
        self.unheard.retain(|(whose, _), _| *whose != call);
    }

    /// What stands in the cluster has changed.
    pub(crate) fn changed(&mut self, user: &str, by: Author) {
        self.author.insert(user.to_owned(), by);
        self.changes += 1;
        let unreported = Unreported {
            by: by.life(),
            change: self.changes,
            seen: last_seen(&self.seen, user),
        };
        for life in self.lives.iter().filter(|life| by.life() != Some(**life)) {
            self.unreported.insert((*life, user.to_owned()), unreported);
        }
        let note = |life: Life, changed: &mut Changed| match by {
            Author::Adrift(whose) if whose == life => changed.by_own_adrift = true,
            Author::Live(whose) | Author::Overtaken(whose) if whose == life => {}
            Author::Live(_) | Author::Overtaken(_) | Author::Adrift(_) | Author::Admin => {
                changed.by_others = true;
            }
        };
        for ((life, _), seen) in self.seen.iter_mut().filter(|((_, whose), _)| whose == user) {
            note(*life, &mut seen.changed);
        }
        let unheard = self.unheard.iter_mut();
        for (((life, _), _), changed) in unheard.filter(|((_, whose), _)| whose == user) {
            note(*life, changed);
        }
        for ((life, _), changed) in self.read.iter_mut().filter(|((_, whose), _)| whose == user) {
            note(*life, changed);
        }
    }

    /// A login was answered: it must be this user's, work now, and give no more than the groups of
    /// the request.
    pub(crate) fn answered(
        &mut self,
        by: Life,
        user: &str,
        groups: &str,
        login: (String, String),
        state: &State,
    ) -> Result<(), String> {
        let (name, password) = login;
        if name != user {
            return Err(format!("{user} got the login of {name}"));
        }
        let Some(Sent { generation, .. }) = self.sent.get(&password).cloned() else {
            return Err(format!("{user} got a login that was never written"));
        };
        if self.parked.contains(&password) {
            return Err(format!("{user} got the login with which they were parked"));
        }
        self.answered.insert((name.clone(), password.clone()));
        let known = self.informed.get(&(by, user.to_owned())).copied();
        if generation < known.unwrap_or_default() {
            return Err(format!(
                "{user} got the login of generation {generation} from {by:?}, which knows of \
                 {known:?}"
            ));
        }
        let allowed = roles_of(groups);
        let login = state.of_login(user, &password);
        let accepted = login.is_some();
        let excess = login.is_some_and(|stands| {
            stands
                .roles
                .iter()
                .any(|role| !allowed.contains(&role.as_str()))
        });
        let highest = self.granted.entry(name.clone()).or_default();
        *highest = generation.max(*highest);
        if accepted {
            self.in_use.push(InUse {
                user: name,
                password,
                by,
                until: state.now + self.bounds.use_within,
            });
        }
        if (accepted && !excess) || self.is_within_the_bounds(by, user, state.now) {
            return Ok(());
        }
        let what = if accepted {
            "stands with more roles than its groups give"
        } else {
            "got a login that the cluster refuses"
        };
        Err(format!(
            "{user} with the groups {groups:?}, answered by {by:?}, {what}: {:?}; last changed by \
             {:?}; the replica knows {:?}",
            state
                .users
                .get(user)
                .map(|user| (&user.roles, user.enabled)),
            self.author.get(user),
            self.seen.get(&(by, user.to_owned()))
        ))
    }

    /// Whether what stands there came about behind the back of the replica, and so lately that it
    /// need not know yet.
    fn is_within_the_bounds(&self, by: Life, user: &str, now: u64) -> bool {
        if self.bounds.shared
            && self
                .author
                .get(user)
                .is_some_and(|author| author.life() != Some(by))
        {
            return self.is_unreported(by, user, now);
        }
        let Some(seen) = self.seen.get(&(by, user.to_owned())) else {
            return false;
        };
        let age = now - seen.at;
        match self.author.get(user) {
            Some(Author::Live(whose) | Author::Overtaken(whose)) if *whose == by => false,
            Some(Author::Adrift(whose)) if *whose == by => {
                seen.changed.by_own_adrift && age < UNCERTAIN_MS
            }
            Some(_) => seen.changed.by_others && age < self.bounds.expiration,
            None => false,
        }
    }

    /// Whether nobody has informed this replica of the last change, and some replica's look of
    /// before is not too old to be believed.
    fn is_unreported(&self, by: Life, user: &str, now: u64) -> bool {
        let believed = |seen: &Seen| {
            (seen.changed.by_others || seen.changed.by_own_adrift)
                && now - seen.at < self.bounds.expiration
        };
        self.unreported
            .get(&(by, user.to_owned()))
            .is_some_and(|unreported| {
                unreported
                    .seen
                    .is_some_and(|seen| now - seen < self.bounds.expiration)
                    || self
                        .seen
                        .iter()
                        .any(|((_, whose), seen)| whose == user && believed(seen))
            })
    }

    /// Where nothing goes wrong, a replica puts right what its own slow write has done to a later
    /// period, even if nobody waits for it any more.
    pub(crate) fn nothing_overtaken_stands(&self) -> Result<(), String> {
        match self
            .author
            .iter()
            .find(|(_, author)| matches!(author, Author::Overtaken(_)))
        {
            Some((user, author)) => Err(format!(
                "{user} is left with the password of an older period by {author:?}"
            )),
            None => Ok(()),
        }
    }

    /// Long after the last period no login works that was ever answered.
    pub(crate) fn nothing_granted_works(&self, state: &State) -> Result<(), String> {
        let alive = |(user, password): &&(String, String)| state.accepts(user, password);
        match self.answered.iter().find(alive) {
            Some((user, _)) => Err(format!("a login of {user} from a past period still works")),
            None => Ok(()),
        }
    }

    /// Whether a replica that no store informs has parked the user while another one let them in
    /// again: it read them before, and wrote later.
    fn is_parked_unaware(&self, writer: Life, login: &InUse, state: &State) -> bool {
        let is_parked = state.users.get(&login.user).is_some_and(User::is_parked);
        !self.bounds.shared && writer != login.by && is_parked
    }

    /// Whether a replica that no store informs has ended this login by writing an older generation:
    /// it read the user before another replica has revoked the login, and wrote later.
    fn is_uninformed(&self, writer: Life, login: &InUse) -> bool {
        let known = self.informed.get(&(writer, login.user.clone()));
        let known = known.copied().unwrap_or_default();
        !self.bounds.shared && known < self.sent[&login.password].generation
    }

    /// Whether the user was written with other roles, which end a login that follows from them.
    fn has_other_roles(&self, login: &InUse, state: &State) -> bool {
        let stands = state.users.get(&login.user);
        let other = |stands: &User| stands.roles != self.sent[&login.password].roles;
        self.bounds.opensearch && stands.is_some_and(other)
    }

    /// Logins on their way must go on working, whatever replicas do in their time: only an
    /// administrator, or a write that comes too late for its period or for its replica, may end
    /// them.
    pub(crate) fn in_use_work(&mut self, state: &State) -> Result<(), String> {
        self.in_use.retain(|login| state.now <= login.until);
        for login in &self.in_use {
            // One that was revoked is meant to end.
            let stands = state.users.get(&login.user).map(User::generation);
            if let Some(Author::Live(whose)) = self.author.get(&login.user)
                && !state.accepts(&login.user, &login.password)
                && stands.is_none_or(|stands| self.sent[&login.password].generation >= stands)
                && !self.has_other_roles(login, state)
                && !self.is_uninformed(*whose, login)
                && !self.is_parked_unaware(*whose, login, state)
            {
                return Err(format!(
                    "the login of {} that {:?} has just answered was ended by a write of {whose:?}",
                    login.user, login.by
                ));
            }
        }
        self.in_use
            .retain(|login| state.accepts(&login.user, &login.password));
        Ok(())
    }
}
