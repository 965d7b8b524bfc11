//! docs/REAL-INPUTS.md, from the rows.

use super::{
    claims, elsewhere, headers, roles,
    row::{Answer, Row, Sent, Table},
    tokens, user_names,
};
use std::{fmt::Write as _, path::Path};

const INTRODUCTION: &str = "\
# What gateways and providers really send

<!-- Generated from tests/it/real_inputs by `cargo test --test it write_real_inputs -- --ignored`. -->

Inputs that people have met, and what elastauth makes of each. A test on the running program holds
every row. `\"\"` in a header is an empty value, `\\xNN` a byte.
";

fn tables() -> Vec<&'static Table> {
    [
        headers::TABLES,
        claims::TABLES,
        user_names::TABLES,
        roles::TABLES,
        tokens::TABLES,
    ]
    .concat()
}

fn document() -> String {
    let mut text = INTRODUCTION.to_owned();
    for table in tables() {
        let _infallible = write!(
            text,
            "\n## {}\n\n{}\n\nTest: {}\n\n| what comes | setting | answer |\n|---|---|---|\n",
            table.title,
            wrapped(table.about),
            code(table.test)
        );
        for row in table.rows {
            let set = row.set.iter().map(|line| {
                let dot = if table.section.is_empty() { "" } else { "." };
                code(&format!("{}{dot}{line}", table.section))
            });
            let set = set.collect::<Vec<_>>().join(", ");
            let cells = [input(row), set, answer(row)];
            let _infallible = writeln!(text, "| {} |", cells.join(" | "));
        }
    }
    for (title, held) in elsewhere::TABLES {
        let _infallible = write!(
            text,
            "\n## {title}\n\n| what comes | answer | test |\n|---|---|---|\n"
        );
        for row in *held {
            let _infallible = writeln!(
                text,
                "| {} | {} | {} |",
                row.input,
                row.answer,
                code(row.test)
            );
        }
    }
    text
}

/// What comes, as the document shows it.
pub(super) fn input(row: &Row) -> String {
    match &row.sent {
        Sent::Headers(headers) => {
            let headers = headers.iter().map(|(name, value)| header(name, value));
            headers.collect::<Vec<_>>().join(", ")
        }
        Sent::Groups(value) => header("remote-groups", value),
        Sent::Claims(changes) => code(changes),
    }
}

fn header(name: &str, value: &[u8]) -> String {
    let value = match std::str::from_utf8(value) {
        Ok("") => "\"\"".to_owned(),
        Ok(text) => text.to_owned(),
        Err(_) => value.escape_ascii().to_string(),
    };
    code(&format!("{}: {value}", canonical(name)))
}

fn answer(row: &Row) -> String {
    let list = |items: &[&str]| {
        let items = items.iter().map(|item| code(item));
        items.collect::<Vec<_>>().join(", ")
    };
    match row.answer {
        Answer::Accepted => "accepted".to_owned(),
        Answer::User(name, groups) => {
            let groups = match groups {
                [] => "no groups".to_owned(),
                [one] => format!("group {}", code(one)),
                several => format!("groups {}", list(several)),
            };
            if name.is_empty() {
                groups
            } else {
                format!("user {}", code(name))
            }
        }
        Answer::Roles(roles) => format!("roles {}", list(roles)),
        Answer::Person(email, name) => {
            let shown = |what: &str, text: &str| match text {
                "" => format!("no {what}"),
                text => format!("{what} {}", code(text)),
            };
            format!("{}, {}", shown("mail", email), shown("name", name))
        }
        Answer::Refused(status, code_, "") => format!("{status} {}", code(code_)),
        Answer::Refused(status, code_, words) => format!("{status} {}: {words}", code(code_)),
    }
}

/// Lines of at most 100 characters.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let last = lines.last_mut().unwrap();
        if last.is_empty() {
            last.push_str(word);
        } else if last.chars().count() + 1 + word.chars().count() <= 100 {
            last.push(' ');
            last.push_str(word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines.join("\n")
}

/// `Remote-User` of `remote-user`.
fn canonical(name: &str) -> String {
    let parts = name.split('-').map(|part| match part.split_at_checked(1) {
        Some((first, rest)) => first.to_uppercase() + rest,
        None => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("-")
}

/// A code span in a cell of a table.
fn code(text: &str) -> String {
    let text = text.replace('|', "\\|");
    if text.contains('`') {
        format!("`` {text} ``")
    } else {
        format!("`{text}`")
    }
}

fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/REAL-INPUTS.md")
}

#[test]
fn the_document_is_current() {
    let found = std::fs::read_to_string(path()).unwrap_or_default();
    assert!(
        found == document(),
        "docs/REAL-INPUTS.md is not current; write it with \
         `cargo test --test it write_real_inputs -- --ignored`"
    );
}

#[test]
#[ignore = "writes docs/REAL-INPUTS.md"]
fn write_real_inputs() {
    std::fs::write(path(), document()).unwrap();
}

#[test]
fn every_test_that_a_row_names_exists() {
    let of_tables = tables().into_iter().map(|table| table.test);
    let elsewhere = elsewhere::TABLES.iter().flat_map(|(_, held)| *held);
    for test in of_tables.chain(elsewhere.map(|row| row.test)) {
        let (module, function) = test.rsplit_once("::").expect("module::function");
        let path = module.replace("::", "/");
        // Those that need other programs are in `tests/real`.
        let file = match path.strip_prefix("real/") {
            Some(path) => format!("tests/real/{path}.rs"),
            None => format!("tests/it/{path}.rs"),
        };
        let source = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(&file));
        let source = source.unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(source.contains(&format!("fn {function}(")), "{test}");
    }
}
