//! The demonstration: a gateway, elastauth and stand-ins for two clusters on one machine, on real
//! sockets, with a report of each step.
//!
//! `elastauth demo` serves a page and prints commands to paste until Ctrl-C; `elastauth demo
//! --once` takes the tour by itself and reports whether each step did what it should. With
//! `--proxy` elastauth is alone in front of the clusters, and there is no gateway and no page. Only
//! `cli` knows of this module.

mod alone;
mod clusters;
mod error;
mod gateway;
mod issuer;
mod listener;
mod people;
mod settings;
mod site;
pub(crate) mod standin;
#[cfg(test)]
mod tests;
mod tour;

use crate::{app::App, config::Config, shutdown::Tasks, telemetry::access_log::Format};
use alone::Alone;
use clusters::DemoClusters;
pub(crate) use error::DemoError;
use issuer::Issuer;
use site::Stage;
use std::{
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

/// How elastauth is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// Behind a gateway that asks it.
    AuthOnly,
    /// Alone in front of the clusters.
    Proxy,
}

/// Serves the page at `listen`, or a free port of the loopback address, until Ctrl-C; or takes the
/// tour `once`. In proxy mode elastauth itself is at `listen`.
///
/// # Errors
/// When something cannot start, or a step of the tour failed.
pub(crate) async fn run(
    mode: Mode,
    once: bool,
    listen: Option<SocketAddr>,
) -> Result<(), DemoError> {
    let tasks = Tasks::default();
    let out = &mut io::stdout();
    let shown = match mode {
        Mode::AuthOnly => show(once, listen, &tasks, out).await,
        Mode::Proxy => show_alone(once, listen, &tasks, out).await,
    };
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
    let elastauth = start_elastauth(settings::behind_a_gateway(&clusters)?, tasks)?;
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

async fn show_alone(
    once: bool,
    listen: Option<SocketAddr>,
    tasks: &Tasks,
    out: &mut (dyn Write + Send),
) -> Result<(), DemoError> {
    let clusters = DemoClusters::start(tasks).await;
    let clusters = clusters.map_err(DemoError::Listen)?;
    let (issuer, keys) = Issuer::start(tasks).await.map_err(DemoError::Listen)?;
    // Beside the commands to paste, the lines of the access log say what happens.
    let access_log = if once { Format::Off } else { Format::Text };
    let config = settings::alone(&clusters, keys, listen, access_log)?;
    let elastauth = start_elastauth(config, tasks)?;
    let alone = Alone::new(elastauth, clusters, issuer);
    if once {
        return alone::take(&alone, out).await;
    }
    alone::invite(&alone, out)?;
    // Without it there is nothing that could end.
    let _ended = tokio::signal::ctrl_c().await;
    writeln!(
        out,
        "\nEverything is gone again: nothing was written to disk."
    )?;
    Ok(())
}

/// elastauth as it is shipped, set up in code instead of by a file; it drains when the
/// demonstration ends.
fn start_elastauth(config: Config, tasks: &Tasks) -> Result<SocketAddr, DemoError> {
    let app = App::start(config).map_err(|error| DemoError::Start(error.into()))?;
    let addr = app.addr().ok_or(DemoError::Address)?;
    let ending = tasks.clone();
    tasks.spawn(app.run_until(async move { ending.ending().await }));
    Ok(addr)
}
