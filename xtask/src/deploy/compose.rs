//! The compose file: its secrets are made by its script, Docker Compose's own loader takes it, it
//! keeps the networks apart, and what it describes runs in namespaces (`isolation`).

use super::{guide, hosts, isolation, tools};
use crate::shell;
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

pub(super) fn check() -> anyhow::Result<()> {
    let home = tools::fresh_folder("compose")?;
    says_that_secrets_are_missing(&folder(), &home)?;
    let secrets = home.join("secrets");
    let gone = "values/gateway_key";
    make_secrets(&folder(), &secrets, gone, &["elastauth.env", "traefik.env"])?;
    let project = load(&folder(), Some(&secrets))?;
    let project: Value = serde_json::from_str(&project)?;
    let faults = faults(&project);
    if !faults.is_empty() {
        bail!("compose.yml is against our rules:\n{}", faults.join("\n"));
    }
    guide::tls_has_every_route()?;
    println!("compose: loaded, {} services", services(&project).count());
    if !hosts::can_be_made() {
        println!("note: only root can make namespaces; the compose file was not started");
        return Ok(());
    }
    isolation::check(&home, &secrets, &project)
}

fn folder() -> PathBuf {
    shell::root().join("deploy/compose")
}

/// What Docker Compose reads, with files and variables put in; or what it says.
pub(super) fn load(folder: &Path, secrets: Option<&Path>) -> anyhow::Result<String> {
    loaded(folder, secrets, &[])
}

/// The same of our file and another one on top of it.
pub(super) fn load_with(secrets: &Path, further: &Path) -> anyhow::Result<Value> {
    let further = further.to_string_lossy();
    let text = loaded(&folder(), Some(secrets), &[&further])?;
    Ok(serde_json::from_str(&text)?)
}

fn loaded(folder: &Path, secrets: Option<&Path>, further: &[&str]) -> anyhow::Result<String> {
    let program = tools::part().join("bin/compose-project");
    let mut command = shell::command(&program.to_string_lossy(), &["compose.yml"]);
    command
        .args(further)
        .current_dir(folder)
        // The file of proxy mode asks for it.
        .env("OIDC_ISSUER", "https://sso.example.org/realms/main")
        .env_remove("SECRETS");
    if let Some(secrets) = secrets {
        command.env("SECRETS", secrets);
    }
    tools::output_of(&mut command, "")
}

pub(super) fn says_that_secrets_are_missing(folder: &Path, home: &Path) -> anyhow::Result<()> {
    // A copy: somebody may have made secrets in the tree.
    let copy = home.join("without-secrets");
    std::fs::create_dir_all(&copy)?;
    std::fs::copy(folder.join("compose.yml"), copy.join("compose.yml"))?;
    let Err(fault) = load(&copy, None) else {
        bail!("compose.yml is accepted without secrets");
    };
    if !format!("{fault}").contains("run ./make-secrets.sh first") {
        bail!("without secrets compose.yml does not say what to do: {fault}");
    }
    Ok(())
}

/// Runs the script twice: the second time changes nothing. A third time makes the file `gone`,
/// which was deleted, and with it changes these `users` of it alone.
pub(super) fn make_secrets(
    folder: &Path,
    secrets: &Path,
    gone: &str,
    users: &[&str],
) -> anyhow::Result<()> {
    let script = folder.join("make-secrets.sh");
    let run = || {
        let mut command = shell::command(&script.to_string_lossy(), &[]);
        tools::output_of(command.arg(secrets), "")
    };
    run()?;
    let first = contents(secrets)?;
    run()?;
    if contents(secrets)? != first {
        bail!("a second run of make-secrets.sh changes what the first has made");
    }
    std::fs::remove_file(secrets.join(gone))?;
    run()?;
    let changed: Vec<String> = contents(secrets)?
        .into_iter()
        .filter(|(name, content)| first.get(name) != Some(content))
        .map(|(name, _)| name)
        .collect();
    if changed != [users, &[gone]].concat() {
        bail!("a new {gone} changes {changed:?}");
    }
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(secrets)?.permissions());
    if mode & 0o077 != 0 {
        bail!("others can enter the folder of the secrets");
    }
    Ok(())
}

/// Every file below a folder.
fn contents(folder: &Path) -> anyhow::Result<BTreeMap<String, Vec<u8>>> {
    let (mut files, mut folders) = (BTreeMap::new(), vec![folder.to_owned()]);
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next)? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder)?.display().to_string();
                files.insert(name, std::fs::read(&path)?);
            }
        }
    }
    Ok(files)
}

pub(super) fn services(project: &Value) -> impl Iterator<Item = (&String, &Value)> {
    project["services"].as_object().into_iter().flatten()
}

/// The names of the networks of a service.
pub(super) fn networks(service: &Value) -> Vec<&str> {
    let named = service["networks"].as_object();
    named
        .into_iter()
        .flatten()
        .map(|(name, _)| name.as_str())
        .collect()
}

/// What a network namespace would not show, or would show late.
fn faults(project: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, service) in services(project) {
        faults.extend(of_any_service(name, service));
        let networks = networks(service);
        let is_door = networks.contains(&"edge") || service["ports"].is_array();
        if is_door != (name == "traefik") {
            faults.push(format!("{name}: clients reach Traefik and nobody else"));
        }
        if networks.contains(&"cluster")
            == (name == "traefik" || name == "authelia" || name == "redis")
        {
            faults.push(format!("{name}: wrong about the network of Elasticsearch"));
        }
        let brings_its_own = name == "authelia";
        let ends = name == "cluster-setup";
        if service["healthcheck"]["test"].is_array() == (brings_its_own || ends) {
            faults.push(format!("{name}: no health check, or one too many"));
        }
    }
    faults.extend(of_networks(project));
    faults
}

/// What no service of any of our files does.
pub(super) fn of_any_service(name: &str, service: &Value) -> Vec<String> {
    let mut faults = Vec::new();
    let image = service["image"].as_str().unwrap_or_default();
    if !image.contains(':') || image.ends_with(":latest") {
        faults.push(format!("{name}: no version of the image"));
    }
    if service["privileged"] == true || service["network_mode"].is_string() {
        faults.push(format!("{name}: more rights than it needs"));
    }
    let writable = service["volumes"].as_array().into_iter().flatten();
    let writable = writable.filter(|one| one["type"] == "bind" && one["read_only"] != true);
    for mount in writable {
        faults.push(format!("{name}: may write {}", mount["source"]));
    }
    faults
}

pub(super) fn of_networks(project: &Value) -> Vec<String> {
    let networks = project["networks"].as_object().into_iter().flatten();
    let wrong =
        networks.filter(|(name, network)| (network["internal"] == true) == (*name == "edge"));
    wrong
        .map(|(name, _)| format!("the network {name}: only `edge` leads out"))
        .collect()
}

/// The services in an order in which each comes after those that it depends on.
pub(super) fn in_order(project: &Value) -> anyhow::Result<Vec<(&String, &Value)>> {
    let mut left: Vec<(&String, &Value)> = services(project).collect();
    let mut ordered: Vec<(&String, &Value)> = Vec::new();
    while !left.is_empty() {
        let is_next = |(_, service): &(&String, &Value)| {
            let needed = service["depends_on"].as_object().into_iter().flatten();
            needed
                .map(|(name, _)| name)
                .all(|name| ordered.iter().any(|(done, _)| *done == name))
        };
        let at = left
            .iter()
            .position(is_next)
            .context("services depend on each other in a circle")?;
        let next = left.remove(at);
        ordered.push(next);
    }
    Ok(ordered)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn good() -> Value {
        let check = json!({"test": ["CMD", "true"]});
        json!({
            "services": {
                "traefik": {
                    "image": "traefik:v3", "networks": {"edge": null, "auth": null},
                    "ports": [{}], "healthcheck": check,
                    "depends_on": {"elasticsearch": {}},
                },
                "elasticsearch": {
                    "image": "elasticsearch:9", "networks": {"cluster": null},
                    "healthcheck": check,
                    "volumes": [{"type": "bind", "read_only": true}, {"type": "volume"}],
                },
            },
            "networks": {"edge": {}, "auth": {"internal": true}, "cluster": {"internal": true}},
        })
    }

    #[test]
    fn each_broken_project_is_found() {
        assert_eq!(faults(&good()), Vec::<String>::new());
        let elasticsearch = "/services/elasticsearch";
        for (path, key, value, expected) in [
            ("/services/traefik", "ports", Value::Null, ""),
            (elasticsearch, "ports", json!([{}]), "nobody else"),
            (
                "/services/traefik/networks",
                "cluster",
                Value::Null,
                "wrong about",
            ),
            (
                elasticsearch,
                "networks",
                json!({"auth": null}),
                "wrong about",
            ),
            (
                elasticsearch,
                "image",
                json!("elasticsearch:latest"),
                "no version",
            ),
            (elasticsearch, "healthcheck", Value::Null, "no health check"),
            (elasticsearch, "privileged", json!(true), "more rights"),
            (
                elasticsearch,
                "volumes",
                json!([{"type": "bind"}]),
                "may write",
            ),
            (
                "/networks/auth",
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
            // Traefik has its door by its network as well.
            let as_expected = found.iter().any(|fault| fault.contains(expected));
            assert_eq!(as_expected, !expected.is_empty(), "{path}/{key}: {found:?}");
        }
    }

    #[test]
    fn services_come_after_what_they_depend_on() {
        let project = good();
        let ordered = in_order(&project).unwrap();
        assert_eq!(ordered[1].0, "traefik");
        let circle = json!({"services": {"a": {"depends_on": {"a": {}}}}});
        assert!(in_order(&circle).is_err());
    }
}
