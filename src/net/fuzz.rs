//! Malformed PROXY headers and certificates by the thousand. None may cause a panic, no byte after a
//! header is read, and an address counts only if the whole header is in its exact form.
//!
//! `cargo xtask fuzz --seconds N` runs longer than the tests, from a new seed.

#![expect(
    clippy::print_stdout,
    reason = "the seed is for the person at the terminal"
)]

use super::{
    peer::Peer,
    proxy_protocol::{self, OnBehalfOf},
    tls::CertificateNames,
};
use crate::model::mixed;
use rustls::pki_types::CertificateDer;
use std::{
    net::{IpAddr, Ipv4Addr},
    time::{Duration, Instant},
};

const CASES: u64 = 3_000;
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// 16 bytes and what may follow them.
const LONGEST: usize = 16 + 4_096;

/// Repeatable choices (`SplitMix64`).
struct Draw(u64);

impl Draw {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mixed(self.0)
    }

    fn below(&mut self, bound: usize) -> usize {
        usize::try_from(self.number() % bound as u64).unwrap()
    }

    fn byte(&mut self) -> u8 {
        self.number().to_be_bytes()[0]
    }

    fn mutate(&mut self, mut bytes: Vec<u8>) -> Vec<u8> {
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len().max(1)).min(bytes.len());
            match self.below(6) {
                0 if at < bytes.len() => bytes[at] = self.byte(),
                1 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
                2 if at < bytes.len() => drop(bytes.remove(at)),
                3 => bytes.insert(at, *b" :.\r\n0PQ".get(self.below(8)).unwrap()),
                4 => bytes.truncate(at),
                _ => bytes
                    .splice(at..at, [self.byte(), self.byte()])
                    .for_each(drop),
            }
        }
        bytes
    }

    /// A valid header, and for whom it is.
    fn header(&mut self) -> (Vec<u8>, Peer) {
        let source = Ipv4Addr::from_bits(u32::try_from(self.number() >> 32).unwrap());
        let peer = Peer::from(IpAddr::from(source));
        if self.below(2) == 0 {
            let (from, to) = (self.below(65_536), self.below(65_536));
            let line = format!("PROXY TCP4 {source} 192.0.2.2 {from} {to}\r\n");
            return (line.into_bytes(), peer);
        }
        let tlvs: Vec<u8> = (0..self.below(40)).map(|_| self.byte()).collect();
        let rest = [&source.octets()[..], &[192, 0, 2, 2, 0, 1, 0, 2], &tlvs].concat();
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        let header = [SIGNATURE, &[0x21, 0x11], &length, &rest];
        (header.concat(), peer)
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the person at the terminal gives the seed and the time"
)]
#[tokio::test]
async fn no_malformed_header_or_certificate_is_more_than_it_says() {
    let given = |name| std::env::var(name).ok()?.parse::<u64>().ok();
    let seed = given("ELASTAUTH_FUZZ_SEED").unwrap_or(7);
    let until = given("ELASTAUTH_FUZZ_SECONDS");
    let until = until.map(|seconds| (Instant::now(), Duration::from_secs(seconds)));
    println!("PROXY headers and certificates from seed {seed}");
    let names = ["a.test".to_owned(), "192.0.2.7".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    let certificate = made.cert.der().to_vec();
    let (mut draw, mut case) = (Draw(seed), 0);
    while until.map_or(case < CASES, |(begun, most)| begun.elapsed() < most) {
        case += 1;
        let case_seed = draw.number();
        header(&mut Draw(case_seed)).await;
        let malformed = Draw(case_seed).mutate(certificate.clone());
        let _any_names = CertificateNames::of(&CertificateDer::from(malformed)).to_string();
    }
    println!("{case} cases");
}

async fn read(bytes: &[u8]) -> (Option<OnBehalfOf>, usize) {
    let mut stream = bytes;
    let read = proxy_protocol::read(&mut stream).await.ok();
    (read, bytes.len() - stream.len())
}

async fn header(draw: &mut Draw) {
    let (valid, peer) = draw.header();
    let followed = [&valid[..], b"GET / HTTP/1.1\r\n"].concat();
    let expected = (Some(OnBehalfOf::Client(peer)), valid.len());
    assert_eq!(read(&followed).await, expected, "{valid:?}");

    let malformed = draw.mutate(valid);
    let (found, used) = read(&malformed).await;
    assert!(used <= LONGEST, "{used} bytes of {malformed:?}");
    let header = &malformed[..used];
    if let Some(OnBehalfOf::Client(peer)) = found {
        assert_eq!(read(header).await, (found, used), "{header:?}");
        let exact = match header.strip_prefix(SIGNATURE) {
            Some([0x21, 0x11, high, low, rest @ ..]) => {
                rest.len() == usize::from(u16::from_be_bytes([*high, *low]))
                    && peer == Peer::from(IpAddr::from([rest[0], rest[1], rest[2], rest[3]]))
            }
            Some([0x21, 0x21, ..]) => true,
            Some(_) => false,
            None => {
                let line = String::from_utf8(header.to_vec()).unwrap();
                let fields: Vec<&str> = line.trim_end_matches("\r\n").split(' ').collect();
                fields.len() == 6
                    && ["TCP4", "TCP6"].contains(&fields[1])
                    && fields[2]
                        .parse::<IpAddr>()
                        .is_ok_and(|ip| Peer::from(ip) == peer)
            }
        };
        assert!(exact, "{peer} of {header:?}");
    }
}
