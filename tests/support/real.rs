//! Real programs for tests: Elasticsearch, Traefik, identity providers and elastauth itself, each
//! on a free port of the loopback address.
//!
//! What a test starts ends with the test, by its own process handle. A missing part is a failure,
//! never a skip.

#![allow(dead_code, reason = "each test binary uses its own share")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the bans are for the program; a test waits for other programs by the real clock"
)]

pub(crate) mod authelia;
pub(crate) mod browser;
pub(crate) mod elastauth;
pub(crate) mod elasticsearch;
pub(crate) mod gate;
pub(crate) mod guide;
pub(crate) mod http;
pub(crate) mod keycloak;
pub(crate) mod oidc_provider;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod tls;
pub(crate) mod traefik;

pub(crate) use process::free_port;
use std::path::{Path, PathBuf};
use std::task::Poll;

/// A file that `cargo xtask parts` makes.
pub(crate) fn part(name: &str) -> PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("target/parts")
        .join(name);
    assert!(
        path.exists(),
        "{} is missing; `cargo xtask parts` fetches it",
        path.display()
    );
    path
}

/// Drives all of them at once, on this thread.
pub(crate) async fn all_at_once<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut open: Vec<_> = all.map(|one| (Box::pin(one), None)).collect();
    std::future::poll_fn(|context| {
        let mut waiting = false;
        for (future, output) in open.iter_mut().filter(|(_, output)| output.is_none()) {
            match future.as_mut().poll(context) {
                Poll::Ready(value) => *output = Some(value),
                Poll::Pending => waiting = true,
            }
        }
        if waiting {
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    })
    .await;
    open.into_iter().filter_map(|(_, output)| output).collect()
}
