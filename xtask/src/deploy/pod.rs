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

/// Traefik shows it a key.
pub(super) const POD: &str = "pod";
/// Gateways show it a client certificate, so its probes ask the port of operators.
pub(super) const WITH_CLIENT_CA: &str = "pod-client-ca";

/// Where the cluster and Redis are here.
const HERE: [&str; 4] = [
    "config.elasticsearch.hosts={https://elasticsearch:9200}",
    "config.elasticsearch.tls.ca_cert=/etc/elastauth/ca/elasticsearch.crt",
    "config.cache.redis_username=elastauth",
    "ca.configMap=search-ca",
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
    let redis = "config.redis.url=rediss://redis:6379";
    runs(hosts, home, secrets, POD, "gateway-keys", &[redis])?;
    let key = std::fs::read_to_string(secrets.join("values/gateway_key"))?;
    let key = format!("X-Elastauth-Key: {}", key.trim());
    let granted = ask(hosts, POD, "http", &["--header", &key])?.to_ascii_lowercase();
    let took = begun.elapsed();
    if !granted.contains("http/1.1 200") || !granted.contains("authorization: basic ") {
        bail!("the pod gives no login: {granted}\n{}", hosts.log(POD));
    }
    let refused = ask(hosts, POD, "http", &[])?;
    if !refused.contains("HTTP/1.1 403") {
        bail!("the pod answers without a gateway key: {refused}");
    }

    runs(hosts, home, secrets, WITH_CLIENT_CA, "client-ca", &[])?;
    if let Ok(answered) = ask(hosts, WITH_CLIENT_CA, "https", &["--insecure"]) {
        bail!("the pod answers without a client certificate: {answered}");
    }
    println!(
        "chart: two pods' probes succeed; from rendering to the first login {:.1} s",
        took.as_secs_f64()
    );
    Ok(())
}

/// Starts what a pod with these values runs, and waits for its probes.
fn runs(
    hosts: &mut Hosts,
    home: &Path,
    secrets: &Path,
    pod: &str,
    values: &str,
    here: &[&str],
) -> anyhow::Result<()> {
    let values = shell::root().join(format!("deploy/helm/elastauth/ci/{values}.yaml"));
    let values = values.to_string_lossy();
    let mut arguments = vec!["--values", &values];
    arguments.extend(HERE.iter().chain(here).flat_map(|value| ["--set", value]));
    let yaml = tools::output_of(&mut chart::render(&arguments), "")?;
    let objects = tools::values(&yaml)?;
    let find = |kind: &str| {
        let found = objects.iter().find(|object| object["kind"] == kind);
        found.with_context(|| format!("no {kind} is rendered"))
    };
    let container = &find("Deployment")?["spec"]["template"]["spec"]["containers"][0];

    let mounted = home.join(format!("{pod}-mounts"));
    let text = find("ConfigMap")?["data"]["config.yml"].as_str();
    tools::write(
        &mounted.join("config/config.yml"),
        text.context("no config.yml")?,
    )?;
    let copies = [
        ("ca.crt", "ca/elasticsearch.crt"),
        ("ca.crt", "ca/redis.crt"),
        ("ca.crt", "client-ca/ca.crt"),
        ("elastauth/tls.crt", "tls/tls.crt"),
        ("elastauth/tls.key", "tls/tls.key"),
    ];
    let copies = copies.map(|(from, to)| (from.to_owned(), to.to_owned()));
    let values = SECRETS.map(|(key, value)| (format!("values/{value}"), format!("secrets/{key}")));
    for (from, to) in copies.into_iter().chain(values) {
        let content = std::fs::read_to_string(secrets.join(from))?;
        tools::write(&mounted.join(to), &content)?;
    }

    let program = program(container, &mounted)?;
    hosts.start(pod, &program)?;
    for probe in ["startupProbe", "livenessProbe", "readinessProbe"] {
        let asked = &container[probe]["httpGet"];
        let path = asked["path"].as_str().context("a probe without a path")?;
        let port = port(container, &asked["port"])?;
        let scheme = asked["scheme"].as_str().context("no scheme")?;
        let scheme = scheme.to_ascii_lowercase();
        let url = format!("{scheme}://localhost:{port}{path}");
        let check = format!("curl --silent --insecure --fail --output /dev/null {url}");
        hosts.healthy(pod, &program, &check)?;
    }
    Ok(())
}

/// As Traefik asks, from where Traefik is.
fn ask(hosts: &Hosts, pod: &str, scheme: &str, further: &[&str]) -> anyhow::Result<String> {
    let addresses = &hosts.host(pod)?.addresses;
    let address = addresses.iter().find(|(network, _)| network == "auth");
    let (_, address) = address.context("the pod is not on the network `auth`")?;
    let url = format!("{scheme}://{address}:5000/elastauth/forward-auth");
    let user = ["Remote-User: bob", "Remote-Groups: search-readers"];
    let mut command = vec!["curl", "--silent", "--show-error", "--include"];
    command.extend(["--max-time", "20"]);
    command.extend(user.iter().flat_map(|header| ["--header", header]));
    command.extend(further);
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
