//! placeholder

/// Settings of the log.
#[derive(Debug, Clone, Copy, Default)]
pub struct Config {
    /// From which severity on lines are written.
    pub level: Level,
    /// How a line looks.
    pub format: Format,
}

/// From which severity on lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the usual four")]
pub enum Level {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
