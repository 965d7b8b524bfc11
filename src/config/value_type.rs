//! The types of values: what each accepts, in words and in code.

mod forms;
mod gateway;

use super::{
    finding::{Findings, Place},
    nearest::did_you_mean,
    raw::{Name, Raw, RawNode},
    value::{FromValue as _, KeyValue},
    yaml::shown,
};
use crate::{
    model::{Group, Role},
    secret::{GatewayKey, SecretKey, SecretString},
};
use http::{HeaderName, Uri};
use ipnet::IpNet;
use std::{path::PathBuf, time::Duration};

/// What a key accepts.
pub(super) enum ValueType {
    /// `true` or `false`.
    Bool,
    /// A whole number within bounds, both included.
    Number(u64, u64),
    /// A duration such as `1h30m` within bounds, both included.
    Duration(Duration, Duration),
    /// A timestamp, RFC 3339.
    Timestamp,
    /// One value of an enum; the function lists its texts ([`super::choice::texts`]).
    Choice(fn() -> Vec<&'static str>),
    /// Any text that is not empty.
    Text,
    /// Any text that is not empty and must not be shown.
    Secret,
    /// 64 hex digits.
    SecretKey,
    /// A key that a gateway shows.
    GatewayKey,
    /// A name in a gateway's certificate.
    ClientName,
    /// Base URL of a server.
    Url,
    /// Any text that is not empty and says where something is. What may be secret in it is not
    /// shown.
    Address,
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
    List(&'static ValueType),
    /// Group or user name, `*` as wildcard, to list of roles.
    Mappings,
    /// Name to text; the texts may be secret.
    Pairs,
    /// Base URL of a node, where a capture in braces may be in the host.
    NodeUrl,
    /// Sections of `super::section::keys`, a list of them or each under its name, each read like a
    /// configuration of its own.
    Sections(SectionsOf),
}

/// What sections are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum SectionsOf {
    Providers,
    Listeners,
    Clusters,
    Upstreams,
}

impl SectionsOf {
    /// Whether each section has a name, instead of a place in a list.
    pub(super) fn are_named(self) -> bool {
        self == Self::Clusters
    }
}

impl ValueType {
    /// Whether a value must never be shown.
    pub(super) fn is_secret(&self) -> bool {
        if let Self::List(of) = self {
            return of.is_secret();
        }
        matches!(
            self,
            Self::Secret | Self::SecretKey | Self::GatewayKey | Self::Pairs
        )
    }

    /// Whether a value is an address, in which user information and a query may be secret.
    pub(super) fn is_address(&self) -> bool {
        if let Self::List(of) = self {
            return of.is_address();
        }
        matches!(self, Self::Url | Self::NodeUrl | Self::Address)
    }

    /// Whether a `*_file` variant may name a file that holds the value.
    pub(super) fn has_file_variant(&self) -> bool {
        self.is_secret() && !matches!(self, Self::Pairs)
    }

    /// What is allowed, to follow "must be".
    pub(super) fn allowed(&self) -> String {
        let text = match self {
            Self::Number(least, most) => {
                return format!("a whole number from {least} to {most}");
            }
            Self::Duration(least, most) => {
                let (least, most) = (forms::duration_text(*least), forms::duration_text(*most));
                return format!(
                    "a duration such as `1h30m`, `90s` or `500ms`, from {least} to {most}"
                );
            }
            Self::Choice(texts) => {
                let texts = texts().into_iter().map(|text| format!("`{text}`"));
                return texts.collect::<Vec<_>>().join(" or ");
            }
            Self::List(of) => return format!("a list, each item {}", of.allowed()),
            Self::GatewayKey => {
                return format!(
                    "at least {} visible ASCII characters, or a section with `key` (or \
                     `key_file`) and `providers`",
                    GatewayKey::MIN_BYTES
                );
            }
            Self::ClientName => {
                "a DNS name without wildcards, a URI such as `spiffe://example.org/gateway`, an \
                 address, or a section with `name` and `providers`"
            }
            Self::Bool => "`true` or `false`",
            Self::Timestamp => "a time such as `2027-01-31T12:00:00Z`",
            Self::Text | Self::Address | Self::Secret => "a text",
            Self::SecretKey => "64 hex digits, as `elastauth generate-key` makes them",
            Self::Url | Self::NodeUrl => "a URL such as `https://host:9200`",
            Self::Path => "a path",
            Self::Header => "the name of an HTTP header",
            Self::Listen => {
                "an address and a port such as `127.0.0.1:5000`, `[::1]:5000` or `:5000`"
            }
            Self::Network => "a network such as `10.0.0.0/8`, or one address",
            Self::Role => {
                "the name of a role: 1 to 507 printable ASCII characters with no space at either \
                 end"
            }
            Self::Group => "the name of a group, where `*` matches any text",
            Self::Mappings => "a section of names or patterns, each with its list of roles",
            Self::Pairs => "a section of names, each with its text",
            Self::Sections(of) if of.are_named() => {
                "a section of names, each with a section of its own"
            }
            Self::Sections(_) => "a list of sections",
        };
        text.to_owned()
    }

    /// Reads a value; reports every fault in it and then returns `None`.
    pub(super) fn read(&self, key: &str, raw: &Raw, findings: &mut Findings) -> Option<KeyValue> {
        match (self, &raw.node) {
            (_, RawNode::Invalid) => None,
            (Self::List(of), RawNode::List(items)) => {
                let items = items.iter().map(|item| of.read(key, item, findings));
                all(items).map(KeyValue::List)
            }
            // One item without brackets, or several as the environment has them.
            (Self::List(of), RawNode::Text(text)) => {
                let items = pieces(text).map(|piece| of.scalar(key, piece, &raw.place, findings));
                all(items).map(KeyValue::List)
            }
            (Self::Mappings, RawNode::Map(entries)) => {
                let entries = entries.iter().map(|entry| mapping(key, entry, findings));
                all(entries).map(KeyValue::Mappings)
            }
            (Self::Pairs, RawNode::Map(entries)) => {
                let pairs =
                    entries
                        .iter()
                        .map(|(name, raw)| match Self::Text.read(key, raw, findings) {
                            Some(KeyValue::Text(text)) => Some((name.text.clone(), text.into())),
                            _ => None,
                        });
                all(pairs).map(KeyValue::Pairs)
            }
            (Self::Sections(of), RawNode::List(items)) if !of.are_named() => {
                let sections = items.iter().map(|item| section(key, item, findings));
                all(sections).map(|_| KeyValue::Sections)
            }
            (Self::Sections(of), RawNode::Map(entries)) if of.are_named() => {
                let sections = entries.iter().map(|(name, item)| {
                    section(&format!("{key}.{}", shown(&name.text)), item, findings)
                });
                all(sections).map(|_| KeyValue::Sections)
            }
            (Self::GatewayKey, RawNode::Map(entries)) => {
                gateway::key(key, raw, entries, findings).map(KeyValue::GatewayKey)
            }
            (Self::ClientName, RawNode::Map(entries)) => {
                gateway::name(key, raw, entries, findings).map(KeyValue::ClientName)
            }
            (Self::List(_) | Self::Mappings | Self::Pairs | Self::Sections(_), _)
            | (_, RawNode::Null | RawNode::List(_) | RawNode::Map(_)) => {
                self.refuse(key, raw, "", findings);
                None
            }
            (_, RawNode::Text(text)) => self.scalar(key, text, &raw.place, findings),
        }
    }

    fn refuse(&self, key: &str, raw: &Raw, why: &str, findings: &mut Findings) {
        let (found, allowed) = (raw.what(), self.allowed());
        findings.fault(
            &raw.place,
            format!("`{key}` holds {found}; it must be {allowed}{why}"),
        );
    }

    fn scalar(
        &self,
        key: &str,
        text: &str,
        place: &Place,
        findings: &mut Findings,
    ) -> Option<KeyValue> {
        let value = self.parse(text);
        if value.is_ok() && self.is_secret() && is_wrapped(text) {
            findings.warn(
                place,
                format!(
                    "`{key}` has quotes around it, or white space at an end, and both are part of \
                     the secret; remove them if they are not meant"
                ),
            );
        }
        if let Err(why) = &value {
            self.refuse(key, &Raw::text(text, place.clone()), why, findings);
        }
        value.ok()
    }

    /// `Err` with the rule that is broken where the general words do not say it; empty otherwise.
    fn parse(&self, text: &str) -> Result<KeyValue, String> {
        let general = String::new;
        let rule = |why: &str| format!(": {why}");
        match self {
            // Go's reader accepts `1` and `0` in the environment.
            Self::Bool => match text {
                "true" | "True" | "TRUE" | "1" => Ok(KeyValue::Bool(true)),
                "false" | "False" | "FALSE" | "0" => Ok(KeyValue::Bool(false)),
                _ => Err(general()),
            },
            Self::Number(least, most) => {
                let number = text.parse::<u64>().ok();
                let number = number.filter(|number| (least..=most).contains(&number));
                number.map(KeyValue::Number).ok_or_else(general)
            }
            Self::Duration(least, most) => {
                let duration = forms::duration(text);
                let duration = duration.filter(|duration| (least..=most).contains(&duration));
                duration.map(KeyValue::Duration).ok_or_else(general)
            }
            Self::Timestamp => {
                let time = forms::timestamp(text);
                time.map(KeyValue::Timestamp).ok_or_else(general)
            }
            Self::Choice(texts) => {
                let mut texts = texts().into_iter();
                let known = texts.clone().find(|known| known.eq_ignore_ascii_case(text));
                known
                    .map(KeyValue::Choice)
                    .ok_or_else(|| did_you_mean(text, &mut texts, ""))
            }
            Self::Text | Self::Address | Self::Secret | Self::Path if text.is_empty() => {
                Err(general())
            }
            Self::Text | Self::Address => Ok(KeyValue::Text(text.to_owned())),
            Self::Secret => Ok(KeyValue::Secret(SecretString::from(text.to_owned()))),
            Self::SecretKey => {
                let key = SecretKey::parse(text);
                key.map(KeyValue::Key).map_err(|why| {
                    let hint = if is_wrapped(text) {
                        "; remove the quotes or the white space around it"
                    } else {
                        ""
                    };
                    rule(&format!("{why}{hint}"))
                })
            }
            Self::GatewayKey => {
                let key = gateway::parse_key(text);
                key.map(KeyValue::GatewayKey).ok_or_else(general)
            }
            Self::ClientName => {
                let name = gateway::parse_name(text);
                name.map(KeyValue::ClientName).ok_or_else(general)
            }
            Self::Url => forms::url(text).map(KeyValue::Url).map_err(rule),
            Self::NodeUrl => forms::node_url(text)
                .map(|()| KeyValue::Text(text.to_owned()))
                .map_err(rule),
            Self::Path => Ok(KeyValue::Path(PathBuf::from(text))),
            Self::Header => {
                let name = text.parse::<HeaderName>();
                name.map(KeyValue::Header).map_err(|_| general())
            }
            Self::Listen => forms::listen(text)
                .map(KeyValue::Listen)
                .ok_or_else(general),
            Self::Network => match forms::network(text) {
                Ok(network) => Ok(KeyValue::Network(network)),
                Err(why) => Err(why.map_or_else(general, rule)),
            },
            Self::Role => Role::parse(text).map(KeyValue::Role).ok_or_else(general),
            Self::Group => Group::parse(text).map(KeyValue::Group).ok_or_else(general),
            Self::List(_) | Self::Mappings | Self::Pairs | Self::Sections(_) => Err(general()),
        }
    }
}

/// The base URL of a server, for who asks for one outside of a configuration.
///
/// # Errors
/// Says which rule the text breaks.
pub(crate) fn server_url(text: &str) -> Result<Uri, &'static str> {
    forms::url(text)
}

/// The same for a network, or one address.
///
/// # Errors
/// Says what is allowed.
pub(crate) fn network(text: &str) -> Result<IpNet, String> {
    forms::network(text).map_err(|why| match why {
        Some(why) => why.to_owned(),
        None => format!("it must be {}", ValueType::Network.allowed()),
    })
}

/// All of them, or `None` where one is missing; each is looked at, so that every fault is reported.
pub(super) fn all<T>(items: impl Iterator<Item = Option<T>>) -> Option<Vec<T>> {
    let items: Vec<Option<T>> = items.collect();
    items.into_iter().collect()
}

/// Whether there is something around a secret that editors, shells and Windows leave there: quotes,
/// white space, the first half of a line end.
fn is_wrapped(text: &str) -> bool {
    let in_quotes = |quote| text.len() > 1 && text.starts_with(quote) && text.ends_with(quote);
    text.trim() != text || in_quotes('"') || in_quotes('\'')
}

/// The items of a list in one text. Nothing between two commas is no item.
pub(super) fn pieces(text: &str) -> impl Iterator<Item = &str> {
    let pieces = text.split(',').map(str::trim);
    pieces.filter(|piece| !piece.is_empty())
}

fn section(key: &str, raw: &Raw, findings: &mut Findings) -> Option<()> {
    if matches!(raw.node, RawNode::Map(_) | RawNode::Invalid) {
        return Some(());
    }
    let fault = format!("`{key}` has {} instead of a section", raw.what());
    findings.fault(&raw.place, fault);
    None
}

fn mapping(
    key: &str,
    (name, raw): &(Name, Raw),
    findings: &mut Findings,
) -> Option<(Group, Vec<Role>)> {
    let group = Group::parse(&name.text);
    if group.is_none() {
        let fault = format!("`{key}` has an entry with an empty name");
        findings.fault(&name.place, fault);
    }
    let Some(KeyValue::List(roles)) = ValueType::List(&ValueType::Role).read(key, raw, findings)
    else {
        return None;
    };
    if roles.is_empty() {
        let fault = format!("`{key}` maps a name to no role; name a role, or remove the entry");
        findings.fault(&name.place, fault);
        return None;
    }
    let roles = roles.iter().map(Role::from_value).collect::<Option<_>>();
    Some((group?, roles?))
}
