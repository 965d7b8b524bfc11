//! The demonstration: a gateway, elastauth and a stand-in for the cluster on one machine, on real
//! sockets, told as it goes.
//!
//! `elastauth demo` serves a page and prints commands to paste until Ctrl-C; `elastauth demo
//! --once` takes the tour by itself and says whether everything went as told. Only `cli` knows of
//! this module.

mod error;
mod gateway;
mod people;
mod settings;
mod site;
mod stage;
pub mod standin;
#[cfg(test)]
mod tests;
mod tour;

use crate::{app::App, shutdown::Tasks};
pub use error::DemoError;
use stage::Stage;
use standin::StandIn;
use std::{
    io::{self, Write},
    net::SocketAddr,
    time::Duration,
};

/// How to show it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Options {
    /// Take the tour and end, instead of serving until Ctrl-C.
    pub once: bool,
    /// Where the page is served; a free port of the loopback address where absent.
    pub listen: Option<SocketAddr>,
}

/// Tells the story on standard output: until Ctrl-C, or once.
///
/// # Errors
/// When something cannot start, or a step of the tour did not go as told.
pub async fn run(options: Options) -> Result<(), DemoError> {
    let tasks = Tasks::default();
    let told = tell(options, &tasks, &mut io::stdout()).await;
    tasks.end();
    // Nothing that is left is worth waiting for longer.
    tasks.drained(Duration::from_secs(2)).await;
    told
}

async fn tell(
    options: Options,
    tasks: &Tasks,
    out: &mut (dyn Write + Send),
) -> Result<(), DemoError> {
    let standin = StandIn::start(tasks).await.map_err(DemoError::Listen)?;
    let elastauth = start_elastauth(&standin, tasks).await?;
    let mut stage = Stage::open(options.listen, elastauth, standin, tasks).await?;
    if options.once {
        return tour::take(&mut stage, out).await;
    }
    tour::invite(&stage, out)?;
    tokio::select! {
        told = tour::follow(&mut stage, out) => told,
        _ = tokio::signal::ctrl_c() => {
            writeln!(out, "\nEverything is gone again: nothing was written to disk.")?;
            Ok(())
        }
    }
}

/// elastauth as it is shipped, set up in code instead of by a file; it drains when the
/// demonstration ends.
async fn start_elastauth(standin: &StandIn, tasks: &Tasks) -> Result<SocketAddr, DemoError> {
    let app = App::start(settings::of(standin)?)
        .await
        .map_err(|error| DemoError::Start(error.into()))?;
    let (addr, ending) = (app.addr(), tasks.clone());
    tasks.spawn(app.run_until(async move { ending.ending().await }));
    Ok(addr)
}
