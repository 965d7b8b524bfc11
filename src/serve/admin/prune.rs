//! Users who have stayed away: a list of them, and the deletion of one.

use super::{
    account::{WITHIN, view},
    users::{reported, shown},
};
use crate::{
    broker::{BrokerError, Due, Kept, PruneError, PruneOrder, Pruned},
    clock::Timestamp,
    model::Username,
    respond::{self, Response},
    telemetry::chain,
    upstream::Upstream,
};
use futures_util::{StreamExt as _, stream::FuturesOrdered};
use http::StatusCode;
use serde::Serialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// A page of those who have stayed away, of each cluster. If the time is too short for one of them,
/// the answer is that: nobody is to be deleted by half an order.
pub(super) async fn list(
    upstreams: &[Arc<Upstream>],
    after: Option<&str>,
    unseen: Duration,
    now: Timestamp,
) -> Response {
    let asked = upstreams.iter().map(|upstream| async move {
        let page = timeout(WITHIN, upstream.broker().unseen(unseen, after)).await;
        let page = page.unwrap_or_else(|_late| Err(BrokerError::Late.into()));
        (upstream.name().to_owned(), page)
    });
    let asked: FuturesOrdered<_> = asked.collect();
    let pages = asked.collect::<Vec<_>>().await;
    let too_short = pages.iter().find_map(|(cluster, page)| match page {
        Err(PruneError::TooShort(why)) => Some(format!("In the cluster `{cluster}` {why}.")),
        Ok(_) | Err(_) => None,
    });
    if let Some(message) = too_short {
        return respond::problem(now, StatusCode::BAD_REQUEST, &message, "unseen_too_short");
    }
    let status = if pages.iter().all(|(_, page)| page.is_ok()) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    let clusters: Vec<Value> = pages
        .iter()
        .map(|(name, page)| listed(name, page))
        .collect();
    shown(status, &json!({ "clusters": clusters }))
}

fn listed(cluster: &str, page: &Result<Due, PruneError>) -> Value {
    match page {
        Ok(due) => {
            let users: Vec<Value> = due.users.iter().map(view).collect();
            json!({
                "cluster": cluster, "users": users, "of": due.of, "unknown": due.unknown,
                "next": due.next,
            })
        }
        Err(why) => json!({ "cluster": cluster, "error": chain(why) }),
    }
}

/// Deletes the user in each of these clusters, if they have stayed away there.
pub(super) async fn prune(
    upstreams: &[Arc<Upstream>],
    user: &Username,
    order: PruneOrder,
) -> Response {
    let asked = upstreams.iter().map(|upstream| async move {
        let result = timeout(WITHIN, upstream.broker().prune(user, order)).await;
        InCluster::new(upstream.name(), result.ok().as_ref())
    });
    let asked: FuturesOrdered<_> = asked.collect();
    let clusters = asked.collect::<Vec<_>>().await;
    let end = clusters.iter().map(|cluster| cluster.result).max();
    let end = end.unwrap_or(End::Kept);
    shown(
        end.status(),
        &json!({ "user": user.as_str(), "result": end, "clusters": clusters }),
    )
}

/// How it ended in one cluster, the one that decides about the status last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    Kept,
    /// They are not ours to delete, or the time is too short.
    Refused,
    Done,
    Failed,
    /// It may be done or not.
    Uncertain,
}

impl End {
    fn of(result: Option<&Result<Pruned, PruneError>>) -> Self {
        match result {
            None => Self::Uncertain,
            Some(Ok(Pruned::Deleted(_))) => Self::Done,
            Some(Ok(Pruned::Kept(_))) => Self::Kept,
            Some(Err(PruneError::TooShort(_))) => Self::Refused,
            Some(Err(PruneError::Change(why))) if why.is_refusal() => Self::Refused,
            Some(Err(PruneError::Change(why))) if why.is_uncertain() => Self::Uncertain,
            Some(Err(PruneError::Change(_))) => Self::Failed,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Kept | Self::Done => StatusCode::OK,
            Self::Refused => StatusCode::CONFLICT,
            Self::Failed | Self::Uncertain => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What became of a user in one cluster.
#[derive(Serialize)]
struct InCluster {
    cluster: String,
    result: End,
    #[serde(skip_serializing_if = "Option::is_none")]
    other_replicas: Option<&'static str>,
    message: String,
}

impl InCluster {
    /// `None` for a deletion that is still running.
    fn new(cluster: &str, result: Option<&Result<Pruned, PruneError>>) -> Self {
        let (others, message) = match result {
            None => (
                None,
                "it is still running; run it again to be certain".to_owned(),
            ),
            Some(Ok(Pruned::Deleted(others))) => (
                Some(reported([*others])),
                "The user is deleted. Their next request makes them again, if their groups allow \
                 it."
                .to_owned(),
            ),
            Some(Ok(Pruned::Kept(why))) => (None, kept(*why)),
            Some(Err(why)) => (None, chain(why)),
        };
        Self {
            cluster: cluster.to_owned(),
            result: End::of(result),
            other_replicas: others,
            message,
        }
    }
}

fn kept(why: Kept) -> String {
    format!("Nothing is done: {}.", why.text())
}
