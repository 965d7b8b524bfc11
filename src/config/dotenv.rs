//! The `.env` file: `NAME=value` lines, as compose files and shells write them.

use super::{
    finding::{Findings, Place},
    sources::Variable,
};

/// One line: its name, its value, its number.
pub(super) struct DotEnvLine<'a> {
    pub(super) name: &'a str,
    pub(super) value: String,
    pub(super) number: usize,
}

impl DotEnvLine<'_> {
    pub(super) fn variable(&self) -> Variable<'_> {
        let place = Place::DotEnv { line: self.number };
        (self.name, &self.value, place)
    }
}

/// The last value of a name.
pub(super) fn value<'a>(lines: &'a [DotEnvLine<'_>], name: &str) -> Option<&'a str> {
    let line = lines.iter().rev().find(|line| line.name == name)?;
    Some(&line.value)
}

/// Reads all lines. A line of another form may be for another program, so it is a warning.
pub(super) fn read<'a>(text: &'a str, findings: &mut Findings) -> Vec<DotEnvLine<'a>> {
    let mut lines = Vec::new();
    for (at, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let number = at + 1;
        let read = line
            .strip_prefix("export ")
            .unwrap_or(line)
            .split_once('=')
            .map(|(name, value)| (name.trim(), unquoted(value.trim())));
        match read {
            Some((name, Some(value)))
                if !name.is_empty()
                    && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') =>
            {
                lines.push(DotEnvLine {
                    name,
                    value,
                    number,
                });
            }
            _ => findings.warn(
                &Place::DotEnv { line: number },
                "the line is not `NAME=value`, so it is ignored",
            ),
        }
    }
    lines
}

/// Between single quotes everything is itself; between double quotes `\n`, `\"` and `\\` are what
/// they are in C; without quotes a ` #` begins a comment.
fn unquoted(value: &str) -> Option<String> {
    if let Some(inner) = value.strip_prefix('\'') {
        return inner.split_once('\'').map(|(inner, _)| inner.to_owned());
    }
    if let Some(inner) = value.strip_prefix('"') {
        let (mut text, mut chars) = (String::new(), inner.chars());
        loop {
            match chars.next()? {
                '"' => return Some(text),
                '\\' => match chars.next()? {
                    'n' => text.push('\n'),
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
    }
    let end = value.find(" #").unwrap_or(value.len());
    value.get(..end).map(|value| value.trim_end().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_a_shell_reads_them() {
        let text = "# comment\n\nA=1\nexport B = two # why\nC='a # b'\nD=\"x\\\"y\\n\"\nE=\n\
         F=a#b\nnot a line\nG=\"open\n";
        let mut findings = Findings::default();
        let lines: Vec<_> = read(text, &mut findings)
            .into_iter()
            .map(|line| (line.name, line.value, line.number))
            .collect();
        let expected = [
            ("A", "1", 3),
            ("B", "two", 4),
            ("C", "a # b", 5),
            ("D", "x\"y\n", 6),
            ("E", "", 7),
            ("F", "a#b", 8),
        ];
        assert_eq!(
            lines,
            expected.map(|(name, value, number)| (name, value.to_owned(), number))
        );
        let warnings: Vec<_> = findings
            .sorted()
            .1
            .into_iter()
            .map(|warning| warning.place)
            .collect();
        assert_eq!(
            warnings,
            [Place::DotEnv { line: 9 }, Place::DotEnv { line: 10 }]
        );
    }
}
