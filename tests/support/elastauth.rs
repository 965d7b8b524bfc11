//! The program under test, as it is shipped.

use super::{
    http::Server,
    process::{Process, command},
};
use rustls::ClientConfig;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Output};
use std::{sync::Arc, time::Duration};
use tempfile::TempDir;

/// It finishes what it has in hand within 15 s.
const ENDS: Duration = Duration::from_secs(20);

#[derive(Debug)]
pub(crate) struct Elastauth {
    process: Process,
    server: Server,
    home: TempDir,
}

impl Elastauth {
    /// Starts it with this configuration, in which it chooses its port (`listen: 127.0.0.1:0`),
    /// and waits until its log says which; `/etc/elastauth/` becomes the folder that gets `files`.
    pub(crate) async fn start_anywhere(config: &str, files: &[(&str, &str)]) -> Self {
        Self::start_anywhere_in(config, files, &[]).await
    }

    /// The same, in this environment.
    pub(crate) async fn start_anywhere_in(
        config: &str,
        files: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Self {
        let program = Path::new(env!("CARGO_BIN_EXE_elastauth"));
        Self::start_program(program, config, files, environment).await
    }

    /// The same with another build of it.
    pub(crate) async fn start_program(
        program: &Path,
        config: &str,
        files: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> Self {
        Self::at_its_port(Self::spawn(program, config, files, environment)).await
    }

    /// The same, as systemd does: with a socket that listens already, which has this name.
    pub(crate) async fn start_with_socket(
        config: &str,
        (socket, name): (impl Into<OwnedFd>, &str),
        environment: &[(&str, &str)],
    ) -> Self {
        Self::at_its_port(Self::spawn_with_socket(config, (socket, name), environment)).await
    }

    /// The same, and does not wait.
    pub(crate) fn spawn_with_socket(
        config: &str,
        (socket, name): (impl Into<OwnedFd>, &str),
        environment: &[(&str, &str)],
    ) -> (Process, TempDir) {
        // Only a new process knows its number. Passed sockets begin at the descriptor 3.
        const AS_SYSTEMD: &str = "LISTEN_PID=$$ exec \"$0\" \"$@\" 3<&0 0</dev/null";
        let home = Self::folder(config, &[]);
        let mut shell = command("sh");
        shell
            .args([
                "-c",
                AS_SYSTEMD,
                env!("CARGO_BIN_EXE_elastauth"),
                "--config",
            ])
            .arg(home.path().join("config.yml"))
            .current_dir(home.path())
            .envs([("LISTEN_FDS", "1"), ("LISTEN_FDNAMES", name)])
            .envs(environment.iter().copied())
            .stdin(std::process::Stdio::from(socket.into()));
        (Process::start("elastauth", &mut shell), home)
    }

    async fn at_its_port((mut process, home): (Process, TempDir)) -> Self {
        let listening = async |process: &Process| {
            let log = process.log();
            let line = log
                .lines()
                .find(|line| line.contains("elastauth answers listen="))?;
            line.split_once("listen=127.0.0.1:")?
                .1
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        };
        let port = process
            .wait_for("its port", Duration::from_secs(10), listening)
            .await;
        Self {
            process,
            server: Server::plain(port),
            home,
        }
    }

    /// Clients speak TLS to it from now on.
    pub(crate) fn over_tls(self, client: Arc<ClientConfig>) -> Self {
        Self {
            server: self.server.with_tls(client),
            ..self
        }
    }

    /// Its port.
    pub(crate) fn port(&self) -> u16 {
        self.server.address().port()
    }

    /// The same, without `--config`: it finds the `config.yml` of this folder.
    pub(crate) async fn start_in(home: TempDir) -> Self {
        let mut program = command(env!("CARGO_BIN_EXE_elastauth"));
        program.current_dir(home.path());
        Self::at_its_port((Process::start("elastauth", &mut program), home)).await
    }

    /// A folder with this configuration; `/etc/elastauth/` becomes the folder that gets `files`.
    pub(crate) fn folder(config: &str, files: &[(&str, &str)]) -> TempDir {
        // Some configurations have sockets in it.
        let home = super::folder_for_sockets();
        let etc = format!("{}/", home.path().display());
        let path = home.path().join("config.yml");
        std::fs::write(&path, config.replace("/etc/elastauth/", &etc)).expect("the configuration");
        private(&path);
        for (name, content) in files {
            std::fs::write(home.path().join(name), content).expect("a file for elastauth");
        }
        home
    }

    fn spawn(
        program: &Path,
        config: &str,
        files: &[(&str, &str)],
        environment: &[(&str, &str)],
    ) -> (Process, TempDir) {
        let home = Self::folder(config, files);
        let mut program = command(program);
        program
            .arg("--config")
            .arg(home.path().join("config.yml"))
            .current_dir(home.path())
            .envs(environment.iter().copied());
        (Process::start("elastauth", &mut program), home)
    }

    /// Runs one of its commands beside it, with its configuration.
    pub(crate) async fn command(&self, arguments: &[&str]) -> Output {
        let mut program = tokio::process::Command::from(command(env!("CARGO_BIN_EXE_elastauth")));
        program
            .arg("--config")
            .arg(self.config())
            .current_dir(self.home.path())
            .args(arguments);
        program.output().await.expect("a command of elastauth")
    }

    /// Its configuration.
    pub(crate) fn config(&self) -> PathBuf {
        self.home.path().join("config.yml")
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn server(&self) -> &Server {
        &self.server
    }

    /// Its folder.
    pub(crate) fn home(&self) -> &std::path::Path {
        self.home.path()
    }

    /// What stands in a file of its folder.
    pub(crate) fn file(&self, name: &str) -> String {
        std::fs::read_to_string(self.home.path().join(name)).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Changes a file in its folder as editors do: the new one takes the old one's name.
    pub(crate) fn put(&self, name: &str, content: &str) {
        let (path, fresh) = (self.home.path().join(name), self.home.path().join("fresh"));
        std::fs::write(
            &fresh,
            content.replace(
                "/etc/elastauth/",
                &format!("{}/", self.home.path().display()),
            ),
        )
        .expect("a new file");
        std::fs::rename(fresh, path).expect("a file for elastauth");
    }

    /// Changes its configuration.
    pub(crate) fn edit(&self, change: impl FnOnce(String) -> String) {
        let before = std::fs::read_to_string(self.home.path().join("config.yml"))
            .expect("the configuration");
        self.put("config.yml", &change(before));
    }

    /// SIGHUP.
    pub(crate) fn hang_up(&self) {
        self.process.signal("HUP");
    }

    /// SIGTERM; it has to drain and end.
    pub(crate) async fn terminate(&mut self) -> ExitStatus {
        self.process.terminate(ENDS).await
    }

    /// SIGTERM, and no wait.
    pub(crate) fn ask_to_end(&self) {
        self.process.ask_to_end();
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        self.process.ended(ENDS).await
    }

    /// SIGSTOP: it stands still and loses nothing.
    pub(crate) fn pause(&self) {
        self.process.signal("STOP");
    }

    /// SIGCONT.
    pub(crate) fn go_on(&self) {
        self.process.signal("CONT");
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }
}

/// It holds secrets: readable by all, it would be warned of.
pub(crate) fn private(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = std::fs::Permissions::from_mode(0o600);
    std::fs::set_permissions(path, mode).expect("a mode for a file");
}
