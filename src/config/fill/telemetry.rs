//! The log, the audit stream, and what operators are shown.

use super::filler::Filler;
use crate::{
    config::table,
    serve::{AdminConfig, Hosts},
    telemetry::{access_log::Format, audit, log::Config},
};
use std::path::{Path, PathBuf};

pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Config> {
    Some(Config {
        level: fill.get(&table::LOG_LEVEL)?,
        format: fill.get(&table::LOG_FORMAT)?,
    })
}

pub(super) fn audit(fill: &mut Filler<'_>) -> Option<audit::Config> {
    let target = match fill.get::<PathBuf>(&table::AUDIT_PATH) {
        None => audit::AuditTarget::Off,
        Some(path) if path == Path::new("stdout") => audit::AuditTarget::Stdout,
        Some(path) => audit::AuditTarget::File(path),
    };
    if target == audit::AuditTarget::Off {
        for key in [&table::AUDIT_GRANTS, &table::AUDIT_REQUESTS] {
            if fill.given(key) {
                let warning = format!("`{}` has no effect without `audit.path`", key.path);
                fill.warn(key, warning);
            }
        }
    }
    Some(audit::Config {
        target,
        grants: fill.get(&table::AUDIT_GRANTS)?,
        requests: fill.get(&table::AUDIT_REQUESTS)?,
    })
}

pub(super) fn access_log(fill: &mut Filler<'_>, audit: Option<&audit::Config>) -> Option<Format> {
    let format: Format = fill.get(&table::ACCESS_LOG)?;
    let audit_is_there = audit.is_some_and(|audit| audit.target == audit::AuditTarget::Stdout);
    if format == Format::Text && audit_is_there {
        fill.warn(
            &table::ACCESS_LOG,
            "the audit stream goes to standard output as well, so its JSON lines are between \
             lines of text; use `access_log: json`, or a file as `audit.path`",
        );
    }
    Some(format)
}

pub(super) fn admin(fill: &mut Filler<'_>) -> Option<AdminConfig> {
    let listen = fill.get(&table::ADMIN_LISTEN);
    let hosts: Option<Vec<String>> = fill.get(&table::ADMIN_HOSTS);
    for host in hosts.iter().flatten() {
        let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
        if !host.bytes().all(is_name) {
            fill.fault(
                &table::ADMIN_HOSTS,
                "`admin.hosts` has an item that is not a host name; write names alone, without \
                 `https://`, port or `*`, such as `elastauth.internal`; addresses need not be \
                 named",
            );
        }
    }
    let hosts = hosts.map(|hosts| hosts.into_iter().map(Box::from).collect());
    Some(AdminConfig {
        listen,
        hosts: Hosts::new(hosts),
        metrics: fill.get(&table::ENABLE_METRICS)?,
    })
}
