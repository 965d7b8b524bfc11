//! The log, the audit stream, and what operators are shown.

use super::{Findings, Settings};
use crate::{
    config::table,
    server::AdminConfig,
    telemetry::{
        audit,
        log::{Config, Format, Level},
    },
};
use std::path::{Path, PathBuf};

pub(super) fn fill(settings: &Settings, _findings: &mut Findings) -> Option<Config> {
    let level = match settings.get::<&str>(&table::LOG_LEVEL)? {
        "debug" => Level::Debug,
        "warn" => Level::Warn,
        "error" => Level::Error,
        _ => Level::Info,
    };
    let format = match settings.get::<&str>(&table::LOG_FORMAT)? {
        "json" => Format::Json,
        "ecs" => Format::Ecs,
        _ => Format::Text,
    };
    Some(Config { level, format })
}

pub(super) fn audit(settings: &Settings, findings: &mut Findings) -> Option<audit::Config> {
    let grants = if settings.get::<&str>(&table::AUDIT_GRANTS)? == "all" {
        audit::Grants::All
    } else {
        audit::Grants::Changes
    };
    let target = match settings.get::<PathBuf>(&table::AUDIT_PATH) {
        None => audit::Target::Off,
        Some(path) if path == Path::new("stdout") => audit::Target::Stdout,
        Some(path) => audit::Target::File(path),
    };
    if target == audit::Target::Off && settings.given(&table::AUDIT_GRANTS) {
        findings.warn(
            &settings.place(&table::AUDIT_GRANTS),
            "`audit.grants` means nothing without `audit.path`",
        );
    }
    Some(audit::Config { target, grants })
}

pub(super) fn admin(settings: &Settings, findings: &mut Findings) -> Option<AdminConfig> {
    let listen = settings.get(&table::ADMIN_LISTEN);
    if listen.is_some() && listen == settings.get(&table::LISTEN) {
        findings.fault(
            &settings.place(&table::ADMIN_LISTEN),
            "`admin.listen` is the same address as `listen`; give the pages of operators their own",
        );
    }
    Some(AdminConfig {
        listen,
        metrics: settings.get(&table::ENABLE_METRICS)?,
    })
}
