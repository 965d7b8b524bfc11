//! Sockets that a supervisor passes: which one is for which listener of the configuration.

use super::types::Listen;
use crate::supervisor::{PassedListener, PassedSocket};
use std::{
    io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

/// In the mode of a socket: every user of the machine may connect.
const OTHERS: u32 = 0o002;

/// A listener of the configuration, and the names by which a socket unit may mean it.
#[derive(Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) names: Vec<String>,
    pub(crate) listen: &'a Listen,
}

/// Why a passed socket is not used.
#[derive(Debug, thiserror::Error)]
pub enum PassedError {
    /// No listener has its address or its name.
    #[error(
        "no listener of the configuration is for the passed socket {0}: set `listen`, an `address` \
         of `listeners` or `admin.listen` to its address, or set `FileDescriptorName=` of the socket \
         unit to `listen`, `listeners.0` (or a later number) or `admin.listen`"
    )]
    Unwanted(String),
    /// TCP for a unix socket, or the other way round.
    #[error(
        "the passed socket is {0}, and the configuration says {1}: a TCP address and a unix socket \
         do not replace each other; change one of them"
    )]
    OtherKind(String, Listen),
    /// The checks of the configuration took it for local.
    #[error(
        "other hosts reach the passed socket {0}, and the configuration says {1}, which they do not \
         reach; set it to the address of the socket, so that `elastauth check` judges what is open"
    )]
    WiderThanConfigured(String, Listen),
    /// Whoever may write to the file of a unix socket is a gateway.
    #[error(
        "every user of this machine may connect to the passed socket {0} and name themselves any \
         user; set `SocketMode=0660` and `SocketGroup=` in the socket unit"
    )]
    OpenToAll(String),
    /// The system does not say where it listens.
    #[error("the address of the passed socket `{0}` cannot be read")]
    Address(String, #[source] io::Error),
}

/// For each listener the socket that is passed for it: the one with its address, or else the one
/// with its name.
///
/// # Errors
/// When a socket is for none, or is not what the configuration was checked for.
pub(crate) fn assign(
    passed: Vec<PassedSocket>,
    wanted: &[Wanted<'_>],
) -> Result<Vec<Option<PassedSocket>>, PassedError> {
    let mut assigned: Vec<Option<PassedSocket>> = wanted.iter().map(|_| None).collect();
    let mut rest = Vec::new();
    for socket in passed {
        let address = address(&socket)?;
        let same = |(_, wanted): &(_, &Wanted<'_>)| address.is(wanted.listen);
        match free(&mut assigned, wanted, same) {
            Some((place, wanted)) => {
                if let (Listen::Unix(own), Address::Unix(Some(path))) = (wanted.listen, &address) {
                    check_mode(path, own.mode)?;
                }
                *place = Some(socket);
            }
            None => rest.push((socket, address)),
        }
    }
    for (socket, address) in rest {
        let named = |(_, wanted): &(_, &Wanted<'_>)| wanted.names.contains(&socket.name);
        let Some((place, wanted)) = free(&mut assigned, wanted, named) else {
            return Err(PassedError::Unwanted(shown(&socket.name, &address)));
        };
        judge(&socket.name, &address, wanted.listen)?;
        *place = Some(socket);
    }
    Ok(assigned)
}

/// The first listener that has no socket yet and for which this holds.
fn free<'a, 'w>(
    assigned: &'a mut [Option<PassedSocket>],
    wanted: &'w [Wanted<'w>],
    holds: impl Fn(&(&'a mut Option<PassedSocket>, &'w Wanted<'w>)) -> bool,
) -> Option<(&'a mut Option<PassedSocket>, &'w Wanted<'w>)> {
    let mut free = assigned.iter_mut().zip(wanted);
    free.find(|one| one.0.is_none() && holds(one))
}

/// A socket of this name has another address than the configuration says.
fn judge(name: &str, address: &Address, listen: &Listen) -> Result<(), PassedError> {
    let shown = shown(name, address);
    match (address, listen) {
        (Address::Tcp(own), Listen::Tcp(_)) => {
            if listen.is_local() && !Listen::Tcp(*own).is_local() {
                return Err(PassedError::WiderThanConfigured(shown, listen.clone()));
            }
        }
        (Address::Unix(path), Listen::Unix(own)) => match path {
            Some(path) => check_mode(path, own.mode)?,
            // An abstract name has no mode.
            None => return Err(PassedError::OpenToAll(shown)),
        },
        (Address::Tcp(_), Listen::Unix(_)) | (Address::Unix(_), Listen::Tcp(_)) => {
            return Err(PassedError::OtherKind(shown, listen.clone()));
        }
    }
    tracing::warn!(
        passed = shown,
        configured = %listen,
        "the supervisor listens on another address than the configuration says, and that counts; \
         set the same address in the configuration"
    );
    Ok(())
}

/// A socket for people.
fn shown(name: &str, address: &Address) -> String {
    format!("{address} (`{name}`)")
}

/// The configuration allows a mode that lets everybody in only with another barrier.
fn check_mode(path: &Path, allowed: u32) -> Result<(), PassedError> {
    let mode = path
        .symlink_metadata()
        .map(|found| found.permissions().mode());
    match mode {
        Ok(mode) if mode & OTHERS == 0 || allowed & OTHERS != 0 => Ok(()),
        Ok(_) | Err(_) => Err(PassedError::OpenToAll(format!("unix:{}", path.display()))),
    }
}

/// Where a passed socket listens.
enum Address {
    Tcp(std::net::SocketAddr),
    /// The path, where it has one.
    Unix(Option<PathBuf>),
}

impl Address {
    fn is(&self, listen: &Listen) -> bool {
        match (self, listen) {
            (Self::Tcp(own), Listen::Tcp(other)) => own == other,
            (Self::Unix(Some(own)), Listen::Unix(other)) => *own == other.path,
            (Self::Tcp(_) | Self::Unix(_), _) => false,
        }
    }
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Unix(Some(path)) => write!(f, "unix:{}", path.display()),
            Self::Unix(None) => f.write_str("unix, without a path"),
        }
    }
}

fn address(socket: &PassedSocket) -> Result<Address, PassedError> {
    let address = match &socket.listener {
        PassedListener::Tcp(listener) => listener.local_addr().map(Address::Tcp),
        PassedListener::Unix(listener) => {
            let address = listener.local_addr();
            address.map(|address| Address::Unix(address.as_pathname().map(Path::to_owned)))
        }
    };
    address.map_err(|source| PassedError::Address(socket.name.clone(), source))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::listen::types::UnixSocket;
    use std::{
        fs::{Permissions, set_permissions},
        net::{SocketAddr, TcpListener},
        os::unix::net::UnixListener,
    };

    fn tcp(name: &str, at: &str) -> (PassedSocket, SocketAddr) {
        let listener = TcpListener::bind(at).unwrap();
        let address = listener.local_addr().unwrap();
        let socket = PassedSocket {
            name: name.to_owned(),
            listener: PassedListener::Tcp(listener),
        };
        (socket, address)
    }

    fn wanted<'a>(listens: &[(&str, &'a Listen)]) -> Vec<Wanted<'a>> {
        let wanted = listens.iter().map(|(name, listen)| Wanted {
            names: vec![(*name).to_owned()],
            listen,
        });
        wanted.collect()
    }

    fn names(assigned: Vec<Option<PassedSocket>>) -> Vec<Option<String>> {
        let names = assigned.into_iter();
        names
            .map(|socket| socket.map(|socket| socket.name))
            .collect()
    }

    #[test]
    fn the_address_counts_before_the_name() {
        let (first, first_addr) = tcp("listen", "127.0.0.1:0");
        let (second, second_addr) = tcp("other", "127.0.0.1:0");
        let (first_listen, second_listen) = (Listen::Tcp(first_addr), Listen::Tcp(second_addr));
        let wanted = wanted(&[("listen", &second_listen), ("admin.listen", &first_listen)]);
        let assigned = assign(vec![first, second], &wanted).unwrap();
        assert_eq!(
            names(assigned),
            [Some("other".to_owned()), Some("listen".to_owned())]
        );
    }

    #[test]
    fn a_name_counts_where_no_address_fits_and_a_listener_may_have_none() {
        let elsewhere = Listen::Tcp("127.0.0.1:5001".parse().unwrap());
        let operators = Listen::Tcp("127.0.0.1:5002".parse().unwrap());
        let wanted = wanted(&[("listen", &elsewhere), ("admin.listen", &operators)]);
        let assigned = assign(vec![tcp("admin.listen", "127.0.0.1:0").0], &wanted).unwrap();
        assert_eq!(names(assigned), [None, Some("admin.listen".to_owned())]);
        assert_eq!(names(assign(Vec::new(), &wanted).unwrap()), [None, None]);
    }

    #[test]
    fn what_no_listener_is_for_is_named() {
        let local = Listen::Tcp("127.0.0.1:5001".parse().unwrap());
        let (socket, address) = tcp("elastauth.socket", "127.0.0.1:0");
        let fault = assign(vec![socket], &wanted(&[("listen", &local)])).unwrap_err();
        let fault = fault.to_string();
        assert!(
            fault.contains(&address.to_string()) && fault.contains("elastauth.socket"),
            "{fault}"
        );
        // Two sockets of one name: the second is for nobody.
        let two = vec![
            tcp("listen", "127.0.0.1:0").0,
            tcp("listen", "127.0.0.1:0").0,
        ];
        let fault = assign(two, &wanted(&[("listen", &local)])).unwrap_err();
        assert!(matches!(fault, PassedError::Unwanted(_)), "{fault}");
    }

    #[test]
    fn a_name_opens_nothing_that_the_configuration_has_closed() {
        let local = Listen::Tcp("127.0.0.1:5001".parse().unwrap());
        let everywhere = vec![tcp("listen", "0.0.0.0:0").0];
        let fault = assign(everywhere, &wanted(&[("listen", &local)])).unwrap_err();
        assert!(
            matches!(fault, PassedError::WiderThanConfigured(..)),
            "{fault}"
        );
        let unix = Listen::Unix(UnixSocket {
            path: "/run/elastauth/elastauth.sock".into(),
            mode: 0o660,
        });
        let fault = assign(
            vec![tcp("listen", "127.0.0.1:0").0],
            &wanted(&[("listen", &unix)]),
        );
        let fault = fault.unwrap_err();
        assert!(matches!(fault, PassedError::OtherKind(..)), "{fault}");
    }

    #[test]
    fn a_unix_socket_that_is_open_to_all_is_refused_unless_that_is_configured() {
        // The address of a socket has 108 bytes, and `TMPDIR` may be longer.
        let folder = tempfile::tempdir_in("/tmp").unwrap();
        for (mode, configured, fits) in [
            (0o660, 0o660, true),
            (0o666, 0o660, false),
            (0o666, 0o666, true),
        ] {
            let path = folder.path().join(format!("{mode:o}-{configured:o}"));
            let listener = UnixListener::bind(&path).unwrap();
            set_permissions(&path, Permissions::from_mode(mode)).unwrap();
            let socket = PassedSocket {
                name: String::new(),
                listener: PassedListener::Unix(listener),
            };
            let listen = Listen::Unix(UnixSocket {
                path,
                mode: configured,
            });
            let assigned = assign(vec![socket], &wanted(&[("listen", &listen)]));
            assert_eq!(assigned.is_ok(), fits, "{mode:o} {configured:o}");
        }
    }
}
