//! What `cargo xtask deploy` checks the files below deploy/ with: Helm, the published schemas of
//! Kubernetes, of Gateway API and of Envoy Gateway, and the loader of Docker Compose.

use crate::shell;
use anyhow::Context;
use std::path::{Path, PathBuf};

const HELM: &str = "helm.sh/helm/v3/cmd/helm@v3.22.0";

/// Has the schemas of Kubernetes inside, and brings `PyYAML` and `jsonschema`.
const VALIDATOR: &str = "kubernetes-validate==1.37.0";

/// Go modules, and the schemas in them.
const MODULES: &[(&str, &[&str])] = &[
    (
        "sigs.k8s.io/gateway-api@v1.4.0",
        &[
            "config/crd/experimental/gateway.networking.k8s.io_httproutes.yaml",
            "config/crd/experimental/gateway.networking.k8s.io_backendtlspolicies.yaml",
            "config/crd/experimental/gateway.networking.k8s.io_gatewayclasses.yaml",
            "config/crd/experimental/gateway.networking.k8s.io_gateways.yaml",
        ],
    ),
    (
        "github.com/envoyproxy/gateway@v1.9.0",
        &[
            "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_clienttrafficpolicies.yaml",
            "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_envoyproxies.yaml",
            "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_httproutefilters.yaml",
            "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_securitypolicies.yaml",
        ],
    ),
];

/// A new version above makes the part again.
pub(super) fn sources() -> Vec<PathBuf> {
    let loader = ["main.go", "go.mod", "go.sum"].map(|file| loader().join(file));
    let own = shell::root().join("xtask/src/parts/deploy.rs");
    [vec![own], loader.to_vec()].concat()
}

/// A program around the loader of Docker Compose.
fn loader() -> PathBuf {
    shell::root().join("tests/kits/compose")
}

pub(super) fn make(parts: &Path, downloads: &Path) -> anyhow::Result<()> {
    let home = parts.join("deploy");
    let _ = std::fs::remove_dir_all(&home);
    let schemas = home.join("schemas");
    std::fs::create_dir_all(&schemas)?;

    let python = home.join("python");
    shell::run(&mut shell::command(
        "python3",
        &["-m", "venv", &python.to_string_lossy()],
    ))?;
    shell::run(&mut shell::command(
        &python.join("bin/pip").to_string_lossy(),
        &[
            "install",
            "--quiet",
            "--no-cache-dir",
            "--disable-pip-version-check",
            "--only-binary=:all:",
            VALIDATOR,
        ],
    ))?;

    for (module, files) in MODULES {
        let folder = downloaded(module, downloads)?;
        for file in *files {
            let name = Path::new(file).file_name().context("a file's name")?;
            std::fs::copy(folder.join(file), schemas.join(name))
                .with_context(|| format!("{module} has no {file}"))?;
        }
    }

    shell::run(
        go(downloads)
            .args(["build", "-ldflags=-s -w", "-o"])
            .arg(home.join("bin/compose-project"))
            .arg(".")
            .current_dir(loader()),
    )?;
    println!("parts: building Helm, about three minutes");
    shell::run(
        go(downloads)
            .args(["install", "-ldflags=-s -w", HELM])
            .env("GOBIN", home.join("bin")),
    )
}

/// The files of a Go module.
fn downloaded(module: &str, downloads: &Path) -> anyhow::Result<PathBuf> {
    let output = go(downloads)
        .args(["mod", "download", "-json", module])
        .output()
        .context("go could not be started")?;
    serde_json::from_slice::<serde_json::Value>(&output.stdout)
        .ok()
        .and_then(|told| told.get("Dir")?.as_str().map(PathBuf::from))
        .with_context(|| {
            let [out, err] =
                [&output.stdout, &output.stderr].map(|said| String::from_utf8_lossy(said));
            format!("{module}: {out}{err}")
        })
}

/// Keeps modules and objects where they are removed once all parts are made; `-modcacherw` lets
/// them be removed.
fn go(downloads: &Path) -> std::process::Command {
    let mut go = shell::command("go", &[]);
    // Outside of any module.
    go.current_dir(downloads)
        .env("GOMODCACHE", downloads.join("go"))
        .env("GOCACHE", downloads.join("go-build"))
        .env("GOFLAGS", "-modcacherw -buildvcs=false");
    go
}
