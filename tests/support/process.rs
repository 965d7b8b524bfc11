//! A child process with its output in a file. It ends when the value is dropped.

use super::wait::{Why, pause};
use std::fs::File;
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::time::Instant;

/// How often a condition is looked at. Waits are level-triggered: what was missed once is seen the
/// next time.
pub(crate) const POLL: Duration = Duration::from_millis(50);

#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

impl Process {
    /// Starts it; `name` is for messages and for the file of its output, which is kept for a look
    /// after a failure.
    pub(crate) fn start(name: &'static str, command: &mut Command) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let log = folder().join(format!(
            "{name}-{}.log",
            COUNT.fetch_add(1, Ordering::Relaxed)
        ));
        let out = File::create(&log).expect("a log file");
        let err = out.try_clone().expect("a second handle of the log");
        let child = command
            .stdout(out)
            .stderr(err)
            .spawn()
            .unwrap_or_else(|fault| panic!("{name} does not start: {fault}"));
        Self { name, child, log }
    }

    /// All it has written so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read(&self.log)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .unwrap_or_default()
    }

    /// Waits until `ready` has a value.
    ///
    /// # Panics
    /// With the end of the log, when the process ends before or the time is over.
    pub(crate) async fn wait_for<T>(
        &mut self,
        what: &str,
        bound: Duration,
        mut ready: impl AsyncFnMut(&Self) -> Option<T>,
    ) -> T {
        let until = Instant::now() + bound;
        loop {
            if let Some(value) = ready(self).await {
                return value;
            }
            let ended = self.child.try_wait().expect("the state of a child");
            let late = Instant::now() >= until;
            if ended.is_some() || late {
                let why = ended.map_or_else(
                    || format!("was not there within {bound:?}"),
                    |status| format!("did not come: the program ended, {status}"),
                );
                panic!(
                    "{}: {what} {why}; its last words:\n{}",
                    self.name,
                    last_lines(&self.log(), 25)
                );
            }
            pause(Why::Again, POLL).await;
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks it to end, and waits for that.
    pub(crate) async fn terminate(&mut self, bound: Duration) -> ExitStatus {
        self.ask_to_end();
        self.ended(bound).await
    }

    /// Asks it to end.
    pub(crate) fn ask_to_end(&self) {
        self.signal("TERM");
    }

    /// Sends a signal by its name.
    pub(crate) fn signal(&self, signal: &str) {
        let pid = self.child.id();
        // The shell's own `kill`: sending a signal by ourselves would need unsafe code.
        let sent = Command::new("sh")
            .args(["-c", &format!("kill -{signal} {pid}")])
            .status();
        assert!(
            sent.is_ok_and(|status| status.success()),
            "{} could not be sent SIG{signal}",
            self.name
        );
    }

    /// Waits until it has ended.
    pub(crate) async fn ended(&mut self, bound: Duration) -> ExitStatus {
        let until = Instant::now() + bound;
        loop {
            if let Some(status) = self.child.try_wait().expect("the state of a child") {
                return status;
            }
            assert!(
                Instant::now() < until,
                "{} did not end within {bound:?}:\n{}",
                self.name,
                last_lines(&self.log(), 25)
            );
            pause(Why::Again, POLL).await;
        }
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.kill();
    }
}

/// A port that nobody listens on at the moment. Only for programs that cannot be asked to choose
/// one themselves.
///
/// It lies below those that the system gives to outgoing connections: some programs bind only ten
/// seconds after they were asked.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 12_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    // Test binaries that run side by side begin at different places.
    let begin = std::process::id().wrapping_mul(7_919);
    let mut tries = (0..COUNT)
        .map(|_| FIRST + begin.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % COUNT);
    let is_free = |port: &u16| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    tries
        .find_map(|port| u16::try_from(port).ok().filter(is_free))
        .expect("a free port")
}

/// Cargo's folder for the files of this test binary.
pub(crate) fn folder() -> PathBuf {
    let own = std::env::current_exe().ok().and_then(|path| {
        path.file_stem()
            .map(|stem| stem.to_string_lossy().into_owned())
    });
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(own.unwrap_or_default());
    std::fs::create_dir_all(&folder).expect("a folder for the files of tests");
    folder
}

/// A command that inherits nothing that could configure elastauth by accident.
pub(crate) fn command(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .envs(
            ["PATH", "HOME", "TMPDIR"]
                .iter()
                .filter_map(|name| Some((name, std::env::var_os(name)?))),
        )
        .stdin(Stdio::null());
    command
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
