//! From a request to a decision: within a deadline, and a panic is a refusal like any other.

use crate::{
    flow::{AuthError, Decision, Flow},
    net::trust::Distrust,
    request::Request,
};
use std::{
    future::{Future, poll_fn},
    panic::{AssertUnwindSafe, catch_unwind},
    pin::pin,
    task::Poll,
    time::Duration,
};
use tokio::time::{Instant, timeout};

/// Decides about the request of a trusted peer, and refuses any other without looking at it.
pub(super) async fn decide<'a>(
    flow: &'a Flow,
    request: &Result<Request, Distrust>,
    deadline: Duration,
) -> Decision<'a> {
    let begun = Instant::now();
    let chosen = request
        .as_ref()
        .map_err(|why| AuthError::Untrusted(why.clone()))
        .and_then(|request| Ok((flow.choose(request)?, request)));
    let cluster = chosen.as_ref().ok().map(|(upstream, _)| upstream.name());
    let result = match chosen {
        Err(why) => Err(why.into()),
        Ok((upstream, request)) => {
            match caught(timeout(deadline, flow.decide(upstream, request))).await {
                Some(Ok(result)) => result,
                Some(Err(_elapsed)) => Err(AuthError::Overdue.into()),
                None => Err(AuthError::Crashed.into()),
            }
        }
    };
    Decision {
        result,
        cluster,
        took: begun.elapsed(),
    }
}

/// Turns a panic of `work` into `None`, so that the gateway gets a 500 and not a cut connection.
/// The panic itself is written by the process's hook.
async fn caught<F: Future>(work: F) -> Option<F::Output> {
    let mut work = pin!(work);
    poll_fn(
        |context| match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(output)) => Poll::Ready(Some(output)),
            // `work` is not polled again.
            Err(_panic) => Poll::Ready(None),
        },
    )
    .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_becomes_none() {
        assert!(caught(async { panic!("a test's panic") }).await.is_none());
        assert_eq!(caught(async { 1 }).await, Some(1));
    }
}
