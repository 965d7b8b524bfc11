//! The program with other real programs: Elasticsearch, Traefik, Keycloak, `oidc-provider`, Redis
//! and a shell. `cargo xtask parts` fetches them.

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

mod chromium;
mod compose_proxy;
mod elasticsearch;
mod init;
mod install;
mod keycloak;
mod ledger_redis;
mod oidc_provider;
mod opensearch;
mod proxy_clients;
mod proxy_password;
mod replica_messages;
mod runbook;
mod shared_redis;
mod side_by_side;
#[path = "../support/lib.rs"]
mod support;
mod traefik;
mod two_nodes;
