//! All that has to be green, in the order in which it fails fastest. The tests come last, so that
//! their result ends the output.

mod summary;

use crate::{deploy, floors, fuzz, links, packages, parts, shell, site, tools};
use anyhow::Context;
use std::time::{Duration, Instant};

/// How much is tested.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Extent {
    /// Everything, real gateway and real cluster included.
    Full,
    /// What needs neither network nor parts.
    Quick,
}

struct Step {
    name: &'static str,
    run: fn() -> anyhow::Result<()>,
    /// What helps when it fails.
    remedy: &'static str,
}

const STEPS_FULL: &[Step] = &[
    FORMAT,
    FLOORS,
    LINKS,
    Step {
        name: "parts",
        run: parts::fetch,
        remedy: "the message above says what could not be fetched; `cargo xtask parts` tries just this again",
    },
    Step {
        name: "lints",
        run: || lints(&["--all-features"]),
        remedy: LINTS_REMEDY,
    },
    Step {
        name: "licences and bans",
        run: deny,
        remedy: "deny.toml says what is allowed and why",
    },
    Step {
        name: "docs",
        run: docs,
        remedy: "`cargo doc --no-deps --open` shows the page",
    },
    Step {
        name: "site",
        run: site::run,
        remedy: "`cargo xtask site` does just this; the site is in target/site",
    },
    Step {
        name: "deploy",
        run: deploy::run,
        remedy: "`cargo xtask deploy` does just this; docs/deployment/ says what the files are for",
    },
    Step {
        name: "packages",
        run: packages::run,
        remedy: "`cargo xtask packages` does just this; what it makes is in target/packages",
    },
    Step {
        name: "fuzz",
        run: || fuzz::run(FUZZ),
        remedy: "the case that failed can be had alone, as it says above; what it has found goes into a test of its own",
    },
    Step {
        name: "tests",
        run: || tests(&["--features", "real-parts"]),
        remedy: TESTS_REMEDY,
    },
];

const STEPS_QUICK: &[Step] = &[
    FORMAT,
    FLOORS,
    LINKS,
    Step {
        name: "lints",
        run: || lints(&[]),
        remedy: LINTS_REMEDY,
    },
    Step {
        name: "tests",
        run: quick_tests,
        remedy: TESTS_REMEDY,
    },
];

/// Some tens of thousands of cases.
const FUZZ: Duration = Duration::from_secs(20);

const FORMAT: Step = Step {
    name: "format",
    run: || cargo(&["fmt", "--all", "--check"]),
    remedy: "`cargo fmt --all` mends it",
};
const FLOORS: Step = Step {
    name: "floors",
    run: floors::run,
    remedy: "ARCHITECTURE.md says who may know whom",
};
const LINKS: Step = Step {
    name: "links",
    run: links::check,
    remedy: "the page named above has a link that leads nowhere, or docs/SUMMARY.md lacks a page",
};
const LINTS_REMEDY: &str =
    "mend it, or say at the place why the lint is wrong there: #[expect(lint, reason = \"...\")]";

const TESTS_REMEDY: &str = "what the tests wrote is above";

/// Runs the steps, one line each with its time, and stops at the first that fails.
pub(crate) fn run(extent: Extent) -> anyhow::Result<()> {
    let steps = if extent == Extent::Full {
        STEPS_FULL
    } else {
        STEPS_QUICK
    };
    let mut times = Vec::new();
    for step in steps {
        println!("== {}", step.name);
        let begun = now();
        (step.run)().with_context(|| format!("step `{}` failed; {}", step.name, step.remedy))?;
        times.push((step.name, begun.elapsed()));
        println!("== {}: ok, {}", step.name, seconds(begun.elapsed()));
    }
    let total = times.iter().map(|(_, time)| *time).sum();
    let list: Vec<String> = times
        .iter()
        .map(|(name, time)| format!("{name} {}", seconds(*time)))
        .collect();
    println!("== all ok, {} ({})", seconds(total), list.join(", "));
    Ok(())
}

/// Once with everything, and once as a package without the demo is built.
fn lints(features: &[&str]) -> anyhow::Result<()> {
    clippy(&[&["--workspace", "--all-targets"], features].concat())?;
    clippy(&["--lib", "--bins", "--no-default-features"])
}

fn clippy(what: &[&str]) -> anyhow::Result<()> {
    cargo(&[&["clippy"], what, &["--", "-D", "warnings"]].concat())
}

/// Most of these tests wait for something: four at a time take half the time of one a core. The
/// full run keeps one a core, since its real parts need the processors.
fn quick_tests() -> anyhow::Result<()> {
    let mut cargo = shell::command("cargo", &[]);
    summary::run(cargo.env("RUST_TEST_THREADS", "4"), &[])
}

fn tests(features: &[&str]) -> anyhow::Result<()> {
    summary::run(&mut shell::command("cargo", &[]), features)
}

fn docs() -> anyhow::Result<()> {
    shell::run(
        shell::command(
            "cargo",
            &[
                "doc",
                "--workspace",
                "--no-deps",
                "--document-private-items",
            ],
        )
        .env("RUSTDOCFLAGS", "-D warnings"),
    )
}

/// Pinned, as a newer one may know new complaints.
const CARGO_DENY: &str = "cargo-deny@0.20.2";

fn deny() -> anyhow::Result<()> {
    let program = tools::cargo(CARGO_DENY, &[])?;
    shell::run(&mut shell::command(
        &program.to_string_lossy(),
        &[
            "--all-features",
            "--workspace",
            "check",
            "--hide-inclusion-graph",
            "bans",
            "licenses",
            "sources",
        ],
    ))?;
    // The advisory database is a git repository that not every machine reaches. Only that is
    // forgiven.
    let advisories = shell::command(
        &program.to_string_lossy(),
        &["--all-features", "--workspace", "check", "advisories"],
    )
    .output()?;
    let said = String::from_utf8_lossy(&advisories.stderr);
    if advisories.status.success() {
        println!("advisories ok");
    } else if said.contains("failed to fetch advisory database") {
        println!("note: the advisory database is out of reach; advisories were not checked");
    } else {
        anyhow::bail!("{said}");
    }
    Ok(())
}

fn cargo(arguments: &[&str]) -> anyhow::Result<()> {
    shell::run(&mut shell::command("cargo", arguments))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the ban is for the program, which is tested with a set clock; this only times a chore"
)]
fn now() -> Instant {
    Instant::now()
}

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}
