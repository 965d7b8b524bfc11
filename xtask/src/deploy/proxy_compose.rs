//! The compose file of proxy mode: its secrets are made by its script, Docker Compose's own loader
//! takes it, it keeps the networks apart, and elastauth takes its configuration without a warning.

use super::{compose, tools};
use crate::shell;
use anyhow::bail;
use serde_json::Value;
use std::path::Path;

pub(super) fn check() -> anyhow::Result<()> {
    let folder = shell::root().join("deploy/compose/proxy");
    let home = tools::fresh_folder("compose-proxy")?;
    compose::says_that_secrets_are_missing(&folder, &home)?;
    let secrets = home.join("secrets");
    let gone = "values/elastauth_password";
    let users = ["cluster-setup.env", "elastauth.env"];
    compose::make_secrets(&folder, &secrets, gone, &users)?;
    let project: Value = serde_json::from_str(&compose::load(&folder, Some(&secrets))?)?;
    let faults = faults(&project);
    if !faults.is_empty() {
        bail!(
            "proxy/compose.yml is against our rules:\n{}",
            faults.join("\n")
        );
    }
    takes_the_configuration(&folder, &secrets, &home, &project)?;
    println!(
        "compose of proxy mode: loaded, {} services",
        compose::services(&project).count()
    );
    Ok(())
}

fn faults(project: &Value) -> Vec<String> {
    let mut faults = compose::of_networks(project);
    for (name, service) in compose::services(project) {
        faults.extend(compose::of_any_service(name, service));
        let networks = compose::networks(service);
        let is_door = networks.contains(&"edge") || service["ports"].is_array();
        if is_door != (name == "elastauth") {
            faults.push(format!("{name}: clients reach elastauth and nobody else"));
        }
        if !networks.contains(&"cluster") {
            faults.push(format!("{name}: does not reach Elasticsearch"));
        }
        if service["healthcheck"]["test"].is_array() == (name == "cluster-setup") {
            faults.push(format!("{name}: no health check, or one too many"));
        }
        let is_closed = service["read_only"] == true && service["cap_drop"][0] == "ALL";
        if name == "elastauth" && !is_closed {
            faults.push(format!("{name}: may write, or has capabilities"));
        }
    }
    faults
}

/// With the variables of the service, and its mounts where they are on this machine.
fn takes_the_configuration(
    folder: &Path,
    secrets: &Path,
    home: &Path,
    project: &Value,
) -> anyhow::Result<()> {
    let mounted = secrets.join("elastauth").display().to_string();
    let text = std::fs::read_to_string(folder.join("config.yml"))?;
    let here = home.join("config.yml");
    std::fs::write(&here, text.replace("/run/secrets", &mounted))?;
    let variables = project["services"]["elastauth"]["environment"].as_object();
    let program = tools::elastauth().display().to_string();
    let mut command = shell::command(&program, &["check", "--strict", "--config"]);
    command.arg(&here);
    for (name, value) in variables.into_iter().flatten() {
        command.env(name, value.as_str().unwrap_or_default());
    }
    tools::output_of(&mut command, "")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        let check = json!({"test": ["CMD", "true"]});
        json!({
            "services": {
                "elastauth": {
                    "image": "elastauth:3", "networks": {"edge": null, "cluster": null},
                    "ports": [{}], "healthcheck": check, "read_only": true, "cap_drop": ["ALL"],
                },
                "kibana": {
                    "image": "kibana:9", "networks": {"cluster": null}, "healthcheck": check,
                },
            },
            "networks": {"edge": {}, "cluster": {"internal": true}},
        })
    }

    #[test]
    fn each_broken_project_is_found() {
        assert_eq!(faults(&good()), Vec::<String>::new());
        for (path, key, value, expected) in [
            ("/services/kibana", "ports", json!([{}]), "nobody else"),
            (
                "/services/kibana/networks",
                "edge",
                Value::Null,
                "nobody else",
            ),
            (
                "/services/kibana",
                "networks",
                json!({"apps": null}),
                "does not reach",
            ),
            (
                "/services/elastauth",
                "read_only",
                json!(false),
                "may write",
            ),
            (
                "/services/elastauth",
                "healthcheck",
                Value::Null,
                "no health check",
            ),
            (
                "/networks/cluster",
                "internal",
                json!(false),
                "only `edge` leads out",
            ),
        ] {
            let mut project = good();
            if let Some(place) = project.pointer_mut(path) {
                place[key] = value;
            }
            let found = faults(&project);
            let is_found = found.iter().any(|fault| fault.contains(expected));
            assert!(is_found, "{path}/{key}: {found:?}");
        }
    }
}
