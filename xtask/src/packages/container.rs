//! The image's root file system, started as a container engine does it: alone in its folder,
//! read-only, without /proc, /dev and /tmp, as the image's user, as the first process, in a network
//! of its own. And started as people do it by mistake.

use super::cluster::{self, Cluster};
use crate::{
    bench::server::request,
    dist::{Image, megabytes},
    shell,
};
use anyhow::{Context, bail, ensure};
use std::{
    fs::{self, File},
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    time::Duration,
};

/// The user of the image.
const USER: u32 = 65_532;
/// Where the image listens.
const LISTEN: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5_000);
/// How often a condition is looked at, and how many times: a minute on a busy machine.
const PAUSE: Duration = Duration::from_millis(20);
const TIMES: u32 = 3_000;

/// The most that it may have in memory of its own without requests, in bytes. The aim is 15 MB with
/// the pages of the binary; those depend on the profile, and a release has fewer.
const MOST: u64 = 6_000_000;

const SECRET_KEY: &str = "8f1d0e2c3b4a59687786950413f2e1d0c9b8a7968574635241302f1e0d9c8b7a";

/// What the image says about itself, which the checks below take as given.
pub(super) fn is_configured(image: &Image) -> anyhow::Result<()> {
    for (template, wanted) in [
        ("{{.OCIv1.Config.User}}", format!("{USER}:{USER}")),
        (
            "{{.OCIv1.Config.Entrypoint}}",
            "[/usr/bin/elastauth]".to_owned(),
        ),
        ("{{.OCIv1.Config.WorkingDir}}", "/etc/elastauth".to_owned()),
        (
            "{{.Docker.Config.Healthcheck.Test}}",
            "[CMD /usr/bin/elastauth healthcheck]".to_owned(),
        ),
    ] {
        let said = image.about(template)?;
        ensure!(
            said == wanted,
            "{template} of the image is `{said}` and not `{wanted}`"
        );
    }
    let environment = image.about("{{.OCIv1.Config.Env}}")?;
    ensure!(
        environment.contains("ELASTAUTH_LISTEN=:5000"),
        "{environment}"
    );
    let labels = image.about("{{.OCIv1.Config.Labels}}")?;
    for label in ["title", "version", "revision", "licenses"] {
        let label = format!("org.opencontainers.image.{label}");
        ensure!(
            labels.contains(&label),
            "the image has no label {label}: {labels}"
        );
    }
    Ok(())
}

/// Runs [`inside`] in namespaces of its own: nothing here can meet another program's ports or mounts.
pub(super) fn check(root: &Path) -> anyhow::Result<()> {
    shell::run(&mut shell::command(
        "cargo",
        &[
            "build",
            "--quiet",
            "--example",
            "standin",
            "--features",
            "real-parts",
        ],
    ))?;
    let program = std::env::current_exe()?;
    let mut command = shell::command("unshare", &["--net", "--mount", "--propagation", "private"]);
    shell::run(command.arg(program).args(["packages", "inside"]).arg(root))
}

pub(super) fn inside(root: &Path) -> anyhow::Result<()> {
    shell::run(&mut shell::command("ip", &["link", "set", "lo", "up"]))?;
    cluster::answer_names()?;
    let cluster = Cluster::start()?;
    let files = Files { root };
    // What an engine mounts into each container.
    files.write("etc/resolv.conf", "nameserver 127.0.0.1\n")?;
    files.write("etc/hosts", "127.0.0.1 localhost\n")?;

    for (what, prepare, wanted) in MISTAKES {
        prepare(&files)?;
        let (status, log) = Container::start(root, USER)?.ended()?;
        ensure!(
            status.code() == Some(1) && log.contains(wanted),
            "{what}: it ended with {status} and does not say `{wanted}`, but:\n{log}"
        );
        println!("image: {what}: it ends and says what to do");
    }

    fs::remove_dir(root.join("etc/elastauth/config.yml"))?;
    files.configure(&cluster, "")?;
    let container = Container::start(root, USER)?;
    container.answers()?;
    cluster.grants(LISTEN)?;
    ensure!(
        container.run(&["healthcheck"])?.success(),
        "the health check of the image fails"
    );
    let (resident, own) = (container.memory("VmRSS:")?, container.memory("RssAnon:")?);
    println!(
        "image: a user of {} has a login; idle with {} in memory, {} of them its own (at most {})",
        cluster::NAME,
        megabytes(resident),
        megabytes(own),
        megabytes(MOST)
    );
    ensure!(own <= MOST, "it takes too much memory");
    ensure!(!root.join("tmp").exists(), "the image has a /tmp");
    let log = container.stopped()?;
    for word in ["as root", "Read-only", "may write this", "every user"] {
        ensure!(
            !log.contains(word),
            "it warns in a proper container:\n{log}"
        );
    }

    let container = Container::start(root, 0)?;
    container.answers()?;
    let log = container.stopped()?;
    ensure!(log.contains("runAsUser: 65532"), "started as root:\n{log}");
    println!("image: started as root: it warns and says what to do");

    files.configure(&cluster, "cache: {type: file, path: /var/lib/elastauth}\n")?;
    let container = Container::start(root, USER)?;
    container.answers()?;
    cluster.grants(LISTEN)?;
    let log = container.stopped()?;
    ensure!(
        log.contains("folder=/var/lib/elastauth error=Read-only file system"),
        "with a folder to write to in a read-only image:\n{log}"
    );
    println!("image: nothing can be written: it warns, and answers from memory");
    Ok(())
}

type Mistake = (
    &'static str,
    fn(&Files<'_>) -> anyhow::Result<()>,
    &'static str,
);

/// What people do, and what the program has to say.
const MISTAKES: &[Mistake] = &[
    (
        "without a configuration",
        |_| Ok(()),
        "There is no configuration file /etc/elastauth/config.yml",
    ),
    (
        "with a configuration that is a folder",
        |files| {
            Ok(fs::create_dir_all(
                files.root.join("etc/elastauth/config.yml"),
            )?)
        },
        "remove the folder and mount a file",
    ),
];

/// What an engine mounts.
struct Files<'a> {
    root: &'a Path,
}

impl Files<'_> {
    fn write(&self, name: &str, text: &str) -> anyhow::Result<()> {
        let path = self.root.join(name);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    fn configure(&self, cluster: &Cluster, more: &str) -> anyhow::Result<()> {
        let url = format!("http://{}:{}", cluster::NAME, cluster.address.port());
        self.configuration(&url, more)?;
        self.secrets(&cluster.password)
    }

    fn configuration(&self, cluster: &str, more: &str) -> anyhow::Result<()> {
        self.write(
            "etc/elastauth/config.yml",
            &format!(
                "log_level: warn\nsecret_key_file: /run/secrets/key\nelasticsearch:\n  hosts: \
                 [\"{cluster}\"]\n  username: elastauth\n  password_file: /run/secrets/password\n\
                 trusted_proxies: [127.0.0.1]\ngateway_keys_file: /run/secrets/gateway\n\
                 default_roles: [viewer]\n{more}"
            ),
        )
    }

    fn secrets(&self, password: &str) -> anyhow::Result<()> {
        self.write("run/secrets/key", SECRET_KEY)?;
        self.write("run/secrets/gateway", cluster::GATEWAY_KEY)?;
        self.write("run/secrets/password", password)
    }
}

/// A running container. It ends with its value.
struct Container {
    root: PathBuf,
    user: u32,
    child: Child,
    log: PathBuf,
}

impl Container {
    fn start(root: &Path, user: u32) -> anyhow::Result<Self> {
        let log = root.with_extension("log");
        let output = File::create(&log)?;
        // The mount is made read-only in a namespace of the container's own.
        let script = r#"mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@""#;
        let mut command = shell::command(
            "unshare",
            &[
                "--mount",
                "--pid",
                "--fork",
                "--kill-child",
                "sh",
                "-c",
                script,
            ],
        );
        command.arg(root);
        command
            .args(entry(root, user))
            .env_clear()
            .envs(ENVIRONMENT);
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()?;
        Ok(Self {
            root: root.to_owned(),
            user,
            child,
            log,
        })
    }

    fn log(&self) -> anyhow::Result<String> {
        Ok(fs::read_to_string(&self.log)?)
    }

    /// Waits until it answers.
    fn answers(&self) -> anyhow::Result<()> {
        until("an answer", || request(LISTEN, "/elastauth/live", "").ok())
            .with_context(|| self.log().unwrap_or_default())
            .map(drop)
    }

    /// Runs the program once more beside it, as a health check.
    fn run(&self, arguments: &[&str]) -> anyhow::Result<ExitStatus> {
        let [program, words @ ..] = entry(&self.root, self.user);
        let mut command = Command::new(program);
        command.args(words).args(arguments);
        Ok(command.env_clear().envs(ENVIRONMENT).status()?)
    }

    /// The process of elastauth: the child of `unshare`.
    fn process(&self) -> anyhow::Result<u32> {
        let own = self.child.id();
        let children = fs::read_to_string(format!("/proc/{own}/task/{own}/children"))?;
        children.trim().parse().context("the child of unshare")
    }

    /// Its memory of this kind, in bytes.
    fn memory(&self, kind: &str) -> anyhow::Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.process()?))?;
        let line = status.lines().find_map(|line| line.strip_prefix(kind));
        let number = line.and_then(|line| line.split_whitespace().next());
        let kib: u64 = number.context("no such memory")?.parse()?;
        Ok(kib * 1_024)
    }

    /// Ends it as an engine does; its log.
    fn stopped(self) -> anyhow::Result<String> {
        shell::run(&mut shell::command(
            "kill",
            &["-TERM", &self.process()?.to_string()],
        ))?;
        let (status, log) = self.ended()?;
        ensure!(status.success(), "it ended with {status}:\n{log}");
        Ok(log)
    }

    /// Waits for its end; status and log.
    fn ended(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let status = until("the end", || self.child.try_wait().ok().flatten())?;
        Ok((status, self.log()?))
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        // `--kill-child` takes the program with it.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the image's configuration sets, and where our own tools are.
const ENVIRONMENT: [(&str, &str); 2] = [
    ("ELASTAUTH_LISTEN", ":5000"),
    ("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"),
];

/// The command that becomes the program.
fn entry(root: &Path, user: u32) -> [String; 8] {
    [
        "setpriv".to_owned(),
        "--clear-groups".to_owned(),
        "unshare".to_owned(),
        format!("--root={}", root.display()),
        "--wd=/etc/elastauth".to_owned(),
        format!("--setgid={user}"),
        format!("--setuid={user}"),
        "/usr/bin/elastauth".to_owned(),
    ]
}

fn until<T>(what: &str, mut found: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    for _ in 0..TIMES {
        if let Some(found) = found() {
            return Ok(found);
        }
        #[expect(clippy::disallowed_methods, reason = "nobody else runs on this thread")]
        std::thread::sleep(PAUSE);
    }
    bail!("{what} did not come within {:?}", PAUSE * TIMES)
}
