//! What elastauth runs by, and the script for its account in the cluster.

use super::{
    config_file::{CA, for_chart},
    file::{File, Mode},
    gateway::first_node,
    replace::replaced,
    types::{Answers, ClusterKind, Gateway, Run},
};
use std::fmt::Write as _;

/// The gateway's fixed address in the network of the compose file.
pub(super) const GATEWAY_IN_COMPOSE: &str = "172.29.2.10";
const SUBNET_IN_COMPOSE: &str = "172.29.2.0/24";
/// The port that the chart lets elastauth connect to.
const PORT_OF_CHART: u16 = 9200;

/// `user` owns the secrets.
pub(super) fn files(answers: &Answers, user: &str) -> Vec<File> {
    let mut files = vec![account(answers)];
    let mut add = |path: &str, content: String, mode| {
        files.push(File {
            path: path.to_owned(),
            content: content.into_bytes(),
            mode,
        });
    };
    match answers.run {
        Run::Compose => add("compose.yml", compose(answers, user), Mode::Plain),
        Run::Systemd => {
            let unit = include_str!("../../../deploy/systemd/elastauth.service");
            let users = include_str!("../../../deploy/systemd/elastauth.sysusers");
            let script = include_str!("templates/install-systemd.sh");
            add("elastauth.service", unit.to_owned(), Mode::Plain);
            add("elastauth.sysusers", users.to_owned(), Mode::Plain);
            add("install.sh", script.to_owned(), Mode::Script);
        }
        Run::Kubernetes => {
            add("values.yaml", values(answers), Mode::Plain);
            add("install.sh", install_chart(answers), Mode::Script);
        }
        Run::Binary => {}
    }
    files
}

fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let changes: Vec<_> = values
        .iter()
        .map(|(name, value)| (format!("@{name}@"), (*value).to_owned()))
        .collect();
    replaced(template, &changes)
}

fn account(answers: &Answers) -> File {
    let url = answers.cluster.first().map(ToString::to_string);
    let url = url.unwrap_or_default();
    let cacert = if answers.cluster_ca.is_some() {
        format!(" --cacert secrets/{CA}")
    } else {
        String::new()
    };
    let values = [
        ("CLUSTER", quoted(url.trim_end_matches('/'))),
        ("CACERT", cacert),
    ];
    let values = values
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let template = match answers.cluster_kind {
        ClusterKind::Elasticsearch => include_str!("templates/service-account.sh"),
        ClusterKind::Opensearch => include_str!("templates/service-account-opensearch.sh"),
    };
    File {
        path: "service-account.sh".to_owned(),
        content: filled(template, &values).into_bytes(),
        mode: Mode::Script,
    }
}

/// For a shell.
pub(super) fn quoted(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-:,@%+=".contains(&byte);
    if !text.is_empty() && text.bytes().all(is_plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

fn compose(answers: &Answers, user: &str) -> String {
    let gateway = answers.gateway;
    let (image, command) = match gateway {
        Gateway::Traefik => ("traefik:v3.7", ""),
        Gateway::Caddy => ("caddy:2.11", ""),
        Gateway::Nginx => ("nginx:1.31", ""),
        Gateway::Haproxy => (
            "haproxy:2.8",
            "    command: [\"haproxy\", \"-f\", \"/etc/haproxy/haproxy.cfg\"]\n",
        ),
        Gateway::Envoy => (
            "envoyproxy/envoy:v1.40-latest",
            "    command: [\"-c\", \"/etc/envoy/envoy.yaml\"]\n",
        ),
    };
    let env = if gateway == Gateway::Nginx {
        ""
    } else {
        "    # GATEWAY_KEY.\n    env_file: [secrets/gateway.env]\n"
    };
    let own_redis = answers.replicas > 1 && answers.redis.is_none();
    let (networks, depends, redis, store) = if own_redis {
        (
            "gateway, store",
            "    depends_on:\n      redis: {condition: service_healthy}\n",
            "\n  # elastauth alone reaches it. What it holds is sealed with `secret_key`.\n  redis:\n    \
             image: redis:7.4\n    command: [\"redis-server\", \"--save\", \"\", \"--appendonly\", \
             \"no\", \"--maxmemory\", \"64mb\", \"--maxmemory-policy\", \"allkeys-lru\"]\n    \
             networks: [store]\n    healthcheck: {test: [\"CMD\", \"redis-cli\", \"ping\"], \
             interval: 5s}\n    restart: unless-stopped\n",
            "  store: {internal: true}\n",
        )
    } else {
        ("gateway", "", "", "")
    };
    let replicas = answers.replicas.to_string();
    filled(
        include_str!("templates/compose.yml"),
        &[
            ("TITLE", gateway.title()),
            ("GATEWAY", gateway.name()),
            ("IMAGE", image),
            ("COMMAND", command),
            ("ENV", env),
            ("ADDRESS", GATEWAY_IN_COMPOSE),
            ("SUBNET", SUBNET_IN_COMPOSE),
            ("USER", user),
            ("REPLICAS", &replicas),
            ("NETWORKS", networks),
            ("DEPENDS", depends),
            ("REDIS", redis),
            ("STORE", store),
        ],
    )
}

fn values(answers: &Answers) -> String {
    let mut text = format!(
        "# elastauth's chart, behind Traefik. docs/deployment/kubernetes.md.\n\
         replicas: {}\nsecrets: {{existing: elastauth}}\ngateways: {{keys: gateway_key}}\n",
        answers.replicas
    );
    if answers.cluster_ca.is_some() {
        text.push_str("ca: {configMap: elastauth-ca}\n");
    }
    let port = first_node(answers).map_or(PORT_OF_CHART, |node| node.port);
    if port != PORT_OF_CHART {
        let _infallible = writeln!(
            text,
            "networkPolicy: {{egress: {{elasticsearch: {{ports: [{port}]}}}}}}"
        );
    }
    text.push_str("config:\n");
    text + &for_chart(answers)
}

fn install_chart(answers: &Answers) -> String {
    let ca = if answers.cluster_ca.is_some() {
        format!("kubectl -n search create configmap elastauth-ca --from-file={CA}=secrets/{CA}\n")
    } else {
        String::new()
    };
    filled(
        include_str!("templates/install-kubernetes.sh"),
        &[("CA", &ca)],
    )
}
