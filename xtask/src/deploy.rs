//! Checks what is below deploy/: the chart for Kubernetes and the compose file.

#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value answers null for what it does not have"
)]

mod chart;
mod guide;
mod policy;
mod tools;

/// All checks.
pub(crate) fn run() -> anyhow::Result<()> {
    tools::build_elastauth()?;
    chart::check()
}
