//! The commands, and what a person reads on the terminal.

use crate::{
    app::App,
    config::{self, Checked, Config, Flags, Sources},
    demo::{self, Options},
    telemetry,
};
use clap::{Parser, Subcommand};
use std::{error::Error, fmt::Write as _, path::PathBuf, process::ExitCode};
use tokio::signal::unix::{SignalKind, signal};

/// Single sign-on for Elasticsearch and Kibana on the free tier. Without a command it serves.
#[derive(Debug, Parser)]
#[command(name = "elastauth", version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration: a file, or the folder of a `config.yml`.
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Where to listen, in the place of the configuration's `listen`.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// As `enableOtel: true` in the configuration.
    #[arg(long = "enableOtel", global = true)]
    enable_otel: bool,
    /// The same as the command `generate-key`.
    #[arg(long = "generateKey")]
    generate_key: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Answers gateways. The same as no command.
    Serve,
    /// Reads the configuration, says everything that is wrong or weak, and changes nothing.
    Check,
    /// Makes a `secret_key`.
    GenerateKey,
    /// Shows the main job with a stand-in for the cluster and a tiny gateway; nothing else is needed.
    Demo {
        /// Walk through the story once and end; the exit code says whether it worked.
        #[arg(long)]
        once: bool,
    },
}

/// Runs the program; the exit code is 0 for success, 1 for a fault, 2 for a command line that nobody understands.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let flags = Flags { config: cli.config, listen: cli.listen, enable_otel: cli.enable_otel };
    let done = match cli.command {
        _ if cli.generate_key => generate_key(),
        None | Some(Command::Serve) => serve(flags),
        Some(Command::Check) => check(flags),
        Some(Command::GenerateKey) => generate_key(),
        Some(Command::Demo { once }) => demo(once, flags.listen.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(text)) => {
            say(&mut std::io::stderr(), &text);
            ExitCode::FAILURE
        }
    }
}

/// What to tell before ending with 1.
struct Failed(String);

fn serve(flags: Flags) -> Result<(), Failed> {
    let Checked { outcome, warnings } = config::check(&Sources::system(flags));
    let config = outcome.map_err(|faults| {
        let list = faults.iter().fold(String::new(), |list, fault| list + &format!("  {fault}\n"));
        Failed(format!("elastauth does not start, the configuration has {} fault(s):\n{list}", faults.len()))
    })?;
    let _level_can_change = telemetry::init(config.telemetry).map_err(|error| failed("the log cannot be set up", &error))?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    say_whom_it_trusts(&config);
    runtime()?.block_on(async {
        let app = App::start(config).await.map_err(|error| failed("elastauth does not start", &error))?;
        let end = end_signal().map_err(|error| failed("the signals cannot be heard", &error))?;
        app.run_until(end).await;
        Ok(())
    })
}

/// Who is believed decides everything, so it stands in the log of every start.
fn say_whom_it_trusts(config: &Config) {
    let networks: Vec<String> = config.trust.proxies.iter().map(ToString::to_string).collect();
    tracing::info!(
        trusted_proxies = networks.join(","),
        gateway_keys = config.trust.gateway_keys.len(),
        "identity headers are believed from these networks only"
    );
}

fn check(flags: Flags) -> Result<(), Failed> {
    let Checked { outcome, warnings } = config::check(&Sources::system(flags));
    let mut text = String::new();
    for warning in &warnings {
        let _infallible = writeln!(text, "warning: {warning}");
    }
    match outcome {
        Ok(_) => {
            let _infallible = write!(text, "the configuration is good, {} warning(s)", warnings.len());
            say(&mut std::io::stdout(), &text);
            Ok(())
        }
        Err(faults) => {
            for fault in &faults {
                let _infallible = writeln!(text, "fault: {fault}");
            }
            let _infallible = write!(text, "the configuration has {} fault(s), {} warning(s)", faults.len(), warnings.len());
            Err(Failed(text))
        }
    }
}

fn generate_key() -> Result<(), Failed> {
    let key = config::generate_key().map_err(|error| failed("no key can be made", &error))?;
    say(&mut std::io::stdout(), &key);
    Ok(())
}

fn demo(once: bool, listen: Option<&str>) -> Result<(), Failed> {
    let listen =
        listen.map(str::parse).transpose().map_err(|_| Failed("--listen of the demo is an address such as 127.0.0.1:8080".to_owned()))?;
    telemetry::init(telemetry::Config { level: telemetry::Level::Error, ..telemetry::Config::default() })
        .map_err(|error| failed("the log cannot be set up", &error))?;
    runtime()?.block_on(demo::run(Options { once, listen })).map_err(|error| failed("the demonstration ended early", &error))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build().map_err(|error| failed("the runtime cannot be set up", &error))
}

/// SIGTERM is what supervisors send, SIGINT is Ctrl-C.
fn end_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

fn failed(what: &str, error: &dyn Error) -> Failed {
    let mut text = format!("{what}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        let _infallible = write!(text, ": {cause}");
        source = cause.source();
    }
    Failed(text)
}

/// A terminal that went away is nobody's fault.
fn say(to: &mut dyn std::io::Write, text: &str) {
    let _nobody_reads = writeln!(to, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_flags_of_the_go_program_are_understood() {
        let cli = Cli::parse_from(["elastauth", "--config", "/etc/elastauth", "--listen", ":5000", "--enableOtel", "--generateKey"]);
        assert!(cli.command.is_none() && cli.generate_key && cli.enable_otel);
        assert_eq!(cli.config, Some(PathBuf::from("/etc/elastauth")));
    }
}
