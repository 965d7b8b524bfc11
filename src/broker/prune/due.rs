//! Who is to be deleted, as a listing has them.

use super::types::TooShort;
use crate::{
    broker::{
        account_view::{AccountView, Standing},
        error::BrokerError,
        state::State,
    },
    cluster::SecurityApi,
    model::Username,
};
use std::time::Duration;

/// A part of a listing.
#[derive(Debug, Default)]
pub(crate) struct Due {
    /// Who has stayed away for so long.
    pub(crate) users: Vec<AccountView>,
    /// All users of this deployment that were looked at.
    pub(crate) of: usize,
    /// Those of them of whom it is not noted when they were seen.
    pub(crate) unknown: usize,
    /// After whom the next part begins, where there is one.
    pub(crate) next: Option<String>,
}

/// Whether it can be said who has stayed away for so long.
pub(crate) fn check(state: &State, unseen: Duration) -> Result<(), TooShort> {
    let last_seen = state.last_seen.of(state.product());
    if unseen >= last_seen.shortest() {
        return Ok(());
    }
    Err(TooShort {
        asked: unseen,
        resolution: last_seen.resolution(),
        shortest: last_seen.shortest(),
    })
}

/// The part after this user.
pub(crate) async fn page(
    state: &State,
    cluster: &SecurityApi,
    unseen: Duration,
    after: Option<&str>,
) -> Result<Due, BrokerError> {
    let page = cluster.list_all_users(after).await;
    let page = page.map_err(BrokerError::of_admin_call)?;
    let mut due = Due {
        next: page.next,
        ..Due::default()
    };
    let now = state.clock.now();
    for user in page.users {
        let view = AccountView::of_listed(state, user);
        match (view.standing, view.seen) {
            (Standing::OtherKey | Standing::Foreign, _) => continue,
            (Standing::Disabled, _) => {}
            (Standing::Active | Standing::Parked, None) => due.unknown += 1,
            (Standing::Active | Standing::Parked, Some(days)) => {
                if days.are_over_for(unseen, now) {
                    due.users.push(view);
                }
            }
        }
        due.of += 1;
    }
    Ok(due)
}

/// All of them, and of how many users.
pub(super) async fn all(
    state: &State,
    cluster: &SecurityApi,
    unseen: Duration,
) -> Result<(Vec<Username>, usize), BrokerError> {
    let (mut users, mut of, mut after) = (Vec::new(), 0, None::<String>);
    loop {
        let page = page(state, cluster, unseen, after.as_deref()).await?;
        of += page.of;
        users.extend(page.users.into_iter().map(|user| user.name));
        // A cluster that repeats itself must not keep us for ever.
        if page.next.is_none() || page.next <= after {
            return Ok((users, of));
        }
        after = page.next;
    }
}
