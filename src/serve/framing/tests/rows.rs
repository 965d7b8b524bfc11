//! What people send, and what attackers send.

use super::{
    super::FramingFault::{self as Fault, *},
    Framing, LIMITS, judged,
};

/// Nothing of it passes, for this reason; also behind requests that do.
fn refused(request: &str, fault: Fault) {
    refused_behind("", request, fault);
    refused_behind("GET /good HTTP/1.1\r\nHost: a\r\n\r\n", request, fault);
    let body = "POST /good HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    refused_behind(body, request, fault);
}

/// Only `good` passes, however the bytes are cut.
fn refused_behind(good: &str, request: &str, fault: Fault) {
    let all = [good, request].concat().into_bytes();
    let expected = (good.as_bytes().to_vec(), Some(fault));
    assert_eq!(judged([&all[..]]), expected, "{request:?}");
    for at in 0..all.len() {
        let (one, other) = all.split_at(at);
        assert_eq!(judged([one, other]), expected, "{request:?} cut at {at}");
    }
    assert_eq!(judged(all.chunks(1)), expected, "{request:?} byte by byte");
}

/// All of it passes, however it is cut.
fn passes(bytes: &str) {
    let bytes = bytes.as_bytes();
    let expected = (bytes.to_vec(), None);
    for at in 0..bytes.len() {
        let (one, other) = bytes.split_at(at);
        let text = String::from_utf8_lossy(bytes);
        assert_eq!(judged([one, other]), expected, "{text:?} cut at {at}");
    }
    assert_eq!(judged(bytes.chunks(1)), expected);
}

#[test]
fn what_clients_send_passes() {
    for request in [
        "GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost:a\r\n\r\n",
        "GET / HTTP/1.1\r\nhOsT: \t a.example:9200 \t\r\nEmpty:\r\nEmpty-too: \r\n\r\n",
        "GET / HTTP/1.1\r\nhost: [2001:db8::1]:9200\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: [::1]\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
        "GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n",
        "GET http://a/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET HTTP://A:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
        "GET //a/../b%2f%2e%2e;c?d=%&e=/?[]{}|\\^` HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\u{fc}?\u{20ac} HTTP/1.1\r\nHost: a\r\nX: caf\u{e9}\r\n\r\n",
        "GET /_search HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}",
        "POST /_bulk HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        "POST /_bulk HTTP/1.1\r\nHost: a\r\nContent-Length: 007\r\n\r\n\r\n\r\n\r\n\r",
        "POST /_bulk HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n5\r\nhello\r\n00\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n\
         000A;a;b=\"c d\"\r\n0123\r\n6789\r\n0\r\nX-Sum: 1\r\nother:\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
        // An empty line behind a body, as RFC 9112 has it.
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx\r\n\
         GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "M-SEARCH!#$%&'*+^_`|~ / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0 anything \r\n\n",
    ] {
        passes(request);
        if !request.contains("Upgrade") && !request.starts_with("PRI") {
            passes(&request.repeat(3));
        }
    }
}

#[test]
fn request_lines_that_are_not_one() {
    for (line, fault) in [
        ("GET /\r\n", RequestLine),
        ("GET\r\n", RequestLine),
        ("\r\n\r\nGET / HTTP/1.1\r\n", RequestLine),
        ("\nGET / HTTP/1.1\r\n", RequestLine),
        ("G\0T / HTTP/1.1\r\n", RequestLine),
        ("G:T / HTTP/1.1\r\n", RequestLine),
        ("\x16\x03\x01\x02\0", RequestLine),
        (" GET / HTTP/1.1\r\n", RequestLine),
        ("GET  / HTTP/1.1\r\n", Target),
        ("GET\t/ HTTP/1.1\r\n", RequestLine),
        ("GET /  HTTP/1.1\r\n", RequestLine),
        ("GET / HTTP/1.1 \r\n", RequestLine),
        ("GET / http/1.1\r\n", RequestLine),
        ("GET / HTTP/1.1\n", LineEnd),
        ("GET / HTTP/1.1\rX", LineEnd),
        ("GET /\rHTTP/1.1\r\n", RequestLine),
        ("GET / HTTP/1.11\r\n", RequestLine),
        ("GET / HTTP/1\r\n", RequestLine),
        ("GET / HTTP/1.2\r\n", Version),
        ("GET / HTTP/0.9\r\n", Version),
        ("GET / HTTP/2.0\r\n", Version),
        ("GET / HTTP/3.0\r\n", Version),
        ("CONNECT a:443 HTTP/1.1\r\n", Method),
        ("connect / HTTP/1.1\r\n", Method),
        ("TRACE / HTTP/1.1\r\n", Method),
        ("GET x HTTP/1.1\r\n", Target),
        ("GET ?x HTTP/1.1\r\n", Target),
        ("GET a/x HTTP/1.1\r\n", Target),
        ("OPTIONS * HTTP/1.1\r\n", Target),
        ("GET * HTTP/1.1\r\n", Target),
        ("GET /a#b HTTP/1.1\r\n", Target),
        ("GET /?a#b HTTP/1.1\r\n", Target),
        ("GET /\x01 HTTP/1.1\r\n", Target),
        ("GET /\x7f HTTP/1.1\r\n", Target),
        ("GET /\t HTTP/1.1\r\n", Target),
        ("GET /<logstash-{now/d}> HTTP/1.1\r\n", Target),
        ("GET /?q=\"a\" HTTP/1.1\r\n", Target),
        ("GET ftp://a/ HTTP/1.1\r\n", Target),
        ("GET http:/a HTTP/1.1\r\n", Target),
        ("GET http:// HTTP/1.1\r\n", Target),
        ("GET http:///x HTTP/1.1\r\n", Target),
        ("GET http://u@a/ HTTP/1.1\r\n", Target),
        ("GET http://a?x HTTP/1.1\r\n", Target),
        ("GET http://a:b/ HTTP/1.1\r\n", Target),
    ] {
        refused(&format!("{line}Host: a\r\n\r\n"), fault);
    }
    let not_text = [&b"GET /\xff HTTP/1.1\r\n"[..], b"Host: a\r\n\r\n"].concat();
    assert_eq!(judged([&not_text[..]]), (vec![], Some(Target)));
}

#[test]
fn hosts_that_are_not_one() {
    for (headers, fault) in [
        ("", HostMissing),
        ("X-Host: a\r\n", HostMissing),
        ("Host: a\r\nHost: a\r\n", HostRepeated),
        ("Host: a\r\nX: y\r\nhost: b\r\n", HostRepeated),
        ("Host:\r\n", HostMalformed),
        ("Host: a b\r\n", HostMalformed),
        ("Host: a, b\r\n", HostMalformed),
        ("Host: a,b\r\n", HostMalformed),
        ("Host: a/b\r\n", HostMalformed),
        ("Host: http://a\r\n", HostMalformed),
        ("Host: u@a\r\n", HostMalformed),
        ("Host: a%2eb\r\n", HostMalformed),
        ("Host: a:\r\n", HostMalformed),
        ("Host: a:x\r\n", HostMalformed),
        ("Host: a:+1\r\n", HostMalformed),
        ("Host: a:65536\r\n", HostMalformed),
        ("Host: a:1:2\r\n", HostMalformed),
        ("Host: :80\r\n", HostMalformed),
        ("Host: ::1\r\n", HostMalformed),
        ("Host: [::1\r\n", HostMalformed),
        ("Host: [::1]x\r\n", HostMalformed),
        ("Host: [::1]]\r\n", HostMalformed),
        ("Host: [a]\r\n", HostMalformed),
        ("Host: []\r\n", HostMalformed),
        ("Host: [fe80::1%25eth0]\r\n", HostMalformed),
        ("Host: a\u{e4}\r\n", HostMalformed),
    ] {
        refused(&format!("GET / HTTP/1.1\r\n{headers}\r\n"), fault);
    }
    let long = "a".repeat(256);
    refused(
        &format!("GET / HTTP/1.1\r\nHost: {long}\r\n\r\n"),
        HostMalformed,
    );
    for (target, host, fault) in [
        ("http://b/", "Host: a\r\n", HostContradicted),
        ("http://a:80/", "Host: a\r\n", HostContradicted),
        ("http://b/", "", HostMissing),
    ] {
        refused(&format!("GET {target} HTTP/1.1\r\n{host}\r\n"), fault);
        refused(&format!("GET {target} HTTP/1.0\r\n{host}\r\n"), fault);
    }
}

#[test]
fn header_lines_that_are_not_one() {
    for (lines, fault) in [
        ("X: a\n", LineEnd),
        ("X: a\rY: b\r\n", LineEnd),
        ("X: a\r\r\n", LineEnd),
        ("\n", LineEnd),
        ("\rX", LineEnd),
        ("X\n", LineEnd),
        (" X: a\r\n", Folding),
        ("\tX: a\r\n", Folding),
        ("X: a\r\n b\r\n", Folding),
        ("X : a\r\n", FieldName),
        ("X\t: a\r\n", FieldName),
        ("X\r\n", FieldName),
        (": a\r\n", FieldName),
        ("X(y): a\r\n", FieldName),
        ("X\0: a\r\n", FieldName),
        ("\u{fc}: a\r\n", FieldName),
        ("X: a\0b\r\n", FieldValue),
        ("X: \x01\r\n", FieldValue),
        ("X: \x0b\r\n", FieldValue),
        ("X: \x7f\r\n", FieldValue),
        ("X: 0123456789abcdef0123456789abcdef\x1b\r\n", FieldValue),
    ] {
        refused(&format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n"), fault);
        refused(&format!("GET / HTTP/1.1\r\n{lines}Host: a\r\n\r\n"), fault);
    }
}

#[test]
fn lengths_that_are_not_one() {
    let (length, chunked) = ("Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n");
    for value in [
        "",
        "+5",
        "-5",
        "0x5",
        "5,5",
        "5, 5",
        "5 5",
        "5.0",
        "5;",
        "\"5\"",
        "9223372036854775808",
        "18446744073709551616",
        "99999999999999999999999999",
        "\u{665}",
        "five",
    ] {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {value}\r\n\r\nhello");
        refused(&text, Length);
    }
    for value in [
        "",
        "identity",
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "chunked, gzip",
        "xchunked",
        "chunked;a=b",
        "\"chunked\"",
        "chunked,",
        ", chunked",
        "chun\u{212a}ed",
    ] {
        let text = format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: {value}\r\n\r\n");
        refused(&text, Encoding);
    }
    for (lines, fault) in [
        ([length, length].concat(), LengthRepeated),
        ([length, "content-length: 6\r\n"].concat(), LengthRepeated),
        ([length, "X: y\r\n", length].concat(), LengthRepeated),
        ([length, chunked].concat(), LengthAndEncoding),
        ([chunked, length].concat(), LengthAndEncoding),
        ([chunked, chunked].concat(), Encoding),
        (
            [chunked, "Transfer-Encoding: identity\r\n"].concat(),
            Encoding,
        ),
        (format!("Transfer-Encoding: x\r\n{chunked}"), Encoding),
        ("Transfer-Encoding : chunked\r\n".to_owned(), FieldName),
        ("Transfer-Encoding: \x0bchunked\r\n".to_owned(), FieldValue),
    ] {
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
        refused(&format!("{head}5\r\nhello"), fault);
    }
    let old = format!("POST / HTTP/1.0\r\nHost: a\r\n{chunked}\r\n0\r\n\r\n");
    refused(&old, Encoding);
}

#[test]
fn chunks_that_are_not_some() {
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let long = ";".repeat(257);
    let extension = format!("1;{}\r\nx\r\n", "e".repeat(200));
    let trailer = format!("X: {}\r\n\r\n", "t".repeat(8_192));
    for (good, bad, fault) in [
        ("", "\r\n", ChunkSize),
        ("", "x\r\n", ChunkSize),
        ("", "0x5\r\nhello\r\n", ChunkSize),
        ("", "+5\r\nhello\r\n", ChunkSize),
        ("", "-0\r\n\r\n", ChunkSize),
        ("", " 5\r\nhello\r\n", ChunkSize),
        ("", "5 \r\nhello\r\n", ChunkSize),
        ("", "5\t\r\nhello\r\n", ChunkSize),
        ("", "5 ;a\r\nhello\r\n", ChunkSize),
        ("", "5_0\r\nhello\r\n", ChunkSize),
        ("", "8000000000000000\r\n", ChunkSize),
        ("", "fffffffffffffffff\r\n", ChunkSize),
        ("", "00000000000000005\r\nhello\r\n", ChunkSize),
        ("", "5\nhello\r\n", LineEnd),
        ("", "5\rhello\r\n", LineEnd),
        ("", "5;a\nhello\r\n", LineEnd),
        ("", "5;a\rb\r\nhello\r\n", LineEnd),
        ("", "5;a\0\r\nhello\r\n", ChunkExtension),
        ("", "5;\u{e4}\r\nhello\r\n", ChunkExtension),
        ("", &format!("5{long}\r\n"), ChunkExtension),
        (&extension.repeat(40), &extension, ChunkExtension),
        ("5\r\nhello", "world\r\n", ChunkEnd),
        ("5\r\nhello", "\n0\r\n\r\n", LineEnd),
        ("5\r\nhello", "\r0\r\n\r\n", LineEnd),
        ("5\r\nhello\r\n", "G\r\n", ChunkSize),
        ("5\r\nhello\r\n0\r\n", "\n", LineEnd),
        ("5\r\nhello\r\n0\r\n", "X : y\r\n\r\n", FieldName),
        ("0\r\n", "X: y\n\r\n", LineEnd),
        ("0\r\n", "X: y\r\n z\r\n\r\n", Folding),
        ("0\r\n", "X: \0\r\n\r\n", FieldValue),
        ("0\r\n", "content-length: 5\r\n\r\n", Trailer),
        (
            "0\r\n",
            "X: y\r\nTransfer-Encoding: chunked\r\n\r\n",
            Trailer,
        ),
        ("0\r\n", "HOST: b\r\n\r\n", Trailer),
        ("0\r\n", &"a: b\r\n".repeat(33), TooManyFields),
    ] {
        refused_behind(&[head, good].concat(), bad, fault);
    }
    let all = [head, "0\r\n", &trailer].concat().into_bytes();
    let good = all[..head.len() + 3].to_vec();
    for size in [1, 1_000, all.len()] {
        let expected = (good.clone(), Some(HeadTooLarge));
        assert_eq!(judged(all.chunks(size)), expected, "{size}");
    }
}

#[test]
fn heads_have_bounds() {
    let head = |fields: usize, bytes: usize| {
        let others = "a: b\r\n".repeat(fields - 2);
        let start = format!("GET / HTTP/1.1\r\nHost: a\r\n{others}");
        let fill = "c".repeat(bytes - start.len() - 7);
        format!("{start}x: {fill}\r\n\r\n")
    };
    passes(&head(10, LIMITS.bytes));
    refused(&head(10, LIMITS.bytes + 1), HeadTooLarge);
    refused(&head(11, 200), TooManyFields);
    // Without an end too.
    let long = "x".repeat(980);
    refused(
        &format!("GET / HTTP/1.1\r\nHost: a\r\nX: {long}"),
        HeadTooLarge,
    );
    refused(&format!("GET /{}", "x".repeat(1_000)), LineTooLong);
    refused(&"G".repeat(1_001), LineTooLong);
}

#[test]
fn after_a_request_for_an_upgrade_nothing_passes_until_its_answer() {
    let ask = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\nx";
    let next = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let judged = |switches, behind: &[u8]| {
        let mut framing = Framing::new(LIMITS);
        let all = [&ask[..], behind].concat();
        let first = framing.judge(&all);
        assert_eq!((first.passed, first.fault), (ask.len(), None));
        assert!(framing.waits_for_answer());
        assert_eq!(framing.judge(behind).passed, 0);
        framing.answered(switches);
        framing.judge(behind)
    };
    let frames = b"\x81\x05hello\n";
    assert_eq!(judged(true, frames).passed, frames.len());
    assert_eq!(judged(true, next).passed, next.len());
    assert_eq!(judged(false, next).passed, next.len());
    assert_eq!(judged(false, frames).fault, Some(RequestLine));
    // In HTTP/1.0 there are no upgrades, and hyper makes none.
    passes(&"GET / HTTP/1.0\r\nUpgrade: websocket\r\n\r\n".repeat(2));
}

#[test]
fn a_fault_in_a_body_is_told_from_one_between_messages() {
    let chunked = "P / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (bytes, is_in_body) in [
        ("GET / HTTP/1.1\r\nHost: a\r\n\r\n!", false),
        (&[chunked, "!"].concat(), true),
        (&[chunked, "0\r\n X"].concat(), true),
        (&[chunked, "0\r\n\r\n X"].concat(), false),
    ] {
        let mut framing = Framing::new(LIMITS);
        let _fault = framing.judge(bytes.as_bytes());
        assert_eq!(framing.is_in_body(), is_in_body, "{bytes:?}");
    }
}

#[test]
fn every_fault_has_a_name_a_sentence_and_a_refusal() {
    let mut names: Vec<_> = Fault::ALL.iter().map(|fault| fault.name()).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), Fault::ALL.len());
    for fault in Fault::ALL {
        assert!(fault.message().ends_with('.'), "{fault:?}");
        let status = fault.status();
        assert!(
            status.is_client_error() || status.is_server_error(),
            "{fault:?}"
        );
    }
}
