//! elastauth: single sign-on for Elasticsearch and Kibana on the free tier.
//!
//! A gateway asks about each request (forward auth); elastauth learns who is asking, makes sure
//! that the cluster has that user with the right roles, and answers with a login that works.
//! ARCHITECTURE.md draws the floors; a module imports only from lower ones.

#![cfg_attr(
    not(feature = "internals"),
    allow(
        unreachable_pub,
        unfulfilled_lint_expectations,
        reason = "what is public is so for the tests; lints about it apply with the feature"
    )
)]

mod app;
mod backoff;
mod broker;
mod cli;
mod clock;
mod cluster;
mod config;
#[cfg(feature = "demo")]
mod demo;
mod flow;
mod identity;
mod idp;
#[cfg(feature = "internals")]
pub mod internals;
mod keys;
mod ledger;
mod model;
mod net;
mod outcome;
mod rate;
mod reload;
mod request;
mod respond;
mod roles;
mod secret;
mod serve;

mod shutdown;
mod single_flight;
mod supervisor;
mod telemetry;
mod upstream;

pub use cli::run;
