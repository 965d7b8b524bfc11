//! The names in a certificate (`subjectAltName`), and the names that a configuration allows.
//!
//! rustls verifies a client's certificate but does not tell its names, so the extension is read
//! here. Only certificates that were verified get this far; what cannot be read has no names.

use rustls::pki_types::CertificateDer;
use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

/// `2.5.29.17`, as it is in a certificate.
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1D, 0x11];
/// More names than a gateway's certificate has. Those after them do not count.
const MOST: usize = 64;
/// What is shown of a certificate's names: the first ones, and the beginning of each.
const SHOWN: usize = 5;
const SHOWN_CHARS: usize = 100;

/// One name of a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateName {
    /// In small letters. A wildcard is only its text: it stands for no other name.
    Dns(String),
    /// Byte by byte, as SPIFFE demands.
    Uri(String),
    /// An address.
    Ip(IpAddr),
}

impl CertificateName {
    /// As a configuration writes it: an address, a URI (with `://`) or a DNS name. `None` for what
    /// can be none of them.
    #[must_use]
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Some(Self::Ip(ip));
        }
        if let Some((scheme, rest)) = text.split_once("://") {
            let is_scheme = !scheme.is_empty()
                && scheme
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
            let is_uri =
                is_scheme && !rest.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            return is_uri.then(|| Self::Uri(text.to_owned()));
        }
        let is_name = !text.is_empty()
            && text.len() <= 253
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        is_name.then(|| Self::Dns(text.to_ascii_lowercase()))
    }
}

impl fmt::Display for CertificateName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(text) | Self::Uri(text) => f.write_str(text),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// The names of a certificate.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateNames(Vec<CertificateName>);

impl CertificateNames {
    /// The names of a certificate that was verified.
    pub(crate) fn of(certificate: &CertificateDer<'_>) -> Self {
        Self(names(certificate).unwrap_or_default())
    }

    /// Whether this name is one of them, exactly.
    #[must_use]
    pub(crate) fn have(&self, name: &CertificateName) -> bool {
        self.0.contains(name)
    }
}

/// The first ones, escaped and cut: a CA that signs what it is given must not fill the log.
impl fmt::Display for CertificateNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("no name");
        }
        for (at, name) in self.0.iter().take(SHOWN).enumerate() {
            let text = name.to_string();
            let cut: String = text.chars().take(SHOWN_CHARS).collect();
            let (comma, dots) = (
                if at == 0 { "" } else { ", " },
                if cut.len() < text.len() { "…" } else { "" },
            );
            write!(f, "{comma}{}{dots}", cut.escape_debug())?;
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

#[cfg(test)]
impl FromIterator<CertificateName> for CertificateNames {
    fn from_iter<T: IntoIterator<Item = CertificateName>>(names: T) -> Self {
        Self(names.into_iter().collect())
    }
}

/// Tags of DER.
const BOOLEAN: u8 = 0x01;
const OCTET_STRING: u8 = 0x04;
const OBJECT_IDENTIFIER: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[3]` of a certificate: its extensions.
const EXTENSIONS: u8 = 0xA3;
/// `[2]`, `[6]` and `[7]` of a `GeneralName`.
const DNS_NAME: u8 = 0x82;
const URI: u8 = 0x86;
const IP_ADDRESS: u8 = 0x87;

fn names(certificate: &[u8]) -> Option<Vec<CertificateName>> {
    let certificate = Der(Der(certificate).only(SEQUENCE)?);
    let mut of_subject = Der(certificate.only(SEQUENCE)?);
    let extensions = of_subject.find(EXTENSIONS)?;
    let mut extensions = Der(Der(extensions).only(SEQUENCE)?);
    let mut found = None;
    while let Some(extension) = extensions.element_of(SEQUENCE) {
        let mut extension = Der(extension);
        if extension.element_of(OBJECT_IDENTIFIER)? != SUBJECT_ALT_NAME {
            continue;
        }
        // A certificate has each extension once. Which of two would count nobody has said.
        if found.is_some() {
            return None;
        }
        let (mut tag, mut value) = extension.element()?;
        if tag == BOOLEAN {
            (tag, value) = extension.element()?;
        }
        found = Some((tag == OCTET_STRING).then_some(value)?);
    }
    let mut of_names = Der(Der(found?).only(SEQUENCE)?);
    let mut names = Vec::new();
    while names.len() < MOST
        && let Some((tag, value)) = of_names.element()
    {
        names.extend(name(tag, value));
    }
    Some(names)
}

/// `None` for kinds of names that a configuration cannot allow, such as mail addresses.
fn name(tag: u8, value: &[u8]) -> Option<CertificateName> {
    let text = || {
        let text = std::str::from_utf8(value).ok()?;
        // IA5String. With a NUL in it, a name looks shorter to others than it is.
        (text.is_ascii() && !text.contains('\0')).then_some(text)
    };
    match tag {
        DNS_NAME => Some(CertificateName::Dns(text()?.to_ascii_lowercase())),
        URI => Some(CertificateName::Uri(text()?.to_owned())),
        IP_ADDRESS => {
            let v4 = <[u8; 4]>::try_from(value).map(|bytes| IpAddr::from(Ipv4Addr::from(bytes)));
            let v6 =
                || <[u8; 16]>::try_from(value).map(|bytes| IpAddr::from(Ipv6Addr::from(bytes)));
            v4.or_else(|_| v6()).ok().map(CertificateName::Ip)
        }
        _ => None,
    }
}

/// What is left to read of a DER encoding.
struct Der<'a>(&'a [u8]);

impl<'a> Der<'a> {
    /// The next element: its tag and its content.
    fn element(&mut self) -> Option<(u8, &'a [u8])> {
        let (&[tag, short], rest) = self.0.split_first_chunk::<2>()?;
        // Longer tags do not occur where we read.
        if tag & 0x1F == 0x1F {
            return None;
        }
        let (length, rest) = match short {
            0..=0x7F => (usize::from(short), rest),
            0x81 => {
                let (&length, rest) = rest.split_first()?;
                (usize::from(length), rest)
            }
            0x82 => {
                let (&length, rest) = rest.split_first_chunk::<2>()?;
                (usize::from(u16::from_be_bytes(length)), rest)
            }
            // No certificate that fits into a handshake has more than 64 KB.
            _ => return None,
        };
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn element_of(&mut self, expected: u8) -> Option<&'a [u8]> {
        let (tag, content) = self.element()?;
        (tag == expected).then_some(content)
    }

    fn only(mut self, expected: u8) -> Option<&'a [u8]> {
        self.element_of(expected)
    }

    fn find(&mut self, expected: u8) -> Option<&'a [u8]> {
        loop {
            let (tag, content) = self.element()?;
            if tag == expected {
                return Some(content);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{CertificateParams, KeyPair, SanType, string::Ia5String};

    fn certificate(names: Vec<SanType>) -> CertificateDer<'static> {
        let mut about = CertificateParams::new(Vec::<String>::new()).unwrap();
        about.subject_alt_names = names;
        let made = about.self_signed(&KeyPair::generate().unwrap()).unwrap();
        made.der().clone()
    }

    fn ia5(text: &str) -> Ia5String {
        text.to_owned().try_into().unwrap()
    }

    fn parsed(text: &str) -> CertificateName {
        CertificateName::parse(text).unwrap()
    }

    #[test]
    fn dns_names_uris_and_addresses_are_read_and_compared_exactly() {
        let names = CertificateNames::of(&certificate(vec![
            SanType::Rfc822Name(ia5("gateway@example.org")),
            SanType::DnsName(ia5("Traefik.example.org")),
            SanType::DnsName(ia5("*.example.com")),
            SanType::URI(ia5("spiffe://example.org/ns/Gateways")),
            SanType::IpAddress("192.0.2.7".parse().unwrap()),
            SanType::IpAddress("2001:db8::7".parse().unwrap()),
        ]));
        for (text, has) in [
            ("traefik.example.org", true),
            ("TRAEFIK.example.org", true),
            ("spiffe://example.org/ns/Gateways", true),
            ("spiffe://example.org/ns/gateways", false),
            ("192.0.2.7", true),
            ("2001:DB8::7", true),
            ("192.0.2.8", false),
            ("gateway.example.com", false),
            ("example.org", false),
            ("traefik.example.org.", false),
        ] {
            assert_eq!(names.have(&parsed(text)), has, "{text}");
        }
        assert_eq!(
            names.to_string(),
            "traefik.example.org, *.example.com, spiffe://example.org/ns/Gateways, 192.0.2.7, \
             2001:db8::7"
        );
    }

    #[test]
    fn a_name_of_a_configuration_is_exact() {
        for bad in [
            "",
            "*.example.org",
            "a b",
            "a@b",
            "spiffe://",
            "://a",
            "spiffe://a b",
            "a/b",
        ] {
            assert_eq!(CertificateName::parse(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_shown_is_bounded_and_escaped() {
        let long = format!("a\n{}", "x".repeat(1_000));
        let names: CertificateNames = (0..50)
            .map(|_| CertificateName::Uri(long.clone()))
            .collect();
        let shown = names.to_string();
        assert!(shown.len() < 600 && !shown.contains('\n'), "{shown}");
        assert!(
            shown.contains("…, a\\n") && shown.ends_with("and 45 more"),
            "{shown}"
        );
        assert_eq!(CertificateNames::default().to_string(), "no name");
    }

    #[test]
    fn a_certificate_without_names_has_none() {
        let names = CertificateNames::of(&certificate(Vec::new()));
        assert_eq!(names, CertificateNames::default());
    }
}
