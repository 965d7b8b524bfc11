//! What the scripted cluster does with a call.

use super::World;
use crate::{
    cluster::{CallName, Reply, Wish},
    rules::Author,
    setting::Loss,
    stage::mark,
};
use http::StatusCode;
use serde_json::json;

impl World<'_> {
    /// The cluster deals with a call.
    pub(super) async fn deal(&mut self, name: CallName) {
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
                self.rules.looked(name, user, found.as_ref());
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
            Wish::Ask { .. } | Wish::List => {}
        }
        if let Wish::Ask {
            login: Some((user, _)),
        }
        | Wish::Write { name: user, .. } = &wish
        {
            self.rules.dealt(name, user);
        }
    }

    pub(super) fn changed(&mut self, user: &str, author: Author) {
        self.rules.changed(user, author);
        self.redis().changes = self.rules.changes;
    }

    /// The answer to a call that was dealt with comes to its caller.
    pub(super) fn release(&mut self, name: CallName) {
        let Some(reply) = self
            .state()
            .calls
            .get(&name)
            .and_then(|call| call.dealt.clone())
        else {
            return;
        };
        self.record(name.0.place, &(name.1, reply.status.as_u16()));
        self.rules.learnt(name);
        if reply.status == StatusCode::OK {
            let now = self.state().now;
            self.rules.heard(name, now);
        } else {
            self.rules.forget(name);
        }
        self.state().answer(name, reply, false);
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
