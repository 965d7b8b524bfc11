use super::*;
use crate::identity::headers::Config;

const LOGIN: HeaderValue = HeaderValue::from_static("Basic bG9naW4=");
const ADDRESS: HeaderValue = HeaderValue::from_static("10.0.0.7");
const ASKED: HeaderValue = HeaderValue::from_static("es.example:9200");

fn map(lines: &[(&str, &str)]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
    }
    map
}

/// What a client of HTTP/1.1 sends, as it leaves; in the order of names.
fn sent(lines: &[(&str, &str)], change: impl FnOnce(&mut Passing<'_>)) -> Vec<(String, String)> {
    let mut dropped = Dropped::new(&Config::default(), None);
    dropped.add_cookies(&["access_token", "id_token"]);
    let mut passing = Passing {
        authorization: &LOGIN,
        dropped: &dropped,
        peer_address: Some(&ADDRESS),
        of_gateway: false,
        secure: true,
        version: Version::HTTP_11,
        asked_host: Some(&ASKED),
        keeps_host: true,
        framing: Framing::Nothing,
        websocket: false,
    };
    change(&mut passing);
    listed(&outgoing(&map(lines), &passing))
}

fn listed(headers: &HeaderMap) -> Vec<(String, String)> {
    let mut all: Vec<_> = headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.to_string(), value)
        })
        .collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

/// What is set for each of them.
const OURS: [(&str, &str); 6] = [
    ("authorization", "Basic bG9naW4="),
    ("host", "es.example:9200"),
    ("via", "1.1 elastauth"),
    ("x-forwarded-for", "10.0.0.7"),
    ("x-forwarded-host", "es.example:9200"),
    ("x-forwarded-proto", "https"),
];

fn with_ours(more: &[(&str, &str)]) -> Vec<(String, String)> {
    let all = OURS.iter().chain(more);
    let all = all.map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let mut all: Vec<_> = all.collect();
    all.sort_by(|one, other| one.0.cmp(&other.0));
    all
}

#[test]
fn what_clients_need_passes_untouched() {
    let lines = [
        (
            "accept",
            "application/vnd.elasticsearch+json;compatible-with=8",
        ),
        ("accept-encoding", "gzip, br"),
        ("content-encoding", "gzip"),
        ("content-type", "application/x-ndjson"),
        ("cookie", "sid=1; a=b"),
        ("origin", "https://app.example"),
        (
            "traceparent",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ),
        ("x-elastic-client-meta", "es=8.15"),
        ("x-opaque-id", "  spaces\tand \u{fc} "),
        ("x-twice", "1"),
        ("x-twice", "2"),
    ];
    let lines = lines.map(|(name, value)| (name, value.trim()));
    assert_eq!(sent(&lines, |_| ()), with_ours(&lines));
}

#[test]
fn what_nobody_but_elastauth_may_say_is_gone_in_every_form() {
    for name in [
        "authorization",
        "proxy-authorization",
        "proxy_authorization",
        "es-security-runas-user",
        "es_security_runas_user",
        "es-security_runas-user",
        "es-secondary-authorization",
        "es_secondary_authorization",
        "es-client-authentication",
        "es_client_authentication",
        "es-secondary-x-client-authentication",
        "es_secondary_x_client_authentication",
        "opendistro_security_impersonate_as",
        "opendistro-security-impersonate-as",
        "x-elastauth-key",
        "x_elastauth_key",
        "remote-user",
        "remote_user",
        "remote-groups",
        "remote-email",
        "remote-name",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "transfer-encoding",
        "upgrade",
        "http2-settings",
        "expect",
        "content-length",
        "forwarded",
        "x-forwarded-for",
        "x_forwarded_for",
        "x-forwarded-user",
        "x-forwarded-uri",
        "x-real-ip",
        "via",
        "host",
    ] {
        let lines = [(name, "somebody"), (name, "else")];
        assert_eq!(sent(&lines, |_| ()), with_ours(&[]), "{name}");
    }
}

#[test]
fn connection_takes_away_what_it_names_and_nothing_that_is_set_here() {
    let lines = [
        ("connection", "close, X-Gone"),
        (
            "connection",
            " authorization,host ,x-forwarded-for, via, content-length",
        ),
        ("x-gone", "1"),
        ("x-stays", "1"),
        ("content-length", "4"),
    ];
    let framed = |passing: &mut Passing<'_>| passing.framing = Framing::Length(4);
    let stays = [("content-length", "4"), ("x-stays", "1")];
    assert_eq!(sent(&lines, framed), with_ours(&stays));
}

#[test]
fn the_identity_headers_are_gone_though_connection_names_them() {
    // They were read before: naming them makes nobody anonymous.
    let lines = [("connection", "remote-user"), ("remote-user", "alice")];
    assert_eq!(sent(&lines, |_| ()), with_ours(&[]));
}

#[test]
fn a_gateway_says_who_was_before_it() {
    let lines = [
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-for", "198.51.100.2"),
        ("x-forwarded-proto", "http"),
        ("x-forwarded-host", "kibana.example"),
        ("forwarded", "for=198.51.100.1"),
        ("via", "2 traefik"),
        ("x-real-ip", "198.51.100.1"),
    ];
    let all = sent(&lines, |passing| passing.of_gateway = true);
    let value = |name: &str| {
        let all: Vec<_> = all.iter().filter(|(own, _)| own == name).collect();
        assert_eq!(all.len(), 1, "{name}: {all:?}");
        all[0].1.as_str()
    };
    assert_eq!(
        value("x-forwarded-for"),
        "198.51.100.1, 198.51.100.2, 10.0.0.7"
    );
    assert_eq!(value("x-forwarded-proto"), "http");
    assert_eq!(value("x-forwarded-host"), "kibana.example");
    assert_eq!(value("forwarded"), "for=198.51.100.1");
    assert_eq!(value("via"), "2 traefik, 1.1 elastauth");
    assert_eq!(value("x-real-ip"), "198.51.100.1");
}

#[test]
fn cookies_with_tokens_are_gone_and_the_others_stay() {
    let cookie = |values: &[&str], version| {
        let lines: Vec<_> = values.iter().map(|value| ("cookie", *value)).collect();
        let all = sent(&lines, |passing| passing.version = version);
        let all = all.into_iter().filter(|(name, _)| name == "cookie");
        all.map(|(_, value)| value).collect::<Vec<_>>()
    };
    let one = Version::HTTP_11;
    assert_eq!(
        cookie(&["a=1; access_token=t; b=\"2\""], one),
        ["a=1; b=\"2\""]
    );
    assert_eq!(cookie(&["access_token=t;id_token=u"], one), [""; 0]);
    assert_eq!(
        cookie(&["access_tokens=t;  x=y"], one),
        ["access_tokens=t;  x=y"]
    );
    assert_eq!(cookie(&["a=1", "b=2"], one), ["a=1", "b=2"]);
    // RFC 9113, §8.2.3.
    let two = Version::HTTP_2;
    assert_eq!(cookie(&["a=1", "id_token=t", "b=2"], two), ["a=1; b=2"]);
}

#[test]
fn the_body_is_framed_anew_and_trailers_are_announced() {
    let framed = |framing, lines: &[(&str, &str)]| sent(lines, |passing| passing.framing = framing);
    let came = [
        ("transfer-encoding", "chunked"),
        ("trailer", "x-sum"),
        ("te", "trailers, gzip"),
    ];
    let stays = [
        ("te", "trailers"),
        ("trailer", "x-sum"),
        ("transfer-encoding", "chunked"),
    ];
    assert_eq!(framed(Framing::Chunked, &came), with_ours(&stays));
    let length = [("content-length", "5")];
    assert_eq!(
        framed(Framing::Length(5), &[("content-length", "5")]),
        with_ours(&length)
    );
}

#[test]
fn a_websocket_and_nothing_else_is_asked_for() {
    let asks = |lines: &[(&str, &str)]| asks_for_websocket(&map(lines));
    assert!(asks(&[
        ("connection", "keep-alive, Upgrade"),
        ("upgrade", "WebSocket")
    ]));
    assert!(!asks(&[("upgrade", "websocket")]));
    assert!(!asks(&[("connection", "upgrade"), ("upgrade", "h2c")]));
    assert!(!asks(&[
        ("connection", "upgrade"),
        ("upgrade", "websocket, h2c")
    ]));
    let twice = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("upgrade", "h2c"),
    ];
    assert!(!asks(&twice));
    let lines = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "k"),
    ];
    let all = sent(&lines, |passing| passing.websocket = true);
    let stays = [
        ("connection", "upgrade"),
        ("sec-websocket-key", "k"),
        ("upgrade", "websocket"),
    ];
    assert_eq!(all, with_ours(&stays));
}

#[test]
fn the_host_may_be_the_servers_own() {
    let all = sent(&[], |passing| passing.keeps_host = false);
    assert!(!all.iter().any(|(name, _)| name == "host"));
    assert!(
        all.iter()
            .any(|(name, value)| name == "x-forwarded-host" && *value == ASKED)
    );
}

#[test]
fn an_answer_loses_what_is_for_one_connection_and_nothing_else() {
    let mut headers = map(&[
        ("connection", "x-gone, close"),
        ("keep-alive", "timeout=5"),
        ("proxy-authenticate", "Basic"),
        ("transfer-encoding", "chunked"),
        ("upgrade", "h2c"),
        ("x-gone", "1"),
        ("content-length", "5"),
        ("content-length", "5"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("warning", "299 Elasticsearch \"old\""),
        ("x-elastic-product", "Elasticsearch"),
    ]);
    returned(&mut headers, false);
    let left = [
        ("content-length", "5"),
        ("set-cookie", "a=1"),
        ("set-cookie", "b=2"),
        ("warning", "299 Elasticsearch \"old\""),
        ("x-elastic-product", "Elasticsearch"),
    ];
    assert_eq!(listed(&headers), listed(&map(&left)));
}

#[test]
fn no_challenge_opens_the_password_box_of_a_browser() {
    for (challenges, left) in [
        (
            &["Basic realm=\"security\", charset=\"UTF-8\""][..],
            &[][..],
        ),
        (&["basic"], &[]),
        (&["Negotiate", "NTLM", "Digest realm=\"a\""], &[]),
        (&["Bearer realm=\"a\", Basic realm=\"a\""], &[]),
        (
            &["Basic realm=\"a\"", "Bearer realm=\"a\"", "ApiKey"],
            &["Bearer realm=\"a\"", "ApiKey"],
        ),
        (&["Basically realm=\"a\""], &["Basically realm=\"a\""]),
    ] {
        let lines: Vec<_> = challenges
            .iter()
            .map(|value| ("www-authenticate", *value))
            .collect();
        let mut headers = map(&lines);
        drop_password_prompts(&mut headers);
        let values: Vec<_> = headers.get_all(WWW_AUTHENTICATE).iter().collect();
        assert_eq!(values, left, "{challenges:?}");
    }
}
