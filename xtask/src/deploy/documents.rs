//! The guides of docs/deployment: the keys and alerts that they name exist, and the files in them
//! are accepted by what they are for. `links` checks their links.

use super::{chart, compose, tools};
use crate::shell;
use anyhow::{Context, bail};
use std::collections::BTreeSet;
use std::path::PathBuf;

/// The guides in which a name with dots is a key of elastauth, not of the chart.
const WITH_KEYS: [&str; 4] = [
    "auth-only.md",
    "proxy-mode.md",
    "sizing.md",
    "upgrade-from-2.md",
];

pub(super) fn check() -> anyhow::Result<()> {
    let mut faults = Vec::new();
    let config = read("docs/CONFIG.md")?;
    let mut seen = 0;
    for entry in std::fs::read_dir(folder())? {
        let path = entry?.path();
        let text = std::fs::read_to_string(&path)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        seen += 1;
        for key in keys(&text) {
            let is_known = config.contains(&format!("`{key}`"));
            if WITH_KEYS.contains(&&*name) && !is_known {
                faults.push(format!("{name}: elastauth has no key {key}"));
            }
        }
    }
    let rules = read("deploy/prometheus/elastauth.rules.yml")?;
    let monitoring = read("docs/deployment/monitoring.md")?;
    let (rules, named) = (alerts(&rules), alerts(&monitoring));
    for alert in rules.symmetric_difference(&named) {
        faults.push(format!(
            "monitoring.md and the alert rules differ in {alert}"
        ));
    }
    if !faults.is_empty() {
        bail!("docs/deployment:\n{}", faults.join("\n"));
    }
    values_of_the_guide()?;
    override_of_the_guide()?;
    println!("guides: {seen} are right about keys, alerts and files");
    Ok(())
}

fn folder() -> PathBuf {
    shell::root().join("docs/deployment")
}

fn read(path: &str) -> anyhow::Result<String> {
    let path = shell::root().join(path);
    std::fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))
}

/// What is between backticks and has the form of a key with a section.
fn keys(text: &str) -> impl Iterator<Item = &str> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter_map(|quoted| {
        let key = quoted.split(':').next()?;
        let is_key = key.contains('.')
            && key.split('.').all(|part| {
                !part.is_empty() && part.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
            });
        // Names of files have the same form.
        let is_file = ["yml", "yaml", "md"]
            .iter()
            .any(|end| key.ends_with(&format!(".{end}")));
        (is_key && !is_file).then_some(key)
    })
}

/// The names of alerts in a text.
fn alerts(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric());
    let is_alert = |word: &&str| {
        word.strip_prefix("Elastauth")
            .is_some_and(|rest| !rest.is_empty())
    };
    words.filter(is_alert).collect()
}

/// The first block of a language that has this text in it.
fn block<'t>(text: &'t str, has: &str) -> anyhow::Result<&'t str> {
    let mut blocks = text.split("```").skip(1).step_by(2);
    let found = blocks.find(|block| block.contains(has));
    let found = found.with_context(|| format!("no block with {has:?}"))?;
    found
        .split_once('\n')
        .map(|(_, block)| block)
        .context("an empty block")
}

/// The chart renders with the values of kubernetes.md as with those of its own tests.
fn values_of_the_guide() -> anyhow::Result<()> {
    let guide = read("docs/deployment/kubernetes.md")?;
    let values = tools::fresh_folder("guide")?.join("values.yaml");
    tools::write(&values, block(&guide, "secrets: {existing")?)?;
    chart::check_values(&values, "guide").context("the values of kubernetes.md")
}

/// Docker Compose takes the override of compose.md, which does what its text says.
fn override_of_the_guide() -> anyhow::Result<()> {
    let guide = read("docs/deployment/compose.md")?;
    let (_, after) = guide
        .split_once("compose.override.yml")
        .context("no override")?;
    let lines = after.lines().skip(1).skip_while(|line| line.is_empty());
    let lines = lines.take_while(|line| line.starts_with("    "));
    let text = lines.collect::<Vec<_>>().join("\n");
    let file = tools::fresh_folder("override")?.join("compose.override.yml");
    tools::write(&file, &text)?;
    let secrets = shell::root().join("target/deploy/compose/secrets");
    let project = compose::load_with(&secrets, &file)?;
    if !compose::networks(&project["services"]["traefik"]).contains(&"cluster") {
        bail!("with the override of compose.md Traefik does not reach the cluster");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_alerts_are_found_in_a_page() {
        let page = "See `users.adopt: any`, `config.yml`, `x`.\n\
                    | `ElastauthDown`, Elastauth |";
        assert_eq!(keys(page).collect::<Vec<_>>(), ["users.adopt"]);
        assert_eq!(alerts(page), BTreeSet::from(["ElastauthDown"]));
    }
}
