//! The listeners for gateways.

use super::{filler::Filler, trust};
use crate::{
    config::{
        key::ConfigKey,
        section,
        settings::Settings,
        table,
        value_type::{SectionsOf, all},
    },
    net::{tls, trust as peers},
    serve::{ClientLimits, Config, Listen, UnixSocket},
    shutdown,
};
use ipnet::IpNet;
use std::{
    net::SocketAddr,
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
};

/// Each has bounds of its own, so together they take so many times the memory of one.
const MOST: usize = 16;
/// The system has room for so many bytes of a socket's path.
const MAX_PATH: usize = 107;
/// In the mode of a socket: every user of the machine may connect.
const OTHERS: u32 = 0o002;

/// All listeners, and those where nothing shows who is a gateway.
pub(super) struct Listeners {
    pub(super) all: Vec<Config>,
    pub(super) unprotected: Vec<String>,
}

pub(super) fn fill(fill: &mut Filler<'_>, general: Option<&peers::Config>) -> Option<Listeners> {
    let all = if fill.given(&table::LISTENERS) {
        several(fill, general)
    } else {
        the_one(fill, general).map(|one| vec![one])
    }?;
    let mut unprotected = Vec::new();
    for (at, listener) in all.iter().enumerate() {
        let own = fill.settings.sections(SectionsOf::Listeners).get(at);
        if has_barrier(fill, own, listener) {
            continue;
        }
        let place = own.map_or_else(
            || fill.settings.place(&table::LISTEN),
            |own| own.place.clone(),
        );
        fill.findings.warn(
            &place,
            "nothing shows elastauth which peers are gateways: every host in a private network \
             that reaches this listener may name themselves any user; add `trusted_proxies: \
             [<address of the gateway>]`, `gateway_keys` or `tls.client_ca`",
        );
        unprotected.push(listener.listen.to_string());
    }
    Some(Listeners { all, unprotected })
}

pub(super) fn shutdown(fill: &Filler<'_>) -> Option<shutdown::Config> {
    Some(shutdown::Config {
        delay: fill.get(&table::SHUTDOWN_DELAY)?,
        timeout: if fill.given(&table::SHUTDOWN_TIMEOUT) {
            Some(fill.get(&table::SHUTDOWN_TIMEOUT)?)
        } else {
            None
        },
    })
}

/// Configurations of elastauth 2 have no barrier but their private network.
fn has_barrier(fill: &Filler<'_>, own: Option<&Settings>, listener: &Config) -> bool {
    let names_proxies = |settings: &Settings| settings.given(&table::TRUSTED_PROXIES);
    // Behind a balancer the peers are those that it names, also if it is on this host.
    (listener.listen.is_local() && listener.balancers.is_empty())
        || names_proxies(fill.settings)
        || own.is_some_and(names_proxies)
        || !listener.trust.gateway_keys.is_empty()
        || has_client_ca(listener.tls.as_ref())
}

fn has_client_ca(tls: Option<&tls::ServerConfig>) -> bool {
    tls.is_some_and(|tls| tls.client_ca.is_some())
}

/// The listener of `listen`.
fn the_one(fill: &mut Filler<'_>, general: Option<&peers::Config>) -> Option<Config> {
    let tls = general_tls(fill);
    fill.requires(&table::TLS_CLIENT_CA, &table::TLS_CERT);
    fill.requires(&table::TLS_CLIENT_NAMES, &table::TLS_CLIENT_CA);
    Some(Config {
        listen: Listen::Tcp(fill.get(&table::LISTEN)?),
        reuse_port: fill.get(&table::REUSE_PORT)?,
        tls,
        trust: general?.clone(),
        balancers: fill.get(&table::PROXY_PROTOCOL).unwrap_or_default(),
        clients: clients(fill)?,
    })
}

/// Bounds of each listener in proxy mode.
fn clients(fill: &Filler<'_>) -> Option<ClientLimits> {
    Some(ClientLimits {
        header_bytes: fill.number(&table::LIMIT_HEADER_BYTES)?,
        headers: fill.number(&table::LIMIT_HEADERS)?,
        connections: fill.number(&table::LIMIT_CONNECTIONS)?,
        connections_per_address: fill.number(&table::LIMIT_OF_ADDRESS)?,
        requests_per_connection: fill.number(&table::LIMIT_REQUESTS)?,
        streams: fill.number(&table::LIMIT_STREAMS)?,
        header_timeout: fill.get(&table::LIMIT_HEADER_TIMEOUT)?,
        idle_timeout: fill.get(&table::LIMIT_IDLE_TIMEOUT)?,
        progress_timeout: fill.get(&table::LIMIT_PROGRESS_TIMEOUT)?,
        progress_bytes: fill.get(&table::LIMIT_PROGRESS_BYTES)?,
    })
}

fn general_tls(fill: &mut Filler<'_>) -> Option<tls::ServerConfig> {
    let identity = fill.identity_files(&table::TLS_CERT, &table::TLS_KEY)?;
    let client_ca = fill.get(&table::TLS_CLIENT_CA);
    Some(tls::ServerConfig {
        identity,
        client_ca,
    })
}

fn several(fill: &mut Filler<'_>, general: Option<&peers::Config>) -> Option<Vec<Config>> {
    if fill.given(&table::LISTEN) {
        // A container's image or a service file may set it: nobody must find a door open that the
        // list does not have.
        fill.fault(
            &table::LISTEN,
            "`listen` and `listeners` are both set; remove `listen`, or add it to `listeners` as \
             an `address`",
        );
    }
    let sections = fill.settings.sections(SectionsOf::Listeners);
    if sections.is_empty() || sections.len() > MOST {
        let fault = format!(
            "`listeners` has {} listeners; it may have 1 to {MOST}",
            sections.len()
        );
        fill.fault(&table::LISTENERS, fault);
    }
    let tls = general_tls(fill);
    let filled = sections.iter().take(MOST);
    let filled = filled.map(|own| of_section(fill, own, tls.as_ref(), general));
    // Every section is filled, so that all faults are reported.
    let listeners: Vec<Config> = all(filled)?;
    for (at, (listener, own)) in listeners.iter().zip(sections).enumerate() {
        let mut earlier = listeners.iter().take(at);
        let has_port = listener.listen.tcp().is_none_or(|addr| addr.port() != 0);
        let same = |other: &Config| match (&other.listen, &listener.listen) {
            (Listen::Unix(other), Listen::Unix(own)) => other.path == own.path,
            (other, own) => other == own,
        };
        if has_port && earlier.any(same) {
            let fault = format!("two listeners have the same address, {}", listener.listen);
            fill.findings.fault(&own.place, fault);
        }
    }
    Some(listeners)
}

/// A listener of `listeners`: what its section does not say is as the general keys say.
fn of_section(
    fill: &mut Filler<'_>,
    own: &Settings,
    general_tls: Option<&tls::ServerConfig>,
    general: Option<&peers::Config>,
) -> Option<Config> {
    let listen = listen(&mut fill.section(own));
    let is_unix = own.given(&section::UNIX);
    let tls = own_tls(&mut fill.section(own), general_tls, is_unix);
    let trust = own_trust(&mut fill.section(own), general, tls.as_ref());
    if is_unix {
        for key in [&table::TRUSTED_PROXIES, &table::PROXY_PROTOCOL] {
            if own.given(key) {
                let fault = format!(
                    "peers of a unix socket have no address, so `{}` does nothing here; remove it \
                     (`unix_mode` says who may connect)",
                    key.path
                );
                fill.section(own).fault(key, fault);
            }
        }
    }
    let balancers = if own.given(&table::PROXY_PROTOCOL) {
        own.get::<Vec<IpNet>>(&table::PROXY_PROTOCOL)?
    } else if is_unix {
        Vec::new()
    } else {
        fill.get(&table::PROXY_PROTOCOL).unwrap_or_default()
    };
    let (listen, trust) = (listen?, trust?);
    if let Listen::Unix(UnixSocket { mode, .. }) = &listen
        && mode & OTHERS != 0
        && trust.gateway_keys.is_empty()
        && !has_client_ca(tls.as_ref())
    {
        fill.section(own).fault(
            &section::UNIX_MODE,
            "`unix_mode` lets every user of this machine connect and name themselves any user; use \
             `0660` and put the gateway into the group of elastauth, or set `gateway_keys`",
        );
    }
    let reuse_port = fill.get(&table::REUSE_PORT)?;
    if reuse_port && is_unix {
        fill.section(own).warn(
            &section::UNIX,
            "`reuse_port` does nothing for a unix socket: a second elastauth does not start while \
             the first one listens there; let systemd pass the socket",
        );
    }
    Some(Config {
        listen,
        reuse_port,
        tls,
        trust,
        balancers,
        clients: clients(fill)?,
    })
}

fn listen(fill: &mut Filler<'_>) -> Option<Listen> {
    let place = &fill.settings.place.clone();
    let address = fill.given(&section::ADDRESS);
    if address == fill.given(&section::UNIX) {
        let has = if address { "both" } else { "neither" };
        let fault = format!("a listener has `address` or `unix`; this one has {has}");
        fill.findings.fault(place, fault);
        return None;
    }
    if address {
        if fill.given(&section::UNIX_MODE) {
            let fault = "`unix_mode` is for a listener with `unix`";
            fill.fault(&section::UNIX_MODE, fault);
        }
        return fill.get::<SocketAddr>(&section::ADDRESS).map(Listen::Tcp);
    }
    let path: PathBuf = fill.get(&section::UNIX)?;
    if path.as_os_str().as_bytes().len() > MAX_PATH {
        let fault = format!("the path in `unix` is longer than {MAX_PATH} bytes");
        fill.fault(&section::UNIX, fault);
    }
    let mode = fill.get::<String>(&section::UNIX_MODE);
    let mode = mode.as_deref().and_then(octal);
    if mode.is_none() {
        fill.fault(
            &section::UNIX_MODE,
            "`unix_mode` must be a mode in octal digits that lets the owner read and write, such \
             as `0660`",
        );
    }
    Some(Listen::Unix(UnixSocket { path, mode: mode? }))
}

/// `0660` or `660`.
fn octal(text: &str) -> Option<u32> {
    let is_octal = text.bytes().all(|byte| (b'0'..=b'7').contains(&byte));
    let mode = u32::from_str_radix(text, 8).ok()?;
    (is_octal && mode <= 0o777 && mode & 0o600 == 0o600).then_some(mode)
}

fn own_tls(
    fill: &mut Filler<'_>,
    general: Option<&tls::ServerConfig>,
    is_unix: bool,
) -> Option<tls::ServerConfig> {
    let files: [&ConfigKey; 4] = [
        &table::TLS_CERT,
        &table::TLS_KEY,
        &table::TLS_CLIENT_CA,
        &table::TLS_CLIENT_NAMES,
    ];
    let enabled: Option<bool> = fill.get(&section::TLS_ENABLED);
    let given = files.into_iter().find(|key| fill.given(key));
    match (enabled, given) {
        (Some(false), Some(key)) => {
            let fault = format!("`tls.enabled` is `false` here, and `{}` is set", key.path);
            fill.fault(key, fault);
            return None;
        }
        (Some(false), None) => return None,
        // A gateway on the same machine speaks plain HTTP to a socket.
        (None, None) if is_unix => return None,
        (Some(true) | None, _) => {}
    }
    let has_own = fill.given(&table::TLS_CERT) || fill.given(&table::TLS_KEY);
    let identity = if has_own {
        fill.identity_files(&table::TLS_CERT, &table::TLS_KEY)?
    } else {
        let identity = general.map(|tls| tls.identity.clone());
        if identity.is_none() && (enabled == Some(true) || given.is_some()) {
            let key = given.unwrap_or(&section::TLS_ENABLED);
            let fault = format!("`{}` needs `tls.cert` and `tls.key` as well", key.path);
            fill.fault(key, fault);
        }
        identity?
    };
    let own_ca: Option<PathBuf> = fill.get(&table::TLS_CLIENT_CA);
    let client_ca = own_ca.or_else(|| general?.client_ca.as_deref().map(Path::to_owned));
    if client_ca.is_none() && fill.given(&table::TLS_CLIENT_NAMES) {
        fill.requires(&table::TLS_CLIENT_NAMES, &table::TLS_CLIENT_CA);
    }
    Some(tls::ServerConfig {
        identity,
        client_ca,
    })
}

fn own_trust(
    fill: &mut Filler<'_>,
    general: Option<&peers::Config>,
    tls: Option<&tls::ServerConfig>,
) -> Option<peers::Config> {
    let own = trust::fill(fill);
    let (own, general) = (own?, general?);
    let given = |key| fill.given(key);
    let proxies = if given(&table::TRUSTED_PROXIES) {
        own.proxies
    } else {
        general.proxies.clone()
    };
    let gateway_keys = if given(&table::GATEWAY_KEYS) {
        own.gateway_keys
    } else {
        general.gateway_keys.clone()
    };
    let client_names = if !has_client_ca(tls) {
        // Nobody could show a name there.
        Vec::new()
    } else if given(&table::TLS_CLIENT_NAMES) {
        own.client_names
    } else {
        general.client_names.clone()
    };
    Some(peers::Config {
        proxies,
        gateway_keys,
        client_names,
    })
}

/// The address of operators has to be another one.
pub(super) fn check_admin(fill: &mut Filler<'_>, admin: SocketAddr, listeners: &[Config]) {
    let mut listeners = listeners.iter();
    if listeners.any(|listener| listener.listen.tcp() == Some(admin)) {
        fill.fault(
            &table::ADMIN_LISTEN,
            "`admin.listen` is also the address of a listener for gateways (`listen`); choose \
             another one for the pages of operators",
        );
    }
}
