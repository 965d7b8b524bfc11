//! The log: lines on standard error, for people or for programs.

use std::io::{self, IsTerminal as _};
use tracing::{Dispatch, dispatcher::SetGlobalDefaultError};
use tracing_subscriber::{
    Layer as _, Registry,
    filter::{LevelFilter, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
};

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

/// The log was set up before.
#[derive(Debug, thiserror::Error)]
#[error("the log is set up already")]
pub struct AlreadySet(#[source] SetGlobalDefaultError);

/// Sends the log of the whole process to standard error, with colours only where that is a terminal.
///
/// # Errors
/// When the process has a log already.
pub fn init(config: Config) -> Result<(), AlreadySet> {
    tracing::dispatcher::set_global_default(dispatch(config, io::stderr, io::stderr().is_terminal())).map_err(AlreadySet)
}

/// The log with a writer of the caller's choice. It does nothing until it is made the default of a process or a scope.
#[must_use]
pub fn dispatch<W>(config: Config, writer: W, colours: bool) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).with_ansi(colours);
    let lines = match config.format {
        Format::Text => lines.with_target(false).boxed(),
        // Field names of the event stand beside `level` and `timestamp`, where log collectors look for them.
        Format::Json => lines.with_ansi(false).json().flatten_event(true).with_current_span(false).with_span_list(false).boxed(),
    };
    Dispatch::new(Registry::default().with(lines.with_filter(targets(config.level))))
}

/// Our own lines by the setting. Of the libraries only warnings, whatever the setting: at lower severities they write what they read, headers included.
fn targets(level: Level) -> Targets {
    let own = match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    Targets::new().with_default(own.min(LevelFilter::WARN)).with_target(env!("CARGO_CRATE_NAME"), own)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(config: Config, say: impl FnOnce()) -> String {
        let kept = Kept::default();
        let writer = kept.clone();
        tracing::dispatcher::with_default(&dispatch(config, move || writer.clone(), false), say);
        let bytes = kept.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_line_cannot_be_forged_by_what_it_tells() {
        for format in [Format::Text, Format::Json] {
            let text = written(Config { level: Level::Info, format }, || tracing::info!(user = "a\nb\u{1b}[31m\"", "hello"));
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(!text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn json_lines_have_their_fields_beside_the_level() {
        let text =
            written(Config { level: Level::Info, format: Format::Json }, || tracing::warn!(code = "unavailable", status = 503, "refused"));
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (&line["level"], &line["code"], &line["status"], &line["message"]),
            (&"WARN".into(), &"unavailable".into(), &503.into(), &"refused".into())
        );
    }

    #[test]
    fn libraries_are_quiet_even_when_we_are_not() {
        let text = written(Config { level: Level::Debug, format: Format::Text }, || {
            tracing::debug!(target: "hyper::proto", "a header");
            tracing::warn!(target: "hyper::proto", "a warning");
            tracing::debug!("our own");
        });
        assert!(!text.contains("a header") && text.contains("a warning") && text.contains("our own"), "{text}");
    }

    #[test]
    fn what_is_below_the_level_is_not_written() {
        assert_eq!(written(Config { level: Level::Error, format: Format::Text }, || tracing::warn!("no")), "");
    }
}
