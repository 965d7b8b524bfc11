//! What the files of a gateway have to be: those of its guide, with the names of the answers.

use std::{fs, path::Path};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

pub(crate) fn guide(name: &str) -> String {
    fs::read_to_string(Path::new(ROOT).join(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
}

/// Where each written file comes from.
pub(crate) fn sources(gateway: &str, provider: &str) -> Vec<(String, String)> {
    let names: &[(&str, &str)] = match (gateway, provider) {
        ("traefik", "authelia") => &[
            ("traefik.yml", "traefik.yml"),
            ("dynamic.yml", "dynamic.yml"),
        ],
        ("traefik", _) => &[("traefik.yml", "traefik.yml"), ("dynamic.yml", "oidc.yml")],
        ("caddy", "authelia") => &[
            ("Caddyfile", "authelia.Caddyfile"),
            ("elastauth.caddy", "elastauth.caddy"),
        ],
        ("caddy", _) => &[
            ("Caddyfile", "oidc.Caddyfile"),
            ("elastauth.caddy", "elastauth.caddy"),
        ],
        ("nginx", "authelia") => &[
            ("nginx.conf", "nginx.conf"),
            ("conf.d/elastauth.conf", "authelia.conf"),
            ("elastauth/answers.conf", "elastauth/answers.conf"),
            ("elastauth/application.conf", "elastauth/application.conf"),
            ("elastauth/ask-authelia.conf", "elastauth/ask-authelia.conf"),
            ("elastauth/http.conf", "elastauth/http.conf"),
            ("elastauth/protected.conf", "elastauth/protected.conf"),
            ("elastauth/two-checks.conf", "elastauth/two-checks.conf"),
        ],
        ("nginx", _) => &[
            ("nginx.conf", "nginx.conf"),
            ("conf.d/elastauth.conf", "oidc.conf"),
            ("elastauth/answers.conf", "elastauth/answers.conf"),
            ("elastauth/application.conf", "elastauth/application.conf"),
            ("elastauth/http.conf", "elastauth/http.conf"),
            ("elastauth/protected.conf", "elastauth/protected.conf"),
        ],
        ("haproxy", "authelia") => &[("haproxy.cfg", "haproxy.cfg")],
        ("haproxy", _) => &[("haproxy.cfg", "oidc.cfg")],
        ("envoy", "authelia") => &[("envoy.yaml", "envoy.yaml")],
        ("envoy", _) => &[("envoy.yaml", "oidc.yaml")],
        _ => panic!("{gateway} is no gateway"),
    };
    let of_guide = |(written, from): &(&str, &str)| {
        let from = guide(&format!("docs/gateways/{gateway}/{from}"));
        ((*written).to_owned(), from)
    };
    let mut sources: Vec<_> = names.iter().map(of_guide).collect();
    if gateway == "haproxy" {
        let script = guide("contrib/haproxy/elastauth.lua");
        sources.push(("elastauth.lua".to_owned(), script));
    }
    sources
}

pub(crate) fn replaced(text: &str, provider: &str) -> String {
    let mut text = text
        .replace("elasticsearch.example.org", "es.corp.test")
        .replace("elastauth:5000", "127.0.0.1:5000")
        .replace("elasticsearch:9200", "127.0.0.1:19200")
        .replace(
            "{address: elastauth, port_value: 5000}",
            "{address: 127.0.0.1, port_value: 5000}",
        )
        .replace(
            "{address: elasticsearch, port_value: 9200}",
            "{address: 127.0.0.1, port_value: 19200}",
        );
    let mut redirected = "es.corp.test".to_owned();
    if provider == "authelia" {
        redirected.push_str(" kb.corp.test login.corp.test");
        text = text
            .replace("kibana.example.org", "kb.corp.test")
            .replace("auth.example.org", "login.corp.test")
            .replace("kibana:5601", "127.0.0.1:5601")
            .replace("authelia:9091", "127.0.0.1:9091")
            .replace(
                "{address: kibana, port_value: 5601}",
                "{address: 127.0.0.1, port_value: 5601}",
            )
            .replace(
                "{address: authelia, port_value: 9091}",
                "{address: 127.0.0.1, port_value: 9091}",
            );
    }
    text.replace(
        "server_name .example.org;",
        &format!("server_name {redirected};"),
    )
}
