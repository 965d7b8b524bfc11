//! What every command needs: a runtime, a way to print, a way to fail.

use crate::telemetry::chain;
use std::{
    error::Error,
    io::{self, Write as _},
};
use tokio::runtime::{Builder, Runtime};

/// What to print before the program ends with 1.
pub(super) struct CommandError(pub(super) String);

pub(super) fn failed(what: &str, error: &(dyn Error + 'static)) -> CommandError {
    CommandError(format!("{what}: {}", chain(error)))
}

/// The result of a command goes to standard output. A reader that stops early (`| head`) is not a
/// failure.
pub(super) fn print(text: &str) -> Result<(), CommandError> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(failed("the result cannot be printed", &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

pub(super) fn runtime() -> Result<Runtime, CommandError> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("the runtime cannot be set up", &error))
}
