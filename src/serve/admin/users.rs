//! What operators do to a user: a recheck, and the revocation of their login.

use crate::{
    broker::{BrokerError, RevokeError, Revoked},
    ledger::{Forgotten, Others},
    model::Username,
    respond::{self, Response},
    serve::connection::PeerConnection,
    telemetry::chain,
};
use http::{StatusCode, Uri};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::timeout;

/// How long an operator waits for a revocation: for an update that is running, a boundary of
/// passwords, two reads and a write.
const REVOKE_WITHIN: Duration = Duration::from_secs(30);

/// What is done.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::serve) enum Action {
    Recheck,
    Revoke,
}

/// Where the paths of all actions begin.
pub(in crate::serve) const PREFIX: &str = "/elastauth/admin/users/";

/// The action of a path and its user, as the path has it: percent-encoded, one segment.
pub(in crate::serve) fn action(path: &str) -> Option<(Action, &str)> {
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
    match action {
        Action::Recheck => recheck(connection, &user),
        Action::Revoke => revoke(connection, &user).await,
    }
}

/// Lets the next request of a user ask the cluster. A user who is unknown here is no error: other
/// replicas may know them, and get the message.
fn recheck(connection: &PeerConnection, user: &Username) -> Response {
    let service = &connection.service;
    // The same name may be a user of several clusters.
    let forgotten: Vec<Forgotten> = service
        .flow
        .upstreams()
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    /// There is no such user.
    Absent,
    /// There is one, and their login is not ours to revoke.
    Refused,
    Revoked,
    Failed,
    /// It may have been revoked or not.
    Uncertain,
}

impl End {
    fn of(why: &RevokeError) -> Self {
        match why {
            RevokeError::Absent => Self::Absent,
            RevokeError::Foreign
            | RevokeError::OtherKey(_)
            | RevokeError::LastGeneration
            | RevokeError::DryRun
            | RevokeError::Broker(BrokerError::ReservedName(_)) => Self::Refused,
            RevokeError::Uncertain(_) | RevokeError::Contended => Self::Uncertain,
            RevokeError::Broker(_) => Self::Failed,
        }
    }

    fn text(self) -> &'static str {
        match self {
            Self::Absent => "no_such_user",
            Self::Refused => "refused",
            Self::Revoked => "revoked",
            Self::Failed => "failed",
            Self::Uncertain => "uncertain",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Absent => StatusCode::NOT_FOUND,
            Self::Refused => StatusCode::CONFLICT,
            Self::Revoked => StatusCode::OK,
            Self::Failed | Self::Uncertain => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

/// Revokes the user's login in every cluster: the same name may be a user of several.
async fn revoke(connection: &PeerConnection, user: &Username) -> Response {
    let (mut clusters, mut last) = (Vec::new(), End::Absent);
    for upstream in connection.service.flow.upstreams().iter() {
        let revoking = upstream.broker().revoke(user, connection.peer);
        let revoked = timeout(REVOKE_WITHIN, revoking).await;
        let (end, message) = match &revoked {
            Ok(Ok(revoked)) => (End::Revoked, message(revoked)),
            Ok(Err(why)) => (End::of(why), chain(why)),
            Err(_late) => (
                End::Uncertain,
                "the revocation is still running; run it again to be certain".to_owned(),
            ),
        };
        let revoked = revoked.ok().and_then(Result::ok);
        clusters.push(json!({
            "cluster": upstream.name(),
            "result": end.text(),
            "generation": revoked.as_ref().map(|revoked| revoked.generation.0),
            "other_replicas": revoked.map(|revoked| reported([revoked.others])),
            "message": message,
        }));
        last = last.max(end);
    }
    shown(
        last.status(),
        &json!({ "user": user.as_str(), "result": last.text(), "clusters": clusters }),
    )
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
fn reported(others: impl IntoIterator<Item = Others>) -> &'static str {
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
fn decoded(segment: &str) -> Option<String> {
    let is_encoded = segment.split('%').skip(1).all(|rest| {
        rest.as_bytes()
            .first_chunk::<2>()
            .is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    });
    let text = percent_decode_str(segment).decode_utf8().ok();
    text.filter(|_| is_encoded)
        .map(std::borrow::Cow::into_owned)
}

fn shown(status: StatusCode, value: &Value) -> Response {
    respond::whole(status, "application/json", format!("{value:#}\n"))
}
