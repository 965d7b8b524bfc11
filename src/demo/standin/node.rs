//! One node of the stand-in: records each call, and applies the faults that are set.

use super::{
    super::listener::{Answered, Answers, Lock as _},
    answer::{ApiAnswer, Course},
    backend::{Backend, Call},
    calls::{By, Calls, RecordedCall},
    cluster::SERVICE_USER,
    fault::{Faults, Misbehaviour},
};
use crate::shutdown::Tasks;
use http::{HeaderValue, Request, StatusCode, header};
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
    pub(super) backend: Backend,
    pub(super) calls: Mutex<Calls>,
    pub(super) faults: Mutex<Faults>,
    pub(super) stopped: CancellationToken,
    pub(super) tasks: Tasks,
    pub(super) date: Mutex<Option<HeaderValue>>,
}

impl Answers for StandInNode {
    /// No test needs more at once.
    const MAX_CONNECTIONS: usize = 1_024;

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Answered {
        let (head, body) = request.into_parts();
        let path = head.uri.path();
        let who = self.backend.identify(&head.headers, path);
        let by = match who.name() {
            Some(SERVICE_USER) => By::ServiceAccount,
            Some(name) => By::User(name.to_owned()),
            None => By::Nobody,
        };
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

        let (answer, course) = match self.backend.call(&head, who, body).await {
            Err(refusal) => (refusal, Course::Whole),
            Ok(asked) => self.with_faults(call, asked).await?,
        };
        self.calls.held().change(call, |call| {
            call.status = Some(answer.status);
            call.took = Some(call.age());
        });
        let mut response = answer.into_response(course, self.backend.product());
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
        asked: Call,
    ) -> io::Result<(ApiAnswer, Course)> {
        use Misbehaviour as M;
        let Call {
            endpoint,
            users,
            carries_hash,
            context,
            work,
        } = asked;
        let (delay, fault) = self.faults.held().meet(endpoint, &users, carries_hash);
        self.calls.held().change(call, |call| call.met = fault);
        if !delay.is_zero() {
            sleep(delay).await;
        }
        let status = |status| context.status(status);
        let perform = work.perform(fault == Some(M::OldLoginKept));
        let cut = Err(io::ErrorKind::ConnectionReset.into());
        let answer = match fault {
            None | Some(M::Delay(_) | M::HalfBody | M::EndlessBody | M::OldLoginKept) => {
                perform.await
            }
            Some(M::Status(code)) => status(code),
            Some(M::AppliedThen500) => match perform.await {
                done if done.status.is_success() => status(StatusCode::INTERNAL_SERVER_ERROR),
                refusal => refusal,
            },
            Some(M::AppliedThenDelay(time)) => {
                let done = perform.await;
                sleep(time).await;
                done
            }
            Some(M::Hang) => {
                self.stopped.cancelled().await;
                return cut;
            }
            Some(M::CloseBefore) => return cut,
            Some(M::CloseAfter) => {
                perform.await;
                return cut;
            }
            Some(M::Html) => ApiAnswer::html(),
            Some(M::LateWrite(after)) => {
                let stopped = self.stopped.clone();
                // On its own task: a caller that hangs up takes only the waiting with it.
                self.tasks.spawn(async move {
                    if stopped.run_until_cancelled(sleep(after)).await.is_some() {
                        perform.await;
                    }
                });
                self.stopped.cancelled().await;
                return cut;
            }
            Some(M::HashRefused) => ApiAnswer::bad(
                "illegal_argument_exception",
                "The provided password hash is not supported",
            ),
            Some(M::WriteBlocked) => context.blocked(),
            Some(M::SecurityUnavailable) => context.unavailable(),
        };
        let course = match fault {
            Some(M::HalfBody) => Course::Half,
            Some(M::EndlessBody) => Course::Endless,
            _ => Course::Whole,
        };
        Ok((answer, course))
    }
}

/// A call for as long as it is there, however it ends.
struct Open<'a>(&'a Mutex<Calls>);

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.held().open -= 1;
    }
}
