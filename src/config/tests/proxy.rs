//! Proxy mode: where requests go on to, and who may name users there.

use super::*;
use crate::upstream::{HostHeader, ProxyConfig};

const ON: &str = "proxy: {enabled: true}\n";
const KIBANA: &str = "elasticsearch.upstreams:\n  - {name: kibana, url: \"https://kibana:5601\", \
                      match: {hosts: [kibana.example]}}\n";

fn proxy(more: &str) -> ProxyConfig {
    let mut config = good(&least_and(more), &[]);
    config.clusters.remove(0).proxy
}

#[test]
fn without_more_requests_go_to_the_nodes_of_the_cluster() {
    let proxy = proxy(ON);
    assert!(proxy.target.is_none() && proxy.upstreams.is_empty());
    assert_eq!(
        (proxy.timeout, proxy.max_idle_conns, proxy.idle_conn_timeout),
        (Some(Duration::from_secs(30)), 100, Duration::from_secs(90))
    );
    assert_eq!(proxy.host, HostHeader::Client);
    assert!(good(&least_and(ON), &[]).proxy && !good(LEAST, &[]).proxy);
}

#[test]
fn a_url_has_its_own_tls_or_that_of_the_cluster() {
    let url = "proxy: {enabled: true, timeout: 0, host_header: upstream, elasticsearch_url: \
               \"https://balancer:9200/es\"";
    let of_cluster = proxy(&format!("elasticsearch.tls.ca_cert: /es\n{url}}}\n"));
    let target = of_cluster.target.unwrap();
    assert_eq!(target.urls, ["https://balancer:9200/es"]);
    assert_eq!(target.tls.ca_cert.as_deref(), Some("/es".as_ref()));
    assert_eq!(
        (of_cluster.timeout, of_cluster.host),
        (None, HostHeader::Upstream)
    );
    let own = format!(
        "elasticsearch.tls.ca_cert: /es\n{url}, tls: {{ca_cert: /own, client_cert: /c, \
         client_key: /k}}}}\n"
    );
    let target = proxy(&own).target.unwrap();
    assert_eq!(target.tls.ca_cert.as_deref(), Some("/own".as_ref()));
    assert!(target.tls.identity.is_some() && !target.tls.danger_skip_verify);
}

#[test]
fn kibana_may_be_beside_the_cluster() {
    let text = format!(
        "{ON}elasticsearch.upstreams:\n  - name: kibana\n    url: \"https://kibana:5601\"\n    \
         match: {{hosts: [kibana.example]}}\n    tls: {{ca_cert: /k}}\n  - name: apm\n    url: \
         \"https://apm:8200/in\"\n    match: {{paths: [/apm]}}\n    strip_prefix: true\n    \
         host_header: upstream\n"
    );
    let upstreams = proxy(&text).upstreams;
    let [kibana, apm] = &upstreams[..] else {
        panic!("{upstreams:?}")
    };
    assert_eq!(
        (&*kibana.name, kibana.strip_prefix, kibana.host),
        ("kibana", false, HostHeader::Client)
    );
    assert_eq!(kibana.target.urls, ["https://kibana:5601"]);
    assert_eq!(kibana.target.tls.ca_cert.as_deref(), Some("/k".as_ref()));
    assert_eq!(kibana.selector.hosts[0].to_string(), "kibana.example");
    assert_eq!(
        (&*apm.name, apm.strip_prefix, apm.host),
        ("apm", true, HostHeader::Upstream)
    );
    assert_eq!(apm.selector.paths[0].to_string(), "/apm");
    let config = good(&least_and(&text), &[]);
    assert!(config.clusters[0].selector.is_empty());
    assert_eq!(
        config.shown["elasticsearch"]["upstreams"][0]["name"],
        "kibana"
    );
}

#[test]
fn variables_give_it_too() {
    let config = good(
        LEAST,
        &[
            ("ELASTAUTH_PROXY_ENABLED", "true"),
            ("ELASTAUTH_PROXY_MAX_IDLE_CONNS", "7"),
            ("ELASTAUTH_ELASTICSEARCH_UPSTREAMS_0_NAME", "kibana"),
            (
                "ELASTAUTH_ELASTICSEARCH_UPSTREAMS_0_URL",
                "https://kibana:5601",
            ),
            (
                "ELASTAUTH_ELASTICSEARCH_UPSTREAMS_0_MATCH_HOSTS",
                "kibana.example",
            ),
        ],
    );
    let proxy = &config.clusters[0].proxy;
    assert_eq!(
        (proxy.max_idle_conns, &*proxy.upstreams[0].name),
        (7, "kibana")
    );
}

#[test]
fn each_cluster_has_its_own() {
    let text = "proxy: {enabled: true, timeout: 5s, elasticsearch_url: \"https://main:9200\", tls: \
                {ca_cert: /main}}\nelasticsearch.match.hosts: [es.example]\nclusters:\n  two:\n    \
                hosts: [\"https://two:9200\"]\n    username: e\n    password: p\n    tls: {ca_cert: \
                /two}\n    match: {hosts: [two.example]}\n    default_roles: [viewer]\n    proxy: \
                {timeout: 7s, max_idle_conns: 3}\n    upstreams:\n      - {name: dashboards, url: \
                \"https://dashboards:5601\", match: {hosts: [dashboards.example]}}\n";
    let config = good(&least_and(text), &[]);
    let of = |at: usize| &config.clusters[at].proxy;
    assert_eq!(
        (of(0).timeout, of(1).timeout),
        (Some(Duration::from_secs(5)), Some(Duration::from_secs(7)))
    );
    assert_eq!((of(0).max_idle_conns, of(1).max_idle_conns), (100, 3));
    // Nothing of the one cluster is for another.
    assert!(of(0).target.is_some() && of(1).target.is_none());
    assert!(of(0).upstreams.is_empty());
    assert_eq!(&*of(1).upstreams[0].name, "dashboards");
    // The host of what is beside a cluster leads to the cluster.
    let hosts = config.clusters[1].selector.hosts.iter();
    let hosts: Vec<String> = hosts.map(ToString::to_string).collect();
    assert_eq!(hosts, ["two.example", "dashboards.example"]);
    let own_url = text.replace(
        "{timeout: 7s,",
        "{elasticsearch_url: \"https://two-lb:9200\",",
    );
    let config = good(&least_and(&own_url), &[]);
    let target = config.clusters[1].proxy.target.as_ref();
    assert_eq!(target.unwrap().urls, ["https://two-lb:9200"]);
    // It is the same cluster.
    let ca = target.unwrap().tls.ca_cert.as_deref();
    assert_eq!(ca, Some("/two".as_ref()));
}

#[test]
fn what_could_go_wrong_is_a_fault() {
    let upstream =
        |own: &str| format!("{ON}elasticsearch.upstreams:\n  - {{name: kibana, {own}}}\n");
    let matched = "match: {hosts: [kibana.example]}";
    let another = KIBANA.replace("elasticsearch.upstreams:\n", "");
    for (text, words) in [
        (
            format!("{ON}{KIBANA}{}", another.replace("kibana,", "other,")),
            "`kibana` and `other` are both for the host `kibana.example`",
        ),
        (
            format!(
                "{ON}{KIBANA}{}",
                another.replace("kibana.example", "b.example")
            ),
            "two upstreams have the name `kibana`",
        ),
        (
            upstream("url: \"https://kibana\""),
            "needs a `match` with `hosts` or `paths`",
        ),
        (
            upstream("url: \"https://k\", match: {hosts: [\"{a}.example\"]}"),
            "a capture in braces would lead all tenants there",
        ),
        (upstream(matched), "an upstream needs a `url`"),
        (
            format!("{ON}elasticsearch.upstreams: [{{url: \"https://k\", {matched}}}]\n"),
            "an upstream needs a `name`",
        ),
        (
            upstream(&format!("url: \"https://user:pass@kibana\", {matched}")),
            "user name and password have keys of their own",
        ),
        (
            upstream(&format!("url: \"https://kibana?x\", {matched}")),
            "no query and no fragment",
        ),
        (
            upstream(&format!(
                "url: \"https://k\", strip_prefix: true, {matched}"
            )),
            "removes a prefix of `match.paths`, and there is none",
        ),
        (
            upstream(&format!(
                "url: \"http://127.0.0.1\", tls: {{ca_cert: /a}}, {matched}"
            )),
            "`tls.ca_cert` is set and `url` is `http`",
        ),
        (
            upstream(&format!(
                "url: \"https://k\", tls: {{ca_cert: /a, insecure_skip_verify: true}}, {matched}"
            )),
            "`tls.ca_cert` has no effect with `insecure_skip_verify`",
        ),
        (
            upstream(&format!(
                "url: \"https://k\", tls: {{client_cert: /a}}, {matched}"
            )),
            "`tls.client_cert` needs `tls.client_key` as well",
        ),
        (
            upstream(&format!("url: \"https://k\", hosts: [k], {matched}")),
            "`hosts` is not a key; did you mean `match.hosts`?",
        ),
        (
            format!("{ON}proxy.tls.insecure_skip_verify: 7\n"),
            "`proxy.tls.insecure_skip_verify` holds a number",
        ),
        (
            "proxy: {enabled: true, elasticsearch_url: \"https://lb\"}\nclusters:\n  one:\n    \
             hosts: [\"https://{tenant}:9200\"]\n    username: e\n    password: p\n    match: \
             {hosts: [\"{tenant}.example\"]}\n    default_roles: [viewer]\n    proxy: \
             {elasticsearch_url: \"https://lb\"}\n"
                .to_owned(),
            "`clusters.one.proxy.elasticsearch_url` is one place, and each tenant",
        ),
    ] {
        let texts = faults(&least_and(&text));
        assert!(
            texts.iter().any(|fault| fault.contains(words)),
            "{words}: {texts:#?}"
        );
        assert!(!texts.concat().contains("user:pass"), "{texts:#?}");
    }
    let one = "secret_key: ${SECRET_KEY}\nproxy: {enabled: true, elasticsearch_url: \
               \"https://lb\"}\nclusters:\n  one: {hosts: [\"https://one:9200\"], username: e, \
               password: p, default_roles: [viewer]}\n";
    let checked = check(&sources(one, &[("SECRET_KEY", KEY)]));
    assert!(
        fault_texts(&checked)
            .iter()
            .any(|fault| fault.contains("write it into their sections")),
        "{:#?}",
        fault_texts(&checked)
    );
}

#[test]
fn what_is_weak_is_warned_about() {
    let url =
        "proxy: {enabled: true, elasticsearch_url: \"http://es:9200\", tls: {enabled: true}}\n";
    for (text, words) in [
        (url.to_owned(), "the logins of all users are sent in clear"),
        (
            url.to_owned(),
            "`proxy.tls.enabled` has no effect: `proxy.elasticsearch_url` is `http`",
        ),
        (
            "proxy: {enabled: true, tls: {ca_cert: /a}}\n".to_owned(),
            "`proxy.tls.ca_cert` has no effect without `proxy.elasticsearch_url`",
        ),
        (
            "proxy: {enabled: true, elasticsearch_url: \"https://es\", tls: \
             {insecure_skip_verify: true}}\n"
                .to_owned(),
            "anyone in between can read and change everything",
        ),
        (
            format!("{ON}{}", KIBANA.replace("https://", "http://")),
            "the `url` of an upstream is plain `http`",
        ),
        (
            KIBANA.to_owned(),
            "`elasticsearch.upstreams` has no effect without `proxy.enabled: true`",
        ),
        (
            format!("{ON}elasticsearch.dry_run: true\n"),
            "the cluster refuses every request",
        ),
        (
            format!("{ON}enable_metrics: true\n"),
            "shown to processes of this machine alone",
        ),
        (
            "access_log: text\naudit: {path: stdout}\n".to_owned(),
            "its JSON lines are between lines of text",
        ),
        (
            "audit: {requests: all}\n".to_owned(),
            "`audit.requests` has no effect without `audit.path`",
        ),
    ] {
        let texts = warnings(&least_and(&text), &[]);
        assert!(
            texts.iter().any(|warning| warning.contains(words)),
            "{words}: {texts:#?}"
        );
    }
    assert_eq!(
        warnings(&least_and(&format!("{ON}{KIBANA}access_log: json\n")), &[]),
        Vec::<String>::new()
    );
}

/// In the other mode only a gateway speaks to elastauth.
#[test]
fn clients_in_wide_networks_that_may_name_themselves_are_a_danger() {
    let open = format!("{ON}listen: \"0.0.0.0:5000\"\n");
    let danger = |text: &str| {
        let texts = warnings(&least_and(text), &[]);
        texts.iter().any(|text| text.contains("DANGER"))
    };
    for text in [
        open.clone(),
        format!("{open}trusted_proxies: [0.0.0.0/0]\n"),
        format!("{open}trusted_proxies: [10.0.0.0/8]\n"),
        format!("{open}trusted_proxies: [\"fc00::/7\"]\n"),
        format!("{ON}listeners: [{{address: \"0.0.0.0:1\", trusted_proxies: [192.168.0.0/16]}}]\n"),
    ] {
        assert!(danger(&text), "{text}");
        let config = good(&least_and(&text), &[]);
        assert!(!config.unprotected.is_empty(), "{text}");
    }
    let tokens = "auth_provider: oidc\noidc: {issuer: \"https://idp.test\", client_id: a}\n";
    for text in [
        ON.to_owned(),
        format!("{open}trusted_proxies: [192.0.2.7]\n"),
        format!("{open}gateway_keys: [\"{}\"]\n", "k".repeat(40)),
        format!("{open}{tokens}"),
        "listen: \"0.0.0.0:5000\"\ntrusted_proxies: [0.0.0.0/0]\n".to_owned(),
    ] {
        assert!(!danger(&text), "{text}");
    }
    // Tokens say who asks; where they lead to, the gateway's header says.
    let headers = format!(
        "clusters:\n  a:\n    hosts: [\"https://a.test\"]\n    username: u\n    password: p\n    \
         match: {{header: {{name: X-Cluster, value: a}}}}\n{open}{tokens}"
    );
    assert!(danger(&headers));
    assert!(!danger(&format!("{headers}trusted_proxies: [192.0.2.7]\n")));
    // Clients with tokens need nobody who is trusted.
    let nobody = "trusted_proxies: []\n";
    good(&least_and(&format!("{open}{tokens}{nobody}")), &[]);
    for text in [format!("{open}{nobody}"), format!("{tokens}{nobody}")] {
        let texts = faults(&least_and(&text));
        assert!(texts.concat().contains("nobody could ask"), "{texts:#?}");
    }
}

/// Those of docs/deployment/proxy-mode.md are taken as they are.
#[test]
fn the_configurations_of_the_guide_are_good() {
    let guide = include_str!("../../../docs/deployment/proxy-mode.md");
    let blocks = guide.split("```yaml\n").skip(1);
    let blocks: Vec<&str> = blocks.filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(blocks.len(), 3);
    let variables = [
        "SECRET_KEY",
        "ELASTICSEARCH_PASSWORD",
        "LOGS_PASSWORD",
        "SEARCH_PASSWORD",
    ];
    for block in blocks {
        let variables = variables.map(|name| (name, KEY));
        let checked = check(&sources(block, &variables));
        assert_eq!(fault_texts(&checked), Vec::<String>::new(), "{block}");
        assert!(
            checked.warnings.is_empty(),
            "{block}: {:?}",
            checked.warnings
        );
        let config = checked.outcome.unwrap();
        assert!(config.proxy && config.unprotected.is_empty(), "{block}");
    }
}

#[test]
fn certificates_towards_servers_are_watched() {
    let text = least_and(
        "proxy: {enabled: true, elasticsearch_url: \"https://lb\", tls: {ca_cert: \
         /own.pem}}\nelasticsearch.upstreams:\n  - {name: k, url: \"https://k\", match: {hosts: \
         [k.example]}, tls: {ca_cert: /kibana.pem}}\n",
    );
    let (_, loaded) = read(&sources(&text, &[]));
    let files = loaded.files();
    for file in ["/own.pem", "/kibana.pem"] {
        assert!(files.contains(std::path::Path::new(file)), "{files:?}");
    }
}
