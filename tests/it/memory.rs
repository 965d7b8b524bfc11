//! What the memory of the running program gives away, and to whom.

use crate::support::{
    http::Server,
    process::{Process, command},
    stage::SECRET_KEY,
};
use http::Method;
use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    time::Duration,
};

/// The user that owns nothing, on every Linux.
const NOBODY: u32 = 65_534;

/// Root may read everything, so this is tried as somebody else where the tests run as root.
#[tokio::test]
async fn an_unprivileged_process_has_no_core_dumps_and_is_readable_by_root_only() {
    let home = tempfile::tempdir().unwrap();
    fs::set_permissions(home.path(), Permissions::from_mode(0o755)).unwrap();
    let path = home.path().join("config.yml");
    let config = format!(
        "listen: 127.0.0.1:0\nenable_metrics: true\nsecret_key: {SECRET_KEY}\ntrusted_proxies: [127.0.0.1/32]\n\
         elasticsearch: {{hosts: ['http://127.0.0.1:1'], username: a, password: b}}\n"
    );
    fs::write(&path, config).unwrap();
    let mut program = command(env!("CARGO_BIN_EXE_elastauth"));
    program.arg("--config").arg(&path).current_dir(home.path());
    if fs::metadata("/proc/self").unwrap().uid() == 0 {
        program.uid(NOBODY).gid(NOBODY);
    }
    let mut process = Process::start("elastauth-unprivileged", &mut program);
    let listens = async |process: &Process| {
        let log = process.log();
        let (_, rest) = log.split_once("elastauth answers listen=127.0.0.1:")?;
        rest.split_whitespace().next()?.parse::<u16>().ok()
    };
    let port = process
        .wait_for("its port", Duration::from_secs(10), listens)
        .await;

    let limits = fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core file"));
    let core: Vec<&str> = core.unwrap().split_whitespace().collect();
    assert_eq!(core, ["Max", "core", "file", "size", "0", "0", "bytes"]);
    // The kernel gives the files of a process that is not dumpable to root.
    let owner = fs::metadata(format!("/proc/{}/mem", process.id())).unwrap();
    assert_eq!(owner.uid(), 0);
    assert!(
        process.log().contains("core dumps are off"),
        "{}",
        process.log()
    );
    // It still sees its own CPU time and memory.
    let metrics = Server::plain(port)
        .try_ask(Method::GET, "/elastauth/metrics", &[], None)
        .await
        .unwrap()
        .text();
    for series in [
        "process_cpu_seconds_total ",
        "process_resident_memory_bytes ",
    ] {
        assert!(metrics.contains(series), "{metrics}");
    }
}
