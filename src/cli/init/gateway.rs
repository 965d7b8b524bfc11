//! The files of the gateway: those of its guide, with the names and addresses of the answers.
//!
//! Where the cluster is `https`, the lines that the gateway needs for TLS to it are added; the
//! guides' files reach it in plain HTTP. Everything else is the guide's, byte for byte.

use super::{
    file::{File, Mode},
    guides,
    names::{Address, is_https},
    replace::{Change, replaced},
    types::{Answers, Gateway, Provider, Run},
};
use std::net::IpAddr;

/// The CA of the cluster, beside the gateway's own files.
const CA: &str = "elasticsearch-ca.pem";
/// The CAs of the system, where Debian and the images of nginx and Envoy have them.
const SYSTEM_CAS: &str = "/etc/ssl/certs/ca-certificates.crt";

/// `key` is the gateway's key. Where the gateway reads the environment, the key is in a file of
/// variables, and here in no file.
pub(super) fn files(answers: &Answers, elastauth: &Address, key: &str) -> Vec<File> {
    let gateway = answers.gateway;
    let mut changes = names(answers);
    let guide = if answers.run == Run::Kubernetes {
        guides::KUBERNETES
    } else {
        // Of two equal texts the first counts.
        changes.extend(tls(answers));
        changes.extend(addresses(answers, elastauth));
        guides::of(gateway, answers.provider.kind())
    };
    let plain = |file: &guides::GuideFile| File {
        path: format!("gateway/{}", file.name),
        content: replaced(file.text, &changes).into_bytes(),
        mode: Mode::Plain,
    };
    let mut files: Vec<File> = guide.iter().map(plain).collect();
    if gateway == Gateway::Nginx {
        files.push(File {
            path: "gateway/elastauth/gateway-key.conf".to_owned(),
            content: format!("proxy_set_header X-Elastauth-Key \"{key}\";\n").into_bytes(),
            mode: Mode::Secret,
        });
    }
    if let Some(ca) = &answers.cluster_ca
        && answers.run != Run::Kubernetes
    {
        files.push(File {
            path: format!("gateway/{CA}"),
            content: ca.clone(),
            mode: Mode::Plain,
        });
    }
    files
}

fn change(from: &str, to: impl Into<String>) -> Change {
    (from.to_owned(), to.into())
}

/// The names of the hosts.
fn names(answers: &Answers) -> Vec<Change> {
    let mut hosts = vec![answers.host.as_str()];
    let mut changes = vec![change("elasticsearch.example.org", answers.host.as_str())];
    if let Provider::Authelia { portal, kibana, .. } = &answers.provider {
        changes.push(change("auth.example.org", portal.as_str()));
        changes.push(change("kibana.example.org", kibana.as_str()));
        hosts.extend([kibana.as_str(), portal.as_str()]);
    }
    // nginx redirects these from http to https.
    let all = format!("server_name {};", hosts.join(" "));
    changes.push(change("server_name .example.org;", all));
    changes
}

/// The addresses to which the gateway connects.
fn addresses(answers: &Answers, elastauth: &Address) -> Vec<Change> {
    let mut services = vec![("elastauth", 5000, elastauth.clone())];
    if let Some(first) = first_node(answers) {
        services.push(("elasticsearch", 9200, first));
    }
    if let Provider::Authelia {
        authelia_at,
        kibana_at,
        ..
    } = &answers.provider
    {
        services.push(("authelia", 9091, authelia_at.clone()));
        services.push(("kibana", 5601, kibana_at.clone()));
    }
    let mut changes = Vec::new();
    for (service, port, here) in services {
        changes.push(change(&format!("{service}:{port}"), here.to_string()));
        // As Envoy writes it.
        let of_envoy = |host: &str, port: u16| format!("{{address: {host}, port_value: {port}}}");
        let host = if here.host().contains(':') {
            format!("\"{}\"", here.host())
        } else {
            here.host().to_owned()
        };
        changes.push((of_envoy(service, port), of_envoy(&host, here.port)));
    }
    if answers.gateway == Gateway::Caddy && answers.run == Run::Compose {
        // The image has no `/var/lib/caddy`.
        changes.push(change("unix//var/lib/caddy/", "unix//data/caddy/"));
    }
    changes
}

/// A gateway passes requests on to one node: load balancing is its own business.
pub(super) fn first_node(answers: &Answers) -> Option<Address> {
    answers
        .cluster
        .first()
        .and_then(|url| Address::of(url).ok())
}

/// What a gateway needs to reach the cluster over TLS.
fn tls(answers: &Answers) -> Vec<Change> {
    let Some(node) = first_node(answers) else {
        return Vec::new();
    };
    if !answers.cluster.iter().all(is_https) {
        return Vec::new();
    }
    let own_ca = answers.cluster_ca.is_some();
    let folder = format!("/etc/{}", answers.gateway.name());
    let ca = if own_ca {
        format!("{folder}/{CA}")
    } else {
        SYSTEM_CAS.to_owned()
    };
    let host = node.host();
    match answers.gateway {
        Gateway::Traefik if own_ca => vec![change(
            "        servers:\n          - url: http://elasticsearch:9200\n",
            format!(
                "        serversTransport: elasticsearch\n        servers:\n          - url: \
                 https://{node}\n\n  serversTransports:\n    elasticsearch:\n      rootCAs: \
                 [{ca}]\n"
            ),
        )],
        Gateway::Traefik => vec![change(
            "http://elasticsearch:9200",
            format!("https://{node}"),
        )],
        Gateway::Caddy => caddy(answers, &node, own_ca.then_some(&ca)),
        Gateway::Nginx => vec![
            change(
                "    set $application elasticsearch;\n",
                format!(
                    "    set $application elasticsearch;\n    set $to_application https;\n    \
                     proxy_ssl_verify on;\n    proxy_ssl_trusted_certificate {ca};\n    \
                     proxy_ssl_server_name on;\n    proxy_ssl_name {host};\n"
                ),
            ),
            change(
                "    set $application kibana;\n",
                "    set $application kibana;\n    set $to_application http;\n",
            ),
            change("http://$application", "$to_application://$application"),
        ],
        Gateway::Haproxy => {
            let ca = if own_ca { &ca } else { "@system-ca" };
            vec![change(
                "  server elasticsearch elasticsearch:9200\n",
                format!(
                    "  server elasticsearch {node} ssl verify required ca-file {ca} verifyhost \
                     {host} sni str({host})\n"
                ),
            )]
        }
        Gateway::Envoy => envoy(&node, &ca),
    }
}

fn envoy(node: &Address, ca: &str) -> Vec<Change> {
    const CLUSTER: &str = "      load_assignment:\n        cluster_name: elasticsearch\n";
    let host = node.host();
    // A name is asked for and compared; an address can only be compared.
    let (sni, kind) = if host.parse::<IpAddr>().is_ok() {
        (String::new(), "IP_ADDRESS")
    } else {
        (format!("          sni: {host}\n"), "DNS")
    };
    let added = format!(
        "      transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          \"@type\": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext
{sni}          common_tls_context:
            validation_context:
              trusted_ca: {{filename: {ca}}}
              match_typed_subject_alt_names:
                - {{san_type: {kind}, matcher: {{exact: \"{host}\"}}}}
"
    );
    vec![change(CLUSTER, added + CLUSTER)]
}

/// Caddy takes `https://` where it takes an address; a CA of one's own is a setting of the site.
fn caddy(answers: &Answers, node: &Address, ca: Option<&String>) -> Vec<Change> {
    let address = format!("https://{node}");
    let Some(ca) = ca else {
        return vec![change("elasticsearch:9200", address)];
    };
    let kibana = match &answers.provider {
        Provider::Authelia { kibana_at, .. } => format!("{kibana_at} in_clear\n"),
        Provider::Oidc { .. } => String::new(),
    };
    vec![
        change("elasticsearch:9200", format!("{address} over_tls")),
        change("kibana:5601\n", kibana),
        change(
            "(tls) {\n",
            format!(
                "# How a site reaches its application.\n(in_clear) {{\n}}\n(over_tls) {{\n\ttransport \
                 http {{\n\t\ttls_trust_pool file {ca}\n\t}}\n}}\n\n(tls) {{\n"
            ),
        ),
        change(
            "import preflight {args[0]}\n",
            "import preflight {args[0]} {args[1]}\n",
        ),
        change(
            "\treverse_proxy @preflight {args[0]} {\n",
            "\treverse_proxy @preflight {args[0]} {\n\t\timport {args[1]}\n",
        ),
        change(
            "\t\treverse_proxy {args[0]}\n",
            "\t\treverse_proxy {args[0]} {\n\t\t\timport {args[1]}\n\t\t}\n",
        ),
    ]
}
