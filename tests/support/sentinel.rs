//! A real Sentinel that watches a Redis by the name of `main`; it ends with the value.

use super::{
    ports,
    process::{NotReady, Process, command, folder},
    redis::run_cli,
};
use std::time::Duration;

#[derive(Debug)]
pub(crate) struct Sentinel {
    process: Process,
    pub(crate) port: u16,
}

impl Sentinel {
    /// Starts one for the primary at this port; so many of them must miss it before it counts as
    /// down. `more` are lines of its configuration.
    pub(crate) async fn start(primary: u16, quorum: u32, more: &str) -> Self {
        let listen = "port PORT\n";
        ports::started(async || Self::start_once(primary, quorum, listen, more, &[]).await).await
    }

    /// One that speaks TLS alone, as these lines say; `PORT` is its port.
    pub(crate) async fn start_encrypted(primary: u16, quorum: u32, listen: &str) -> Self {
        let cli = ["--tls", "--insecure"].map(str::to_owned);
        ports::started(async || Self::start_once(primary, quorum, listen, "", &cli).await).await
    }

    async fn start_once(
        primary: u16,
        quorum: u32,
        listen: &str,
        more: &str,
        cli: &[String],
    ) -> Result<Self, NotReady> {
        let port = ports::free_port();
        let home = folder().join(format!("sentinel-{port}"));
        let _ = std::fs::remove_dir_all(&home);
        std::fs::create_dir_all(&home).expect("a folder for Sentinel");
        let conf = home.join("sentinel.conf");
        let dir = home.display();
        let listen = listen.replace("PORT", &port.to_string());
        let lines = format!(
            "{listen}bind 127.0.0.1\ndir {dir}\n\
             sentinel monitor main 127.0.0.1 {primary} {quorum}\n{more}\n"
        );
        std::fs::write(&conf, lines).expect("a configuration for Sentinel");
        let mut program = command("redis-server");
        program.arg(&conf).arg("--sentinel");
        let mut sentinel = Self {
            process: Process::start("sentinel", &mut program),
            port,
        };
        let answers =
            async |_: &Process| (run_cli(port, cli, &["PING"]).trim() == "PONG").then_some(());
        sentinel
            .process
            .ready("an answer", Duration::from_secs(10), answers)
            .await?;
        Ok(sentinel)
    }
}
