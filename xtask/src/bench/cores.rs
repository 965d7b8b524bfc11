//! Which cores of this machine the servers under measurement have, and which their clients: with
//! cores of their own, neither takes the other's time.

use crate::shell;
use anyhow::Context as _;
use std::{ffi::OsStr, process::Command};

/// Half of the cores for the server under load, the other half for its clients. None are set apart
/// on a machine with one core or without `taskset` (util-linux).
#[derive(Debug)]
pub(super) struct Cores {
    servers: Vec<String>,
    clients: Vec<String>,
}

impl Cores {
    pub(super) fn of_this_machine() -> anyhow::Result<Self> {
        let status = std::fs::read_to_string("/proc/self/status")?;
        let allowed = status
            .lines()
            .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let mut servers = listed(allowed.context("the cores of this process")?.trim())
            .context("the cores of this process")?;
        let has_taskset = shell::succeeds(&mut shell::command("taskset", &["--version"]));
        let clients = if has_taskset && servers.len() > 1 {
            servers.split_off(servers.len() / 2)
        } else {
            println!("server and clients share the cores: there is one, or no `taskset`");
            Vec::new()
        };
        Ok(Self { servers, clients })
    }

    /// A program that runs on the servers' cores.
    pub(super) fn server(&self, program: impl AsRef<OsStr>) -> Command {
        self.on(&self.servers, program.as_ref())
    }

    /// A program that runs on the clients' cores.
    pub(super) fn client(&self, program: impl AsRef<OsStr>) -> Command {
        self.on(&self.clients, program.as_ref())
    }

    /// How many cores clients have.
    pub(super) fn clients(&self) -> usize {
        let shared = self.servers.len().min(2);
        Some(self.clients.len())
            .filter(|own| *own > 0)
            .unwrap_or(shared)
    }

    fn on(&self, cores: &[String], program: &OsStr) -> Command {
        if self.clients.is_empty() {
            return Command::new(program);
        }
        let mut taskset = Command::new("taskset");
        taskset.args(["--cpu-list", &cores.join(",")]).arg(program);
        taskset
    }
}

/// The numbers of a list such as `0-2,7`.
fn listed(list: &str) -> Option<Vec<String>> {
    let mut all = Vec::new();
    for part in list.split(',') {
        let (from, to) = part.split_once('-').unwrap_or((part, part));
        let numbers = from.parse::<u32>().ok()?..=to.parse().ok()?;
        all.extend(numbers.map(|number| number.to_string()));
    }
    Some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cores_is_read() {
        let read = |list| listed(list).map(|all| all.join(" "));
        assert_eq!(read("0-2,7").as_deref(), Some("0 1 2 7"));
        assert_eq!(read("3").as_deref(), Some("3"));
        assert_eq!(read("0-x"), None);
    }
}
