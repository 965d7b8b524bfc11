//! Bounded places, with a smaller share for new users.
//!
//! Anybody whom a gateway trusts can make names up. So users of whom nothing is remembered have
//! places of their own, and a flood of them keeps nobody else waiting.

use super::{error::BrokerError, product::Product};
use arc_swap::ArcSwap;
use std::{sync::Arc, time::Duration};
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

/// How long an update queues for a place. Whoever waited longer would get it when the request that
/// wanted it is about to give up.
const QUEUE: Duration = Duration::from_secs(1);

/// Whether this replica remembers the user.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Class {
    Known,
    /// Nothing is remembered; the user may exist in the cluster all the same.
    New,
}

/// Places that are queued for in the order of coming. New users queue among themselves for their
/// share first, so they are never ahead of a known user by more than that.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    new_users: Arc<Semaphore>,
}

/// A place, and that of a new user's share.
pub(super) type HeldPlace = (Option<OwnedSemaphorePermit>, OwnedSemaphorePermit);

impl Places {
    pub(super) fn new(all: usize, new_users: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(all)),
            new_users: Arc::new(Semaphore::new(new_users)),
        }
    }

    /// A place, for as long as it is held. Whoever queues too long gives up.
    pub(super) async fn queue(&self, class: Class) -> Result<HeldPlace, BrokerError> {
        let of = |places: &Arc<Semaphore>| Arc::clone(places).acquire_owned();
        let queue = async {
            let share = match class {
                Class::Known => None,
                Class::New => Some(of(&self.new_users).await.ok()?),
            };
            Some((share, of(&self.all).await.ok()?))
        };
        let place = timeout(QUEUE, queue).await.ok().flatten();
        place.ok_or(BrokerError::Busy)
    }
}

/// Users of OpenSearch who are written at once: they go out together, one request after another.
const COLLECTED: usize = 512;

/// Places to write.
#[derive(Debug)]
pub(super) struct WritePlaces {
    elasticsearch: ArcSwap<Places>,
    opensearch: Places,
}

impl WritePlaces {
    /// Elasticsearch hashes slowly, on few threads; more writes would only wait there instead of
    /// here.
    pub(super) fn new(at_once: usize) -> Self {
        Self {
            elasticsearch: ArcSwap::from_pointee(shared_out(at_once)),
            opensearch: shared_out(COLLECTED),
        }
    }

    /// Has so many from now on. Whoever has one or queues for one keeps it until the end.
    pub(super) fn replace(&self, at_once: usize) {
        self.elasticsearch.store(Arc::new(shared_out(at_once)));
    }

    /// A place, for as long as it is held.
    pub(super) async fn queue(
        &self,
        class: Class,
        product: Product,
    ) -> Result<HeldPlace, BrokerError> {
        match product {
            Product::Elasticsearch => self.elasticsearch.load_full().queue(class).await,
            Product::OpenSearch => self.opensearch.queue(class).await,
        }
    }
}

fn shared_out(at_once: usize) -> Places {
    Places::new(at_once, (at_once * 3 / 4).max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn other_places_are_there_at_once_and_held_ones_stay() {
        let (places, product) = (WritePlaces::new(1), Product::Elasticsearch);
        let held = places.queue(Class::Known, product).await.unwrap();
        assert!(places.queue(Class::Known, product).await.is_err());
        places.replace(2);
        let more = [
            places.queue(Class::Known, product).await,
            places.queue(Class::New, product).await,
        ];
        assert!(more.iter().all(Result::is_ok));
        assert!(places.queue(Class::Known, product).await.is_err());
        drop(held);
        assert!(places.queue(Class::Known, product).await.is_err());
    }
}
