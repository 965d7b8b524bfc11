//! A gateway's auth request and its answer.

use super::{connection::PeerConnection, decide::decide, observe::About};
use crate::{
    request::{Protocol, Request, random_id},
    respond::{self, RefusalContext, Response},
};
use http::request::Parts;
use std::borrow::Cow;

/// Answers an auth request of any protocol. Its own method, path, query and body decide nothing:
/// some gateways pass on the client's.
pub(super) async fn answer(
    connection: &PeerConnection,
    parts: Parts,
    protocol: Protocol,
) -> Response {
    let service = &connection.service;
    let admitted = connection.admit(&parts.headers);
    let span = service.observer.begin(&parts, admitted.is_ok());
    let request = admitted.map(|peer| Request::new(peer, protocol, parts));
    let deciding = || decide(&service.flow, &request, connection.limits.decision);
    let decision = match &span {
        None => deciding().await,
        // On the heap, so that only a recorded request carries the room for it.
        Some(span) => Box::pin(span.within(deciding())).await,
    };
    // Nothing that an untrusted peer sends is read.
    let request = request.as_ref().ok();
    let request_id = match &decision.result {
        // Only a refusal has to be found again.
        Ok(_) => Cow::Borrowed(""),
        Err(_) => request
            .and_then(Request::id)
            .map_or_else(|| random_id().into(), Cow::Borrowed),
    };
    let sign_in = match (&decision.result, request) {
        (Err(refused), Some(request)) if refused.lacks_a_sign_in() => {
            let login_url = service.login_url.load();
            login_url.as_ref().and_then(|url| url.for_browser(request))
        }
        _ => None,
    };
    let about = About {
        peer: connection.peer,
        protocol,
        request,
        request_id: &request_id,
        signs_in: sign_in.is_some(),
    };
    service.observer.decided(&decision, &about, span);
    match &decision.result {
        Ok(grant) => respond::grant(grant, &service.identity_headers),
        Err(refused) => respond::refuse(
            refused.refusal(),
            &RefusalContext {
                protocol,
                wants_page: request.is_some_and(Request::wants_page),
                sign_in: sign_in.as_ref(),
                takes_tokens: service.flow.providers.oidc().is_some(),
                request_id: &request_id,
                now: service.clock.now(),
            },
        ),
    }
}
