//! Requests that gateways and applications may read differently, and requests that are large, rare
//! or never end.

use super::types::{
    Attack,
    Must::{BeHarmless, BeRefused, Work},
    Sent::{self, Both, Draft},
};
use crate::gateway::{ELASTICSEARCH, Form};

const fn framing(name: &'static str, sent: Sent) -> Attack {
    Attack {
        name,
        sent,
        must: BeHarmless,
        forms: &Form::ALL,
    }
}

const fn works(name: &'static str, sent: Sent) -> Attack {
    Attack {
        must: Work,
        ..framing(name, sent)
    }
}

/// A second request, for a gateway that takes the end of the first one for another than the
/// application does.
const SECOND: &str = "GET /_search?second HTTP/1.1\r\nHost: elasticsearch.example.org\r\n\
                      Remote-User: mallory\r\nRemote-Groups: search-admins\r\n\r\n";

pub(crate) const FRAMING: &[Attack] = &[
    framing("HTTP/1.0", Draft(|draft| draft.version = "HTTP/1.0")),
    framing(
        "HTTP/1.0 without `Host`",
        Draft(|draft| {
            draft.version = "HTTP/1.0";
            draft.lines.remove(0);
        }),
    ),
    framing(
        "HTTP/1.1 without `Host`",
        Draft(|draft| {
            draft.lines.remove(0);
        }),
    ),
    framing(
        "two `Host`",
        Draft(|draft| {
            draft.line("Host: wiki.example.org");
        }),
    ),
    Attack {
        must: BeRefused,
        ..framing(
            "`Host: elasticsearch.example.org,wiki.example.org`",
            Draft(|draft| {
                draft.to("elasticsearch.example.org,wiki.example.org");
            }),
        )
    },
    framing(
        "an absolute URI of the same host",
        Draft(|draft| draft.target = format!("https://{ELASTICSEARCH}/_search")),
    ),
    framing(
        "an absolute URI of another host",
        Draft(|draft| "https://wiki.example.org/_search".clone_into(&mut draft.target)),
    ),
    framing(
        "`Content-Length` and `Transfer-Encoding: chunked`, and a second request",
        Draft(|draft| {
            let body = format!("0\r\n\r\n{SECOND}");
            draft.line(&format!("Content-Length: {}", body.len()));
            draft.chunked(&body);
        }),
    ),
    framing(
        "`Transfer-Encoding: xchunked` and `Content-Length: 3`",
        Draft(|draft| {
            draft
                .line("Content-Length: 3")
                .line("Transfer-Encoding: xchunked");
            draft.body = format!("0\r\n\r\n{SECOND}").into();
            "POST".clone_into(&mut draft.method);
        }),
    ),
    framing(
        "`Transfer-Encoding : chunked` (a blank before the colon)",
        Draft(|draft| {
            draft
                .line("Content-Length: 3")
                .line("Transfer-Encoding : chunked");
            draft.body = format!("0\r\n\r\n{SECOND}").into();
            "POST".clone_into(&mut draft.method);
        }),
    ),
    framing(
        "two `Content-Length`",
        Draft(|draft| {
            draft.line("Content-Length: 0").line("Content-Length: 5");
            draft.body = format!("hello{SECOND}").into();
            "POST".clone_into(&mut draft.method);
        }),
    ),
    framing(
        "a `GET` with a second request as its body",
        Draft(|draft| {
            draft.line(&format!("Content-Length: {}", SECOND.len()));
            draft.body = SECOND.into();
        }),
    ),
    framing(
        "150 headers",
        Both(|draft| {
            for number in 0..150 {
                draft.line(&format!("X-Note-{number}: x"));
            }
        }),
    ),
    framing(
        "a header of 16 KB",
        Both(|draft| {
            draft.line(&format!("X-Note: {}", "x".repeat(16 * 1_024)));
        }),
    ),
    framing(
        "5 KB of cookies",
        Both(|draft| {
            draft.line(&format!("X-Other: {}", "x".repeat(10)));
            let long = format!("; other={}", "x".repeat(5 * 1_024));
            match draft
                .lines
                .iter_mut()
                .find(|line| line.starts_with("Cookie"))
            {
                Some(cookie) => cookie.push_str(&long),
                None => drop(draft.line(&format!("Cookie: other{long}"))),
            }
        }),
    ),
    framing(
        "a query of 8 KB",
        Both(|draft| draft.target = format!("/_search?q={}", "x".repeat(8 * 1_024))),
    ),
];

pub(crate) const METHODS: &[Attack] = &[
    framing(
        "`TRACE`",
        Both(|draft| "TRACE".clone_into(&mut draft.method)),
    ),
    framing(
        "`CONNECT elasticsearch.example.org:443`",
        Draft(|draft| {
            "CONNECT".clone_into(&mut draft.method);
            draft.target = format!("{ELASTICSEARCH}:443");
        }),
    ),
    framing(
        "`OPTIONS *`",
        Draft(|draft| {
            "OPTIONS".clone_into(&mut draft.method);
            "*".clone_into(&mut draft.target);
        }),
    ),
    framing(
        "`OPTIONS` without `Origin`",
        Both(|draft| "OPTIONS".clone_into(&mut draft.method)),
    ),
    framing("`FOO`", Both(|draft| "FOO".clone_into(&mut draft.method))),
    works("`HEAD`", Both(|draft| "HEAD".clone_into(&mut draft.method))),
    works(
        "`POST` with `Expect: 100-continue`",
        Draft(|draft| {
            draft.line("Expect: 100-continue").post("{\"query\":{}}");
        }),
    ),
    works(
        "a chunked `POST`",
        Draft(|draft| {
            draft.chunked("5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n");
        }),
    ),
    works(
        "an upload of 12 MB",
        Both(|draft| {
            draft.post(&"x".repeat(12 * 1_024 * 1_024));
        }),
    ),
    works(
        "an answer of 12 MB",
        Both(|draft| draft.target = format!("/_search?bytes={}", 12 * 1_024 * 1_024)),
    ),
    works(
        "2 KB of UTF-8 in a header",
        Both(|draft| {
            draft.line(&format!("X-Note: {}", "\u{fc}".repeat(1_024)));
        }),
    ),
];
