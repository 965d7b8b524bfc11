//! The tests, one module for each gateway.

use crate::{
    attacks,
    caddy::CADDY,
    document::{self, column, differences},
    envoy::ENVOY,
    gateway::Program,
    haproxy::{HAPROXY_2_6, HAPROXY_2_8},
    nginx::{NGINX, NGINX_1_22},
    traefik::TRAEFIK,
};

/// In the order of the documents.
const PROGRAMS: &[&Program] = &[
    &TRAEFIK,
    &CADDY,
    &NGINX_1_22,
    &NGINX,
    &HAPROXY_2_6,
    &HAPROXY_2_8,
    &ENVOY,
];

macro_rules! gateway_tests {
    ($name:ident, $program:expr) => {
        mod $name {
            use super::*;

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn no_attack_does_what_it_must_not() {
                hold_attacks(&$program).await;
            }
        }
    };
}

gateway_tests!(traefik, TRAEFIK);
gateway_tests!(caddy, CADDY);
gateway_tests!(nginx_1_22, NGINX_1_22);
gateway_tests!(nginx, NGINX);
gateway_tests!(haproxy_2_6, HAPROXY_2_6);
gateway_tests!(haproxy_2_8, HAPROXY_2_8);
gateway_tests!(envoy, ENVOY);

async fn hold_attacks(program: &Program) {
    let seen = attacks::run(program).await;
    assert_none(program, &attacks::faults(program, &seen));
    let differences = differences(program, &column(program, &seen));
    assert!(
        differences.is_empty(),
        "docs/gateways/ATTACKS.md is not what {} does; write it with `cargo test --features \
         real-parts --test gateways write_attacks -- --ignored`:\n{}",
        program.name,
        differences.join("\n")
    );
}

fn assert_none(program: &Program, faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{}:\n{}",
        program.name,
        faults.join("\n")
    );
}

/// Writes what is seen, also what must not be, and fails then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes docs/gateways/ATTACKS.md"]
async fn write_attacks() {
    let (mut columns, mut faults) = (Vec::new(), Vec::new());
    for program in PROGRAMS {
        let seen = attacks::run(program).await;
        let found = attacks::faults(program, &seen);
        faults.extend(
            found
                .iter()
                .map(|fault| format!("{}: {fault}", program.name)),
        );
        columns.push((*program, column(program, &seen)));
    }
    std::fs::write(document::path(), document::document(&columns)).unwrap();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
