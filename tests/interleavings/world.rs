//! Replicas of the real broker in front of the scripted cluster, moved one step at a time.
//!
//! Everything runs on one thread and tokio's time stands still. After each step the world comes to
//! rest: every update waits for an answer of the cluster or for time to pass. So the order of
//! events is the order of the steps and nothing else, and the same steps give the same story.

use super::{
    cluster::{self as scripted, Life, User},
    rules::{Bounds, Rules},
    setting::Budget,
    stage::{Stage, auth_request},
};
use elastauth::internals::{
    broker::{RevokeError, Revoked},
    flow::{Flow, Grant, RefusedRequest},
    shutdown::Tasks,
};
use std::{
    collections::BTreeSet,
    hash::{DefaultHasher, Hash, Hasher},
    sync::{Arc, atomic::Ordering},
    time::Duration,
};
use tokio::task::JoinHandle;

mod calls;
mod operator;
mod rest;
mod sharing;
mod steps;

struct Replica {
    life: Life,
    flow: Arc<Flow>,
    tasks: Tasks,
    /// All that it was asked and answered, and when: what it knows follows from that.
    history: u64,
}

struct Asking {
    place: usize,
    user: &'static str,
    groups: &'static str,
    answer: JoinHandle<Result<Grant, RefusedRequest>>,
}

/// An operator waits for the end of a login.
struct Revoking {
    place: usize,
    user: &'static str,
    result: JoinHandle<Result<Revoked, RevokeError>>,
}

/// How much time passes at once where replicas share a Redis: as much as lies between two
/// heartbeats, and more than the first waits of whoever has lost it, which chance draws.
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
    revoking: Vec<Revoking>,
    /// Replicas that have met a conflict: they leave others time after a write.
    contended: BTreeSet<Life>,
    /// Replicas that an operator has still to ask for a check of a user.
    rechecks: BTreeSet<(usize, &'static str)>,
    rules: Rules,
    budget: Budget,
    /// How many logins were answered, and how many revoked.
    pub(crate) answers: usize,
    pub(crate) revoked: usize,
}

impl<'a> World<'a> {
    pub(crate) async fn begin(stage: &'a mut Stage) -> Result<World<'a>, String> {
        let setting = stage.setting.clone();
        stage.begin_story(stage.boundary - setting.before_boundary - EARLIER);
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
            opensearch: setting.opensearch,
        });
        let mut world = World {
            stage,
            prompter,
            replicas: Vec::new(),
            asking: Vec::new(),
            revoking: Vec::new(),
            contended: BTreeSet::new(),
            rechecks: BTreeSet::new(),
            rules,
            budget: setting.budget,
            answers: 0,
            revoked: 0,
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

    fn ask(&mut self, place: usize, user: &'static str, groups: &'static str) {
        self.record(place, &("ask", user, groups));
        let flow = Arc::clone(&self.replicas[place].flow);
        let answer = tokio::spawn(async move {
            let request = auth_request(user, groups);
            flow.decide(&flow.choose(&request).unwrap(), &request).await
        });
        self.asking.push(Asking {
            place,
            user,
            groups,
            answer,
        });
    }

    /// Writes down what a replica was asked or answered.
    fn record(&mut self, place: usize, what: &impl Hash) {
        let now = self.state().now;
        let mut hasher = DefaultHasher::new();
        (self.replicas[place].history, now, what).hash(&mut hasher);
        self.replicas[place].history = hasher.finish();
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
                self.note_messages();
                self.redis_goes_on().await;
            }
        }
    }

    /// What this world is, as far as its future goes. A replica is what it was asked and answered,
    /// and when.
    pub(crate) fn key(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        let state = self.state();
        (state.now, &state.users, &self.budget, &self.rules).hash(&mut hasher);
        state.cached.hash(&mut hasher);
        self.rechecks.hash(&mut hasher);
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
                call.dealt.as_ref().map(|response| response.status.as_u16()),
            )
                .hash(&mut hasher);
            for entry in call.wish.written() {
                entry.user.hash(&mut hasher);
            }
            state.may_conflict(call).hash(&mut hasher);
        }
        hasher.finish()
    }
}

impl Drop for World<'_> {
    fn drop(&mut self) {
        if self.in_the_background() > 0 {
            for replica in &self.replicas {
                replica.tasks.end();
                self.stage.earlier.push(replica.tasks.clone());
            }
        }
    }
}
