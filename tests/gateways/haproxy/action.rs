//! The action of contrib/haproxy with services that answer anything: it lets nothing on but a right
//! grant, relays refusals without logins, and ends in a refusal where it fails itself.

use super::{DEBIAN, HAPROXY_2_6, HAPROXY_2_8, start};
use crate::{
    application::RECORD,
    draft::Draft,
    gateway::{Form, Program},
    message::Wire,
    stage::Stage,
    support::{part, ports},
};
use futures_util::FutureExt as _;
use std::{
    net::Ipv4Addr,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};
use tokio::{net::TcpListener, task::AbortHandle};

/// What is answered for a user of this name, and the status for the client.
const ANSWERS: &[(&str, &[u8], u16)] = &[
    (
        "grant",
        b"HTTP/1.1 200 OK\r\nAuthorization: Basic Zw==\r\nContent-Length: 0\r\n\r\n",
        200,
    ),
    (
        "s201",
        b"HTTP/1.1 201 OK\r\nAuthorization: Basic Zw==\r\nContent-Length: 0\r\n\r\n",
        503,
    ),
    (
        "s204",
        b"HTTP/1.1 204 OK\r\nAuthorization: Basic Zw==\r\n\r\n",
        503,
    ),
    (
        "s206",
        b"HTTP/1.1 206 OK\r\nAuthorization: Basic Zw==\r\nContent-Length: 0\r\n\r\n",
        503,
    ),
    ("s500", b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", 503),
    ("s504", b"HTTP/1.1 504 No\r\nContent-Length: 0\r\n\r\n", 503),
    (
        "s700",
        b"HTTP/1.1 700 No\r\nAuthorization: Basic Zw==\r\nContent-Length: 0\r\n\r\n",
        503,
    ),
    ("s100", b"HTTP/1.1 100 Continue\r\n\r\n", 503),
    (
        "s101",
        b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        503,
    ),
    (
        "no-login",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
        503,
    ),
    (
        "empty-login",
        b"HTTP/1.1 200 OK\r\nAuthorization:\r\nContent-Length: 0\r\n\r\n",
        503,
    ),
    (
        "two-logins",
        b"HTTP/1.1 200 OK\r\nAuthorization: Basic Zw==\r\nAuthorization: Basic eA==\r\n\
          Content-Length: 0\r\n\r\n",
        503,
    ),
    (
        "broken-line",
        b"HTTP/1.1 200 OK\r\nAuthorization: Basic Zw==\r\nbroken line\r\nContent-Length: 0\r\n\r\n",
        503,
    ),
    ("garbage", b"no HTTP at all\r\n\r\n", 503),
    ("hangs-up", b"", 503),
    (
        "s301",
        b"HTTP/1.1 301 No\r\nLocation: https://x/\r\nContent-Length: 0\r\n\r\n",
        301,
    ),
    ("s404", b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", 404),
    (
        "s429",
        b"HTTP/1.1 429 No\r\nRetry-After: 9\r\nContent-Length: 0\r\n\r\n",
        429,
    ),
    (
        "s401",
        b"HTTP/1.1 401 No\r\nWWW-Authenticate: SSO\r\nAuthorization: Basic Zw==\r\n\
          X-Inner: 1\r\nContent-Type: text/plain\r\nContent-Length: 4\r\n\r\nwhy?",
        401,
    ),
    (
        "s503",
        b"HTTP/1.1 503 No\r\nRetry-After: 7\r\nContent-Length: 4\r\n\r\nsoon",
        503,
    ),
    (
        "s503-bare",
        b"HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n",
        503,
    ),
];

/// Answers for elastauth by [`ANSWERS`], and closes after all but a right grant.
struct Impostor {
    port: u16,
    connections: Arc<AtomicUsize>,
    task: AbortHandle,
}

impl Impostor {
    async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a listener");
        let port = listener.local_addr().expect("its address").port();
        let connections = Arc::<AtomicUsize>::default();
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(async move {
                    let mut wire = Wire::new(stream);
                    while let Ok(Some(head)) = wire.head().await {
                        let user = head.header("remote-user").unwrap_or_default();
                        let answer = ANSWERS.iter().find(|(name, ..)| *name == user);
                        let Some((_, bytes, status)) = answer else {
                            return;
                        };
                        if wire.send(bytes).await.is_err() || *status != 200 {
                            return;
                        }
                    }
                });
            }
        });
        Self {
            port,
            connections,
            task: task.abort_handle(),
        }
    }
}

impl Drop for Impostor {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn holds(program: &Program) {
    let impostor = Impostor::start().await;
    let stage = Stage::asking(program, Form::Authelia, Some(impostor.port)).await;
    for (user, _, status) in ANSWERS {
        let before = stage.arrived();
        let answer = stage.gateway.client.send(&stage.request_of(user)).await;
        let answer = answer.answer();
        assert_eq!(answer.status(), *status, "{user}");
        let may_go_on = *status == 200;
        assert_eq!(stage.arrived() - before, usize::from(may_go_on), "{user}");
        assert_eq!(answer.header("authorization"), None, "{user}");
        assert_eq!(answer.header("x-inner"), None, "{user}");
        match *user {
            "grant" => {
                let record = answer.header(RECORD).expect("a record");
                let record = stage.elasticsearch.record(record).expect("a record");
                assert_eq!(record.all("authorization"), ["Basic Zw=="]);
            }
            "s301" => assert_eq!(answer.header("location"), Some("https://x/")),
            "s401" => {
                assert_eq!(answer.header("www-authenticate"), Some("SSO"));
                assert_eq!(answer.header("content-type"), Some("text/plain"));
                assert_eq!(answer.text(), "why?");
            }
            "s429" => assert_eq!(answer.header("retry-after"), Some("9")),
            "s503" => {
                assert_eq!(answer.header("retry-after"), Some("7"));
                assert_eq!(answer.text(), "soon");
            }
            _ if *status == 503 => {
                assert_eq!(answer.header("retry-after"), Some("1"), "{user}");
                assert_eq!(answer.text(), "", "{user}");
            }
            _ => {}
        }
    }
    assert!(
        stage.gateway.process.log().contains("websecure"),
        "the requests are in the log"
    );

    // One connection carries many calls.
    let before = impostor.connections.load(Ordering::Relaxed);
    for _ in 0..100 {
        let answer = stage.gateway.client.send(&stage.request_of("grant")).await;
        assert_eq!(answer.answer().status(), 200);
    }
    let opened = impostor.connections.load(Ordering::Relaxed) - before;
    assert!(opened <= 5, "{opened} connections for 100 calls");
}

/// HAProxy lets a request on if a script fails; the line behind the action stops it.
async fn a_failing_script_lets_nothing_on(program: &'static Program) {
    static BROKEN: &str = "core.register_action('forward-auth', { 'http-req' }, \
                           function() error('broken') end, 3)";
    let broken = Program {
        start: if program.name == HAPROXY_2_6.name {
            |form, parties| {
                let program = || PathBuf::from(DEBIAN);
                ports::started(async move || start(program(), BROKEN, form, parties).await)
                    .boxed_local()
            }
        } else {
            |form, parties| {
                ports::started(async move || start(part("haproxy"), BROKEN, form, parties).await)
                    .boxed_local()
            }
        },
        ..*program
    };
    for form in Form::ALL {
        let stage = Stage::new(&broken, form).await;
        for host in ["elasticsearch.example.org", "kibana.example.org"] {
            let mut draft = Draft::get(host, "/_search");
            draft.line(&stage.signed_in("alice"));
            let answer = stage.gateway.client.send(&draft).await.answer();
            let status = if form == Form::Tokens && host.starts_with("kibana") {
                404
            } else {
                503
            };
            assert_eq!(answer.status(), status, "{form:?}, {host}");
        }
        assert_eq!(stage.arrived(), 0, "{form:?}");
        assert!(stage.gateway.process.log().contains("broken"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_action_lets_only_a_right_grant_on_in_2_6() {
    holds(&HAPROXY_2_6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_action_lets_only_a_right_grant_on_in_2_8() {
    holds(&HAPROXY_2_8).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_script_lets_nothing_on_in_2_6() {
    a_failing_script_lets_nothing_on(&HAPROXY_2_6).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failing_script_lets_nothing_on_in_2_8() {
    a_failing_script_lets_nothing_on(&HAPROXY_2_8).await;
}
