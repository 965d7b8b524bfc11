//! The scripts that Redis runs, and their arguments. Each script is one step for all replicas.

use super::outbox::{Action, OutboxEntry};
use crate::ledger::types::How;
use redis::Cmd;
use std::time::Duration;

const LOOK: &str = include_str!("look.lua");
const BEGIN: &str = include_str!("begin.lua");
const WRITTEN: &str = include_str!("written.lua");
const CONFIRMED: &str = include_str!("confirmed.lua");

pub(super) fn look(key: &str) -> Cmd {
    let mut eval = eval(LOOK, 2);
    // Never stored; the braces put it onto the same node of a cluster.
    eval.arg(key).arg(format!("elastauth:{{{key}}}"));
    eval
}

pub(super) fn begin(
    key: &str,
    pending: &[u8],
    kept_for: Duration,
    channel: &str,
    message: &[u8],
) -> Cmd {
    let mut eval = eval(BEGIN, 1);
    eval.arg(key).arg(pending).arg(millis(kept_for));
    eval.arg(channel).arg(message);
    eval
}

/// `None` for an entry that needs no script.
pub(super) fn end(
    entry: &OutboxEntry,
    kept_for: Duration,
    channel: &str,
    message: &[u8],
) -> Option<Cmd> {
    let Action::Store {
        how,
        instead_of,
        value,
    } = &entry.action
    else {
        return None;
    };
    let script = match how {
        How::Written => WRITTEN,
        How::Confirmed => CONFIRMED,
    };
    let mut eval = eval(script, 1);
    eval.arg(&entry.key).arg(instead_of).arg(value);
    eval.arg(millis(kept_for)).arg(channel).arg(message);
    Some(eval)
}

fn eval(script: &str, keys: u8) -> Cmd {
    let mut eval = Cmd::new();
    eval.arg("EVAL").arg(compact(script)).arg(keys);
    eval
}

fn millis(time: Duration) -> u64 {
    // Redis refuses an expiry of zero.
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).max(1)
}

/// Without comments and indentation: each command carries its script.
fn compact(source: &str) -> String {
    let lines = source.lines().map(str::trim);
    let code: Vec<&str> = lines
        .filter(|line| !line.is_empty() && !line.starts_with("--"))
        .collect();
    code.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        clock::Timestamp,
        keys::{Keyring, Slot},
        ledger::{
            seal,
            types::{Kind, NO_FINGERPRINT, Target},
        },
        model::{Generation, Username},
        secret::SecretKey,
    };

    #[test]
    fn what_is_sent_has_no_comments() {
        for source in [LOOK, BEGIN, WRITTEN, CONFIRMED] {
            assert!(!compact(source).contains("--"), "{source}");
        }
        assert_eq!(
            compact(LOOK),
            "redis.call('DEL', KEYS[2]) return redis.call('GET', KEYS[1])"
        );
    }

    #[test]
    fn the_scripts_know_where_a_value_has_its_kind() {
        let constant = |name: &str| {
            let mut lines = WRITTEN.lines();
            lines.find_map(|line| line.strip_prefix(&format!("local {name} = ")))
        };
        let kind_at: usize = constant("KIND_AT").unwrap().parse().unwrap();
        let pending = constant("WRITE_PENDING").unwrap().trim_matches('\'');
        let ring = Keyring::new(&SecretKey::random().unwrap(), None, "default");
        let target = Target {
            user: Username::parse("alice").unwrap(),
            fingerprint: NO_FINGERPRINT,
            generation: Generation::default(),
            epoch: 0,
            key: Slot::Current,
        };
        let kind = |kind| {
            let value = seal::seal_target(&ring, &target, kind, Timestamp(0));
            value.get(kind_at - 1).copied().map(char::from)
        };
        assert_eq!(kind(Kind::WritePending), pending.chars().next());
        assert_ne!(kind(Kind::Present), pending.chars().next());
    }
}
