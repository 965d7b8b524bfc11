//! The chart: it renders for each set of values in its folder `ci`, to objects that Kubernetes
//! takes and that keep our rules, with a configuration that elastauth accepts; and it refuses what
//! it must not render.

use super::{guide, policy, tools};
use crate::shell;
use anyhow::{Context, bail};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// The schemas that the objects are held to are of this version.
const KUBERNETES: &str = "--kube-version=1.37.0";

/// Values on top of `ci/gateway-keys.yaml` that must not render, and what the message says.
const REFUSED: &[(&[&str], &str)] = &[
    (&["secrets.existing="], "kubectl create secret generic"),
    (
        &["secrets.existing=", "config.auth_provider={authelia,oidc}"],
        "with 2 providers it needs a common secret_key",
    ),
    (&["secrets.keys.secret_key="], "name the key of the Secret"),
    (&["gateways.keys="], "no way to know a gateway"),
    (
        &["gateways.clientCa.secret=gateways-ca"],
        "needs tls.secret",
    ),
    (
        &["gateways.clientCa.names={traefik}"],
        "counts only with gateways.clientCa.secret",
    ),
    (&["gateways.peers={0.0.0.0/0}"], "which is everybody"),
    (&["gateways.peers={gateways}"], "/gateways/peers/0"),
    (&["config.listen=:80"], "use service.port instead"),
    (
        &["config.listeners[0].address=:80"],
        "config.listeners is set by the chart",
    ),
    (&["config.tls.cert=x"], "use tls.secret instead"),
    (
        &["config.trusted_proxies={10.0.0.0/8}"],
        "use gateways.peers instead",
    ),
    (
        &["config.secret_key=x"],
        "config.secret_key is a secret, and config is readable",
    ),
    (
        &["config.elasticsearch.password=x"],
        "\"elasticsearch.password\": <key of the Secret>",
    ),
    (
        &["config.redis.url=rediss://elastauth:secret@redis:6379"],
        "config.redis.url has a password",
    ),
    (&["config.cache.type=file"], "no disk of their own"),
    (&["ca.secret=x"], "use one"),
    (&["serviceMonitor.enabled=true"], "needs metrics.enabled"),
    (
        &["networkPolicy.gateways=null"],
        "networkPolicy.gateways is empty, which is everybody",
    ),
    (
        &["traefik.autheliaMiddleware="],
        "nobody would say who the user is",
    ),
    (
        &["traefik.gatewayKeyMiddleware="],
        "sets X-Elastauth-Key and name it",
    ),
    (
        &[
            "gateways.clientCa.secret=gateways-ca",
            "tls.secret=elastauth-tls",
        ],
        "traefik.clientCertSecret is not set",
    ),
    (&["gatewayApi.enabled=true"], "Name your Gateway"),
    (
        &["gatewayApi.enabled=true", "gatewayApi.auth=external"],
        "nothing would remove the client's own Remote-User",
    ),
    (
        &["shutdown.delaySeconds=10", "shutdown.graceSeconds=30"],
        "The end takes up to 31 s",
    ),
    (
        &["config.proxy.enabled=true", "shutdown.graceSeconds=40"],
        "The end takes up to 41 s",
    ),
    (
        &["shutdown.timeoutSeconds=120", "shutdown.graceSeconds=130"],
        "The end takes up to 131 s",
    ),
    (
        &["config.shutdown.delay=5s"],
        "use shutdown.delaySeconds and shutdown.timeoutSeconds instead",
    ),
    (&["replicas=zero"], "want integer"),
    (&["replica=3"], "additional properties 'replica'"),
    (&["reload=never"], "/reload"),
];

pub(super) fn check() -> anyhow::Result<()> {
    let mut seen = 0;
    for values in value_files()? {
        let name = values.file_stem().unwrap_or_default().to_string_lossy();
        check_values(&values, &name).with_context(|| format!("the chart with {name}"))?;
        seen += 1;
    }
    if seen < 5 {
        bail!("only {seen} sets of values below {}", folder().display());
    }
    for (values, expected) in REFUSED {
        refuses(values, expected)?;
    }
    println!(
        "chart: {seen} sets of values render, {} are refused",
        REFUSED.len()
    );
    Ok(())
}

fn folder() -> PathBuf {
    shell::root().join("deploy/helm/elastauth")
}

fn value_files() -> anyhow::Result<Vec<PathBuf>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder().join("ci"))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .collect();
    files.sort();
    files.push(shell::root().join("docs/gateways/envoy-gateway/values.yaml"));
    Ok(files)
}

/// Everything that is to be true of one set of values.
pub(super) fn check_values(values: &Path, name: &str) -> anyhow::Result<()> {
    let (chart, values) = (folder(), values.to_string_lossy());
    let chart = chart.to_string_lossy();
    let lint = ["lint", "--strict", KUBERNETES, &chart, "--values", &values];
    tools::output_of(&mut tools::helm(&lint), "")?;
    let yaml = tools::output_of(&mut render(&["--values", &values]), "")?;
    tools::hold_to_schema(&yaml)?;
    let objects = tools::values(&yaml)?;
    let faults = policy::faults(&objects);
    if !faults.is_empty() {
        bail!("against our rules:\n{}", faults.join("\n"));
    }
    guide::says_the_same(&objects)?;
    check_configuration(&objects, name)
}

pub(super) fn render(arguments: &[&str]) -> std::process::Command {
    let chart = folder();
    let chart = chart.to_string_lossy();
    let mut helm = tools::helm(&["template", "auth", &chart, "--namespace=sso", KUBERNETES]);
    helm.args(arguments);
    helm
}

fn refuses(values: &[&str], expected: &str) -> anyhow::Result<()> {
    let usual = folder().join("ci/gateway-keys.yaml");
    let usual = usual.to_string_lossy();
    let mut helm = render(&["--values", &usual]);
    for value in values {
        helm.args(["--set", value]);
    }
    let output = helm.output()?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() {
        bail!("the chart renders with {values:?}");
    }
    if !said.contains(expected) {
        bail!("the chart refuses {values:?} and does not say {expected:?}:\n{said}");
    }
    Ok(())
}

/// The real program reads what a pod would have, with secrets and certificates of a test.
fn check_configuration(objects: &[Value], name: &str) -> anyhow::Result<()> {
    const MOUNTED: &str = "/etc/elastauth";
    let home = tools::fresh_folder(&format!("chart-{name}"))?;
    let here = home.to_string_lossy().into_owned();
    let find = |kind: &str| {
        let found = objects.iter().find(|object| object["kind"] == kind);
        found.with_context(|| format!("no {kind} is rendered"))
    };
    let text = find("ConfigMap")?["data"]["config.yml"]
        .as_str()
        .context("no config.yml in the ConfigMap")?;
    tools::write(
        &home.join("config/config.yml"),
        &text.replace(MOUNTED, &here),
    )?;
    private(&home.join("config/config.yml"))?;
    let certificate = home.join("made.crt");
    let key = home.join("made.key");
    tools::output_of(
        shell::command("openssl", &["req", "-x509", "-newkey", "ed25519", "-nodes"])
            .args(["-days", "1", "-subj", "/CN=elastauth", "-keyout"])
            .arg(&key)
            .arg("-out")
            .arg(&certificate),
        "",
    )?;
    for named in text
        .split([' ', '"', '\n'])
        .filter(|word| word.starts_with(MOUNTED))
    {
        let from = if named.ends_with("tls.key") {
            &key
        } else {
            &certificate
        };
        let to = PathBuf::from(named.replace(MOUNTED, &here));
        tools::write(&to, &std::fs::read_to_string(from)?)?;
        private(&to)?;
    }

    let mut elastauth = std::process::Command::new(tools::elastauth());
    elastauth
        .args(["check", "--strict", "--json", "--config"])
        .arg(home.join("config/config.yml"))
        .env_clear();
    let variables = &find("Deployment")?["spec"]["template"]["spec"]["containers"][0]["env"];
    for variable in variables.as_array().into_iter().flatten() {
        let (Some(name), Some(value)) = (variable["name"].as_str(), variable["value"].as_str())
        else {
            bail!("a variable has no plain value: {variable}");
        };
        if name.ends_with("_FILE") {
            let to = PathBuf::from(value.replace(MOUNTED, &here));
            tools::write(
                &to,
                "0a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9\n",
            )?;
            private(&to)?;
        }
        elastauth.env(name, value.replace(MOUNTED, &here));
    }
    let told: Value = serde_json::from_str(&tools::output_of(&mut elastauth, "")?)?;
    let warnings = told["warnings"].as_array().context("no list of warnings")?;
    if told["ok"] != true || !warnings.is_empty() {
        bail!("`elastauth check` says of the rendered configuration: {told:#}");
    }
    let _ = std::fs::remove_dir_all(home);
    Ok(())
}

fn private(path: &Path) -> anyhow::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    Ok(())
}
