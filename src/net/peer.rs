//! Who is at the other end of a connection, as far as the connection itself shows.

use serde::{Serialize, Serializer};
use std::{
    fmt,
    net::{IpAddr, Ipv6Addr},
};

/// The peer of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// An address; an IPv4 address is never in its IPv6 form.
    Ip(IpAddr),
    /// A process of this machine, over a unix socket. It has no address.
    Unix,
}

impl Peer {
    /// Whoever has one IPv6 address has a whole /64 of them.
    pub(crate) fn network(self) -> Self {
        let Self::Ip(IpAddr::V6(address)) = self else {
            return self;
        };
        let network = Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64));
        Self::Ip(network.into())
    }

    /// The address, where there is one.
    pub(crate) fn ip(self) -> Option<IpAddr> {
        match self {
            Self::Ip(ip) => Some(ip),
            Self::Unix => None,
        }
    }

    /// Whether it is a process of this machine: over a unix socket or the loopback interface.
    pub(crate) fn is_local(self) -> bool {
        self.ip().is_none_or(|ip| ip.is_loopback())
    }
}

impl From<IpAddr> for Peer {
    fn from(ip: IpAddr) -> Self {
        // A listener on `::` reports IPv4 peers as `::ffff:a.b.c.d`.
        Self::Ip(ip.to_canonical())
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(ip) => ip.fmt(f),
            Self::Unix => f.write_str("unix"),
        }
    }
}

impl Serialize for Peer {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
