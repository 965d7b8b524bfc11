//! A gateway's question and its answer.

use super::{
    Connection,
    log::{self, Refused},
};
use crate::{
    flow::{AuthError, Grant},
    model::{Group, RequestFacts, Role, Username},
    net::trust::{Distrust, TrustedPeer},
    outcome::{Outcome, Refusal},
    respond::{self, Context, Form, Line, Protocol, Response},
    telemetry::{
        audit::{Event, Kind},
        chain,
        metrics::Provider,
        traces::{Active, Decided},
    },
};
use aws_lc_rs::rand;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, request::Parts};
use std::{
    error::Error,
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    task::Poll,
};
use tokio::time::{Instant, timeout};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// Bounds on what a line of the log repeats of a request; with the escapes it stays a few KB.
const MOST_METHOD_BYTES: usize = 32;
const MOST_HOST_BYTES: usize = 255;
const MOST_URI_BYTES: usize = 512;
/// The longest request id that is taken over. A UUID has 36; tracing headers stay below it.
const MOST_REQUEST_ID_BYTES: usize = 128;

/// Answers a question. Method, path and query of the question decide nothing, and its body is not
/// looked at: in front of some gateways the client writes them.
pub(super) async fn decide(
    connection: &Connection,
    request: Parts,
    protocol: Protocol,
) -> Response {
    let begun = Instant::now();
    let service = &connection.service;
    let admitted = service
        .trust
        .load()
        .admit(connection.peer, &request.headers);
    let judged = match service
        .traces
        .begin(admitted.is_ok().then_some(&request.headers))
    {
        None => judge(connection, request, protocol, admitted, None).await,
        Some(span) => traced(connection, request, protocol, admitted, span).await,
    };
    service
        .metrics
        .decided(judged.outcome(), judged.provider, begun.elapsed());
    judged.response
}

/// The same as a span. On the heap, so that whoever records nothing does not carry the room for it.
fn traced<'a>(
    connection: &'a Connection,
    request: Parts,
    protocol: Protocol,
    admitted: Result<TrustedPeer, Distrust>,
    mut span: Active,
) -> Pin<Box<dyn Future<Output = Judged> + Send + 'a>> {
    Box::pin(async move {
        let (method, here) = (request.method.clone(), span.here());
        let judged = here
            .within(judge(
                connection,
                request,
                protocol,
                admitted,
                Some(&mut span),
            ))
            .await;
        span.decided(&Decided {
            method,
            route: protocol.path(),
            peer: connection.peer,
            status: judged.response.status().as_u16(),
            outcome: judged.outcome(),
            code: judged.refusal.map(|refusal| Line::of(refusal).code),
            provider: judged.provider,
        });
        judged
    })
}

/// An answer, and how it came about.
struct Judged {
    response: Response,
    /// Why there is no login; `None` where there is one.
    refusal: Option<Refusal>,
    provider: Provider,
}

impl Judged {
    fn outcome(&self) -> Outcome {
        self.refusal.map_or(Outcome::Granted, Outcome::Refused)
    }
}

async fn judge(
    connection: &Connection,
    request: Parts,
    protocol: Protocol,
    admitted: Result<TrustedPeer, Distrust>,
    mut span: Option<&mut Active>,
) -> Judged {
    let peer = match admitted {
        Ok(peer) => peer,
        Err(why) => {
            let response = stranger(connection, why, protocol, span.as_deref());
            return Judged {
                response,
                refusal: Some(why.into()),
                provider: Provider::None,
            };
        }
    };
    let Parts {
        method,
        uri,
        headers,
        ..
    } = request;
    let facts = RequestFacts {
        peer: peer.ip(),
        headers,
    };
    let deadline = connection.limits.decision;
    let (user, provider, why) =
        match caught(timeout(deadline, connection.service.flow.decide(&facts))).await {
            Ok(Ok(Ok(grant))) => {
                if let Some(span) = span {
                    span.is_of(grant.identity().user().as_str());
                }
                let provider = grant.identity().provider().kind();
                return Judged {
                    response: granted(connection, &facts, &grant),
                    refusal: None,
                    provider,
                };
            }
            Ok(Ok(Err(refused))) => (refused.user, refused.provider, Why::Refused(refused.why)),
            Ok(Err(_elapsed)) => (None, Provider::None, Why::Overdue),
            Err(Crashed) => (None, Provider::None, Why::Crashed),
        };
    if let (Some(span), Some(user)) = (span.as_deref_mut(), &user) {
        span.is_of(user.as_str());
    }
    let asked = Asked::of(&facts.headers, protocol, &method, &uri);
    let refusal = why.refusal();
    let request_id = taken_over(&facts.headers).unwrap_or_else(random_id);
    let trace_id = span.map(|span| span.trace_id());
    let turned_away = TurnedAway {
        refusal,
        protocol,
        form: Form::wanted(&facts.headers),
        request_id: &request_id,
        trace_id: trace_id.as_deref(),
        user: user.as_ref().map(Username::as_str),
        provider,
        asked: Some(&asked),
        error: &why,
    };
    Judged {
        response: turn_away(connection, &turned_away),
        refusal: Some(refusal),
        provider,
    }
}

fn granted(connection: &Connection, facts: &RequestFacts, grant: &Grant) -> Response {
    tracing::debug!(user = grant.identity().user().as_str(), peer = %connection.peer, "granted");
    if connection.service.audit.wants_all_grants() {
        audit_grant(connection, facts, grant);
    }
    respond::grant(grant, &connection.service.identity_headers)
}

fn audit_grant(connection: &Connection, facts: &RequestFacts, grant: &Grant) {
    let identity = grant.identity();
    let asked = Asked::of(
        &facts.headers,
        Protocol::ForwardAuth,
        &Method::GET,
        &Uri::default(),
    );
    connection.service.audit.tell(&Event {
        user: Some(identity.user().as_str()),
        provider: Some(identity.provider().name()),
        groups: identity.groups().iter().map(Group::as_str).collect(),
        roles: grant.roles().iter().map(Role::as_str).collect(),
        peer: Some(connection.peer),
        host: asked.host.as_deref(),
        uri: asked.uri.as_deref(),
        request_id: taken_over(&facts.headers).as_deref(),
        ..Event::new(Kind::Granted)
    });
}

/// Why a believed peer gets no login.
#[derive(Debug, thiserror::Error)]
enum Why {
    #[error(transparent)]
    Refused(AuthError),
    #[error("the decision took too long")]
    Overdue,
    #[error("the decision crashed")]
    Crashed,
}

impl Why {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Refused(why) => Refusal::from(why),
            Self::Overdue => Refusal::Overdue,
            Self::Crashed => Refusal::Bug,
        }
    }
}

/// A peer that is not believed is answered before anything that it sends is looked at.
fn stranger(
    connection: &Connection,
    why: Distrust,
    protocol: Protocol,
    span: Option<&Active>,
) -> Response {
    let trace_id = span.map(Active::trace_id);
    let turned_away = TurnedAway {
        refusal: Refusal::from(why),
        protocol,
        form: Form::Json,
        request_id: &random_id(),
        trace_id: trace_id.as_deref(),
        user: None,
        provider: Provider::None,
        asked: None,
        error: &why,
    };
    turn_away(connection, &turned_away)
}

struct TurnedAway<'a> {
    refusal: Refusal,
    protocol: Protocol,
    form: Form,
    request_id: &'a str,
    trace_id: Option<&'a str>,
    user: Option<&'a str>,
    provider: Provider,
    asked: Option<&'a Asked>,
    error: &'a (dyn Error + 'static),
}

/// The one place where a refusal is logged and answered.
fn turn_away(connection: &Connection, away: &TurnedAway<'_>) -> Response {
    let &TurnedAway {
        refusal,
        protocol,
        form,
        request_id,
        trace_id,
        user,
        asked,
        error,
        ..
    } = away;
    let service = &connection.service;
    let status = Line::of(refusal).status_for(protocol).as_u16();
    let line = Refused {
        refusal,
        status,
        peer: connection.peer,
        user,
        request_id,
        trace_id,
        asked,
        error,
    };
    if let Some(suppressed) = service.lines.refused(&line, &service.metrics)
        && service.audit.is_on()
        && is_about_somebody(refusal)
    {
        audit_refusal(connection, away, suppressed);
    }
    let tokens = service.flow.providers().oidc().is_some();
    let mut response = respond::refuse(
        refusal,
        &Context {
            protocol,
            form,
            tokens,
            request_id,
            now: service.clock.now(),
        },
    );
    // nginx passes on no body, and this header only where it is told to; everybody else sees it
    // beside the body.
    if let Ok(id) = HeaderValue::from_str(request_id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

/// Whether a refusal is a verdict on somebody, and not one on a gateway or the weather: that is
/// what the audit stream is for.
fn is_about_somebody(refusal: Refusal) -> bool {
    match refusal {
        Refusal::Malformed
        | Refusal::TokenRefused
        | Refusal::TokenOutdated
        | Refusal::TokenClaims
        | Refusal::ImpossibleName
        | Refusal::GroupNotAllowed
        | Refusal::NoRole
        | Refusal::ReservedName
        | Refusal::Disabled
        | Refusal::ForeignUser
        | Refusal::WriteBudget => true,
        Refusal::UntrustedPeer
        | Refusal::GatewayKey
        | Refusal::NobodyAsks
        | Refusal::IdentityProvider
        | Refusal::NewUsers
        | Refusal::ServiceAccount
        | Refusal::Cluster
        | Refusal::Late
        | Refusal::Busy
        | Refusal::Overdue
        | Refusal::Bug => false,
    }
}

fn audit_refusal(connection: &Connection, away: &TurnedAway<'_>, suppressed: u64) {
    connection.service.audit.tell(&Event {
        user: away.user,
        provider: away.provider.name(),
        reason: Some(&chain(away.error)),
        outcome: Some(away.refusal.name()),
        peer: Some(connection.peer),
        host: away.asked.and_then(|asked| asked.host.as_deref()),
        uri: away.asked.and_then(|asked| asked.uri.as_deref()),
        request_id: Some(away.request_id),
        suppressed: (suppressed > 0).then_some(suppressed),
        ..Event::new(Kind::Refused)
    });
}

/// What the client asked of the gateway, as far as a believed gateway tells. For the log alone.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Option<String>,
    pub(super) host: Option<String>,
    /// Without its query, which may hold a token.
    pub(super) uri: Option<String>,
}

impl Asked {
    fn of(headers: &HeaderMap, protocol: Protocol, method: &Method, uri: &Uri) -> Self {
        // Envoy sends no X-Forwarded-Method and -Uri of its own: there the question's are the
        // client's.
        let own = protocol == Protocol::ExtAuthz;
        let path = headers
            .get(FORWARDED_URI)
            .map(http::HeaderValue::as_bytes)
            .or_else(|| own.then_some(uri.path().as_bytes()));
        Self {
            method: log::excerpt(headers, &FORWARDED_METHOD, MOST_METHOD_BYTES).or_else(|| {
                own.then(|| log::bounded(method.as_str().as_bytes(), MOST_METHOD_BYTES))
            }),
            host: log::excerpt(headers, &FORWARDED_HOST, MOST_HOST_BYTES),
            uri: path
                .and_then(|path| path.split(|byte| *byte == b'?').next())
                .map(|path| log::bounded(path, MOST_URI_BYTES)),
        }
    }
}

fn taken_over(headers: &HeaderMap) -> Option<String> {
    let id = headers.get(REQUEST_ID)?.as_bytes();
    let fits =
        (1..=MOST_REQUEST_ID_BYTES).contains(&id.len()) && id.iter().all(u8::is_ascii_graphic);
    fits.then(|| String::from_utf8_lossy(id).into_owned())
}

/// Sixteen hex digits. A system without randomness gives zeros: the id only finds a line in a log.
fn random_id() -> String {
    let mut bytes = [0_u8; 8];
    let _zeros_are_good_enough = rand::fill(&mut bytes);
    format!("{:016x}", u64::from_be_bytes(bytes))
}

/// The work has panicked.
struct Crashed;

/// Turns a panic of `work` into a value, so that the gateway gets a 500 and not a cut connection.
/// The panic itself is written by the process's hook.
async fn caught<F: Future>(work: F) -> Result<F::Output, Crashed> {
    let mut work = pin!(work);
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
            // `work` is not polled again.
            Err(_panic) => Poll::Ready(Err(Crashed)),
        },
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn headers(pairs: &[(&HeaderName, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).clone(), HeaderValue::from_str(value).unwrap()))
            .collect()
    }

    #[tokio::test]
    async fn a_panic_becomes_a_value() {
        assert!(caught(async { panic!("a test's panic") }).await.is_err());
        assert_eq!(caught(async { 1 }).await.ok(), Some(1));
    }

    #[test]
    fn the_query_of_what_was_asked_is_left_out_and_the_rest_bounded() {
        let long = "/".repeat(10_000);
        let asked = |uri: &str| {
            Asked::of(
                &headers(&[(&FORWARDED_URI, uri)]),
                Protocol::ForwardAuth,
                &Method::GET,
                &Uri::from_static("/elastauth"),
            )
        };
        assert_eq!(asked("/app?token=secret").uri.as_deref(), Some("/app"));
        assert_eq!(asked(&long).uri.map(|uri| uri.len()), Some(MOST_URI_BYTES));
    }

    #[test]
    fn envoys_question_itself_tells_what_was_asked() {
        let uri = Uri::from_static("/elastauth/ext-authz/app?x=1");
        let asked = Asked::of(&HeaderMap::new(), Protocol::ExtAuthz, &Method::DELETE, &uri);
        assert_eq!(
            (asked.method.as_deref(), asked.uri.as_deref()),
            (Some("DELETE"), Some("/elastauth/ext-authz/app"))
        );
        let asked = Asked::of(
            &HeaderMap::new(),
            Protocol::ForwardAuth,
            &Method::DELETE,
            &uri,
        );
        assert_eq!((asked.method, asked.uri), (None, None));
    }

    #[test]
    fn a_request_id_is_taken_over_if_it_is_one() {
        let taken = |id: &str| taken_over(&headers(&[(&REQUEST_ID, id)]));
        assert_eq!(
            taken("0af7651916cd43dd"),
            Some("0af7651916cd43dd".to_owned())
        );
        for bad in ["", "a b", &"x".repeat(129)] {
            assert_eq!(taken(bad), None);
        }
        let (one, other) = (random_id(), random_id());
        assert!(one.len() == 16 && one != other);
    }
}
