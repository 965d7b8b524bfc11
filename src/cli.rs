//! The command line.

mod check;
mod doctor;
mod dumps;
mod explain;
mod healthcheck;
mod init;
mod online;
mod output;
mod serve;
mod servers;
mod trial;
mod users;

use crate::{
    config::{self, Config, Flags, Sources},
    secret::SecretKey,
};
use clap::{CommandFactory as _, Parser, Subcommand};
use output::{CommandError, failed, print, runtime};
use std::{
    io::{self, Write as _},
    path::PathBuf,
    process::ExitCode,
    sync::LazyLock,
};

/// Which commit this is, and its date. `cargo xtask dist` sets it; other builds know the version alone.
const BUILD: Option<&str> = option_env!("ELASTAUTH_BUILD");
static VERSION: LazyLock<String> = LazyLock::new(|| version(BUILD));

/// Single sign-on for Elasticsearch and Kibana on the free tier. Without a command, elastauth
/// serves.
#[derive(Debug, Parser)]
#[command(name = "elastauth", version = VERSION.as_str(), about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// The configuration: a file, or the folder of a `config.yml`.
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,
    /// Where to listen, instead of `listen` in the configuration.
    #[arg(long, global = true, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// The same as `enableOtel: true` in the configuration.
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
    /// Reads the configuration and reports everything that is wrong or weak. Changes nothing.
    Check(check::Options),
    /// Shows the effective configuration and where each value comes from, secrets as `***`.
    Config {
        /// For programs: a JSON list.
        #[arg(long)]
        json: bool,
    },
    /// Prints the JSON Schema of the configuration file.
    Schema,
    /// Explains why a user gets which roles, or no login.
    Explain(explain::Options),
    /// Writes a folder with everything for a set-up: configuration, secrets, the gateway's files. It
    /// asks on a terminal, or takes flags. It overwrites nothing.
    // Many flags: behind a pointer they cost the other commands nothing.
    Init(Box<init::Options>),
    /// Acts on users of the running replicas.
    Users {
        #[command(subcommand)]
        action: users::Action,
    },
    /// Asks the running process whether it is alive; the exit code is the answer. For containers.
    Healthcheck,
    /// Sends harmless forged requests through your gateway, and reports what gets through and what
    /// to change. The exit code is 0 if all is well, 1 for findings, 2 if it cannot ask.
    Doctor(doctor::Options),
    /// Prints a script that completes the command line in a shell.
    Completions {
        /// For which shell.
        shell: clap_complete::Shell,
    },
    /// Prints the manual page.
    Man,
    /// Makes a `secret_key`.
    GenerateKey,
    /// Shows a sign-in with a stand-in for the cluster and a small gateway. Needs nothing else.
    Demo {
        /// Run the demonstration once and end; the exit code says whether it worked.
        #[arg(long)]
        once: bool,
        /// Show proxy mode: elastauth alone in front of the clusters, without a gateway.
        #[arg(long)]
        proxy: bool,
    },
}

/// Runs the program. The exit code is 0 for success, 1 for a failure, 2 for an invalid command
/// line.
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
        None | Some(Command::Serve) => serve::run(flags),
        Some(Command::Check(options)) => check::run(flags, &options),
        Some(Command::Config { json }) => effective(flags, json),
        Some(Command::Schema) => print(&format!("{:#}", config::schema())),
        Some(Command::Explain(options)) => {
            with_config(flags, async |config| explain::run(config, &options).await)
        }
        Some(Command::Init(options)) => return init::run(&flags, &options),
        Some(Command::Users { action }) => {
            with_config(flags, async |config| users::run(&config, &action).await)
        }
        Some(Command::Healthcheck) => {
            with_config(flags, async |config| healthcheck::run(&config).await)
        }
        Some(Command::Doctor(options)) => return doctor::run(&options, flags.listen.as_deref()),
        Some(Command::Completions { shell }) => print(completions(shell).trim_end()),
        Some(Command::Man) => manual().and_then(|page| print(page.trim_end())),
        Some(Command::GenerateKey) => generate_key(),
        Some(Command::Demo { once, proxy }) => demo(once, proxy, flags.listen.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(CommandError(text)) => {
            if !text.is_empty() {
                // A terminal that is gone is nobody's fault.
                let _nobody_reads = writeln!(io::stderr(), "{text}");
            }
            ExitCode::FAILURE
        }
    }
}

fn version(build: Option<&str>) -> String {
    let version = env!("CARGO_PKG_VERSION");
    match build.filter(|build| !build.is_empty()) {
        Some(build) => format!("{version} ({build})"),
        None => version.to_owned(),
    }
}

/// Runs a command other than the service with the configuration: faults end it, warnings do not
/// matter to it.
fn with_config(
    flags: Flags,
    command: impl AsyncFnOnce(Config) -> Result<(), CommandError>,
) -> Result<(), CommandError> {
    let checked = config::check(&Sources::system(flags));
    let config = checked
        .outcome
        .map_err(|faults| check::failed_with("the configuration has", &faults))?;
    runtime()?.block_on(command(config))
}

fn completions(shell: clap_complete::Shell) -> String {
    // Into memory first: the generator panics if its reader has gone.
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "elastauth", &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn manual() -> Result<String, CommandError> {
    let mut page = Vec::new();
    clap_mangen::Man::new(Cli::command())
        .render(&mut page)
        .map_err(|error| failed("the manual page cannot be written", &error))?;
    Ok(String::from_utf8_lossy(&page).into_owned())
}

fn effective(flags: Flags, json: bool) -> Result<(), CommandError> {
    let sources = Sources::system(flags);
    let settings = config::effective(&sources);
    if json {
        print(&format!("{:#}", serde_json::json!(settings)))?;
    } else {
        let width = settings.iter().map(|setting| setting.key.len()).max();
        let width = width.unwrap_or_default();
        let lines = settings.iter().map(|setting| match &setting.value {
            Some(value) => format!("{:width$}  {value}  ({})", setting.key, setting.place),
            None => format!("{:width$}  (not set)", setting.key),
        });
        print(&lines.collect::<Vec<_>>().join("\n"))?;
    }
    // What a faulty configuration shows is not what would be in force.
    match config::check(&sources).outcome {
        Ok(_) => Ok(()),
        Err(faults) => Err(CommandError(format!(
            "the configuration has {} fault(s); `elastauth check` lists them",
            faults.len()
        ))),
    }
}

fn generate_key() -> Result<(), CommandError> {
    let key = SecretKey::random().map_err(|error| failed("no key can be made", &error))?;
    print(&key.expose_hex())
}

#[cfg(not(feature = "demo"))]
fn demo(_once: bool, _proxy: bool, _listen: Option<&str>) -> Result<(), CommandError> {
    Err(CommandError(
        "this build of elastauth has no demo: it was compiled without the feature `demo`"
            .to_owned(),
    ))
}

#[cfg(feature = "demo")]
fn demo(once: bool, proxy: bool, listen: Option<&str>) -> Result<(), CommandError> {
    use crate::{
        demo::Mode,
        telemetry::log::{Config, Level, init},
    };
    let listen = listen.map(str::parse).transpose().map_err(|_| {
        CommandError("--listen of the demo must be an address such as 127.0.0.1:8080".to_owned())
    })?;
    let mode = if proxy { Mode::Proxy } else { Mode::AuthOnly };
    // Nobody needs to know: its passwords end with it.
    let _told_to_nobody = dumps::forbid();
    init(Config {
        level: Level::Error,
        ..Config::default()
    })
    .map_err(|error| failed("the log cannot be set up", &error))?;
    runtime()?
        .block_on(crate::demo::run(mode, once, listen))
        .map_err(|error| failed("the demonstration failed", &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_manual_page_and_the_completions_are_the_reviewed_ones() {
        let page = manual().unwrap_or_else(|CommandError(why)| panic!("{why}"));
        insta::assert_snapshot!(
            "manual_page",
            page.replace(env!("CARGO_PKG_VERSION"), "VERSION")
        );
        insta::assert_snapshot!("bash_completions", completions(clap_complete::Shell::Bash));
    }

    #[test]
    fn the_version_names_the_commit_where_the_build_knows_it() {
        let own = env!("CARGO_PKG_VERSION");
        assert_eq!(version(None), own);
        assert_eq!(version(Some("")), own);
        assert_eq!(
            version(Some("commit 0123456789ab, 2026-11-30")),
            format!("{own} (commit 0123456789ab, 2026-11-30)")
        );
    }

    #[test]
    fn the_flags_of_the_go_program_are_accepted() {
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
