//! The demonstration: a gateway, elastauth and stand-ins for two clusters on one machine, on real
//! sockets, with a report of each step.
//!
//! `elastauth demo` serves a page and prints commands to paste until Ctrl-C; `elastauth demo
//! --once` takes the tour by itself and reports whether each step did what it should. Only `cli` knows of
//! this module.

mod clusters;
mod error;
mod gateway;
mod listener;
mod people;
mod settings;
mod site;
pub(crate) mod standin;
#[cfg(test)]
mod tests;
mod tour;

use crate::{app::App, shutdown::Tasks};
use clusters::DemoClusters;
pub(crate) use error::DemoError;
use site::Stage;
use std::{
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

/// Serves the page at `listen`, or a free port of the loopback address, until Ctrl-C; or takes the
/// tour `once`.
///
/// # Errors
/// When something cannot start, or a step of the tour failed.
pub(crate) async fn run(once: bool, listen: Option<SocketAddr>) -> Result<(), DemoError> {
    let tasks = Tasks::default();
    let shown = show(once, listen, &tasks, &mut io::stdout()).await;
    tasks.end();
    // Nothing that is left is worth waiting for longer.
    tasks.drained(Duration::from_secs(2)).await;
    shown
}

async fn show(
    once: bool,
    listen: Option<SocketAddr>,
    tasks: &Tasks,
    out: &mut (dyn Write + Send),
) -> Result<(), DemoError> {
    let clusters = DemoClusters::start(tasks).await;
    let clusters = clusters.map_err(DemoError::Listen)?;
    let elastauth = start_elastauth(&clusters, tasks)?;
    let stage = Stage::open(listen, elastauth, clusters, tasks).await;
    let mut stage = stage.map_err(DemoError::Listen)?;
    if once {
        return tour::take(&mut stage, out).await;
    }
    tour::invite(&stage, out)?;
    tokio::select! {
        ended = tour::follow(&mut stage, out) => ended,
        _ = tokio::signal::ctrl_c() => {
            writeln!(out, "\nEverything is gone again: nothing was written to disk.")?;
            Ok(())
        }
    }
}

/// elastauth as it is shipped, set up in code instead of by a file; it drains when the
/// demonstration ends.
fn start_elastauth(clusters: &DemoClusters, tasks: &Tasks) -> Result<SocketAddr, DemoError> {
    let app =
        App::start(settings::of(clusters)?).map_err(|error| DemoError::Start(error.into()))?;
    let addr = app.addr().ok_or(DemoError::Address)?;
    let ending = tasks.clone();
    tasks.spawn(app.run_until(async move { ending.ending().await }));
    Ok(addr)
}
