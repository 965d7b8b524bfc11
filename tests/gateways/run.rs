//! The tests, one module for each gateway.

use crate::{
    answers, attacks,
    caddy::CADDY,
    document::{Column, Document},
    documents::{self, column_of_answers, column_of_attacks},
    envoy::ENVOY,
    gateway::{Form, Program},
    haproxy::{HAPROXY_2_6, HAPROXY_2_8},
    mixing,
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

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn clients_see_the_answers_of_the_document_and_nothing_is_open() {
                hold_answers(&$program).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn each_of_fifty_users_is_themselves() {
                Box::pin(mixing::mixed(&$program, Form::Authelia)).await;
                Box::pin(mixing::mixed(&$program, Form::Tokens)).await;
            }

            #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn a_restart_of_elastauth_lets_nobody_in_as_somebody_else() {
                Box::pin(mixing::restarted(&$program, Form::Authelia)).await;
                Box::pin(mixing::restarted(&$program, Form::Tokens)).await;
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
    let column = column_of_attacks(program, &seen);
    let faults = attacks::faults(program, &seen);
    hold(program, &documents::attacks(), &column, &faults);
}

async fn hold_answers(program: &Program) {
    let cells = answers::run(program).await;
    let faults = answers::faults(program, &cells);
    let column = column_of_answers(&cells);
    hold(program, &documents::answers(), &column, &faults);
}

fn hold(program: &Program, document: &Document, column: &Column, faults: &[String]) {
    assert!(
        faults.is_empty(),
        "{}:\n{}",
        program.name,
        faults.join("\n")
    );
    let differences = document.differences(program, column);
    assert!(
        differences.is_empty(),
        "docs/gateways/{} is not what {} does; write it with `cargo test --features real-parts \
         --test gateways write_ -- --ignored`:\n{}",
        document.file,
        program.name,
        differences.join("\n")
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
        columns.push((*program, column_of_attacks(program, &seen)));
    }
    let document = documents::attacks();
    document.write(&(document.text(&columns) + &documents::exceptions(PROGRAMS)));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Writes what is seen, also what must not be, and fails then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "writes docs/gateways/ANSWERS.md"]
async fn write_answers() {
    let (mut columns, mut faults) = (Vec::new(), Vec::new());
    for program in PROGRAMS {
        let cells = answers::run(program).await;
        let found = answers::faults(program, &cells);
        faults.extend(
            found
                .iter()
                .map(|fault| format!("{}: {fault}", program.name)),
        );
        columns.push((*program, column_of_answers(&cells)));
    }
    let document = documents::answers();
    document.write(&document.text(&columns));
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
