//! `elastauth serve`: the service itself.

use super::{
    check::failed_with,
    dumps,
    output::{CommandError, failed, runtime},
};
use crate::{
    app::{App, Controls},
    config::{self, Checked, Config, Flags, Sources},
    reload::{self, Reloader, Watch},
    serve::{Config as Listener, Listen},
    supervisor::{self, Supervisor},
    telemetry,
};
use ipnet::IpNet;
use rustix::process::{geteuid, getpid};
use std::{fmt::Write as _, io, time::Duration};
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

/// How long the end waits for threads that read a file, when all requests are answered. Such a
/// thread may hang with its file system, or at a pipe.
const FILES_AT_THE_END: Duration = Duration::from_secs(1);

pub(super) fn run(flags: Flags) -> Result<(), CommandError> {
    let dumps = dumps::forbid();
    let sources = Sources::system(flags.clone());
    let (Checked { outcome, warnings }, loaded) = config::read(&sources);
    let supervised = config::supervisor(&sources, std::process::id());
    let not_found = sources.not_found.clone();
    sources.wipe();
    let watch = Watch::new(&loaded);
    let config = outcome.map_err(|faults| {
        let mut why = failed_with("elastauth does not start: the configuration has", &faults);
        if let Some(path) = not_found {
            let _infallible = writeln!(
                why.0,
                "There is no configuration file {}, and neither `--config` nor `ELASTAUTH_CONFIG` \
                 names another one.",
                path.display()
            );
        }
        why
    })?;
    let (level, delay) = (config.telemetry.level, config.shutdown.delay);
    let log = telemetry::log::init(config.telemetry)
        .map_err(|error| failed("the log cannot be set up", &error))?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    // Before there is a runtime: it is to be the only thread that sees the environment change.
    let passed = supervisor::take(&supervised)
        .map_err(|error| failed("elastauth does not start", &error))?;
    let supervisor = Supervisor::new(&supervised);
    dumps.log();
    warn_of_root();
    log_trust(&config);
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let no_signals = |error| failed("signals cannot be received", &error);
        let app = App::start_on(config, passed)
            .map_err(|error| failed("elastauth does not start", &error))?;
        let signals = EndSignals::new().map_err(no_signals)?;
        let times = (delay, app.drain());
        let end = end(signals, times, app.controls(), supervisor.clone());
        let reloader = Reloader::new(
            flags,
            loaded,
            app.controls(),
            (log, level),
            supervisor.clone(),
        );
        reloader.start(watch, app.tasks()).map_err(no_signals)?;
        supervisor.ready(reload::ANSWERS);
        app.run_until(end).await;
        Ok(())
    });
    runtime.shutdown_timeout(FILES_AT_THE_END);
    ended
}

/// The first process of a container needs no rights at all. Elsewhere the supervisor's unit decides.
fn warn_of_root() {
    if geteuid().is_root() && getpid().is_init() {
        tracing::warn!(
            "elastauth runs as root in its container and needs none of root's rights; start the \
             container as the user of its image, 65532 (`--user 65532`, `runAsUser: 65532`)"
        );
    }
}

/// Everything depends on who is trusted, so every start logs it.
fn log_trust(config: &Config) {
    for Listener {
        listen,
        trust,
        balancers,
        ..
    } in &config.listeners
    {
        let list = |networks: &[IpNet]| {
            let networks = networks.iter().map(ToString::to_string);
            networks.collect::<Vec<String>>().join(",")
        };
        let proxies = match listen {
            Listen::Tcp(_) => list(&trust.proxies),
            Listen::Unix(_) => "unix".to_owned(),
        };
        tracing::info!(
            %listen,
            trusted_proxies = proxies,
            gateway_keys = trust.gateway_keys.len(),
            client_names = trust.client_names.len(),
            balancers = list(balancers),
            "identity headers are trusted from these peers only"
        );
    }
}

/// Resolves when the end begins: after a signal and the delay, which another signal ends.
async fn end(
    mut signals: EndSignals,
    (delay, requests): (Duration, Duration),
    controls: Controls,
    supervisor: Supervisor,
) {
    signals.next().await;
    controls.leave();
    supervisor.stopping(delay, requests);
    if delay.is_zero() {
        return;
    }
    tracing::info!(
        delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX),
        "the end begins after `shutdown.delay`; until then readiness says NOT_READY, and requests \
         are answered"
    );
    tokio::select! {
        () = sleep(delay) => {}
        () = signals.next() => tracing::info!("a second signal ends the delay"),
    }
}

/// SIGTERM is what supervisors send, SIGINT is Ctrl-C.
struct EndSignals {
    term: Signal,
    int: Signal,
}

impl EndSignals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            term: signal(SignalKind::terminate())?,
            int: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
