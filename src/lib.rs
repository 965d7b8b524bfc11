//! elastauth: single sign-on for Elasticsearch and Kibana on the free tier.
//!
//! A gateway asks about each request (forward auth); elastauth learns who is asking, makes sure
//! that the cluster has that user with the right roles, and answers with a login that works.
//! ARCHITECTURE.md draws the floors; a module imports only from lower ones.

pub mod app;
mod backoff;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
#[cfg(feature = "demo")]
pub mod demo;
pub mod flow;
pub mod identity;
pub mod idp;
pub mod keys;
pub mod ledger;
pub mod model;
pub mod net;
pub mod outcome;
mod rate;
pub mod reload;
pub mod request;
pub mod respond;
pub mod roles;
pub mod secret;
pub mod serve;

pub mod shutdown;
mod single_flight;
pub mod telemetry;
pub mod upstream;
