//! `elastauth check` on a file with a thousand mappings, from its start to its end.

use super::{
    millis, now,
    server::{Folder, built},
};
use crate::shell;
use anyhow::ensure;
use std::process::Command;

/// How many mappings the file has.
const MAPPINGS: usize = 1_000;

pub(super) fn run() -> anyhow::Result<()> {
    let home = Folder::new()?;
    let file = home.path().join("config.yml");
    let mappings = (0..MAPPINGS).fold(String::new(), |text, n| {
        text + &format!("  team-{n}: [role-{n}, viewer]\n")
    });
    let least = "secret_key: 8f1d0e2c3b4a59687786950413f2e1d0c9b8a7968574635241302f1e0d9c8b7a\n\
                 elasticsearch: {hosts: [\"https://es:9200\"], username: elastauth, password: p}\n";
    std::fs::write(&file, format!("{least}group_mappings:\n{mappings}"))?;
    let mut times = Vec::new();
    for _ in 0..21 {
        let mut check = Command::new(built("elastauth"));
        check
            .args(["check", "--config"])
            .arg(&file)
            .current_dir(home.path());
        let begun = now();
        let sound = shell::succeeds(&mut check);
        times.push(begun.elapsed());
        ensure!(sound, "the configuration is not taken");
    }
    times.sort();
    let at = |part: usize| times.get(part).copied().map_or(f64::NAN, millis);
    println!(
        "check of {MAPPINGS} mappings: median {:.1} ms, slowest {:.1} ms of {} (aim: under 50)",
        at(10),
        at(20),
        times.len()
    );
    Ok(())
}
