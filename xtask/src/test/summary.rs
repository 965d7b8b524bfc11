//! Runs `cargo test` and, where a test fails, ends with its name and the command that runs it
//! alone: what cargo prints last is the name of a test binary, and the name of the test is pages
//! above.

use anyhow::{Context, bail};
use std::{
    io::{BufRead as _, BufReader, Read, Write},
    process::{Command, Stdio},
    thread,
};

/// Runs `cargo test` with these features.
pub(super) fn run(command: &mut Command, features: &[&str]) -> anyhow::Result<()> {
    let mut child = command
        .args(["test", "--workspace"])
        .args(features)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cargo could not be started")?;
    let (tests, cargo) = (child.stdout.take(), child.stderr.take());
    let tests = thread::spawn(move || copied(tests, &mut std::io::stdout()));
    let cargo = thread::spawn(move || copied(cargo, &mut std::io::stderr()));
    let status = child.wait()?;
    let tests = tests.join().unwrap_or_default();
    let cargo = cargo.join().unwrap_or_default();
    if !status.success() {
        bail!("{}", alone(&tests, &cargo, features));
    }
    Ok(())
}

/// Passes each line on as it comes, and keeps it.
fn copied(from: Option<impl Read>, to: &mut impl Write) -> String {
    let mut text = String::new();
    let Some(from) = from else { return text };
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    while from.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        // Nobody may be reading any more; the tests go on.
        let _ = to.write_all(&line).and_then(|()| to.flush());
        text.push_str(&String::from_utf8_lossy(&line));
        line.clear();
    }
    text
}

/// What failed, and how to run it alone. `tests` is what the tests wrote, `cargo` what cargo did.
fn alone(tests: &str, cargo: &str, features: &[&str]) -> String {
    let features = features
        .iter()
        .fold(String::new(), |text, word| format!("{text} {word}"));
    // "error: test failed, to rerun pass `--test it`"
    let binary = cargo
        .rsplit_once("to rerun pass `")
        .and_then(|(_, rest)| rest.split_once('`'))
        .map(|(binary, _)| binary);
    let Some(binary) = binary else {
        return "the tests could not be built or run; cargo's message is above".to_owned();
    };
    let names = failed(tests);
    if names.is_empty() {
        return format!(
            "the tests ended without a result; `cargo test{features} {binary}` runs them alone"
        );
    }
    // The tests of the documents have a name with blanks, which only a part of may be given.
    let exact = if binary.contains("--doc") {
        ""
    } else {
        "--exact "
    };
    names
        .iter()
        .fold("these tests failed:".to_owned(), |text, name| {
            let quoted = if name.contains(' ') {
                format!("'{name}'")
            } else {
                (*name).to_owned()
            };
            format!("{text}\n  {name}\n    alone: cargo test{features} {binary} -- {exact}{quoted}")
        })
}

/// The names in the last list of failures.
fn failed(tests: &str) -> Vec<&str> {
    let Some((before, _)) = tests.rsplit_once("\ntest result: FAILED") else {
        return Vec::new();
    };
    let Some((_, list)) = before.rsplit_once("\nfailures:\n") else {
        return Vec::new();
    };
    list.lines()
        .filter_map(|line| line.strip_prefix("    "))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TESTS: &str = "
running 3 tests
test tokens::one ... FAILED
test two ... FAILED
test three ... ok

failures:

---- tokens::one stdout ----
    indented
failures:
    not a name

---- two stdout ----

failures:
    tokens::one
    two

test result: FAILED. 1 passed; 2 failed; 0 ignored; finished in 0.00s

";

    #[test]
    fn failed_tests_are_named_with_the_command_that_runs_each_alone() {
        let cargo = "     Running tests/it/main.rs (target/debug/deps/it-1)\n\
            error: test failed, to rerun pass `-p elastauth --test it`\n";
        assert_eq!(
            alone(TESTS, cargo, &["--features", "real-parts"]),
            "these tests failed:\n  tokens::one\n    alone: cargo test --features real-parts \
             -p elastauth --test it -- --exact tokens::one\n  two\n    alone: cargo test \
             --features real-parts -p elastauth --test it -- --exact two"
        );
    }

    #[test]
    fn tests_that_crash_or_do_not_compile_are_told_as_such() {
        let crashed = "error: test failed, to rerun pass `--test it`\n\
            Caused by: process didn't exit successfully (signal: 6, SIGABRT)\n";
        assert_eq!(
            alone("running 3 tests\n", crashed, &[]),
            "the tests ended without a result; `cargo test --test it` runs them alone"
        );
        assert!(alone("", "error[E0425]: cannot find value", &[]).contains("could not be built"));
    }

    #[test]
    fn a_run_that_fails_ends_with_the_test() {
        let text = TESTS.replace('\n', "\\n");
        let script = format!(
            "printf '{text}'; echo 'error: test failed, to rerun pass `--test it`' >&2; exit 101"
        );
        let mut cargo = Command::new("sh");
        let why = run(cargo.args(["-c", &script]), &[]).unwrap_err();
        assert!(
            why.to_string()
                .contains("alone: cargo test --test it -- --exact tokens::one"),
            "{why}"
        );
    }
}
