//! What tests use: the program as it is shipped, clients, and the other parties, each on a free
//! port of the loopback address.
//!
//! What a test starts ends with the test, by its own process handle. A missing part is a failure,
//! never a skip.

#![allow(
    dead_code,
    unused_imports,
    reason = "each test binary uses its own share"
)]

pub(crate) mod authelia;
pub(crate) mod collector;
pub(crate) mod deployment;
pub(crate) mod elastauth;
pub(crate) mod frames;
pub(crate) mod guide;
pub(crate) mod http;
pub(crate) mod idp;
pub(crate) mod multiplexed;
pub(crate) mod oauth2_proxy;
pub(crate) mod page;
pub(crate) mod ports;
pub(crate) mod process;
pub(crate) mod relay;
pub(crate) mod request;
pub(crate) mod stage;
pub(crate) mod tls;
pub(crate) mod wait;

#[cfg(feature = "real-parts")]
pub(crate) mod browser;
#[cfg(feature = "real-parts")]
pub(crate) mod elasticsearch;
#[cfg(feature = "real-parts")]
pub(crate) mod gate;
#[cfg(feature = "real-parts")]
pub(crate) mod keycloak;
#[cfg(feature = "real-parts")]
pub(crate) mod lossy;
#[cfg(feature = "real-parts")]
pub(crate) mod oidc_provider;
#[cfg(feature = "real-parts")]
pub(crate) mod opensearch;
#[cfg(feature = "real-parts")]
pub(crate) mod redis;
#[cfg(feature = "real-parts")]
pub(crate) mod sentinel;
#[cfg(feature = "real-parts")]
pub(crate) mod traefik;
#[cfg(feature = "real-parts")]
pub(crate) mod two_nodes;

pub(crate) use ports::free_port;
use std::{
    path::{Path, PathBuf},
    task::Poll,
};
pub(crate) use wait::{Why, find, pause, pause_until, until};

/// A new folder, deep in which the files of sockets have room: their addresses have 108 bytes, and
/// `TMPDIR` may be longer.
pub(crate) fn folder_for_sockets() -> tempfile::TempDir {
    const LONGEST: usize = 70;
    let standard = std::env::temp_dir();
    let folder = if standard.as_os_str().len() <= LONGEST {
        standard
    } else {
        "/tmp".into()
    };
    tempfile::tempdir_in(folder).expect("a folder")
}

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
