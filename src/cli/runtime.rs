//! The runtime that asynchronous commands run on.

use super::output::{CommandError, failed};
use tokio::runtime::{Builder, Runtime};

pub(super) fn runtime() -> Result<Runtime, CommandError> {
    Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("the runtime cannot be set up", &error))
}
