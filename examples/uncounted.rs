//! For the benchmark: elastauth as it is, but that decisions are not counted.
//!
//! `uncounted CONFIG` serves until it is killed.

use elastauth::{
    app::App,
    config::{self, Flags, Sources},
    telemetry::{self, metrics::Metrics},
};
use std::{error::Error, future::pending, path::PathBuf};

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let config = PathBuf::from(std::env::args().nth(1).ok_or("usage: uncounted CONFIG")?);
    let config = config::check(&Sources::system(Flags {
        config: Some(config),
        ..Flags::default()
    }))
    .outcome
    .map_err(|faults| format!("{faults:?}"))?;
    let _level_can_change = telemetry::init(config.telemetry)?;
    App::start_counted(config, Metrics::without_decisions())
        .await?
        .run_until(pending())
        .await;
    Ok(())
}
