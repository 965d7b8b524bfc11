//! systemd, or whatever else starts the program and speaks its protocol: it is told what state the
//! program is in, and it may pass sockets that it listens on.

mod notify;
mod sockets;
mod types;

pub(crate) use notify::Supervisor;
pub(crate) use sockets::take;
pub(crate) use types::{Config, PassedListener, PassedSocket};
