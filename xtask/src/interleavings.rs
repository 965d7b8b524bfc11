//! The long form of `tests/interleavings`, and what it is worth: broken variants of the program
//! that it has to tell from the whole one.

use crate::shell;
use anyhow::{Context, bail, ensure};
use std::{fs, path::Path, process::Stdio};

/// One way to break the protocol.
struct Broken {
    /// What is wrong with it.
    name: &'static str,
    file: &'static str,
    /// What stands in the file, once.
    whole: &'static str,
    damaged: &'static str,
    /// The test that must fail.
    test: &'static str,
}

const VARIANTS: &[Broken] = &[
    Broken {
        name: "nobody is held at the boundary",
        file: "src/broker.rs",
        whole: "if let Some(wait) = turn.hold {",
        damaged: "if let Some(wait) = turn.hold.filter(|_| false) {",
        test: "a_boundary_of_two_passwords_with_clocks_that_differ",
    },
    Broken {
        name: "a known user is answered while a write is in the air",
        file: "src/broker/ensure.rs",
        whole: "self.ledger.begin_write(boarding, self.clock.now()).await;",
        damaged: "let _ = &boarding;",
        test: "a_known_user_whose_groups_change",
    },
    Broken {
        name: "a write of unknown end leaves no doubt",
        file: "src/broker/ensure.rs",
        whole: "if error.fate() == Fate::Unknown {",
        damaged: "if error.fate() == Fate::Unknown && false {",
        test: "writes_of_unknown_end_that_come_late",
    },
    Broken {
        name: "a doubt is shorter than the cluster's own time-out",
        file: "src/broker/doubt.rs",
        whole: "const LASTS: Duration = Duration::from_secs(90);",
        damaged: "const LASTS: Duration = Duration::from_secs(20);",
        test: "writes_of_unknown_end_that_come_late",
    },
    Broken {
        name: "what was checked within a doubt is believed after it",
        file: "src/broker.rs",
        whole: "self.ensure.doubts.about(user, seen)",
        damaged: "self.ensure.doubts.about(user, now)",
        test: "writes_of_unknown_end_that_come_late",
    },
    Broken {
        name: "a flight's end is answered on without another look at the ledger",
        file: "src/broker.rs",
        whole: "Landing::Same(Ok(())) if self.still_holds(user, fingerprint, turn) =>",
        damaged: "Landing::Same(Ok(())) if self.still_holds(user, fingerprint, turn) || true =>",
        test: "a_slow_flight_at_the_boundary",
    },
    Broken {
        name: "a flight that was overtaken by the next period leaves it at that",
        file: "src/broker.rs",
        whole: "if (now.epoch, now.key) == (turn.epoch, turn.key) {",
        damaged: "if (now.epoch, now.key) == (turn.epoch, turn.key) || true {",
        test: "a_slow_flight_at_the_boundary",
    },
    Broken {
        name: "a user is believed for ever",
        file: "src/broker.rs",
        whole: "is_some_and(|age| age < believed)",
        damaged: "is_some_and(|age| age < believed || true)",
        test: "an_administrator_at_work",
    },
    Broken {
        name: "a disabled user is enabled",
        file: "src/broker/ensure.rs",
        whole: "if !found.enabled {",
        damaged: "if !found.enabled && false {",
        test: "an_administrator_at_work",
    },
    Broken {
        name: "an administrator's edit of the roles is taken for ours",
        file: "src/broker/document.rs",
        whole: "        same_roles\n",
        damaged: "        (same_roles || true)\n",
        test: "an_administrator_at_work",
    },
    Broken {
        name: "somebody else's user is taken over",
        file: "src/broker/ensure.rs",
        whole: "Owner::Foreign | Owner::Reserved => Err(BrokerError::Foreign),",
        damaged: "Owner::Foreign | Owner::Reserved => Ok(Reason::Adopted),",
        test: "somebody_elses_user",
    },
    Broken {
        name: "a write is sent again to another address",
        file: "src/cluster/call.rs",
        whole: "Err(error) if error.is_not_sent() && Instant::now() < deadline => last",
        damaged: "Err(error) if Instant::now() < deadline => last",
        test: "a_cluster_with_two_addresses",
    },
    Broken {
        name: "a flight that failed stays in the way",
        file: "src/broker/flights.rs",
        whole: "now.since(since).is_some_and(|age| age < FAILURE_LASTS)",
        damaged: "now >= since && FAILURE_LASTS > Duration::ZERO",
        test: "first_logins_at_two_replicas",
    },
    Broken {
        name: "a replica that hears of a change remembers what it did",
        file: "src/ledger.rs",
        whole: "        if other {\n",
        damaged: "        if other && false {\n",
        test: "long_ways_with_a_shared_redis_by_the_dice",
    },
];

/// Goes further than `cargo test` does: minutes.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut tests = shell::command(
        "cargo",
        &["test", "--test", "interleavings", "--", "--nocapture"],
    );
    shell::run(tests.env("ELASTAUTH_INTERLEAVINGS", "long"))
}

/// Builds each broken variant in a copy of the tree and asks the test that is named for it.
pub(crate) fn broken() -> anyhow::Result<()> {
    let root = shell::root();
    let copy = root.join("target/broken");
    for folder in ["src", "tests", "xtask", "docs"] {
        same(&root.join(folder), &copy.join(folder))?;
    }
    for file in ["Cargo.toml", "Cargo.lock", "elastauth.example.yml"] {
        fs::copy(root.join(file), copy.join(file))
            .with_context(|| format!("{file} cannot be copied"))?;
    }
    let mut survived = Vec::new();
    for variant in VARIANTS {
        let path = copy.join(variant.file);
        let whole = fs::read_to_string(&path)?;
        ensure!(
            whole.matches(variant.whole).count() == 1,
            "`{}` does not stand in {} once",
            variant.whole,
            variant.file
        );
        fs::write(&path, whole.replace(variant.whole, variant.damaged))?;
        let compiled = ask(&copy, &root, variant.test, true);
        let passed = compiled.is_ok() && ask(&copy, &root, variant.test, false)?;
        fs::write(&path, whole)?;
        ensure!(compiled?, "`{}` does not compile", variant.name);
        println!(
            "{}: {}",
            variant.name,
            if passed { "NOT FOUND" } else { "found" }
        );
        if passed {
            survived.push(variant.name);
        }
    }
    if !survived.is_empty() {
        bail!("not found: {}", survived.join("; "));
    }
    Ok(())
}

/// Whether the test passes, or at least compiles.
fn ask(copy: &Path, root: &Path, test: &str, compile_only: bool) -> anyhow::Result<bool> {
    let arguments: &[&str] = if compile_only {
        &["--no-run"]
    } else {
        &["--", "--exact", test]
    };
    let mut command = shell::command(
        "cargo",
        &[&["test", "--quiet", "--test", "interleavings"], arguments].concat(),
    );
    command
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", root.join("target"));
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(quiet.status().context("cargo cannot be started")?.success())
}

/// Makes `to` the same as `from`; what has not changed keeps its time, so that little is built
/// again.
fn same(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        let (source, target) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            same(&source, &target)?;
        } else if fs::read(&target).ok() != Some(fs::read(&source)?) {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}
