//! The commands, and what a person reads on the terminal.

mod explain;
mod healthcheck;
mod online;

use crate::{
    app::App,
    config::{self, Checked, Config, Flags, Sources},
    demo::{self, Options},
    reload::{Reloader, Watch},
    telemetry::{self, chain},
};
use clap::{CommandFactory as _, Parser, Subcommand};
use std::{
    error::Error,
    fmt::Write as _,
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
};
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
        /// For programs: one JSON object with `ok`, `faults`, `warnings` and, with `--online`,
        /// `tried`.
        #[arg(long)]
        json: bool,
        /// Also try the cluster: is it there, does it take the account, may the account do its
        /// work? Nothing is written.
        #[arg(long)]
        online: bool,
    },
    /// Shows what counts in the end and where each value came from, secrets as `***`.
    Config {
        /// For programs: a JSON list.
        #[arg(long)]
        json: bool,
    },
    /// Prints the JSON Schema of the configuration file.
    Schema,
    /// Tells why somebody gets which roles, or no login.
    Explain(explain::Options),
    /// Asks the running process whether it is alive; the exit code says it. For containers.
    Healthcheck,
    /// Prints what a shell needs to complete the command line.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page.
    Man,
    /// Makes a `secret_key`.
    GenerateKey,
    /// Shows the main job with a stand-in for the cluster and a tiny gateway; nothing else is
    /// needed.
    Demo {
        /// Walk through the story once and end; the exit code says whether it worked.
        #[arg(long)]
        once: bool,
    },
}

/// Runs the program; the exit code is 0 for success, 1 for a fault, 2 for a command line that
/// nobody understands.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let flags = Flags {
        config: cli.config,
        listen: cli.listen,
        enable_otel: cli.enable_otel,
    };
    let done = match cli.command {
        _ if cli.generate_key => generate_key(),
        None | Some(Command::Serve) => serve(flags),
        Some(Command::Check { json, online }) => check(flags, json, online),
        Some(Command::Config { json }) => effective(flags, json),
        Some(Command::Schema) => schema(),
        Some(Command::Explain(options)) => explain(flags, &options),
        Some(Command::Healthcheck) => healthcheck(flags),
        Some(Command::Completions { shell }) => {
            // Into memory first: the generator panics where its reader has gone.
            let mut text = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "elastauth", &mut text);
            print(String::from_utf8_lossy(&text).trim_end())
        }
        Some(Command::Man) => man(),
        Some(Command::GenerateKey) => generate_key(),
        Some(Command::Demo { once }) => demo(once, flags.listen.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failed(text)) => {
            if !text.is_empty() {
                say(&mut io::stderr(), &text);
            }
            ExitCode::FAILURE
        }
    }
}

/// What to tell before ending with 1.
struct Failed(String);

fn serve(flags: Flags) -> Result<(), Failed> {
    let (Checked { outcome, warnings }, reading) = config::read(&Sources::system(flags.clone()));
    let watch = Watch::new(&reading);
    let config = outcome.map_err(|faults| {
        let list = faults
            .iter()
            .fold(String::new(), |list, fault| list + &format!("  {fault}\n"));
        Failed(format!(
            "elastauth does not start, the configuration has {} fault(s):\n{list}",
            faults.len()
        ))
    })?;
    let level = config.telemetry.level;
    let log = telemetry::log::init(config.telemetry)
        .map_err(|error| failed("the log cannot be set up", &error))?;
    for warning in &warnings {
        tracing::warn!("{warning}");
    }
    say_whom_it_trusts(&config);
    runtime()?.block_on(async {
        let app = App::start(config)
            .await
            .map_err(|error| failed("elastauth does not start", &error))?;
        let end = end_signal().map_err(|error| failed("the signals cannot be heard", &error))?;
        let reloader = Reloader::new(flags, reading, app.controls(), (log, level));
        reloader
            .start(watch, app.tasks())
            .map_err(|error| failed("the signals cannot be heard", &error))?;
        app.run_until(end).await;
        Ok(())
    })
}

/// Who is believed decides everything, so it stands in the log of every start.
fn say_whom_it_trusts(config: &Config) {
    let networks: Vec<String> = config
        .trust
        .proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    tracing::info!(
        trusted_proxies = networks.join(","),
        gateway_keys = config.trust.gateway_keys.len(),
        "identity headers are believed from these networks only"
    );
}

fn check(flags: Flags, json: bool, online: bool) -> Result<(), Failed> {
    let Checked { outcome, warnings } = config::check(&Sources::system(flags));
    let outcome = outcome.and_then(|config| match config::check_files(&config) {
        faults if faults.is_empty() => Ok(config),
        faults => Err(faults),
    });
    let tried = match &outcome {
        Ok(config) if online => runtime()?.block_on(online::run(config)),
        Ok(_) | Err(_) => Vec::new(),
    };
    let faults = outcome.as_ref().err().map_or(&[][..], Vec::as_slice);
    let failed = tried.iter().filter(|tried| !tried.ok).count();
    let ok = faults.is_empty() && failed == 0;
    if json {
        let report =
            serde_json::json!({ "ok": ok, "faults": faults, "warnings": warnings, "tried": tried });
        print(&format!("{report:#}"))?;
        return if ok {
            Ok(())
        } else {
            Err(Failed(String::new()))
        };
    }
    let mut text = String::new();
    for warning in &warnings {
        let _infallible = writeln!(text, "warning: {warning}");
    }
    for fault in faults {
        let _infallible = writeln!(text, "fault: {fault}");
    }
    for one in &tried {
        let _infallible = writeln!(
            text,
            "{}: {}: {}",
            if one.ok { "ok" } else { "failed" },
            one.what,
            one.found
        );
    }
    let _infallible = write!(
        text,
        "{} fault(s), {} warning(s)",
        faults.len(),
        warnings.len()
    );
    if !tried.is_empty() {
        let _infallible = write!(text, ", {failed} of {} online checks failed", tried.len());
    }
    if ok { print(&text) } else { Err(Failed(text)) }
}

/// The configuration for a command that is not the service: its faults end the command, its
/// warnings are not the question.
fn sound(flags: Flags) -> Result<Config, Failed> {
    config::check(&Sources::system(flags))
        .outcome
        .map_err(|faults| {
            let list = faults
                .iter()
                .fold(String::new(), |list, fault| list + &format!("  {fault}\n"));
            Failed(format!(
                "the configuration has {} fault(s):\n{list}",
                faults.len()
            ))
        })
}

fn explain(flags: Flags, options: &explain::Options) -> Result<(), Failed> {
    let config = sound(flags)?;
    runtime()?.block_on(explain::run(config, options))
}

fn healthcheck(flags: Flags) -> Result<(), Failed> {
    let config = sound(flags)?;
    runtime()?.block_on(healthcheck::run(&config.server))
}

fn man() -> Result<(), Failed> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .map_err(|error| failed("the page cannot be written", &error))?;
    print(String::from_utf8_lossy(&page).trim_end())
}

fn effective(flags: Flags, json: bool) -> Result<(), Failed> {
    let sources = Sources::system(flags);
    let settings = config::effective(&sources);
    let text = if json {
        serde_json::to_string_pretty(&settings)
            .map_err(|error| failed("the settings cannot be written", &error))?
    } else {
        let width = settings
            .iter()
            .map(|setting| setting.key.len())
            .max()
            .unwrap_or_default();
        let lines = settings.iter().map(|setting| match &setting.value {
            Some(value) => format!("{:width$}  {value}  ({})", setting.key, setting.place),
            None => format!("{:width$}  (not set)", setting.key),
        });
        lines.collect::<Vec<_>>().join("\n")
    };
    print(&text)?;
    // What is shown of a faulty configuration is not what would count.
    let faults = config::check(&sources)
        .outcome
        .err()
        .map_or(0, |faults| faults.len());
    if faults > 0 {
        return Err(Failed(format!(
            "the configuration has {faults} fault(s), which `elastauth check` tells"
        )));
    }
    Ok(())
}

fn schema() -> Result<(), Failed> {
    let text = serde_json::to_string_pretty(&config::schema())
        .map_err(|error| failed("the schema cannot be written", &error))?;
    print(&text)
}

fn generate_key() -> Result<(), Failed> {
    let key = config::generate_key().map_err(|error| failed("no key can be made", &error))?;
    print(&key)
}

fn demo(once: bool, listen: Option<&str>) -> Result<(), Failed> {
    let listen = listen.map(str::parse).transpose().map_err(|_| {
        Failed("--listen of the demo is an address such as 127.0.0.1:8080".to_owned())
    })?;
    telemetry::log::init(telemetry::log::Config {
        level: telemetry::log::Level::Error,
        ..telemetry::log::Config::default()
    })
    .map_err(|error| failed("the log cannot be set up", &error))?;
    runtime()?
        .block_on(demo::run(Options { once, listen }))
        .map_err(|error| failed("the demonstration ended early", &error))
}

fn runtime() -> Result<tokio::runtime::Runtime, Failed> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| failed("the runtime cannot be set up", &error))
}

/// SIGTERM is what supervisors send, SIGINT is Ctrl-C.
fn end_signal() -> std::io::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

fn failed(what: &str, error: &(dyn Error + 'static)) -> Failed {
    Failed(format!("{what}: {}", chain(error)))
}

/// What a command was asked for goes to standard output. A reader that has seen enough (`| head`)
/// is no failure.
fn print(text: &str) -> Result<(), Failed> {
    match writeln!(io::stdout(), "{text}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(failed("the answer cannot be printed", &error))
        }
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A terminal that went away is nobody's fault.
fn say(to: &mut dyn io::Write, text: &str) {
    let _nobody_reads = writeln!(to, "{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_flags_of_the_go_program_are_understood() {
        let cli = Cli::parse_from([
            "elastauth",
            "--config",
            "/etc/elastauth",
            "--listen",
            ":5000",
            "--enableOtel",
            "--generateKey",
        ]);
        assert!(cli.command.is_none() && cli.generate_key && cli.enable_otel);
        assert_eq!(cli.config, Some(PathBuf::from("/etc/elastauth")));
    }
}
