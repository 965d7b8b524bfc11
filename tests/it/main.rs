//! The program as it is shipped, or its parts, on real sockets against the stand-in cluster.
//! Nothing has to be fetched for it.

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

mod blips;
mod cluster_failures;
mod cluster_reload;
mod clusters;
mod commands;
mod config_files;
mod doctor;
mod edits;
mod ensure;
mod ensure_edges;
mod file_ledger;
mod floods;
mod frames;
mod hosts;
mod init;
mod invalid_input;
mod key_change;
mod key_change_live;
mod last_seen;
mod login_url;
mod malformed_http;
mod memory;
mod opensearch;
mod operators;
mod parking;
mod ports;
mod proxy;
mod prune;
mod real_inputs;
mod reload;
mod restarts;
mod revoke;
mod revoke_command;
mod supervised;
#[path = "../support/lib.rs"]
mod support;
mod telemetry;
mod tokens;
mod traces;
mod traefik_guide;
mod trust;
mod two_clients;
mod untrusted_peers;
mod users;
mod versions;
mod wrong_address;
