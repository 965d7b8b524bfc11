//! The PROXY protocol, versions 1 and 2: the header with which a balancer says for whom it opens a
//! connection (<https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>).
//!
//! A header decides whose connection it is, so it is read strictly: what the specification leaves
//! to the receiver is refused. Not a byte after the header is read; what follows may be TLS.

use super::peer::Peer;
use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};
use tokio::io::{AsyncRead, AsyncReadExt as _};

/// How version 2 begins. No request of HTTP and no TLS handshake does.
const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// How version 1 begins.
const START: &[u8] = b"PROXY ";
/// The longest line of version 1, its end included.
const MAX_LINE: usize = 107;
/// What may follow the first 16 bytes of version 2. Addresses take 36 bytes; the rest are TLVs, of
/// which the largest that balancers send are certificates' names and tokens of clouds.
const MAX_REST: usize = 4_096;

/// For whom a connection was opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OnBehalfOf {
    /// For the client at this address.
    Client(Peer),
    /// For the balancer itself, which checks whether we are there.
    Balancer,
}

/// Why there is no header that counts.
#[derive(Debug, thiserror::Error)]
pub(crate) enum HeaderError {
    /// Nothing came at all: a balancer looks whether the port is open.
    #[error("the connection ended before anything came")]
    Nothing,
    /// The connection ended or failed.
    #[error("the connection ended before the PROXY header was complete")]
    Cut(#[source] io::Error),
    /// Something else begins there.
    #[error("the connection does not begin with a PROXY header")]
    Missing,
    /// It begins like a header and is none.
    #[error("the PROXY header is malformed: {0}")]
    Malformed(&'static str),
}

/// Reads the header at the start of a connection, and nothing after it. The caller sets a deadline.
///
/// # Errors
/// See [`HeaderError`]: the connection is of no use then.
pub(crate) async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<OnBehalfOf, HeaderError> {
    let mut start = [0; SIGNATURE.len()];
    // Both versions are longer than this. The first bytes tell what begins: a client that waits
    // for our answer is not waited for.
    for at in 0..start.len() {
        let byte = match stream.read_u8().await {
            Ok(byte) => byte,
            Err(_) if at == 0 => return Err(HeaderError::Nothing),
            Err(error) => return Err(HeaderError::Cut(error)),
        };
        if let Some(place) = start.get_mut(at) {
            *place = byte;
        }
        let read = start.get(..=at).unwrap_or_default();
        let begins = |header: &[u8]| {
            let both = header.len().min(read.len());
            header.get(..both) == read.get(..both)
        };
        if !begins(START) && !begins(&SIGNATURE) {
            return Err(HeaderError::Missing);
        }
    }
    if start == SIGNATURE {
        version_2(stream).await
    } else {
        version_1(stream, &start).await
    }
}

async fn version_1(
    stream: &mut (impl AsyncRead + Unpin),
    start: &[u8],
) -> Result<OnBehalfOf, HeaderError> {
    let mut line = Vec::with_capacity(MAX_LINE);
    line.extend_from_slice(start);
    while !line.ends_with(b"\r\n") {
        if line.len() == MAX_LINE {
            return Err(HeaderError::Malformed("its line is longer than 107 bytes"));
        }
        // One by one, because the next byte after the line is not ours. A gateway keeps its
        // connections, so this is rare.
        line.push(stream.read_u8().await.map_err(HeaderError::Cut)?);
    }
    line.truncate(line.len().saturating_sub(2));
    parse_line(&line).map_err(HeaderError::Malformed)
}

/// `PROXY TCP4 192.0.2.1 192.0.2.2 56324 443`, without its end.
fn parse_line(line: &[u8]) -> Result<OnBehalfOf, &'static str> {
    let line = std::str::from_utf8(line).map_err(|_| "its line is not ASCII")?;
    let line = line.strip_prefix("PROXY ").ok_or("it has no protocol")?;
    if line == "UNKNOWN" || line.starts_with("UNKNOWN ") {
        // The specification: whatever follows is ignored.
        return Ok(OnBehalfOf::Balancer);
    }
    let fields: Vec<&str> = line.split(' ').collect();
    let [protocol, source, target, source_port, target_port] = fields.as_slice() else {
        return Err("its line has not the six fields of TCP4 or TCP6");
    };
    let address = |text: &str| -> Option<IpAddr> {
        match *protocol {
            "TCP4" => text.parse::<Ipv4Addr>().ok().map(IpAddr::V4),
            "TCP6" => text.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
            _ => None,
        }
    };
    let (Some(source), Some(_)) = (address(source), address(target)) else {
        return Err("it has no two addresses of its protocol");
    };
    // Nothing is decided by ports, but what is no port shows that the line was not made by a
    // balancer.
    if !is_port(source_port) || !is_port(target_port) {
        return Err("a port is not a number from 0 to 65535");
    }
    Ok(OnBehalfOf::Client(source.into()))
}

fn is_port(text: &str) -> bool {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_digit());
    is_plain && (text == "0" || !text.starts_with('0')) && text.parse::<u16>().is_ok()
}

async fn version_2(stream: &mut (impl AsyncRead + Unpin)) -> Result<OnBehalfOf, HeaderError> {
    let mut fixed = [0; 4];
    stream
        .read_exact(&mut fixed)
        .await
        .map_err(HeaderError::Cut)?;
    let [command, family, high, low] = fixed;
    let length = usize::from(u16::from_be_bytes([high, low]));
    if length > MAX_REST {
        return Err(HeaderError::Malformed("it is longer than 4,112 bytes"));
    }
    let mut rest = vec![0; length];
    stream
        .read_exact(&mut rest)
        .await
        .map_err(HeaderError::Cut)?;
    parse_binary(command, family, &rest).map_err(HeaderError::Malformed)
}

/// What follows the signature: version and command, family and transport, addresses and TLVs.
fn parse_binary(command: u8, family: u8, rest: &[u8]) -> Result<OnBehalfOf, &'static str> {
    match command {
        0x20 => return Ok(OnBehalfOf::Balancer),
        0x21 => {}
        _ => return Err("its version or command is not known"),
    }
    let source = match family {
        // UNSPEC: the balancer does not say for whom.
        0x00 => return Ok(OnBehalfOf::Balancer),
        0x11 => rest
            .first_chunk::<4>()
            .filter(|_| rest.len() >= 12)
            .map(|bytes| IpAddr::from(*bytes)),
        0x21 => rest
            .first_chunk::<16>()
            .filter(|_| rest.len() >= 36)
            .map(|bytes| IpAddr::from(*bytes)),
        _ => return Err("it is not about a TCP connection"),
    };
    let source = source.ok_or("it is shorter than its addresses")?;
    Ok(OnBehalfOf::Client(source.into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    /// Reads from these bytes; also says what is left after the header.
    async fn read_all(bytes: &[u8]) -> (Result<OnBehalfOf, HeaderError>, usize) {
        let mut stream = bytes;
        let read = read(&mut stream).await;
        (read, stream.len())
    }

    fn client(ip: &str) -> OnBehalfOf {
        OnBehalfOf::Client(Peer::from(ip.parse::<IpAddr>().unwrap()))
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        let fixed = [command, family, length[0], length[1]];
        [&SIGNATURE[..], &fixed, rest].concat()
    }

    #[tokio::test]
    async fn the_address_of_version_1_is_the_peer_and_nothing_after_the_line_is_read() {
        for (line, expected) in [
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443",
                client("192.0.2.1"),
            ),
            (
                "PROXY TCP4 192.0.2.1 192.0.2.2 0 65535",
                client("192.0.2.1"),
            ),
            ("PROXY TCP6 2001:db8::1 ::1 1 2", client("2001:db8::1")),
            // The IPv6 form of an IPv4 address is that address, as it is without the balancer.
            ("PROXY TCP6 ::ffff:192.0.2.1 ::1 1 2", client("192.0.2.1")),
            ("PROXY UNKNOWN", OnBehalfOf::Balancer),
            ("PROXY UNKNOWN ffff::1 ffff::2 1 2", OnBehalfOf::Balancer),
        ] {
            let (read, left) = read_all(format!("{line}\r\nGET / HTTP/1.1").as_bytes()).await;
            assert_eq!((read.unwrap(), left), (expected, 14), "{line}");
        }
    }

    #[tokio::test]
    async fn a_line_that_is_not_exact_is_refused() {
        for line in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 56324 65536",
            "PROXY TCP4 192.0.2.1 192.0.2.2 -1 443",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 443",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 443",
            "PROXY TCP4 192.0.2.1 192.0.2.2  443",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 443 ",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1 443",
            "PROXY TCP4 192.0.2.01 192.0.2.2 1 443",
            "PROXY TCP4 2001:db8::1 ::1 1 443",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 443",
            "PROXY TCP6 fe80::1%eth0 ::1 1 443",
            "PROXY tcp4 192.0.2.1 192.0.2.2 1 443",
            "PROXY UNKNOWNS",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 443",
            "PROXY \u{661}\u{662}",
        ] {
            let (read, _) = read_all(format!("{line}\r\n").as_bytes()).await;
            assert!(
                matches!(read, Err(HeaderError::Malformed(_))),
                "{line}: {read:?}"
            );
        }
        let long = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE));
        let (read, left) = read_all(long.as_bytes()).await;
        assert!(
            matches!(read, Err(HeaderError::Malformed(_))) && left > 0,
            "{read:?}"
        );
        // 107 bytes are the longest.
        let longest = format!("PROXY UNKNOWN {}\r\n", "x".repeat(MAX_LINE - 16));
        assert_eq!(
            read_all(longest.as_bytes()).await.0.unwrap(),
            OnBehalfOf::Balancer
        );
    }

    #[tokio::test]
    async fn what_begins_otherwise_is_seen_at_its_first_bytes() {
        for other in [
            "GET / HTTP/1.1\r\n\r\n",
            "P",
            "PRI * HTTP/2.0\r\n",
            "\x16\x03\x01",
            "\r\n\r\nGET",
        ] {
            let (read, _) = read_all(other.as_bytes()).await;
            let expected = if other.len() < 3 {
                matches!(read, Err(HeaderError::Cut(_)))
            } else {
                matches!(read, Err(HeaderError::Missing))
            };
            assert!(expected, "{other:?}: {read:?}");
        }
        assert!(matches!(read_all(b"").await.0, Err(HeaderError::Nothing)));
        // Not waited for: nothing more comes, and the connection stays open.
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        theirs.write_all(b"G").await.unwrap();
        assert!(matches!(read(&mut ours).await, Err(HeaderError::Missing)));
    }

    #[tokio::test]
    async fn version_2_names_a_client_or_the_balancer_itself() {
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 1, 187];
        let mut v6 = [0; 36];
        v6[..16].copy_from_slice(&"2001:db8::1".parse::<Ipv6Addr>().unwrap().octets());
        let with_tlvs = [&v4[..], &[0xEE, 0, 3, 1, 2, 3]].concat();
        for (bytes, expected) in [
            (binary(0x21, 0x11, &v4), client("192.0.2.1")),
            (binary(0x21, 0x11, &with_tlvs), client("192.0.2.1")),
            (binary(0x21, 0x21, &v6), client("2001:db8::1")),
            (binary(0x20, 0x00, &[]), OnBehalfOf::Balancer),
            // LOCAL: addresses, if any, are to be ignored.
            (binary(0x20, 0x11, &v4), OnBehalfOf::Balancer),
            (binary(0x21, 0x00, &[1, 2, 3]), OnBehalfOf::Balancer),
        ] {
            let (read, left) = read_all(&[&bytes[..], b"after"].concat()).await;
            assert_eq!((read.unwrap(), left), (expected, 5), "{bytes:?}");
        }
        for bad in [
            binary(0x21, 0x11, &v4[..11]),
            binary(0x21, 0x21, &v6[..35]),
            binary(0x22, 0x11, &v4),
            binary(0x11, 0x11, &v4),
            binary(0x21, 0x12, &v4),
            binary(0x21, 0x31, &[0; 216]),
            binary(0x21, 0x11, &[0; MAX_REST + 1]),
        ] {
            let (read, _) = read_all(&bad).await;
            assert!(
                matches!(read, Err(HeaderError::Malformed(_))),
                "{bad:?}: {read:?}"
            );
        }
    }

    #[tokio::test]
    async fn a_header_may_come_byte_by_byte() {
        let v4 = binary(0x21, 0x11, &[192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 1, 187]);
        for header in [&v4[..], b"PROXY TCP4 192.0.2.1 192.0.2.2 1 443\r\n"] {
            let (mut ours, mut theirs) = tokio::io::duplex(1);
            let send = async {
                for byte in header {
                    theirs.write_all(&[*byte]).await.unwrap();
                }
            };
            let (read, ()) = tokio::join!(read(&mut ours), send);
            assert_eq!(read.unwrap(), client("192.0.2.1"));
        }
    }
}
