//! The same rules with an OpenSearch: all users in one document, writes of several users in one
//! call, a 409 where somebody else has written in between, a credential cache that may keep a
//! replaced login until the next write, and logins that follow from their roles.

use crate::{
    holds,
    setting::{Budget, Edit, Loss, Setting},
    wander,
};

fn opensearch() -> Setting {
    Setting {
        opensearch: true,
        losses: &[Loss::Refused, Loss::Full, Loss::After, Loss::Cut],
        ..Setting::default()
    }
}

/// Two replicas write the same new user: one of them may meet a conflict.
#[test]
fn first_logins_at_two_replicas() {
    let budget = Budget {
        asks: 2,
        losses: 1,
        ..Budget::default()
    };
    holds(
        "OpenSearch, first logins",
        Setting {
            budget,
            losses: &[Loss::Cut],
            ..opensearch()
        },
    );
}

/// The user's groups change, and an operator locks them, edits their roles or deletes them. If a
/// write is on its way at that time, it meets a conflict.
#[test]
fn a_write_that_meets_a_conflict() {
    let budget = Budget {
        asks: 2,
        edits: 1,
        ..Budget::default()
    };
    holds(
        "OpenSearch, conflicts",
        Setting {
            ahead: &[0],
            budget,
            edits: &[Edit::Disable, Edit::Roles, Edit::Delete],
            before: &[(0, "dev")],
            ..opensearch()
        },
    );
}

/// Another replica tries the login of a user whom it has found as they should be.
#[test]
fn a_user_who_is_locked_while_their_login_is_tried() {
    let budget = Budget {
        asks: 1,
        edits: 1,
        ..Budget::default()
    };
    holds(
        "OpenSearch, locked",
        Setting {
            budget,
            edits: &[Edit::Disable],
            groups: &["dev"],
            before: &[(0, "dev")],
            ..opensearch()
        },
    );
}

/// The user loses roles, and the cache keeps the login that had them.
#[test]
fn a_login_that_the_cache_keeps() {
    let budget = Budget {
        asks: 3,
        keeps: 2,
        ..Budget::default()
    };
    holds(
        "OpenSearch, cache",
        Setting {
            ahead: &[0],
            budget,
            before: &[(0, "admins")],
            ..opensearch()
        },
    );
}

#[test]
fn a_login_that_is_revoked() {
    let budget = Budget {
        asks: 1,
        keeps: 1,
        revokes: 1,
        ..Budget::default()
    };
    holds(
        "OpenSearch, revoked",
        Setting {
            ahead: &[0],
            budget,
            groups: &["dev"],
            before: &[(0, "dev")],
            ..opensearch()
        },
    );
}

/// Between two periods, with a conflict that makes a write late.
#[test]
fn a_boundary_of_two_passwords() {
    let budget = Budget {
        asks: 2,
        passes: 2,
        ..Budget::default()
    };
    holds(
        "OpenSearch, boundary",
        Setting {
            ahead: &[0, 200],
            before_boundary: 300,
            passes: &[450],
            groups: &["dev"],
            before: &[(0, "dev"), (1, "dev")],
            budget,
            ..opensearch()
        },
    );
}

#[test]
fn long_ways_by_the_dice() {
    let budget = Budget {
        asks: 255,
        losses: 12,
        keeps: 20,
        stalls: 10,
        passes: 30,
        restarts: 3,
        edits: 4,
        hang_ups: 8,
        revokes: 3,
        redis_faults: 0,
    };
    let setting = Setting {
        ahead: &[0, 100, 200],
        users: &["alice", "bob"],
        groups: &["dev", "admins", ""],
        rotation: 100_000,
        passes: &[50, 200, 500, 1_100, 4_000, 30_000, 91_000, 601_000],
        edits: &[Edit::Disable, Edit::Enable, Edit::Password, Edit::Delete],
        before_boundary: 1_000,
        budget,
        ..opensearch()
    };
    wander("OpenSearch, by the dice", &setting, 40, 100);
}
