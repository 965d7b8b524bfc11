//! What a line of the audit stream says.

use crate::net::peer::Peer;
use serde::Serialize;
use std::num::NonZero;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EventKind {
    /// The cluster has the user as it should be.
    UserConfirmed,
    /// The user was written: their first login, or something about them changed.
    UserWritten,
    /// The user got the password of a new period.
    UserRotated,
    /// The user stayed away, and their login of the last period was ended.
    UserParked,
    /// A user that elastauth had not written was adopted.
    UserAdopted,
    /// An operator revoked the user's login, or tried to.
    UserRevoked,
    /// An operator disabled the user, or tried to.
    UserDisabled,
    /// An operator enabled the user, or tried to.
    UserEnabled,
    /// An operator deleted the user, or tried to.
    UserDeleted,
    /// The user had stayed away and was deleted, or was to be.
    UserPruned,
    /// The cluster refused to write the user, or did not answer.
    WriteFailed,
    /// An operator asked for a recheck of this user.
    UserRecheck,
    /// A change of the configuration removes or widens a barrier, and is not applied before a
    /// restart.
    ChangeRequiresRestart,
    /// A request got a login.
    Granted,
    /// A request was refused.
    Refused,
    /// A request of proxy mode went to the cluster, and is over.
    Request,
    /// Lines before this one could not be written.
    LinesLost,
}

/// What is known about an event. The rest is left out of its line.
#[derive(Debug, Clone, Default, Serialize)]
pub struct EventDetails<'a> {
    /// In which cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<&'a str>,
    /// To which user.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user: Option<&'a str>,
    /// Which provider identified them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provider: Option<&'a str>,
    /// The groups that the provider names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<&'a str>,
    /// The roles that follow from them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<&'a str>,
    /// The generation of the login after it was revoked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generation: Option<u32>,
    /// How many API keys of the user were invalidated with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_keys: Option<usize>,
    /// Why; for a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'a str>,
    /// Why; for a program. The outcomes of docs/STATUS-CODES.md.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<&'a str>,
    /// The gateway's address, or `unix`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub peer: Option<Peer>,
    /// What the client asked for: the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub host: Option<&'a str>,
    /// What the client asked for: the path, without its query.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uri: Option<&'a str>,
    /// The client's method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<&'a str>,
    /// The indices that the path names, as it names them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub index: Option<&'a str>,
    /// Whether the request may change something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub writes: Option<bool>,
    /// Whether a part of the request is cut in this line.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub truncated: bool,
    /// The upstream beside the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upstream: Option<&'a str>,
    /// The status that the client got.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The same as in the log and in the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<&'a str>,
    /// The keys of the configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<&'a str>,
    /// Lines of this kind that were left out since the last one, because there were too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppressed: Option<NonZero<u64>>,
    /// How many lines are lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
}
