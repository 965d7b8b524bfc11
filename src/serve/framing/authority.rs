//! The form of `Host`, and the host in a target of the absolute form.

use super::lines::{leading, split};
use std::{net::Ipv6Addr, str};

/// The longest name in DNS, and more than any other host has.
const LONGEST_NAME: usize = 255;

/// Whether it is a host, with or without a port. A list, a user or an empty value is none.
pub(super) fn is_authority(value: &[u8]) -> bool {
    let (is_host, rest) = if let Some((b'[', rest)) = value.split_first() {
        let (address, rest) = split(rest, leading(rest, |byte| byte != b']'));
        let (_, rest) = split(rest, 1);
        // Without the closing bracket there is nothing left, and the value does not end with one.
        (value.contains(&b']') && is_ipv6(address), rest)
    } else {
        let (name, rest) = split(value, leading(value, is_of_name));
        (!name.is_empty() && name.len() <= LONGEST_NAME, rest)
    };
    is_host && (rest.is_empty() || is_port(rest))
}

fn is_ipv6(address: &[u8]) -> bool {
    str::from_utf8(address).is_ok_and(|text| text.parse::<Ipv6Addr>().is_ok())
}

/// Of names that have one meaning: nothing that is percent-encoded.
const fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

fn is_port(rest: &[u8]) -> bool {
    let Some((b':', port)) = rest.split_first() else {
        return false;
    };
    port.iter().all(u8::is_ascii_digit)
        && str::from_utf8(port).is_ok_and(|port| port.parse::<u16>().is_ok())
}

/// A target of the absolute form: its authority, and whether what follows is a path.
pub(super) fn absolute(target: &[u8]) -> Option<&[u8]> {
    let rest = after(target, b"http://").or_else(|| after(target, b"https://"))?;
    let (authority, path) = split(rest, leading(rest, |byte| byte != b'/'));
    let is_path = path.is_empty() || path.first() == Some(&b'/');
    (is_path && is_authority(authority)).then_some(authority)
}

fn after<'a>(target: &'a [u8], scheme: &[u8]) -> Option<&'a [u8]> {
    let (start, rest) = target.split_at_checked(scheme.len())?;
    start.eq_ignore_ascii_case(scheme).then_some(rest)
}
