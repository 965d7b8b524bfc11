//! The requests of HTTP/2 connections, each a tracked task.

use super::connection::{Audience, PeerConnection};
use futures_util::FutureExt as _;
use hyper::rt::Executor;
use std::{future::Future, sync::Arc, time::Duration};
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
        let in_time = if connection.audience == Audience::Clients {
            // Bodies take as long as they take.
            Duration::MAX
        } else {
            connection.limits.decision + connection.peer_limits().write
        };
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
