//! A page of docs/ with commands in it: what is run, and what has to come.

use std::path::Path;

/// A fenced block of shell, and the text that the page shows below it.
#[derive(Debug)]
pub(crate) struct Step {
    /// The heading above it.
    pub(crate) section: String,
    /// Where on the page it begins.
    pub(crate) line: usize,
    pub(crate) script: String,
    /// What it prints; `None` where the page does not say.
    pub(crate) shown: Option<Shown>,
}

/// What a step prints.
#[derive(Debug)]
pub(crate) struct Shown {
    pub(crate) lines: Vec<String>,
    /// The exit code: 0 unless the block is marked with another one.
    pub(crate) exit: i32,
}

/// The page as it stands.
pub(crate) fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs")
        .join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|fault| panic!("{}: {fault}", path.display()))
}

/// Every block of shell on the page, in its order.
///
/// # Panics
/// At a block of another kind than `sh` and `text`: nothing on the page may look like a command and
/// be none.
pub(crate) fn steps(page: &str) -> Vec<Step> {
    let (mut steps, mut section) = (Vec::<Step>::new(), String::new());
    let mut lines = page.lines().zip(1..);
    while let Some((line, number)) = lines.next() {
        if let Some(heading) = line.strip_prefix('#') {
            heading
                .trim_start_matches('#')
                .trim()
                .clone_into(&mut section);
        }
        let Some(kind) = line.trim_start().strip_prefix("```") else {
            continue;
        };
        let block: Vec<String> = lines
            .by_ref()
            .map(|(line, _)| line.to_owned())
            .take_while(|line| !line.trim_start().starts_with("```"))
            .collect();
        let mut words = kind.split_whitespace();
        match words.next() {
            Some("sh") => {
                steps.push(Step {
                    section: section.clone(),
                    line: number,
                    script: block.join("\n"),
                    shown: None,
                });
            }
            Some("text") => {
                let exit = words
                    .find_map(|word| word.strip_prefix("exit="))
                    .map_or(0, |code| code.parse().expect("an exit code"));
                let step = steps
                    .last_mut()
                    .filter(|step| step.section == section && step.shown.is_none());
                step.unwrap_or_else(|| panic!("line {number}: an output without a command"))
                    .shown = Some(Shown { lines: block, exit });
            }
            _ => panic!("line {number}: a block of the kind {kind:?} is neither run nor an output"),
        }
    }
    steps
}

/// Every block of YAML on the page, without the indent of a list that it may stand in.
pub(crate) fn yaml(page: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut lines = page.lines();
    while let Some(line) = lines.next() {
        if let Some(indent) = line
            .strip_suffix("```yaml")
            .filter(|indent| indent.trim().is_empty())
        {
            let block = lines
                .by_ref()
                .take_while(|line| line.trim() != "```")
                .map(|line| line.strip_prefix(indent).unwrap_or(line));
            blocks.push(block.collect::<Vec<_>>().join("\n"));
        }
    }
    blocks
}

/// Whether `said` is what the page shows: line by line, `…` in a line standing for any text and
/// alone for any lines.
///
/// # Errors
/// Names the first line that is not there.
pub(crate) fn compare(shown: &[String], said: &str) -> Result<(), String> {
    let mut rest = said.lines();
    let mut gap = false;
    for pattern in shown {
        if pattern.trim() == "…" {
            gap = true;
            continue;
        }
        let found = if gap {
            rest.any(|line| fits(pattern, line))
        } else {
            rest.next().is_some_and(|line| fits(pattern, line))
        };
        if !found {
            return Err(format!("not there: {pattern}"));
        }
        gap = false;
    }
    match rest.next() {
        Some(line) if !gap => Err(format!("not on the page: {line}")),
        _ => Ok(()),
    }
}

fn fits(pattern: &str, line: &str) -> bool {
    let mut pieces = pattern.split('…');
    let Some(mut rest) = line.strip_prefix(pieces.next().unwrap_or_default()) else {
        return false;
    };
    let mut pieces: Vec<&str> = pieces.collect();
    let Some(last) = pieces.pop() else {
        return rest.is_empty();
    };
    for piece in pieces {
        let Some((_, behind)) = rest.split_once(piece) else {
            return false;
        };
        rest = behind;
    }
    rest.ends_with(last)
}
