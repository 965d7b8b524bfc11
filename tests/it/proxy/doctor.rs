//! `elastauth doctor` in front of proxy mode: what it says of a good one, of one that trusts too
//! many, and of programs that only say that they are one.

use crate::support::{elastauth::Elastauth, idp::Idp, process::command, stage::GATEWAY_KEY};
use bytes::Bytes;
use elastauth::internals::{
    demo::standin::{SERVICE_USER, StandIn},
    shutdown::Tasks,
};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use std::{convert::Infallible, process::Output};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

async fn doctor(arguments: &[&str]) -> Output {
    let mut doctor = command(env!("CARGO_BIN_EXE_elastauth"));
    doctor.arg("doctor").args(arguments);
    let doctor = tokio::process::Command::from(doctor).output().await;
    doctor.expect("the doctor")
}

/// Its report, and what is to be changed.
async fn report(arguments: &[&str]) -> (Value, Vec<String>) {
    let said = doctor(&[arguments, &["--json"]].concat()).await;
    let errors = String::from_utf8_lossy(&said.stderr).into_owned();
    let report: Value = serde_json::from_slice(&said.stdout).unwrap_or_default();
    let checks = report["checks"].as_array();
    let checks = checks.unwrap_or_else(|| panic!("{report:#} {errors}"));
    let findings = checks.iter().filter(|check| check["result"] == "finding");
    let findings: Vec<String> = findings
        .map(|check| check["check"].as_str().unwrap().to_owned())
        .collect();
    let code = i32::from(!findings.is_empty());
    assert_eq!(said.status.code(), Some(code), "{report:#} {errors}");
    (report, findings)
}

/// What it says of this subject.
fn seen(report: &Value, subject: &str, result: &str) -> String {
    let checks = report["checks"].as_array().unwrap().iter();
    let of_it = checks.filter(|check| check["check"] == subject && check["result"] == result);
    let lines: Vec<&str> = of_it.filter_map(|check| check["seen"].as_str()).collect();
    assert!(!lines.is_empty(), "{subject} {result}: {report:#}");
    lines.join("; ")
}

struct Proxy {
    cluster: StandIn,
    idp: Idp,
    elastauth: Elastauth,
    _tasks: Tasks,
}

/// Proxy mode in front of a stand-in, with these lines about who is trusted.
async fn proxy(trust: &str) -> Proxy {
    let (tasks, idp) = (Tasks::default(), Idp::start().await);
    let cluster = StandIn::start(&tasks).await.unwrap();
    let config = format!(
        "listen: 127.0.0.1:0\nproxy: {{enabled: true}}\nenable_metrics: true\n{trust}\n\
         secret_key: c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b\n\
         group_mappings:\n  dev: [editor]\n\
         oidc: {{issuer: \"{}\", client_id: elastauth}}\n\
         elasticsearch:\n  hosts: [\"{}\"]\n  username: {SERVICE_USER}\n  password: {}\n",
        idp.issuer,
        cluster.url(),
        cluster.service_password(),
    );
    let elastauth = Elastauth::start_anywhere(&config, &[]).await;
    Proxy {
        cluster,
        idp,
        elastauth,
        _tasks: tasks,
    }
}

impl Proxy {
    fn url(&self) -> String {
        let port = self.elastauth.port();
        format!("http://127.0.0.1:{port}/_security/_authenticate")
    }
}

#[tokio::test]
async fn a_good_proxy_has_nothing_to_change_and_its_cluster_knows_the_user() {
    for trust in [
        "trusted_proxies: []\nauth_provider: oidc".to_owned(),
        format!(
            "trusted_proxies: [127.0.0.1/32]\ngateway_keys: [\"{GATEWAY_KEY}\"]\n\
             auth_provider: [oidc, authelia]"
        ),
    ] {
        let proxy = proxy(&trust).await;
        let url = proxy.url();
        let token = format!("Authorization: Bearer {}", proxy.idp.token(|_| {}));
        let arguments = ["--gateway", &url, "--elastauth", &url, "--header", &token];
        let (report, findings) = report(&arguments).await;
        assert_eq!(findings, Vec::<String>::new(), "{trust}: {report:#}");
        assert_eq!(report["mode"], "proxy");
        assert_eq!(report["ok"], true);
        let cluster = seen(&report, "cluster", "ok");
        assert!(cluster.contains("`alice`"), "{cluster}");
        let framing = seen(&report, "framing", "ok");
        assert!(
            framing.contains("two lengths") && framing.contains("chunks"),
            "{framing}"
        );
        seen(&report, "gateway_endpoints", "ok");
        seen(&report, "elastauth_port", "ok");
        assert!(proxy.cluster.user("_elastauth-doctor").is_none());
        let text = doctor(&arguments).await;
        let text = String::from_utf8_lossy(&text.stdout).into_owned();
        assert!(text.contains("elastauth: proxy mode"), "{text}");
    }
}

#[tokio::test]
async fn a_proxy_that_believes_its_clients_is_found() {
    let proxy = proxy("trusted_proxies: [127.0.0.0/8]\nauth_provider: authelia").await;
    let url = proxy.url();
    let (report, findings) = report(&["--gateway", &url, "--elastauth", &url]).await;
    assert_eq!(
        findings,
        ["user_header", "user_header", "elastauth_port"],
        "{report:#}"
    );
    let checks = report["checks"].as_array().unwrap();
    for check in checks.iter().filter(|check| check["result"] == "finding") {
        let change = check["change"].as_str().unwrap();
        assert!(change.contains("`trusted_proxies: []`"), "{change}");
        assert!(change.contains("docs/deployment/proxy-mode.md"), "{change}");
    }
    // From this machine an operator's pages are there.
    let pages = seen(&report, "operator_pages", "note");
    assert!(pages.contains("run the doctor elsewhere too"), "{pages}");
}

/// Says that it is elastauth in proxy mode, and does this wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    /// It answers gateways too.
    Endpoint,
    /// Whatever comes is some request.
    Framing,
    /// A login that the cluster refuses.
    Login,
}

const REFUSED: &str = "{\"message\":\"m\",\"code\":\"not_authenticated\",\
                       \"timestamp\":\"2026-11-30T00:00:00Z\",\"request_id\":\"r\"}";

fn answer(fault: Fault, request: &Request<Incoming>) -> Response<Full<Bytes>> {
    let with = |status: u16, body: &str| {
        let mut response = Response::new(Full::from(body.to_owned()));
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    };
    let path = request.uri().path();
    match path {
        "/elastauth/health" => with(200, "{\"status\":\"OK\",\"mode\":\"proxy\"}"),
        "/elastauth/auth-request" if fault == Fault::Endpoint => {
            let mut response = with(200, "");
            let login = HeaderValue::from_static("Basic YTpi");
            response.headers_mut().insert("authorization", login);
            response
        }
        _ if path.starts_with("/elastauth") => with(404, ""),
        _ if !request.headers().contains_key("cookie") => with(401, REFUSED),
        "/_security/_authenticate" if fault == Fault::Login => with(401, "{}"),
        "/_security/_authenticate" => with(200, "{\"username\":\"alice\"}"),
        _ => with(200, "{}"),
    }
}

/// At this port until the end of the test.
async fn pretends(fault: Fault) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut start = [0; 512];
                let peeked = stream.peek(&mut start).await.unwrap_or(0);
                let start = String::from_utf8_lossy(&start[..peeked]).to_lowercase();
                // hyper takes more than elastauth does.
                let is_good = start.matches("host: ").count() == 1
                    && start.matches("content-length").count() == 0;
                if !is_good && fault != Fault::Framing {
                    let mut stream = stream;
                    let _read = stream.read(&mut [0; 512]).await;
                    let refused = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n";
                    let _gone = stream.write_all(refused.as_bytes()).await;
                    return;
                }
                let service = service_fn(|request| {
                    let answer = answer(fault, &request);
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
async fn each_fault_of_a_proxy_is_found() {
    for (fault, expected) in [
        (Fault::None, None),
        (Fault::Endpoint, Some("gateway_endpoints")),
        (Fault::Framing, Some("framing")),
        (Fault::Login, Some("cluster")),
    ] {
        let url = format!("http://127.0.0.1:{}/", pretends(fault).await);
        let (report, findings) = report(&["--gateway", &url, "--cookie", "session=a"]).await;
        assert_eq!(findings, Vec::from_iter(expected), "{fault:?}: {report:#}");
        assert_eq!(report["mode"], "proxy");
    }
}
