//! The variables of OpenTelemetry.

use super::*;
use crate::telemetry::traces::{self, Otlp, RootSampler, Sampler, Share};

const MARK: &str = "MARKED-not-to-be-seen";

fn with(variables: &[(&str, &str)]) -> Sources {
    let on = [("ELASTAUTH_ENABLE_OTEL", "true")];
    sources(LEAST, &[&on, variables].concat())
}

fn otlp(variables: &[(&str, &str)]) -> Otlp {
    let checked = check(&with(variables));
    assert_eq!(fault_texts(&checked), Vec::<String>::new());
    let traces::Config::Otlp(otlp) = checked.outcome.unwrap().traces else {
        panic!("traces are off")
    };
    *otlp
}

fn value<'a>(otlp: &'a Otlp, key: &str) -> Option<&'a str> {
    otlp.resource
        .iter()
        .find(|(own, _)| own == key)
        .map(|(_, value)| value.as_str())
}

#[test]
fn with_the_switch_alone_spans_go_to_a_collector_on_this_host() {
    let otlp = otlp(&[]);
    assert_eq!(otlp.endpoint, "http://localhost:4318/v1/traces");
    assert_eq!(
        (otlp.timeout, otlp.delay),
        (Duration::from_secs(10), Duration::from_secs(5))
    );
    assert_eq!((otlp.queue, otlp.batch), (2_048, 512));
    assert_eq!(otlp.sampler, Sampler::default());
    assert_eq!(
        (
            value(&otlp, "service.name"),
            value(&otlp, "service.version")
        ),
        (Some("elastauth"), Some(env!("CARGO_PKG_VERSION")))
    );
    assert!(otlp.http.headers.is_empty() && otlp.http.tls.ca_cert.is_none());
}

#[test]
fn without_the_switch_the_variables_are_not_read() {
    let config = good(
        LEAST,
        &[
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_TRACES_SAMPLER", "no such one"),
        ],
    );
    assert!(matches!(config.traces, traces::Config::Off));
}

#[test]
fn the_standard_switch_turns_traces_off() {
    for (value, off, warning) in [
        (
            "true",
            true,
            Some("`OTEL_SDK_DISABLED` switches traces off"),
        ),
        (
            "TRUE",
            true,
            Some("`OTEL_SDK_DISABLED` switches traces off"),
        ),
        ("false", false, None),
        (
            MARK,
            false,
            Some("`OTEL_SDK_DISABLED` has no effect: it must be `true` or `false`"),
        ),
    ] {
        let checked = check(&with(&[("OTEL_SDK_DISABLED", value)]));
        let warnings = checked.warnings.iter().map(|warning| &*warning.text);
        assert_eq!(warnings.collect::<Vec<_>>(), Vec::from_iter(warning));
        let traces = checked.outcome.unwrap().traces;
        assert_eq!(matches!(traces, traces::Config::Off), off, "{value}");
    }
}

#[test]
fn every_variable_takes_effect() {
    let otlp = otlp(&[
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "https://collector:4318/otlp/",
        ),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "HTTP/Protobuf"),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "Authorization=Bearer%20abc, x-tenant = one",
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "2500"),
        ("OTEL_EXPORTER_OTLP_CERTIFICATE", "/etc/ca.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE", "/etc/c.pem"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", "/etc/k.pem"),
        (
            "OTEL_RESOURCE_ATTRIBUTES",
            "deployment.environment.name=prod%2Ceu,service.name=other",
        ),
        ("OTEL_SERVICE_NAME", "sso"),
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "0.25"),
        ("OTEL_BSP_SCHEDULE_DELAY", "100"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "64"),
    ]);
    assert_eq!(otlp.endpoint, "https://collector:4318/otlp/v1/traces");
    assert_eq!(
        (otlp.timeout, otlp.delay),
        (Duration::from_millis(2_500), Duration::from_millis(100))
    );
    assert_eq!((otlp.queue, otlp.batch), (64, 64));
    assert_eq!(
        otlp.sampler,
        Sampler {
            by_parent: false,
            root: RootSampler::Share(Share::new(0.25).unwrap())
        }
    );
    assert_eq!(
        (
            value(&otlp, "service.name"),
            value(&otlp, "deployment.environment.name")
        ),
        (Some("sso"), Some("prod,eu"))
    );
    assert_eq!(
        (
            &otlp.http.headers["authorization"],
            &otlp.http.headers["x-tenant"]
        ),
        (&"Bearer abc".parse().unwrap(), &"one".parse().unwrap())
    );
    assert!(!format!("{otlp:?}").contains("abc"));
    assert!(otlp.http.tls.ca_cert.is_some() && otlp.http.tls.identity.is_some());
}

#[test]
fn the_address_for_traces_alone_has_priority() {
    let otlp = otlp(&[
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://all:4318"),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://traces:4318/intake?x=1",
        ),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "100"),
    ]);
    assert_eq!(otlp.endpoint, "http://traces:4318/intake?x=1");
    assert_eq!(otlp.batch, 100, "no more than the queue");
}

#[test]
fn a_variable_that_elastauth_does_not_read_is_a_warning() {
    for name in [
        "OTEL_TRACES_EXPORTER",
        "OTEL_PROPAGATORS",
        "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
        "OTEL_EXPORTER_OTLP_COMPRESSION",
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    ] {
        let checked = check(&with(&[(name, MARK)]));
        assert_eq!(fault_texts(&checked), Vec::<String>::new());
        let texts: Vec<_> = (checked.warnings.iter())
            .map(|warning| warning.text.as_str())
            .collect();
        assert_eq!(
            texts,
            [format!(
                "`{name}` has no effect; docs/TRACING.md lists the variables that elastauth reads"
            )]
        );
        assert!(matches!(
            checked.outcome.unwrap().traces,
            traces::Config::Otlp(_)
        ));
    }
}

#[test]
fn the_names_may_stand_in_the_env_file_and_the_environment_counts_more() {
    let checked_with = |line: &str| {
        let sources = with(&[("OTEL_SERVICE_NAME", "set")])
            .with_dot_env(&format!("OTEL_SERVICE_NAME=written\n{line}\n"));
        check(&sources)
    };
    let traces::Config::Otlp(otlp) = checked_with("OTEL_BSP_SCHEDULE_DELAY=70")
        .outcome
        .unwrap()
        .traces
    else {
        panic!("traces are off")
    };
    assert_eq!(
        (value(&otlp, "service.name"), otlp.delay),
        (Some("set"), Duration::from_millis(70))
    );
    let faults = fault_texts(&checked_with("OTEL_BSP_SCHEDULE_DELAY=0"));
    assert_eq!(
        faults,
        [".env:2: `OTEL_BSP_SCHEDULE_DELAY`: it must be a whole number from 1 to 600000"]
    );
}

#[test]
fn each_fault_names_its_variable_and_repeats_no_value() {
    let secret = format!("authorization={MARK}\u{7}");
    let user = format!("http://user:{MARK}@collector:4318");
    for (name, bad, words) in [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", MARK, "a URL such as"),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "ftp://collector",
            "a URL such as",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            &user,
            "OTEL_EXPORTER_OTLP_HEADERS",
        ),
        (
            "OTEL_EXPORTER_OTLP_ENDPOINT",
            "http://collector:4318/?x=1",
            "query",
        ),
        (
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "http://collector:4318/#x",
            "a URL such as",
        ),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "grpc",
            "it must be `http/protobuf`",
        ),
        (
            "OTEL_EXPORTER_OTLP_PROTOCOL",
            "http/json",
            "it must be `http/protobuf`",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            MARK,
            "`name=value,other=value`",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            &secret,
            "cannot be in a header",
        ),
        (
            "OTEL_EXPORTER_OTLP_HEADERS",
            "content-length=1",
            "belongs to HTTP itself",
        ),
        ("OTEL_EXPORTER_OTLP_TIMEOUT", "10s", "a whole number from 1"),
        ("OTEL_EXPORTER_OTLP_CLIENT_KEY", MARK, "set together"),
        (
            "OTEL_TRACES_SAMPLER",
            "jaeger_remote",
            "`parentbased_always_on` or",
        ),
        ("OTEL_RESOURCE_ATTRIBUTES", MARK, "`name=value,other=value`"),
        ("OTEL_BSP_MAX_QUEUE_SIZE", "0", "a whole number from 1"),
    ] {
        let texts = fault_texts(&check(&with(&[(name, bad)])));
        assert_eq!(texts.len(), 1, "{name}: {texts:#?}");
        assert!(
            texts[0].starts_with(&format!("{name}: `{name}`: ")) && texts[0].contains(words),
            "{texts:#?}"
        );
        assert!(!texts[0].contains(MARK), "{texts:#?}");
    }
    let texts = fault_texts(&check(&with(&[
        ("OTEL_TRACES_SAMPLER", "traceidratio"),
        ("OTEL_TRACES_SAMPLER_ARG", "2"),
    ])));
    assert_eq!(
        texts,
        ["OTEL_TRACES_SAMPLER_ARG: `OTEL_TRACES_SAMPLER_ARG`: it must be a number from 0 to 1"]
    );
}

#[test]
fn what_is_legal_and_probably_not_meant_is_a_warning() {
    for (variables, words) in [
        (
            &[("OTEL_EXPORTER_OTLP_ENDPOINT", "http://localhost:4317")][..],
            "4317 is usually the port for gRPC",
        ),
        (
            &[("OTEL_TRACES_SAMPLER_ARG", "0.5")],
            "has no effect with this `OTEL_TRACES_SAMPLER`",
        ),
        (
            &[
                ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
                ("OTEL_EXPORTER_OTLP_HEADERS", "a=b"),
            ],
            "sent in clear",
        ),
    ] {
        let checked = check(&with(variables));
        assert_eq!(fault_texts(&checked), Vec::<String>::new());
        assert_eq!(checked.warnings.len(), 1, "{:?}", checked.warnings);
        assert!(
            checked.warnings[0].text.contains(words),
            "{:?}",
            checked.warnings
        );
    }
}
