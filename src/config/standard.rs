//! Variables that other programs follow as well: those of the machine's proxy, of systemd, and of
//! OpenTelemetry.

use super::{dotenv::DotEnvLine, finding::Place, key::OTEL_PREFIX, sources::Sources};
use std::{collections::HashMap, path::PathBuf};

/// Their values. An empty variable is one that is not set.
#[derive(Clone, Default)]
pub(super) struct StandardVariables {
    https_proxy: Option<String>,
    no_proxy: Option<String>,
    state_directory: Option<String>,
    otel: HashMap<String, (String, Place)>,
}

impl StandardVariables {
    /// `.env` counts for OpenTelemetry alone, after the environment.
    pub(super) fn read(sources: &Sources, lines: &[DotEnvLine<'_>]) -> Self {
        let set = |name: &str| {
            let value = sources.environment.get(name);
            value.filter(|text| !text.is_empty()).cloned()
        };
        // Lower case is as common; upper case counts first.
        let either = |name: &str| set(name).or_else(|| set(&name.to_ascii_lowercase()));
        let lines = lines.iter().map(DotEnvLine::variable);
        let otel = lines
            .chain(sources.variables())
            .filter_map(|(name, value, place)| {
                let value = value.trim();
                let is_set = name.starts_with(OTEL_PREFIX) && !value.is_empty();
                is_set.then(|| (name.to_owned(), (value.to_owned(), place)))
            });
        Self {
            https_proxy: either("HTTPS_PROXY"),
            no_proxy: either("NO_PROXY"),
            state_directory: set("STATE_DIRECTORY"),
            otel: otel.collect(),
        }
    }

    /// The proxy for `https`, and the hosts that are reached without it.
    pub(super) fn proxy(&self) -> (Option<&str>, &str) {
        let except = self.no_proxy.as_deref().unwrap_or_default();
        (self.https_proxy.as_deref(), except)
    }

    /// The folder that systemd has made for the service; the first of several.
    pub(super) fn state_directory(&self) -> Option<PathBuf> {
        let first = self.state_directory.as_deref()?.split(':').next()?;
        Some(PathBuf::from(first)).filter(|path| path.is_absolute())
    }

    /// A variable of OpenTelemetry, and its place.
    pub(super) fn otel(&self, name: &str) -> Option<(&str, &Place)> {
        let (text, place) = self.otel.get(name)?;
        Some((text, place))
    }
}
