//! What operators do to a user: a recheck, and the revocation of their login.

use crate::{
    broker::{Revocation, RevokeError, RevokeOrder, Revoked},
    clock::Timestamp,
    cluster::{ApiKeys, CallError},
    ledger::{Forgotten, Others},
    model::Username,
    respond::{self, Response},
    serve::connection::PeerConnection,
    telemetry::chain,
    upstream::Upstream,
};
use futures_util::{StreamExt as _, stream::FuturesOrdered};
use http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde::Serialize;
use serde_json::{Value, json};
use std::{sync::Arc, time::Duration};
use tokio::time::timeout;

/// How long an operator waits for a revocation: for an update that is running, a boundary of
/// passwords, two reads and a write.
const REVOKE_WITHIN: Duration = Duration::from_secs(30);

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Action {
    Recheck,
    Revoke,
}

/// Where the paths of all actions begin.
pub(crate) const PREFIX: &str = "/elastauth/admin/users/";

/// The action of a path and its user, as the path has it: percent-encoded, one segment.
pub(crate) fn action(path: &str) -> Option<(Action, &str)> {
    let (name, action) = path.strip_prefix(PREFIX)?.split_once('/')?;
    let action = match action {
        "recheck" => Action::Recheck,
        "revoke" => Action::Revoke,
        _ => return None,
    };
    (!name.is_empty()).then_some((action, name))
}

pub(super) async fn answer(connection: &PeerConnection, uri: &Uri) -> Response {
    let now = connection.service.clock.now();
    let malformed =
        |message: &str| respond::problem(now, StatusCode::BAD_REQUEST, message, "malformed_user");
    let found = action(uri.path()).and_then(|(action, name)| Some((action, decoded(name)?)));
    let Some((action, name)) = found else {
        return malformed("The user name is not percent-encoded UTF-8.");
    };
    let user = match Username::parse(&name) {
        Ok(user) => user,
        Err(why) => return malformed(&format!("That cannot be a user: {why}.")),
    };
    let Some(Query { api_keys, cluster }) = Query::parse(action, uri.query()) else {
        let allowed = match action {
            Action::Recheck => "The only parameter is `cluster`, the name of one.",
            Action::Revoke => {
                "The only parameters are `api_keys`, `true` or `false`, and `cluster`, the name of \
                 one."
            }
        };
        return respond::problem(now, StatusCode::BAD_REQUEST, allowed, "malformed_query");
    };
    let Some(upstreams) = upstreams(connection, cluster.as_deref()) else {
        return no_such_cluster(now);
    };
    match action {
        Action::Recheck => recheck(connection, &upstreams, &user),
        Action::Revoke => revoke(connection, &upstreams, &user, api_keys).await,
    }
}

/// The cluster of this name, or all of them: the same name may be a user of several.
pub(super) fn upstreams(
    connection: &PeerConnection,
    name: Option<&str>,
) -> Option<Vec<Arc<Upstream>>> {
    let upstreams = connection.service.flow.upstreams();
    let Some(name) = name else {
        return Some(upstreams.iter().collect());
    };
    // Tenants that share a cluster are users of the section's.
    let shared = || upstreams.iter().find(|upstream| upstream.name() == name);
    let named = upstreams.named(name).or_else(shared)?;
    Some(vec![named])
}

pub(super) fn no_such_cluster(now: Timestamp) -> Response {
    let message = "There is no cluster of this name, or no tenant of this name is open.";
    respond::problem(now, StatusCode::NOT_FOUND, message, "no_such_cluster")
}

/// The parameters of an action.
#[derive(Debug, Default, PartialEq, Eq)]
struct Query {
    api_keys: bool,
    /// All clusters where none is named.
    cluster: Option<String>,
}

impl Query {
    /// `None` where one is unknown, malformed or there twice.
    fn parse(action: Action, text: Option<&str>) -> Option<Self> {
        let (mut api_keys, mut cluster) = (None, None);
        let parameters = text.unwrap_or_default().split('&');
        for parameter in parameters.filter(|parameter| !parameter.is_empty()) {
            match parameter.split_once('=')? {
                ("api_keys", "true") if action == Action::Revoke && api_keys.is_none() => {
                    api_keys = Some(true);
                }
                ("api_keys", "false") if action == Action::Revoke && api_keys.is_none() => {
                    api_keys = Some(false);
                }
                ("cluster", name) if cluster.is_none() => cluster = Some(decoded(name)?),
                _ => return None,
            }
        }
        let api_keys = api_keys.unwrap_or_default();
        Some(Self { api_keys, cluster })
    }
}

/// Lets the next request of a user ask the cluster. A user who is unknown here is no error: other
/// replicas may know them, and get the message.
fn recheck(connection: &PeerConnection, upstreams: &[Arc<Upstream>], user: &Username) -> Response {
    let service = &connection.service;
    let forgotten: Vec<Forgotten> = upstreams
        .iter()
        .map(|upstream| upstream.broker().recheck(user))
        .collect();
    let known = forgotten.iter().any(|cluster| cluster.known);
    service.observer.recheck(connection.peer, user, known);
    shown(
        StatusCode::OK,
        &json!({
            "user": user.as_str(),
            "known": known,
            "other_replicas": reported(forgotten.iter().map(|cluster| cluster.others)),
            "message": "The next request of this user asks the cluster.",
        }),
    )
}

/// How a revocation ended in one cluster, the one that decides about the status last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum End {
    /// There is no such user.
    #[serde(rename = "no_such_user")]
    Absent,
    /// There is one, and their login is not ours to revoke.
    Refused,
    Revoked,
    /// The login is revoked, and API keys of the user are left.
    ApiKeysRemain,
    Failed,
    /// It may have been revoked or not.
    Uncertain,
}

impl End {
    fn of(revocation: &Revocation) -> Self {
        let remain = match &revocation.api_keys {
            None => false,
            Some(Ok(keys)) => keys.failed > 0,
            Some(Err(_)) => true,
        };
        match &revocation.login {
            Err(RevokeError::Uncertain(_) | RevokeError::Contended) => Self::Uncertain,
            Ok(_) | Err(RevokeError::Absent) if remain => Self::ApiKeysRemain,
            Ok(_) => Self::Revoked,
            Err(RevokeError::Absent) => Self::Absent,
            Err(why) if why.is_refusal() => Self::Refused,
            Err(_) => Self::Failed,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Absent => StatusCode::NOT_FOUND,
            Self::Refused => StatusCode::CONFLICT,
            Self::Revoked => StatusCode::OK,
            Self::ApiKeysRemain | Self::Failed | Self::Uncertain => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Revokes the user's login in each of these clusters, in all at once: one that hangs does not
/// hold up the others.
async fn revoke(
    connection: &PeerConnection,
    upstreams: &[Arc<Upstream>],
    user: &Username,
    api_keys: bool,
) -> Response {
    let order = RevokeOrder {
        peer: connection.peer,
        api_keys,
    };
    let (mut clusters, mut last) = (Vec::new(), End::Absent);
    let revoking = upstreams.iter().map(|upstream| async move {
        let revoking = upstream.broker().revoke(user, order);
        match timeout(REVOKE_WITHIN, revoking).await {
            Ok(revocation) => InCluster::new(upstream.name(), &revocation),
            Err(_late) => InCluster::still_running(upstream.name()),
        }
    });
    let mut revoking: FuturesOrdered<_> = revoking.collect();
    while let Some(shown) = revoking.next().await {
        last = last.max(shown.result);
        clusters.push(shown);
    }
    shown(
        last.status(),
        &json!({ "user": user.as_str(), "result": last, "clusters": clusters }),
    )
}

/// What became of a revocation in one cluster.
#[derive(Serialize)]
struct InCluster<'a> {
    cluster: &'a str,
    result: End,
    #[serde(skip_serializing_if = "Option::is_none")]
    generation: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other_replicas: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    api_keys: Option<Value>,
    message: String,
}

impl<'a> InCluster<'a> {
    fn new(cluster: &'a str, revocation: &Revocation) -> Self {
        let login = revocation.login.as_ref();
        Self {
            cluster,
            result: End::of(revocation),
            generation: login.ok().map(|revoked| revoked.generation.0),
            other_replicas: login.ok().map(|revoked| reported([revoked.others])),
            api_keys: revocation.api_keys.as_ref().map(of_keys),
            message: login.map_or_else(|why| chain(why), message),
        }
    }

    fn still_running(cluster: &'a str) -> Self {
        Self {
            cluster,
            result: End::Uncertain,
            generation: None,
            other_replicas: None,
            api_keys: None,
            message: "the revocation is still running; run it again to be certain".to_owned(),
        }
    }
}

fn of_keys(keys: &Result<ApiKeys, CallError>) -> Value {
    match keys {
        Ok(ApiKeys {
            invalidated,
            failed,
        }) => json!({ "invalidated": invalidated, "failed": failed }),
        Err(why) if why.is_refusal() => json!({ "error": format!(
            "{}; to invalidate API keys, elastauth's own account needs the cluster privilege \
             `manage_api_key` in its role",
            chain(why)
        ) }),
        Err(why) => json!({ "error": chain(why) }),
    }
}

fn message(revoked: &Revoked) -> String {
    let others = match revoked.others {
        Others::NotShared => {
            "Replicas that share no Redis with this one give the old login until each of them is \
             asked for a recheck of this user."
        }
        Others::Reported => "The other replicas are told.",
        Others::ReportedLater => "The other replicas are told when Redis is available again.",
    };
    let undone = if revoked.may_be_undone {
        " An earlier write of this user has an unknown outcome and may still bring the old login \
         back: run it again in 90 seconds."
    } else {
        ""
    };
    format!(
        "The cluster refuses the old login. The next request of this user gets a new one. \
         {others}{undone}"
    )
}

/// What the other replicas of all clusters learn.
pub(super) fn reported(others: impl IntoIterator<Item = Others>) -> &'static str {
    others
        .into_iter()
        .fold("not_told", |worst, others| match (worst, others) {
            ("told_later", _) | (_, Others::ReportedLater) => "told_later",
            (_, Others::Reported) => "told",
            (worst, Others::NotShared) => worst,
        })
}

/// Takes the percent signs out. One that is not followed by two hexadecimal digits is a mistake and
/// no percent sign.
pub(super) fn decoded(segment: &str) -> Option<String> {
    let is_encoded = segment.split('%').skip(1).all(|rest| {
        rest.as_bytes()
            .first_chunk::<2>()
            .is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    });
    let text = percent_decode_str(segment).decode_utf8().ok();
    text.filter(|_| is_encoded)
        .map(std::borrow::Cow::into_owned)
}

pub(super) fn shown(status: StatusCode, value: &Value) -> Response {
    respond::whole(status, "application/json", format!("{value:#}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_takes_its_parameters_once_each() {
        let all = |api_keys| {
            Some(Query {
                api_keys,
                cluster: None,
            })
        };
        let in_one = |cluster: &str| {
            let cluster = Some(cluster.to_owned());
            Some(Query {
                api_keys: false,
                cluster,
            })
        };
        for (action, text, query) in [
            (Action::Recheck, None, all(false)),
            (Action::Revoke, Some(""), all(false)),
            (Action::Revoke, Some("api_keys=true"), all(true)),
            (Action::Revoke, Some("api_keys=false&"), all(false)),
            (Action::Recheck, Some("cluster=a"), in_one("a")),
            (
                Action::Revoke,
                Some("cluster=a%2Fb&api_keys=false"),
                in_one("a/b"),
            ),
            (Action::Recheck, Some("api_keys=true"), None),
            (Action::Revoke, Some("api_keys=TRUE"), None),
            (Action::Revoke, Some("api_keys=true&api_keys=true"), None),
            (Action::Revoke, Some("cluster=a&cluster=b"), None),
            (Action::Revoke, Some("cluster"), None),
            (Action::Revoke, Some("cluster=%zz"), None),
            (Action::Revoke, Some("user=a"), None),
        ] {
            assert_eq!(Query::parse(action, text), query, "{action:?} {text:?}");
        }
    }
}
