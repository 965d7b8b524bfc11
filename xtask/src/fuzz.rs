//! Malformed input for as long as one likes, from a new seed. The tests themselves try a fixed
//! number of cases from a fixed seed.

use crate::shell;
use anyhow::Context;
use std::{hash::BuildHasher as _, time::Duration};

/// Tests that take a seed and a time: what they try, and how `cargo test` finds them.
const TARGETS: &[(&str, &[&str])] = &[
    (
        "tokens, answers, messages and stored values",
        &["--lib", "::fuzz"],
    ),
    ("HTTP/2 frames", &["--test", "it", "frames::no_sequence"]),
];

/// Tries each target until the time is over or a case fails; a failure tells how to have that case
/// alone.
pub(crate) fn run(time: Duration) -> anyhow::Result<()> {
    for (what, test) in TARGETS {
        // The standard library seeds its hash maps from the system's randomness.
        let seed = std::hash::RandomState::new().hash_one(());
        println!("fuzzing {what} for {} s from seed {seed}", time.as_secs());
        let mut fuzz = shell::command("cargo", &["test"]);
        fuzz.args(*test)
            .args(["--", "--nocapture"])
            .env("ELASTAUTH_FUZZ_SEED", seed.to_string())
            .env("ELASTAUTH_FUZZ_SECONDS", time.as_secs().to_string());
        shell::run(&mut fuzz).with_context(|| {
            format!("{what}: a case of seed {seed} has failed; the line above has it alone")
        })?;
    }
    Ok(())
}
