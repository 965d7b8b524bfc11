//! Addresses and URLs as they may be shown: without user information, query and fragment, all of
//! which may hold a secret.

const HIDDEN: &str = "***";

/// The address without what may be secret. Rather too little is shown than too much: a password
/// may contain a `/` that should have been escaped.
#[must_use]
pub(crate) fn shown(address: &str) -> String {
    let end = address.find(['?', '#']);
    let (open, hidden) = address.split_at(end.unwrap_or(address.len()));
    let after = match hidden.chars().next() {
        Some(mark) if hidden.len() > 1 => format!("{mark}{HIDDEN}"),
        Some(mark) => mark.to_string(),
        None => String::new(),
    };
    let (scheme, rest) = match open.find("://") {
        Some(at) => open.split_at(at + 3),
        None => ("", open),
    };
    let authority = rest.split('/').next().unwrap_or_default();
    if is_host(authority) {
        return format!("{scheme}{rest}{after}");
    }
    match rest.rsplit_once('@') {
        Some((_, host)) => format!("{scheme}{HIDDEN}@{host}{after}"),
        None => format!("{scheme}{HIDDEN}"),
    }
}

/// A host with a port or without; nothing, as before the path of a socket; never user information.
fn is_host(authority: &str) -> bool {
    if authority.contains('@') {
        return false;
    }
    let port = match authority.rsplit_once(']') {
        // An IPv6 address.
        Some((_, after)) => after.strip_prefix(':'),
        None => authority.split_once(':').map(|(_, port)| port),
    };
    port.is_none_or(|port| port.bytes().all(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_scheme_host_port_and_path_are_shown() {
        for (address, expected) in [
            ("https://es:9200/path", "https://es:9200/path"),
            ("redis:6379", "redis:6379"),
            ("localhost", "localhost"),
            ("[::1]:6379", "[::1]:6379"),
            ("unix:///run/redis.sock", "unix:///run/redis.sock"),
            ("https://[::1]:9200", "https://[::1]:9200"),
            ("https://u:secret@es:9200/p", "https://***@es:9200/p"),
            ("secret@redis:6379", "***@redis:6379"),
            ("redis://u:sec/ret@redis:6379", "redis://***@redis:6379"),
            ("redis://u:sec@ret@redis", "redis://***@redis"),
            ("https://idp/a?key=secret", "https://idp/a?***"),
            ("https://idp/a#secret", "https://idp/a#***"),
            ("https://idp/a?", "https://idp/a?"),
            ("redis://u:sec?ret@redis", "redis://***"),
            ("secret", "secret"),
            ("u:secret", "***"),
        ] {
            assert_eq!(shown(address), expected, "{address}");
        }
    }
}
