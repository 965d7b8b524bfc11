//! The world comes to rest after each step, and at the end of a story.

use super::calls::STEP;
use super::{LEAP, World};
use crate::cluster::{self as scripted, Call, CallName, Wish, Written};
use elastauth::internals::{
    broker::BrokerError,
    flow::{AuthError, RefusedRequest},
};
use tokio::{task::yield_now, time::advance};

/// After how many looks around time passes for a writer.
const SLEEPS: [u32; 2] = [40, 160];

/// How many updates wait for a call. A list is asked for in the background, but not of OpenSearch:
/// there it is a look before a write.
fn updates_of(call: &Call, opensearch: bool) -> usize {
    match &call.wish {
        Wish::Ask { .. } | Wish::Read { .. } => 1,
        Wish::Write(entries) => entries.len(),
        Wish::List => usize::from(opensearch),
    }
}

impl World<'_> {
    /// Waits until nothing moves any more, and judges what has happened.
    pub(super) async fn rest(&mut self) -> Result<(), String> {
        self.settle().await;
        self.note_messages();
        let came = std::mem::take(&mut self.state().came);
        for name in came {
            let wish = self.state().calls.get(&name).map(|call| call.wish.clone());
            match wish {
                Some(Wish::Write(entries)) => {
                    for Written {
                        name: user,
                        user: written,
                    } in entries
                    {
                        if let Some(written) = written {
                            self.rules.write_came(name.0, &user, &written)?;
                        }
                    }
                }
                Some(Wish::Read { name: user }) => self.rules.went_on(name.0, &user),
                Some(Wish::Ask { .. } | Wish::List) | None => {}
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
                }) => return Err("an update has crashed".to_owned()),
                Err(_) => {}
            }
        }
        self.note_revoked().await?;
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

    /// Every update of a living replica either waits for the cluster or sleeps. What is on its way
    /// through the machine is waited for by name, and not by time; only an update that sleeps
    /// cannot be distinguished from one that is slow, and gets a moment.
    pub(super) async fn settle(&self) {
        let (mut calm, mut turns, mut moved) = (0_u32, 0_u32, 0);
        // With Redis an update may wait anywhere for another replica's write. A replica that looks
        // for users to park waits for times of its own, and a revocation before it looks again.
        let setting = &self.stage.setting;
        let opensearch = setting.opensearch;
        let may_sleep = self.is_near_a_boundary()
            || setting.redis.is_some()
            || setting.park_within.is_some()
            || !self.revoking.is_empty();
        // A writer of OpenSearch sleeps after a conflict, and an update waits for calls of others.
        let patience = if opensearch {
            400
        } else if may_sleep {
            1_000
        } else {
            1_000_000
        };
        // What is sent in the background is not in hand by name.
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
                        .map(|call| updates_of(call, opensearch))
                        .sum::<usize>();
                    let sent = redis
                        .commands
                        .iter()
                        .filter(|(name, _)| name.0 == replica.life);
                    let looks = sent
                        .filter(|(_, command)| command.holds_an_update(redis.now))
                        .count();
                    replica.tasks.in_hand() == self.in_the_background() + calls + looks
                })
            };
            calm = if at_rest || turns > patience {
                calm + 1
            } else {
                0
            };
            // A write of OpenSearch waits for others to come.
            if opensearch && !at_rest && SLEEPS.contains(&turns) {
                advance(STEP).await;
            }
        }
    }

    /// Whether some replica may hold requests and updates at this moment: shortly before a boundary
    /// no write begins, and after it no request is answered.
    pub(super) fn is_near_a_boundary(&self) -> bool {
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

    /// The cluster does its part until nobody waits any more.
    pub(super) async fn undisturbed(&mut self) -> Result<(), String> {
        let mut waited = 0;
        for _ in 0..200 {
            self.rest().await?;
            let next = self.redis().next().next();
            if let Some(name) = next {
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
                    self.release(name).await;
                }
                Some((name, true)) => self.release(name).await,
                None if self.asking.is_empty()
                    && self.revoking.is_empty()
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

    /// Nobody asks any more until the last period and the time for parking are over: no login that
    /// was ever answered works then.
    async fn stay_away(&mut self, park_within: u64) -> Result<(), String> {
        // Time moves in steps here, and each wait of a replica ends with one: the wait between two
        // looks, for a slot, for the end of an uncertain write.
        const STEP: u64 = 1_000;
        const MARGIN: u64 = 4 * STEP;
        let most = self.stage.setting.ahead.iter().max().copied();
        let setting = &self.stage.setting;
        let mut left = setting.rotation + setting.grace + park_within + MARGIN;
        left += most.unwrap_or_default();
        while left > 0 {
            self.undisturbed().await?;
            self.pass(left.min(STEP)).await;
            left = left.saturating_sub(STEP);
        }
        self.undisturbed().await?;
        let state = self.stage.cluster.state();
        self.rules.nothing_granted_works(&state)
    }

    /// No more faults from now on: what hangs comes, and everybody who may have a login gets
    /// one, from every replica.
    pub(crate) async fn end(mut self, to_an_answer: bool) -> Result<(), String> {
        self.bring_messages();
        self.undisturbed().await?;
        while let Some((place, user)) = self.rechecks.first().copied() {
            self.recheck(place, user);
        }
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
        if let Some(park_within) = self.stage.setting.park_within {
            self.stay_away(park_within).await?;
        }
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
