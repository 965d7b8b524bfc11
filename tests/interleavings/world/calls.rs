//! What the scripted cluster does with a call.

use super::World;
use crate::{
    cluster::{CallName, Reply, Wish, Written},
    rules::Author,
    setting::Loss,
    stage::mark,
};
use http::StatusCode;
use serde_json::json;
use std::time::Duration;
use tokio::time::advance;

/// Longer than any wait after a conflict, in milliseconds.
const LONGEST_WAIT: u64 = 890;
/// The longest write that counts for the time that is left to others.
const LONGEST_WAY: Duration = Duration::from_secs(1);
/// Longer than a writer of OpenSearch waits for others to come.
pub(super) const STEP: Duration = Duration::from_millis(6);

impl World<'_> {
    /// The cluster deals with a call.
    pub(super) async fn deal(&mut self, name: CallName) {
        self.deal_and(name, false).await;
    }

    /// The same; or OpenSearch's credential cache keeps the logins that a write replaces.
    pub(super) async fn deal_and(&mut self, name: CallName, keeps: bool) {
        let (life, wish, awaited) = {
            let state = self.state();
            let Some(call) = state.calls.get(&name) else {
                return;
            };
            (call.by, call.wish.clone(), call.awaited)
        };
        let before = self.state().users.clone();
        self.state().deal(name, keeps);
        match &wish {
            Wish::Read { name: user } => {
                let found = self.state().users.get(user).cloned();
                self.rules.looked(name, user, found.as_ref());
            }
            // OpenSearch shows all users at once, and they are looked at again before a write.
            Wish::List if self.stage.setting.opensearch => {
                for user in self.stage.setting.users {
                    self.rules.looked(name, user, before.get(*user));
                }
            }
            Wish::Write(entries) => {
                for Written {
                    name: user,
                    user: written,
                } in entries
                {
                    let Some(written) = written else { continue };
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
                    self.rules.dealt_with_write(name, user);
                }
            }
            Wish::Ask {
                login: Some((user, _)),
            } => self.rules.dealt_with_login(name, user),
            Wish::Ask { login: None } | Wish::List => {}
        }
    }

    /// OpenSearch answers a write with 409. Its replica waits for a time that chance draws, and
    /// goes on.
    pub(super) async fn conflict(&mut self, name: CallName) {
        self.record(name.0.place, &(name.1, "conflict"));
        self.contended.insert(name.0);
        self.rules.forget(name);
        self.state().conflict(name);
        self.settle().await;
        self.pass(LONGEST_WAIT).await;
    }

    pub(super) fn changed(&mut self, user: &str, author: Author) {
        self.rules.changed(user, author);
        self.redis().changes = self.rules.changes;
    }

    /// The answer to a call that was dealt with comes to its caller.
    pub(super) async fn release(&mut self, name: CallName) {
        let call = self.state().calls.get(&name).map(|call| {
            let reply = call.dealt.clone();
            reply.map(|reply| (reply, call.wish.is_write(), call.arrived))
        });
        let Some((reply, is_write, arrived)) = call.flatten() else {
            return;
        };
        self.record(name.0.place, &(name.1, reply.status.as_u16()));
        self.rules.learnt(name);
        if reply.status == StatusCode::OK {
            let now = self.state().now;
            self.rules.heard(name, is_write, now);
        } else {
            self.rules.forget(name);
        }
        self.state().answer(name, reply, false);
        // Whoever has met a conflict leaves others time after a write, as long as chance draws.
        if is_write && self.contended.contains(&name.0) {
            self.settle().await;
            advance(arrived.elapsed().min(LONGEST_WAY) * 3 / 2 + STEP).await;
        }
    }

    pub(super) async fn lose(&mut self, name: CallName, how: Loss) {
        let error = |status: StatusCode, kind: &str| Reply {
            status,
            body: json!({ "error": { "type": kind }, "status": status.as_u16() }),
        };
        let unavailable = error(
            StatusCode::SERVICE_UNAVAILABLE,
            "unavailable_shards_exception",
        );
        self.record(name.0.place, &(name.1, how));
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
}
