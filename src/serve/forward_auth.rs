//! A gateway's auth request and its answer.

use super::{
    connection::PeerConnection,
    decide::decide,
    observe::{About, DecisionSpan},
};
use crate::{
    flow::{Decision, RefusedRequest},
    net::trust::Distrust,
    request::{Protocol, Request, random_id},
    respond::{self, RefusalContext, Response},
};
use http::{HeaderMap, request::Parts};
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
    match &decision.result {
        Ok(grant) => {
            let about = About {
                peer: connection.peer,
                protocol,
                request: request.as_ref().ok(),
                // Only a refusal has to be found again.
                request_id: "",
                signs_in: false,
            };
            service.observer.decided(&decision, &about, span);
            let table = request.map_or_else(|_| HeaderMap::new(), Request::into_headers);
            respond::grant(grant, &service.identity_headers, table)
        }
        Err(why) => refused(connection, protocol, &request, (&decision, why), span),
    }
}

fn refused(
    connection: &PeerConnection,
    protocol: Protocol,
    request: &Result<Request, Distrust>,
    (decision, why): (&Decision, &RefusedRequest),
    span: Option<DecisionSpan>,
) -> Response {
    let service = &connection.service;
    // Nothing that an untrusted peer sends is read.
    let request = request.as_ref().ok();
    let request_id = request
        .and_then(Request::id)
        .map_or_else(|| random_id().into(), Cow::Borrowed);
    let sign_in = request
        .filter(|_| why.lacks_a_sign_in())
        .and_then(|request| {
            let login_url = service.login_url.load();
            login_url.as_ref()?.for_browser(request, false)
        });
    let about = About {
        peer: connection.peer,
        protocol,
        request,
        request_id: &request_id,
        signs_in: sign_in.is_some(),
    };
    service.observer.decided(decision, &about, span);
    respond::refuse(
        why.refusal(),
        &RefusalContext {
            protocol,
            wants_page: request.is_some_and(Request::wants_page),
            sign_in: sign_in.as_ref(),
            takes_tokens: service.flow.providers.oidc().is_some(),
            request_id: &request_id,
            now: service.clock.now(),
        },
    )
}
