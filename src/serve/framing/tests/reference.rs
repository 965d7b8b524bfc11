//! The same rules a second time, as grammar: slow, without a state, and on all bytes at once.

use regex::bytes::Regex;
use std::sync::LazyLock;

fn regex(pattern: &str) -> Regex {
    Regex::new(&format!("(?s-u)^(?:{pattern})")).unwrap()
}

/// A head or the trailers, with their empty line.
static HEAD: LazyLock<Regex> = LazyLock::new(|| {
    let token = r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+";
    let target = r"[^\x00-\x20\x7f#]+";
    let line = format!(r"(?:\r\n)?({token}) ({target}) HTTP/1\.([01])\r\n");
    regex(&format!("{line}(?P<fields>{})\r\n", fields()))
});
static TRAILERS: LazyLock<Regex> =
    LazyLock::new(|| regex(&format!("(?P<fields>{})\r\n", fields())));
static FIELD: LazyLock<Regex> = LazyLock::new(|| regex("([^:]+):[ \t]*([^\r]*?)[ \t]*\r\n"));
static CHUNK: LazyLock<Regex> =
    LazyLock::new(|| regex("([0-9A-Fa-f]{1,16})(;[\t\x20-\x7e]{0,255})?\r\n"));
static HOST: LazyLock<Regex> =
    LazyLock::new(|| regex(r"(?:[0-9A-Za-z.~_\-]{1,255}|\[[0-9A-Fa-f:.]+\])(?::([0-9]{1,5}))?$"));
static ABSOLUTE: LazyLock<Regex> = LazyLock::new(|| regex(r"(?i:https?)://([^/?]+)(?:/|$)"));

fn fields() -> &'static str {
    r"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*\r\n)*"
}

/// A request: how long its head is, and its body without the frames around it.
#[derive(Debug, PartialEq)]
pub(super) struct Message {
    pub(super) head: usize,
    pub(super) length: usize,
    pub(super) body: Vec<u8>,
    /// What comes behind is for the answer to say.
    pub(super) asks_for_upgrade: bool,
}

/// The request at the start, if it is complete and good.
pub(super) fn message(bytes: &[u8]) -> Option<Message> {
    let head = HEAD.captures(bytes)?;
    let length = head[0].len();
    let all = named(&head["fields"]);
    let values = |name: &str| -> Vec<&[u8]> {
        let of_name = all.iter().filter(|(is, _)| is == name);
        of_name.map(|(_, value)| &value[..]).collect()
    };
    let (method, target, is_old) = (&head[1], &head[2], &head[3] == b"0");
    let method = method.to_ascii_uppercase();
    let text = String::from_utf8(target.to_vec()).ok()?;
    let is_url = text.parse::<http::Uri>().is_ok();
    if method == b"CONNECT" || method == b"TRACE" || !is_url || text.len() > 65_534 {
        return None;
    }
    let hosts = values("host");
    let is_host_good = match hosts[..] {
        [host] => HOST.captures(host).is_some_and(|parts| {
            let port = parts.get(1).map_or(0, |port| number(port.as_bytes()));
            let address = parts[0].strip_prefix(b"[").and_then(|rest| {
                let end = rest.iter().position(|byte| *byte == b']')?;
                String::from_utf8(rest[..end].to_vec()).ok()
            });
            let is_address =
                address.is_none_or(|address| address.parse::<std::net::Ipv6Addr>().is_ok());
            port <= 65_535 && is_address
        }),
        [] => is_old && text.starts_with('/'),
        _ => false,
    };
    let is_target_good = text.starts_with('/')
        || ABSOLUTE.captures(target).is_some_and(|parts| {
            hosts
                .first()
                .is_some_and(|host| parts[1].eq_ignore_ascii_case(host))
        });
    if !is_host_good || !is_target_good || all.len() > 10 || length > 1_000 {
        return None;
    }
    let asks_for_upgrade = !is_old && !values("upgrade").is_empty();
    let message = |length, body| {
        Some(Message {
            head: head[0].len(),
            length,
            body,
            asks_for_upgrade,
        })
    };
    match (
        &values("content-length")[..],
        &values("transfer-encoding")[..],
    ) {
        ([], []) => message(length, Vec::new()),
        ([size], []) => {
            let is_number = !size.is_empty() && size.iter().all(u8::is_ascii_digit);
            let size = is_number
                .then(|| number(size))
                .filter(|size| *size < 1 << 63)?;
            let end = length.checked_add(usize::try_from(size).ok()?)?;
            message(end, bytes.get(length..end)?.to_vec())
        }
        ([], [coding]) if coding.eq_ignore_ascii_case(b"chunked") && !is_old => {
            let (end, body) = chunked(&bytes[length..])?;
            message(length + end, body)
        }
        _ => None,
    }
}

fn chunked(mut bytes: &[u8]) -> Option<(usize, Vec<u8>)> {
    let (all, mut body, mut extensions) = (bytes.len(), Vec::new(), 0);
    loop {
        let line = CHUNK.captures(bytes)?;
        extensions += line.get(2).map_or(0, |extension| extension.len());
        let size = u64::from_str_radix(std::str::from_utf8(&line[1]).ok()?, 16).ok()?;
        bytes = &bytes[line[0].len()..];
        if extensions > 8_192 {
            return None;
        }
        if size == 0 {
            break;
        }
        let size = usize::try_from(size).ok()?;
        body.extend_from_slice(bytes.get(..size)?);
        bytes = bytes[size..].strip_prefix(b"\r\n")?;
    }
    let trailers = TRAILERS.captures(bytes)?;
    let names = named(&trailers["fields"]);
    let forbidden = [
        "content-length",
        "transfer-encoding",
        "trailer",
        "host",
        "connection",
        "upgrade",
        "te",
        "expect",
    ];
    let is_good = trailers[0].len() <= 8_192
        && names.len() <= 32
        && names
            .iter()
            .all(|(name, _)| !forbidden.contains(&name.as_str()));
    is_good.then_some((all - bytes.len() + trailers[0].len(), body))
}

fn named(mut fields: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut all = Vec::new();
    while let Some(field) = FIELD.captures(fields) {
        let name = String::from_utf8_lossy(&field[1]).to_ascii_lowercase();
        all.push((name, field[2].to_vec()));
        fields = &fields[field[0].len()..];
    }
    all
}

fn number(digits: &[u8]) -> u64 {
    String::from_utf8_lossy(digits).parse().unwrap_or(u64::MAX)
}
