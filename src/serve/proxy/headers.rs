//! The headers of a request that is passed on, and of its answer.
//!
//! The order is fixed. The identity was read before. First all that is for one connection goes, and
//! what `Connection` names; then what nobody but elastauth may say to a cluster; then elastauth
//! says it. So no header of a client can take away or add to what is set here.

use super::dropped::Dropped;
use http::{
    HeaderMap, HeaderName, HeaderValue, Version,
    header::{
        AUTHORIZATION, CACHE_CONTROL, CONNECTION, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE,
        CONTENT_TYPE, COOKIE, EXPECT, Entry, FORWARDED, HOST, MAX_FORWARDS, PROXY_AUTHENTICATE,
        SET_COOKIE, TE, TRAILER, TRANSFER_ENCODING, UPGRADE, VIA, WWW_AUTHENTICATE,
    },
};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// What says how to read a message, where it goes, or for whom (RFC 9110, §6.5.1).
const NEVER_TRAILERS: [HeaderName; 11] = [
    HOST,
    CONTENT_LENGTH,
    CONTENT_TYPE,
    CONTENT_ENCODING,
    CONTENT_RANGE,
    CACHE_CONTROL,
    MAX_FORWARDS,
    COOKIE,
    SET_COOKIE,
    TRAILER,
    PROXY_AUTHENTICATE,
];

#[expect(
    clippy::struct_excessive_bools,
    reason = "four independent facts of a request"
)]
/// What the headers of a request depend on besides those that came.
pub(super) struct Passing<'a> {
    /// The login.
    pub(super) authorization: &'a HeaderValue,
    pub(super) dropped: &'a Dropped,
    /// The peer's, if it has one.
    pub(super) peer_address: Option<&'a HeaderValue>,
    /// Whether the peer is a gateway, so that what it says of those before it counts.
    pub(super) of_gateway: bool,
    /// Whether the client's side speaks TLS.
    pub(super) secure: bool,
    pub(super) version: Version,
    /// The host that the client asked for.
    pub(super) asked_host: Option<&'a HeaderValue>,
    /// Whether the cluster gets it as `Host`. Otherwise none is set here.
    pub(super) keeps_host: bool,
    pub(super) framing: Framing,
    /// Whether the connection shall become a `WebSocket`.
    pub(super) websocket: bool,
}

/// How the cluster sees where the body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// There is none.
    Nothing,
    Length(u64),
    Chunked,
}

/// The headers that go to the cluster.
pub(super) fn outgoing(came: &HeaderMap, passing: &Passing<'_>) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(came.keys_len() + 8);
    let named = Named::of(came);
    for (name, value) in came {
        if is_of_connection(name) || named.has(name) || passing.is_dropped(name) {
            continue;
        }
        if *name == COOKIE {
            passing.cookie(&mut headers, value);
        } else {
            headers.append(name, value.clone());
        }
    }
    passing.set(came, &mut headers);
    headers
}

impl Passing<'_> {
    fn is_dropped(&self, name: &HeaderName) -> bool {
        // What is set below is not repeated, and nobody but a gateway speaks for others.
        [HOST, CONTENT_LENGTH].contains(name)
            || self.dropped.has(name)
            || !self.of_gateway && speaks_for_others(name)
    }

    /// Cookies but for those with tokens. HTTP/2 may have one header for each, HTTP/1.1 has one.
    fn cookie(&self, headers: &mut HeaderMap, value: &HeaderValue) {
        let Some(left) = self.dropped.cookies_without_ours(value) else {
            return;
        };
        if self.version == Version::HTTP_2
            && let Some(before) = headers.get(COOKIE)
        {
            let joined = [before.as_bytes(), left.as_bytes()].join(&b"; "[..]);
            if let Ok(joined) = HeaderValue::from_bytes(&joined) {
                headers.insert(COOKIE, joined);
            }
        } else {
            headers.append(COOKIE, left);
        }
    }

    fn set(&self, came: &HeaderMap, headers: &mut HeaderMap) {
        headers.insert(AUTHORIZATION, self.authorization.clone());
        if let Some(host) = self.asked_host {
            if self.keeps_host {
                headers.insert(HOST, host.clone());
            }
            let forwarded = headers.entry(FORWARDED_HOST);
            forwarded.or_insert_with(|| host.clone());
        }
        let proto = if self.secure { "https" } else { "http" };
        let forwarded = headers.entry(FORWARDED_PROTO);
        forwarded.or_insert_with(|| HeaderValue::from_static(proto));
        if let Some(address) = self.peer_address {
            extend(headers, &FORWARDED_FOR, address);
        }
        let via = HeaderValue::from_static(match self.version {
            Version::HTTP_10 => "1.0 elastauth",
            Version::HTTP_2 => "2 elastauth",
            _ => "1.1 elastauth",
        });
        extend(headers, &VIA, &via);
        if wants_trailers(came) {
            headers.insert(TE, HeaderValue::from_static("trailers"));
        }
        match self.framing {
            Framing::Nothing => {}
            Framing::Length(bytes) => {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(bytes));
            }
            Framing::Chunked => {
                let chunked = HeaderValue::from_static("chunked");
                headers.insert(TRANSFER_ENCODING, chunked);
            }
        }
        if self.websocket {
            to_websocket(headers);
        }
    }
}

/// The headers of an answer, as they go to the client.
pub(super) fn returned(headers: &mut HeaderMap, is_websocket: bool) {
    let gone: Vec<HeaderName> = {
        let named = Named::of(headers);
        let gone = |name: &&HeaderName| {
            is_of_connection(name) || **name == PROXY_AUTHENTICATE || named.has(name)
        };
        headers.keys().filter(gone).cloned().collect()
    };
    for name in gone {
        headers.remove(name);
    }
    // hyper takes one length that is said twice as one.
    if headers.get_all(CONTENT_LENGTH).iter().nth(1).is_some()
        && let Some(length) = headers.get(CONTENT_LENGTH).cloned()
    {
        headers.insert(CONTENT_LENGTH, length);
    }
    if is_websocket {
        to_websocket(headers);
    }
}

/// Drops the challenges for which a browser asks its user for a password. `Bearer` and the like are
/// for programs, and stay.
pub(super) fn drop_password_prompts(headers: &mut HeaderMap) {
    let prompts = |value: &HeaderValue| {
        // A comma inside of quotes makes too many parts, and so drops rather too much.
        value.as_bytes().split(|byte| *byte == b',').any(|part| {
            let mut words = part.trim_ascii_start().split(|byte| *byte == b' ');
            let scheme = words.next().unwrap_or_default().trim_ascii();
            [&b"basic"[..], b"digest", b"negotiate", b"ntlm"]
                .iter()
                .any(|own| scheme.eq_ignore_ascii_case(own))
        })
    };
    let challenges = headers.get_all(WWW_AUTHENTICATE).iter();
    let left: Vec<_> = challenges
        .filter(|value| !prompts(value))
        .cloned()
        .collect();
    headers.remove(WWW_AUTHENTICATE);
    for challenge in left {
        headers.append(WWW_AUTHENTICATE, challenge);
    }
}

fn to_websocket(headers: &mut HeaderMap) {
    headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
}

/// Whether a request of HTTP/1.1 asks to become a `WebSocket`, and nothing else.
pub(super) fn asks_for_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter();
    let protocol = protocols.next().map(HeaderValue::as_bytes);
    protocol.is_some_and(|protocol| protocol.eq_ignore_ascii_case(b"websocket"))
        && protocols.next().is_none()
        && Named::of(headers).has(&UPGRADE)
}

/// For one connection (RFC 9110, §7.6.1, and what older programs send). `Trailer` stays: it says
/// what follows the body, which is passed on with its trailers. `Expect` was answered here.
fn is_of_connection(name: &HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "keep-alive"
            | "proxy-connection"
            | "te"
            | "transfer-encoding"
            | "upgrade"
            | "http2-settings"
    ) || *name == EXPECT
}

/// The trailers that the client said it would send. Others are not passed on: hyper writes none
/// that the head does not name.
pub(super) fn declared_trailers(headers: &HeaderMap) -> Vec<HeaderName> {
    if Named::of(headers).has(&TRAILER) {
        return Vec::new();
    }
    let values = headers.get_all(TRAILER).iter().map(HeaderValue::as_bytes);
    values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .filter_map(|name| HeaderName::from_bytes(name.trim_ascii()).ok())
        .collect()
}

/// Whether a trailer is not passed on: some servers read trailers as headers. HTTP/1.1 refuses
/// those that frame or route a message before, HTTP/2 does not. No gateway says in a trailer whom
/// it speaks for.
pub(super) fn is_no_trailer(name: &HeaderName, dropped: &Dropped) -> bool {
    is_of_connection(name)
        || NEVER_TRAILERS.contains(name)
        || dropped.has(name)
        || speaks_for_others(name)
}

/// Whether it says where a request came from, or for which URL.
fn speaks_for_others(name: &HeaderName) -> bool {
    const START: &[u8] = b"x-forwarded-";
    let text = name.as_str().as_bytes();
    let is_same = |(own, other): (&u8, &u8)| own == other || *own == b'_' && *other == b'-';
    let begins = text.len() >= START.len() && text.iter().zip(START).all(is_same);
    begins || [FORWARDED, VIA].contains(name) || matches!(name.as_str(), "x-real-ip" | "x_real_ip")
}

fn wants_trailers(headers: &HeaderMap) -> bool {
    let values = headers.get_all(TE).iter().map(HeaderValue::as_bytes);
    values
        .flat_map(|value| value.split(|byte| *byte == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// Puts an element behind those of a list. Whoever was there before a gateway stays, in one line.
fn extend(headers: &mut HeaderMap, name: &HeaderName, element: &HeaderValue) {
    let mut before = match headers.entry(name) {
        Entry::Vacant(none) => {
            none.insert(element.clone());
            return;
        }
        Entry::Occupied(before) => before,
    };
    let mut list = Vec::new();
    for value in before.iter() {
        list.extend_from_slice(value.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element.as_bytes());
    if let Ok(list) = HeaderValue::from_bytes(&list) {
        before.insert(list);
    }
}

/// What the `Connection` headers of a message name; `None` without one, as mostly.
struct Named<'a>(Option<&'a HeaderMap>);

impl<'a> Named<'a> {
    fn of(headers: &'a HeaderMap) -> Self {
        Self(Some(headers).filter(|headers| headers.contains_key(CONNECTION)))
    }

    fn has(&self, name: &HeaderName) -> bool {
        let Some(headers) = self.0 else {
            return false;
        };
        let values = headers.get_all(CONNECTION).iter();
        values
            .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
            .any(|named| {
                named
                    .trim_ascii()
                    .eq_ignore_ascii_case(name.as_str().as_bytes())
            })
    }
}

#[cfg(test)]
mod tests;
