//! What the environment says of systemd, or of another supervisor that speaks its protocol. These
//! variables are no keys: an administrator does not set them.

use super::sources::Sources;
use crate::supervisor::Config;

/// No socket unit has so many.
const MOST: usize = 64;

/// The supervisor of the process with this id, if there is one.
pub(crate) fn supervisor(sources: &Sources, process: u32) -> Config {
    let variable = |name| {
        let value = sources.environment.get(name).map(String::as_str);
        value.filter(|value| !value.is_empty())
    };
    let is_ours = variable("LISTEN_PID").and_then(|id| id.parse().ok()) == Some(process);
    let passed = variable("LISTEN_FDS").and_then(|count| count.parse().ok());
    let passed: usize = passed.filter(|_| is_ours).unwrap_or(0);
    let names = variable("LISTEN_FDNAMES").unwrap_or_default().split(':');
    let names = names.chain(std::iter::repeat(""));
    Config {
        notify_socket: variable("NOTIFY_SOCKET").map(str::to_owned),
        sockets: names.take(passed.min(MOST)).map(str::to_owned).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Flags;

    fn read(environment: &[(&str, &str)]) -> Config {
        supervisor(&Sources::given(Flags::default(), environment), 42)
    }

    #[test]
    fn sockets_have_the_names_of_their_unit() {
        let passed = |names| {
            let variables = [
                ("LISTEN_PID", "42"),
                ("LISTEN_FDS", "3"),
                ("LISTEN_FDNAMES", names),
            ];
            read(&variables).sockets
        };
        assert_eq!(
            passed("listen:admin.listen:a"),
            ["listen", "admin.listen", "a"]
        );
        assert_eq!(passed("listen"), ["listen", "", ""]);
        assert_eq!(passed("a:b:c:d"), ["a", "b", "c"]);
    }

    #[test]
    fn sockets_of_another_process_are_not_ours() {
        for other in ["41", "", "x"] {
            let variables = [("LISTEN_PID", other), ("LISTEN_FDS", "1")];
            assert_eq!(read(&variables), Config::default(), "{other}");
        }
        assert_eq!(read(&[("LISTEN_FDS", "1")]), Config::default());
        let variables = [("LISTEN_PID", "42"), ("LISTEN_FDS", "-1")];
        assert_eq!(read(&variables), Config::default());
    }

    #[test]
    fn the_socket_for_messages_needs_no_other_variable() {
        let socket = read(&[("NOTIFY_SOCKET", "/run/systemd/notify")]).notify_socket;
        assert_eq!(socket.as_deref(), Some("/run/systemd/notify"));
        assert_eq!(read(&[("NOTIFY_SOCKET", "")]).notify_socket, None);
    }
}
