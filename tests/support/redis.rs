//! A real Redis on a free port of the loopback address; it ends with the value.

use super::{
    ports,
    process::{NotReady, Process, command, folder},
};
use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

#[derive(Debug)]
pub(crate) struct Redis {
    process: Process,
    pub(crate) port: u16,
    pub(crate) home: PathBuf,
    arguments: Vec<String>,
    /// What `redis-cli` needs beside the port.
    cli: Vec<String>,
}

impl Redis {
    pub(crate) async fn start(arguments: &[&str]) -> Self {
        Self::start_for(arguments, &[]).await
    }

    /// With arguments for `redis-cli`, where it has to show something.
    pub(crate) async fn start_for(arguments: &[&str], cli: &[&str]) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let home = folder().join(format!("redis-{}", COUNT.fetch_add(1, Ordering::Relaxed)));
        let _ = std::fs::remove_dir_all(&home);
        std::fs::create_dir_all(&home).expect("a folder for Redis");
        let own = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| text.replace("HOME", &home.display().to_string()))
                .collect::<Vec<_>>()
        };
        let (arguments, cli) = (own(arguments), own(cli));
        ports::started(async || {
            let port = ports::free_port();
            let mut redis = Self {
                process: Self::spawn(port, &home, &arguments),
                port,
                home: home.clone(),
                arguments: arguments.clone(),
                cli: cli.clone(),
            };
            redis.wait().await?;
            Ok(redis)
        })
        .await
    }

    fn spawn(port: u16, home: &std::path::Path, arguments: &[String]) -> Process {
        let there = Command::new("redis-server")
            .arg("--version")
            .output()
            .is_ok();
        assert!(
            there,
            "redis-server is missing; `cargo xtask parts` or `apt-get install redis-server` brings \
             it"
        );
        let mut program = command("redis-server");
        let port = port.to_string();
        let tls = arguments
            .iter()
            .any(|argument| argument == "--tls-cert-file");
        let ports: [&str; 4] = if tls {
            ["--port", "0", "--tls-port", &port]
        } else {
            ["--port", &port, "--tls-port", "0"]
        };
        program
            .args([
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
                "--dir",
            ])
            .arg(home)
            .args(ports)
            .args(arguments);
        Process::start("redis", &mut program)
    }

    async fn wait(&mut self) -> Result<(), NotReady> {
        let (port, cli) = (self.port, self.cli.clone());
        let answers =
            async |_: &Process| (run_cli(port, &cli, &["PING"]).trim() == "PONG").then_some(());
        self.process
            .ready("an answer", Duration::from_secs(10), answers)
            .await
    }

    /// What `redis-cli` says.
    pub(crate) fn cli(&self, arguments: &[&str]) -> String {
        run_cli(self.port, &self.cli, arguments).trim().to_owned()
    }

    /// The names under which facts lie there.
    pub(crate) fn keys(&self) -> Vec<String> {
        self.cli(&["--raw", "KEYS", "elastauth:*"])
            .lines()
            .map(str::to_owned)
            .filter(|line| !line.is_empty())
            .collect()
    }

    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    pub(crate) async fn restart(&mut self) {
        self.process.kill();
        self.process = Self::spawn(self.port, &self.home, &self.arguments);
        self.wait().await.unwrap_or_else(|why| panic!("{why}"));
    }

    /// Stops it without closing anything, or lets it go on.
    pub(crate) fn signal(&self, signal: &str) {
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {}", self.process.id())])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "Redis could not be signalled"
        );
    }
}

/// What `redis-cli` says to whoever listens there.
pub(crate) fn run_cli(port: u16, cli: &[String], arguments: &[&str]) -> String {
    let output = Command::new("redis-cli")
        .args(["-h", "127.0.0.1", "-p", &port.to_string()])
        .args(cli)
        .args(arguments)
        .output();
    output
        .map(|output| String::from_utf8_lossy(&output.stdout).into_owned())
        .unwrap_or_default()
}
