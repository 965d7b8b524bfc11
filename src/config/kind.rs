//! The kinds of values: what each takes, in words and in code.

use super::{
    finding::{Findings, Place},
    raw::{Node, Raw},
    value::Value,
};
use crate::{
    clock::Timestamp,
    model::{Group, Role},
    secret::{GatewayKey, SecretKey, SecretString},
};
use http::{HeaderName, Uri};
use ipnet::IpNet;
use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// What a key takes.
#[derive(Debug)]
pub(super) enum Kind {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both included.
    Number(u64, u64),
    /// A duration text of Go, `1h30m`, within bounds in milliseconds, both included.
    Duration(u64, u64),
    /// A moment, RFC 3339.
    Moment,
    /// One of a few words.
    OneOf(&'static [Word]),
    /// Any text that is not empty.
    Text,
    /// Any text that is not empty and must not be shown.
    Secret,
    /// 64 hex digits.
    SecretKey,
    /// A key that a gateway shows.
    GatewayKey,
    /// Base URL of a server.
    Url,
    /// A file or folder.
    Path,
    /// The name of an HTTP header.
    Header,
    /// Address and port to listen on.
    Listen,
    /// A network in CIDR form, or one address.
    Network,
    /// A role of the cluster.
    Role,
    /// A group, `*` as wildcard.
    Group,
    /// A list of something.
    List(&'static Kind),
    /// Group to list of roles.
    Mappings,
    /// Name to text; the texts may be secret.
    Pairs,
    /// A list of sections that a later capability will read.
    Sections,
}

/// One of the words of a choice, and whether the program can do it yet.
#[derive(Debug)]
pub(super) struct Word {
    pub(super) text: &'static str,
    pub(super) available: bool,
}

/// A word that the program knows what to do with.
pub(super) const fn yes(text: &'static str) -> Word {
    Word { text, available: true }
}

/// A word whose capability is not in the program yet.
pub(super) const fn not_yet(text: &'static str) -> Word {
    Word { text, available: false }
}

impl Kind {
    /// Whether a value of this kind must never be shown.
    pub(super) fn is_secret(&self) -> bool {
        match self {
            Self::Secret | Self::SecretKey | Self::GatewayKey | Self::Pairs | Self::Sections => true,
            Self::List(of) => of.is_secret(),
            _ => false,
        }
    }

    /// Whether the value may stand in a file of its own.
    pub(super) fn has_twin(&self) -> bool {
        self.is_secret() && !matches!(self, Self::Pairs | Self::Sections)
    }

    /// What is allowed, to follow "must be".
    pub(super) fn allowed(&self) -> String {
        match self {
            Self::Bool => "`true` or `false`".to_owned(),
            Self::Number(least, most) => format!("a whole number from {least} to {most}"),
            Self::Duration(least, most) => {
                format!("a duration such as `1h30m`, `90s` or `500ms`, from {} to {}", duration_text(*least), duration_text(*most))
            }
            Self::OneOf(words) => {
                let words: Vec<String> = words.iter().filter(|word| word.available).map(|word| format!("`{}`", word.text)).collect();
                words.join(" or ")
            }
            Self::Moment => "a moment such as `2027-01-31T12:00:00Z`".to_owned(),
            Self::Text | Self::Secret => "a text".to_owned(),
            Self::SecretKey => "64 hex digits, as `elastauth generate-key` makes them".to_owned(),
            Self::GatewayKey => format!("at least {} visible ASCII characters", GatewayKey::MIN_BYTES),
            Self::Url => "a URL such as `https://host:9200`".to_owned(),
            Self::Path => "a path".to_owned(),
            Self::Header => "the name of an HTTP header".to_owned(),
            Self::Listen => "an address and a port such as `127.0.0.1:5000`, `[::1]:5000` or `:5000`".to_owned(),
            Self::Network => "a network such as `10.0.0.0/8`, or one address".to_owned(),
            Self::Role => "the name of a role: 1 to 507 printable ASCII characters with no space at either end".to_owned(),
            Self::Group => "the name of a group, `*` standing for any text".to_owned(),
            Self::List(of) => format!("a list, each item {}", of.allowed()),
            Self::Mappings => "a section of groups, each with its list of roles".to_owned(),
            Self::Pairs => "a section of names, each with its text".to_owned(),
            Self::Sections => "a list of sections".to_owned(),
        }
    }

    /// Reads a value; tells every fault in it and then gives nothing.
    pub(super) fn read(&self, key: &str, raw: &Raw, findings: &mut Findings) -> Option<Value> {
        match (self, &raw.node) {
            (_, Node::Spoilt) => None,
            (Self::List(of), Node::List(items)) => {
                let read: Vec<Option<Value>> = items.iter().map(|item| of.read(key, item, findings)).collect();
                read.into_iter().collect::<Option<_>>().map(Value::List)
            }
            (Self::List(of), Node::Text(text)) => {
                // One text is a list of one, or of several with commas: environment variables know no other way.
                let items = pieces(text).map(|piece| of.scalar(key, piece, &raw.place, findings));
                items.collect::<Vec<_>>().into_iter().collect::<Option<_>>().map(Value::List)
            }
            (Self::Mappings, Node::Map(entries)) => mappings(key, entries, findings),
            (Self::Pairs, Node::Map(entries)) => {
                let pairs: Vec<_> = entries
                    .iter()
                    .map(|(name, raw)| match Self::Text.read(key, raw, findings) {
                        Some(Value::Text(text)) => Some((name.text.clone(), SecretString::from(text))),
                        _ => None,
                    })
                    .collect();
                pairs.into_iter().collect::<Option<_>>().map(Value::Pairs)
            }
            (Self::Sections, Node::List(_)) => Some(Value::Sections),
            (Self::List(_) | Self::Mappings | Self::Pairs | Self::Sections, _) | (_, Node::Null | Node::List(_) | Node::Map(_)) => {
                self.refuse(key, raw, findings)
            }
            (_, Node::Text(text)) => self.scalar(key, text, &raw.place, findings),
        }
    }

    fn refuse(&self, key: &str, raw: &Raw, findings: &mut Findings) -> Option<Value> {
        findings.fault(&raw.place, format!("`{key}` holds {}; it must be {}", raw.what(), self.allowed()));
        None
    }

    fn scalar(&self, key: &str, text: &str, place: &Place, findings: &mut Findings) -> Option<Value> {
        let value = self.parse(text);
        let later = |word: &&Word| !word.available && word.text.eq_ignore_ascii_case(text);
        if let Self::OneOf(words) = self
            && let Some(word) = words.iter().find(later)
        {
            findings.fault(place, format!("`{key}: {}` is not available yet", word.text));
        } else if let Err(why) = &value {
            let what = Raw::text(text, place.clone()).what();
            let because = why.as_ref().map_or_else(String::new, |why| format!(": {why}"));
            findings.fault(place, format!("`{key}` holds {what}; it must be {}{because}", self.allowed()));
        }
        value.ok()
    }

    /// `Err` with the rule that is broken, where the general words do not say it.
    fn parse(&self, text: &str) -> Result<Value, Option<String>> {
        let rule = |text: &str| Some(text.to_owned());
        match self {
            // Go's reader takes `1` and `0` from the environment.
            Self::Bool => match text {
                "true" | "True" | "TRUE" | "1" => Ok(Value::Bool(true)),
                "false" | "False" | "FALSE" | "0" => Ok(Value::Bool(false)),
                _ => Err(None),
            },
            Self::Number(least, most) => {
                let number = text.parse::<u64>().ok().filter(|number| (least..=most).contains(&number));
                number.map(Value::Number).ok_or(None)
            }
            Self::Duration(least, most) => {
                let duration = go_duration(text).ok_or(None)?;
                let within = duration >= Duration::from_millis(*least) && duration <= Duration::from_millis(*most);
                if within { Ok(Value::Duration(duration)) } else { Err(None) }
            }
            Self::Moment => moment(text).map(Value::Moment).ok_or(None),
            Self::OneOf(words) => match words.iter().find(|word| word.text.eq_ignore_ascii_case(text)) {
                Some(word) if word.available => Ok(Value::Word(word.text)),
                Some(_) => Err(None),
                None => Err(nearest(text, words.iter().map(|word| word.text)).map(|word| format!("did you mean `{word}`?"))),
            },
            Self::Text if text.is_empty() => Err(None),
            Self::Text => Ok(Value::Text(text.to_owned())),
            Self::Secret if text.is_empty() => Err(None),
            Self::Secret => Ok(Value::Secret(SecretString::from(text.to_owned()))),
            Self::SecretKey => SecretKey::parse(text).map(Value::Key).map_err(|why| Some(why.to_string())),
            Self::GatewayKey => GatewayKey::parse(text).map(Value::GatewayKey).ok_or(None),
            Self::Url => url(text).map(Value::Url).map_err(rule),
            Self::Path if text.is_empty() => Err(None),
            Self::Path => Ok(Value::Path(PathBuf::from(text))),
            Self::Header => text.parse::<HeaderName>().map(Value::Header).map_err(|_| None),
            Self::Listen => listen(text).map(Value::Listen).ok_or(None),
            Self::Network => network(text).map(Value::Network),
            Self::Role => Role::parse(text).map(Value::Role).ok_or(None),
            Self::Group => Group::parse(text).map(Value::Group).ok_or(None),
            Self::List(_) | Self::Mappings | Self::Pairs | Self::Sections => Err(None),
        }
    }
}

/// The items of a list in one text. Nothing between two commas is nothing.
fn pieces(text: &str) -> impl Iterator<Item = &str> {
    text.split(',').map(str::trim).filter(|piece| !piece.is_empty())
}

fn mappings(key: &str, entries: &[(super::raw::Name, Raw)], findings: &mut Findings) -> Option<Value> {
    let mut read = Some(Vec::with_capacity(entries.len()));
    for (name, raw) in entries {
        let group = Group::parse(&name.text);
        if group.is_none() {
            findings.fault(&name.place, format!("`{key}` has a group with an empty name"));
        }
        let roles = match Kind::List(&Kind::Role).read(key, raw, findings) {
            Some(Value::List(roles)) if roles.is_empty() => {
                findings.fault(&name.place, format!("`{key}` maps a group to no role; name a role or take the group out"));
                None
            }
            Some(Value::List(roles)) => {
                Some(roles.into_iter().filter_map(|role| if let Value::Role(role) = role { Some(role) } else { None }))
            }
            _ => None,
        };
        match (group, roles, &mut read) {
            (Some(group), Some(roles), Some(read)) => read.push((group, roles.collect())),
            (_, _, read) => *read = None,
        }
    }
    read.map(Value::Mappings)
}

/// Go's duration text: `1h30m`, `500ms`, `1.5h`, bare `0`. Negative ones are nothing that a setting could mean.
fn go_duration(text: &str) -> Option<Duration> {
    if text == "0" {
        return Some(Duration::ZERO);
    }
    let (mut rest, mut nanos) = (text, 0_f64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
        let (number, tail) = rest.split_at(digits);
        let unit = tail.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(unit);
        let scale = match unit {
            "ns" => 1.0,
            "us" | "\u{b5}s" | "\u{3bc}s" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3_600e9,
            _ => return None,
        };
        nanos += number.parse::<f64>().ok()? * scale;
        rest = tail;
    }
    // Three centuries: what Go can hold.
    let seconds = nanos / 1e9;
    (seconds < 9.2e9).then(|| Duration::from_secs_f64(seconds))
}

fn moment(text: &str) -> Option<Timestamp> {
    let moment: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(moment.as_millisecond()).ok().map(Timestamp)
}

fn duration_text(ms: u64) -> String {
    match ms {
        0 => "0".to_owned(),
        ms if ms % 3_600_000 == 0 => format!("{}h", ms / 3_600_000),
        ms if ms % 60_000 == 0 => format!("{}m", ms / 60_000),
        ms if ms % 1_000 == 0 => format!("{}s", ms / 1_000),
        ms => format!("{ms}ms"),
    }
}

/// A server's base URL. What it could carry beside an address belongs into keys of its own, or nowhere.
fn url(text: &str) -> Result<Uri, &'static str> {
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
    let port = authority.as_str().rsplit_once(':').map(|(_, port)| port).filter(|port| !port.ends_with(']'));
    if port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port == 0) || port.parse::<u16>().is_err()) {
        return Err("its port is not one");
    }
    if authority.host().is_empty() { Err("it has no host") } else { Ok(url) }
}

/// As Go takes it: nothing before the colon means every address of the machine.
fn listen(text: &str) -> Option<SocketAddr> {
    let (host, port) = text.rsplit_once(':')?;
    let port = port.parse().ok()?;
    let ip = match host {
        // One listener for both families.
        "" => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        "localhost" => IpAddr::V4(Ipv4Addr::LOCALHOST),
        _ => match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
            Some(v6) => IpAddr::V6(v6.parse().ok()?),
            None => IpAddr::V4(host.parse().ok()?),
        },
    };
    Some(SocketAddr::new(ip, port))
}

fn network(text: &str) -> Result<IpNet, Option<String>> {
    if let Ok(ip) = text.parse::<IpAddr>() {
        return Ok(IpNet::from(ip));
    }
    let network: IpNet = text.parse().map_err(|_| None)?;
    // Whoever wrote 10.1.2.3/8 meant one of two very different things.
    if network.addr() == network.network() { Ok(network) } else { Err(Some("there are host bits to the right of the prefix".to_owned())) }
}

/// The candidate that was probably meant: few letters away in proportion to its length.
pub(super) fn nearest<'a>(text: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let text: String = text.chars().take(80).map(|c| c.to_ascii_lowercase()).collect();
    let rated = candidates.map(|candidate| (strsim::normalized_damerau_levenshtein(&text, &candidate.to_ascii_lowercase()), candidate));
    let best = rated.max_by(|a, b| a.0.total_cmp(&b.0))?;
    (best.0 >= 0.6).then_some(best.1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_reads_them() {
        for (text, ms) in
            [("1h30m", 5_400_000), ("500ms", 500), ("90s", 90_000), ("0", 0), ("0s", 0), ("1.5h", 5_400_000), ("1m0.5s", 60_500)]
        {
            assert_eq!(go_duration(text), Some(Duration::from_millis(ms)), "{text}");
        }
        for bad in ["", "3600", "-1s", "1", "h", "1d", "1h ", "..s", "1e3s", "9999999999999h", "1s1"] {
            assert_eq!(go_duration(bad), None, "{bad}");
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
        for bad in ["", "5000", "::1:5000", "host:5000", "127.0.0.1", "127.0.0.1:70000", "127.0.0.1:"] {
            assert_eq!(listen(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_url_is_an_address_and_nothing_more() {
        for good in ["http://a", "https://a:9200/", "https://[::1]:9200", "https://a/es", "HTTPS://a"] {
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

    #[test]
    fn the_nearest_word_is_named_only_where_it_is_near() {
        assert_eq!(nearest("wran", ["debug", "info", "warn", "error"].into_iter()), Some("warn"));
        assert_eq!(nearest("something else", ["debug", "info"].into_iter()), None);
    }
}
