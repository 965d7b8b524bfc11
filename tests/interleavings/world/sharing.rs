//! What happens between replicas and the Redis that they share.

use super::{Replica, World};
use crate::{
    cluster::CallName,
    redis::Command,
    setting::{RedisFault, Step},
};

impl World<'_> {
    /// What may happen in Redis.
    pub(super) fn steps_of_redis(&self, redis_faults: &[RedisFault], steps: &mut Vec<Step>) {
        let redis = self.redis();
        steps.extend(redis.next().map(Step::RedisDone));
        let places = || self.replicas.iter().enumerate();
        steps.extend(
            places()
                .filter(|(_, replica)| redis.messages_are_late(replica.life))
                .map(|(place, _)| Step::MessagesCome(place)),
        );
        if self.budget.redis_faults == 0 {
            return;
        }
        for redis_fault in redis_faults {
            match redis_fault {
                RedisFault::CutBefore | RedisFault::CutAfter => {
                    let awaited = redis.next().filter(|name| redis.commands[name].awaited);
                    steps.extend(awaited.map(|name| Step::RedisFails(name, *redis_fault)));
                }
                RedisFault::Late | RedisFault::Deaf => {
                    let hears = |replica: &Replica| {
                        redis.hears(replica.life) && !redis.messages_are_late(replica.life)
                    };
                    steps.extend(
                        places()
                            .filter(|(_, replica)| hears(replica))
                            .map(|(place, _)| Step::MessagesFail(place, *redis_fault)),
                    );
                }
                RedisFault::Flush => steps.push(Step::Flush),
            }
        }
    }

    /// Redis does a command, and answers it or cuts the connection; or cuts it before.
    pub(super) fn redis_does(&mut self, name: CallName, answers: Option<bool>) {
        let what = self.redis().commands.get(&name).map(Command::word);
        let answer = if let Some(answers) = answers {
            self.redis().run(name, answers)
        } else {
            self.redis().lose(name);
            None
        };
        self.record(name.0.place, &(name.1, what, answers, answer));
    }

    /// What has come to replicas.
    pub(super) fn note_messages(&mut self) {
        let heard = std::mem::take(&mut self.redis().heard);
        for (life, message) in heard {
            let Some((by, _)) = message.by else { continue };
            if self.replicas[life.place].life == life && by != life {
                self.record(life.place, &message);
                if message.is_change {
                    self.rules.reported(life, by, message.after);
                }
            }
        }
    }

    /// A Redis that hangs does so for one leap: whoever loses it again and again waits for times
    /// that chance draws.
    pub(super) async fn redis_goes_on(&mut self) {
        loop {
            let Some(name) = self.redis().next().next() else {
                return;
            };
            self.redis_does(name, Some(true));
            self.settle().await;
            self.note_messages();
        }
    }

    /// Work of a replica that goes on for ever: with Redis it keeps a connection, keeps a
    /// subscription (with its heartbeats) and sends the outbox; and it looks for users to park.
    pub(super) fn in_the_background(&self) -> usize {
        let of_redis = if self.stage.setting.redis.is_some() {
            3
        } else {
            0
        };
        of_redis + usize::from(self.stage.setting.park_within.is_some())
    }

    /// What comes late comes.
    pub(super) fn bring_messages(&mut self) {
        for place in 0..self.replicas.len() {
            self.record(place, &"late messages");
            let life = self.replicas[place].life;
            self.redis().bring_messages(life);
        }
    }
}
