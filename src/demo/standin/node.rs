//! One listener of the stand-in: takes connections, records each call, and applies the faults that are
//! set.

use super::{
    answer::{Answer, AnswerBody, Course},
    api::Caller,
    calls::{By, Calls},
    cluster::{Cluster, Lock as _, SERVICE_USER},
    fault::{Effect, Faults, Misbehaviour, envelope},
    route::Route,
};
use crate::shutdown::Tasks;
use bytes::Bytes;
use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Limited};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::{io, sync::Arc, sync::Mutex, time::Duration};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::Semaphore,
};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;

/// What a listener has for itself; the users are the cluster's.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) cluster: Arc<Cluster>,
    pub(super) calls: Mutex<Calls>,
    pub(super) faults: Mutex<Faults>,
    pub(super) stopped: CancellationToken,
    pub(super) tasks: Tasks,
    pub(super) date: Mutex<Option<HeaderValue>>,
}

/// No test needs more at once; beyond it connections wait in the system's queue.
const MAX_CONNECTIONS: usize = 1_024;
/// A user is a few hundred bytes. A real cluster takes 100 MB.
const MAX_BODY: usize = 1024 * 1024;
/// Elasticsearch's own limits.
const MAX_HEADERS: usize = 16_384;
const MAX_LINE: usize = 4_096;

pub(super) async fn accept(listener: TcpListener, tls: Option<TlsAcceptor>, node: Arc<Node>) {
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return;
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = node.end() => return,
        };
        // What fails here is one connection, or a shortage that passes.
        let Ok((stream, _)) = accepted else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let _slower_without = stream.set_nodelay(true);
        let (node, tls, tasks) = (Arc::clone(&node), tls.clone(), node.tasks.clone());
        tasks.spawn(async move {
            let _place = place;
            let served = async {
                match tls {
                    None => serve(stream, &node).await,
                    Some(tls) => {
                        if let Ok(stream) = tls.accept(stream).await {
                            serve(stream, &node).await;
                        }
                    }
                }
            };
            tokio::select! {
                () = served => {}
                () = node.end() => {}
            }
        });
    }
}

async fn serve(stream: impl AsyncRead + AsyncWrite + Unpin, node: &Arc<Node>) {
    let service = service_fn(|request| Arc::clone(node).answer(request));
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        // Also the time for which an idle connection is kept.
        .header_read_timeout(Duration::from_mins(1))
        .max_headers(512)
        // As with the real one.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // A hang-up, or one of our own faults: both are meant.
    drop(served);
}

impl Node {
    /// Resolves when this node, or the program, comes to its end.
    async fn end(&self) {
        tokio::select! {
            () = self.stopped.cancelled() => {}
            () = self.tasks.ending() => {}
        }
    }

    /// An error cuts the connection without an answer.
    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<AnswerBody>, io::Error> {
        let (head, body) = request.into_parts();
        let path = head.uri.path().to_owned();
        let caller = self.cluster.identify(&head.headers, &path);
        let by = match &caller {
            Ok(caller) if caller.name() == SERVICE_USER => By::ServiceAccount,
            Ok(caller) => By::User(caller.name().to_owned()),
            Err(_) => By::Nobody,
        };
        // Written down as soon as it is here: a test that says "nothing reached the cluster" means
        // this.
        let target = head
            .uri
            .path_and_query()
            .map_or(path.as_str(), |whole| whole.as_str());
        let through_gateway = head.headers.contains_key(header::VIA);
        let call = self
            .calls
            .held()
            .begin(&head.method, target, by.clone(), through_gateway);
        let _open = Open(&self.calls);

        let (answer, course) = match Self::taken(&head, body).await {
            Err(refusal) => (refusal, Course::Whole),
            Ok((route, body)) => {
                self.with_faults(call, route, caller, body, &by, &path)
                    .await?
            }
        };
        self.calls.held().end(call, answer.status);
        let mut response = answer.into_response(course);
        if let Some(date) = &*self.date.held() {
            response.headers_mut().insert(header::DATE, date.clone());
        }
        Ok(response)
    }

    /// What is refused before anybody asks who is calling, and the body.
    async fn taken(head: &http::request::Parts, body: Incoming) -> Result<(Route, Bytes), Answer> {
        let size: usize = head
            .headers
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len() + 4)
            .sum();
        if size > MAX_HEADERS {
            return Err(Answer::bad(
                "too_long_http_header_exception",
                "HTTP header is larger than 16384 bytes.",
            ));
        }
        if head.uri.to_string().len() > MAX_LINE {
            return Err(Answer::bad(
                "too_long_http_line_exception",
                "An HTTP line is larger than 4096 bytes.",
            ));
        }
        let route = Route::of(&head.method, &head.uri)?;
        let body = Limited::new(body, MAX_BODY)
            .collect()
            .await
            .map_err(|_| Answer::too_large())?
            .to_bytes();
        let content_type = head
            .headers
            .get(header::CONTENT_TYPE)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let kind = content_type.split(';').next().unwrap_or_default().trim();
        if !body.is_empty()
            && kind != "application/json"
            && !kind.starts_with("application/vnd.elasticsearch+json")
        {
            return Err(Answer::bare(
                StatusCode::NOT_ACCEPTABLE,
                &format!("Content-Type header [{content_type}] is not supported"),
            ));
        }
        Ok((route, body))
    }

    async fn with_faults(
        self: &Arc<Self>,
        call: u64,
        route: Route,
        caller: Result<Caller, Answer>,
        body: Bytes,
        by: &By,
        path: &str,
    ) -> Result<(Answer, Course), io::Error> {
        use Misbehaviour as M;
        let service = *by == By::ServiceAccount;
        let carries_hash =
            matches!(route, Route::Write(_)) && contains(&body, b"\"password_hash\"");
        let Effect { delay, fault } = {
            let mut faults = self.faults.held();
            let effect = faults.meet(route.endpoint(service), route.user(), carries_hash);
            self.calls.held().met(call, effect.fault);
            effect
        };
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let name = caller.as_ref().map_or("", Caller::name).to_owned();
        let like_reserved = service && !matches!(caller, Ok(Caller::ApiKey));
        let cluster = Arc::clone(&self.cluster);
        let perform = move || match caller {
            Ok(caller) => cluster.perform(&route, &caller, &body),
            Err(refusal) => refusal,
        };
        let cut = || io::Error::from(io::ErrorKind::ConnectionReset);
        Ok(match fault {
            None | Some(M::Delay(_)) => (perform(), Course::Whole),
            Some(M::Status(status)) => (envelope(status, &name, path), Course::Whole),
            Some(M::AppliedThen500) => match perform() {
                done if done.status.is_success() => (
                    envelope(StatusCode::INTERNAL_SERVER_ERROR, &name, path),
                    Course::Whole,
                ),
                refusal => (refusal, Course::Whole),
            },
            Some(M::AppliedThenDelay(time)) => {
                let done = perform();
                tokio::time::sleep(time).await;
                (done, Course::Whole)
            }
            Some(M::Hang) => {
                self.end().await;
                return Err(cut());
            }
            Some(M::CloseBefore) => return Err(cut()),
            Some(M::CloseAfter) => {
                drop(perform());
                return Err(cut());
            }
            Some(M::Html) => (Answer::html(), Course::Whole),
            Some(M::HalfBody) => (perform(), Course::Half),
            Some(M::EndlessBody) => (perform(), Course::Endless),
            Some(M::LateWrite(after)) => {
                let node = Arc::clone(self);
                // On its own task: a caller that hangs up takes only the waiting with it.
                self.tasks.spawn(async move {
                    tokio::select! {
                        () = tokio::time::sleep(after) => drop(perform()),
                        () = node.end() => {}
                    }
                });
                self.end().await;
                return Err(cut());
            }
            Some(M::HashRefused) => (
                Answer::bad(
                    "illegal_argument_exception",
                    "The provided password hash is not supported",
                ),
                Course::Whole,
            ),
            Some(M::SecurityUnavailable) if like_reserved => (unavailable(&name), Course::Whole),
            Some(M::SecurityUnavailable) => (
                envelope(StatusCode::UNAUTHORIZED, &name, path),
                Course::Whole,
            ),
        })
    }
}

/// A call for as long as it is there, however it ends.
struct Open<'a>(&'a Mutex<Calls>);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.held().close();
    }
}

/// What the reserved `elastic` gets while `.security` is not there; the service account stands for
/// it.
fn unavailable(name: &str) -> Answer {
    let reason = format!("failed to retrieve password hash for reserved user [{name}]");
    Answer::error(
        StatusCode::SERVICE_UNAVAILABLE,
        "authentication_processing_error",
        &reason,
    )
}

fn contains(body: &[u8], needle: &[u8]) -> bool {
    body.windows(needle.len()).any(|window| window == needle)
}
