//! What the errors of the library mean.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// What an error answer means, and whether the connection is worth keeping after it. `None` if it is
/// no answer of Redis. The texts are ours: the server at the other end does not write our log.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the library's kinds are open; what is not named here is no answer of Redis"
)]
pub(super) fn refusal(error: &RedisError) -> Option<(&'static str, bool)> {
    Some(match error.kind() {
        // After a failover the old master is somebody's replica: look for the new one.
        ErrorKind::Server(ServerErrorKind::ReadOnly) => ("it is read-only", false),
        ErrorKind::Server(ServerErrorKind::MasterDown) => ("it has lost its master", false),
        ErrorKind::Server(ServerErrorKind::BusyLoading) => ("it is still loading", false),
        ErrorKind::Server(ServerErrorKind::NoPerm) => {
            ("its ACL does not allow elastauth what it needs", true)
        }
        ErrorKind::Server(ServerErrorKind::ClusterDown) => ("its cluster is down", true),
        ErrorKind::Server(_) => ("it refuses a command", true),
        ErrorKind::AuthenticationFailed => {
            ("it does not take the user name or the password", false)
        }
        ErrorKind::Extension => match error.code() {
            Some("OOM") => ("it is full", true),
            Some("NOAUTH" | "WRONGPASS") => {
                ("it does not take the user name or the password", false)
            }
            Some("MISCONF") => ("it cannot save and takes no writes", true),
            Some(_) | None => ("it refuses a command", true),
        },
        _ => return None,
    })
}

/// Why a connection was not made.
pub(super) fn reason(error: &RedisError) -> &'static str {
    match refusal(error) {
        Some((why, _)) => why,
        None if error.is_connection_refusal() => "it cannot be connected to",
        None if error.is_timeout() => "it does not answer in time",
        None if error.kind() == ErrorKind::MasterNameNotFoundBySentinel => {
            "its Sentinels know no master of that name"
        }
        None => "it cannot be connected to",
    }
}
