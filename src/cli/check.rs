//! `elastauth check`: everything that is wrong or weak, in one report.

use super::{
    online::{self, Tried},
    output::{CommandError, print, runtime},
    servers,
    trial::{self, Consent},
};
use crate::config::{self, Checked, Finding, Flags, Sources};
use std::{fmt::Write as _, io::IsTerminal as _};

/// What is checked, and how it is shown.
#[derive(Debug, clap::Args)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a flag of the command line"
)]
pub(super) struct Options {
    /// For programs: one JSON object with `ok`, `faults`, `warnings` and, with `--online`, `tried`.
    #[arg(long)]
    json: bool,
    /// Also try the cluster: does it answer, does it accept the account, may the account do its
    /// work? Writes nothing, unless you allow the login of a fresh user.
    #[arg(long)]
    online: bool,
    /// With `--online`, do not ask: write a user without roles, log in as it, and delete it.
    #[arg(long, requires = "online")]
    try_login: bool,
    /// Warnings count as faults. For a pipeline that must not deploy a weak configuration.
    #[arg(long)]
    strict: bool,
}

impl Options {
    fn consent(&self) -> Consent {
        if self.try_login {
            Consent::Given
        } else if !self.json && std::io::stdin().is_terminal() && std::io::stderr().is_terminal() {
            Consent::Ask
        } else {
            Consent::Missing
        }
    }
}

pub(super) fn run(flags: Flags, options: &Options) -> Result<(), CommandError> {
    let Options {
        json,
        online,
        strict,
        ..
    } = *options;
    let Checked { outcome, warnings } = checked(&Sources::system(flags));
    let tried = match &outcome {
        Ok(config) if online => runtime()?.block_on(async {
            let mut tried = online::run(config).await;
            tried.extend(servers::run(config).await);
            let answered = tried.iter().all(|tried| tried.ok);
            let is_one = config.clusters.len() == 1;
            let clusters = config.clusters.iter();
            for cluster in clusters.filter(|cluster| cluster.tenants.is_none()) {
                let name = (!is_one).then(|| cluster.name.as_str());
                let consent = options.consent();
                tried.push(trial::run(name, &cluster.cluster, answered, consent).await);
            }
            tried
        }),
        Ok(_) | Err(_) => Vec::new(),
    };
    let faults = outcome.as_ref().err().map_or(&[][..], Vec::as_slice);
    let too_weak = strict && !warnings.is_empty();
    let ok = faults.is_empty() && !too_weak && tried.iter().all(|tried| tried.ok);
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
    let mut text = report(faults, &warnings, &tried);
    if too_weak {
        text.push_str("; with --strict a warning is a fault");
    }
    if ok {
        print(&text)
    } else {
        Err(CommandError(text))
    }
}

/// The configuration and the files that it names.
fn checked(sources: &Sources) -> Checked {
    let Checked { outcome, warnings } = config::check(sources);
    let outcome = outcome.and_then(|config| match config::check_files(&config) {
        faults if faults.is_empty() => Ok(config),
        faults => Err(faults),
    });
    Checked { outcome, warnings }
}

/// The report on these sources.
///
/// # Errors
/// With the same, where there are faults.
pub(super) fn offline(sources: &Sources) -> Result<String, String> {
    let Checked { outcome, warnings } = checked(sources);
    match outcome {
        Ok(_) => Ok(report(&[], &warnings, &[])),
        Err(faults) => Err(report(&faults, &warnings, &[])),
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
    for Tried {
        what,
        ok,
        skipped,
        found,
    } in tried
    {
        let ok = match (ok, skipped) {
            (_, true) => "not tried",
            (true, false) => "ok",
            (false, false) => "failed",
        };
        let _infallible = writeln!(text, "{ok}: {what}: {found}");
    }
    let (faults, warnings) = (faults.len(), warnings.len());
    let _infallible = write!(text, "{faults} fault(s), {warnings} warning(s)");
    if !tried.is_empty() {
        let failed = tried.iter().filter(|tried| !tried.ok).count();
        let all = tried.iter().filter(|tried| !tried.skipped).count();
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
