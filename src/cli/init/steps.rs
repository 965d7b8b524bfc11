//! What `elastauth init` says at its end.

use super::{
    names::HostName,
    run_files::quoted,
    types::{Answers, ClusterKind, Gateway, Provider, Run},
};
use std::{fmt::Write as _, path::Path};

/// What is still to be put there, and the next three commands.
pub(super) fn text(answers: &Answers, folder: &Path) -> String {
    let name = answers.gateway.name();
    let title = answers.gateway.title();
    let path = folder.display();
    let at = |file: &str| quoted(&folder.join(file).to_string_lossy());
    let mut before = Vec::new();
    let certificate = format!(
        "a certificate for {} (`tls.crt`, `tls.key`)",
        hosts(answers)
    );
    match answers.run {
        Run::Compose => {
            before.push(format!("Put {certificate} into {path}/gateway."));
            before.push(
                "The image is `elastauth:3`: docs/deployment/bare-metal.md says how to get it."
                    .to_owned(),
            );
        }
        Run::Systemd | Run::Binary => {
            before.push(format!(
                "Copy the files of {path}/gateway to /etc/{name}, and {certificate} beside them."
            ));
            if answers.gateway != Gateway::Nginx {
                before.push(format!(
                    "Give {title} the variable of {path}/secrets/gateway.env in its environment."
                ));
            }
        }
        Run::Kubernetes => before.push(format!(
            "Put {certificate} into the secret `example-org-tls` of the namespace `search`."
        )),
    }
    if let Provider::Authelia { portal, .. } = &answers.provider {
        before.push(format!(
            "Tell Authelia its domain, {}, and give it room for long headers: step 4 of the set-up \
             in docs/gateways/traefik.md.",
            portal
                .as_str()
                .split_once('.')
                .map_or("", |(_, domain)| domain)
        ));
    }
    if answers.cluster_kind == ClusterKind::Opensearch {
        before.push(
            "List the role `elastauth` in `plugins.security.restapi.roles_enabled` of \
             opensearch.yml on every node: docs/COMPATIBILITY.md has the lines."
                .to_owned(),
        );
    }
    before.push(format!(
        "Write your groups and their roles into {path}/{}.",
        if answers.run == Run::Kubernetes {
            "values.yaml"
        } else {
            "config.yml"
        }
    ));
    let account = format!("sh {}", at("service-account.sh"));
    let config = at("config.yml");
    let commands = match answers.run {
        Run::Compose => [
            account,
            format!(
                "docker compose --file {} up --detach --wait",
                at("compose.yml")
            ),
            doctor(answers),
        ],
        Run::Systemd => [
            account,
            format!("sudo sh {}", at("install.sh")),
            doctor(answers),
        ],
        Run::Kubernetes => [
            account,
            format!("CHART=deploy/helm/elastauth sh {}", at("install.sh")),
            format!("kubectl apply --filename {}", at("gateway/kubernetes.yml")),
        ],
        Run::Binary => [
            account,
            format!("elastauth check --online --config {config}"),
            format!("elastauth --config {config}"),
        ],
    };
    let before = lines("- ", &before);
    let commands = lines("    ", &commands);
    format!(
        "Before you start:\n\n{before}\nThe next three commands:\n\n{commands}\nThe guide of {title} \
         is docs/gateways/{name}.md."
    )
}

fn doctor(answers: &Answers) -> String {
    let host = match &answers.provider {
        Provider::Authelia { kibana, .. } => kibana,
        Provider::Oidc { .. } => &answers.host,
    };
    format!("elastauth doctor --gateway https://{}/", host.as_str())
}

fn hosts(answers: &Answers) -> String {
    let mut names = vec![&answers.host];
    if let Provider::Authelia { portal, kibana, .. } = &answers.provider {
        names.extend([kibana, portal]);
    }
    let names: Vec<&str> = names.into_iter().map(HostName::as_str).collect();
    names.join(", ")
}

fn lines(indent: &str, lines: &[String]) -> String {
    let mut text = String::new();
    for line in lines {
        let _infallible = writeln!(text, "{indent}{line}");
    }
    text
}
