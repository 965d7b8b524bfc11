//! Proxy mode: the client's own request is decided about like an auth request, then passed on to
//! the cluster with the login in it.
//!
//! The decision is that of forward auth. Where a cluster answers 401 and refuses the user's login,
//! the user is looked at again, and the request is sent once more if its body is still here. Any
//! other 401 is the answer of an API, and passed on.

mod cross_origin;
mod dropped;
mod exchange;
mod failure;
mod headers;
mod tunnel;

pub(super) use dropped::Dropped;
pub(super) use failure::Failure;

use super::{
    connection::PeerConnection,
    decide::decide,
    malformed,
    observe::{About, DecisionSpan},
    progress::Progress,
    report::Report,
};
use crate::{
    cluster::{Forwarded, Outbound},
    flow::{Decision, Grant, RefusedRequest},
    net::{
        client::streaming::Upload,
        trust::{Distrust, TrustedPeer},
    },
    outcome::Refusal,
    request::{Protocol, Request, random_id},
    respond::{self, RefusalContext, Response},
    telemetry::{
        metrics::CallEnd,
        traces::{CurrentSpan, TRACEPARENT},
    },
    upstream::{Chosen, HostHeader, Upstream},
};
use exchange::Exchange;
use headers::{Framing, Passing};
use http::{
    HeaderValue, Method, StatusCode, Version,
    header::{CONTENT_LENGTH, HOST},
    request::Parts,
};
use hyper::{body::Incoming, upgrade::OnUpgrade};
use std::{borrow::Cow, sync::Arc};

/// A request on its way.
struct Passage<'a> {
    connection: &'a Arc<PeerConnection>,
    request: Result<Request, Distrust>,
    span: Option<DecisionSpan>,
    /// Of a span that is recorded, for the call after it.
    trace: Option<CurrentSpan>,
    /// Of the lines about it, where there are some.
    id: Option<Box<str>>,
    upload: Upload,
    version: Version,
    /// The host that the client asked for.
    asked_host: Option<HeaderValue>,
    /// The client's connection, if it asks to become a `WebSocket`.
    upgrade: Option<OnUpgrade>,
}

/// Passes a request on and answers with what the cluster says.
pub(super) async fn answer(
    connection: &Arc<PeerConnection>,
    progress: &Arc<Progress>,
    mut parts: Parts,
    body: Incoming,
) -> Response {
    let upgrade = parts.extensions.remove::<OnUpgrade>().filter(|_| {
        parts.version == Version::HTTP_11
            && parts.method == Method::GET
            && headers::asks_for_websocket(&parts.headers)
    });
    let asked_host = match parts.uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok(),
        None => parts.headers.get(HOST).cloned(),
    };
    let version = parts.version;
    let admitted = connection.admit_client(&parts.headers);
    let of_gateway = admitted.as_ref().is_ok_and(TrustedPeer::is_gateway);
    let service = Arc::clone(&connection.service);
    let upload = Upload::new(body, version, || {
        let declared = headers::declared_trailers(&parts.headers);
        Box::new(move |name: &_| {
            !declared.contains(name) || headers::is_no_trailer(name, &service.dropped)
        })
    });
    progress.watch(upload.watch());
    let span = connection.service.observer.begin(&parts, of_gateway);
    let report = Report::begin(
        &connection.service,
        connection.peer,
        &parts,
        admitted.is_ok(),
        span.as_ref(),
    );
    let mut passage = Passage {
        trace: span.as_ref().map(DecisionSpan::current),
        id: report.request_id().map(Box::from),
        span,
        request: admitted.map(|peer| Request::new(peer, Protocol::Proxy, parts)),
        connection,
        upload,
        version,
        asked_host,
        upgrade,
    };
    let exchange = Exchange::begin(connection, version, Arc::clone(progress), report);
    passage.run(exchange).await
}

impl Passage<'_> {
    async fn run(&mut self, mut exchange: Box<Exchange>) -> Response {
        let mut is_repeated = false;
        loop {
            let decision = self.decide().await;
            let decision = self.cross_origin_refused(decision);
            exchange.report.decided(&decision);
            let grant = match &decision.result {
                Ok(grant) => grant,
                Err(refused) => return self.refused(&decision, refused, exchange),
            };
            self.observe(&decision, "", false);
            let (forwarded, is_of_cluster) =
                match self.forward(&decision, grant, &mut exchange).await {
                    Ok(forwarded) => forwarded,
                    Err(why) => return self.not_forwarded(&decision, &why, exchange),
                };
            // In a box, so that the many requests without have no room for it.
            let refused = forwarded.answer.head.status == StatusCode::UNAUTHORIZED
                && is_of_cluster
                && Box::pin(self.is_refused(&decision, grant, is_repeated)).await;
            if !refused {
                self.upload.forget();
                return self.pass_back(forwarded, exchange);
            }
            drop(forwarded);
            // The user was deleted or changed, or the password is another one.
            let service = &self.connection.service;
            if service.rejected.take(service.clock.now()).is_err() {
                return self.failed(&decision, &Failure::Login, exchange);
            }
            if let Some(upstream) = decision.chosen.as_ref().and_then(Chosen::upstream) {
                let _known = upstream.broker().recheck(grant.identity().user());
            }
            if is_repeated {
                return self.failed(&decision, &Failure::Login, exchange);
            }
            if !self.upload.may_repeat() {
                return self.failed(&decision, &Failure::LoginOnce, exchange);
            }
            is_repeated = true;
        }
    }

    async fn is_refused(&self, decision: &Decision, grant: &Grant, again: bool) -> bool {
        let Some(upstream) = decision.chosen.as_ref().and_then(Chosen::upstream) else {
            return false;
        };
        let user = grant.identity().user();
        let asked = upstream.broker();
        asked.refuses(user, grant.credential(), again).await
    }

    fn cross_origin_refused(&self, decision: Decision) -> Decision {
        let Ok(request) = &self.request else {
            return decision;
        };
        let oidc = self.connection.service.flow.providers.oidc();
        cross_origin::refused(decision, request, self.upgrade.is_some(), oidc)
    }

    async fn decide(&self) -> Decision {
        let connection = self.connection;
        let deciding = || {
            let limit = connection.limits.decision;
            decide(&connection.service.flow, &self.request, limit)
        };
        match &self.span {
            None => deciding().await,
            // On the heap, so that only a recorded request carries the room for it.
            Some(span) => Box::pin(span.within(deciding())).await,
        }
    }

    /// Says too whether the answer is the cluster's own.
    async fn forward(
        &self,
        decision: &Decision,
        grant: &Grant,
        exchange: &mut Exchange,
    ) -> Result<(Forwarded, bool), Failure> {
        let chosen = decision.chosen.as_ref();
        let upstream: Arc<Upstream> = chosen.and_then(Chosen::upstream).ok_or(Failure::Closed)?;
        let (Some(proxied), Ok(request)) = (upstream.proxied(), &self.request) else {
            return Err(Failure::NoServers);
        };
        let server = proxied.choose(request).map_err(Failure::Server)?;
        let asked = request.own_uri().path_and_query();
        let target = asked.and_then(|asked| server.target(asked).ok());
        let target = target.ok_or(Failure::Target)?;
        let passing = Passing {
            authorization: grant.credential().authorization(),
            dropped: &self.connection.service.dropped,
            peer_address: self.connection.peer_address(),
            of_gateway: request.is_of_gateway(),
            secure: self.connection.secure,
            version: self.version,
            asked_host: self.asked_host.as_ref(),
            keeps_host: server.host == HostHeader::Client,
            framing: self.framing(request),
            websocket: self.upgrade.is_some(),
        };
        exchange.tries_again();
        // Many users come from the address of a gateway or a balancer.
        let address = (!self.connection.trusted).then_some(self.connection.peer);
        exchange.takes(
            server
                .forwarder
                .share(grant.identity().user().as_str(), address)?,
        );
        let mut headers = headers::outgoing(request.headers(), &passing);
        let call = self.trace.as_ref().map(CurrentSpan::begin_call);
        if let (Some(trace), Some(call)) = (&self.trace, &call)
            && !trace.is_of_another_trace(request.headers())
            && let Some(parent) = call.traceparent()
        {
            headers.insert(TRACEPARENT, parent);
        }
        let outbound = Outbound {
            method: request.own_method().clone(),
            target: &target,
            headers,
            upload: &self.upload,
            asks_for_upgrade: self.upgrade.is_some(),
        };
        let report = &mut exchange.report;
        report.forwarded(server.name.as_deref(), self.upload.received());
        let forwarded = server.forwarder.forward(outbound).await;
        if let Some(call) = call {
            let (node, end) = match &forwarded {
                Ok(forwarded) => (
                    Some(&*forwarded.node),
                    Ok(forwarded.answer.head.status.as_u16()),
                ),
                Err(why) if why.is_unsent() => (None, Err(CallEnd::NotSent)),
                Err(_) => (None, Err(CallEnd::Lost)),
            };
            call.passed_on(request.own_method(), node, end);
        }
        Ok((forwarded?, server.name.is_none()))
    }

    fn framing(&self, request: &Request) -> Framing {
        match self.upload.length() {
            Some(length) => length.exact().map_or(Framing::Chunked, Framing::Length),
            // A client that says so gets it said on.
            None if request.headers().contains_key(CONTENT_LENGTH) => Framing::Length(0),
            None => Framing::Nothing,
        }
    }

    fn pass_back(&mut self, forwarded: Forwarded, mut exchange: Box<Exchange>) -> Response {
        let Forwarded {
            answer,
            place,
            node,
        } = forwarded;
        exchange.answered(place);
        let mut head = answer.head;
        exchange.report.answered(head.status.as_u16(), &node);
        let upgrades = self.upgrade.take().zip(answer.upgrade);
        // The login is elastauth's affair: no browser shall ask for a password.
        if head.status == StatusCode::UNAUTHORIZED {
            headers::drop_password_prompts(&mut head.headers);
        }
        headers::returned(&mut head.headers, upgrades.is_some());
        head.version = Version::HTTP_11;
        let Some((client, cluster)) = upgrades else {
            return respond::passed(head, answer.body, exchange);
        };
        // The client gets its answer. How a tunnel ends says nothing.
        exchange.switched();
        let tunnel = tunnel::run(client, cluster, exchange);
        self.connection.tasks.spawn(tunnel);
        Response::from_parts(head, respond::Body::default())
    }

    fn observe(&mut self, decision: &Decision, request_id: &str, signs_in: bool) {
        let span = self.span.take();
        let about = self.about(request_id, signs_in);
        let observer = &self.connection.service.observer;
        observer.decided(decision, &about, span);
    }

    fn about<'a>(&'a self, request_id: &'a str, signs_in: bool) -> About<'a> {
        About {
            peer: self.connection.peer,
            protocol: Protocol::Proxy,
            request: self.request.as_ref().ok(),
            request_id,
            signs_in,
        }
    }

    /// That of its lines, or its own, where it has one.
    fn id(&self) -> Cow<'_, str> {
        if let Some(id) = &self.id {
            return Cow::Borrowed(id);
        }
        let own = self.request.as_ref().ok().and_then(Request::id);
        own.map_or_else(random_id, str::to_owned).into()
    }

    fn refused(
        &mut self,
        decision: &Decision,
        refused: &RefusedRequest,
        mut exchange: Box<Exchange>,
    ) -> Response {
        let id = self.id().into_owned();
        let login_url = self.connection.service.login_url.load();
        let request = self.request.as_ref().ok();
        let sign_in = match (login_url.as_ref(), request) {
            (Some(url), Some(request)) if refused.lacks_a_sign_in() => {
                url.for_browser(request, self.connection.secure)
            }
            _ => None,
        };
        self.observe(decision, &id, sign_in.is_some());
        self.refuse(refused.refusal(), &id, sign_in.as_ref(), &mut exchange)
    }

    fn not_forwarded(
        &self,
        decision: &Decision,
        why: &Failure,
        mut exchange: Box<Exchange>,
    ) -> Response {
        // The cluster has got a part of a body that turned out to be malformed, and not its end.
        let Some(fault) = self.connection.framing.fault() else {
            return self.failed(decision, why, exchange);
        };
        let response = malformed::refuse(self.connection, self.version, fault);
        let status = response.status().as_u16();
        exchange.report.refused(Refusal::BadUpload, status);
        response
    }

    fn failed(&self, decision: &Decision, why: &Failure, mut exchange: Box<Exchange>) -> Response {
        let id = self.id();
        let observer = &self.connection.service.observer;
        observer.not_passed_on(decision, why, &self.about(&id, false));
        self.refuse(why.refusal(), &id, None, &mut exchange)
    }

    fn refuse(
        &self,
        refusal: Refusal,
        id: &str,
        sign_in: Option<&HeaderValue>,
        exchange: &mut Exchange,
    ) -> Response {
        let service = &self.connection.service;
        let request = self.request.as_ref().ok();
        let response = respond::refuse(
            refusal,
            &RefusalContext {
                protocol: Protocol::Proxy,
                wants_page: request.is_some_and(Request::wants_page),
                sign_in,
                takes_tokens: service.flow.providers.oidc().is_some(),
                request_id: id,
                now: service.clock.now(),
            },
        );
        let status = response.status().as_u16();
        exchange.report.refused(refusal, status);
        response
    }
}
