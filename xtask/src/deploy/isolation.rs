//! What the compose file describes, running: real Traefik, elastauth, Redis and Elasticsearch with
//! the files that it mounts, at the names and paths that it gives them. Authelia and Kibana are
//! stand-ins. Then: who gets in, who is who, and who can reach whom.

use super::{
    compose,
    hosts::{Host, Hosts, Program},
    pod, tools,
};
use crate::shell;
use anyhow::{Context, bail};
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Where each service listens.
const PORTS: &[(&str, u16)] = &[
    ("traefik", 443),
    ("authelia", 9091),
    ("elastauth", 5000),
    ("redis", 6379),
    ("elasticsearch", 9200),
    ("kibana", 5601),
];

const CLIENT: &str = "client";

pub(super) fn check(home: &Path, secrets: &Path, project: &Value) -> anyhow::Result<()> {
    let mut hosts = lay_out(home, project)?;
    for (name, service) in compose::in_order(project)? {
        start(&mut hosts, name, service)?;
    }
    let door = door(&hosts)?;
    // Clients of the network that can ask for every address, and know the way.
    hosts.run_in(CLIENT, &["ip", "route", "add", "default", "via", &door])?;
    let authority = secrets.join("ca.crt").display().to_string();
    let client = Client::new(&hosts, &door, &authority);
    client.wait_for_traefik()?;
    client.signs_in()?;
    reaches_what_it_may(&hosts)?;
    hosts.kill("elastauth-1");
    Client::new(&hosts, &door, &authority).is_alice("with one elastauth of two")?;
    println!(
        "compose: it runs; clients reach Traefik alone, and Traefik does not reach the cluster"
    );
    pod::check(&mut hosts, home, secrets)
}

/// A host for each replica of each service, and one for the client.
fn lay_out(home: &Path, project: &Value) -> anyhow::Result<Hosts> {
    let networks: Vec<String> = project["networks"]
        .as_object()
        .context("no networks")?
        .keys()
        .cloned()
        .collect();
    // The address of the compose file where it gives one, else the next one.
    let subnet = |network: &str| {
        let given = project["networks"][network]["ipam"]["config"][0]["subnet"].as_str();
        let place = networks.iter().position(|one| one == network).unwrap_or(0);
        let given = given
            .and_then(|given| given.strip_suffix(".0/24"))
            .map(str::to_owned);
        given.unwrap_or_else(|| format!("172.28.{place}"))
    };
    let mut wanted = Vec::new();
    let mut last = 20;
    for (name, service) in compose::in_order(project)? {
        let replicas = service["deploy"]["replicas"].as_u64().unwrap_or(1);
        for replica in 1..=replicas {
            let host = if replicas == 1 {
                name.clone()
            } else {
                format!("{name}-{replica}")
            };
            last += 1;
            let addresses = compose::networks(service)
                .into_iter()
                .map(|network| {
                    let fixed = service["networks"][network]["ipv4_address"].as_str();
                    let next = format!("{}.{last}", subnet(network));
                    (network.to_owned(), fixed.map_or(next, str::to_owned))
                })
                .collect();
            wanted.push(Host::new(&host, name, addresses));
        }
    }
    // Where pods of the chart would be.
    for (pod, end) in [(pod::POD, 201), (pod::WITH_CLIENT_CA, 202)] {
        let inside = ["auth", "cluster", "store"];
        let inside = inside.map(|one| (one.to_owned(), format!("{}.{end}", subnet(one))));
        wanted.push(Host::new(pod, pod, inside.to_vec()));
    }
    let outside = vec![("edge".to_owned(), format!("{}.200", subnet("edge")))];
    wanted.push(Host::new(CLIENT, CLIENT, outside));
    Hosts::new(home.to_owned(), &networks, wanted)
}

fn start(hosts: &mut Hosts, name: &str, service: &Value) -> anyhow::Result<()> {
    let program = program(name, service)?;
    let replicas: Vec<String> = hosts
        .all
        .iter()
        .filter(|host| host.service == name)
        .map(|host| host.name.clone())
        .collect();
    for replica in &replicas {
        hosts.start(replica, &program)?;
    }
    if name == "cluster-setup" {
        return hosts.finish(name);
    }
    // The images of the first two have tools for it that this machine has not, or are stand-ins.
    if matches!(name, "traefik" | "kibana") {
        return Ok(());
    }
    if let Some(check) = health_check(&service["healthcheck"]["test"]) {
        for replica in &replicas {
            hosts.healthy(replica, &program, &check)?;
        }
    }
    if name == "elastauth" {
        let check = "/usr/bin/elastauth check --strict --config /etc/elastauth/config.yml";
        for replica in &replicas {
            hosts.output(replica, &program, check)?;
        }
    }
    Ok(())
}

/// As a line for a shell.
fn health_check(test: &Value) -> Option<String> {
    let words: Vec<&str> = test.as_array()?.iter().filter_map(Value::as_str).collect();
    match words.as_slice() {
        ["CMD-SHELL", line] => Some((*line).to_owned()),
        ["CMD", words @ ..] => Some(words.join(" ")),
        _ => None,
    }
}

/// What the image of a service would run, with the mounts and variables of the compose file.
fn program(name: &str, service: &Value) -> anyhow::Result<Program> {
    let texts = |value: &Value| -> Vec<String> {
        let items = value.as_array().into_iter().flatten();
        items
            .filter_map(|one| one.as_str().map(str::to_owned))
            .collect()
    };
    let parts = shell::root().join("target/parts");
    let part = |path: &str| parts.join(path).display().to_string();
    let here = |path: &str| shell::root().join(path).display().to_string();
    let mut program = Program {
        command: [texts(&service["entrypoint"]), texts(&service["command"])].concat(),
        read_only: service["read_only"] == true,
        ..Program::default()
    };
    for (key, value) in service["environment"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default();
        program.environment.push((key.clone(), value.to_owned()));
    }
    for mount in service["volumes"].as_array().into_iter().flatten() {
        let target = mount["target"]
            .as_str()
            .context("a mount without a target")?;
        let source = (mount["type"] == "bind")
            .then(|| mount["source"].as_str())
            .flatten();
        program
            .mounts
            .push((source.map(PathBuf::from), target.to_owned()));
    }
    match name {
        "traefik" => program.command = vec![part("traefik")],
        "authelia" | "kibana" => {
            let script = here("xtask/src/deploy/stand_in.py");
            program.command = vec![part("deploy/python/bin/python"), script, name.to_owned()];
        }
        "elastauth" => {
            let image = "/usr/bin/elastauth";
            program
                .mounts
                .push((Some(tools::elastauth()), image.to_owned()));
            program.command.insert(0, image.to_owned());
            program.user = Some(65_532);
        }
        "elasticsearch" => {
            let settings = program.environment.iter();
            let tls = settings.filter(|(key, _)| key.starts_with("xpack.security.http.ssl."));
            let tls: Vec<String> = tls.map(|(key, value)| format!("{key}={value}")).collect();
            program.command = vec![
                "bash".to_owned(),
                here("tests/kits/elasticsearch/run.sh"),
                part("elasticsearch"),
                "/usr/share/elasticsearch".to_owned(),
                "network.host=0.0.0.0".to_owned(),
                "http.port=9200".to_owned(),
            ];
            program.command.extend(tls);
            // A shell has no variables with dots in their names.
            program.environment.retain(|(key, _)| !key.contains('.'));
            program
                .environment
                .push(("JAVA".to_owned(), part("java/bin/java")));
            program
                .environment
                .push(("ES_JIT_LEVEL".to_owned(), "1".to_owned()));
        }
        _ => {}
    }
    Ok(program)
}

fn door(hosts: &Hosts) -> anyhow::Result<String> {
    let addresses = &hosts.host("traefik")?.addresses;
    let edge = addresses.iter().find(|(network, _)| network == "edge");
    edge.map(|(_, address)| address.clone())
        .context("Traefik is not on the network `edge`")
}

/// Who is where, as `service address:port`.
fn places(hosts: &Hosts) -> Vec<(&str, String)> {
    let mut places = Vec::new();
    for host in &hosts.all {
        for (_, port) in PORTS.iter().filter(|(service, _)| *service == host.service) {
            for (_, address) in &host.addresses {
                places.push((host.service.as_str(), format!("{address}:{port}")));
            }
        }
    }
    places
}

fn reaches_what_it_may(hosts: &Hosts) -> anyhow::Result<()> {
    let python = tools::part()
        .join("python/bin/python")
        .display()
        .to_string();
    let script = shell::root()
        .join("xtask/src/deploy/reach.py")
        .display()
        .to_string();
    let places = places(hosts);
    for (from, allowed) in [
        (CLIENT, &["traefik"][..]),
        ("traefik", &["traefik", "authelia", "elastauth", "kibana"]),
        ("authelia", &["traefik", "authelia", "elastauth"]),
        ("redis", &["redis", "elastauth"]),
        ("elasticsearch", &["elasticsearch", "elastauth", "kibana"]),
        (
            "elastauth-2",
            &[
                "traefik",
                "authelia",
                "elastauth",
                "redis",
                "elasticsearch",
                "kibana",
            ],
        ),
    ] {
        let mut command = vec![python.as_str(), &script];
        command.extend(places.iter().map(|(_, place)| place.as_str()));
        let reached = hosts.run_in(from, &command)?;
        let reached: BTreeSet<&str> = reached.lines().collect();
        let services: BTreeSet<&str> = places
            .iter()
            .filter(|(_, place)| reached.contains(place.as_str()))
            .map(|(service, _)| *service)
            .collect();
        if services != allowed.iter().copied().collect() {
            bail!("{from} reaches {services:?} at {reached:?}; it should reach {allowed:?}");
        }
    }
    Ok(())
}

/// A person outside, with curl.
struct Client<'h> {
    hosts: &'h Hosts,
    door: &'h str,
    authority: &'h str,
}

impl<'h> Client<'h> {
    fn new(hosts: &'h Hosts, door: &'h str, authority: &'h str) -> Self {
        Self {
            hosts,
            door,
            authority,
        }
    }

    /// Status, the place to go to and body.
    fn ask(&self, host: &str, arguments: &[&str]) -> anyhow::Result<(String, String)> {
        let (url, resolve) = (
            format!("https://{host}/"),
            format!("{host}:443:{}", self.door),
        );
        let mut command = vec!["curl", "--silent", "--show-error", "--max-time", "20"];
        command.extend(["--cacert", self.authority, "--resolve", &resolve]);
        command.extend(["--write-out", "\n%{http_code} %{redirect_url}"]);
        command.extend(arguments);
        command.push(&url);
        let told = self.hosts.run_in(CLIENT, &command)?;
        let (body, status) = told.rsplit_once('\n').context("curl said nothing")?;
        Ok((status.trim().to_owned(), body.to_owned()))
    }

    fn wait_for_traefik(&self) -> anyhow::Result<()> {
        let waiting = format!(
            "until curl --silent --fail --output /dev/null --cacert {} \
             --resolve auth.example.org:443:{} https://auth.example.org/; do sleep 0.1; done",
            self.authority, self.door
        );
        let waited = self
            .hosts
            .run_in(CLIENT, &["timeout", "60", "sh", "-c", &waiting]);
        waited
            .with_context(|| format!("Traefik does not answer:\n{}", self.hosts.log("traefik")))?;
        Ok(())
    }

    fn is_alice(&self, when: &str) -> anyhow::Result<()> {
        let session = "Cookie: authelia_session=alice:search-readers";
        let (status, body) = self.ask("kibana.example.org", &["--header", session])?;
        let whoami: Value = serde_json::from_str(&body).unwrap_or_default();
        if status != "200"
            || whoami["username"] != "alice"
            || whoami["roles"] != serde_json::json!(["viewer"])
        {
            let logs = ["traefik", "elastauth-1", "elastauth-2"].map(|name| self.hosts.log(name));
            bail!(
                "{when}, alice gets {status} {body}\n{}",
                logs.join("\n---\n")
            );
        }
        Ok(())
    }

    fn signs_in(&self) -> anyhow::Result<()> {
        self.is_alice("signed in")?;
        for forged in [
            &[][..],
            &[
                "--header",
                "Remote-User: elastic",
                "--header",
                "Remote-Groups: search-admins",
            ],
        ] {
            let (status, body) = self.ask("kibana.example.org", forged)?;
            if status != "302 https://auth.example.org/" {
                bail!("without a session and with {forged:?} the answer is {status} {body}");
            }
        }
        // The guide's file has a route to it; here it leads nowhere.
        let session = "Cookie: authelia_session=alice:search-readers";
        let (status, body) = self.ask("elasticsearch.example.org", &["--header", session])?;
        if !status.starts_with('5') {
            bail!("Traefik reaches Elasticsearch: {status} {body}");
        }
        for replica in ["elastauth-1", "elastauth-2"] {
            if self.hosts.log(replica).contains("ERROR") {
                bail!("{replica} is in trouble:\n{}", self.hosts.log(replica));
            }
        }
        Ok(())
    }
}
