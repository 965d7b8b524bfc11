//! What the statuses and bodies of both kinds of clusters mean alike.

use super::body::error_type;
use crate::{
    cluster::{
        diagnosis::Diagnosis,
        error::{CallFailure, StatusMeaning},
        pool::NodeAnswer,
    },
    net::client::HttpError,
};
use http::{HeaderMap, StatusCode};

/// Tells what else may be behind an answer. Each kind of cluster has its own.
pub(super) type Diagnose = fn(StatusCode, &HeaderMap, &[u8], Option<&str>) -> Option<Diagnosis>;

/// What a status means that the call does not expect.
pub(super) fn unexpected_status(answer: &NodeAnswer, diagnose: Diagnose) -> CallFailure {
    let (status, error_type) = (answer.status, error_type(answer));
    // Newer versions of Elasticsearch answer some timeouts with 429 instead of 503.
    let late = status == StatusCode::REQUEST_TIMEOUT
        || error_type
            .as_ref()
            .is_some_and(|name| name.contains("timeout"));
    let body = answer.body.as_deref().unwrap_or_default();
    let diagnosis = diagnose(status, &answer.headers, body, error_type.as_deref());
    let meaning = match status.as_u16() {
        502 | 504 => StatusMeaning::Unreachable,
        // A node that has just started answers so for a second while the others work.
        503 => StatusMeaning::Unavailable,
        400..500 if late => StatusMeaning::Unclear,
        403 if diagnosis == Some(Diagnosis::WriteBlocked) => StatusMeaning::RequestRefused,
        // A node without its security index knows neither the account (401) nor, if it remembers
        // that, its rights (403).
        401 | 403 => StatusMeaning::CredentialRefused,
        400..500 => StatusMeaning::RequestRefused,
        _ => StatusMeaning::Unclear,
    };
    CallFailure::Status {
        status,
        error_type,
        meaning,
        diagnosis,
    }
}

/// The body of a 200.
pub(super) fn ok_body(answer: &NodeAnswer, diagnose: Diagnose) -> Result<&[u8], CallFailure> {
    if answer.status == StatusCode::OK {
        Ok(answer.body.as_ref().map_err(HttpError::clone)?)
    } else {
        Err(unexpected_status(answer, diagnose))
    }
}

/// serde's own message quotes the body, so only its kind is kept.
pub(super) fn unusable(error: &serde_json::Error) -> CallFailure {
    if error.is_data() {
        CallFailure::Unexpected
    } else {
        CallFailure::NotJson
    }
}
