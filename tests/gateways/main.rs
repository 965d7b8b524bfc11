//! The files of docs/gateways on the real gateways, with the shipped elastauth behind them and
//! applications that record what reaches them. `cargo xtask parts` fetches the gateways.
//!
//! `gateway` has what a gateway's own file gives (`traefik`, ...): how it starts from the files of
//! its guide, and what it cannot prevent. `stage` puts everything else around it. `attacks`,
//! `answers` and `mixing` run against all; `run` has the tests, and `document` the tables of
//! docs/gateways/ATTACKS.md that they are compared with.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot go on should stop"
)]
#![allow(clippy::print_stdout, reason = "what was seen is worth a line")]
#![allow(
    clippy::disallowed_methods,
    reason = "the bans are for the program; what a test starts ends with it"
)]

mod answers;
mod apache;
mod application;
mod attacks;
mod bench;
mod caddy;
mod client;
mod client_certificates;
mod doctor;
mod document;
mod documents;
mod draft;
mod envoy;
mod faulty;
mod gateway;
mod haproxy;
mod init;
mod kubernetes;
mod load;
mod login;
mod message;
mod mixing;
mod nginx;
mod oauth2_proxy;
mod over_tls;
mod replicas;
mod restart;
mod run;
mod stage;
#[path = "../support/lib.rs"]
mod support;
mod traefik;
