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
pub(super) async fn decide(
    flow: &Flow,
    request: &Result<Request, Distrust>,
    deadline: Duration,
) -> Decision {
    let begun = Instant::now();
    let chosen = request
        .as_ref()
        .map_err(|why| AuthError::Untrusted(why.clone()))
        .and_then(|request| Ok((flow.choose(request)?, request)));
    let (result, chosen) = match chosen {
        Err(why) => (Err(why.into()), None),
        Ok((chosen, request)) => {
            let deciding = timeout(deadline, flow.decide(&chosen, request));
            let result = match caught(deciding).await {
                Some(Ok(result)) => result,
                Some(Err(_elapsed)) => Err(AuthError::Overdue.into()),
                None => Err(AuthError::Crashed.into()),
            };
            (result, Some(chosen))
        }
    };
    Decision {
        result,
        chosen,
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
