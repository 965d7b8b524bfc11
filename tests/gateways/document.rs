//! A document with tables: a row for each case, a column for each gateway. A test compares the
//! column of its gateway with what it has seen.

use crate::gateway::Program;
use std::{collections::BTreeMap, fmt::Write as _, path::Path};

/// The cells of a gateway, by the first cell of their row.
pub(crate) type Column = BTreeMap<&'static str, String>;

/// A document of docs/gateways.
#[derive(Debug)]
pub(crate) struct Document {
    pub(crate) file: &'static str,
    pub(crate) introduction: &'static str,
    pub(crate) tables: Vec<Table>,
}

#[derive(Debug)]
pub(crate) struct Table {
    pub(crate) title: &'static str,
    /// What stands above the first cells.
    pub(crate) head: &'static str,
    pub(crate) rows: Vec<&'static str>,
}

impl Document {
    /// Introduction and tables.
    pub(crate) fn text(&self, columns: &[(&Program, Column)]) -> String {
        let mut text = self.introduction.to_owned();
        let names: Vec<&str> = columns.iter().map(|(program, _)| program.name).collect();
        for table in &self.tables {
            let _infallible = write!(
                text,
                "\n## {}\n\n| {} | {} |\n|---|{}\n",
                table.title,
                table.head,
                names.join(" | "),
                "---|".repeat(names.len())
            );
            for row in &table.rows {
                let cells: Vec<&str> = columns
                    .iter()
                    .map(|(_, column)| column[row].as_str())
                    .collect();
                let _infallible = writeln!(text, "| {row} | {} |", cells.join(" | "));
            }
        }
        text
    }

    pub(crate) fn write(&self, text: &str) {
        std::fs::write(self.path(), text).expect("the document");
    }

    /// What the document says of this gateway and is not what was seen.
    pub(crate) fn differences(&self, program: &Program, column: &Column) -> Vec<String> {
        let text = std::fs::read_to_string(self.path()).unwrap_or_default();
        let heads: Vec<&str> = self.tables.iter().map(|table| table.head).collect();
        let mut at = None;
        let mut said = BTreeMap::new();
        for line in text.lines().filter(|line| line.starts_with("| ")) {
            let line = line.trim_start_matches("| ").trim_end_matches(" |");
            let cells: Vec<&str> = line.split(" | ").collect();
            if heads.contains(&cells[0]) {
                at = cells.iter().position(|cell| *cell == program.name);
            } else if let Some(cell) = at.and_then(|at| cells.get(at)) {
                said.insert(cells[0], *cell);
            }
        }
        let differs = column
            .iter()
            .filter(|(row, seen)| said.get(**row) != Some(&seen.as_str()));
        differs
            .map(|(row, seen)| {
                let said = said.get(*row);
                format!("{row}: seen {seen:?}, {} says {said:?}", self.file)
            })
            .collect()
    }

    fn path(&self) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("docs/gateways")
            .join(self.file)
    }
}
