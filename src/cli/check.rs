//! `elastauth check`: everything that is wrong or weak, in one report.

use super::{
    online::{self, Tried},
    output::{CommandError, print, runtime},
};
use crate::config::{self, Checked, Finding, Flags, Sources};
use std::fmt::Write as _;

pub(super) fn run(flags: Flags, json: bool, online: bool) -> Result<(), CommandError> {
    let Checked { outcome, warnings } = config::check(&Sources::system(flags));
    let outcome = outcome.and_then(|config| match config::check_files(&config) {
        faults if faults.is_empty() => Ok(config),
        faults => Err(faults),
    });
    let tried = match &outcome {
        Ok(config) if online => runtime()?.block_on(online::run(config)),
        Ok(_) | Err(_) => Vec::new(),
    };
    let faults = outcome.as_ref().err().map_or(&[][..], Vec::as_slice);
    let ok = faults.is_empty() && tried.iter().all(|tried| tried.ok);
    if json {
        let report = serde_json::json!({
            "ok": ok, "faults": faults, "warnings": warnings, "tried": tried,
        });
        print(&format!("{report:#}"))?;
        return if ok {
            Ok(())
        } else {
            Err(CommandError(String::new()))
        };
    }
    let text = report(faults, &warnings, &tried);
    if ok {
        print(&text)
    } else {
        Err(CommandError(text))
    }
}

fn report(faults: &[Finding], warnings: &[Finding], tried: &[Tried]) -> String {
    let mut text = String::new();
    for warning in warnings {
        let _infallible = writeln!(text, "warning: {warning}");
    }
    for fault in faults {
        let _infallible = writeln!(text, "fault: {fault}");
    }
    for Tried { what, ok, found } in tried {
        let ok = if *ok { "ok" } else { "failed" };
        let _infallible = writeln!(text, "{ok}: {what}: {found}");
    }
    let (faults, warnings) = (faults.len(), warnings.len());
    let _infallible = write!(text, "{faults} fault(s), {warnings} warning(s)");
    if !tried.is_empty() {
        let failed = tried.iter().filter(|tried| !tried.ok).count();
        let all = tried.len();
        let _infallible = write!(text, ", {failed} of {all} online checks failed");
    }
    text
}

/// A command that ends because of these faults.
pub(super) fn failed_with(what: &str, faults: &[Finding]) -> CommandError {
    let mut text = format!("{what} {} fault(s):\n", faults.len());
    for fault in faults {
        let _infallible = writeln!(text, "  {fault}");
    }
    CommandError(text)
}
