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
    Check {
        /// For programs: one JSON object with `ok`, `faults` and `warnings`.
        #[arg(long)]
        json: bool,
    },
    /// Shows what counts in the end and where each value came from, secrets as `***`.
    Config {
        /// For programs: a JSON list.
        #[arg(long)]
        json: bool,
    },
    /// Prints the JSON Schema of the configuration file.
    Schema,
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
        Some(Command::Check { json }) => check(flags, json),
        Some(Command::Config { json }) => effective(flags, json),
        Some(Command::Schema) => schema(),
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
    telemetry::init(config.telemetry).map_err(|error| failed("the log cannot be set up", &error))?;
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

fn check(flags: Flags, json: bool) -> Result<(), Failed> {
    let Checked { outcome, warnings } = config::check(&Sources::system(flags));
    let outcome = outcome.and_then(|config| match config::check_files(&config) {
        faults if faults.is_empty() => Ok(config),
        faults => Err(faults),
    });
    if json {
        let faults = outcome.as_ref().err().map_or(&[][..], Vec::as_slice);
        let report = serde_json::json!({ "ok": outcome.is_ok(), "faults": faults, "warnings": warnings });
        say(&mut std::io::stdout(), &format!("{report:#}"));
        return if outcome.is_ok() { Ok(()) } else { Err(Failed(format!("the configuration has {} fault(s)", faults.len()))) };
    }
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

fn effective(flags: Flags, json: bool) -> Result<(), Failed> {
    let sources = Sources::system(flags);
    let settings = config::effective(&sources);
    let text = if json {
        serde_json::to_string_pretty(&settings).map_err(|error| failed("the settings cannot be written", &error))?
    } else {
        let width = settings.iter().map(|setting| setting.key.len()).max().unwrap_or_default();
        let lines = settings.iter().map(|setting| match &setting.value {
            Some(value) => format!("{:width$}  {value}  ({})", setting.key, setting.place),
            None => format!("{:width$}  (not set)", setting.key),
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    say(&mut std::io::stdout(), &text);
    // What is shown of a faulty configuration is not what would count.
    let faults = config::check(&sources).outcome.err().map_or(0, |faults| faults.len());
    if faults > 0 {
        return Err(Failed(format!("the configuration has {faults} fault(s), which `elastauth check` tells")));
    }
    Ok(())
}

fn schema() -> Result<(), Failed> {
    let text = serde_json::to_string_pretty(&config::schema()).map_err(|error| failed("the schema cannot be written", &error))?;
    say(&mut std::io::stdout(), &text);
    Ok(())
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
