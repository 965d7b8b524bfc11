//! docs/gateways/client-certificates.md: each gateway with the files of its guide and the changes of
//! that page, in front of an elastauth that takes client certificates.

use crate::{
    application::Application,
    caddy::CADDY,
    draft::Draft,
    envoy::ENVOY,
    gateway::{ELASTICSEARCH, Form, Gateway, Parties, Program},
    haproxy::{HAPROXY_2_6, HAPROXY_2_8},
    nginx::{NGINX, NGINX_1_22},
    support::{all_at_once, elastauth::Elastauth, guide, idp::Idp, relay::Relay, tls::Authority},
    traefik::TRAEFIK,
};
use elastauth::internals::{demo::standin::StandIn, shutdown::Tasks};
use serde_json::json;
use std::path::Path;
use tempfile::TempDir;

const SECRET_KEY: &str = "c1f9a67d30b84e52976efab0451d8c23e7b04c9f6a1852d3b9ce70f8146da25b";
const PAGE: &str = "client-certificates.md";

/// The changes of one section of the page: what is replaced, and by what.
fn changes(section: &str) -> Vec<(String, String)> {
    let page = guide::file(PAGE, &[]);
    let (_, rest) = page
        .split_once(&format!("\n## {section}\n"))
        .unwrap_or_else(|| panic!("{PAGE} has no {section}"));
    let section = rest.split("\n## ").next().unwrap_or_default();
    let blocks: Vec<&str> = section
        .split("\n```")
        .skip(1)
        .step_by(2)
        .map(|block| block.split_once('\n').map_or("", |(_, text)| text))
        .collect();
    assert!(
        !blocks.is_empty() && blocks.len().is_multiple_of(2),
        "{blocks:?}"
    );
    let pairs = blocks.chunks(2);
    pairs
        .map(|pair| (pair[0].to_owned(), pair[1].to_owned()))
        .collect()
}

/// elastauth, and what is around it but the gateway.
struct Setup {
    authority: Authority,
    elastauth: Elastauth,
    relay: Relay,
    idp: Idp,
    elasticsearch: Application,
    _cluster: StandIn,
    _tasks: Tasks,
}

impl Setup {
    async fn start(program: &Program) -> Self {
        let tasks = Tasks::default();
        let cluster = StandIn::start(&tasks).await.unwrap();
        let (idp, authority) = (Idp::start().await, Authority::new());
        let own = authority.sign_for(&["elastauth", "127.0.0.1"]);
        let mut config = guide::file(
            &format!("{}/{}", program.folder, Form::Tokens.config()),
            &[
                ("0.0.0.0:5000", "127.0.0.1:0"),
                ("192.0.2.20/32", "127.0.0.1/32"),
                ("http://elasticsearch:9200", &cluster.url()),
                ("https://sso.example.org/realms/main", &idp.issuer),
            ],
        );
        for (from, to) in changes("elastauth") {
            assert!(config.contains(&from), "{from} is not in {config}");
            config = config.replace(&from, &to);
        }
        let files = [
            ("tls.crt", own.certificate.as_str()),
            ("tls.key", &own.key),
            ("gateways-ca.pem", &authority.pem()),
        ];
        let secrets = [
            ("SECRET_KEY", SECRET_KEY),
            ("ELASTICSEARCH_PASSWORD", cluster.service_password()),
        ];
        let elastauth = Elastauth::start_anywhere_in(&config, &files, &secrets).await;
        Self {
            relay: Relay::to(elastauth.port()).await,
            authority,
            elastauth,
            idp,
            elasticsearch: Application::start().await,
            _cluster: cluster,
            _tasks: tasks,
        }
    }

    /// The gateway of the guide with the changes of the page, and a certificate for this name.
    /// Its files last as long as it does.
    async fn gateway(&self, program: &Program, section: &str, name: &str) -> (Gateway, TempDir) {
        let home = tempfile::tempdir().unwrap();
        let signed = self.authority.sign_for(&[name]);
        let both = format!("{}{}", signed.certificate, signed.key);
        for (name, content) in [
            ("client.crt", &signed.certificate),
            ("client.key", &signed.key),
            ("client.pem", &both),
            ("elastauth-ca.pem", &self.authority.pem()),
        ] {
            std::fs::write(home.path().join(name), content).unwrap();
        }
        let etc = format!("/etc/{}/", program.folder);
        let here = |text: &str| {
            let files = ["client.crt", "client.key", "client.pem", "elastauth-ca.pem"];
            files.iter().fold(text.to_owned(), |text, file| {
                let path = home.path().join(file);
                text.replace(&format!("{etc}{file}"), &path.display().to_string())
            })
        };
        let changes = changes(section);
        let changes = changes.into_iter().map(|(from, to)| (from, here(&to)));
        let parties = Parties {
            authelia: 1,
            elastauth: self.relay.port,
            elasticsearch: self.elasticsearch.port,
            kibana: 1,
            wiki: 1,
        };
        let started = (program.start)(Form::Tokens, parties);
        (guide::changed(changes.collect(), started).await, home)
    }

    async fn status(&self, gateway: &Gateway, user: &str) -> u16 {
        let token = self.idp.token(|claims| {
            claims["sub"] = json!(user);
            claims["preferred_username"] = json!(user);
            claims["email"] = json!(format!("{user}@example.org"));
            claims["groups"] = json!(["/search/readers"]);
        });
        let mut draft = Draft::get(ELASTICSEARCH, "/_search");
        draft.line(&format!("Authorization: Bearer {token}"));
        gateway.client.send(&draft).await.answer().status()
    }
}

async fn hold(program: &Program, section: &str) {
    let setup = Setup::start(program).await;
    let (gateway, _home) = setup.gateway(program, section, "gateway.example.org").await;
    let users: Vec<String> = (0..8).map(|n| format!("user-{n}")).collect();
    let asked = users.iter().map(|user| setup.status(&gateway, user));
    let statuses = all_at_once(asked).await;
    assert_eq!(statuses, [200; 8], "{}", setup.elastauth.log());
    assert_eq!(setup.elasticsearch.count(), 8);
    if program.folder == "traefik" {
        assert_eq!(
            setup.relay.connections(),
            1,
            "HTTP/2 needs no second connection"
        );
    }
    drop(gateway);
    let (other, _home) = setup.gateway(program, section, "other.example.org").await;
    assert_eq!(
        setup.status(&other, "alice").await,
        403,
        "{}",
        setup.elastauth.log()
    );
    let log = setup.elastauth.log();
    let why = "has other.example.org, and none of these is in `tls.client_names`";
    assert!(log.contains(why), "{log}");
    assert_eq!(setup.elasticsearch.count(), 8);
}

macro_rules! with_certificates {
    ($($name:ident: $program:expr, $section:literal;)+) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $name() {
            hold(&$program, $section).await;
        }
    )+};
}

with_certificates! {
    traefik: TRAEFIK, "Traefik";
    caddy: CADDY, "Caddy";
    nginx_1_22: NGINX_1_22, "nginx";
    nginx: NGINX, "nginx";
    haproxy_2_6: HAPROXY_2_6, "HAProxy";
    haproxy_2_8: HAPROXY_2_8, "HAProxy";
    envoy: ENVOY, "Envoy";
}

/// The files of all forms have the lines that the page replaces.
#[test]
fn the_page_is_about_lines_of_every_form() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/gateways");
    for (section, files) in [
        (
            "Traefik",
            &[
                "traefik/oidc.yml",
                "traefik/dynamic.yml",
                "traefik/standalone.yml",
            ][..],
        ),
        ("Caddy", &["caddy/elastauth.caddy"]),
        ("nginx", &["nginx/elastauth/protected.conf"]),
        (
            "HAProxy",
            &[
                "haproxy/oidc.cfg",
                "haproxy/haproxy.cfg",
                "haproxy/applications.cfg",
            ],
        ),
        (
            "Envoy",
            &[
                "envoy/oidc.yaml",
                "envoy/envoy.yaml",
                "envoy/applications.yaml",
            ],
        ),
    ] {
        for file in files {
            let text = std::fs::read_to_string(folder.join(file)).unwrap();
            for (from, _) in changes(section) {
                assert!(text.contains(&from), "{file} has no\n{from}");
            }
        }
    }
}
