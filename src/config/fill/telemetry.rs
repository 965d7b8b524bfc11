//! The log.

use super::{Findings, Settings};
use crate::{
    config::table,
    telemetry::{Config, Format, Level},
};

pub(super) fn fill(settings: &Settings, _findings: &mut Findings) -> Option<Config> {
    let level = match settings.get::<&str>(&table::LOG_LEVEL)? {
        "debug" => Level::Debug,
        "warn" => Level::Warn,
        "error" => Level::Error,
        _ => Level::Info,
    };
    let format = match settings.get::<&str>(&table::LOG_FORMAT)? {
        "json" => Format::Json,
        _ => Format::Text,
    };
    Some(Config { level, format })
}
