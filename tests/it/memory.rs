//! What the memory of the running program gives away, and to whom.

use crate::support::{
    http::Server,
    process::{Process, command},
    stage::{SECRET_KEY, Stage},
    until,
};
use http::Method;
use std::{
    fs::{self, File, Permissions},
    io::{Read as _, Seek as _, SeekFrom},
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

/// How often each of these texts is in the writable memory of a process.
fn copies<const N: usize>(process: u32, texts: [&[u8]; N]) -> [usize; N] {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let mut memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let mut counts = [0; N];
    for line in maps.lines() {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        if !rights.starts_with("rw") {
            continue;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        memory.seek(SeekFrom::Start(from)).unwrap();
        let mut region = Vec::new();
        // What ends early has been given back to the system since.
        let _end = (&mut memory).take(to - from).read_to_end(&mut region);
        for (count, text) in counts.iter_mut().zip(texts) {
            *count += region
                .windows(text.len())
                .filter(|window| window[0] == text[0] && *window == text)
                .count();
        }
    }
    counts
}

/// The memory of a process that is not dumpable can be read by root only.
#[tokio::test]
async fn few_copies_of_a_secret_stay_in_memory() {
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        println!("not tried: only root can read the memory of elastauth");
        return;
    }
    let mut stage = Stage::usual().await;
    assert!(stage.works(&stage.ask("alice", "dev").await));
    let password = stage.cluster.service_password().to_owned();
    let key: Vec<u8> = (0..64)
        .step_by(2)
        .map(|at| u8::from_str_radix(&SECRET_KEY[at..at + 2], 16).unwrap())
        .collect();
    let texts = [password.as_bytes(), SECRET_KEY.as_bytes(), &key];
    let counts = copies(stage.elastauth.id(), texts);
    println!("password, key as text, key: {counts:?}");
    // Password and key are there once each, for a reload that keeps them; a frame of the key's
    // derivation may still be on the stack of the main thread. From the environment, each would be
    // there once more: the kernel's copy, which nobody can wipe.
    let [password, text, key] = counts;
    assert!(password <= 1 && text == 0 && key <= 2, "{counts:?}");

    // A reload leaves nothing behind.
    stage
        .elastauth
        .edit(|config| config + "enable_metrics: true\n");
    stage.elastauth.hang_up();
    until("the reload", || {
        stage.elastauth.log().contains("require a restart")
    })
    .await;
    let after = copies(stage.elastauth.id(), texts);
    println!("after a reload: {after:?}");
    let [password, text, key] = after;
    assert!(password <= 1 && text == 0 && key <= 2, "{after:?}");
    assert!(stage.elastauth.terminate().await.success());
}
