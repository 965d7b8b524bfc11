//! The chaos suite (`tests/chaos`) for as long as one likes.

use crate::shell;

/// Runs it with `--seconds N`, `--seed S` and `--cluster stand-in|real`, all optional.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let mut form = STAND_IN;
    let mut numbers = Vec::new();
    let mut rest = arguments;
    while let [name, value, others @ ..] = rest {
        match (*name, *value) {
            ("--cluster", "stand-in") => form = STAND_IN,
            ("--cluster", "real") => form = REAL,
            ("--cluster", _) => anyhow::bail!("--cluster is stand-in or real, not `{value}`"),
            ("--seconds", _) => numbers.push(("ELASTAUTH_CHAOS_SECONDS", number(name, value)?)),
            ("--seed", _) => numbers.push(("ELASTAUTH_CHAOS_SEED", number(name, value)?)),
            _ => anyhow::bail!("`{name}` is not known; there are --seconds, --seed and --cluster"),
        }
        rest = others;
    }
    anyhow::ensure!(rest.is_empty(), "{} wants a value", rest.join(" "));
    let mut command = shell::command(
        "cargo",
        &[
            "test",
            "--features",
            "real-parts",
            "--test",
            "chaos",
            "--",
            "--nocapture",
            "--include-ignored",
            "--exact",
            form,
        ],
    );
    command.envs(
        numbers
            .into_iter()
            .map(|(name, number)| (name, number.to_string())),
    );
    shell::run(&mut command)
}

/// The tests by their names.
const STAND_IN: &str = "nobody_ever_notices";
const REAL: &str = "nobody_notices_what_two_real_nodes_go_through";

fn number(name: &str, value: &str) -> anyhow::Result<u64> {
    value
        .parse()
        .map_err(|_| anyhow::anyhow!("{name} wants a number, not `{value}`"))
}
