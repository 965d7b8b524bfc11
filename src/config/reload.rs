//! Reading the configuration again while the program runs: what can be applied, and what requires a
//! restart.

use super::{
    barriers::{self, Barrier, Widening},
    fill::fill,
    finding::{Finding, Findings, Place},
    key::ConfigKey,
    loaded::Loaded,
    read::read,
    section,
    settings::Settings,
    sources::Sources,
    table,
    types::{Checked, Config},
    value_type::ValueType,
};
use std::{collections::BTreeSet, path::PathBuf};

/// What listeners speak TLS with.
static TLS: [&ConfigKey; 5] = [
    &table::TLS_CERT,
    &table::TLS_KEY,
    &table::TLS_CLIENT_CA,
    &table::TLS_CLIENT_NAMES,
    &table::LISTENERS,
];

/// What reading again gives.
#[derive(Debug)]
pub(crate) struct Reloaded {
    /// What is to be in force from now on: the new values of the keys that a running program
    /// applies, the old ones of all others. Or everything that is wrong.
    pub outcome: Result<(Box<Config>, Loaded), Vec<Finding>>,
    /// What is legal, and weak or old, in the new configuration.
    pub warnings: Vec<Finding>,
    /// The keys whose new values are applied.
    pub applied: Vec<&'static str>,
    /// The keys that have new values and keep their old ones until a restart.
    pub requires_restart: Vec<&'static str>,
    /// Those of them that would remove or widen a barrier.
    pub widenings: Vec<Widening>,
    /// The files that the new configuration is made of, whether it is valid or not.
    pub files: BTreeSet<PathBuf>,
}

impl Loaded {
    /// Compares with what the sources say now. Changes nothing.
    #[must_use]
    pub(crate) fn reload(&self, sources: &Sources) -> Reloaded {
        let (Checked { outcome, warnings }, new) = read(sources);
        let mut reloaded = Reloaded {
            files: new.files(),
            outcome: Err(Vec::new()),
            warnings,
            applied: Vec::new(),
            requires_restart: Vec::new(),
            widenings: Vec::new(),
        };
        reloaded.outcome = match outcome {
            Ok(config) => {
                let tls_stays;
                (reloaded.widenings, tls_stays) = self.judge(&config, &new.settings);
                self.apply(new, tls_stays, &mut reloaded)
            }
            Err(faults) => Err(faults),
        };
        reloaded
    }

    /// What the new configuration would remove or widen, and whether each listener that speaks TLS
    /// goes on to do so. Judged is what would be in force: a general key may be safe to remove only
    /// because each listener has its own now, and those may have to wait for a restart.
    fn judge(&self, new: &Config, settings: &Settings) -> (Vec<Widening>, bool) {
        let before = fill(&self.settings, &mut Findings::default());
        let Some(old) = before else {
            return (Vec::new(), false);
        };
        let (mut settings, mut judged) = (settings.clone(), Some(new.clone()));
        let revert = |settings: &mut Settings, keys: &[&'static ConfigKey]| {
            for key in keys {
                settings.revert(key, &self.settings);
            }
            fill(settings, &mut Findings::default())
        };
        if applies(&table::LISTENERS, &self.settings, &settings) == Some(false) {
            judged = revert(&mut settings, &[&table::LISTEN, &table::LISTENERS]);
        }
        let stays = |new: &Config| speak_tls(&old) == speak_tls(new);
        let tls_stays = judged.as_ref().is_some_and(stays);
        if !tls_stays {
            judged = revert(&mut settings, &TLS);
        }
        let mut widenings = Vec::new();
        while let Some(new) = &judged {
            let more = self.widenings(&old, new, &settings);
            let is_held = |key: &&ConfigKey| {
                let mut more = more.iter();
                more.any(|widening: &Widening| widening.keys.contains(&key.path))
            };
            let held: Vec<_> = table::ALL.iter().copied().filter(is_held).collect();
            widenings.extend(more);
            if held.is_empty() {
                break;
            }
            // Each round reverts keys that had changed, so it ends.
            judged = revert(&mut settings, &held);
        }
        (widenings, tls_stays)
    }

    /// What the new configuration would remove or widen.
    fn widenings(&self, old: &Config, new: &Config, settings: &Settings) -> Vec<Widening> {
        let widening = |Barrier { keys, widens, what }: &Barrier| {
            let changed = keys
                .iter()
                .filter(|key| applies(key, &self.settings, settings).is_some());
            let keys: Vec<_> = changed.map(|key| key.path).collect();
            (!keys.is_empty() && widens(old, new)).then_some(Widening { keys, what })
        };
        barriers::ALL.iter().filter_map(widening).collect()
    }

    /// The new configuration with the old values of all keys that require a restart.
    fn apply(
        &self,
        mut new: Loaded,
        tls_stays: bool,
        reloaded: &mut Reloaded,
    ) -> Result<(Box<Config>, Loaded), Vec<Finding>> {
        let Reloaded {
            applied,
            requires_restart,
            widenings,
            ..
        } = reloaded;
        let is_held = |key: &ConfigKey| widenings.iter().any(|held| held.keys.contains(&key.path));
        for key in table::ALL {
            let Some(at_once) = applies(key, &self.settings, &new.settings) else {
                continue;
            };
            if at_once && !is_held(key) && (tls_stays || !TLS.contains(key)) {
                applied.push(key.path);
            } else {
                requires_restart.push(key.path);
                new.settings.revert(key, &self.settings);
            }
        }
        let mut findings = Findings::default();
        let config = fill(&new.settings, &mut findings);
        // The warnings of the whole new configuration are reported already.
        match Checked::new(config, findings).outcome {
            Ok(config) => Ok((Box::new(config), new)),
            Err(mut faults) => {
                let kept = requires_restart.join(", ");
                let conflict = format!(
                    "the new configuration is valid after a restart, but not for the running \
                     program, which keeps its {kept}; restart elastauth"
                );
                faults.push(Finding::new(&Place::Nowhere, conflict));
                Err(faults)
            }
        }
    }
}

/// Of each listener, whether it speaks TLS.
fn speak_tls(config: &Config) -> Vec<bool> {
    let listeners = config.listeners.iter();
    listeners.map(|listener| listener.tls.is_some()).collect()
}

/// Whether a running program applies the new value of a key; `None` where it is the old one.
fn applies(key: &ConfigKey, before: &Settings, after: &Settings) -> Option<bool> {
    let differs =
        |key: &ConfigKey, before: &Settings, after: &Settings| before.raw(key) != after.raw(key);
    let ValueType::Sections(of) = key.value_type else {
        return differs(key, before, after).then_some(key.reload);
    };
    if of.are_named() {
        // A running program adds, changes and removes them.
        let (before, after) = (before.sections(of), after.sections(of));
        let is_same = |(one, other): (&Settings, &Settings)| {
            let mut keys = section::keys(of);
            one.name == other.name && !keys.any(|(_, key)| differs(key, one, other))
        };
        let same = before.len() == after.len() && before.iter().zip(after).all(is_same);
        return (!same).then_some(key.reload);
    }
    // The sections have to be the same in the same order, and only what applies to a running
    // program may differ in each.
    let (before, after) = (before.sections(of), after.sections(of));
    if before.len() != after.len() {
        return Some(false);
    }
    let changed = before.iter().zip(after).flat_map(|(before, after)| {
        section::keys(of).filter(move |(_, key)| differs(key, before, after))
    });
    changed
        .map(|(_, key)| key.reload)
        .reduce(|all, one| all && one)
}
