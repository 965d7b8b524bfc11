//! What is wrong or weak, and where it stands. Texts here name keys, places and kinds, never a
//! value: a value in the wrong place may be a secret.

use serde::{Serialize, Serializer, ser::SerializeMap as _};
use std::{fmt, sync::Arc};

/// Where a value was given.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
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
    /// Nobody has given it.
    Default,
    /// The configuration as a whole.
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

/// For programs: `file`, `line` and `column`, or `variable`, or `flag`; the text form stands beside
/// them as `at`.
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

/// One thing that keeps the program from starting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// Where.
    pub place: Place,
    /// What, and what is allowed.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// One thing that is legal, and weak or old.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Warning {
    /// Where.
    pub place: Place,
    /// What, and what to do about it.
    pub text: String,
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}

/// More than a person reads. A file of another program may have a fault on every line.
const MOST: usize = 100;

/// Collects, so that all faults are told at once.
#[derive(Debug, Default)]
pub(super) struct Findings {
    faults: Vec<Fault>,
    warnings: Vec<Warning>,
    not_kept: usize,
}

impl Findings {
    pub(super) fn fault(&mut self, place: &Place, text: impl Into<String>) {
        if self.full() {
            self.not_kept += 1;
        } else {
            self.faults.push(Fault {
                place: place.clone(),
                text: text.into(),
            });
        }
    }

    pub(super) fn warn(&mut self, place: &Place, text: impl Into<String>) {
        if self.warnings.len() < MOST {
            self.warnings.push(Warning {
                place: place.clone(),
                text: text.into(),
            });
        }
    }

    /// Whether further faults are only counted: whoever would take trouble over the text of one may
    /// save it.
    pub(super) fn full(&self) -> bool {
        self.faults.len() >= MOST
    }

    /// All of them in the order of the file.
    pub(super) fn sorted(mut self) -> (Vec<Fault>, Vec<Warning>) {
        self.faults.sort_by(|a, b| a.place.cmp(&b.place));
        // Two components may need the same value of the machine's.
        self.faults.dedup();
        self.warnings.sort_by(|a, b| a.place.cmp(&b.place));
        if self.not_kept > 0 {
            self.faults.push(Fault {
                place: Place::Nowhere,
                text: format!("and {} more faults", self.not_kept),
            });
        }
        (self.faults, self.warnings)
    }
}
