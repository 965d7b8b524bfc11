//! The collector of traces, by the variables that all programs with OpenTelemetry know. Their
//! names, forms and defaults are not ours:
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! `…/protocol/exporter/`.

use super::{Findings, Settings, cluster::is_loopback, outbound_proxy};
use crate::{
    config::{finding::Place, table},
    net::{
        client,
        tls::{self, IdentityFiles},
    },
    telemetry::traces::{Choice, Config, Otlp, Sampler, Share},
};
use http::{HeaderMap, HeaderName, HeaderValue, Uri, header, uri::PathAndQuery};
use percent_encoding::percent_decode_str;
use std::{path::PathBuf, time::Duration};

/// Where a collector listens that runs beside the program.
const USUAL: &str = "http://localhost:4318/v1/traces";
/// What is appended to the address that is for all signals.
const PATH: &str = "/v1/traces";
/// The longest of all times, in milliseconds.
const MOST_MS: u64 = 600_000;
/// Spans that may wait at most. Each has some 400 bytes.
const MOST_SPANS: u64 = 1_000_000;

pub(super) fn fill(settings: &Settings, findings: &mut Findings) -> Option<Config> {
    if !settings.get::<bool>(&table::ENABLE_OTEL)? {
        return Some(Config::Off);
    }
    let mut variables = Variables { settings, findings };
    if variables.switch("OTEL_SDK_DISABLED")?
        || variables.choice("OTEL_TRACES_EXPORTER", &["otlp", "none"])? == "none"
    {
        let place = settings.place(&table::ENABLE_OTEL);
        findings.warn(&place, "`enableOtel` has no effect: `OTEL_SDK_DISABLED` or `OTEL_TRACES_EXPORTER` switches traces off");
        return Some(Config::Off);
    }
    let endpoint = variables.endpoint();
    // Other forms of the same protocol. One collector often takes several, but not at the same
    // address.
    let protocol = variables
        .signal("PROTOCOL")
        .map_or(Some("http/protobuf"), |name| {
            variables.choice(&name, &["http/protobuf"])
        });
    let headers = variables.headers();
    let tls = variables.tls();
    let timeout = variables.signal("TIMEOUT").map_or(Some(10_000), |name| {
        variables.number(&name, 1, MOST_MS, 10_000)
    });
    let export_timeout = variables.number("OTEL_BSP_EXPORT_TIMEOUT", 1, MOST_MS, 30_000);
    let delay = variables.number("OTEL_BSP_SCHEDULE_DELAY", 1, MOST_MS, 5_000);
    let queue = variables.number("OTEL_BSP_MAX_QUEUE_SIZE", 1, MOST_SPANS, 2_048);
    let batch = variables.batch(queue);
    let sampler = variables.sampler();
    let follows_gateway = variables.follows_gateway();
    let resource = variables.resource();
    variables.say_what_is_left_out();
    let endpoint = endpoint?;
    let proxy = if endpoint.scheme_str() == Some("https") {
        outbound_proxy(settings, findings).ok()?
    } else {
        None
    };
    let (_protobuf, headers) = (protocol?, headers?);
    if !headers.is_empty() && endpoint.scheme_str() == Some("http") && !is_loopback(&endpoint) {
        let text = "the collector's address is plain `http`: the headers for it travel in clear, and so do the names of users";
        findings.warn(&settings.place(&table::ENABLE_OTEL), text);
    }
    Some(Config::Otlp(Box::new(Otlp {
        endpoint,
        http: client::Config {
            tls: tls?,
            headers,
            proxy,
        },
        timeout: Duration::from_millis(timeout?.min(export_timeout?)),
        resource: resource?,
        sampler: sampler?,
        follows_gateway: follows_gateway?,
        queue: usize::try_from(queue?).ok()?,
        batch: usize::try_from(batch?).ok()?,
        delay: Duration::from_millis(delay?),
    })))
}

struct Variables<'a> {
    settings: &'a Settings,
    findings: &'a mut Findings,
}

impl<'a> Variables<'a> {
    fn text(&self, name: &str) -> Option<(&'a str, &'a Place)> {
        self.settings.otel(name)
    }

    /// Tells what a variable must be. What it is may be a secret.
    fn fault<T>(&mut self, name: &str, text: &str) -> Option<T> {
        let place = self
            .text(name)
            .map_or(Place::Nowhere, |(_, place)| place.clone());
        self.findings.fault(&place, format!("`{name}`: {text}"));
        None
    }

    /// The name under which a setting of the exporter is set, the one for traces alone before the
    /// one for all signals.
    fn signal(&self, what: &str) -> Option<String> {
        let names = [
            format!("OTEL_EXPORTER_OTLP_TRACES_{what}"),
            format!("OTEL_EXPORTER_OTLP_{what}"),
        ];
        names.into_iter().find(|name| self.text(name).is_some())
    }

    fn switch(&mut self, name: &str) -> Option<bool> {
        Some(self.choice(name, &["false", "true"])? == "true")
    }

    /// One of these words, the first where nobody says anything. Case does not count.
    fn choice(&mut self, name: &str, words: &[&'static str]) -> Option<&'static str> {
        let Some((text, _)) = self.text(name) else {
            return words.first().copied();
        };
        let word = words
            .iter()
            .copied()
            .find(|word| word.eq_ignore_ascii_case(text));
        word.or_else(|| self.fault(name, &format!("it must be {}", listed(words))))
    }

    fn number(&mut self, name: &str, least: u64, most: u64, usual: u64) -> Option<u64> {
        let Some((text, _)) = self.text(name) else {
            return Some(usual);
        };
        let number = text
            .parse()
            .ok()
            .filter(|number| (least..=most).contains(number));
        number.or_else(|| {
            self.fault(
                name,
                &format!("it must be a whole number from {least} to {most}"),
            )
        })
    }

    fn batch(&mut self, queue: Option<u64>) -> Option<u64> {
        const NAME: &str = "OTEL_BSP_MAX_EXPORT_BATCH_SIZE";
        let queue = queue?;
        // The usual one gives way to a small queue; one that somebody has set does not.
        let batch = self.number(NAME, 1, MOST_SPANS, queue.min(512))?;
        if batch > queue {
            self.fault(NAME, "it must not be larger than `OTEL_BSP_MAX_QUEUE_SIZE`")
        } else {
            Some(batch)
        }
    }

    fn endpoint(&mut self) -> Option<Uri> {
        let Some(name) = self.signal("ENDPOINT") else {
            return Some(Uri::from_static(USUAL));
        };
        let (text, place) = self.text(&name)?;
        let parsed = (!text.contains('#'))
            .then(|| text.parse::<Uri>().ok())
            .flatten();
        let Some(uri) = parsed.filter(|uri| {
            matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        }) else {
            return self.fault(&name, "it must be a URL such as `http://collector:4318`");
        };
        if uri
            .authority()
            .is_some_and(|authority| authority.as_str().contains('@'))
        {
            return self.fault(&name, "it must not contain a user name or a password; `OTEL_EXPORTER_OTLP_HEADERS` is for those");
        }
        if uri.port_u16() == Some(4317) {
            let text = format!(
                "`{name}`: 4317 is usually the port for gRPC; spans go over HTTP, for which it is usually 4318"
            );
            self.findings.warn(place, text);
        }
        if name.contains("TRACES") {
            return Some(uri);
        }
        if uri.query().is_some() {
            return self.fault(&name, "it must not have a query");
        }
        let mut parts = uri.into_parts();
        let base = parts
            .path_and_query
            .as_ref()
            .map_or("", PathAndQuery::path)
            .trim_end_matches('/');
        parts.path_and_query = format!("{base}{PATH}").parse().ok();
        Uri::from_parts(parts).ok()
    }

    /// `name=value` pairs with commas, values percent-encoded.
    fn pairs(&mut self, name: &str) -> Option<Vec<(String, String)>> {
        let Some((text, _)) = self.text(name) else {
            return Some(Vec::new());
        };
        let pair = |item: &str| {
            let (key, value) = item.split_once('=')?;
            let decoded = |text: &str| {
                percent_decode_str(text.trim())
                    .decode_utf8()
                    .ok()
                    .map(String::from)
            };
            Some((decoded(key).filter(|key| !key.is_empty())?, decoded(value)?))
        };
        let items = text
            .split(',')
            .map(str::trim)
            .filter(|item| !item.is_empty());
        let pairs: Option<Vec<_>> = items.map(pair).collect();
        pairs.or_else(|| self.fault(name, "it must be a list such as `name=value,other=value`, with other characters percent-encoded"))
    }

    fn headers(&mut self) -> Option<HeaderMap> {
        let Some(name) = self.signal("HEADERS") else {
            return Some(HeaderMap::new());
        };
        let mut headers = HeaderMap::new();
        for (key, value) in self.pairs(&name)? {
            let (Ok(key), Ok(mut value)) =
                (key.parse::<HeaderName>(), HeaderValue::from_str(&value))
            else {
                return self.fault(&name, "it has a name or a value that cannot be in a header");
            };
            if [
                header::CONTENT_LENGTH,
                header::TRANSFER_ENCODING,
                header::CONNECTION,
                header::HOST,
            ]
            .contains(&key)
            {
                return self.fault(&name, "it has a header that belongs to HTTP itself");
            }
            value.set_sensitive(true);
            headers.append(key, value);
        }
        Some(headers)
    }

    fn tls(&mut self) -> Option<tls::ClientConfig> {
        let path = |what| {
            self.signal(what)
                .and_then(|name| Some((PathBuf::from(self.text(&name)?.0), name)))
        };
        let (ca, cert, key) = (
            path("CERTIFICATE"),
            path("CLIENT_CERTIFICATE"),
            path("CLIENT_KEY"),
        );
        let identity = match (cert, key) {
            (Some((cert, _)), Some((key, _))) => Some(IdentityFiles { cert, key }),
            (None, None) => None,
            (Some((_, name)), None) | (None, Some((_, name))) => {
                return self.fault(&name, "a client certificate and its key are set together");
            }
        };
        Some(tls::ClientConfig {
            ca_cert: ca.map(|(path, _)| path),
            identity,
            danger_skip_verify: false,
        })
    }

    fn sampler(&mut self) -> Option<Sampler> {
        const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
        let name = self.choice(
            "OTEL_TRACES_SAMPLER",
            &[
                "parentbased_always_on",
                "parentbased_always_off",
                "parentbased_traceidratio",
                "always_on",
                "always_off",
                "traceidratio",
            ],
        )?;
        let bare = name.trim_start_matches("parentbased_");
        let argument = self.text(ARGUMENT);
        let choice = match (bare, argument) {
            ("always_off", _) => Choice::Never,
            ("always_on", _) | (_, None) => Choice::Always,
            (_, Some((text, _))) => match text.parse().ok().and_then(Share::new) {
                Some(share) => Choice::Share(share),
                None => return self.fault(ARGUMENT, "it must be a number from 0 to 1"),
            },
        };
        if let (Some((_, place)), true) = (argument, bare != "traceidratio") {
            self.findings.warn(
                place,
                format!("`{ARGUMENT}` has no effect with this `OTEL_TRACES_SAMPLER`"),
            );
        }
        Some(Sampler {
            by_parent: bare != name,
            choice,
        })
    }

    fn follows_gateway(&mut self) -> Option<bool> {
        const NAME: &str = "OTEL_PROPAGATORS";
        let Some((text, _)) = self.text(NAME) else {
            return Some(true);
        };
        let names: Vec<String> = text
            .split(',')
            .map(|name| name.trim().to_ascii_lowercase())
            .collect();
        // Baggage is not looked at and never passed on: nothing of it is lost to anybody.
        if names
            .iter()
            .any(|name| !["tracecontext", "baggage", "none"].contains(&name.as_str()))
        {
            return self.fault(
                NAME,
                "it must be `tracecontext`, `baggage`, both, or `none`",
            );
        }
        Some(names.iter().any(|name| name == "tracecontext"))
    }

    fn resource(&mut self) -> Option<Vec<(String, String)>> {
        const SERVICE_NAME: &str = "service.name";
        let given = self.pairs("OTEL_RESOURCE_ATTRIBUTES")?;
        let mut resource = vec![
            (SERVICE_NAME.to_owned(), env!("CARGO_PKG_NAME").to_owned()),
            (
                "service.version".to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
            ),
            (
                "telemetry.sdk.name".to_owned(),
                env!("CARGO_PKG_NAME").to_owned(),
            ),
            ("telemetry.sdk.language".to_owned(), "rust".to_owned()),
            (
                "telemetry.sdk.version".to_owned(),
                env!("CARGO_PKG_VERSION").to_owned(),
            ),
        ];
        let name = self
            .text("OTEL_SERVICE_NAME")
            .map(|(name, _)| (SERVICE_NAME.to_owned(), name.to_owned()));
        for (key, value) in given.into_iter().chain(name) {
            match resource.iter_mut().find(|(own, _)| *own == key) {
                Some((_, own)) => *own = value,
                None => resource.push((key, value)),
            }
        }
        Some(resource)
    }

    fn say_what_is_left_out(&mut self) {
        if let Some(name) = self.signal("COMPRESSION")
            && let Some((text, place)) = self.text(&name)
            && !text.eq_ignore_ascii_case("none")
        {
            self.findings.warn(place, format!("`{name}` has no effect: spans are sent as they are, which every collector takes"));
        }
    }
}

fn listed(words: &[&str]) -> String {
    words
        .iter()
        .map(|word| format!("`{word}`"))
        .collect::<Vec<_>>()
        .join(" or ")
}
