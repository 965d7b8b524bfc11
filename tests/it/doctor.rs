//! `elastauth doctor` without a gateway that has to be fetched: elastauth's own port, and what it
//! says when nothing can be said. tests/gateways has the real gateways.

use super::tokens::setup::Setup;
use crate::support::{ports::Closed, process::command, stage::Stage};
use bytes::Bytes;
use elastauth::internals::demo::standin::RecordedCall;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{
    convert::Infallible,
    process::Output,
    sync::atomic::{AtomicBool, Ordering},
};
use tokio::net::TcpListener;

async fn doctor(arguments: &[&str]) -> Output {
    let mut doctor = command(env!("CARGO_BIN_EXE_elastauth"));
    doctor.arg("doctor").args(arguments);
    let doctor = tokio::process::Command::from(doctor).output().await;
    doctor.expect("the doctor")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[tokio::test]
async fn elastauths_own_port_refuses_who_shows_no_key_and_believes_others_without_one() {
    let stage = Stage::usual().await;
    let url = format!("http://127.0.0.1:{}/", stage.elastauth.port());
    let said = doctor(&["--gateway", &url, "--elastauth", &url]).await;
    let report = text(&said.stdout);
    assert_eq!(
        said.status.code(),
        Some(1),
        "{report}{}",
        text(&said.stderr)
    );
    assert!(
        report.contains("finding: elastauth says that the gateway shows no key")
            && report.contains("ok: elastauth's own port refuses whoever shows no key"),
        "{report}"
    );

    // Without keys elastauth itself is a gateway that cleans nothing.
    let setup = Setup::new().await;
    let url = format!(
        "http://127.0.0.1:{}/",
        setup.elastauth.server().address().port()
    );
    let said = doctor(&["--gateway", &url, "--elastauth", &url, "--json"]).await;
    let report: Value = serde_json::from_slice(&said.stdout).expect("JSON");
    let findings = report["checks"].as_array().expect("checks").iter();
    let findings: Vec<&str> = findings
        .filter(|check| check["result"] == "finding")
        .filter_map(|check| check["check"].as_str())
        .collect();
    assert_eq!(
        findings,
        ["user_header", "user_header", "elastauth_port"],
        "{report:#}"
    );
    assert_eq!(said.status.code(), Some(1));
    // Whatever was believed, nothing was written.
    let calls = setup.cluster.calls();
    let written: Vec<String> = calls
        .iter()
        .filter(|call| call.method != "GET")
        .map(RecordedCall::line)
        .collect();
    assert!(written.is_empty(), "{written:?}");
}

#[tokio::test]
async fn what_cannot_be_asked_is_said_and_has_its_own_exit_code() {
    let nobody = Closed::new();
    for (arguments, why) in [
        (&["--gateway", &nobody.url()][..], "no connection"),
        (
            &["--gateway", "ftp://a/"],
            "must begin with http:// or https://",
        ),
        (
            &["--gateway", "http://a/", "--header", "no colon"],
            "must be `Name: value`",
        ),
        (
            &["--gateway", "http://a/", "--cookie", "@/nowhere"],
            "/nowhere",
        ),
        (
            &["--gateway", "http://a/", "--listen", "9100"],
            "an address and a port",
        ),
    ] {
        let said = doctor(arguments).await;
        assert_eq!(said.status.code(), Some(2), "{arguments:?}");
        assert!(
            text(&said.stderr).contains(why),
            "{arguments:?}: {}",
            text(&said.stderr)
        );
        let json = doctor(&[arguments, &["--json"]].concat()).await;
        let report: Value = serde_json::from_slice(&json.stdout).expect("JSON");
        assert!(
            report["error"]
                .as_str()
                .is_some_and(|error| error.contains(why)),
            "{report}"
        );
    }
    // An unknown option is clap's own.
    assert_eq!(doctor(&["--gateway"]).await.status.code(), Some(2));
}

/// What a gateway of the test's own does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// Nobody is asked who they are.
    Open,
    /// A connection keeps the first user that it had.
    Mixes,
    /// The handshake of a WebSocket is not checked.
    WebSocket,
    /// The client's `X-Forwarded-Host` decides where a browser is sent.
    Forwarded,
    /// The client's `Authorization` reaches the application.
    Authorization,
    RunAs,
    /// What the client's `Connection` names is taken out.
    Connection,
    Groups,
    ClientKey,
}

const SESSION: &str = "session=alice";
const REFUSED: &str =
    r#"{"message":"m","code":"CODE","timestamp":"2026-11-30T00:00:00Z","request_id":"r"}"#;

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "each fault changes one answer"
)]
fn answer(
    fault: Fault,
    request: &Request<Incoming>,
    was_signed_in: &AtomicBool,
) -> Response<Full<Bytes>> {
    let text = |name: &str| {
        let value = request.headers().get(name);
        value.map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned())
    };
    let with = |status: u16, header: (&'static str, &str), body: String| {
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        let value = HeaderValue::from_str(header.1).unwrap();
        response.headers_mut().insert(header.0, value);
        response
    };
    let refused = |status: u16, code: &str| {
        with(
            status,
            ("x-answered-by", "elastauth"),
            REFUSED.replace("CODE", code),
        )
    };
    let of_cluster = |status: u16| {
        with(
            status,
            ("x-elastic-product", "Elasticsearch"),
            String::new(),
        )
    };
    let mut is_signed_in = text("cookie").as_deref() == Some(SESSION) || fault == Fault::Open;
    if fault == Fault::Mixes {
        is_signed_in |= was_signed_in.fetch_or(is_signed_in, Ordering::SeqCst);
    }
    let names = |name: &str| text("connection").is_some_and(|value| value.contains(name));
    match fault {
        Fault::ClientKey if text("x-elastauth-key").is_some() => refused(403, "gateway_key"),
        Fault::WebSocket if text("upgrade").is_some() => {
            let mut response = with(101, ("upgrade", "websocket"), String::new());
            let upgrade = HeaderValue::from_static("Upgrade");
            response.headers_mut().insert("connection", upgrade);
            response
        }
        Fault::Authorization if text("authorization").is_some() => of_cluster(401),
        Fault::Connection if names("remote-user") => refused(401, "not_authenticated"),
        Fault::Groups if is_signed_in && text("remote-groups").is_some() => {
            refused(400, "malformed_identity")
        }
        Fault::RunAs if is_signed_in && text("es-security-runas-user").is_some() => of_cluster(403),
        _ if is_signed_in => of_cluster(200),
        _ if text("sec-fetch-mode").as_deref() == Some("navigate") => {
            let forwarded = text("x-forwarded-host").filter(|_| fault == Fault::Forwarded);
            let host = forwarded.unwrap_or_else(|| "kibana.example.org".to_owned());
            let location = format!("https://auth.example.org/?rd=https%3A%2F%2F{host}%2F");
            with(302, ("location", &location), String::new())
        }
        _ => refused(401, "not_authenticated"),
    }
}

/// A gateway with this fault, at this port until the end of the test.
async fn gateway(fault: Fault) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let was_signed_in = AtomicBool::new(false);
            tokio::spawn(async move {
                let service = service_fn(|request| {
                    let answer = answer(fault, &request, &was_signed_in);
                    async move { Ok::<_, Infallible>(answer) }
                });
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), service);
                let _gone = connection.await;
            });
        }
    });
    port
}

#[tokio::test]
async fn each_fault_of_a_gateway_shows_in_its_answers() {
    for (fault, expected) in [
        (Fault::None, None),
        (Fault::Open, Some("closed")),
        (Fault::Mixes, Some("mixed_users")),
        (Fault::WebSocket, Some("websocket")),
        (Fault::Forwarded, Some("forwarded_headers")),
        (Fault::Authorization, Some("client_authorization")),
        (Fault::RunAs, Some("run_as")),
        (Fault::Connection, Some("connection_header")),
        (Fault::Groups, Some("groups_header")),
        (Fault::ClientKey, Some("client_key")),
    ] {
        let url = format!("http://127.0.0.1:{}/", gateway(fault).await);
        let arguments = [
            "--gateway",
            &url,
            "--kind",
            "caddy",
            "--cookie",
            SESSION,
            "--json",
        ];
        let said = doctor(&arguments).await;
        let report: Value = serde_json::from_slice(&said.stdout).expect("JSON");
        let checks = report["checks"].as_array().cloned().unwrap_or_default();
        let mut found: Vec<&str> = checks
            .iter()
            .filter(|check| check["result"] == "finding")
            .filter_map(|check| check["check"].as_str())
            .collect();
        found.dedup();
        let code = i32::from(expected.is_some());
        assert_eq!(found, Vec::from_iter(expected), "{fault:?}: {report:#}");
        assert_eq!(said.status.code(), Some(code), "{fault:?}: {report:#}");
        let is_told = |check: &Value| {
            check["result"] != "finding" || check["change"].as_str().is_some_and(|it| it.len() > 10)
        };
        assert!(checks.iter().all(is_told), "{report:#}");
    }
}
