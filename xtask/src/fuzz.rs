//! Malformed tokens, answers, messages between replicas and stored values for as long as one
//! likes, from a new seed. The tests themselves try a fixed number from a fixed one.

use crate::shell;
use anyhow::Context;
use std::{hash::BuildHasher as _, time::Duration};

/// Tries until the time is over or a case fails; a failure tells how to have that case alone.
pub(crate) fn run(time: Duration) -> anyhow::Result<()> {
    // The standard library seeds its hash maps from the system's randomness.
    let seed = std::hash::RandomState::new().hash_one(());
    println!("fuzzing for {} s from seed {seed}", time.as_secs());
    let mut fuzz = shell::command("cargo", &["test", "--lib", "::fuzz", "--", "--nocapture"]);
    fuzz.env("ELASTAUTH_FUZZ_SEED", seed.to_string())
        .env("ELASTAUTH_FUZZ_SECONDS", time.as_secs().to_string());
    shell::run(&mut fuzz)
        .with_context(|| format!("a case of seed {seed} has failed; the line above has it alone"))
}
