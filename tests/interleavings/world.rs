//! Replicas of the real broker in front of the scripted cluster, moved one step at a time.
//!
//! Everything runs on one thread and tokio's time stands still. After each step the world comes to
//! rest: every flight waits for an answer of the cluster or for time to pass. So the order of
//! events is the order of the steps and nothing else, and the same steps give the same story.
//!
//! (A long file: which steps there are and what each does are read together.)

use super::{
    cluster::{self as scripted, CallName, Life, Told, User, Wish},
    rules::{Author, Bounds, Rules},
    setting::{Budget, Edit, Loss, Mishap, Step},
    stage::{Stage, auth_request, mark},
};
use elastauth::{
    broker::BrokerError,
    flow::{AuthError, Flow, Grant, RefusedRequest},
    shutdown::Tasks,
};
use http::StatusCode;
use serde_json::json;
use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::task::{JoinHandle, yield_now};

mod sharing;

struct Replica {
    life: Life,
    flow: Arc<Flow>,
    tasks: Tasks,
    /// All that it was asked and told, and when: what it knows follows from that.
    history: u64,
}

struct Asking {
    place: usize,
    user: &'static str,
    groups: &'static str,
    answer: JoinHandle<Result<Grant, RefusedRequest>>,
}

/// How much time passes at once where replicas share a Redis: as much as lies between two beats,
/// and more than the first waits of whoever has lost it, which chance draws.
const LEAP: u64 = 2_000;

/// How long before a story what has happened before it happens: shortly before a boundary nothing
/// is written.
const EARLIER: u64 = 10_000;

/// One story.
pub(crate) struct World<'a> {
    stage: &'a mut Stage,
    prompter: Arc<Flow>,
    replicas: Vec<Replica>,
    asking: Vec<Asking>,
    rules: Rules,
    budget: Budget,
    /// How many logins were answered.
    pub(crate) answers: usize,
}

impl<'a> World<'a> {
    pub(crate) async fn begin(stage: &'a mut Stage) -> Result<World<'a>, String> {
        let setting = stage.setting.clone();
        *stage.cluster.state() = scripted::State {
            now: stage.boundary - setting.before_boundary - EARLIER,
            ..scripted::State::default()
        };
        let prompter = stage.prompter();
        stage.end_earlier().await;
        stage
            .redis
            .reset(stage.boundary - setting.before_boundary - EARLIER);
        let (expiration, use_within) = (setting.expiration, setting.use_within);
        let rules = Rules::new(Bounds {
            expiration,
            use_within,
            shared: setting.redis.is_some(),
        });
        let mut world = World {
            stage,
            prompter,
            replicas: Vec::new(),
            asking: Vec::new(),
            rules,
            budget: setting.budget,
            answers: 0,
        };
        world.set_clocks();
        for place in 0..setting.ahead.len() {
            let replica = world.start(Life { place, number: 0 });
            world.replicas.push(replica);
        }
        world.rest().await?;
        if setting.foreign {
            world
                .state()
                .users
                .insert(setting.users[0].to_owned(), User::foreign());
        }
        for (place, groups) in setting.before {
            world.ask(*place, setting.users[0], groups);
            world.undisturbed().await?;
        }
        let now = world.state().now;
        world
            .pass((world.stage.boundary - setting.before_boundary).saturating_sub(now))
            .await;
        world.rest().await?;
        Ok(world)
    }

    fn redis(&self) -> std::sync::MutexGuard<'_, super::redis::State> {
        self.stage.redis.state()
    }

    fn state(&self) -> std::sync::MutexGuard<'_, scripted::State> {
        self.stage.cluster.state()
    }

    fn set_clocks(&self) {
        let now = self.state().now;
        for (clock, ahead) in self.stage.clocks.iter().zip(self.stage.setting.ahead) {
            clock.store(now + ahead, Ordering::SeqCst);
        }
    }

    fn start(&mut self, life: Life) -> Replica {
        let tasks = Tasks::default();
        self.state().lives.insert(life, 0);
        self.redis().lives.insert(life, 0);
        self.rules.began(life);
        Replica {
            life,
            flow: self.stage.flow(life, &tasks),
            tasks,
            history: 0,
        }
    }

    /// Every step that may come next; the usual ones first.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let (setting, budget, state) = (&self.stage.setting, &self.budget, self.state());
        let mut steps = Vec::new();
        for (name, call) in &state.calls {
            match (call.awaited, &call.dealt) {
                (true, None) => steps.push(Step::Well(*name)),
                (true, Some(_)) => steps.push(Step::Release(*name)),
                (false, None) => steps.push(Step::Late(*name)),
                (false, Some(_)) => {}
            }
        }
        if let Some(mishaps) = setting.redis {
            self.steps_of_redis(mishaps, &mut steps);
        }
        if budget.asks > 0 {
            for (place, replica) in self.replicas.iter().enumerate() {
                // Two replicas of which nothing is known yet are alike.
                let like_the_last = place > 0
                    && replica.history == 0
                    && self.replicas[place - 1].history == 0
                    && setting.ahead[place] == setting.ahead[place - 1];
                for user in setting.users {
                    for groups in setting.groups {
                        let asks = |asking: &Asking| {
                            (asking.place, asking.user, asking.groups) == (place, *user, *groups)
                        };
                        if !like_the_last && !self.asking.iter().any(asks) {
                            steps.push(Step::Ask {
                                place,
                                user,
                                groups,
                            });
                        }
                    }
                }
            }
        }
        if budget.passes > 0 {
            steps.extend(setting.passes.iter().map(|ms| Step::Pass(*ms)));
        }
        for (name, call) in state
            .calls
            .iter()
            .filter(|(_, call)| call.awaited && call.dealt.is_none())
        {
            if budget.losses > 0 {
                let possible: &[Loss] = match call.wish {
                    Wish::Ask { .. } => &[Loss::Refused, Loss::Unseen],
                    Wish::Read { .. } => &[Loss::Refused],
                    Wish::Write { .. } => &[
                        Loss::Refused,
                        Loss::Full,
                        Loss::After,
                        Loss::Adrift,
                        Loss::Cut,
                    ],
                };
                let ways = setting.losses.iter().filter(|how| possible.contains(how));
                steps.extend(ways.map(|how| Step::Lost(*name, *how)));
            }
            if budget.stalls > 0 {
                steps.push(Step::Stall(*name));
            }
        }
        if budget.restarts > 0 {
            steps.extend((0..self.replicas.len()).map(Step::Restart));
        }
        if budget.hang_ups > 0 {
            let awaited = |place: &usize| self.asking.iter().any(|asking| asking.place == *place);
            steps.extend((0..self.replicas.len()).filter(awaited).map(Step::HangUp));
        }
        if budget.edits > 0 {
            for user in setting
                .users
                .iter()
                .filter(|user| state.users.contains_key(**user))
            {
                steps.extend(setting.edits.iter().map(|edit| Step::Edit(user, *edit)));
            }
        }
        steps
    }

    /// Takes a step, comes to rest, and holds all that has happened against the rules.
    pub(crate) async fn take(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Ask {
                place,
                user,
                groups,
            } => {
                self.budget.asks -= 1;
                self.ask(place, user, groups);
            }
            Step::Well(name) => {
                self.deal(name).await;
                self.release(name);
            }
            Step::Stall(name) => {
                self.budget.stalls -= 1;
                self.deal(name).await;
            }
            Step::Release(name) => self.release(name),
            Step::Lost(name, how) => {
                self.budget.losses -= 1;
                self.lose(name, how).await;
            }
            Step::Late(name) => {
                self.deal(name).await;
                self.rules.forget(name);
                self.state().calls.remove(&name);
            }
            Step::Pass(ms) => {
                self.budget.passes -= 1;
                self.pass(ms).await;
            }
            Step::HangUp(place) => {
                self.budget.hang_ups -= 1;
                self.told(place, &"hang up");
                self.hang_up(place);
            }
            Step::Restart(place) => {
                self.budget.restarts -= 1;
                self.restart(place);
            }
            Step::Edit(user, edit) => {
                self.budget.edits -= 1;
                self.edit(user, edit);
            }
            Step::Told(name) => self.redis_does(name, Some(true)),
            Step::Mistold(name, how) => {
                self.budget.mishaps -= 1;
                self.redis_does(name, (how == Mishap::CutAfter).then_some(false));
            }
            Step::Misheard(place, how) => {
                self.budget.mishaps -= 1;
                self.told(place, &how);
                let life = self.replicas[place].life;
                if how == Mishap::Late {
                    self.redis().delay_letters(life);
                } else {
                    self.redis().cut_listener(life);
                }
            }
            Step::Heard(place) => {
                self.told(place, &"late letters");
                let life = self.replicas[place].life;
                self.redis().bring_letters(life);
            }
            Step::Flush => {
                self.budget.mishaps -= 1;
                self.redis().flush();
            }
        }
        self.rest().await
    }

    fn ask(&mut self, place: usize, user: &'static str, groups: &'static str) {
        self.told(place, &("ask", user, groups));
        let flow = Arc::clone(&self.replicas[place].flow);
        let answer = tokio::spawn(async move {
            let request = auth_request(user, groups);
            flow.decide(flow.choose(&request).unwrap(), &request).await
        });
        self.asking.push(Asking {
            place,
            user,
            groups,
            answer,
        });
    }

    /// Writes down what a replica was asked or told.
    fn told(&mut self, place: usize, what: &impl Hash) {
        let now = self.state().now;
        let mut hasher = DefaultHasher::new();
        (self.replicas[place].history, now, what).hash(&mut hasher);
        self.replicas[place].history = hasher.finish();
    }

    /// The cluster deals with a call.
    async fn deal(&mut self, name: CallName) {
        let (life, wish, awaited) = {
            let state = self.state();
            let Some(call) = state.calls.get(&name) else {
                return;
            };
            (call.by, call.wish.clone(), call.awaited)
        };
        let before = self.state().users.clone();
        self.state().deal(name);
        match &wish {
            Wish::Read { name: user } => {
                let found = self.state().users.get(user).cloned();
                self.rules.looked(life, user, found.as_ref());
            }
            Wish::Write {
                name: user,
                user: written,
            } => {
                if before.get(user) != Some(written) {
                    let clock = self.state().now + self.stage.setting.ahead[life.place];
                    let present = self.stage.period(&self.prompter, user, clock).await;
                    let author = match awaited {
                        false => Author::Adrift(life),
                        true if mark(Some(&written.metadata)) == present => Author::Live(life),
                        true => Author::Overtaken(life),
                    };
                    self.changed(user, author);
                }
            }
            Wish::Ask { .. } => {}
        }
        if let Wish::Ask {
            login: Some((user, _)),
        }
        | Wish::Write { name: user, .. } = &wish
        {
            self.rules.dealt(name, user);
        }
    }

    fn changed(&mut self, user: &str, author: Author) {
        self.rules.changed(user, author);
        self.redis().changes = self.rules.changes;
    }

    /// The answer to a call that was dealt with comes to its caller.
    fn release(&mut self, name: CallName) {
        let Some(told) = self
            .state()
            .calls
            .get(&name)
            .and_then(|call| call.dealt.clone())
        else {
            return;
        };
        self.told(name.0.place, &(name.1, told.status.as_u16()));
        if told.status == StatusCode::OK {
            let now = self.state().now;
            self.rules.heard(name, now);
        } else {
            self.rules.forget(name);
        }
        self.state().answer(name, told, false);
    }

    async fn lose(&mut self, name: CallName, how: Loss) {
        let error = |status: StatusCode, kind: &str| Told {
            status,
            body: json!({ "error": { "type": kind }, "status": status.as_u16() }),
        };
        let unavailable = error(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable_shards_exception",
        );
        self.told(name.0.place, &(name.1, how));
        match how {
            Loss::Refused => self.state().answer(name, unavailable, false),
            Loss::Full => {
                self.state().answer(
                    name,
                    error(
                        StatusCode::TOO_MANY_REQUESTS,
                        "es_rejected_execution_exception",
                    ),
                    false,
                );
            }
            Loss::Unseen => self.state().answer(
                name,
                error(StatusCode::UNAUTHORIZED, "security_exception"),
                false,
            ),
            Loss::After => {
                self.deal(name).await;
                self.rules.forget(name);
                self.state().answer(
                    name,
                    error(StatusCode::INTERNAL_SERVER_ERROR, "exception"),
                    false,
                );
            }
            Loss::Adrift => self.state().answer(name, unavailable, true),
            Loss::Cut => self.state().cut(name),
        }
    }

    async fn pass(&mut self, mut ms: u64) {
        // What goes to and fro between replicas and Redis goes on meanwhile.
        let leap = if self.stage.setting.redis.is_some() {
            LEAP
        } else {
            ms
        };
        while ms > 0 {
            let now = ms.min(leap);
            ms -= now;
            self.state().now += now;
            self.redis().now += now;
            self.set_clocks();
            tokio::time::advance(Duration::from_millis(now)).await;
            if ms > 0 {
                self.settle().await;
                self.note_letters();
                self.redis_goes_on().await;
            }
        }
    }

    fn restart(&mut self, place: usize) {
        let life = self.replicas[place].life;
        let ours: Vec<CallName> = {
            let mut state = self.state();
            state.lives.remove(&life);
            self.redis().ended(life);
            state
                .calls
                .iter()
                .filter(|(_, call)| call.by == life && call.awaited)
                .map(|(name, _)| *name)
                .collect()
        };
        for name in ours {
            self.state().cut(name);
        }
        self.hang_up(place);
        self.replicas[place].tasks.end();
        self.rules.ended(life);
        self.replicas[place] = self.start(Life {
            place,
            number: life.number + 1,
        });
    }

    fn hang_up(&mut self, place: usize) {
        self.asking.retain(|asking| {
            if asking.place == place {
                asking.answer.abort();
            }
            asking.place != place
        });
    }

    fn edit(&mut self, name: &'static str, edit: Edit) {
        {
            let mut state = self.state();
            let Some(user) = state.users.get_mut(name) else {
                return;
            };
            let before = user.clone();
            match edit {
                Edit::Disable => user.enabled = false,
                Edit::Enable => user.enabled = true,
                Edit::Roles => user.roles = vec!["superuser".to_owned()],
                Edit::Password => "by an administrator".clone_into(&mut user.password),
                Edit::Delete => drop(state.users.remove(name)),
            }
            if state.users.get(name) == Some(&before) {
                return;
            }
        }
        self.changed(name, Author::Admin);
    }

    /// Waits until nothing moves any more, and judges what has happened.
    async fn rest(&mut self) -> Result<(), String> {
        self.settle().await;
        self.note_letters();
        let came = std::mem::take(&mut self.state().came);
        for name in came {
            let wish = self.state().calls.get(&name).map(|call| call.wish.clone());
            match wish {
                Some(Wish::Write { name: user, .. }) => self.rules.write_came(name.0, &user)?,
                Some(Wish::Read { name: user }) => self.rules.went_on(name.0, &user),
                Some(Wish::Ask { .. }) | None => {}
            }
        }
        self.rules.rested();
        for asking in self
            .asking
            .extract_if(.., |asking| asking.answer.is_finished())
            .collect::<Vec<_>>()
        {
            let life = self.replicas[asking.place].life;
            match asking.answer.await.unwrap() {
                Ok(grant) => {
                    self.answers += 1;
                    let login =
                        scripted::login(grant.credential().authorization().to_str().unwrap())
                            .unwrap();
                    let state = self.stage.cluster.state();
                    self.rules
                        .answered(life, asking.user, asking.groups, login, &state)?;
                }
                Err(RefusedRequest {
                    why: AuthError::Broker(BrokerError::Crashed),
                    ..
                }) => return Err("a flight has crashed".to_owned()),
                Err(_) => {}
            }
        }
        let gives_up = self.stage.setting.gives_up;
        let mut state = self.stage.cluster.state();
        let now = state.now;
        // What the cluster has given up, or nobody will ever hear, is no more.
        state.calls.retain(|_, call| {
            call.awaited
                || (call.wish.is_write() && call.dealt.is_none() && now - call.came <= gives_up)
        });
        self.rules.in_use_work(&state)
    }

    /// Every flight of a living replica either waits for the cluster or sleeps. What is on its way
    /// through the machine is waited for by name, and not by time; only a flight that sleeps cannot
    /// be told from one that is slow, and gets a moment.
    async fn settle(&self) {
        let (mut calm, mut turns, mut moved) = (0_u32, 0_u32, 0);
        // With Redis a flight may wait anywhere for another replica's write.
        let may_sleep = self.is_near_a_boundary() || self.stage.setting.redis.is_some();
        let patience = if may_sleep { 1_000 } else { 1_000_000 };
        // What is told in the background is not in hand by name.
        let enough = if self.stage.setting.redis.is_some() {
            20
        } else {
            12
        };
        while calm < enough {
            yield_now().await;
            turns += 1;
            let before = std::mem::replace(&mut moved, self.redis().moved);
            let at_rest = before == moved && {
                let (state, redis) = (self.state(), self.redis());
                self.replicas.iter().all(|replica| {
                    let calls = state
                        .calls
                        .values()
                        .filter(|call| call.by == replica.life && call.awaited)
                        .count();
                    let told = redis
                        .commands
                        .iter()
                        .filter(|(name, _)| name.0 == replica.life);
                    let looks = told
                        .filter(|(_, command)| command.holds_a_flight(redis.now))
                        .count();
                    replica.tasks.in_hand() == self.in_the_background() + calls + looks
                })
            };
            calm = if at_rest || turns > patience {
                calm + 1
            } else {
                0
            };
        }
    }

    /// Whether some replica may hold requests and flights at this moment: shortly before a boundary
    /// no write begins, and after it nobody is answered.
    fn is_near_a_boundary(&self) -> bool {
        const BEFORE: u64 = 1_100;
        const AFTER: u64 = 10;
        let (setting, boundary) = (&self.stage.setting, self.stage.boundary);
        let now = self.state().now;
        // Of other users than the first one nothing is known.
        setting.users.len() > 1
            || setting.ahead.iter().any(|ahead| {
                let begun = boundary - BEFORE;
                let into = (now + ahead).checked_sub(begun).map(|past| {
                    if setting.rotation > 0 {
                        past % setting.rotation
                    } else {
                        past
                    }
                });
                into.is_some_and(|into| into < BEFORE + setting.grace + AFTER)
            })
    }

    /// What this world is, as far as its future goes. A replica is what it was asked and told, and
    /// when.
    pub(crate) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let state = self.state();
        (state.now, &state.users, &self.budget, &self.rules).hash(&mut hasher);
        self.redis().hash(&mut hasher);
        for replica in &self.replicas {
            (replica.life, replica.history).hash(&mut hasher);
        }
        for (name, call) in &state.calls {
            (
                name,
                call.wish.word(),
                call.came,
                call.awaited,
                call.dealt.as_ref().map(|told| told.status.as_u16()),
            )
                .hash(&mut hasher);
            if let Wish::Write { user, .. } = &call.wish {
                user.hash(&mut hasher);
            }
        }
        hasher.finish()
    }

    /// The cluster does its part until nobody waits any more.
    async fn undisturbed(&mut self) -> Result<(), String> {
        let mut waited = 0;
        for _ in 0..200 {
            self.rest().await?;
            let told = self.redis().next().next();
            if let Some(name) = told {
                self.redis_does(name, Some(true));
                continue;
            }
            let next = {
                let state = self.state();
                state
                    .calls
                    .iter()
                    .find(|(_, call)| call.awaited)
                    .map(|(name, call)| (*name, call.dealt.is_some()))
            };
            match next {
                Some((name, false)) => {
                    self.deal(name).await;
                    self.release(name);
                }
                Some((name, true)) => self.release(name),
                None if self.asking.is_empty()
                    && self
                        .replicas
                        .iter()
                        .all(|replica| replica.tasks.in_hand() == self.in_the_background()) =>
                {
                    return Ok(());
                }
                // At a boundary. Or for another replica's write, a second at most. What is waited
                // for longer is a connection, in times that chance draws.
                None if self.stage.setting.redis.is_some() => {
                    self.pass(if waited < 1_500 { 250 } else { LEAP }).await;
                    waited += 250;
                }
                None => self.pass(self.stage.setting.grace.max(50)).await,
            }
        }
        Err("the replicas ask without end".to_owned())
    }

    /// The weather is good from now on: what hangs comes, and everybody who may have a login gets
    /// one, from every replica.
    pub(crate) async fn end(mut self, to_an_answer: bool) -> Result<(), String> {
        self.bring_letters();
        self.undisturbed().await?;
        let (had, left) = (&self.stage.setting.budget, &self.budget);
        if (had.losses, had.restarts, had.edits) == (left.losses, left.restarts, left.edits) {
            self.rules.nothing_overtaken_stands()?;
        }
        let adrift: Vec<CallName> = self.state().calls.keys().copied().collect();
        for name in adrift {
            self.deal(name).await;
            self.rules.forget(name);
            self.state().calls.remove(&name);
        }
        if !to_an_answer {
            return Ok(());
        }
        self.pass(95_000).await;
        self.rest().await?;
        for place in 0..self.replicas.len() {
            for user in self.stage.setting.users {
                let before = self.answers;
                self.ask(place, user, "dev");
                self.undisturbed().await?;
                let shut_out = self
                    .state()
                    .users
                    .get(*user)
                    .is_some_and(|user| !user.enabled || user.is_foreign());
                if self.answers == before && !shut_out {
                    return Err(format!(
                        "{user} gets no login from replica {place} although all is well"
                    ));
                }
            }
        }
        Ok(())
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        if self.stage.setting.redis.is_some() {
            for replica in &self.replicas {
                replica.tasks.end();
                self.stage.earlier.push(replica.tasks.clone());
            }
        }
    }
}
