//! The long form of `tests/interleavings`, and what it is worth: broken variants of the program
//! that it has to tell from the whole one.

use crate::shell;
use anyhow::{Context, bail, ensure};
use std::{fs, path::Path, process::Stdio};

/// One way to break the protocol.
struct Broken {
    /// What is wrong with it.
    name: &'static str,
    file: &'static str,
    /// What stands in the file, once.
    whole: &'static str,
    damaged: &'static str,
    /// The test that must fail, with its module.
    test: &'static str,
}

const VARIANTS: &[Broken] = &[
    Broken {
        name: "nobody is held at the boundary",
        file: "src/broker.rs",
        whole: "if let Some(wait) = period.grace_left {",
        damaged: "if let Some(wait) = period.grace_left.filter(|_| false) {",
        test: "a_boundary_of_two_passwords_with_clocks_that_differ",
    },
    Broken {
        name: "a known user is answered while a write is in the air",
        file: "src/broker/write.rs",
        whole: "state.ledger.begin_write(update, state.clock.now()).await;",
        damaged: "let _ = &update;",
        test: "a_known_user_whose_groups_change",
    },
    Broken {
        name: "a write with an unknown outcome is not recorded as uncertain",
        file: "src/broker/write.rs",
        whole: "if error.may_take_effect() {",
        damaged: "if error.may_take_effect() && false {",
        test: "writes_of_unknown_end_that_come_late",
    },
    Broken {
        name: "a write counts as uncertain for less than the cluster's own timeout",
        file: "src/broker/uncertain.rs",
        whole: "const LASTS: Duration = Duration::from_secs(90);",
        damaged: "const LASTS: Duration = Duration::from_secs(20);",
        test: "writes_of_unknown_end_that_come_late",
    },
    Broken {
        name: "a check made while a write was uncertain is trusted later",
        file: "src/broker/state.rs",
        whole: "self.uncertain.affects(user, seen)",
        damaged: "self.uncertain.affects(user, now)",
        test: "writes_of_unknown_end_that_come_late",
    },
    Broken {
        name: "an update's result is answered without another look at the ledger",
        file: "src/broker.rs",
        whole: "if self.still_holds(entitled, generation, period) =>",
        damaged: "if self.still_holds(entitled, generation, period) || true =>",
        test: "a_slow_update_at_the_boundary",
    },
    Broken {
        name: "an update that the next period has overtaken is not repeated",
        file: "src/broker/ensure.rs",
        whole: "if now.is_same(period) {",
        damaged: "if now.is_same(period) || true {",
        test: "a_slow_update_at_the_boundary",
    },
    Broken {
        name: "what is remembered of a user never expires",
        file: "src/broker/state.rs",
        whole: "is_some_and(|age| age < valid_for)",
        damaged: "is_some_and(|age| age < valid_for || true)",
        test: "an_administrator_at_work",
    },
    Broken {
        name: "a disabled user is enabled",
        file: "src/broker/ensure/judge.rs",
        whole: "if !found.enabled {",
        damaged: "if !found.enabled && false {",
        test: "an_administrator_at_work",
    },
    Broken {
        name: "an administrator's edit of the roles is taken for ours",
        file: "src/broker/document.rs",
        whole: "&& sorted(&theirs.roles).eq(roles)",
        damaged: "&& (sorted(&theirs.roles).eq(roles) || true)",
        test: "an_administrator_at_work",
    },
    Broken {
        name: "somebody else's user is taken over",
        file: "src/broker/ensure/judge.rs",
        whole: "Owner::Foreign | Owner::Reserved => Err(BrokerError::Foreign),",
        damaged: "Owner::Foreign | Owner::Reserved => Ok(Reason::Adopted),",
        test: "somebody_elses_user",
    },
    Broken {
        name: "a write is sent again to another address",
        file: "src/cluster/pool.rs",
        whole: "Purpose::Write => error.is_not_sent() || error.is_refusal(),",
        damaged: "Purpose::Write => error.is_not_sent() || error.is_refusal() || true,",
        test: "a_cluster_with_two_addresses",
    },
    Broken {
        name: "a failed update keeps its user out",
        file: "src/broker/updates.rs",
        whole: "const FAILURE_LASTS: Duration = Duration::from_secs(1);",
        damaged: "const FAILURE_LASTS: Duration = Duration::from_hours(9);",
        test: "first_logins_at_two_replicas",
    },
    Broken {
        name: "a replica that hears of a change remembers what it did",
        file: "src/ledger/memory.rs",
        whole: "if fingerprint != theirs => {",
        damaged: "if fingerprint != theirs && false => {",
        test: "long_ways_with_a_shared_redis_by_the_dice",
    },
    Broken {
        name: "a revocation does not wait for a running update of the user",
        file: "src/broker/operators.rs",
        whole: "match self.updates.alone(user, work).await {",
        damaged: "match self.updates.alone(&Username::parse(\"other\").unwrap(), work).await {",
        test: "a_login_that_is_revoked_while_its_users_groups_change",
    },
    Broken {
        name: "a revocation takes the same login again",
        file: "src/broker/revoke.rs",
        whole: "generation.next().ok_or(",
        damaged: "Some(generation).ok_or(",
        test: "a_login_that_is_revoked",
    },
    Broken {
        name: "a revocation enables whom an administrator has disabled",
        file: "src/broker/rewrite.rs",
        whole: "..found.clone()",
        damaged: "enabled: true, ..found.clone()",
        test: "a_login_that_is_revoked_and_an_administrator_at_work",
    },
    Broken {
        name: "a revocation does not look again before it writes",
        file: "src/broker/revoke.rs",
        whole: "if self.read(user).await? != found {",
        damaged: "if self.read(user).await? != found && false {",
        test: "a_login_that_is_revoked_and_an_administrator_at_work",
    },
    Broken {
        name: "a login that was revoked is written again",
        file: "src/broker/ensure/agree.rs",
        whole: "&& generation > document.target.generation",
        damaged: "&& generation > document.target.generation && false",
        test: "a_login_that_is_revoked",
    },
    Broken {
        name: "nobody is parked",
        file: "src/broker/parking/due.rs",
        whole: "!is_next && !is_present",
        damaged: "!is_next && !is_present && false",
        test: "users_who_stay_away_by_the_dice",
    },
    Broken {
        name: "users are parked with a login that they get when they come back",
        file: "src/broker/parking/park.rs",
        whole: "kind: LoginKind::Parked,",
        damaged: "kind: LoginKind::Granted,",
        test: "users_who_stay_away_by_the_dice",
    },
    Broken {
        name: "whoever was listed is parked, whatever has become of them since",
        file: "src/broker/parking/park.rs",
        whole: "if !is_same || !is_due(&found.account, period, &state.keys) {",
        damaged: "if (!is_same || !is_due(&found.account, period, &state.keys)) && false {",
        test: "users_who_stay_away_by_the_dice",
    },
    Broken {
        name: "a replica that is asked for a check goes on to believe its memory",
        file: "src/ledger.rs",
        whole: "known: self.memory.contradict(user, NO_FINGERPRINT),",
        damaged: "known: false,",
        test: "a_login_that_is_revoked",
    },
    Broken {
        name: "OpenSearch: a write is sent again after a conflict without another look",
        file: "src/cluster/security/opensearch/batch.rs",
        whole: "it.calls < calls && it.entry.is_over_one()",
        damaged: "it.calls < calls && it.entry.is_over_one() && false",
        test: "opensearch::a_write_that_meets_a_conflict",
    },
    Broken {
        name: "OpenSearch: after a conflict whoever was changed meanwhile is written over",
        file: "src/cluster/security/opensearch/entry.rs",
        whole: "Over::Read(read) => read.as_deref() == now,",
        damaged: "Over::Read(read) => read.as_deref() == now || true,",
        test: "opensearch::a_write_that_meets_a_conflict",
    },
    Broken {
        name: "OpenSearch: a login does not follow from its roles",
        file: "src/broker/product.rs",
        whole: "self == Self::OpenSearch\n",
        damaged: "self == Self::OpenSearch && false\n",
        test: "opensearch::a_login_that_the_cache_keeps",
    },
    Broken {
        name: "OpenSearch: a revoked login stays in the credential cache",
        file: "src/cluster/security.rs",
        whole: "Api::Opensearch(api) => api.empty_cache(name, now).await,",
        damaged: "Api::Opensearch(_) => Ok(drop((name, now))),",
        test: "opensearch::a_login_that_is_revoked",
    },
    Broken {
        name: "OpenSearch: whoever was locked while their login was tried is written",
        file: "src/cluster/security/opensearch.rs",
        whole: "Known::Nobody | Known::Entry(_) => Err(CallError::of_cluster(",
        damaged: "Known::Nobody => Ok(Whoami::Refused),\n\
                  Known::Entry(_) => Err(CallError::of_cluster(",
        test: "opensearch::a_user_who_is_locked_while_their_login_is_tried",
    },
];

impl Broken {
    /// The text of the file, if the variant can be made from it and its test exists.
    fn checked(&self, tree: &Path) -> anyhow::Result<String> {
        let (name, file, whole) = (self.name, self.file, self.whole);
        let read = |file: &str| {
            fs::read_to_string(tree.join(file)).with_context(|| format!("{name}: {file}"))
        };
        let source = read(file)?;
        let times = source.matches(whole).count();
        ensure!(
            times == 1,
            "{name}: {file} has `{whole}` {times} times, not once"
        );
        let (module, test) = self.test.split_once("::").unwrap_or(("main", self.test));
        let test = format!("fn {test}()");
        ensure!(
            read(&format!("tests/interleavings/{module}.rs"))?.contains(&test),
            "{name}: no `{test}` in {module}.rs"
        );
        Ok(source)
    }
}

/// Goes further than `cargo test` does: minutes.
pub(crate) fn run() -> anyhow::Result<()> {
    let mut tests = shell::command(
        "cargo",
        &["test", "--test", "interleavings", "--", "--nocapture"],
    );
    shell::run(tests.env("ELASTAUTH_INTERLEAVINGS", "long"))
}

/// Builds each broken variant with this text in its name in a copy of the tree, and asks the test
/// that is named for it.
pub(crate) fn broken(named: &str) -> anyhow::Result<()> {
    let root = shell::root();
    let copy = root.join("target/broken");
    // `elastauth init` compiles in files of the last three.
    for folder in [
        "src", "tests", "examples", "xtask", "docs", "deploy", "contrib",
    ] {
        same(&root.join(folder), &copy.join(folder))?;
    }
    for file in ["Cargo.toml", "Cargo.lock", "elastauth.example.yml"] {
        fs::copy(root.join(file), copy.join(file))
            .with_context(|| format!("{file} cannot be copied"))?;
    }
    rename_version(&copy)?;
    let mut survived = Vec::new();
    let variants: Vec<&Broken> = VARIANTS
        .iter()
        .filter(|variant| variant.name.contains(named))
        .collect();
    ensure!(
        !variants.is_empty(),
        "no broken variant has `{named}` in its name"
    );
    for variant in variants {
        let path = copy.join(variant.file);
        let whole = variant.checked(&copy)?;
        fs::write(&path, whole.replace(variant.whole, variant.damaged))?;
        let compiled = ask(&copy, &root, variant.test, true);
        let passed = compiled.is_ok() && ask(&copy, &root, variant.test, false)?;
        fs::write(&path, whole)?;
        ensure!(compiled?, "`{}` does not compile", variant.name);
        println!(
            "{}: {}",
            variant.name,
            if passed { "NOT FOUND" } else { "found" }
        );
        if passed {
            survived.push(variant.name);
        }
    }
    if !survived.is_empty() {
        bail!("not found: {}", survived.join("; "));
    }
    Ok(())
}

/// Gives the copy another version. Both are built into one folder, for the sake of the packages
/// that they share; with the same version, cargo would take what is built from a broken copy for
/// ours.
fn rename_version(copy: &Path) -> anyhow::Result<()> {
    let read = |file| fs::read_to_string(copy.join(file)).context(file);
    let manifest = read("Cargo.toml")?;
    let version = manifest
        .lines()
        .find(|line| line.starts_with("version = "))
        .context("Cargo.toml has no version")?;
    let broken = "version = \"0.0.0-broken\"";
    let lock = read("Cargo.lock")?;
    let locked = |version: &str| format!("name = \"elastauth\"\n{version}");
    ensure!(
        lock.contains(&locked(version)),
        "Cargo.lock has another version than Cargo.toml"
    );
    fs::write(
        copy.join("Cargo.lock"),
        lock.replace(&locked(version), &locked(broken)),
    )?;
    fs::write(
        copy.join("Cargo.toml"),
        manifest.replacen(version, broken, 1),
    )?;
    Ok(())
}

/// Whether the test passes, or at least compiles.
fn ask(copy: &Path, root: &Path, test: &str, compile_only: bool) -> anyhow::Result<bool> {
    let arguments: &[&str] = if compile_only {
        &["--no-run"]
    } else {
        &["--", "--exact", test]
    };
    let mut command = shell::command(
        "cargo",
        &[&["test", "--quiet", "--test", "interleavings"], arguments].concat(),
    );
    command
        .current_dir(copy)
        .env("CARGO_TARGET_DIR", root.join("target"));
    let quiet = command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok(quiet.status().context("cargo cannot be started")?.success())
}

/// Makes `to` the same as `from`; what has not changed keeps its time, so that little is built
/// again.
fn same(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let name = entry?.file_name();
        let (source, target) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            same(&source, &target)?;
        } else if fs::read(&target).ok() != Some(fs::read(&source)?) {
            fs::copy(&source, &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_broken_variant_can_still_be_made() {
        let faults: Vec<String> = VARIANTS
            .iter()
            .filter_map(|variant| variant.checked(&shell::root()).err())
            .map(|fault| format!("{fault:#}"))
            .collect();
        assert!(faults.is_empty(), "{}", faults.join("\n"));
    }
}
