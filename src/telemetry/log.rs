//! The log of the process: severity, format, and where it goes. docs/LOGGING.md is for operators.

use super::ecs;
use std::{
    error::Error,
    io::{self, IsTerminal as _},
};
use tracing::{Dispatch, dispatcher::SetGlobalDefaultError};
use tracing_subscriber::{
    Layer as _, Registry,
    filter::{LevelFilter, Targets},
    fmt::{self, MakeWriter},
    layer::SubscriberExt as _,
    reload,
};

/// Settings of the log.
#[derive(Debug, Clone, Copy, Default)]
#[expect(missing_docs, reason = "the types say it")]
pub struct Config {
    /// Lines of this severity and above are written.
    pub level: Level,
    pub format: Format,
}

/// Lines of this severity and above are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum Level {
    Debug,
    #[default]
    Info,
    Warn,
    Error,
}

/// The format of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
    /// One JSON object a line, with the field names of the Elastic Common Schema.
    Ecs,
}

/// Changes the log of a running program. Clones change the same log.
#[derive(Debug, Clone)]
pub(crate) struct Handle(reload::Handle<Targets, Registry>);

impl Handle {
    /// From now on lines of this severity and above are written.
    ///
    /// # Errors
    /// When the log no longer exists.
    pub(crate) fn set_level(&self, level: Level) -> Result<(), reload::Error> {
        self.0.reload(targets(level))
    }
}

/// Sends the log of the process to standard error, with colours only where that is a terminal.
///
/// # Errors
/// When the process has a log already.
pub(crate) fn init(config: Config) -> Result<Handle, SetGlobalDefaultError> {
    let (dispatch, handle) = dispatch(config, io::stderr, io::stderr().is_terminal());
    tracing::dispatcher::set_global_default(dispatch)?;
    Ok(handle)
}

/// The log with another writer. It does nothing until it becomes the default of a process or of a
/// scope.
#[must_use]
pub(crate) fn dispatch<W>(config: Config, writer: W, colours: bool) -> (Dispatch, Handle)
where
    W: for<'writer> MakeWriter<'writer> + Send + Sync + 'static,
{
    let lines = fmt::layer().with_writer(writer).with_ansi(colours);
    let lines = match config.format {
        Format::Text => lines.with_target(false).boxed(),
        // The fields are beside `level` and `timestamp`, where log collectors expect them.
        Format::Json => lines
            .with_ansi(false)
            .json()
            .flatten_event(true)
            .with_current_span(false)
            .with_span_list(false)
            .boxed(),
        Format::Ecs => lines
            .with_ansi(false)
            .event_format(ecs::Lines::default())
            .boxed(),
    };
    let (filter, handle) = reload::Layer::new(targets(config.level));
    (
        Dispatch::new(Registry::default().with(lines.with_filter(filter))),
        Handle(handle),
    )
}

/// Our own lines by the setting. Libraries only warn, whatever the setting: at lower severities they
/// log what they read, headers included.
fn targets(level: Level) -> Targets {
    let own = match level {
        Level::Debug => LevelFilter::DEBUG,
        Level::Info => LevelFilter::INFO,
        Level::Warn => LevelFilter::WARN,
        Level::Error => LevelFilter::ERROR,
    };
    Targets::new()
        .with_default(own.min(LevelFilter::WARN))
        .with_target(env!("CARGO_CRATE_NAME"), own)
}

/// An error and its causes, outermost first, for a line of the log.
#[must_use]
pub(crate) fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Buffer(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Buffer {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn written(config: Config, log: impl FnOnce()) -> String {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        tracing::dispatcher::with_default(&dispatch(config, move || writer.clone(), false).0, log);
        let bytes = buffer.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_value_cannot_forge_a_line() {
        for format in [Format::Text, Format::Json, Format::Ecs] {
            let text = written(
                Config {
                    level: Level::Info,
                    format,
                },
                || tracing::info!(user = "a\nb\u{1b}[31m\"", "hello"),
            );
            assert_eq!(text.matches('\n').count(), 1, "{text}");
            assert!(!text.contains('\u{1b}'), "{text}");
        }
    }

    #[test]
    fn json_lines_have_their_fields_beside_the_level() {
        let text = written(
            Config {
                level: Level::Info,
                format: Format::Json,
            },
            || tracing::warn!(code = "unavailable", status = 503, "refused"),
        );
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(
            (
                &line["level"],
                &line["code"],
                &line["status"],
                &line["message"]
            ),
            (
                &"WARN".into(),
                &"unavailable".into(),
                &503.into(),
                &"refused".into()
            )
        );
    }

    #[test]
    fn libraries_are_quiet_even_when_we_are_not() {
        let text = written(
            Config {
                level: Level::Debug,
                format: Format::Text,
            },
            || {
                tracing::debug!(target: "hyper::proto", "a header");
                tracing::warn!(target: "hyper::proto", "a warning");
                tracing::debug!("our own");
            },
        );
        assert!(
            !text.contains("a header") && text.contains("a warning") && text.contains("our own"),
            "{text}"
        );
    }

    #[test]
    fn what_is_below_the_level_is_not_written() {
        assert_eq!(
            written(
                Config {
                    level: Level::Error,
                    format: Format::Text
                },
                || tracing::warn!("no")
            ),
            ""
        );
    }

    #[test]
    fn the_level_can_be_changed_while_the_log_is_written() {
        let buffer = Buffer::default();
        let writer = buffer.clone();
        let (dispatch, handle) = dispatch(
            Config {
                level: Level::Info,
                format: Format::Text,
            },
            move || writer.clone(),
            false,
        );
        tracing::dispatcher::with_default(&dispatch, || {
            let say = |text: &str| tracing::debug!("{text}");
            say("left out");
            handle.set_level(Level::Debug).unwrap();
            say("written");
            handle.set_level(Level::Error).unwrap();
            say("left out again");
        });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        assert!(
            text.contains("written") && !text.contains("left out"),
            "{text}"
        );
        drop(dispatch);
        assert!(handle.set_level(Level::Info).is_err());
    }

    #[test]
    fn a_refusal_in_the_common_schema() {
        let text = written(
            Config {
                level: Level::Info,
                format: Format::Ecs,
            },
            || {
                tracing::warn!(
                    code = "unavailable",
                    outcome = %"cluster",
                    status = 503,
                    user = "alice",
                    peer = %"10.1.2.3",
                    method = "GET",
                    host = "kibana.example.org",
                    uri = "/app",
                    request_id = "0af7651916cd43dd",
                    error = "it is away",
                    suppressed = None::<u64>,
                    took_ms = 3_u64,
                    "refused"
                );
            },
        );
        let line: serde_json::Value = serde_json::from_str(&text).unwrap();
        for (field, value) in [
            ("log.level", serde_json::json!("warn")),
            ("message", "refused".into()),
            ("ecs.version", "8.17.0".into()),
            ("service.name", "elastauth".into()),
            ("event.code", "unavailable".into()),
            ("event.reason", "cluster".into()),
            ("http.response.status_code", 503.into()),
            ("user.name", "alice".into()),
            ("source.ip", "10.1.2.3".into()),
            ("http.request.method", "GET".into()),
            ("url.domain", "kibana.example.org".into()),
            ("url.path", "/app".into()),
            ("http.request.id", "0af7651916cd43dd".into()),
            ("error.message", "it is away".into()),
            ("elastauth.took_ms", 3.into()),
        ] {
            assert_eq!(line[field], value, "{field} in {text}");
        }
        assert!(
            line["@timestamp"]
                .as_str()
                .is_some_and(|moment| moment.ends_with('Z')),
            "{text}"
        );
        assert!(line.get("elastauth.suppressed").is_none());
    }

    #[test]
    fn an_error_is_shown_with_its_causes() {
        #[derive(Debug, thiserror::Error)]
        #[error("outer")]
        struct Outer(#[source] std::fmt::Error);
        assert_eq!(
            chain(&Outer(std::fmt::Error)),
            format!("outer: {}", std::fmt::Error)
        );
    }
}
