//! Whom the commands about users ask, and how they end.

use super::replicas::Operator;
use crate::cli::output::{CommandError, print};
use clap::Args;
use http::Uri;
use std::path::PathBuf;

/// Whom a command asks, and how it answers.
#[derive(Debug, Args)]
pub(super) struct Asking {
    /// A replica to ask, `http://HOST:PORT` or `https://…`; the first one acts, the others are
    /// told. May be repeated. A host name that has several addresses (a headless service of
    /// Kubernetes) stands for all of them. Left out, the address of this configuration is asked.
    #[arg(long = "replica", value_name = "URL")]
    pub(super) replicas: Vec<Uri>,
    /// A file with one of the replicas' `gateway_keys`, where they ask operators for one too.
    #[arg(long, value_name = "PATH")]
    gateway_key_file: Option<PathBuf>,
    /// For programs: one JSON object.
    #[arg(long)]
    pub(super) json: bool,
}

impl Asking {
    pub(super) fn operator(&self) -> Result<Operator, CommandError> {
        Operator::new(self.gateway_key_file.as_deref())
    }
}

/// What is printed at the end. What failed goes to standard error, except for programs.
pub(super) fn ended(ok: bool, text: &str, json: bool) -> Result<(), CommandError> {
    if ok {
        return print(text);
    }
    if json {
        print(text)?;
        return Err(CommandError(String::new()));
    }
    Err(CommandError(text.to_owned()))
}
