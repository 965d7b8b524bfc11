//! The users of the clusters, as operators see and change them: a list, one user, and disabling,
//! enabling and deleting them. [`super::prune`] has those who stay away.

use super::{
    account::{WITHIN, view},
    prune,
    users::{decoded, no_such_cluster, reported, shown, upstreams},
};
use crate::{
    broker::{
        AccountPage, AccountView, AskedBy, BrokerError, Change, ChangeError, ChangeOrder, Changed,
        PruneOrder, Standing,
    },
    cluster::Account,
    ledger::Others,
    model::Username,
    respond::{self, Response},
    serve::connection::PeerConnection,
    telemetry::chain,
    upstream::Upstream,
};
use futures_util::{StreamExt as _, stream::FuturesOrdered};
use http::{StatusCode, Uri};
use serde::Serialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Action {
    List,
    Show,
    Change(Change),
    /// Deletes the user if they have stayed away.
    Prune,
}

impl Action {
    /// Whether it changes nothing.
    pub(super) fn is_read(self) -> bool {
        matches!(self, Self::List | Self::Show)
    }
}

/// The list, and where the paths of all users begin.
pub(crate) const PATH: &str = "/elastauth/admin/users";

/// The action of a path and its user, as the path has it: percent-encoded, one segment.
pub(crate) fn action(path: &str) -> Option<(Action, &str)> {
    let rest = path.strip_prefix(PATH)?;
    if rest.is_empty() {
        return Some((Action::List, rest));
    }
    let rest = rest.strip_prefix('/')?;
    let (name, action) = match rest.split_once('/') {
        Some((name, "show")) => (name, Action::Show),
        Some((name, "disable")) => (name, Action::Change(Change::Disable)),
        Some((name, "enable")) => (name, Action::Change(Change::Enable)),
        Some((name, "delete")) => (name, Action::Change(Change::Delete)),
        Some((name, "prune")) => (name, Action::Prune),
        Some(_) | None => return None,
    };
    (!name.is_empty()).then_some((action, name))
}

pub(super) async fn answer(connection: &PeerConnection, uri: &Uri) -> Response {
    let now = connection.service.clock.now();
    let bad = |message: &str, code| respond::problem(now, StatusCode::BAD_REQUEST, message, code);
    let Some((action, name)) = action(uri.path()) else {
        return bad("This path is no user.", "malformed_user");
    };
    let Some(query) = Query::parse(action, uri.query()) else {
        let message = match action {
            Action::List => {
                "The only parameters are `cluster`, `after` and `unseen_seconds`, once each."
            }
            Action::Prune => {
                "The parameters are `unseen_seconds`, a number, and `cluster`, the name of one."
            }
            Action::Show => "The only parameter is `cluster`, the name of one.",
            Action::Change(_) => {
                "The only parameters are `cluster`, the name of one, and `dry_run`, `true` or \
                 `false`."
            }
        };
        return bad(message, "malformed_query");
    };
    let Some(upstreams) = upstreams(connection, query.cluster.as_deref()) else {
        return no_such_cluster(now);
    };
    if action == Action::List {
        let after = query.after.as_deref();
        return match query.unseen {
            None => list(&upstreams, after).await,
            Some(unseen) => prune::list(&upstreams, after, unseen, now).await,
        };
    }
    let Some(name) = decoded(name) else {
        let message = "The user name is not percent-encoded UTF-8.";
        return bad(message, "malformed_user");
    };
    let user = match Username::parse(&name) {
        Ok(user) => user,
        Err(why) => return bad(&format!("That cannot be a user: {why}."), "malformed_user"),
    };
    match action {
        Action::List | Action::Show => show(&upstreams, &user).await,
        Action::Prune => {
            let order = PruneOrder {
                by: AskedBy::Operator(connection.peer),
                unseen: query.unseen.unwrap_or(Duration::MAX),
            };
            prune::prune(&upstreams, &user, order).await
        }
        Action::Change(change) => {
            let order = ChangeOrder {
                peer: connection.peer,
                change,
                dry_run: query.dry_run,
            };
            changed(&upstreams, &user, order).await
        }
    }
}

/// The parameters of an action.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    /// All clusters where none is named.
    cluster: Option<String>,
    after: Option<String>,
    dry_run: bool,
    unseen: Option<Duration>,
}

impl Query {
    /// `None` where one is unknown, malformed or there twice.
    fn parse(action: Action, text: Option<&str>) -> Option<Self> {
        let (mut query, mut dry_run) = (Self::default(), None);
        let parameters = text.unwrap_or_default().split('&');
        for parameter in parameters.filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=')? {
                ("cluster", name) if query.cluster.is_none() => {
                    query.cluster = Some(decoded(name)?);
                }
                ("after", name) if action == Action::List && query.after.is_none() => {
                    query.after = Some(decoded(name)?);
                }
                ("dry_run", value @ ("true" | "false"))
                    if matches!(action, Action::Change(_)) && dry_run.is_none() =>
                {
                    dry_run = Some(value == "true");
                }
                ("unseen_seconds", seconds)
                    if matches!(action, Action::List | Action::Prune) && query.unseen.is_none() =>
                {
                    query.unseen = Some(Duration::from_secs(seconds.parse().ok()?));
                }
                _ => return None,
            }
        }
        query.dry_run = dry_run.unwrap_or_default();
        (action != Action::Prune || query.unseen.is_some()).then_some(query)
    }
}

/// A page of users of each cluster. All are asked at once: one that hangs does not hold up the
/// others.
async fn list(upstreams: &[Arc<Upstream>], after: Option<&str>) -> Response {
    let asked = upstreams.iter().map(|upstream| async move {
        let page = timeout(WITHIN, upstream.broker().accounts(after)).await;
        let page = page.unwrap_or(Err(BrokerError::Late));
        (page.is_ok(), listed(upstream.name(), page))
    });
    let asked: FuturesOrdered<_> = asked.collect();
    let (ok, clusters): (Vec<bool>, Vec<Value>) =
        asked.collect::<Vec<_>>().await.into_iter().unzip();
    let status = if ok.into_iter().all(|ok| ok) {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    shown(status, &json!({ "clusters": clusters }))
}

fn listed(cluster: &str, page: Result<AccountPage, BrokerError>) -> Value {
    match page {
        Ok(page) => {
            let users: Vec<Value> = page.users.iter().map(view).collect();
            json!({ "cluster": cluster, "users": users, "next": page.next })
        }
        Err(why) => json!({ "cluster": cluster, "error": chain(&why) }),
    }
}

async fn show(upstreams: &[Arc<Upstream>], user: &Username) -> Response {
    let asked = upstreams.iter().map(|upstream| async move {
        let found = timeout(WITHIN, upstream.broker().account(user)).await;
        let found = found.unwrap_or(Err(BrokerError::Late));
        (End::of_look(&found), one(upstream.name(), found))
    });
    let asked: FuturesOrdered<_> = asked.collect();
    let (ends, clusters): (Vec<End>, Vec<Value>) =
        asked.collect::<Vec<_>>().await.into_iter().unzip();
    let end = ends.into_iter().max().unwrap_or(End::Absent);
    shown(
        end.status(),
        &json!({ "user": user.as_str(), "result": end, "clusters": clusters }),
    )
}

fn one(cluster: &str, found: Result<Option<(AccountView, Account)>, BrokerError>) -> Value {
    let mut about = match found {
        Ok(None) => json!({ "result": End::Absent, "message": ChangeError::Absent.to_string() }),
        Err(why) => json!({ "result": End::Failed, "message": chain(&why) }),
        Ok(Some((account, stored))) => {
            let mut about = view(&account);
            // Who is not ours is none of our business.
            let is_foreign = account.standing == Standing::Foreign;
            if let Some(about) = about.as_object_mut() {
                about.insert("result".to_owned(), json!(End::Done));
                if !is_foreign {
                    about.insert("roles".to_owned(), json!(stored.roles));
                    about.insert("groups".to_owned(), json!(stored.groups));
                }
            }
            about
        }
    };
    if let Some(about) = about.as_object_mut() {
        about.insert("cluster".to_owned(), json!(cluster));
    }
    about
}

async fn changed(upstreams: &[Arc<Upstream>], user: &Username, order: ChangeOrder) -> Response {
    let asked = upstreams.iter().map(|upstream| async move {
        let result = timeout(WITHIN, upstream.broker().change(user, order)).await;
        InCluster::new(upstream.name(), order, result.ok().as_ref())
    });
    let asked: FuturesOrdered<_> = asked.collect();
    let clusters = asked.collect::<Vec<_>>().await;
    let end = clusters.iter().map(|cluster| cluster.result).max();
    let end = end.unwrap_or(End::Absent);
    shown(
        end.status(),
        &json!({
            "user": user.as_str(), "dry_run": order.dry_run, "result": end, "clusters": clusters,
        }),
    )
}

/// How it ended in one cluster, the one that decides about the status last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    /// There is no such user.
    #[serde(rename = "no_such_user")]
    Absent,
    /// There is one, and they are not ours to change.
    Refused,
    Done,
    Failed,
    /// It may be done or not.
    Uncertain,
}

impl End {
    fn of_look(found: &Result<Option<(AccountView, Account)>, BrokerError>) -> Self {
        match found {
            Ok(None) => Self::Absent,
            Ok(Some(_)) => Self::Done,
            Err(_) => Self::Failed,
        }
    }

    fn of_change(result: Option<&Result<Changed, ChangeError>>) -> Self {
        match result {
            None | Some(Err(ChangeError::Uncertain(_) | ChangeError::Contended)) => Self::Uncertain,
            Some(Ok(_)) => Self::Done,
            Some(Err(ChangeError::Absent)) => Self::Absent,
            Some(Err(why)) if why.is_refusal() => Self::Refused,
            Some(Err(_)) => Self::Failed,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Absent => StatusCode::NOT_FOUND,
            Self::Refused => StatusCode::CONFLICT,
            Self::Done => StatusCode::OK,
            Self::Failed | Self::Uncertain => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// What became of a change in one cluster.
#[derive(Serialize)]
struct InCluster {
    cluster: String,
    result: End,
    /// Whether the user was otherwise before.
    #[serde(skip_serializing_if = "Option::is_none")]
    changed: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other_replicas: Option<&'static str>,
    message: String,
}

impl InCluster {
    /// `None` for a change that is still running.
    fn new(
        cluster: &str,
        order: ChangeOrder,
        result: Option<&Result<Changed, ChangeError>>,
    ) -> Self {
        let changed = result.and_then(|result| result.as_ref().ok());
        Self {
            cluster: cluster.to_owned(),
            result: End::of_change(result),
            changed: changed.map(|changed| changed.was_needed),
            other_replicas: changed
                .filter(|_| !order.dry_run)
                .map(|changed| reported([changed.others])),
            message: match result {
                None => "it is still running; run it again to be certain".to_owned(),
                Some(Err(why)) => chain(why),
                Some(Ok(changed)) => message(order, *changed),
            },
        }
    }
}

fn message(order: ChangeOrder, changed: Changed) -> String {
    if order.dry_run {
        return match (order.change, changed.was_needed) {
            (Change::Disable, true) => "The user would be disabled.",
            (Change::Disable, false) => "The user is disabled already.",
            (Change::Enable, true) => "The user would be enabled.",
            (Change::Enable, false) => "The user is enabled already.",
            (Change::Delete, _) => "The user would be deleted.",
        }
        .to_owned();
    }
    let what = match (order.change, changed.was_needed) {
        (Change::Disable, true) => {
            "The user is disabled. The cluster refuses their login, and their requests get 403 \
             until they are enabled."
        }
        (Change::Disable, false) => "The user was disabled already, and stays so.",
        (Change::Enable, true) => {
            "The user is enabled. Their next request gets a login, if their groups allow it."
        }
        (Change::Enable, false) => "The user was enabled already.",
        (Change::Delete, _) if changed.was_enabled => {
            "The user is deleted. Their next request makes them again, if their groups allow it."
        }
        (Change::Delete, _) => {
            "The user is deleted. They were disabled, and nothing keeps them out any more: their \
             next request makes them again, if their groups allow it."
        }
    };
    let others = match changed.others {
        Others::NotShared => {
            "Replicas that share no Redis with this one learn it at their next check of the user, \
             or when each of them is asked for a recheck."
        }
        Others::Reported => "The other replicas are told.",
        Others::ReportedLater => "The other replicas are told when Redis is available again.",
    };
    let undone = if changed.may_be_undone {
        " An earlier write of this user has an unknown outcome and may still undo it: run it again \
         in 90 seconds."
    } else {
        ""
    };
    format!("{what} {others}{undone}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_the_list_a_user_or_an_action() {
        for (path, expected) in [
            ("", Some((Action::List, ""))),
            ("/alice/show", Some((Action::Show, "alice"))),
            ("/alice", None),
            (
                "/a%2Fb/disable",
                Some((Action::Change(Change::Disable), "a%2Fb")),
            ),
            (
                "/alice/enable",
                Some((Action::Change(Change::Enable), "alice")),
            ),
            (
                "/alice/delete",
                Some((Action::Change(Change::Delete), "alice")),
            ),
            ("s", None),
            ("/", None),
            ("//delete", None),
            ("/alice/", None),
            ("/alice/prune", Some((Action::Prune, "alice"))),
            ("/alice/revoke", None),
            ("/alice/delete/now", None),
        ] {
            assert_eq!(action(&format!("{PATH}{path}")), expected, "{path}");
        }
        assert_eq!(action("/elastauth/admin"), None);
    }

    #[test]
    fn an_action_takes_its_parameters_once_each() {
        let (list, show) = (Action::List, Action::Show);
        let delete = Action::Change(Change::Delete);
        let query = |cluster: Option<&str>, after: Option<&str>, dry_run| {
            Some(Query {
                cluster: cluster.map(str::to_owned),
                after: after.map(str::to_owned),
                dry_run,
                unseen: None,
            })
        };
        for (action, text, expected) in [
            (list, "", query(None, None, false)),
            (
                list,
                "after=a%26b&cluster=x",
                query(Some("x"), Some("a&b"), false),
            ),
            (show, "cluster=a%2Fb&", query(Some("a/b"), None, false)),
            (delete, "dry_run=true", query(None, None, true)),
            (
                delete,
                "dry_run=false&cluster=x",
                query(Some("x"), None, false),
            ),
            (show, "after=a", None),
            (show, "dry_run=true", None),
            (delete, "after=a", None),
            (delete, "dry_run", None),
            (delete, "dry_run=1", None),
            (delete, "dry_run=true&dry_run=false", None),
            (list, "cluster=a&cluster=b", None),
            (list, "cluster=%zz", None),
            (list, "user=a", None),
            (show, "unseen_seconds=9", None),
            (Action::Prune, "cluster=a", None),
            (Action::Prune, "unseen_seconds=9&dry_run=true", None),
            (Action::Prune, "unseen_seconds=-9", None),
            (Action::Prune, "unseen_seconds=9d", None),
        ] {
            assert_eq!(Query::parse(action, Some(text)), expected, "{text}");
        }
        for action in [list, Action::Prune] {
            let query = Query::parse(action, Some("unseen_seconds=9")).unwrap();
            assert_eq!(query.unseen, Some(Duration::from_secs(9)));
        }
    }
}
