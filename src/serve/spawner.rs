//! The requests of HTTP/2 connections, each a tracked task.

use super::connection::{Audience, PeerConnection};
use futures_util::FutureExt as _;
use hyper::rt::Executor;
use std::{future::Future, sync::Arc};
use tokio::time::timeout;

/// hyper clones it for every request: one count up.
#[derive(Clone)]
pub(super) struct Spawner(pub(super) Arc<PeerConnection>);

impl<F> Executor<F> for Spawner
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, work: F) {
        // Dropping the work resets its stream.
        let Some(open) = self.0.open_request() else {
            return;
        };
        let Self(connection) = self;
        let (peer, trusted) = (connection.peer, connection.trusted);
        if connection.audience == Audience::Clients {
            let progress = connection.last_progress().take().unwrap_or_default();
            let (interval, least) = (connection.limits.progress, connection.limits.progress_bytes);
            // In a box, so that the task does not have room for it twice.
            let mut work = Box::pin(work);
            connection.tasks.spawn(async move {
                // Bodies take as long as they take, if the client moves them.
                while timeout(interval, work.as_mut()).await.is_err() {
                    if progress.is_stalled(least) {
                        tracing::debug!(%peer, "the client moves no body; reset its stream");
                        break;
                    }
                }
                drop(open);
            });
            return;
        }
        let in_time = connection.limits.decision + connection.peer_limits().write;
        // Combined and not awaited: a block would have room for the work twice.
        connection
            .tasks
            .spawn(timeout(in_time, work).map(move |done| {
                if done.is_err() {
                    // The peer takes frames and opens no window: writing never blocks, and only the
                    // stream can see it.
                    let what = "the peer did not read an answer; reset its stream";
                    tracing::debug!(%peer, trusted, "{what}");
                }
                drop(open);
            }));
    }
}
