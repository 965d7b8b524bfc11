//! What a pod of the chart would run: the rendered configuration, variables and mounts, in a
//! namespace beside the cluster of the compose file. Its probes succeed, and it gives a login.

use super::{
    chart,
    hosts::{Hosts, Program},
    tools,
};
use crate::shell;
use anyhow::{Context, bail};
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

pub(super) const POD: &str = "pod";

/// Names of the values of ci/gateway-keys.yaml that are other ones here.
const HERE: [&str; 3] = [
    "config.elasticsearch.hosts={https://elasticsearch:9200}",
    "config.redis.url=rediss://redis:6379",
    "config.cache.redis_username=elastauth",
];

/// Keys of the Secret, and which values of the compose file they are.
const SECRETS: [(&str, &str); 4] = [
    ("secret_key", "secret_key"),
    ("gateway_keys", "gateway_key"),
    ("elasticsearch_password", "elastauth_password"),
    ("redis_password", "redis_password"),
];

pub(super) fn check(hosts: &mut Hosts, home: &Path, secrets: &Path) -> anyhow::Result<()> {
    let begun = now();
    let values = shell::root().join("deploy/helm/elastauth/ci/gateway-keys.yaml");
    let values = values.to_string_lossy();
    let mut arguments = vec!["--values", &values];
    arguments.extend(HERE.iter().flat_map(|value| ["--set", value]));
    let yaml = tools::output_of(&mut chart::render(&arguments), "")?;
    let objects = tools::values(&yaml)?;
    let find = |kind: &str| {
        let found = objects.iter().find(|object| object["kind"] == kind);
        found.with_context(|| format!("no {kind} is rendered"))
    };
    let container = &find("Deployment")?["spec"]["template"]["spec"]["containers"][0];

    let home = home.join("mounted");
    let text = find("ConfigMap")?["data"]["config.yml"].as_str();
    tools::write(
        &home.join("config/config.yml"),
        text.context("no config.yml")?,
    )?;
    for (key, value) in SECRETS {
        let value = std::fs::read_to_string(secrets.join("values").join(value))?;
        tools::write(&home.join("secrets").join(key), &value)?;
    }
    let authority = std::fs::read_to_string(secrets.join("ca.crt"))?;
    for name in ["elasticsearch.crt", "redis.crt"] {
        tools::write(&home.join("ca").join(name), &authority)?;
    }

    let program = program(container, &home)?;
    hosts.start(POD, &program)?;
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asked = &container[probe]["httpGet"];
        let path = asked["path"].as_str().context("a probe without a path")?;
        let port = port(container, &asked["port"])?;
        let check =
            format!("curl --silent --fail --output /dev/null http://localhost:{port}{path}");
        hosts.healthy(POD, &program, &check)?;
    }
    let key = std::fs::read_to_string(secrets.join("values/gateway_key"))?;
    let key = format!("X-Elastauth-Key: {}", key.trim());
    let granted = ask(hosts, Some(&key))?;
    let took = begun.elapsed();
    if !granted.contains("HTTP/1.1 200")
        || !granted
            .to_ascii_lowercase()
            .contains("authorization: basic ")
    {
        bail!("the pod gives no login: {granted}\n{}", hosts.log(POD));
    }
    let refused = ask(hosts, None)?;
    if !refused.contains("HTTP/1.1 403") {
        bail!("the pod answers without a gateway key: {refused}");
    }
    println!(
        "chart: a pod's probes succeed; from rendering to its first login {:.1} s",
        took.as_secs_f64()
    );
    Ok(())
}

/// As Traefik asks, from where Traefik is.
fn ask(hosts: &Hosts, key: Option<&str>) -> anyhow::Result<String> {
    let pod = &hosts.host(POD)?.addresses;
    let pod = pod.iter().find(|(network, _)| network == "auth");
    let (_, address) = pod.context("the pod is not on the network `auth`")?;
    let url = format!("http://{address}:5000/elastauth/forward-auth");
    let mut command = vec![
        "curl",
        "--silent",
        "--show-error",
        "--include",
        "--max-time",
        "20",
    ];
    command.extend([
        "--header",
        "Remote-User: bob",
        "--header",
        "Remote-Groups: search-readers",
    ]);
    command.extend(key.iter().flat_map(|key| ["--header", key]));
    command.push(&url);
    hosts.run_in("traefik", &command)
}

fn program(container: &Value, home: &Path) -> anyhow::Result<Program> {
    let image = "/usr/bin/elastauth";
    let mut program = Program {
        command: vec![image.to_owned()],
        mounts: vec![(Some(tools::elastauth()), image.to_owned())],
        user: Some(65_532),
        read_only: container["securityContext"]["readOnlyRootFilesystem"] == true,
        ..Program::default()
    };
    let arguments = container["args"].as_array().into_iter().flatten();
    program
        .command
        .extend(arguments.filter_map(|one| one.as_str().map(str::to_owned)));
    for variable in container["env"].as_array().into_iter().flatten() {
        let [name, value] = ["name", "value"].map(|key| variable[key].as_str().unwrap_or_default());
        program
            .environment
            .push((name.to_owned(), value.to_owned()));
    }
    for mount in container["volumeMounts"].as_array().into_iter().flatten() {
        let (name, path) = (mount["name"].as_str(), mount["mountPath"].as_str());
        let (name, path) = name.zip(path).context("a mount without name or path")?;
        program
            .mounts
            .push((Some(home.join(name)), path.to_owned()));
    }
    Ok(program)
}

/// The number of a port that is given by its name.
fn port<'c>(container: &'c Value, name: &Value) -> anyhow::Result<&'c Value> {
    let mut ports = container["ports"].as_array().into_iter().flatten();
    let found = ports.find(|port| port["name"] == *name);
    found
        .map(|port| &port["containerPort"])
        .with_context(|| format!("no port {name}"))
}

#[expect(
    clippy::disallowed_methods,
    reason = "the ban is for the program, which is tested with a set clock; this only times a chore"
)]
fn now() -> Instant {
    Instant::now()
}
