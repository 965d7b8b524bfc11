//! The chaos suite (`tests/chaos.rs`) for as long as one likes.

use crate::shell;

/// Runs it with `--seconds N` and `--seed S`, both optional.
pub(crate) fn run(arguments: &[&str]) -> anyhow::Result<()> {
    let mut command = shell::command("cargo", &["test", "--features", "real-parts", "--test", "chaos", "--", "--nocapture"]);
    let mut rest = arguments;
    while let [name, value, others @ ..] = rest {
        let variable = match *name {
            "--seconds" => "ELASTAUTH_CHAOS_SECONDS",
            "--seed" => "ELASTAUTH_CHAOS_SEED",
            _ => anyhow::bail!("`{name}` is not known; there are --seconds and --seed"),
        };
        let number: u64 = value.parse().map_err(|_| anyhow::anyhow!("{name} wants a number, not `{value}`"))?;
        command.env(variable, number.to_string());
        rest = others;
    }
    anyhow::ensure!(rest.is_empty(), "{} wants a number", rest.join(" "));
    shell::run(&mut command)
}
