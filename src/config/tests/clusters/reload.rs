//! What a reload does to several clusters.

use super::*;

fn reload(before: &str, after: &str) -> Reloaded {
    let (checked, loaded) = read(&sources(before, &[]));
    assert!(checked.outcome.is_ok(), "{:?}", fault_texts(&checked));
    loaded.reload(&sources(after, &[]))
}

#[test]
fn a_reload_adds_changes_and_removes_clusters() {
    let one = clusters(ONE);
    let both = clusters(&format!("{TWO}{ONE}"));
    let moved = both.replace("https://two:9200", "https://third:9200");
    for (before, after, expected) in [
        (&one, &both, vec!["one", "two"]),
        (&both, &one, vec!["one"]),
        (&both, &moved, vec!["one", "two"]),
    ] {
        let again = reload(before, after);
        assert_eq!(
            (again.applied, again.requires_restart),
            (vec!["clusters"], vec![])
        );
        assert_eq!(names(&again.outcome.unwrap().0), expected);
    }
    let same = reload(&both, &clusters(&format!("{ONE}{TWO}")));
    assert!(same.applied.is_empty() && same.requires_restart.is_empty());
    let unmatched = reload(
        &both,
        &both.replace("clusters:\n", "clusters:\n  unmatched: refuse\n"),
    );
    assert_eq!(unmatched.applied, ["clusters.unmatched"]);
}

#[test]
fn what_widens_a_barrier_of_one_cluster_waits() {
    let two = |more: &str| {
        clusters(&format!(
            "{ONE}{}",
            TWO.replace("match:", &format!("{more}, match:"))
        ))
    };
    let plain = two("dry_run: false");
    for (before, after, held) in [
        (two("allowed_groups: [a]"), plain.clone(), &["clusters"][..]),
        (plain.clone(), two("allowed_groups: [a]"), &[]),
        (
            plain.clone(),
            two("default_roles: [superuser]"),
            &["clusters"],
        ),
        (
            plain.clone(),
            two("group_mappings: {ops: [superuser]}"),
            &["clusters"],
        ),
        (
            two("tls: {ca_cert: /etc/ca.pem}"),
            plain.clone(),
            &["clusters"],
        ),
        (
            plain.clone(),
            two("tls: {insecure_skip_verify: true}"),
            &["clusters"],
        ),
        (
            plain.clone(),
            plain.replace("https://two:9200", "http://two:9200"),
            &["clusters"],
        ),
        (
            plain.replace("https://two:9200", "http://two:9200"),
            plain.replace("https://two:9200", "http://third:9200"),
            &[],
        ),
        (
            plain.replace("https://two:9200", "http://two:9200"),
            plain.clone(),
            &[],
        ),
        (plain.clone(), two("users: {adopt: any}"), &["clusters"]),
        (plain.clone(), two("users: {adopt: never}"), &[]),
        (
            plain.clone(),
            clusters(&ONE.replace(", match: {hosts: [one.example]}", "")),
            &["clusters"],
        ),
        (
            plain.clone(),
            plain.replace("clusters:\n", "clusters:\n  unmatched: two\n"),
            &["clusters.unmatched"],
        ),
    ] {
        let again = reload(&before, &after);
        assert_eq!(again.requires_restart, held, "{before}{after}");
        assert_eq!(again.widenings.len(), held.len(), "{:?}", again.widenings);
        if !held.is_empty() {
            let old = good(&before, &[]);
            assert_eq!(
                format!("{:?}", again.outcome.unwrap().0.clusters),
                format!("{:?}", old.clusters)
            );
        }
    }
}

#[test]
fn an_added_cluster_is_judged_by_the_strictest_or_by_the_one_with_its_nodes() {
    let one = |more: &str| clusters(&ONE.replace("match:", &format!("{more}, match:")));
    let with = |before: &str, more: &str| {
        let two = TWO.replace("match:", &format!("{more}, match:"));
        (before.to_owned(), format!("{before}{two}"))
    };
    let plain = one("dry_run: false");
    let renamed = |from: &str, to: &str| {
        (
            clusters(ONE),
            clusters(&ONE.replace("  one:", "  uno:").replace(from, to)),
        )
    };
    for ((before, after), is_held) in [
        (with(&plain, "dry_run: false"), false),
        (with(&plain, "default_roles: [superuser]"), true),
        (
            with(
                &one("default_roles: [superuser]"),
                "default_roles: [superuser]",
            ),
            false,
        ),
        // Who is named is named on purpose.
        (with(&plain, "group_mappings: {dev: [superuser]}"), false),
        (with(&plain, "group_mappings: {\"d*\": [superuser]}"), true),
        (with(&plain, "tls: {insecure_skip_verify: true}"), true),
        (with(&plain, "tls: {ca_cert: /etc/ca.pem}"), false),
        (
            with(&one("tls: {ca_cert: /etc/ca.pem}"), "dry_run: false"),
            false,
        ),
        (with(&plain, "users: {adopt: any}"), true),
        (with(&plain, "users: {adopt: never}"), false),
        (
            with(&one("allowed_groups: [a]"), "allowed_groups: [\"b-*\"]"),
            false,
        ),
        (with(&one("allowed_groups: [a]"), "dry_run: false"), true),
        (
            (
                plain.clone(),
                format!("{plain}{}", TWO.replace("https:", "http:")),
            ),
            true,
        ),
        (
            (
                plain.replace("https:", "http:"),
                format!("{plain}{TWO}").replace("https:", "http:"),
            ),
            false,
        ),
        // Another name, and the same cluster.
        (renamed("dry_run: false", "dry_run: false"), false),
        (renamed("https:", "http:"), true),
        (
            renamed("match:", "group_mappings: {dev: [superuser]}, match:"),
            true,
        ),
        (
            renamed("match:", "group_mappings: {dev: [x]}, match:"),
            false,
        ),
    ] {
        let again = reload(&before, &after);
        let expected: &[&str] = if is_held { &["clusters"] } else { &[] };
        assert_eq!(again.requires_restart, expected, "{before}{after}");
        assert_eq!(again.widenings.is_empty(), !is_held, "{before}{after}");
    }
}

#[test]
fn files_of_a_section_are_looked_at() {
    let folder = tempfile::tempdir().unwrap();
    let secret = folder.path().join("password");
    std::fs::write(&secret, "one").unwrap();
    let text = section(&format!(
        "tls: {{ca_cert: /etc/of-one.pem}}, match: {{hosts: [a.example]}}, api_key_file: {}",
        secret.display()
    ))
    .replace("username: e, password: p, ", "");
    let (checked, loaded) = read(&sources(&text, &[]));
    assert!(checked.outcome.is_ok(), "{:?}", fault_texts(&checked));
    let files = loaded.files();
    assert!(files.contains(&secret) && files.contains(std::path::Path::new("/etc/of-one.pem")));
    std::fs::write(&secret, "two").unwrap();
    assert_eq!(loaded.reload(&sources(&text, &[])).applied, ["clusters"]);
}
