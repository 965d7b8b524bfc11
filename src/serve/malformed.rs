//! Requests in proxy mode of which it is not clear where they end or where they go.

use super::{
    connection::PeerConnection,
    framing::{FramingFault, judge_multiplexed},
};
use crate::respond::{self, Response};
use http::{HeaderValue, Request, Version, header::CONNECTION};

/// What is wrong with a request. Of HTTP/1 [`super::guard`] has judged it before hyper, and what it
/// refuses has a target that never passes otherwise.
pub(super) fn fault_of<B>(
    connection: &PeerConnection,
    request: &Request<B>,
) -> Option<FramingFault> {
    if request.version() == Version::HTTP_2 {
        return judge_multiplexed(request, connection.head_limits()).err();
    }
    let refused = || connection.framing.fault().unwrap_or(FramingFault::Target);
    (request.uri().path() == "*").then(refused)
}

/// Refuses a request and, in HTTP/1, all that comes behind it.
pub(super) fn refuse(
    connection: &PeerConnection,
    version: Version,
    fault: FramingFault,
) -> Response {
    let service = &connection.service;
    let now = service.clock.now();
    if let Ok(suppressed) = service.malformed.take(now) {
        tracing::warn!(
            peer = %connection.peer,
            fault = fault.name(),
            suppressed,
            "refused a malformed request; nothing of it was passed on"
        );
    }
    let mut response = respond::problem(now, fault.status(), fault.message(), fault.code());
    if version < Version::HTTP_2 {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}
