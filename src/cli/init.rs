//! `elastauth init`: asks, or takes by flags, what a set-up needs, and writes a folder with it.
//!
//! The files of the gateway are those of its guide, which the tests run (`guides`). Nothing is
//! overwritten, and a failure leaves nothing: the folder is made beside its place, checked there by
//! the code of `elastauth check`, and renamed.

mod answers;
mod config_file;
mod file;
mod folder;
mod gateway;
mod guides;
mod names;
mod options;
mod questions;
mod replace;
mod run_files;
mod steps;
mod types;

use super::{
    check,
    output::{CommandError, print},
};
use crate::{
    config::{Flags, Sources},
    secret::SecretKey,
};
use file::{File, Mode};
use folder::{Staged, Target};
pub(super) use options::Options;
use rustix::process::{getgid, getuid};
use std::{
    fmt::Write as _,
    io::{self, Write as _},
    process::ExitCode,
};
use types::{Answers, Failure, Gateway, Run};

/// As of every command line that cannot be understood.
const USAGE: u8 = 2;
/// The user of the image.
const USER_OF_IMAGE: u32 = 65532;

/// The exit code is 0 if the folder is there, 1 if it cannot be written, 2 if an answer is missing
/// or wrong.
pub(super) fn run(flags: &Flags, options: &Options) -> ExitCode {
    let (why, code) = match write(flags, options) {
        Ok(text) => match print(&text) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(CommandError(why)) => (why, ExitCode::FAILURE),
        },
        Err(Failure::Usage(why)) => (
            format!("{why}\nnothing is written; `elastauth init --help` explains the flags"),
            ExitCode::from(USAGE),
        ),
        Err(Failure::Failed(why)) => (why, ExitCode::FAILURE),
    };
    // A terminal that is gone is nobody's fault.
    let _nobody_reads = writeln!(io::stderr(), "{why}");
    code
}

fn write(flags: &Flags, options: &Options) -> Result<String, Failure> {
    if flags.config.is_some() || flags.listen.is_some() {
        return Err(Failure::Usage(
            "`init` reads no configuration: leave out `--config` and `--listen`; `--elastauth` \
             says where the gateway finds elastauth"
                .to_owned(),
        ));
    }
    let target = Target::new(&options.folder)?;
    let answers = answers::gather(options)?;
    let owner = owner(&answers);
    let files = files(&answers, &target, owner)?;
    let staged = Staged::write(&target, &files, owner)?;
    let report = check(&staged, &target)?;
    staged.put_in_place(&target)?;
    let mut list = String::new();
    for file in &files {
        let _infallible = writeln!(list, "  {}", file.path);
    }
    Ok(format!(
        "{} has:\n\n{list}\n`elastauth check` says:\n\n{report}\n\n{}",
        target.path().display(),
        steps::text(&answers, target.path())
    ))
}

/// What `elastauth check` says of the configuration, before anybody can use it.
fn check(staged: &Staged, target: &Target) -> Result<String, Failure> {
    let here = staged.path().display().to_string();
    let secrets = format!("{here}/secrets/");
    let sources = Sources::of_file(&staged.path().join("config.yml"), &[("SECRETS", &secrets)]);
    let in_place = |text: String| text.replace(&here, &target.path().display().to_string());
    check::offline(&sources).map(in_place).map_err(|why| {
        Failure::Failed(format!(
            "the answers make a configuration with faults; nothing is written:\n{}",
            in_place(why)
        ))
    })
}

/// Who reads the secrets in a container, where root makes them.
fn owner(answers: &Answers) -> Option<u32> {
    (answers.run == Run::Compose && getuid().is_root()).then_some(USER_OF_IMAGE)
}

fn files(answers: &Answers, target: &Target, owner: Option<u32>) -> Result<Vec<File>, Failure> {
    let random = || {
        SecretKey::random()
            .map(|key| key.expose_hex())
            .map_err(|error| Failure::Failed(format!("no secret can be made: {error}")))
    };
    let gateway_key = random()?;
    let elastauth = &answers.elastauth;
    let secrets = if answers.run == Run::Systemd {
        config_file::UNIT_SECRETS.to_owned()
    } else {
        format!("{}/secrets/", target.path().display())
    };
    let peers = match (answers.gateway_address, answers.run) {
        (Some(network), _) => network.to_string(),
        (None, Run::Compose) => format!("{}/32", run_files::GATEWAY_IN_COMPOSE),
        (None, _) => "127.0.0.1".to_owned(),
    };
    let mut files = vec![config_file::file(answers, elastauth, &secrets, &peers)];
    let mut secret = |name: &str, content: String| {
        files.push(File {
            path: format!("secrets/{name}"),
            content: content.into_bytes(),
            mode: Mode::Secret,
        });
    };
    secret("secret_key", random()? + "\n");
    secret("elasticsearch_password", random()? + "\n");
    secret("gateway_key", format!("{gateway_key}\n"));
    if answers.gateway != Gateway::Nginx {
        secret("gateway.env", format!("GATEWAY_KEY={gateway_key}\n"));
    }
    if let Some(ca) = &answers.cluster_ca {
        files.push(File {
            path: format!("secrets/{}", config_file::CA),
            content: ca.clone(),
            mode: Mode::Secret,
        });
    }
    files.extend(gateway::files(answers, elastauth, &gateway_key));
    let user = owner.map_or_else(
        || format!("{}:{}", getuid().as_raw(), getgid().as_raw()),
        |user| format!("{user}:{user}"),
    );
    files.extend(run_files::files(answers, &user));
    Ok(files)
}
