//! What an operator does: ends a user's login at one replica and, where replicas do not hear of
//! each other, has the others check the user.

use super::{Revoking, World};
use elastauth::internals::{
    broker::{BrokerError, RevokeError, RevokeOrder},
    model::Username,
    net::peer::Peer,
};
use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
};

const OPERATOR: Peer = Peer::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));

impl World<'_> {
    pub(super) fn revoke(&mut self, place: usize, user: &'static str) {
        self.record(place, &("revoke", user));
        self.rules.revoke_asked(self.replicas[place].life, user);
        let flow = Arc::clone(&self.replicas[place].flow);
        let result = tokio::spawn(async move {
            let upstream = flow.upstreams().iter().next().unwrap();
            let user = Username::parse(user).unwrap();
            let order = RevokeOrder {
                peer: OPERATOR,
                api_keys: false,
            };
            upstream.broker().revoke(&user, order).await.login
        });
        self.revoking.push(Revoking {
            place,
            user,
            result,
        });
    }

    /// Takes note of revocations that have ended. Only one that has ended well promises anything.
    pub(super) async fn note_revoked(&mut self) -> Result<(), String> {
        let ended = self
            .revoking
            .extract_if(.., |revoking| revoking.result.is_finished())
            .collect::<Vec<_>>();
        for Revoking {
            place,
            user,
            result,
        } in ended
        {
            let life = self.replicas[place].life;
            match result.await.unwrap() {
                Ok(revoked) => {
                    self.revoked += 1;
                    let generation = u64::from(revoked.generation.0);
                    let store_is_well = self.stage.setting.redis.is_some()
                        && self.budget.redis_faults == self.stage.setting.budget.redis_faults;
                    let state = self.stage.cluster.state();
                    self.rules
                        .revoked(life, user, generation, store_is_well, &state)?;
                    drop(state);
                    if self.stage.setting.redis.is_none() {
                        let others = (0..self.replicas.len()).filter(|other| *other != place);
                        self.rechecks.extend(others.map(|other| (other, user)));
                    }
                }
                Err(RevokeError::Broker(BrokerError::Crashed)) => {
                    return Err("a revocation has crashed".to_owned());
                }
                Err(_) => {}
            }
        }
        Ok(())
    }

    pub(super) fn recheck(&mut self, place: usize, user: &'static str) {
        self.rechecks.remove(&(place, user));
        self.record(place, &("recheck", user));
        let upstream = self.replicas[place].flow.upstreams().iter().next().unwrap();
        let _forgotten = upstream.broker().recheck(&Username::parse(user).unwrap());
        self.rules.forgets(self.replicas[place].life, user);
    }

    /// Nobody waits for a replica that has gone.
    pub(super) fn stop_revoking(&mut self, place: usize) {
        let gone = self
            .revoking
            .extract_if(.., |revoking| revoking.place == place);
        for revoking in gone.collect::<Vec<_>>() {
            revoking.result.abort();
        }
    }
}
