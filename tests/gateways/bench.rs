//! Gateways for `cargo xtask bench gateways`, which sends the requests: a gateway with the files of
//! its guide, three times beside each other. One asks elastauth, one asks a server that answers
//! each request with the same grant, and one asks nothing. A fourth asks elastauth through a relay
//! that counts connections.
//!
//! The programs that are measured are release builds. The form is that of tokens: then elastauth is
//! the only check.

use crate::{
    caddy::CADDY,
    draft::Draft,
    envoy::ENVOY,
    gateway::{ELASTICSEARCH, Form, GATEWAY_KEY, Gateway, Parties, Program},
    haproxy::{HAPROXY_2_6, HAPROXY_2_8},
    nginx::{NGINX, NGINX_1_22},
    support::{
        elastauth::Elastauth,
        find, free_port,
        guide::{self, Mistake, with_mistakes},
        idp::Idp,
        process::{Process, command},
        relay::Relay,
        tls::Authority,
    },
    traefik::TRAEFIK,
};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use std::{
    io::BufRead as _,
    path::{Path, PathBuf},
    time::Duration,
};
use tempfile::TempDir;
use tokio::net::TcpStream;

const SECRET_KEY: &str = "c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b";

/// By the names of `cargo xtask bench`. `traefik-tls` is the same Traefik with TLS and h2 to
/// elastauth, as tls.yml of its guide has it.
const PROGRAMS: &[(&str, &Program)] = &[
    ("traefik", &TRAEFIK),
    ("traefik-tls", &TRAEFIK),
    ("caddy", &CADDY),
    ("nginx-1.22", &NGINX_1_22),
    ("nginx-1.31", &NGINX),
    ("haproxy-2.6", &HAPROXY_2_6),
    ("haproxy-2.8", &HAPROXY_2_8),
    ("envoy", &ENVOY),
];

/// What takes the check out of the files of a guide.
fn without_check(folder: &str) -> &'static [Mistake] {
    match folder {
        "traefik" => &[(
            "traefik/oidc.yml",
            "[clean, gateway-key, elastauth, forget]",
            "[clean, gateway-key, forget]",
        )],
        "caddy" => &[(
            "caddy/elastauth.caddy",
            "\t\tforward_auth elastauth:5000 {\n\t\t\timport elastauth\n\t\t\theader_up Authorization \
             {header.Authorization}\n\t\t\theader_up Cookie {header.Cookie}\n\t\t}\n",
            "",
        )],
        "nginx" => &[
            (
                "nginx/elastauth/protected.conf",
                "    auth_request /_checks;\n",
                "",
            ),
            (
                "nginx/elastauth/protected.conf",
                "$application_with_login",
                "$application",
            ),
        ],
        "haproxy" => &[
            (
                "haproxy/oidc.cfg",
                "  http-request lua.forward-auth",
                "  # ",
            ),
            (
                "haproxy/oidc.cfg",
                "  http-request deny deny_status 503 unless { var(txn.forward_auth)",
                "  # ",
            ),
        ],
        "envoy" => &[(
            "envoy/oidc.yaml",
            "- match: {prefix: /}\n                          route:",
            "- match: {prefix: /}\n                          typed_per_filter_config: *unchecked\n\
             \x20                         route:",
        )],
        other => panic!("{other} has no such files"),
    }
}

/// The certificate of elastauth and of the server in its place, and who signed it.
struct Signed {
    folder: TempDir,
    ca: PathBuf,
}

impl Signed {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder for certificates");
        let (authority, path) = (Authority::new(), folder.path());
        let signed = authority.sign();
        for (name, content) in [
            ("tls.crt", &signed.certificate),
            ("tls.key", &signed.key),
            ("ca.pem", &authority.pem()),
        ] {
            std::fs::write(path.join(name), content).expect("a certificate");
        }
        let ca = path.join("ca.pem");
        Self { folder, ca }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// How Traefik asks over TLS.
    fn edits(&self) -> [Mistake; 1] {
        let plain = "http://elastauth:5000/elastauth/forward-auth";
        let tls = format!(
            "https://elastauth:5000/elastauth/forward-auth\n        tls:\n          ca: {}",
            self.ca.display()
        );
        [("traefik/oidc.yml", plain, tls.leak())]
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a part of `cargo xtask bench gateways`"]
async fn serve() {
    let Ok(name) = std::env::var("ELASTAUTH_BENCH_GATEWAY") else {
        return;
    };
    let (_, program) = PROGRAMS.iter().find(|(known, _)| *known == name).unwrap();
    let signed = (name == "traefik-tls").then(Signed::new);
    let (tasks, idp) = (Tasks::default(), Idp::start().await);
    let cluster = StandIn::start(&tasks).await.unwrap();

    let elastauth = elastauth(program, &cluster, &idp, signed.as_ref()).await;
    let (constant, at_constant) = constant(signed.as_ref()).await;
    let (behind, application) = self::constant(None).await;
    let relay = Relay::to(elastauth.port()).await;
    let parties = Parties {
        authelia: application,
        elastauth: elastauth.port(),
        elasticsearch: application,
        kibana: application,
        wiki: application,
    };
    if let Some(signed) = &signed {
        with_mistakes(&signed.edits());
    }
    let asked = (program.start)(Form::Tokens, parties).await;
    let to = |elastauth: u16| Parties {
        elastauth,
        ..parties
    };
    let answered = (program.start)(Form::Tokens, to(at_constant)).await;
    let counted = (program.start)(Form::Tokens, to(relay.port)).await;
    with_mistakes(without_check(program.folder));
    let open = (program.start)(Form::Tokens, to(free_port())).await;

    let token = idp.token(|claims| {
        claims["exp"] = (crate::support::idp::now() + 3_600).into();
        claims["groups"] = serde_json::json!(["/search/readers"]);
    });
    // The port of each, and the processes that work for its requests.
    let mut targets = Vec::new();
    for (gateway, asked) in [
        (&asked, Some(elastauth.id())),
        (&answered, Some(constant.id())),
        (&open, None),
        (&counted, Some(elastauth.id())),
    ] {
        is_ready(gateway, &token).await;
        let port = u32::from(gateway.client.port());
        let numbers = [port, gateway.process.id(), behind.id()];
        let numbers = numbers.into_iter().chain(asked);
        targets.push(numbers.map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    }
    println!("BENCH {token} {}", targets.join(" "));
    // Each line asks for the number of connections; the end of the input is the end.
    for line in std::io::stdin().lock().lines() {
        line.unwrap();
        println!("BENCH {}", relay.connections());
    }
}

async fn is_ready(gateway: &Gateway, token: &str) {
    let mut draft = Draft::get(ELASTICSEARCH, "/_search");
    draft.line(&format!("Authorization: Bearer {token}"));
    let answer = gateway.client.send(&draft).await.answer();
    assert_eq!(answer.status(), 200, "{answer:?}");
}

fn built(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("target/release").join(name)
}

async fn elastauth(
    program: &Program,
    cluster: &StandIn,
    idp: &Idp,
    signed: Option<&Signed>,
) -> Elastauth {
    let url = cluster.url();
    let replace = [
        ("0.0.0.0:5000", "127.0.0.1:0"),
        ("192.0.2.20/32", "127.0.0.1/32"),
        ("http://elasticsearch:9200", &url),
        ("https://sso.example.org/realms/main", &idp.issuer),
    ];
    let mut config = guide::file(
        &format!("{}/{}", program.folder, Form::Tokens.config()),
        &replace,
    );
    if let Some(signed) = signed {
        let [cert, key] = ["tls.crt", "tls.key"].map(|name| signed.path(name));
        config = format!("{config}tls: {{cert: {cert}, key: {key}}}\n");
    }
    let secrets = [
        ("GATEWAY_KEY", GATEWAY_KEY),
        ("SECRET_KEY", SECRET_KEY),
        ("ELASTICSEARCH_PASSWORD", cluster.service_password()),
    ];
    Elastauth::start_program(&built("elastauth"), &config, &[], &secrets).await
}

/// A server that answers everything with the same grant, and its port.
async fn constant(signed: Option<&Signed>) -> (Process, u16) {
    let port = free_port();
    let mut program = command(built("examples/bare_hyper"));
    program.arg(format!("127.0.0.1:{port}"));
    if let Some(signed) = signed {
        program.args(["tls.crt", "tls.key"].map(|name| signed.path(name)));
    }
    let process = Process::start("bare-hyper", &mut program);
    find("a bare server", Duration::from_secs(10), async || {
        TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
    (process, port)
}
