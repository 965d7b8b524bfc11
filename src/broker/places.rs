//! Bounded places, with a smaller share for new users.
//!
//! Anybody whom a gateway trusts can make names up. So users of whom nothing is remembered have
//! places of their own, and a flood of them keeps nobody else waiting.

use super::{
    error::BrokerError,
    product::{PerProduct, Product},
};
use std::time::Duration;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
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
    all: Semaphore,
    new_users: Semaphore,
}

impl Places {
    pub(super) fn new(all: usize, new_users: usize) -> Self {
        Self {
            all: Semaphore::new(all),
            new_users: Semaphore::new(new_users),
        }
    }

    /// A place, for as long as it is held. Whoever queues too long gives up.
    pub(super) async fn queue(
        &self,
        class: Class,
    ) -> Result<(Option<SemaphorePermit<'_>>, SemaphorePermit<'_>), BrokerError> {
        let queue = async {
            let share = match class {
                Class::Known => None,
                Class::New => Some(self.new_users.acquire().await.ok()?),
            };
            Some((share, self.all.acquire().await.ok()?))
        };
        let place = timeout(QUEUE, queue).await.ok().flatten();
        place.ok_or(BrokerError::Busy)
    }
}

/// Users of OpenSearch who are written at once: they go out together, one request after another.
const COLLECTED: usize = 512;

/// Places to write.
#[derive(Debug)]
pub(super) struct WritePlaces(PerProduct<Places>);

impl WritePlaces {
    /// Elasticsearch hashes slowly, on few threads; more writes would only wait there instead of
    /// here.
    pub(super) fn new(at_once: usize) -> Self {
        let of = |at_once: usize| Places::new(at_once, (at_once * 3 / 4).max(1));
        Self(PerProduct {
            elasticsearch: of(at_once),
            opensearch: of(COLLECTED),
        })
    }

    /// A place, for as long as it is held.
    pub(super) async fn queue(
        &self,
        class: Class,
        product: Product,
    ) -> Result<(Option<SemaphorePermit<'_>>, SemaphorePermit<'_>), BrokerError> {
        self.0.of(product).queue(class).await
    }
}
