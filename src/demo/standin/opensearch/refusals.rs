//! Refusals as the security plugin words them.

use super::super::answer::ApiAnswer;
use http::StatusCode;
use serde_json::json;

/// The same for a wrong login, an absent user and none.
pub(super) fn unauthorized() -> ApiAnswer {
    ApiAnswer::text(StatusCode::UNAUTHORIZED, "Unauthorized")
}

pub(crate) fn not_initialized() -> ApiAnswer {
    ApiAnswer::text(
        StatusCode::SERVICE_UNAVAILABLE,
        "OpenSearch Security not initialized.",
    )
}

/// The answer of a real cluster with this status.
pub(crate) fn refusal(status: StatusCode, caller: &str) -> ApiAnswer {
    match status.as_u16() {
        401 => unauthorized(),
        403 => fault(
            status,
            &format!(
                "No permission to access REST API: User {caller} with Security roles [own_index] \
                 does not have any role privileged for admin access. No client TLS certificate \
                 found in request"
            ),
        ),
        409 => fault(
            status,
            "[internalusers]: version conflict, required seqNo [1], primary term [1]",
        ),
        429 => ApiAnswer::error(
            status,
            "rejected_execution_exception",
            "rejected execution of coordinating operation",
        ),
        503 => not_initialized(),
        _ => fault(status, "Error while saving the configuration"),
    }
}

/// 400 of the validation.
pub(super) fn error(reason: &str) -> ApiAnswer {
    let body = json!({ "status": "error", "reason": reason });
    ApiAnswer::json(StatusCode::BAD_REQUEST, &body)
}

/// Every other refusal of the API.
pub(super) fn fault(status: StatusCode, message: &str) -> ApiAnswer {
    let name = status.canonical_reason().unwrap_or_default();
    let name = name.to_uppercase().replace(' ', "_");
    ApiAnswer::json(status, &json!({ "status": name, "message": message }))
}
