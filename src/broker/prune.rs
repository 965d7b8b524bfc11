//! Deletes users who have stayed away for long: for an operator one by one, or in the background
//! (`users.prune_after`) in rounds.
//!
//! Every write of OpenSearch costs more the more users there are, and a user whom nobody needs is
//! one more whom somebody may log in as. What is deleted is made again by the next request of its
//! person, so a wrong verdict costs a write; what is kept costs nothing. So whoever is disabled, or
//! of whom it is not noted when they were seen, stays.
//!
//! All replicas make rounds, each at a time of its own, and whoever is first has the work. A user
//! is read right before the deletion, while no update of theirs runs, and the store that replicas
//! share says whether another one is at work on them.

mod due;
mod report;
mod rounds;
mod types;
mod user;

pub(crate) use due::Due;
pub(super) use due::{check, page};
pub(super) use report::Report;
pub(super) use rounds::Rounds;
pub(crate) use types::{AskedBy, Kept, PruneError, PruneOrder, Pruned};
pub(super) use user::Pruner;
