//! Forms of single values: durations, timestamps, URLs, listeners, networks.

use crate::{clock::Timestamp, config::captures};
use http::Uri;
use ipnet::IpNet;
use jiff::SignedDuration;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

/// `1h30m`, `500ms`, `1.5h`, and Go's bare `0`. A negative one has no meaning here.
pub(super) fn duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    if text.trim() != text {
        return None;
    }
    let duration = one_duration(text).or_else(|| sum_of_parts(text))?;
    // Go keeps nanoseconds in 64 bits, so elastauth 2 refused anything longer.
    i64::try_from(duration.as_nanos())
        .is_ok()
        .then_some(duration)
}

fn one_duration(text: &str) -> Option<Duration> {
    text.parse::<SignedDuration>().ok()?.try_into().ok()
}

/// Go accepts units in any order and a fraction in each part (`30m1.5h`). jiff does not, so it
/// reads the parts one by one.
fn sum_of_parts(text: &str) -> Option<Duration> {
    let is_number = |c: char| c.is_ascii_digit() || c == '.';
    let (mut sum, mut rest) = (Duration::ZERO, text);
    loop {
        let unit = rest.find(|c| !is_number(c))?;
        let length = rest.get(unit..)?.find(is_number);
        let (part, next) = rest.split_at(length.map_or(rest.len(), |length| unit + length));
        sum = sum.checked_add(one_duration(part)?)?;
        if next.is_empty() {
            return Some(sum);
        }
        rest = next;
    }
}

pub(super) fn duration_text(duration: Duration) -> String {
    // Every bound of the table fits; a larger one would be shown as the largest.
    let duration = SignedDuration::try_from(duration).unwrap_or(SignedDuration::MAX);
    format!("{duration:#}")
}

pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(Timestamp)
}

/// A server's base URL. What else a URL could carry has keys of its own, or no meaning here.
pub(super) fn url(text: &str) -> Result<Uri, &'static str> {
    let lower = text.to_ascii_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("https://") {
        return Err("it must begin with `http://` or `https://`");
    }
    if text.contains(['?', '#']) {
        return Err("it must have no query and no fragment");
    }
    let url: Uri = text.parse().map_err(|_| "it is not a URL")?;
    let authority = url.authority().ok_or("it has no host")?;
    if authority.as_str().contains('@') {
        return Err("user name and password have keys of their own");
    }
    let port = authority
        .as_str()
        .rsplit_once(':')
        .map(|(_, port)| port)
        .filter(|port| !port.ends_with(']'));
    if port.is_some_and(|port| {
        port.parse::<u16>().is_ok_and(|port| port == 0) || port.parse::<u16>().is_err()
    }) {
        return Err("its port is not one");
    }
    if authority.host().is_empty() {
        Err("it has no host")
    } else {
        Ok(url)
    }
}

/// The same for a node of a cluster, where a capture of `match.hosts` may be in the host:
/// `https://{tenant}.internal:9200`.
pub(super) fn node_url(text: &str) -> Result<(), &'static str> {
    let Some((before, rest)) = text.split_once("://") else {
        return url(text).map(drop);
    };
    let (host, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if path.contains(['{', '}']) {
        return Err("a capture in braces may be in the host only");
    }
    // What stands for the capture is one label of a DNS name.
    let host = captures::filled(host, None, "a");
    url(&format!("{before}://{host}{path}")).map(drop)
}

/// As Go takes it: nothing before the colon means every address of the machine.
pub(super) fn listen(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let ip = match host {
        // One listener for both families.
        "" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => match host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
        {
            Some(v6) => IpAddr::V6(v6.parse().ok()?),
            None => IpAddr::V4(host.parse().ok()?),
        },
    };
    Some(SocketAddr::new(ip, port))
}

/// `Err` with the rule that is broken, if there is more to say than what a network looks like.
pub(super) fn network(text: &str) -> Result<IpNet, Option<&'static str>> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(ip));
    }
    let network: IpNet = text.parse().map_err(|_| None)?;
    // Whoever wrote 10.1.2.3/8 meant one of two very different things.
    if network.addr() == network.network() {
        Ok(network)
    } else {
        Err(Some("there are host bits to the right of the prefix"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_of_go_are_read() {
        for (text, ms) in [
            ("1h30m", 5_400_000),
            ("500ms", 500),
            ("90s", 90_000),
            ("0", 0),
            ("0s", 0),
            ("1.5h", 5_400_000),
            ("1m0.5s", 60_500),
            ("30m1h", 5_400_000),
            ("1.5h30m", 7_200_000),
            ("0.5h1.5m500ms", 1_890_500),
            ("1h1h", 7_200_000),
            ("1s1000µs", 1_001),
            ("1h 30m", 5_400_000),
        ] {
            assert_eq!(duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in [
            "",
            "3600",
            "-1s",
            "1",
            "h",
            "1d",
            "1h ",
            "..s",
            "1e3s",
            "9999999999999h",
            "9999999999999999h",
            "1s1",
            "30m-1h",
            "30m1h ago",
            "2000000h1000000h",
        ] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn listeners_are_read_as_go_reads_them() {
        for (text, address) in [
            (":5000", "[::]:5000"),
            ("127.0.0.1:80", "127.0.0.1:80"),
            ("[::1]:5000", "[::1]:5000"),
            ("localhost:5000", "127.0.0.1:5000"),
            ("0.0.0.0:0", "0.0.0.0:0"),
        ] {
            assert_eq!(listen(text), Some(address.parse().unwrap()), "{text}");
        }
        for bad in [
            "",
            "5000",
            "::1:5000",
            "host:5000",
            "127.0.0.1",
            "127.0.0.1:70000",
            "127.0.0.1:",
        ] {
            assert_eq!(listen(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_url_is_an_address_and_nothing_more() {
        for good in [
            "http://a",
            "https://a:9200/",
            "https://[::1]:9200",
            "https://a/es",
            "HTTPS://a",
        ] {
            assert!(url(good).is_ok(), "{good}");
        }
        for bad in [
            "a:9200",
            "ftp://a",
            "http://",
            "http://u:p@a",
            "http://u@a",
            "http://a?x",
            "http://a#x",
            "http://a:0",
            "http://a:99999",
            "http://a b",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_network_has_no_host_bits() {
        assert!(network("10.0.0.0/8").is_ok() && network("fc00::/7").is_ok());
        assert_eq!(network("10.1.2.3"), Ok("10.1.2.3/32".parse().unwrap()));
        assert!(network("10.1.2.3/8").is_err_and(|why| why.is_some()));
        assert!(network("10.0.0.0/33").is_err() && network("host").is_err());
    }
}
