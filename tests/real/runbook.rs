//! Every command of docs/RUNBOOK.md, run with a real shell in the very situation that its section
//! is about, against the program as it is shipped. What it prints and how it ends has to be what
//! the page shows below it; a command without that, or a section without a situation, fails.

mod evening;

use crate::support::page::{self, Step};
use elastauth::internals::{
    config::{self, Flags, Sources},
    outcome::Refusal,
};
use evening::{ADMIN, Evening, GATEWAY_KEY, evening};
use std::collections::BTreeSet;

/// Where the page sets its variables.
const VARIABLES: &str = "Set these once";

#[tokio::test(flavor = "multi_thread")]
async fn every_command_of_the_runbook_does_what_the_page_says() {
    let page = page::read("RUNBOOK.md");
    let steps = page::steps(&page);
    let (preamble, steps): (Vec<Step>, Vec<Step>) = steps
        .into_iter()
        .partition(|step| step.section == VARIABLES);
    let [preamble] = preamble.as_slice() else {
        panic!("one block of variables")
    };
    assert!(steps.len() >= 30, "{}", steps.len());
    // What is to be typed stands in a block: there is no second kind of command, which nobody runs.
    let typed = [
        "ask ",
        "curl ",
        "docker ",
        "elastauth ",
        "es ",
        "grep ",
        "journalctl ",
        "kubectl ",
        "redis-cli ",
        "tail ",
        "try_user ",
    ];
    let in_a_line = page
        .split('`')
        .skip(1)
        .step_by(2)
        .find(|span| !span.contains('\n') && typed.iter().any(|word| span.starts_with(word)));
    assert_eq!(in_a_line, None, "a command within a sentence");
    let (mut faults, mut last) = (Vec::new(), None::<(String, Evening)>);
    for step in steps {
        let shown = step.shown.as_ref().unwrap_or_else(|| {
            panic!(
                "line {}: the page does not say what the command prints",
                step.line
            )
        });
        let now = match last.take() {
            Some((section, now)) if section == step.section => now,
            _ => evening(&step.section).await,
        };
        let (code, said) = now.run(&preamble.script, &step);
        let secret = [GATEWAY_KEY, ADMIN, now.cluster.service_password(), "Basic "]
            .into_iter()
            .find(|secret| said.contains(secret));
        if let Err(why) = page::compare(&shown.lines, &said) {
            faults.push(format!("line {}: {why}\n{said}", step.line));
        }
        if code != Some(shown.exit) || secret.is_some() {
            faults.push(format!(
                "line {}: ended with {code:?}; secrets in the output: {secret:?}\n{said}",
                step.line
            ));
        }
        last = Some((step.section, now));
    }
    assert!(
        faults.is_empty(),
        "the page is not true:\n{}",
        faults.join("\n")
    );
}

#[test]
fn what_the_guide_for_replicas_configures_is_taken_without_a_word() {
    let blocks = page::yaml(&page::read("replicas.md"));
    assert!(blocks.len() >= 4, "{blocks:?}");
    let key = |first: char| {
        format!("{first}1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b")
    };
    let (old, new) = (key('b'), key('c'));
    let environment = [
        ("SECRET_KEY", &*new),
        ("SECRET_KEY_NEW", &new),
        ("SECRET_KEY_OLD", &old),
        ("REDIS_PASSWORD", "x"),
    ];
    for block in blocks {
        let own_key = if block.contains("secret_key:") {
            ""
        } else {
            "secret_key: \"${SECRET_KEY}\"\n"
        };
        let rest = "default_roles: [viewer]\n\
            elasticsearch: {hosts: [\"https://es:9200\"], username: elastauth, password: p}\n";
        let file = format!("{own_key}{rest}{block}\n");
        let checked = config::check(
            &Sources::given(Flags::default(), &environment)
                .with_file("config.yml", file.as_bytes()),
        );
        assert!(
            checked.warnings.is_empty() && checked.outcome.is_ok(),
            "{block}\n{checked:#?}"
        );
    }
}

#[test]
fn every_outcome_of_the_status_table_has_a_symptom_and_every_link_a_section() {
    let page = page::read("RUNBOOK.md");
    for refusal in Refusal::ALL {
        assert!(
            page.lines().any(
                |line| line.starts_with('|') && line.contains(&format!("`{}`", refusal.name()))
            ),
            "{refusal:?} is in no row"
        );
    }
    let anchor = |heading: &str| -> String {
        let kept = heading
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c))
            .collect::<String>();
        kept.replace(' ', "-")
    };
    for name in ["RUNBOOK.md", "replicas.md"] {
        let page = page::read(name);
        let targets: Vec<&str> = page
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
            .collect();
        assert!(!targets.is_empty());
        for target in targets {
            let (file, wanted) = target.split_once('#').unwrap_or((target, ""));
            let text = page::read(if file.is_empty() { name } else { file });
            let anchors: BTreeSet<String> = text
                .lines()
                .filter(|line| line.starts_with('#'))
                .map(|line| anchor(line.trim_start_matches('#').trim()))
                .collect();
            assert!(
                wanted.is_empty() || anchors.contains(wanted),
                "{name}: {target} leads nowhere"
            );
        }
    }
}
