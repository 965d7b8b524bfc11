//! One normal form of host names, so that two spellings of one host choose one cluster, and a text
//! that two servers could read as two hosts chooses none.

use std::{borrow::Cow, net::Ipv6Addr};

/// A DNS name has at most 253 characters; an address in brackets is shorter.
const MAX_BYTES: usize = 255;
const MAX_LABEL_BYTES: usize = 63;

/// Why a text is no host that a cluster can be chosen by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHost {
    #[error("the host is empty")]
    Empty,
    #[error("the host is longer than {MAX_BYTES} bytes")]
    TooLong,
    #[error("the host has a character that no host name has")]
    Character,
    #[error(
        "the host has an empty label, one longer than {MAX_LABEL_BYTES} bytes, or one that \
             begins or ends with `-`"
    )]
    Label,
    #[error("the port behind the host is no number")]
    Port,
    #[error("the text in brackets is no IPv6 address")]
    Address,
    #[error("the host is not written as its own punycode reads")]
    Idn,
}

/// The host without port and last dot, in small letters, with punycode for what is not ASCII.
///
/// # Errors
/// The rule that the text breaks.
pub(crate) fn normal(text: &[u8]) -> Result<Cow<'_, str>, InvalidHost> {
    let text = std::str::from_utf8(text).map_err(|_| InvalidHost::Character)?;
    if let Some(address) = text.strip_prefix('[') {
        return bracketed(address).map(Cow::Owned);
    }
    let name = match text.split_once(':') {
        None => text,
        Some((name, port)) if is_port(port) => name,
        Some(_) => return Err(InvalidHost::Port),
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    if name.is_empty() {
        return Err(InvalidHost::Empty);
    }
    // Before anything is computed of it.
    if name.len() > MAX_BYTES {
        return Err(InvalidHost::TooLong);
    }
    let name = if !name.is_ascii() {
        Cow::Owned(punycode(name)?)
    } else if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    };
    check_labels(&name)?;
    Ok(name)
}

/// Whether a text in small letters is one label of a DNS name.
pub(crate) fn is_label(text: &str) -> bool {
    let is_letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    check_label(text).is_ok() && text.bytes().all(is_letter)
}

fn check_labels(name: &str) -> Result<(), InvalidHost> {
    if name.len() > MAX_BYTES {
        return Err(InvalidHost::TooLong);
    }
    // `_` is in names of services and containers.
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !name.bytes().all(fits) {
        return Err(InvalidHost::Character);
    }
    name.split('.').try_for_each(check_label)
}

fn check_label(label: &str) -> Result<(), InvalidHost> {
    let fits = (1..=MAX_LABEL_BYTES).contains(&label.len());
    if fits && !label.starts_with('-') && !label.ends_with('-') {
        Ok(())
    } else {
        Err(InvalidHost::Label)
    }
}

fn is_port(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<u16>().is_ok_and(|port| port != 0)
}

fn bracketed(rest: &str) -> Result<String, InvalidHost> {
    let (address, port) = rest.split_once(']').ok_or(InvalidHost::Address)?;
    if !port.is_empty() && !port.strip_prefix(':').is_some_and(is_port) {
        return Err(InvalidHost::Port);
    }
    let address: Ipv6Addr = address.parse().map_err(|_| InvalidHost::Address)?;
    Ok(format!("[{address}]"))
}

/// Only of a text that its punycode gives back. IDNA maps many more texts to the same name, such as
/// one with an ideographic full stop, and a gateway may read those as another host.
fn punycode(name: &str) -> Result<String, InvalidHost> {
    let ascii = idna::domain_to_ascii_strict(name).map_err(|_| InvalidHost::Idn)?;
    let (back, valid) = idna::domain_to_unicode(&ascii);
    let small = name.chars().flat_map(char::to_lowercase);
    // The sign of the Kelvin is a `k` in small letters.
    let others = name.chars().filter(|char| !char.is_ascii());
    let becomes_ascii = others
        .flat_map(char::to_lowercase)
        .any(|char| char.is_ascii());
    if valid.is_ok() && back.chars().eq(small) && !becomes_ascii {
        Ok(ascii)
    } else {
        Err(InvalidHost::Idn)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_host_are_one_host() {
        for (text, host) in [
            ("tenant1.es.example.com", "tenant1.es.example.com"),
            ("tenant1.es.example.com:9200", "tenant1.es.example.com"),
            ("TENANT1.Es.Example.com", "tenant1.es.example.com"),
            ("tenant1.es.example.com.", "tenant1.es.example.com"),
            ("tenant1.es.example.com.:443", "tenant1.es.example.com"),
            ("b\u{fc}cher.example", "xn--bcher-kva.example"),
            ("B\u{dc}CHER.example", "xn--bcher-kva.example"),
            ("XN--BCHER-KVA.example", "xn--bcher-kva.example"),
            ("[2001:DB8:0:0::1]:9200", "[2001:db8::1]"),
            ("[::1]", "[::1]"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("my_host", "my_host"),
        ] {
            assert_eq!(normal(text.as_bytes()).as_deref(), Ok(host), "{text}");
        }
    }

    #[test]
    fn what_two_servers_could_read_as_two_hosts_is_none() {
        use InvalidHost as E;
        let long = "x".repeat(8_192);
        let label = format!("{}.example", "x".repeat(64));
        let labels = "abcdefg.".repeat(33);
        for (text, why) in [
            ("", E::Empty),
            (".", E::Empty),
            (":80", E::Empty),
            (long.as_str(), E::TooLong),
            (&labels, E::TooLong),
            (&label, E::Label),
            ("a..b", E::Label),
            ("a.b..", E::Label),
            (".a", E::Label),
            ("-a.b", E::Label),
            ("a@b", E::Character),
            ("a,b", E::Character),
            ("a.example, b.example", E::Character),
            ("a b", E::Character),
            ("a/b", E::Character),
            ("a%2eb", E::Character),
            ("*.a", E::Character),
            ("a:", E::Port),
            ("a:0", E::Port),
            ("a:80:90", E::Port),
            ("a:+80", E::Port),
            ("a:70000", E::Port),
            ("::1", E::Port),
            ("[::1", E::Address),
            ("[::g]", E::Address),
            ("[fe80::1%eth0]", E::Address),
            ("[::1]x", E::Port),
            ("[a.example]", E::Address),
            ("tenant1\u{3002}example", E::Idn),
            ("\u{ff54}enant1.example", E::Idn),
            ("\u{212a}ibana.example", E::Idn),
            ("a\u{ad}b.example", E::Idn),
        ] {
            assert_eq!(normal(text.as_bytes()), Err(why), "{text:.40}");
        }
        assert_eq!(normal(b"a\xff"), Err(E::Character));
    }
}
