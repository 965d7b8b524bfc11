//! Checks what is below deploy/: the chart for Kubernetes and the compose file. Also the objects of
//! the guide for Envoy Gateway.

#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value answers null for what it does not have"
)]

mod chart;
mod compose;
mod envoy_gateway;
mod guide;
mod hosts;
mod isolation;
mod policy;
mod tools;

/// All checks.
pub(crate) fn run() -> anyhow::Result<()> {
    tools::build_elastauth()?;
    chart::check()?;
    envoy_gateway::check()?;
    compose::check()
}
