//! Keeps keys and passwords out of core dumps and away from other processes of the same user.

use rustix::{
    io::Result,
    process::{Resource, Rlimit, setrlimit},
};
use tracing::{info, warn};

/// What the system has allowed.
#[derive(Debug)]
pub(super) struct Dumps {
    limit: Result<()>,
    dumpable: Result<()>,
}

/// Forbids core dumps, and other processes of this user to read our memory. Called before any
/// secret is read; the log is not there yet.
pub(super) fn forbid() -> Dumps {
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    Dumps {
        limit: setrlimit(Resource::Core, none),
        dumpable: not_dumpable(),
    }
}

/// A `core_pattern` that is a program is not bound by the limit, only by this.
#[cfg(target_os = "linux")]
fn not_dumpable() -> Result<()> {
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)
}

#[cfg(not(target_os = "linux"))]
fn not_dumpable() -> Result<()> {
    Ok(())
}

impl Dumps {
    /// A system that refuses is no reason not to start.
    pub(super) fn log(self) {
        match self.limit.and(self.dumpable) {
            Ok(()) => info!("core dumps are off, and only root can read this process's memory"),
            Err(error) => warn!(
                %error,
                "core dumps could not be switched off: a dump would hold keys and passwords; \
                 forbid them in the supervisor (`LimitCORE=0`)"
            ),
        }
    }
}
