//! Containers without a container engine: each is a network namespace with its own hosts file and
//! its own view of the files, and each network of the compose file is a bridge in a namespace of
//! the test. Nothing of the machine's own network is touched.

use super::tools;
use crate::shell;
use anyhow::{Context, bail};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// One container: where it is, and what runs in it.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    /// The service of the compose file, which is its name for the others.
    pub(super) service: String,
    /// Network and address.
    pub(super) addresses: Vec<(String, String)>,
    process: Option<Child>,
}

/// What a host runs.
#[derive(Debug, Default)]
pub(super) struct Program {
    pub(super) command: Vec<String>,
    pub(super) environment: Vec<(String, String)>,
    /// What is mounted: from, to. Without a source: an empty folder.
    pub(super) mounts: Vec<(Option<PathBuf>, String)>,
    /// User and group by number; root without.
    pub(super) user: Option<u32>,
    pub(super) read_only: bool,
}

/// All hosts and the bridges between them. They end with it.
#[derive(Debug)]
pub(super) struct Hosts {
    home: PathBuf,
    prefix: String,
    pub(super) all: Vec<Host>,
}

impl Hosts {
    /// Makes the namespaces of these hosts.
    pub(super) fn new(
        home: PathBuf,
        networks: &[String],
        wanted: Vec<Host>,
    ) -> anyhow::Result<Self> {
        let mut hosts = Self {
            home,
            prefix: format!("elastauth-{}", std::process::id()),
            all: Vec::new(),
        };
        remove_left_over();
        let switch = hosts.namespace("switch");
        let mut script = format!("set -e\nip netns add {switch}\n");
        for network in networks {
            writeln!(script, "ip -n {switch} link add br-{network} type bridge")?;
            writeln!(script, "ip -n {switch} link set br-{network} up")?;
        }
        let mut plugs = 0;
        for host in wanted {
            let namespace = hosts.namespace(&host.name);
            writeln!(
                script,
                "ip netns add {namespace}\nip -n {namespace} link set lo up"
            )?;
            for (network, address) in &host.addresses {
                plugs += 1;
                writeln!(
                    script,
                    "ip link add {network} netns {namespace} type veth peer name plug{plugs} netns {switch}\n\
                     ip -n {switch} link set plug{plugs} master br-{network} up\n\
                     ip -n {namespace} address add {address}/24 dev {network}\n\
                     ip -n {namespace} link set {network} up"
                )?;
            }
            hosts.all.push(host);
        }
        tools::output_of(&mut shell::command("sh", &[]), &script)
            .context("network namespaces could not be made; it takes root and iproute2")?;
        Ok(hosts)
    }

    fn namespace(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    pub(super) fn host(&self, name: &str) -> anyhow::Result<&Host> {
        let mut all = self.all.iter();
        all.find(|host| host.name == name)
            .with_context(|| format!("no host {name}"))
    }

    /// What a command prints that runs in the network of a host, with the machine's files.
    pub(super) fn run_in(&self, host: &str, command: &[&str]) -> anyhow::Result<String> {
        tools::output_of(
            shell::command("ip", &["netns", "exec", &self.namespace(host)]).args(command),
            "",
        )
    }

    /// Starts what a host runs.
    pub(super) fn start(&mut self, name: &str, program: &Program) -> anyhow::Result<()> {
        let script = self.script(name, program)?;
        let log = std::fs::File::create(self.log_file(name))?;
        let mut command = shell::command("ip", &["netns", "exec", &self.namespace(name), "sh"]);
        command
            .arg(script)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log);
        let process = command.spawn().context("ip could not be started")?;
        let mut all = self.all.iter_mut();
        let host = all.find(|host| host.name == name).context("no such host")?;
        host.process = Some(process);
        Ok(())
    }

    /// Waits for a program that ends by itself.
    pub(super) fn finish(&mut self, name: &str) -> anyhow::Result<()> {
        let mut all = self.all.iter_mut();
        let host = all.find(|host| host.name == name).context("no such host")?;
        let process = host.process.as_mut().context("it was not started")?;
        let status = process.wait()?;
        if !status.success() {
            bail!("{name} failed ({status}):\n{}", self.log(name));
        }
        Ok(())
    }

    /// Ends one host's program.
    pub(super) fn kill(&mut self, name: &str) {
        for host in self.all.iter_mut().filter(|host| host.name == name) {
            host.end();
        }
    }

    /// Waits until a command succeeds that runs where a host's program does.
    pub(super) fn healthy(&self, name: &str, program: &Program, check: &str) -> anyhow::Result<()> {
        // The program is there once its root is.
        let check = format!("test -e /.a-host && {check}");
        let line = |enter: &str, id: &str| {
            format!("until {enter}; do kill -0 {id} || exit 1; sleep 0.1; done")
        };
        let mut command = self.beside(name, program, &check, line)?;
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if !command.status()?.success() {
            bail!(
                "{name} does not become healthy (`{check}`):\n{}",
                self.log(name)
            );
        }
        Ok(())
    }

    /// What a command prints that runs where a host's program does, with its files and variables.
    pub(super) fn output(
        &self,
        name: &str,
        program: &Program,
        line: &str,
    ) -> anyhow::Result<String> {
        let mut command = self.beside(name, program, line, |enter, _| enter.to_owned())?;
        tools::output_of(&mut command, "").with_context(|| format!("{name}: `{line}`"))
    }

    /// A shell that knows how to enter where a host's program is, and its process.
    fn beside(
        &self,
        name: &str,
        program: &Program,
        line: &str,
        script: impl Fn(&str, &str) -> String,
    ) -> anyhow::Result<Command> {
        let process = self.host(name)?.process.as_ref();
        let id = process.context("not started")?.id().to_string();
        let enter = format!("nsenter --target {id} --mount --net --root --wd sh -c \"$LINE\"");
        let mut command = Command::new("timeout");
        command
            .args(["90", "sh", "-c"])
            .arg(script(&enter, &id))
            .envs(program.environment.iter().map(|(key, value)| (key, value)))
            .env("LINE", line);
        Ok(command)
    }

    fn log_file(&self, name: &str) -> PathBuf {
        self.home.join(format!("{name}.log"))
    }

    /// The end of what a host's program wrote.
    pub(super) fn log(&self, name: &str) -> String {
        let text = std::fs::read_to_string(self.log_file(name)).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines
            .get(lines.len().saturating_sub(40)..)
            .unwrap_or_default()
            .join("\n")
    }

    /// The machine's files under a layer of the host's own, what is mounted, and the names of those
    /// who share a network with it.
    fn script(&self, name: &str, program: &Program) -> anyhow::Result<PathBuf> {
        let host = self.host(name)?;
        let folder = self.home.join(name);
        std::fs::create_dir_all(&folder)?;
        let mut names = "127.0.0.1 localhost\n".to_owned();
        for other in &self.all {
            let shared = other
                .addresses
                .iter()
                .find(|(network, _)| host.addresses.iter().any(|(ours, _)| ours == network));
            if let Some((_, address)) = shared {
                writeln!(names, "{address} {}", other.service)?;
            }
        }
        tools::write(&folder.join("hosts"), &names)?;

        let here = quoted(&folder);
        let mut script = format!(
            "set -e\ncd {here}\nmkdir -p layer\nmount -t tmpfs none layer\nmkdir layer/upper layer/work layer/root\n\
             mount -t overlay overlay -o lowerdir=/,upperdir=layer/upper,workdir=layer/work layer/root\n\
             mount --rbind /dev layer/root/dev\nmount --bind {0} layer/root{0}\n\
             cp hosts layer/root/etc/hosts\ntouch layer/root/.a-host\n",
            quoted(&shell::root()),
        );
        for (from, to) in &program.mounts {
            let to = quoted(Path::new(&format!("layer/root{to}")));
            match from {
                None => writeln!(script, "mkdir -p {to}\nmount -t tmpfs none {to}")?,
                Some(from) if from.is_dir() => {
                    writeln!(script, "mkdir -p {to}\nmount --bind {} {to}", quoted(from))?;
                }
                Some(from) => writeln!(
                    script,
                    "mkdir -p $(dirname {to})\ntouch {to}\nmount --bind {} {to}",
                    quoted(from)
                )?,
            }
        }
        // After this the program's own processes are seen, not the machine's.
        script.push_str("mount --rbind /proc layer/root/proc\n");
        if program.read_only {
            script.push_str("mount -o remount,bind,ro layer/root\n");
        }
        script.push_str("exec chroot ");
        if let Some(user) = program.user {
            write!(script, "--userspec={user}:{user} --groups={user} ")?;
        }
        script.push_str(
            "layer/root env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        );
        let variables = program
            .environment
            .iter()
            .map(|(key, value)| format!("{key}={value}"));
        for word in variables.chain(program.command.iter().cloned()) {
            write!(script, " {}", quoted(Path::new(&word)))?;
        }
        script.push('\n');
        let file = folder.join("start.sh");
        tools::write(&file, &script)?;
        Ok(file)
    }
}

impl Host {
    pub(super) fn new(name: &str, service: &str, addresses: Vec<(String, String)>) -> Self {
        Self {
            name: name.to_owned(),
            service: service.to_owned(),
            addresses,
            process: None,
        }
    }

    fn end(&mut self) {
        if let Some(mut process) = self.process.take() {
            // Already gone is as good.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        let mut names: Vec<String> = self.all.iter().map(|host| host.name.clone()).collect();
        self.all.iter_mut().for_each(Host::end);
        names.push("switch".to_owned());
        for name in names {
            let namespace = self.namespace(&name);
            let _ = shell::succeeds(&mut shell::command("ip", &["netns", "delete", &namespace]));
        }
    }
}

/// Removes the namespaces of runs that were killed.
fn remove_left_over() {
    let list = shell::command("ip", &["netns", "list"]).output();
    let list = list.map(|output| String::from_utf8_lossy(&output.stdout).into_owned());
    for line in list.unwrap_or_default().lines() {
        let name = line.split(' ').next().unwrap_or_default();
        let rest = name.strip_prefix("elastauth-").unwrap_or_default();
        let owner = rest.split('-').next().and_then(|id| id.parse::<u32>().ok());
        if owner.is_some_and(|id| !Path::new(&format!("/proc/{id}")).exists()) {
            let _ = shell::succeeds(&mut shell::command("ip", &["netns", "delete", name]));
        }
    }
}

/// Namespaces take root.
pub(super) fn can_be_made() -> bool {
    std::fs::metadata("/proc/self")
        .is_ok_and(|about| std::os::unix::fs::MetadataExt::uid(&about) == 0)
}

fn quoted(path: &Path) -> String {
    format!("'{}'", path.display().to_string().replace('\'', r"'\''"))
}
