//! What is behind the memory: nothing, Redis or a file. One call for each event of an update.

use super::{
    file::File,
    redis::Redis,
    types::{Found, How, Others},
    update::Update,
};
use crate::{clock::Timestamp, model::Username};
use std::sync::Arc;

pub(super) enum Store {
    Memory,
    Redis(Arc<Redis>),
    File(Arc<File>),
}

impl Store {
    pub(super) fn state(&self) -> Result<&'static str, &'static str> {
        match self {
            Self::Memory => Ok("memory"),
            Self::Redis(redis) => redis.state().map(|()| "redis"),
            Self::File(file) => file.state().map(|()| "file"),
        }
    }

    /// What is stored about the user: at most [`super::redis::DEADLINE`].
    pub(super) async fn look(&self, update: &Update, is_write_pending: bool) -> Option<Found> {
        match self {
            Self::Memory => None,
            // The beginning of a write of unknown result may not have reached Redis, which then
            // still has what was right before it.
            Self::Redis(_) if is_write_pending => None,
            Self::Redis(redis) => match redis.as_remembered(update) {
                None => redis.look(&update.target).await,
                remembered => remembered,
            },
            Self::File(file) => file.look(&update.target),
        }
    }

    pub(super) async fn begin_write(&self, update: &mut Update, now: Timestamp) {
        match self {
            Self::Memory => {}
            Self::Redis(redis) => update.expected = redis.begin_write(&update.target, now).await,
            Self::File(file) => file.begin_write(&update.target, now).await,
        }
    }

    /// The user is as the update wanted it; `uncontradicted` unless another replica has reported
    /// something else meanwhile.
    pub(super) fn present(&self, update: &Update, now: Timestamp, how: How, uncontradicted: bool) {
        match self {
            Self::Memory => {}
            Self::Redis(redis) => redis.present(update, now, how, uncontradicted),
            Self::File(file) => file.present(update, now, how),
        }
    }

    pub(super) fn others(&self) -> Others {
        match self {
            Self::Memory | Self::File(_) => Others::NotShared,
            Self::Redis(redis) => redis.others(),
        }
    }

    pub(super) fn forget(&self, user: &Username) -> Others {
        match self {
            Self::Memory => Others::NotShared,
            Self::Redis(redis) => redis.forget(user),
            Self::File(file) => {
                file.forget(user);
                Others::NotShared
            }
        }
    }
}
