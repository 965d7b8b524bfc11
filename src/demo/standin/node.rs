//! One node of the stand-in: records each call, and applies the faults that are set.

use super::{
    super::listener::{Answered, Answers, Lock as _},
    answer::{ApiAnswer, Course},
    api::Caller,
    calls::{By, Calls, RecordedCall},
    cluster::{Cluster, SERVICE_USER},
    fault::{Endpoint, Faults, Misbehaviour, envelope},
    route::ApiCall,
};
use crate::shutdown::Tasks;
use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, header, request::Parts};
use http_body_util::{BodyExt as _, Limited};
use hyper::body::Incoming;
use std::{
    io,
    sync::{Arc, Mutex},
};
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;

/// What a node has for itself; the users are the cluster's.
#[derive(Debug)]
pub(super) struct StandInNode {
    pub(super) cluster: Arc<Cluster>,
    pub(super) calls: Mutex<Calls>,
    pub(super) faults: Mutex<Faults>,
    pub(super) stopped: CancellationToken,
    pub(super) tasks: Tasks,
    pub(super) date: Mutex<Option<HeaderValue>>,
}

/// A user is a few hundred bytes. A real cluster takes 100 MB.
const MAX_BODY: usize = 1024 * 1024;
/// Elasticsearch's own limits.
const MAX_HEADERS: usize = 16_384;
const MAX_LINE: usize = 4_096;

impl Answers for StandInNode {
    /// No test needs more at once.
    const MAX_CONNECTIONS: usize = 1_024;

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answered {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let caller = self.cluster.identify(&head.headers, path);
        let by = match &caller {
            Ok(caller) if caller.name() == SERVICE_USER => By::ServiceAccount,
            Ok(caller) => By::User(caller.name().to_owned()),
            Err(_) => By::Nobody,
        };
        let service = by == By::ServiceAccount;
        let target = head.uri.path_and_query();
        // Written down as soon as it is here: a test that says "nothing reached the cluster" means
        // this.
        let call = self.calls.held().begin(RecordedCall {
            number: 0,
            method: head.method.clone(),
            path: target.map_or(path, |whole| whole.as_str()).to_owned(),
            by,
            status: None,
            took: None,
            through_gateway: head.headers.contains_key(header::VIA),
            met: None,
            began: Instant::now(),
        });
        let _open = Open(&self.calls);

        let (answer, course) = match read(&head, body).await {
            Err(refusal) => (refusal, Course::Whole),
            Ok((api_call, body)) => {
                self.with_faults(call, api_call, caller, body, service, path)
                    .await?
            }
        };
        self.calls.held().change(call, |call| {
            call.status = Some(answer.status);
            call.took = Some(call.age());
        });
        let mut response = answer.into_response(course);
        if let Some(date) = &*self.date.held() {
            response.headers_mut().insert(header::DATE, date.clone());
        }
        Ok(response)
    }
}

impl StandInNode {
    async fn with_faults(
        self: &Arc<Self>,
        call: u64,
        api_call: ApiCall,
        caller: Result<Caller, ApiAnswer>,
        body: Bytes,
        service: bool,
        path: &str,
    ) -> io::Result<(ApiAnswer, Course)> {
        use Misbehaviour as M;
        let carries_hash = matches!(api_call, ApiCall::Write(_))
            && String::from_utf8_lossy(&body).contains("\"password_hash\"");
        let at = match api_call.facts().0 {
            Some(Endpoint::Authenticate) if service => Some(Endpoint::Check),
            at => at,
        };
        let (delay, fault) = (self.faults.held()).meet(at, api_call.user(), carries_hash);
        self.calls.held().change(call, |call| call.met = fault);
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let (name, by_key) = match &caller {
            Ok(caller) => (caller.name().to_owned(), caller.by_key),
            Err(_) => (String::new(), false),
        };
        let status = |status| envelope(status, &name, path);
        let cluster = Arc::clone(&self.cluster);
        let perform = move || {
            caller
                .and_then(|caller| cluster.perform(&api_call, &caller, &body))
                .unwrap_or_else(|refusal| refusal)
        };
        let cut = Err(io::ErrorKind::ConnectionReset.into());
        let answer = match fault {
            None | Some(M::Delay(_) | M::HalfBody | M::EndlessBody) => perform(),
            Some(M::Status(code)) => status(code),
            Some(M::AppliedThen500) => match perform() {
                done if done.status.is_success() => status(StatusCode::INTERNAL_SERVER_ERROR),
                refusal => refusal,
            },
            Some(M::AppliedThenDelay(time)) => {
                let done = perform();
                sleep(time).await;
                done
            }
            Some(M::Hang) => {
                self.stopped.cancelled().await;
                return cut;
            }
            Some(M::CloseBefore) => return cut,
            Some(M::CloseAfter) => {
                perform();
                return cut;
            }
            Some(M::Html) => ApiAnswer::html(),
            Some(M::LateWrite(after)) => {
                let stopped = self.stopped.clone();
                // On its own task: a caller that hangs up takes only the waiting with it.
                self.tasks.spawn(async move {
                    if stopped.run_until_cancelled(sleep(after)).await.is_some() {
                        perform();
                    }
                });
                self.stopped.cancelled().await;
                return cut;
            }
            Some(M::HashRefused) => ApiAnswer::bad(
                "illegal_argument_exception",
                "The provided password hash is not supported",
            ),
            Some(M::WriteBlocked) => ApiAnswer::error(
                StatusCode::FORBIDDEN,
                "cluster_block_exception",
                "index [.security-7] blocked by: [FORBIDDEN/8/index write (api)];",
            ),
            // As the reserved `elastic` on a real cluster; the service account takes its part.
            Some(M::SecurityUnavailable) if service && !by_key => ApiAnswer::error(
                StatusCode::SERVICE_UNAVAILABLE,
                "authentication_processing_error",
                &format!("failed to retrieve password hash for reserved user [{name}]"),
            ),
            Some(M::SecurityUnavailable) => status(StatusCode::UNAUTHORIZED),
        };
        let course = match fault {
            Some(M::HalfBody) => Course::Half,
            Some(M::EndlessBody) => Course::Endless,
            _ => Course::Whole,
        };
        Ok((answer, course))
    }
}

/// What is refused before anybody asks who is calling, and the body.
async fn read(head: &Parts, body: Incoming) -> Result<(ApiCall, Bytes), ApiAnswer> {
    let sizes = head.headers.iter();
    let size: usize = sizes
        .map(|(name, value)| name.as_str().len() + value.len() + 4)
        .sum();
    if size > MAX_HEADERS {
        return Err(ApiAnswer::bad(
            "too_long_http_header_exception",
            "HTTP header is larger than 16384 bytes.",
        ));
    }
    if head.uri.to_string().len() > MAX_LINE {
        return Err(ApiAnswer::bad(
            "too_long_http_line_exception",
            "An HTTP line is larger than 4096 bytes.",
        ));
    }
    let call = ApiCall::of(&head.method, &head.uri)?;
    let body = Limited::new(body, MAX_BODY).collect().await;
    let body = body.map_err(|_| ApiAnswer::too_large())?.to_bytes();
    let content_type = head.headers.get(header::CONTENT_TYPE);
    let content_type = content_type
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default();
    let kind = content_type.split(';').next().unwrap_or_default().trim();
    if !body.is_empty()
        && kind != "application/json"
        && !kind.starts_with("application/vnd.elasticsearch+json")
    {
        return Err(ApiAnswer::bare(
            StatusCode::NOT_ACCEPTABLE,
            &format!("Content-Type header [{content_type}] is not supported"),
        ));
    }
    Ok((call, body))
}

/// A call for as long as it is there, however it ends.
struct Open<'a>(&'a Mutex<Calls>);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.held().open -= 1;
    }
}
