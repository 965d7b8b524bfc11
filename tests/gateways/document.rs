//! docs/gateways/ATTACKS.md, from what a run has seen.

use crate::{
    attacks::{Seen, TABLES, types::Attack},
    gateway::Program,
};
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

const INTRODUCTION: &str = "\
# What clients try, and what comes of it

<!-- Generated from a run of tests/gateways by
`cargo test --features real-parts --test gateways write_attacks -- --ignored`. -->

`tests/gateways` starts each gateway with the files of its guide, in three forms: behind Authelia,
with tokens of an OIDC provider, and with several applications. It sends what is in these tables
over HTTP/1.1 and, where it can be said there, over HTTP/2. Every attack is sent twice: by somebody
who is signed in as `alice`, and by somebody who is not. Of the latter nothing reaches an
application, with any gateway; the tables show what comes of the former:

- `as alice`: the application gets a request with the login of alice, and with nothing that the
  client said about identity.
- a number: the request is refused with this status and reaches no application.
- *see below*: something else; [the end of this page](#what-a-gateway-cannot-prevent) says what.
";

/// The cells of a program, by the name of the attack.
pub(crate) type Column = BTreeMap<&'static str, String>;

/// What was seen of one program.
pub(crate) fn column(program: &Program, seen: &[Seen]) -> Column {
    let attacks = TABLES.iter().flat_map(|(_, attacks)| *attacks);
    attacks
        .map(|attack| (attack.name, cell(program, attack, seen)))
        .collect()
}

/// The outcome of most cases first; the others say where they are.
fn cell(program: &Program, attack: &Attack, seen: &[Seen]) -> String {
    let mut shown: Vec<(String, Vec<String>)> = Vec::new();
    for seen in seen.iter().filter(|seen| seen.attack.name == attack.name) {
        let excused = program.exceptions.iter().any(|exception| {
            exception.attack == attack.name && exception.forms.contains(&seen.form)
        });
        let outcome = if excused && !seen.outcome.is_allowed(attack.must) {
            "*see below*".to_owned()
        } else {
            seen.outcome.to_string()
        };
        let place = format!("{}, {}", seen.form.name(), seen.protocol);
        match shown.iter_mut().find(|(known, _)| *known == outcome) {
            Some((_, places)) => places.push(place),
            None => shown.push((outcome, vec![place])),
        }
    }
    shown.sort_by_key(|(_, places)| std::cmp::Reverse(places.len()));
    let cells = shown
        .into_iter()
        .enumerate()
        .map(|(at, (outcome, places))| {
            if at == 0 {
                outcome
            } else {
                format!("{outcome} ({})", places.join("; "))
            }
        });
    cells.collect::<Vec<_>>().join(", ")
}

/// The document of all programs.
pub(crate) fn document(columns: &[(&Program, Column)]) -> String {
    let mut text = INTRODUCTION.to_owned();
    for (title, attacks) in TABLES {
        let names: Vec<&str> = columns.iter().map(|(program, _)| program.name).collect();
        let _infallible = write!(
            text,
            "\n## {title}\n\n| what the client sends | {} |\n|---|{}\n",
            names.join(" | "),
            "---|".repeat(names.len())
        );
        for attack in *attacks {
            let cells: Vec<&str> = columns
                .iter()
                .map(|(_, column)| column[attack.name].as_str())
                .collect();
            let _infallible = writeln!(text, "| {} | {} |", attack.name, cells.join(" | "));
        }
    }
    text.push_str("\n## What a gateway cannot prevent\n");
    for (program, _) in columns {
        let _infallible = write!(text, "\n### {}\n\n", program.name);
        if program.exceptions.is_empty() {
            text.push_str("Nothing of the above.\n");
        }
        for exception in program.exceptions {
            let forms: Vec<&str> = exception.forms.iter().map(|form| form.name()).collect();
            let _infallible = writeln!(
                text,
                "- {} ({}): {}",
                exception.attack,
                forms.join(", "),
                exception.what
            );
        }
    }
    text
}

/// What the document says of this program and is not what was seen.
pub(crate) fn differences(program: &Program, column: &Column) -> Vec<String> {
    let text = std::fs::read_to_string(path()).unwrap_or_default();
    let cells = |line: &str| -> Vec<String> {
        let line = line.trim_start_matches("| ").trim_end_matches(" |");
        line.split(" | ").map(str::to_owned).collect()
    };
    let mut at = None;
    let mut said = BTreeMap::new();
    for line in text.lines().filter(|line| line.starts_with("| ")) {
        let cells = cells(line);
        if cells[0] == "what the client sends" {
            at = cells.iter().position(|cell| cell == program.name);
        } else if let Some(cell) = at.and_then(|at| cells.get(at)) {
            said.insert(cells[0].clone(), cell.clone());
        }
    }
    let differs = column.iter().filter(|(name, seen)| {
        let said = said.get(**name);
        said != Some(*seen)
    });
    differs
        .map(|(name, seen)| {
            let said = said.get(*name);
            format!("{name}: seen {seen:?}, the document says {said:?}")
        })
        .collect()
}

pub(crate) fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gateways/ATTACKS.md")
}
