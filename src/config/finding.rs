//! What is wrong or weak, and where. The texts name keys, places and types, never a value: a value
//! in the wrong place may be a secret.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use std::{fmt, sync::Arc};

/// Where a value was given.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// The configuration file.
    File {
        /// Its name as it was given.
        file: Arc<str>,
        /// Counted from 1; 0 where the whole file is meant.
        line: usize,
        /// Counted from 1, in characters.
        column: usize,
    },
    /// A line of the `.env` file.
    DotEnv {
        /// Counted from 1.
        line: usize,
    },
    /// An environment variable.
    Variable(String),
    /// A flag of the command line.
    Flag(&'static str),
    /// A file that a `*_file` key or a `*_FILE` variable names.
    SecretFile {
        /// The file that holds the value.
        path: String,
        /// Where the file is named.
        named: Box<Place>,
    },
    /// No source gives it.
    Default,
    /// The configuration as a whole.
    #[default]
    Nowhere,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { file, line: 0, .. } => f.write_str(file),
            Self::File { file, line, column } => write!(f, "{file}:{line}:{column}"),
            Self::DotEnv { line } => write!(f, ".env:{line}"),
            Self::Variable(name) => f.write_str(name),
            Self::Flag(name) => f.write_str(name),
            Self::SecretFile { path, named } => write!(f, "{path} (named at {named})"),
            Self::Default => f.write_str("default"),
            Self::Nowhere => f.write_str("configuration"),
        }
    }
}

/// For programs: `file`, `line` and `column`, or `variable`, or `flag`; `at` has the text form as
/// well.
impl Serialize for Place {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("at", &self.to_string())?;
        match self {
            Self::File { file, line: 0, .. } => map.serialize_entry("file", &**file)?,
            Self::File { file, line, column } => {
                map.serialize_entry("file", &**file)?;
                map.serialize_entry("line", line)?;
                map.serialize_entry("column", column)?;
            }
            Self::DotEnv { line } => {
                map.serialize_entry("file", ".env")?;
                map.serialize_entry("line", line)?;
            }
            Self::Variable(name) => map.serialize_entry("variable", name)?,
            Self::Flag(name) => map.serialize_entry("flag", name)?,
            Self::SecretFile { path, named } => {
                map.serialize_entry("file", path)?;
                map.serialize_entry("named", &**named)?;
            }
            Self::Default | Self::Nowhere => {}
        }
        map.end()
    }
}

/// A fault, which keeps the program from starting, or a warning: legal, and weak or old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What, and what to do about it.
    pub text: String,
}

impl Finding {
    pub(super) fn new(place: &Place, text: impl Into<String>) -> Self {
        Self {
            place: place.clone(),
            text: text.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// More than a person reads. A file of another program may have a fault on every line.
const MOST: usize = 100;

/// Instead of a value: its fault is in the findings.
#[derive(Clone, Copy)]
pub(super) struct Reported;

/// Collects, so that all faults are reported at once.
#[derive(Default)]
pub(super) struct Findings {
    faults: Vec<Finding>,
    warnings: Vec<Finding>,
    /// Faults beyond the first hundred.
    further: usize,
}

impl Findings {
    pub(super) fn fault(&mut self, place: &Place, text: impl Into<String>) {
        let fault = Finding::new(place, text);
        // Two components, or two clusters, may read the same faulty value.
        if self.faults.contains(&fault) {
            return;
        }
        if self.full() {
            self.further += 1;
        } else {
            self.faults.push(fault);
        }
    }

    pub(super) fn warn(&mut self, place: &Place, text: impl Into<String>) {
        let warning = Finding::new(place, text);
        if self.warnings.len() < MOST && !self.warnings.contains(&warning) {
            self.warnings.push(warning);
        }
    }

    /// Whether further faults are only counted, so that a costly text need not be made.
    pub(super) fn full(&self) -> bool {
        self.faults.len() >= MOST
    }

    /// All of them in the order of the file.
    pub(super) fn sorted(mut self) -> (Vec<Finding>, Vec<Finding>) {
        self.faults.sort_by(|a, b| a.place.cmp(&b.place));
        self.warnings.sort_by(|a, b| a.place.cmp(&b.place));
        if self.further > 0 {
            let further = format!("and {} more faults", self.further);
            self.faults.push(Finding::new(&Place::Nowhere, further));
        }
        (self.faults, self.warnings)
    }
}
