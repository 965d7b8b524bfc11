//! How much is remembered of tokens: a bound in bytes, so that users in many groups take no more
//! memory than others.

use super::setup::Setup;
use serde_json::json;

/// Each answer of the provider has 100 KB of groups; 64 MB are remembered.
const GROUPS: usize = 1_000;
const NAME: usize = 100;
const TOKENS: usize = 1_000;

#[tokio::test]
async fn answers_about_users_in_many_groups_are_forgotten_by_their_size() {
    let setup = Setup::with("  token_validation: userinfo\n  cache: 1h\n").await;
    let answer = |groups: Vec<String>| {
        setup.idp.says(
            "/me",
            json!({ "sub": "u1", "preferred_username": "alice", "groups": groups }),
        );
    };
    let ask = async |kind: &str, n: usize| {
        let asked = setup.idp.asked("/me");
        let answer = setup.bearer(&format!("{kind}-{n}")).await;
        assert_eq!(answer.status, 200, "{kind} {n}: {}", setup.elastauth.log());
        setup.idp.asked("/me") - asked
    };
    // Those of a usual user are all remembered.
    answer(vec!["dev".to_owned()]);
    for n in 0..TOKENS {
        assert_eq!(ask("few", n).await, 1);
    }
    for n in 0..TOKENS {
        assert_eq!(ask("few", n).await, 0, "{n} is remembered");
    }
    // The comma keeps the groups out of the answer's header.
    let groups = (0..GROUPS).map(|n| format!("{n},{}", "x".repeat(NAME)));
    answer(groups.chain(["dev".to_owned()]).collect());
    for n in 0..TOKENS {
        ask("many", n).await;
    }
    let mut again = 0;
    for n in 0..TOKENS {
        again += ask("many", n).await;
    }
    let room = 64 * 1_024 * 1_024 / (GROUPS * NAME);
    assert!(
        again >= TOKENS - room,
        "{again} of {TOKENS} were asked about again"
    );
}
