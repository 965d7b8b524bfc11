//! Checks what is below deploy/ (the chart for Kubernetes, the compose file), the guides about it,
//! and the objects of the guide for Envoy Gateway.

#![expect(
    clippy::indexing_slicing,
    reason = "a JSON value answers null for what it does not have"
)]

mod chart;
mod compose;
mod documents;
mod envoy_gateway;
mod guide;
mod hosts;
mod isolation;
mod pod;
mod policy;
mod proxy_compose;
mod tools;

/// All checks.
pub(crate) fn run() -> anyhow::Result<()> {
    tools::build_elastauth()?;
    chart::check()?;
    envoy_gateway::check()?;
    proxy_compose::check()?;
    compose::check()?;
    documents::check()
}
