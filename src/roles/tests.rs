//! Who gets which roles, by which rule.

use super::*;
use crate::{identity, model::Group};
use http::{HeaderMap, HeaderValue};

fn identity(groups: &str) -> Identity {
    let mut headers = HeaderMap::new();
    headers.insert("remote-user", HeaderValue::from_static("alice"));
    headers.insert("remote-groups", HeaderValue::from_str(groups).unwrap());
    identity::headers::identity(&headers)
}

fn roles(names: &[&str]) -> Vec<Role> {
    names
        .iter()
        .map(|name| Role::parse(name).unwrap())
        .collect()
}

fn mapping(pairs: &[(&str, &[&str])]) -> Vec<(Group, Vec<Role>)> {
    pairs
        .iter()
        .map(|(group, names)| (Group::parse(group).unwrap(), roles(names)))
        .collect()
}

fn given(config: &Config, groups: &str) -> Result<Vec<String>, NotEntitled> {
    let entitled = Mapping::new(config.clone()).entitle(identity(groups))?;
    Ok(entitled
        .roles()
        .iter()
        .map(|role| role.as_str().to_owned())
        .collect())
}

#[test]
fn default_roles_go_to_all_users_in_addition_to_the_mapped_ones() {
    let config = Config {
        default_roles: roles(&["viewer"]),
        group_mappings: mapping(&[("admins", &["superuser", "viewer"]), ("dev", &["editor"])]),
        ..Config::default()
    };
    assert_eq!(given(&config, "").unwrap(), ["viewer"]);
    assert_eq!(given(&config, "dev").unwrap(), ["editor", "viewer"]);
    assert_eq!(
        given(&config, "dev,admins,unknown").unwrap(),
        ["editor", "superuser", "viewer"]
    );
}

#[test]
fn each_role_can_say_which_rule_gave_it() {
    let config = Config {
        default_roles: roles(&["viewer"]),
        group_mappings: mapping(&[("Team-*", &["editor"])]),
        ..Config::default()
    };
    let (mapping, identity) = (Mapping::new(config), identity("team-a"));
    let given: Vec<String> = mapping
        .given(&identity)
        .iter()
        .map(|given| match given.rule {
            Rule::Default => format!("{} by default", given.role.as_str()),
            Rule::User { pattern } => format!("{} by {pattern}", given.role.as_str()),
            Rule::Mapping { pattern, group } => format!(
                "{} by {pattern} for {}",
                given.role.as_str(),
                group.as_str()
            ),
        })
        .collect();
    assert_eq!(given, ["editor by Team-* for team-a", "viewer by default"]);
}

#[test]
fn unmapped_means_only_users_that_no_mapping_matched() {
    let config = Config {
        default_roles: roles(&["viewer"]),
        default_roles_apply: DefaultRolesApply::Unmapped,
        group_mappings: mapping(&[("dev", &["editor"])]),
        ..Config::default()
    };
    assert_eq!(given(&config, "dev").unwrap(), ["editor"]);
    assert_eq!(given(&config, "other").unwrap(), ["viewer"]);
}

#[test]
fn ascii_case_does_not_count_and_other_letters_do() {
    let config = Config {
        group_mappings: mapping(&[("Éditeurs", &["editor"]), ("OPS", &["ops"])]),
        ..Config::default()
    };
    assert_eq!(given(&config, "ops").unwrap(), ["ops"]);
    assert_eq!(given(&config, "oPs").unwrap(), ["ops"]);
    assert_eq!(mapped(&config, "alice", &["Éditeurs"]).0, ["editor"]);
    assert!(mapped(&config, "alice", &["éditeurs"]).0.is_empty());
}

#[test]
fn only_allowed_groups_are_let_in() {
    let config = Config {
        default_roles: roles(&["viewer"]),
        allowed_groups: Some(vec![Group::parse("es-*").unwrap()]),
        ..Config::default()
    };
    assert_eq!(given(&config, "ES-users").unwrap(), ["viewer"]);
    assert_eq!(given(&config, "users"), Err(NotEntitled::GroupNotAllowed));
    assert_eq!(given(&config, ""), Err(NotEntitled::GroupNotAllowed));
}

#[test]
fn rules_of_one_provider_are_for_its_users_only() {
    let own = Config {
        group_mappings: mapping(&[("admins", &["partner_admin"])]),
        ..Config::default()
    };
    let rules = Mapping::new(Config {
        default_roles: roles(&["viewer"]),
        group_mappings: mapping(&[("admins", &["superuser"])]),
        by_provider: HashMap::from([("partner".into(), own)]),
        ..Config::default()
    });
    let given = |identity: Identity| {
        rules.entitle(identity).map(|e| {
            e.roles()
                .iter()
                .map(|role| role.as_str().to_owned())
                .collect()
        })
    };
    assert_eq!(
        given(identity("admins")),
        Ok(vec!["superuser".to_owned(), "viewer".to_owned()])
    );
    let from = |provider: &str, groups: &[&str]| Identity::of_provider(provider, "bob", groups);
    assert_eq!(
        given(from("partner", &["admins"])),
        Ok(vec!["partner_admin".to_owned()])
    );
    assert_eq!(given(from("partner", &[])), Err(NotEntitled::NoRole));
    assert_eq!(
        given(from("other", &["admins"])),
        Ok(vec!["superuser".to_owned(), "viewer".to_owned()])
    );
}

#[test]
fn a_user_without_a_role_is_refused() {
    let config = Config {
        group_mappings: mapping(&[("dev", &["editor"])]),
        ..Config::default()
    };
    assert_eq!(given(&config, "other"), Err(NotEntitled::NoRole));
}

fn mapped(config: &Config, user: &str, groups: &[&str]) -> (Vec<String>, Vec<String>) {
    let mapping = Mapping::new(config.clone());
    let identity = Identity::of_provider("main", user, groups);
    let remarks = mapping.remarks(&identity);
    let given = mapping.given(&identity);
    (
        given
            .iter()
            .map(|given| given.role.as_str().to_owned())
            .collect(),
        remarks.iter().map(ToString::to_string).collect(),
    )
}

#[test]
fn a_user_has_the_roles_of_their_name_in_addition_to_those_of_groups() {
    let config = Config {
        default_roles: roles(&["viewer"]),
        default_roles_apply: DefaultRolesApply::Unmapped,
        group_mappings: mapping(&[("dev", &["editor"])]),
        user_mappings: mapping(&[("Alice", &["boss"]), ("svc-*", &["svc_{1}"])]),
        ..Config::default()
    };
    for (user, groups, expected) in [
        ("Alice", &["dev"][..], &["boss", "editor"][..]),
        ("Alice", &[], &["boss"]),
        // To the cluster this is another user.
        ("alice", &[], &["viewer"]),
        ("svc-a", &[], &["svc_a"]),
        // A mapping matched, so these are not the unmapped.
        ("svc-a b", &[], &[]),
    ] {
        assert_eq!(mapped(&config, user, groups).0, expected, "{user}");
    }
}

#[test]
fn what_a_wildcard_stands_for_names_roles_and_what_cannot_is_told() {
    let config = Config {
        group_mappings: mapping(&[("team-*", &["kibana-{1}", "viewer"])]),
        ..Config::default()
    };
    let (given, remarks) = mapped(&config, "alice", &["Team-A", "team-b/c"]);
    assert_eq!(given, ["viewer", "kibana-A", "viewer"]);
    assert_eq!(remarks.len(), 1);
    assert!(
        remarks[0]
            .starts_with("`kibana-{1}` of the mapping `team-*` gives no role for \"team-b/c\""),
        "{remarks:?}"
    );
}

#[test]
fn made_roles_and_remarks_are_bounded() {
    let config = Config {
        group_mappings: mapping(&[("t*", &["k{1}"])]),
        ..Config::default()
    };
    let names: Vec<String> = (0..2_000).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (given, remarks) = mapped(&config, "alice", &names);
    assert_eq!((given.len(), remarks.len()), (remark::MAX_MADE, 1));
    let names: Vec<String> = (0..2_000).map(|n| format!("t /{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let (given, remarks) = mapped(&config, "alice", &names);
    assert!(given.is_empty() && remarks.len() <= remark::MAX_REMARKS + 1);
}

#[test]
fn a_text_that_looks_like_several_groups_is_told_where_no_rule_is_for_it() {
    let config = Config {
        default_roles: roles(&["viewer"]),
        group_mappings: mapping(&[("dev", &["editor"]), ("a|b", &["editor"])]),
        ..Config::default()
    };
    for (groups, told) in [
        ("dev|ops", true),
        ("x;y", true),
        ("a|b", false),
        ("dev ops", true),
        ("Domain Users", false),
        ("dev", false),
    ] {
        let remarks = Mapping::new(config.clone()).remarks(&identity(groups));
        assert_eq!(!remarks.is_empty(), told, "{groups}: {remarks:?}");
    }
}

proptest::proptest! {
    #[test]
    fn fewer_groups_never_give_more_roles(
        all in proptest::collection::vec("[a-c]{1,2}", 0..6),
        keep in 0_usize..6,
    ) {
        let config = Config {
            default_roles: roles(&["viewer"]),
            user_mappings: mapping(&[("al*", &["user_{1}"])]),
            group_mappings: mapping(&[
                ("a*", &["one", "made_{1}"]),
                ("b", &["two", "three"]),
                ("*c", &["four"]),
            ]),
            ..Config::default()
        };
        let some = all.iter().take(keep).cloned().collect::<Vec<_>>().join(",");
        let more = given(&config, &all.join(",")).unwrap();
        let fewer = given(&config, &some).unwrap();
        proptest::prop_assert!(fewer.iter().all(|role| more.contains(role)));
    }
}
