//! A child process with its output in a file. It ends when the value is dropped.

use super::wait::{Why, pause};
use std::fs::File;
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
    /// When it is not ready in time, or ends.
    pub(crate) async fn wait_for<T>(
        &mut self,
        what: &str,
        bound: Duration,
        ready: impl AsyncFnMut(&Self) -> Option<T>,
    ) -> T {
        self.ready(what, bound, ready)
            .await
            .unwrap_or_else(|why| panic!("{why}"))
    }

    /// Waits until `ready` has a value.
    ///
    /// # Errors
    /// With the end of the log, when the process ends before or the time is over.
    pub(crate) async fn ready<T>(
        &mut self,
        what: &str,
        bound: Duration,
        mut ready: impl AsyncFnMut(&Self) -> Option<T>,
    ) -> Result<T, NotReady> {
        let until = Instant::now() + bound;
        loop {
            let value = ready(self).await;
            let ended = self.child.try_wait().expect("the state of a child");
            // Whoever answers for a program that has ended is another one, at its port.
            if ended.is_none()
                && let Some(value) = value
            {
                return Ok(value);
            }
            if ended.is_some() || Instant::now() >= until {
                let why = ended.map_or_else(
                    || format!("was not there within {bound:?}"),
                    |status| format!("did not come: the program ended, {status}"),
                );
                return Err(NotReady {
                    what: format!("{}: {what} {why}", self.name),
                    log: self.log(),
                });
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

/// Why a program did not start.
#[derive(Debug)]
pub(crate) struct NotReady {
    what: String,
    log: String,
}

impl NotReady {
    /// Whether somebody else was at its port.
    pub(crate) fn port_was_taken(&self) -> bool {
        ["ddress already in use", "EADDRINUSE", "already bound"]
            .iter()
            .any(|words| self.log.contains(words))
    }
}

impl std::fmt::Display for NotReady {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let end = last_lines(&self.log, 25);
        write!(f, "{}; the end of its log:\n{end}", self.what)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        self.kill();
    }
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

/// What keeps Java's temporary files in [`folder`]: it does not look at `TMPDIR`, and writes a file
/// for each process into `/tmp`.
pub(crate) fn java_options() -> String {
    let temporary = folder().join("java");
    std::fs::create_dir_all(&temporary).expect("a folder for Java's temporary files");
    format!(
        "-XX:-UsePerfData -Djava.io.tmpdir={0} -Djna.tmpdir={0}",
        temporary.display()
    )
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
