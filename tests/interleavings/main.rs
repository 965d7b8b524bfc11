//! The real broker, several replicas of it, in every order of events that a small setting allows:
//! answers of the cluster that come late, get lost or are applied half a minute on, replicas that
//! are killed and come back, clocks that differ, administrators that edit.
//!
//! No copy of the protocol is checked but the code that ships, down to its HTTP client. What is
//! scripted is the cluster alone.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "the explorer holds every task by its handle"
)]
#![allow(clippy::print_stdout, reason = "what was covered is worth a line")]

mod cluster;
mod explore;
mod opensearch;
mod redis;
#[path = "../support/request.rs"]
mod request;
mod rules;
mod script;
mod setting;
mod stage;
mod world;

use explore::{by_the_dice, every_order};
use setting::{Budget, Edit, Loss, RedisFault, Setting};

/// Set to `long`, it makes everything go further: minutes instead of seconds.
const EXTENT: &str = "ELASTAUTH_INTERLEAVINGS";
/// The seed of a long story that is to be played again.
const SEED: &str = "ELASTAUTH_SEED";

fn is_long() -> bool {
    std::env::var(EXTENT).is_ok_and(|extent| extent == "long")
}

fn holds(name: &str, setting: Setting) {
    let mut setting = setting;
    if is_long() {
        setting.budget.asks += 1;
    }
    let begun = std::time::Instant::now();
    match every_order(setting) {
        Ok(found) => println!("{name}: {found:?} in {:.1?}", begun.elapsed()),
        Err(story) => panic!("{name}: {story}"),
    }
}

/// What the protocol rests on is taken away, and the explorer has to notice.
fn breaks(name: &str, what: &str, setting: Setting) {
    let story = every_order(setting).expect_err(name);
    assert!(
        story.contains(what),
        "{name}: another fault than the one that was made: {story}"
    );
    println!("{name}: {story}");
}

/// Long ways, each by a seed of its own.
fn wander(name: &str, setting: &Setting, seeds: u64, length: usize) {
    let first = std::env::var(SEED).ok().and_then(|seed| seed.parse().ok());
    let (begun, mut answers) = (std::time::Instant::now(), 0);
    let seeds = if is_long() { seeds * 30 } else { seeds };
    for seed in first.map_or(1..=seeds, |seed| seed..=seed) {
        match by_the_dice(setting, seed, length) {
            Ok(found) => answers += found.answers,
            Err(story) => panic!("{SEED}={seed}: {story}"),
        }
    }
    println!("{name}: {answers} answers in {:.1?}", begun.elapsed());
}

fn first_logins() -> Setting {
    Setting {
        budget: Budget {
            asks: 2,
            losses: 1,
            stalls: 1,
            ..Budget::default()
        },
        ..Setting::default()
    }
}

fn changed_groups() -> Setting {
    let budget = Budget {
        asks: 3,
        losses: 1,
        ..Budget::default()
    };
    Setting {
        ahead: &[0],
        losses: &[Loss::Refused, Loss::After, Loss::Cut],
        before: &[(0, "dev")],
        budget,
        ..Setting::default()
    }
}

fn late_writes() -> Setting {
    let budget = Budget {
        asks: 3,
        losses: 1,
        passes: 1,
        ..Budget::default()
    };
    Setting {
        ahead: &[0],
        losses: &[Loss::Adrift],
        passes: &[30_000, 91_000],
        before: &[(0, "dev")],
        budget,
        ..Setting::default()
    }
}

/// A tenth of a second before the boundary; the other replica is a fifth of a second ahead.
fn boundary() -> Setting {
    let budget = Budget {
        asks: 3,
        passes: 3,
        ..Budget::default()
    };
    Setting {
        ahead: &[0, 200],
        before_boundary: 300,
        passes: &[150, 450],
        groups: &["dev"],
        before: &[(0, "dev"), (1, "dev")],
        budget,
        ..Setting::default()
    }
}

fn killed() -> Setting {
    let budget = Budget {
        asks: 2,
        losses: 1,
        restarts: 1,
        ..Budget::default()
    };
    Setting {
        losses: &[Loss::After, Loss::Adrift],
        before: &[(0, "dev")],
        budget,
        ..Setting::default()
    }
}

fn administrator() -> Setting {
    let budget = Budget {
        asks: 2,
        stalls: 1,
        edits: 2,
        passes: 1,
        ..Budget::default()
    };
    let edits = &[
        Edit::Disable,
        Edit::Enable,
        Edit::Roles,
        Edit::Password,
        Edit::Delete,
    ];
    Setting {
        ahead: &[0],
        edits,
        passes: &[600_000],
        groups: &["dev"],
        before: &[(0, "dev")],
        budget,
        ..Setting::default()
    }
}

fn foreign() -> Setting {
    let budget = Budget {
        asks: 2,
        losses: 1,
        stalls: 1,
        restarts: 1,
        ..Budget::default()
    };
    Setting {
        groups: &["dev"],
        foreign: true,
        budget,
        ..Setting::default()
    }
}

fn two_addresses() -> Setting {
    let budget = Budget {
        asks: 2,
        losses: 1,
        passes: 1,
        ..Budget::default()
    };
    Setting {
        ahead: &[0],
        addresses: 2,
        groups: &["dev"],
        passes: &[1_100, 11_000],
        budget,
        ..Setting::default()
    }
}

/// Both replicas know the user, and have informed each other. What may go wrong with Redis is for
/// the dice: every order of it would be ten thousand stories.
fn shared() -> Setting {
    let budget = Budget {
        asks: 2,
        ..Budget::default()
    };
    Setting {
        before: &[(0, "dev"), (1, "dev")],
        expiration: 30_000,
        redis: Some(&[]),
        budget,
        ..Setting::default()
    }
}

#[test]
fn long_ways_with_a_shared_redis_by_the_dice() {
    let budget = Budget {
        asks: 255,
        losses: 10,
        stalls: 10,
        passes: 20,
        revokes: 3,
        redis_faults: 8,
        ..Budget::default()
    };
    let passes = &[2_000, 6_000, 12_000, 32_000, 92_000];
    let redis_faults: &[RedisFault] = &[
        RedisFault::CutBefore,
        RedisFault::CutAfter,
        RedisFault::Late,
        RedisFault::Deaf,
        RedisFault::Flush,
    ];
    wander(
        "with Redis",
        &Setting {
            passes,
            redis: Some(redis_faults),
            before: &[],
            budget,
            ..shared()
        },
        20,
        80,
    );
}

#[test]
fn a_shared_redis_and_a_user_whose_groups_change() {
    holds("shared, changed groups", shared());
}

#[test]
fn first_logins_at_two_replicas() {
    holds("first logins", first_logins());
}

#[test]
fn a_known_user_whose_groups_change() {
    holds("changed groups", changed_groups());
}

#[test]
fn writes_of_unknown_end_that_come_late() {
    holds("late writes", late_writes());
}

#[test]
fn a_boundary_of_two_passwords_with_clocks_that_differ() {
    holds("boundary", boundary());
}

#[test]
fn a_slow_update_at_the_boundary() {
    let budget = Budget {
        asks: 2,
        passes: 2,
        hang_ups: 1,
        ..Budget::default()
    };
    holds(
        "slow update",
        Setting {
            ahead: &[0],
            passes: &[700],
            before_boundary: 1_100,
            groups: &["dev"],
            budget,
            ..Setting::default()
        },
    );
}

#[test]
fn a_change_of_keys() {
    let budget = Budget {
        asks: 3,
        passes: 2,
        ..Budget::default()
    };
    holds(
        "change of keys",
        Setting {
            rotation: 0,
            key_change: true,
            before_boundary: 150,
            budget,
            ..boundary()
        },
    );
}

#[test]
fn replicas_that_are_killed() {
    holds("killed", killed());
}

#[test]
fn an_administrator_at_work() {
    holds("administrator", administrator());
}

#[test]
fn somebody_elses_user() {
    holds("foreign", foreign());
}

#[test]
fn a_cluster_with_two_addresses() {
    holds("two addresses", two_addresses());
}

/// An operator revokes at one replica, and has the other one check the user.
fn revoked() -> Setting {
    let budget = Budget {
        asks: 2,
        stalls: 1,
        revokes: 1,
        ..Budget::default()
    };
    Setting {
        ahead: &[0, 200],
        groups: &["dev"],
        before: &[(0, "dev"), (1, "dev")],
        budget,
        ..Setting::default()
    }
}

#[test]
fn a_login_that_is_revoked() {
    holds("revoked", revoked());
}

#[test]
fn a_login_that_is_revoked_while_its_users_groups_change() {
    let budget = Budget {
        asks: 1,
        losses: 1,
        revokes: 1,
        ..Budget::default()
    };
    holds(
        "revoked, changed groups",
        Setting {
            ahead: &[0],
            losses: &[Loss::Refused, Loss::After, Loss::Adrift],
            groups: &["dev", "admins"],
            before: &[(0, "dev")],
            budget,
            ..revoked()
        },
    );
}

#[test]
fn a_login_that_is_revoked_at_the_boundary() {
    let budget = Budget {
        asks: 1,
        passes: 1,
        revokes: 1,
        ..Budget::default()
    };
    holds(
        "revoked, boundary",
        Setting {
            ahead: &[0],
            before: &[(0, "dev")],
            before_boundary: 300,
            passes: &[450],
            budget,
            ..revoked()
        },
    );
}

#[test]
fn a_login_that_is_revoked_and_an_administrator_at_work() {
    let budget = Budget {
        asks: 1,
        edits: 2,
        revokes: 1,
        ..Budget::default()
    };
    holds(
        "revoked, administrator",
        Setting {
            ahead: &[0],
            before: &[(0, "dev")],
            budget,
            edits: &[Edit::Disable, Edit::Roles, Edit::Delete],
            ..revoked()
        },
    );
}

#[test]
fn a_login_that_is_revoked_with_a_shared_redis() {
    let budget = Budget {
        asks: 1,
        revokes: 1,
        ..Budget::default()
    };
    holds(
        "shared, revoked",
        Setting {
            groups: &["dev"],
            budget,
            ..shared()
        },
    );
}

#[test]
fn long_ways_by_the_dice() {
    let budget = Budget {
        asks: 255,
        losses: 15,
        stalls: 10,
        passes: 40,
        restarts: 4,
        edits: 4,
        hang_ups: 10,
        revokes: 4,
        ..Budget::default()
    };
    let setting = Setting {
        ahead: &[0, 100, 200],
        users: &["alice", "bob"],
        groups: &["dev", "admins", ""],
        rotation: 100_000,
        passes: &[50, 200, 500, 1_100, 4_000, 30_000, 91_000, 601_000],
        edits: &[
            Edit::Disable,
            Edit::Enable,
            Edit::Roles,
            Edit::Password,
            Edit::Delete,
        ],
        before_boundary: 1_000,
        budget,
        ..Setting::default()
    };
    wander("by the dice", &setting, 60, 120);
}

/// Replicas look for users to park at times that chance draws: only the dice can play that.
#[test]
fn users_who_stay_away_by_the_dice() {
    let budget = Budget {
        asks: 60,
        losses: 4,
        stalls: 4,
        passes: 30,
        restarts: 2,
        edits: 2,
        hang_ups: 2,
        revokes: 2,
        ..Budget::default()
    };
    let setting = Setting {
        ahead: &[0, 200],
        groups: &["dev", "admins"],
        rotation: 20_000,
        park_within: Some(4_000),
        passes: &[200, 1_000, 4_000, 11_000],
        edits: &[Edit::Disable, Edit::Enable, Edit::Roles, Edit::Delete],
        before_boundary: 3_000,
        budget,
        ..Setting::default()
    };
    wander("stay away", &setting, 12, 150);
}

#[test]
fn the_explorer_finds_a_boundary_without_a_hold() {
    breaks(
        "no hold",
        "was ended by a write",
        Setting {
            grace: 0,
            ..boundary()
        },
    );
}

#[test]
fn the_explorer_finds_clocks_that_differ_by_more_than_the_grace() {
    breaks(
        "skew",
        "was ended by a write",
        Setting {
            ahead: &[0, 900],
            ..boundary()
        },
    );
}

#[test]
fn the_explorer_finds_gateways_that_take_longer_than_the_grace() {
    breaks(
        "slow gateways",
        "was ended by a write",
        Setting {
            use_within: 900,
            ..boundary()
        },
    );
}

#[test]
fn the_explorer_finds_uncertainty_that_ends_before_the_clusters_own_timeout() {
    breaks(
        "patient cluster",
        "more roles",
        Setting {
            gives_up: 300_000,
            passes: &[91_000],
            ..late_writes()
        },
    );
}
