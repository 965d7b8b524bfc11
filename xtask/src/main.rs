//! The project's chores. `cargo xtask` lists them.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a chore talks to the person at the terminal"
)]

mod bench;
mod chaos;
mod deploy;
mod dist;
mod floors;
mod fuzz;
mod interleavings;
mod links;
mod packages;
mod parts;
mod release;
mod shell;
mod site;
mod test;
mod tools;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

const USAGE: &str = "\
cargo xtask test [--quick]   all checks and tests, with the real gateway and the real cluster; --quick without them
cargo xtask parts [--check]  fetch what the real tests need into target/parts; --check only looks
cargo xtask floors           check that modules import downwards only and that files stay small
cargo xtask links            check that the links of all pages lead somewhere, and that docs/SUMMARY.md lists all pages
cargo xtask site             the documentation as a site with a search, in target/site; nothing in it is from elsewhere
cargo xtask deploy           check the chart and the compose file below deploy/, and start what the compose file describes
cargo xtask fuzz [--seconds N]  malformed tokens, answers and HTTP/2 frames from a new seed, each for a minute or N seconds
cargo xtask bench [NAME...]  the figures of docs/PERFORMANCE.md: start, check, known, users, floor, traces, million, tokens, first,
                             newcomers, rotation, redis, recheck, crowd, peers, build and others; known, users and tokens
                             compare with an earlier program too, whose path is in ELASTAUTH_BASELINE
cargo xtask interleavings    tests/interleavings with more steps, for minutes; --broken [TEXT] lets it find broken variants of the program
cargo xtask dist [--target T] [--once]
                             the program as it is shipped, in target/dist: static, built twice and compared; --once builds it once
cargo xtask release --key FILE | --dry-run
                             everything that is published, with checksums, list of libraries and signature (RELEASING.md)
cargo xtask packages         make and try a release: its signature, the image, the unit, the Debian package
cargo xtask chaos [--seconds N] [--seed S] [--cluster real]
                             replicas, Redis and a cluster with all their troubles at once, for N seconds; --cluster real
                             kills and stops the nodes of a real one instead of bending a stand-in";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["test"] => test::run(test::Extent::Full),
        ["test", "--quick"] => test::run(test::Extent::Quick),
        ["parts"] => parts::fetch(),
        ["parts", "--check"] => parts::check(),
        ["deploy"] => deploy::run(),
        ["floors"] => floors::run(),
        ["links"] => links::check(),
        ["site"] => site::run(),
        ["fuzz"] => fuzz::run(Duration::from_mins(1)),
        ["fuzz", "--seconds", seconds] if seconds.parse::<u32>().is_ok() => {
            fuzz::run(Duration::from_secs(seconds.parse().unwrap_or(0)))
        }
        ["interleavings"] => interleavings::run(),
        ["interleavings", "--broken"] => interleavings::broken(""),
        ["interleavings", "--broken", named] => interleavings::broken(named),
        ["dist", arguments @ ..] => dist::run(arguments),
        ["release", arguments @ ..] => release::run(arguments),
        ["packages"] => packages::run(),
        ["packages", "inside", root] => packages::inside(Path::new(root)),
        ["bench", names @ ..] => bench::run(names),
        ["chaos", arguments @ ..] => chaos::run(arguments),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    shell::clear();
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("xtask: {fault:#}");
            ExitCode::FAILURE
        }
    }
}
