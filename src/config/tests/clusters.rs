//! Several clusters: which they are, and what is shared.

mod reload;

use super::*;
use crate::{
    broker::Adopt,
    cluster::Kind,
    ledger::StoreConfig,
    model::Role,
    upstream::{TenantLabel, Unmatched},
};

const GENERAL: &str = "secret_key: 5b0e4a6fd2c97381f0a4be6c1d7e93528c2f6b1a0d94e7738fb15c60a29ed847
default_roles: [viewer]
group_mappings: {ops: [editor]}
clusters:
";
const ONE: &str = "  one: {hosts: [\"https://one:9200\"], username: e, password: p, match: {hosts: [one.example]}}\n";
const TWO: &str = "  two: {hosts: [\"https://two:9200\"], username: e, password: q, match: {hosts: [two.example]}}\n";

fn clusters(sections: &str) -> String {
    format!("{GENERAL}{sections}")
}

/// One section with these keys more.
fn section(more: &str) -> String {
    clusters(&format!(
        "  one: {{hosts: [\"https://one:9200\"], username: e, password: p, {more}}}\n"
    ))
}

fn names(config: &Config) -> Vec<&str> {
    let clusters = config.clusters.iter();
    clusters.map(|cluster| cluster.name.as_str()).collect()
}

#[test]
fn a_file_of_before_has_one_cluster_for_every_request() {
    let config = good(&least_and("elasticsearch.cluster_name: Prod EU\n"), &[]);
    assert_eq!(names(&config), ["Prod EU"]);
    assert_eq!(config.clusters[0].broker.cluster_name, "Prod EU");
    assert!(config.clusters[0].selector.is_empty());
    assert_eq!(config.unmatched, Unmatched::Cluster("Prod EU".into()));
    assert_eq!(good(LEAST, &[]).clusters[0].cluster.kind, Kind::Auto);
}

#[test]
fn each_section_is_a_cluster_and_what_it_does_not_say_is_general() {
    let text = format!(
        "{}credentials: {{rotation: 48h}}\n",
        clusters(&format!(
            "{TWO}  one:
    kind: opensearch
    hosts: [\"https://one:9200\", \"https://one-b:9200\"]
    api_key: k
    dry_run: true
    match: {{hosts: [one.example, \"*.one.example\"], paths: [/one], header: {{name: X-C, value: one}}}}
    group_mappings: {{dev: [reader]}}
    allowed_groups: [dev]
    credentials: {{rotation: 168h}}
    users: {{adopt: never}}
"
        ))
    );
    let config = good(&text, &[]);
    assert_eq!(names(&config), ["one", "two"]);
    let [one, two] = config.clusters.as_slice() else {
        panic!("two")
    };
    assert_eq!(
        (one.cluster.kind, two.cluster.kind),
        (Kind::Opensearch, Kind::Auto)
    );
    assert_eq!((one.cluster.hosts.len(), one.broker.dry_run), (2, true));
    assert_eq!(
        (one.broker.rotation, two.broker.rotation),
        (Duration::from_hours(168), Duration::from_hours(48))
    );
    assert_eq!(
        (one.broker.adopt, two.broker.adopt),
        (Adopt::Never, Adopt::ElastauthGo)
    );
    let groups = |cluster: &ClusterConfig| -> Vec<String> {
        let mappings = cluster.roles.group_mappings.iter();
        mappings
            .map(|(group, _)| group.as_str().to_owned())
            .collect()
    };
    assert_eq!(
        (groups(one), groups(two)),
        (vec!["dev".into()], vec!["ops".into()])
    );
    assert_eq!(one.roles.default_roles, two.roles.default_roles);
    assert!(one.roles.allowed_groups.is_some() && two.roles.allowed_groups.is_none());
    assert_eq!(
        (
            one.selector.hosts.len(),
            one.selector.paths.len(),
            one.selector.header.is_some()
        ),
        (2, 1, true)
    );
    // Each derives its passwords from its own name.
    assert_eq!(
        (
            one.broker.cluster_name.as_str(),
            two.broker.cluster_name.as_str()
        ),
        ("one", "two")
    );
    assert_eq!(config.unmatched, Unmatched::Refuse);
    assert_eq!(config.shown["clusters"]["one"]["api_key"], "***");
    assert_eq!(
        config.shown["clusters"]["two"]["hosts"][0],
        "https://two:9200"
    );
    let shown = effective(&sources(&text, &[]));
    assert!(
        !shown
            .iter()
            .any(|setting| format!("{setting:?}").contains("password: q"))
    );
}

#[test]
fn elasticsearch_stays_a_cluster_beside_the_others() {
    let config = good(
        &least_and(&format!("clusters:\n  unmatched: default\n{ONE}")),
        &[],
    );
    assert_eq!(names(&config), ["default", "one"]);
    assert_eq!(config.unmatched, Unmatched::Cluster("default".into()));
    let of_variable = good(
        &least_and(&format!("clusters:\n{ONE}")),
        &[("ELASTAUTH_CLUSTERS_UNMATCHED", "one")],
    );
    assert_eq!(of_variable.unmatched, Unmatched::Cluster("one".into()));
    // A section alone is as the one cluster of before.
    let alone = clusters(&ONE.replace(", match: {hosts: [one.example]}", ""));
    assert_eq!(
        good(&alone, &[]).unmatched,
        Unmatched::Cluster("one".into())
    );
    assert_eq!(good(&clusters(ONE), &[]).unmatched, Unmatched::Refuse);
    let only_key = good(&least_and("clusters: {unmatched: refuse}\n"), &[]);
    assert_eq!(
        (names(&only_key), only_key.unmatched.clone()),
        (vec!["default"], Unmatched::Refuse)
    );
}

#[test]
fn each_cluster_has_a_file_of_the_ledger_of_its_own() {
    let text = least_and(&format!(
        "cache: {{type: file, path: /var/lib/cache}}\nclusters:\n{ONE}"
    ));
    let folders = good(&text, &[]).clusters.into_iter();
    let folders = folders.map(|cluster| match cluster.broker.ledger.store {
        StoreConfig::File(folder) => folder.display().to_string(),
        StoreConfig::Memory | StoreConfig::Redis(_) | StoreConfig::TransientFile(_) => {
            panic!("a file")
        }
    });
    assert_eq!(
        folders.collect::<Vec<_>>(),
        ["/var/lib/cache", "/var/lib/cache/ledger.one"]
    );
}

#[test]
fn what_could_send_a_request_to_the_wrong_cluster_is_a_fault() {
    let upper = ONE
        .replace("  one:", "  ONE:")
        .replace("one.example", "uno.example");
    let same = TWO.replace("two.example", "ONE.example.");
    for (text, words) in [
        (
            clusters(&format!("{ONE}{upper}")),
            "differ in the case of letters only",
        ),
        (
            clusters(&format!("{ONE}{same}")),
            "`one` and `two` are both for the host `one.example`",
        ),
        (
            clusters(&ONE.replace("  one:", "  o.ne:")),
            "1 to 63 small letters",
        ),
        (
            clusters(&ONE.replace("  one:", "  refuse:")),
            "`refuse` is no name",
        ),
        (
            least_and(&format!(
                "clusters:\n{}",
                ONE.replace("  one:", "  default:")
            )),
            "has the name of the cluster of `elasticsearch`",
        ),
        (
            least_and(&format!(
                "elasticsearch.cluster_name: one\nclusters:\n{ONE}"
            )),
            "has the name of the cluster of `elasticsearch`, which is `one`",
        ),
        (
            clusters(&format!("{ONE}  unmatched: tow\n{TWO}")),
            "did you mean `two`?",
        ),
        (
            clusters("  one: 5\n"),
            "`clusters.one` has a number instead of a section",
        ),
        (
            clusters("  one: {username: e, password: p}\n"),
            "`clusters.one.hosts` is missing",
        ),
        (
            section("host: x"),
            "`host` is not a key; did you mean `hosts`?",
        ),
        (section("cluster_name: x"), "`cluster_name` is not a key"),
        (section("secret_key: x"), "`secret_key` is not a key"),
        (
            section("tls: {enabled: 7}"),
            "`clusters.one.tls.enabled` holds a number",
        ),
        (section("match: {hosts: []}"), "is an empty list"),
        (
            section("match: {hosts: [\"{a}.{b}.example\"]}"),
            "item 1 is no host",
        ),
        (
            section("match: {hosts: [a.example, \"a.*.example\"]}"),
            "item 2 is no host",
        ),
        (
            section("match: {hosts: [\"a.example:443\"]}"),
            "it has a port",
        ),
        (section("match: {paths: [one]}"), "item 1 is no path"),
        (
            section("match: {paths: [/one/../two]}"),
            "item 1 is no path",
        ),
        (section("match: {paths: [\"/%6fne\"]}"), "item 1 is no path"),
        (
            section("match: {header: {name: X-C}}"),
            "needs `clusters.one.match.header.value`",
        ),
        (
            section("match: {header: {name: Cookie, value: a}}"),
            "that clients send",
        ),
        (
            section("group_mappings: {a: [\"{tenant}-x\"]}"),
            "no host of `clusters.one.match.hosts`",
        ),
        (
            section("match: {hosts: [\"{tenant}.example\"]}, allowed_groups: [\"{team}\"]"),
            "has `{team}`",
        ),
        (
            section(
                "match: {hosts: [\"{tenant}.example\", one.example]}, default_roles: [\"{tenant}-r\"]",
            ),
            "and hosts without it",
        ),
        (
            section("match: {hosts: [\"{a}.example\", \"{b}.example.org\"]}"),
            "`{a}` and `{b}`",
        ),
    ] {
        let found = faults(&text);
        assert!(
            !found.is_empty() && found.iter().any(|fault| fault.contains(words)),
            "{words}: {found:#?}\n{text}"
        );
    }
    let path = section("").replace("https://one:9200", "https://one:9200/{tenant}");
    assert!(
        faults(&path)[0].contains("in the host only"),
        "{:?}",
        faults(&path)
    );
    let capture = section("").replace("https://one:9200", "https://{tenant}:9200");
    assert!(
        faults(&capture)[0].contains("has `{tenant}`"),
        "{:?}",
        faults(&capture)
    );
    let variable = warnings(
        &clusters(ONE),
        &[("ELASTAUTH_CLUSTERS_ONE_PASSWORD", "hidden")],
    );
    assert!(variable[0].contains("have no variables"), "{variable:?}");
}

#[test]
fn faults_of_several_clusters_are_told_once_and_each_where_it_is() {
    let general = clusters(&format!("{ONE}{TWO}")).replace("[viewer]", "[5, \" x\"]");
    assert_eq!(faults(&general).len(), 1, "{:#?}", faults(&general));
    let both = clusters(&format!("{ONE}{TWO}")).replace("username: e", "username: \"e:f\"");
    let found = faults(&both);
    assert!(
        found.len() == 2
            && found[0].contains("config.yml:5:")
            && found[0].contains("`clusters.one.username` contains `:`")
            && found[1].contains("`clusters.two.username`"),
        "{found:#?}"
    );
    let no_key = clusters(&format!("{ONE}{TWO}")).replace("secret_key: ", "# ");
    let found = warnings(&no_key, &[]);
    assert_eq!(found.len(), 1, "{found:#?}");
}

#[test]
fn a_node_is_in_one_cluster() {
    let of_two = |node: &str| TWO.replace("https://two:9200", node);
    for node in [
        "https://one:9200",
        "https://ONE.:9200/",
        "http://one:9200",
        "https://two:9200\", \"https://one:9200",
    ] {
        let found = faults(&clusters(&format!("{ONE}{}", of_two(node))));
        assert!(
            found.len() == 1
                && found[0].contains("config.yml:6:")
                && found[0].contains("the clusters `one` and `two` both have the node `http"),
            "{node}: {found:#?}"
        );
    }
    let general = least_and(&format!("clusters:\n{}", of_two("https://es:9200")));
    let found = faults(&general);
    assert!(
        found.len() == 1
            && found[0].contains("`default` and `two` both have the node `https://es:9200/`"),
        "{found:#?}"
    );
    for node in [
        "https://one:9201",
        "https://one",
        "https://one:9200/two",
        "https://two:9200\", \"https://two:9200",
    ] {
        good(&clusters(&format!("{ONE}{}", of_two(node))), &[]);
    }
    // A tenant may have a section of its own; two sections for all tenants are too much.
    let tenants = |name: &str| {
        format!(
            "  {name}: {{hosts: [\"https://{{t}}.es:9200\"], username: e, password: p, match: \
             {{hosts: [\"{{t}}.{name}.example\"]}}}}\n"
        )
    };
    let own = of_two("https://tenant.es:9200");
    good(&clusters(&format!("{own}{}", tenants("a"))), &[]);
    let found = faults(&clusters(&format!("{}{}", tenants("a"), tenants("b"))));
    assert!(
        found.len() == 1 && found[0].contains("both have the node `https://{t}.es:9200`"),
        "{found:#?}"
    );
}

#[test]
fn the_cluster_of_elasticsearch_has_no_name_that_a_tenant_can_have() {
    let text = |name: &str, capture: &str| {
        let section = ONE
            .replace("https://one:", "https://{t}:")
            .replace("{t}", capture)
            .replace("one.example", "\"{t}.example\"");
        least_and(&format!(
            "elasticsearch.cluster_name: {name}\nclusters:\n{section}"
        ))
    };
    let found = faults(&text("one/acme", "{t}"));
    assert!(
        found.len() == 1
            && found[0].contains("`elasticsearch.cluster_name` is `one/acme`")
            && found[0].contains("tenants of `clusters.one`"),
        "{found:#?}"
    );
    for (name, capture) in [("ones/acme", "{t}"), ("one/acme", "t"), ("one-acme", "{t}")] {
        good(&text(name, capture), &[]);
    }
}

#[test]
fn a_wildcard_beside_a_capture_is_warned_of_where_it_may_be_another_tenants() {
    let text = |more: &str| {
        section(&format!(
            "match: {{hosts: [\"{{tenant}}.example\"]}}, {more}"
        ))
        .replace("https://one:9200", "https://{tenant}:9200")
    };
    for (more, patterns) in [
        ("allowed_groups: [\"{tenant}-*\"]", Some("{tenant}-*")),
        (
            "group_mappings: {\"*-{tenant}\": [viewer], \"{tenant}*\": [viewer]}",
            Some("*-{tenant}`, `{tenant}*"),
        ),
        (
            "user_mappings: {\"{tenant}-svc-*\": [viewer]}",
            Some("{tenant}-svc-*"),
        ),
        (
            "allowed_groups: [\"{tenant}/*\", \"{tenant}-admins\"]",
            None,
        ),
    ] {
        let found = warnings(&text(more), &[]);
        let Some(patterns) = patterns else {
            assert_eq!(found, Vec::<String>::new());
            continue;
        };
        let words = format!("`*` in `{patterns}` may stand for a part of another tenant's name");
        assert!(found.len() == 1 && found[0].contains(&words), "{found:#?}");
    }
}

fn tenant(config: &ClusterConfig, label: &str) -> Option<ClusterConfig> {
    config.for_tenant(&TenantLabel::parse(label).unwrap())
}

#[test]
fn a_capture_makes_a_cluster_for_each_tenant() {
    let text = section(
        "match: {hosts: [\"{tenant}.es.example.com\"]}, \
         default_roles: [\"{tenant}-reader\"], allowed_groups: [\"{tenant}/*\"], \
         group_mappings: {\"{tenant}-admins\": [\"{tenant}-admin\", monitor]}",
    )
    .replace("https://one:9200", "https://{tenant}.internal:9200/es")
        + "cache: {type: file, path: /var/lib/cache}\n";
    let config = good(&text, &[]);
    assert_eq!(warnings(&text, &[]), Vec::<String>::new());
    let section = &config.clusters[0];
    assert!(section.tenants.as_ref().unwrap().separate);
    let acme = tenant(section, "acme").unwrap();
    assert_eq!(acme.cluster.hosts, ["https://acme.internal:9200/es"]);
    assert_eq!(
        (acme.name.as_str(), acme.broker.cluster_name.as_str()),
        ("one", "one/acme")
    );
    assert_eq!(
        acme.roles.default_roles,
        [Role::parse("acme-reader").unwrap()]
    );
    assert_eq!(
        acme.roles.allowed_groups.as_ref().unwrap()[0].as_str(),
        "acme/*"
    );
    let (group, roles) = &acme.roles.group_mappings[0];
    assert_eq!(
        (group.as_str(), roles[0].as_str(), roles[1].as_str()),
        ("acme-admins", "acme-admin", "monitor")
    );
    assert!(acme.tenants.is_none());
    let StoreConfig::TransientFile(folder) = &acme.broker.ledger.store else {
        panic!("a file")
    };
    assert_eq!(
        folder.display().to_string(),
        "/var/lib/cache/ledger.one.acme"
    );
    assert!(
        faults(&text.replace("clusters:\n", "clusters:\n  unmatched: one\n"))[0]
            .contains("has a capture")
    );
}

#[test]
fn tenants_of_one_cluster_are_warned_of_and_no_label_makes_an_administrator() {
    let text =
        section("match: {hosts: [\"{tenant}.example\"]}, default_roles: [\"super{tenant}\"]");
    let found = warnings(&text, &[]);
    assert!(
        found.len() == 1 && found[0].contains("users of one cluster"),
        "{found:#?}"
    );
    let config = good(&text, &[]);
    let section = &config.clusters[0];
    assert!(!section.tenants.as_ref().unwrap().separate);
    let own = tenant(section, "man").unwrap();
    // There is one cluster, so the login of a user is the same for all tenants.
    assert_eq!(
        (
            own.broker.cluster_name.as_str(),
            own.roles.default_roles[0].as_str()
        ),
        ("one", "superman")
    );
    assert!(tenant(section, "user").is_none());
}

#[test]
fn rules_of_a_provider_count_in_every_cluster_and_a_clusters_groups_as_well() {
    let oidc = "auth_provider: oidc\noidc:\n  providers:\n  - {name: a, issuer: \"https://a.example\", client_id: a, group_mappings: {admins: [reader]}}\n";
    let own = section("group_mappings: {admins: [superuser]}, allowed_groups: [team]") + oidc;
    let config = good(&own, &[]);
    let rules = &config.clusters[0].roles.by_provider["a"];
    assert_eq!(rules.group_mappings[0].1, [Role::parse("reader").unwrap()]);
    assert_eq!(
        rules.groups_of_cluster.as_ref().unwrap()[0].as_str(),
        "team"
    );
    let found = warnings(&own, &[]);
    assert!(
        found
            .iter()
            .any(|text| text.contains("not for users of the providers `a`")),
        "{found:#?}"
    );
    let general = section("dry_run: false") + oidc;
    assert!(
        good(&general, &[]).clusters[0].roles.by_provider["a"]
            .groups_of_cluster
            .is_none()
    );
    assert_eq!(warnings(&general, &[]), Vec::<String>::new());
}

#[test]
fn default_roles_for_the_unmapped_of_one_cluster_require_the_groups_header() {
    let config = good(&section("default_roles_apply: unmapped"), &[]);
    let [ProviderConfig::Headers(headers)] = config.identity.providers.as_slice() else {
        panic!("one provider")
    };
    assert!(headers.groups_required);
}

#[test]
fn clusters_share_the_certificates_that_they_trust() {
    let config = good(&clusters(&format!("{ONE}{TWO}")), &[]);
    let [one, two] = config.clusters.as_slice() else {
        panic!("two")
    };
    assert!(one.cluster.tls.cas.is(&two.cluster.tls.cas));
    let label = TenantLabel::parse("acme").unwrap();
    let tenants = section("match: {hosts: [\"{tenant}.example\"]}")
        .replace("https://one", "https://{tenant}.one");
    let config = good(&tenants, &[]);
    let section = &config.clusters[0];
    let tenant = section.for_tenant(&label).unwrap();
    assert!(tenant.cluster.tls.cas.is(&section.cluster.tls.cas));
}
