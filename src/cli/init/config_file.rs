//! `config.yml`: what the answers say, and the guide's own lines for the rest.

use super::{
    file::{File, Mode},
    guides,
    names::Address,
    types::{Answers, ClusterKind, Provider, ProviderKind, Run},
};
use std::fmt::Write as _;

/// Where the program finds its secrets, if `SECRETS` says nothing.
pub(super) const UNIT_SECRETS: &str = "/etc/elastauth/secrets/";
/// In `secrets/` of the folder.
pub(super) const CA: &str = "elasticsearch-ca.pem";

/// `secrets` is their folder, with a slash at its end.
pub(super) fn file(answers: &Answers, elastauth: &Address, secrets: &str, peers: &str) -> File {
    let title = answers.gateway.title();
    let secret = |name: &str| format!("\"${{SECRETS:-{secrets}}}{name}\"");
    let mut text = format!(
        "# elastauth behind {title}. Every key: docs/CONFIG.md.\n#\n# Secrets are files. The \
         container or the unit sets SECRETS to their folder; without it they are in\n# {secrets}\n"
    );
    if answers.run == Run::Kubernetes {
        text.push_str(
            "#\n# The chart makes this of values.yaml; the file is here for `elastauth check`.\n",
        );
    }
    let anywhere = answers.run == Run::Compose
        || answers.run == Run::Kubernetes
        || answers.gateway_address.is_some();
    let ip = if anywhere { "0.0.0.0" } else { "127.0.0.1" };
    let _infallible = write!(text, "listen: {ip}:{}\n\n", elastauth.port);
    if answers.run == Run::Kubernetes {
        let _infallible = writeln!(text, "# Who may ask: whoever has the key of {title}.");
    } else {
        let _infallible = writeln!(
            text,
            "# Who may ask: {title}, from this address and with the key that only it has.\n\
             trusted_proxies: [{peers}]"
        );
    }
    let _infallible = write!(text, "gateway_keys_file: {}\n\n", secret("gateway_key"));
    text.push_str(&provider(answers));
    let _infallible = write!(
        text,
        "\n# The same on every replica.\nsecret_key_file: {}\n\n",
        secret("secret_key")
    );
    text.push_str(&mappings(answers));
    let password = format!("  password_file: {}\n", secret("elasticsearch_password"));
    text.push_str(&cluster(answers, &password, &secret(CA)));
    text.push_str(&store(answers));
    File {
        path: "config.yml".to_owned(),
        content: text.into_bytes(),
        // The address of Redis counts as a secret.
        mode: Mode::Secret,
    }
}

/// The part of the chart's values that is elastauth's own configuration.
pub(super) fn for_chart(answers: &Answers) -> String {
    let ca = format!("/etc/elastauth/ca/{CA}");
    let text = [
        provider(answers),
        mappings(answers),
        cluster(answers, "", &ca),
        store(answers),
    ]
    .concat();
    let mut indented = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        let _infallible = writeln!(indented, "  {line}");
    }
    indented
}

fn provider(answers: &Answers) -> String {
    match &answers.provider {
        Provider::Authelia { .. } => {
            let guide = guides::config(answers.gateway, ProviderKind::Authelia);
            format!("auth_provider: authelia\n{}", block(guide, "authelia:"))
        }
        Provider::Oidc { issuer, client_id } => format!(
            "auth_provider: oidc\noidc:\n  issuer: {}\n  # Tokens must be for this audience and \
             issued to this client.\n  client_id: {}\n",
            quoted(issuer),
            quoted(client_id)
        ),
    }
}

fn mappings(answers: &Answers) -> String {
    if answers.cluster_kind == ClusterKind::Opensearch {
        return "# Which group gives which roles: put yours here. The roles must be in the cluster.\n\
                group_mappings:\n  search-readers: [readall]\n  search-editors: [readall, \
                kibana_user]\n\n"
            .to_owned();
    }
    let guide = guides::config(answers.gateway, answers.provider.kind());
    format!(
        "# Which group gives which roles: put yours here.\n{}\n",
        block(guide, "group_mappings:")
    )
}

fn cluster(answers: &Answers, password: &str, ca: &str) -> String {
    let hosts: Vec<String> = answers
        .cluster
        .iter()
        .map(|url| quoted(url.to_string().trim_end_matches('/')))
        .collect();
    let kind = match answers.cluster_kind {
        ClusterKind::Elasticsearch => "",
        ClusterKind::Opensearch => "  kind: opensearch\n",
    };
    let mut text = format!(
        "elasticsearch:\n{kind}  hosts: [{}]\n  username: elastauth\n{password}",
        hosts.join(", ")
    );
    if answers.cluster_ca.is_some() {
        let _infallible = write!(text, "  tls:\n    ca_cert: {ca}\n");
    }
    text
}

fn store(answers: &Answers) -> String {
    let address = match (&answers.redis, answers.run) {
        (Some(address), _) => address,
        (None, Run::Compose) if answers.replicas > 1 => "redis://redis:6379",
        (None, _) => return String::new(),
    };
    format!(
        "\n# What the replicas tell each other.\ncache:\n  type: redis\nredis:\n  url: {}\n",
        quoted(address)
    )
}

/// The lines of a guide from this one to the next empty one.
fn block(guide: &str, first: &str) -> String {
    let lines = guide.lines().skip_while(|line| *line != first);
    let mut text = String::new();
    for line in lines.take_while(|line| !line.is_empty()) {
        let _infallible = writeln!(text, "{line}");
    }
    text
}

/// A text of YAML in which no variable is looked for.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text.replace("${", "$${")).to_string()
}

#[cfg(test)]
mod tests {
    use super::super::types::Gateway;
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn each_guide_has_the_lines_that_are_taken_from_it() {
        for gateway in Gateway::value_variants() {
            let headers = guides::config(*gateway, ProviderKind::Authelia);
            assert!(block(headers, "authelia:").contains("groups_required"));
            for kind in [ProviderKind::Authelia, ProviderKind::Oidc] {
                let guide = guides::config(*gateway, kind);
                assert!(block(guide, "group_mappings:").lines().count() > 2);
            }
        }
    }

    #[test]
    fn a_text_is_what_the_reader_of_the_configuration_gets() {
        assert_eq!(quoted("a\"b\\ ${X}"), r#""a\"b\\ $${X}""#);
    }
}
