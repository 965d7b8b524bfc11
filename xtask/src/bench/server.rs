//! The programs under measurement: started on a free port, watched through /proc, killed at the
//! end.

use crate::{bench::now, shell};
use anyhow::{Context, bail};
use std::{
    io::{BufRead, BufReader, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// Processor time of a process so far, user and system.
pub(super) fn cpu_of(process: &str) -> anyhow::Result<Duration> {
    ticks(process, 11)
}

/// The same of the children of this program that have ended.
pub(super) fn cpu_of_children() -> anyhow::Result<Duration> {
    ticks("self", 13)
}

/// Two fields of proc(5), counted from after the name in brackets, in ticks of 10 ms: from 11 on
/// user and system of the process, from 13 on the same of its children.
fn ticks(process: &str, first: usize) -> anyhow::Result<Duration> {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat"))?;
    let after = stat.rsplit_once(')').context("/proc/PID/stat")?.1;
    let fields = after.split_whitespace().skip(first).take(2);
    let ticks: u64 = fields.map(|field| field.parse::<u64>().unwrap_or(0)).sum();
    Ok(Duration::from_millis(ticks * 10))
}

/// A child that ends with us.
pub(super) struct Running {
    child: Child,
    pub(super) address: SocketAddr,
}

impl Running {
    /// Starts `program` and waits until `path` is answered, at most 20 s.
    pub(super) fn start(
        program: &mut Command,
        address: SocketAddr,
        path: &str,
    ) -> anyhow::Result<Self> {
        let child = program
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .context("the program does not start")?;
        let mut running = Self { child, address };
        let until = now() + Duration::from_secs(20);
        while request(address, path, "").is_err() {
            if let Some(status) = running.child.try_wait()? {
                bail!("the program ended with {status}");
            }
            if now() > until {
                bail!("no answer from {address}");
            }
            #[expect(clippy::disallowed_methods, reason = "nobody else runs on this thread")]
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(running)
    }

    /// Takes over a child that is at its address already.
    pub(super) fn of(child: Child, address: SocketAddr) -> Self {
        Self { child, address }
    }

    /// Its process id.
    pub(super) fn id(&self) -> String {
        self.child.id().to_string()
    }

    /// Sends it a signal, such as `STOP`.
    pub(super) fn signal(&self, signal: &str) -> anyhow::Result<()> {
        shell::run(&mut shell::command(
            "kill",
            &[&format!("-{signal}"), &self.child.id().to_string()],
        ))
    }

    /// Processor time of the process so far, user and system.
    pub(super) fn cpu(&self) -> anyhow::Result<Duration> {
        cpu_of(&self.child.id().to_string())
    }

    /// The same of the threads that it has now, to the nanosecond.
    pub(super) fn scheduled(&self) -> anyhow::Result<Duration> {
        let mut nanos = 0;
        for thread in std::fs::read_dir(format!("/proc/{}/task", self.child.id()))? {
            // A thread may end meanwhile.
            let text = std::fs::read_to_string(thread?.path().join("schedstat"));
            let first = text.unwrap_or_default();
            let first = first.split_whitespace().next().map(str::parse::<u64>);
            nanos += first.transpose()?.unwrap_or(0);
        }
        Ok(Duration::from_nanos(nanos))
    }

    /// Resident memory.
    pub(super) fn resident_kib(&self) -> anyhow::Result<u64> {
        self.status("VmRSS:")
    }

    /// The most that it has ever been.
    pub(super) fn most_resident_kib(&self) -> anyhow::Result<u64> {
        self.status("VmHWM:")
    }

    fn status(&self, name: &str) -> anyhow::Result<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .with_context(|| name.to_owned())?;
        line.split_whitespace()
            .next()
            .context("a number")?
            .parse()
            .context("a number")
    }
}

impl Drop for Running {
    /// nginx works in children, which outlive their parent when it is killed.
    fn drop(&mut self) {
        let id = self.child.id();
        let children = format!("/proc/{id}/task/{id}/children");
        let children = std::fs::read_to_string(children).unwrap_or_default();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !children.trim().is_empty() {
            let _ = Command::new("kill")
                .arg("-KILL")
                .args(children.split_whitespace())
                .stderr(std::process::Stdio::null())
                .status();
        }
    }
}

/// elastauth in front of some cluster.
pub(super) struct Elastauth {
    running: Running,
    home: Folder,
}

impl Elastauth {
    /// Starts it with the usual roles and whatever `more` adds to the configuration.
    pub(super) fn start(cluster: &str, more: &str) -> anyhow::Result<Self> {
        Self::start_as(cluster, "elastauth", "bench-password", more)
    }

    /// The same, with a service account of one's own.
    pub(super) fn start_as(
        cluster: &str,
        username: &str,
        password: &str,
        more: &str,
    ) -> anyhow::Result<Self> {
        Self::start_program(
            Command::new(built("elastauth")).arg("--config"),
            cluster,
            username,
            password,
            more,
        )
    }

    /// The same in this environment.
    pub(super) fn start_in(
        cluster: &str,
        more: &str,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<Self> {
        let mut program = Command::new(built("elastauth"));
        Self::start_program(
            program.arg("--config").envs(environment.iter().copied()),
            cluster,
            "elastauth",
            "bench-password",
            more,
        )
    }

    /// The same of this program, which may be another than the one that was just built.
    pub(super) fn start_from(
        mut program: Command,
        cluster: &str,
        more: &str,
    ) -> anyhow::Result<Self> {
        let program = program.arg("--config");
        Self::start_program(program, cluster, "elastauth", "bench-password", more)
    }

    fn start_program(
        program: &mut Command,
        cluster: &str,
        username: &str,
        password: &str,
        more: &str,
    ) -> anyhow::Result<Self> {
        let address = free_address()?;
        let home = Folder::new()?;
        let config = home.0.join("config.yml");
        let text = format!(
            "listen: {address}\nlog_level: warn\nsecret_key: {}\nelasticsearch:\n  hosts: [{cluster}]\n  username: {username}\n  password: {password}\n\
             default_roles: [viewer]\ngroup_mappings:\n  dev: [editor]\n  ops: [monitoring_user]\n{more}",
            "8f1d0e2c3b4a59687786950413f2e1d0c9b8a7968574635241302f1e0d9c8b7a"
        );
        std::fs::write(&config, text)?;
        program.arg(&config).current_dir(&home.0);
        Ok(Self {
            running: Running::start(program, address, "/elastauth/live")?,
            home,
        })
    }
}

impl Elastauth {
    /// The process, and the folder that it needs.
    pub(super) fn into_parts(self) -> (Running, Folder) {
        (self.running, self.home)
    }
}

impl std::ops::Deref for Elastauth {
    type Target = Running;
    fn deref(&self) -> &Running {
        &self.running
    }
}

/// One of the parts of the benchmark that stand in for others.
pub(super) fn example(name: &str) -> anyhow::Result<Running> {
    example_with(name, &[])
}

/// The same with more arguments than its address.
pub(super) fn example_with(name: &str, arguments: &[&str]) -> anyhow::Result<Running> {
    let mut program = Command::new(built(&format!("examples/{name}")));
    example_at(&mut program, arguments)
}

/// The same of a command that names the program.
pub(super) fn example_of(program: &mut Command) -> anyhow::Result<Running> {
    example_at(program, &[])
}

fn example_at(program: &mut Command, arguments: &[&str]) -> anyhow::Result<Running> {
    let address = free_address()?;
    Running::start(
        program.arg(address.to_string()).args(arguments),
        address,
        "/",
    )
}

pub(super) fn built(name: &str) -> PathBuf {
    shell::root().join("target/release").join(name)
}

pub(super) fn free_address() -> anyhow::Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

/// A folder of its own, gone at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> anyhow::Result<Self> {
        // Several may run at once.
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let path = shell::root().join(format!(
            "target/bench-{}-{}",
            std::process::id(),
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        std::fs::create_dir_all(&path)?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// One request over a new connection; the status.
pub(crate) fn request(address: SocketAddr, path: &str, headers: &str) -> anyhow::Result<u16> {
    Connection::open(address)?.ask(path, headers)
}

/// A kept connection that asks one thing after the other.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    pub(crate) fn open(address: SocketAddr) -> anyhow::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        Ok(Self(BufReader::new(stream)))
    }

    /// Asks with these header lines (each ends with CRLF) and reads the whole answer; the status.
    pub(crate) fn ask(&mut self, path: &str, headers: &str) -> anyhow::Result<u16> {
        self.ask_for(path, headers).map(|(status, _)| status)
    }

    /// The same, with the value of `Authorization` of the answer.
    pub(crate) fn ask_for(
        &mut self,
        path: &str,
        headers: &str,
    ) -> anyhow::Result<(u16, Option<String>)> {
        self.0
            .get_mut()
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: bench\r\n{headers}\r\n").as_bytes())?;
        let (mut line, mut status, mut length, mut login) = (String::new(), None, 0, None);
        loop {
            line.clear();
            anyhow::ensure!(self.0.read_line(&mut line)? > 0, "the connection ended");
            let text = line.trim_end();
            if text.is_empty() {
                break;
            }
            match text.split_once(':') {
                _ if status.is_none() => {
                    status = text.split(' ').nth(1).and_then(|code| code.parse().ok());
                }
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.trim().parse()?;
                }
                Some((name, value)) if name.eq_ignore_ascii_case("authorization") => {
                    login = Some(value.trim().to_owned());
                }
                _ => {}
            }
        }
        std::io::copy(
            &mut std::io::Read::take(&mut self.0, length),
            &mut std::io::sink(),
        )?;
        Ok((status.context("a status line")?, login))
    }
}
