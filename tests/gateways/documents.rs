//! docs/gateways/ATTACKS.md and ANSWERS.md, from what a run has seen.

use crate::{
    answers,
    attacks::{self, Seen, types::Attack},
    document::{Column, Document, Table},
    gateway::Program,
};
use std::fmt::Write as _;

const ATTACKS: &str = "\
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

const ANSWERS: &str = "\
# What clients see through each gateway

<!-- Generated from a run of tests/gateways by
`cargo test --features real-parts --test gateways write_answers -- --ignored`. -->

`tests/gateways` starts each gateway with the files of its guide and looks at the answers that a
client gets when elastauth refuses, and when there is no elastauth that could answer. Nothing
reaches an application in any of these cases, except where the table says how.

A cell has the status, whose body it is, and which of `Location`, `WWW-Authenticate` and
`Retry-After` the client gets. A *script* sends `Accept: application/json`, a *browser*
`Accept: text/html`.
";

/// The document of attacks.
pub(crate) fn attacks() -> Document {
    let tables = attacks::TABLES.iter().map(|(title, attacks)| Table {
        title,
        head: "what the client sends",
        rows: attacks.iter().map(|attack| attack.name).collect(),
    });
    Document {
        file: "ATTACKS.md",
        introduction: ATTACKS,
        tables: tables.collect(),
    }
}

/// The document of answers.
pub(crate) fn answers() -> Document {
    let tables = answers::TABLES.iter().map(|(title, rows)| Table {
        title,
        head: "what is the case",
        rows: rows.to_vec(),
    });
    Document {
        file: "ANSWERS.md",
        introduction: ANSWERS,
        tables: tables.collect(),
    }
}

/// What was seen of the attacks on one gateway.
pub(crate) fn column_of_attacks(program: &Program, seen: &[Seen]) -> Column {
    let attacks = attacks::TABLES.iter().flat_map(|(_, attacks)| *attacks);
    attacks
        .map(|attack| (attack.name, cell(program, attack, seen)))
        .collect()
}

/// What was seen of the answers of one gateway.
pub(crate) fn column_of_answers(cells: &[answers::Cell]) -> Column {
    let cells = cells.iter().map(|cell| (cell.row, cell.text.clone()));
    cells.collect()
}

/// What the gateways cannot prevent, for the end of the document of attacks.
pub(crate) fn exceptions(programs: &[&Program]) -> String {
    let mut text = "\n## What a gateway cannot prevent\n".to_owned();
    for program in programs {
        let _infallible = write!(text, "\n### {}\n\n", program.name);
        if program.exceptions.is_empty() {
            text.push_str("Nothing of the above.\n");
        }
        for exception in program.exceptions {
            let forms: Vec<&str> = exception.forms.iter().map(|form| form.name()).collect();
            let sentence = format!(
                "- {} ({}): {}",
                exception.attack,
                forms.join(", "),
                exception.what
            );
            text.push_str(&wrapped(&sentence));
            text.push('\n');
        }
    }
    text
}

/// Lines of at most 100 characters; all but the first are indented.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().expect("a line");
        if last.trim().is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= 100 {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(format!("  {word}"));
        }
    }
    lines.join("\n")
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
