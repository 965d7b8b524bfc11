//! Which steps may come next, and what each of them does.

use super::{Asking, Revoking, World};
use crate::{
    cluster::{CallName, Life, Wish},
    rules::Author,
    setting::{Edit, Loss, RedisFault, Step},
};

impl World<'_> {
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
        if let Some(redis_faults) = setting.redis {
            self.steps_of_redis(redis_faults, &mut steps);
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
        let rechecks = self.rechecks.iter();
        steps.extend(rechecks.map(|(place, user)| Step::Recheck {
            place: *place,
            user,
        }));
        if budget.revokes > 0 {
            for (place, _) in self.replicas.iter().enumerate() {
                let runs = |user: &&&str| {
                    let same = |one: &Revoking| (one.place, one.user) == (place, **user);
                    self.revoking.iter().any(same)
                };
                let users = setting.users.iter().filter(|user| !runs(user));
                steps.extend(users.map(|user| Step::Revoke { place, user }));
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
                    Wish::Read { .. } | Wish::List => &[Loss::Refused],
                    Wish::Write(_) => &[
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
            if state.may_conflict(call) {
                steps.push(Step::Conflict(*name));
            }
            if budget.keeps > 0 && call.wish.is_write() {
                steps.push(Step::Keeps(*name));
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
                self.release(name).await;
            }
            Step::Keeps(name) => {
                self.budget.keeps -= 1;
                self.deal_and(name, true).await;
                self.release(name).await;
            }
            Step::Conflict(name) => self.conflict(name).await,
            Step::Stall(name) => {
                self.budget.stalls -= 1;
                self.deal(name).await;
            }
            Step::Release(name) => self.release(name).await,
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
                self.record(place, &"hang up");
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
            Step::Revoke { place, user } => {
                self.budget.revokes -= 1;
                self.revoke(place, user);
            }
            Step::Recheck { place, user } => self.recheck(place, user),
            Step::RedisDone(name) => self.redis_does(name, Some(true)),
            Step::RedisFails(name, how) => {
                self.budget.redis_faults -= 1;
                self.redis_does(name, (how == RedisFault::CutAfter).then_some(false));
            }
            Step::MessagesFail(place, how) => {
                self.budget.redis_faults -= 1;
                self.record(place, &how);
                let life = self.replicas[place].life;
                if how == RedisFault::Late {
                    self.redis().delay_messages(life);
                } else {
                    self.redis().cut_listener(life);
                }
            }
            Step::MessagesCome(place) => {
                self.record(place, &"late messages");
                let life = self.replicas[place].life;
                self.redis().bring_messages(life);
            }
            Step::Flush => {
                self.budget.redis_faults -= 1;
                self.redis().flush();
            }
        }
        self.rest().await
    }

    pub(super) fn restart(&mut self, place: usize) {
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
        self.stop_revoking(place);
        // Whoever starts has nothing to forget.
        self.rechecks.retain(|(other, _)| *other != place);
        self.replicas[place].tasks.end();
        self.rules.ended(life);
        self.replicas[place] = self.start(Life {
            place,
            number: life.number + 1,
        });
    }

    pub(super) fn hang_up(&mut self, place: usize) {
        self.asking.retain(|asking| {
            if asking.place == place {
                asking.answer.abort();
            }
            asking.place != place
        });
    }

    pub(super) fn edit(&mut self, name: &'static str, edit: Edit) {
        {
            let mut state = self.state();
            let opensearch = state.opensearch;
            let Some(user) = state.users.get_mut(name) else {
                return;
            };
            let before = user.clone();
            match edit {
                Edit::Disable if opensearch => user.lock(),
                Edit::Enable if opensearch => user.unlock(),
                Edit::Disable => user.enabled = false,
                Edit::Enable => user.enabled = true,
                Edit::Roles => user.roles = vec!["superuser".to_owned()],
                Edit::Password => "by an administrator".clone_into(&mut user.password),
                Edit::Delete => drop(state.users.remove(name)),
            }
            if state.users.get(name) == Some(&before) {
                return;
            }
            state.users_changed();
        }
        self.changed(name, Author::Admin);
    }
}
