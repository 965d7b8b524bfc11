//! Where somebody runs `elastauth init`.

use crate::support::process::command;
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Output,
};
use tempfile::TempDir;

pub(crate) const GATEWAYS: [&str; 5] = ["traefik", "caddy", "nginx", "haproxy", "envoy"];

/// What is given where a test is about something else.
pub(crate) const AUTHELIA: [&str; 12] = [
    "--run",
    "binary",
    "--provider",
    "authelia",
    "--host",
    "es.corp.test",
    "--kibana-host",
    "kb.corp.test",
    "--auth-host",
    "login.corp.test",
    "--cluster",
    "http://127.0.0.1:19200",
];
pub(crate) const TOKENS: [&str; 10] = [
    "--provider",
    "oidc",
    "--issuer",
    "https://sso.corp.test/realms/main",
    "--client-id",
    "search",
    "--host",
    "es.corp.test",
    "--cluster",
    "http://127.0.0.1:19200",
];

pub(crate) struct Desk {
    pub(crate) home: TempDir,
}

impl Desk {
    pub(crate) fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        Self { home }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|why| panic!("{name}: {why}"))
    }

    /// Everything in the folder, hidden files as well.
    pub(crate) fn entries(&self, name: &str) -> BTreeSet<String> {
        fs::read_dir(self.path(name))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    pub(crate) async fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut program = tokio::process::Command::from(command(env!("CARGO_BIN_EXE_elastauth")));
        program
            .current_dir(self.home.path())
            .args(arguments)
            .envs(environment.iter().copied());
        program.output().await.unwrap()
    }

    pub(crate) async fn init(&self, arguments: &[&str]) -> Output {
        self.run(&[&["init"], arguments].concat(), &[]).await
    }

    /// It has to work.
    pub(crate) async fn made(&self, arguments: &[&str]) -> String {
        let output = self.init(arguments).await;
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        said
    }

    /// It has to fail with this exit code, to write nothing, and to say all of these.
    pub(crate) async fn refused(&self, arguments: &[&str], code: i32, words: &[&str]) -> String {
        let before = self.entries("");
        let output = self.init(arguments).await;
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        for word in words {
            assert!(said.contains(word), "{arguments:?}: no {word:?} in {said}");
        }
        assert_eq!(self.entries(""), before, "{arguments:?} left something");
        said
    }

    /// `elastauth check --strict` has nothing to say about what was written.
    pub(crate) async fn holds(&self, folder: &str) {
        let secrets = format!("{}/", self.path(folder).join("secrets").display());
        let config = format!("{folder}/config.yml");
        let arguments = ["check", "--strict", "--config", &config];
        // The unit sets this variable; the other files do without.
        for environment in [&[("SECRETS", secrets.as_str())][..], &[]] {
            if environment.is_empty() && self.path(folder).join("elastauth.service").exists() {
                continue;
            }
            let output = self.run(&arguments, environment).await;
            assert!(output.status.success(), "{folder}: {output:?}");
        }
    }
}

/// All files below a folder.
pub(crate) fn files_below(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.path().is_dir() {
            let below = files_below(&entry.path());
            found.extend(below.into_iter().map(|below| format!("{name}/{below}")));
        } else {
            found.insert(name);
        }
    }
    found
}
