//! `elastauth serve`: the service itself.

use super::{
    check::failed_with,
    dumps,
    output::{CommandError, failed, runtime},
};
use crate::{
    app::App,
    config::{self, Checked, Config, Flags, Sources},
    reload::{Reloader, Watch},
    serve::{Config as Listener, Listen},
    telemetry,
};
use ipnet::IpNet;
use rustix::process::{geteuid, getpid};
use std::{fmt::Write as _, time::Duration};
use tokio::signal::unix::{SignalKind, signal};

/// How long the end waits for threads that read a file, when all requests are answered. Such a
/// thread may hang with its file system, or at a pipe.
const FILES_AT_THE_END: Duration = Duration::from_secs(1);

pub(super) fn run(flags: Flags) -> Result<(), CommandError> {
    let dumps = dumps::forbid();
    let sources = Sources::system(flags.clone());
    let (Checked { outcome, warnings }, loaded) = config::read(&sources);
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
    let level = config.telemetry.level;
    let log = telemetry::log::init(config.telemetry)
        .map_err(|error| failed("the log cannot be set up", &error))?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    dumps.log();
    warn_of_root();
    log_trust(&config);
    let runtime = runtime()?;
    let ended = runtime.block_on(async {
        let no_signals = |error| failed("signals cannot be received", &error);
        let app = App::start(config).map_err(|error| failed("elastauth does not start", &error))?;
        let end = end_signal().map_err(no_signals)?;
        let reloader = Reloader::new(flags, loaded, app.controls(), (log, level));
        reloader.start(watch, app.tasks()).map_err(no_signals)?;
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

/// SIGTERM is what supervisors send, SIGINT is Ctrl-C.
fn end_signal() -> std::io::Result<impl Future<Output = ()>> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}
