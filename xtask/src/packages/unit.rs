//! The unit, judged by systemd itself.

use crate::{shell, tools::Tool};
use anyhow::ensure;

const UNIT: &str = "deploy/systemd/elastauth.service";
/// What systemd calls the exposure of a service, in tenths.
const MOST: &str = "20";

pub(super) const ANALYZE: Tool = Tool {
    probe: &["systemd-analyze", "--version"],
    package: "systemd",
    purpose: "judges the unit",
};

/// How much the unit exposes, at most 2.0.
pub(super) fn check() -> anyhow::Result<()> {
    let threshold = format!("--threshold={MOST}");
    let mut analyze = shell::command(
        "systemd-analyze",
        &["security", "--offline=true", "--no-pager", &threshold, UNIT],
    );
    let judged = analyze.env("SYSTEMD_EMOJI", "0").output()?;
    let judged = (
        judged.status.success(),
        String::from_utf8_lossy(&judged.stdout),
    );
    let verdict = judged.1.lines().last().unwrap_or_default();
    ensure!(judged.0, "{UNIT} exposes too much:\n{}", judged.1);
    println!("unit: {}", verdict.trim_start_matches(['→', ' ']));
    Ok(())
}
