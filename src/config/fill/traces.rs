//! The collector of traces, by the variables that all programs with OpenTelemetry know. Their
//! names, forms and defaults are not ours:
//! <https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/> and
//! `…/protocol/exporter/`.

use super::{cluster::is_loopback, filler::Filler};
use crate::{
    config::{finding::Place, table},
    net::{
        client,
        tls::{self, IdentityFiles},
    },
    telemetry::traces::{self, Config, Otlp, Sampler, Share},
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
/// Spans in one request at most.
const BATCH: usize = 512;
/// Variables of the standard that elastauth does not read.
const IGNORED: [&str; 12] = [
    "OTEL_TRACES_EXPORTER",
    "OTEL_PROPAGATORS",
    "OTEL_BSP_EXPORT_TIMEOUT",
    "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
    "OTEL_EXPORTER_OTLP_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION",
    "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL",
    "OTEL_EXPORTER_OTLP_TRACES_HEADERS",
    "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT",
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
];

pub(super) fn fill(fill: &mut Filler<'_>) -> Option<Config> {
    if !fill.get::<bool>(&table::ENABLE_OTEL)? {
        return Some(Config::Off);
    }
    let mut variables = Variables(fill);
    if variables.is_disabled() {
        return Some(Config::Off);
    }
    variables.warn_of_ignored();
    let endpoint = variables.endpoint();
    // A collector accepts other forms of the protocol at other addresses.
    let protocol = variables.choice("OTEL_EXPORTER_OTLP_PROTOCOL", &[("http/protobuf", ())]);
    let headers = variables.headers();
    let tls = variables.tls();
    let timeout = variables.number("OTEL_EXPORTER_OTLP_TIMEOUT", 1, MOST_MS, 10_000);
    let delay = variables.number("OTEL_BSP_SCHEDULE_DELAY", 1, MOST_MS, 5_000);
    let queue = variables.number("OTEL_BSP_MAX_QUEUE_SIZE", 1, MOST_SPANS, 2_048);
    let sampler = variables.sampler();
    let resource = variables.resource();
    let endpoint = endpoint?;
    let proxy = if endpoint.scheme_str() == Some("https") {
        fill.outbound_proxy().ok()?
    } else {
        None
    };
    let ((), headers) = (protocol?, headers?);
    if !headers.is_empty() && endpoint.scheme_str() == Some("http") && !is_loopback(&endpoint) {
        fill.warn(
            &table::ENABLE_OTEL,
            "the address of the collector is plain `http`, so the headers for it and the names of \
             users are sent in clear; write `https`",
        );
    }
    let queue = usize::try_from(queue?).ok()?;
    Some(Config::Otlp(Box::new(Otlp {
        endpoint,
        http: client::Config {
            tls: tls?,
            headers,
            proxy,
        },
        timeout: Duration::from_millis(timeout?),
        resource: resource?,
        sampler: sampler?,
        queue,
        batch: queue.min(BATCH),
        delay: Duration::from_millis(delay?),
    })))
}

/// What counts where no caller decides.
#[derive(Clone, Copy, PartialEq)]
enum Sampled {
    Always,
    Never,
    Share,
}

/// `OTEL_TRACES_SAMPLER`: whether a caller decides, and what counts where none does. The first is
/// the default.
const SAMPLERS: [(&str, (bool, Sampled)); 6] = [
    ("parentbased_always_on", (true, Sampled::Always)),
    ("parentbased_always_off", (true, Sampled::Never)),
    ("parentbased_traceidratio", (true, Sampled::Share)),
    ("always_on", (false, Sampled::Always)),
    ("always_off", (false, Sampled::Never)),
    ("traceidratio", (false, Sampled::Share)),
];

struct Variables<'f, 'a>(&'f mut Filler<'a>);

impl<'a> Variables<'_, 'a> {
    fn text(&self, name: &str) -> Option<(&'a str, &'a Place)> {
        self.0.settings.standard.otel(name)
    }

    fn warn(&mut self, place: &Place, text: impl Into<String>) {
        self.0.findings.warn(place, text);
    }

    /// The standard switch of operators who turn off the telemetry of all their programs.
    fn is_disabled(&mut self) -> bool {
        const NAME: &str = "OTEL_SDK_DISABLED";
        let Some((text, place)) = self.text(NAME) else {
            return false;
        };
        let disabled = text.eq_ignore_ascii_case("true");
        if disabled {
            self.warn(place, format!("`{NAME}` switches traces off"));
        } else if !text.eq_ignore_ascii_case("false") {
            // By the standard such a value does not switch off, and is a warning.
            let warning = format!("`{NAME}` has no effect: it must be `true` or `false`");
            self.warn(place, warning);
        }
        disabled
    }

    /// Says what a variable must be. Its value may be a secret.
    fn fault<T>(&mut self, name: &str, text: &str) -> Option<T> {
        let place = self
            .text(name)
            .map_or(Place::Nowhere, |(_, place)| place.clone());
        self.0.findings.fault(&place, format!("`{name}`: {text}"));
        None
    }

    /// The selected value, the first where the variable is not set.
    fn choice<T: Copy>(&mut self, name: &str, all: &[(&str, T)]) -> Option<T> {
        let chosen = match self.text(name) {
            None => all.first(),
            Some((text, _)) => all.iter().find(|(own, _)| own.eq_ignore_ascii_case(text)),
        };
        chosen.map(|(_, value)| *value).or_else(|| {
            let texts = all.iter().map(|(text, _)| format!("`{text}`"));
            let texts = texts.collect::<Vec<_>>().join(" or ");
            self.fault(name, &format!("it must be {texts}"))
        })
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

    fn endpoint(&mut self) -> Option<Uri> {
        // The address for traces alone has priority.
        let names = [
            "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
            "OTEL_EXPORTER_OTLP_ENDPOINT",
        ];
        let Some(name) = names.into_iter().find(|name| self.text(name).is_some()) else {
            return Some(Uri::from_static(USUAL));
        };
        let (text, place) = self.text(name)?;
        let is_url = |uri: &Uri| {
            !text.contains('#')
                && matches!(uri.scheme_str(), Some("http" | "https"))
                && uri.host().is_some_and(|host| !host.is_empty())
        };
        let Some(uri) = text.parse().ok().filter(is_url) else {
            return self.fault(name, "it must be a URL such as `http://collector:4318`");
        };
        let authority = uri.authority();
        if authority.is_some_and(|authority| authority.as_str().contains('@')) {
            return self.fault(
                name,
                "it must not contain a user name or a password; use `OTEL_EXPORTER_OTLP_HEADERS` \
                 for those",
            );
        }
        if uri.port_u16() == Some(4317) {
            let text = format!(
                "`{name}`: 4317 is usually the port for gRPC; elastauth sends spans over HTTP, \
                 usually on port 4318"
            );
            self.warn(place, text);
        }
        if name.contains("TRACES") {
            return Some(uri);
        }
        if uri.query().is_some() {
            return self.fault(name, "it must not have a query");
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
        pairs.or_else(|| {
            self.fault(
                name,
                "it must be a list such as `name=value,other=value`, with other characters \
                 percent-encoded",
            )
        })
    }

    fn headers(&mut self) -> Option<HeaderMap> {
        const NAME: &str = "OTEL_EXPORTER_OTLP_HEADERS";
        const OF_HTTP: [HeaderName; 4] = [
            header::CONTENT_LENGTH,
            header::TRANSFER_ENCODING,
            header::CONNECTION,
            header::HOST,
        ];
        let mut headers = HeaderMap::new();
        for (key, value) in self.pairs(NAME)? {
            let (Ok(key), Ok(mut value)) =
                (key.parse::<HeaderName>(), HeaderValue::from_str(&value))
            else {
                return self.fault(NAME, "it has a name or a value that cannot be in a header");
            };
            if OF_HTTP.contains(&key) {
                return self.fault(NAME, "it has a header that belongs to HTTP itself");
            }
            value.set_sensitive(true);
            headers.append(key, value);
        }
        Some(headers)
    }

    fn tls(&mut self) -> Option<tls::ClientConfig> {
        let path = |name: &'static str| Some((PathBuf::from(self.text(name)?.0), name));
        let (ca, cert, key) = (
            path("OTEL_EXPORTER_OTLP_CERTIFICATE"),
            path("OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"),
            path("OTEL_EXPORTER_OTLP_CLIENT_KEY"),
        );
        let identity = match (cert, key) {
            (Some((cert, _)), Some((key, _))) => Some(IdentityFiles { cert, key }),
            (None, None) => None,
            (Some((_, name)), None) | (None, Some((_, name))) => {
                return self.fault(name, "a client certificate and its key are set together");
            }
        };
        Some(tls::ClientConfig {
            ca_cert: ca.map(|(path, _)| path),
            identity,
            ..tls::ClientConfig::default()
        })
    }

    fn sampler(&mut self) -> Option<Sampler> {
        const ARGUMENT: &str = "OTEL_TRACES_SAMPLER_ARG";
        let (by_parent, otherwise) = self.choice("OTEL_TRACES_SAMPLER", &SAMPLERS)?;
        let argument = self.text(ARGUMENT);
        let root = match (otherwise, argument) {
            (Sampled::Never, _) => traces::RootSampler::Never,
            (Sampled::Always, _) | (Sampled::Share, None) => traces::RootSampler::Always,
            (Sampled::Share, Some((text, _))) => match text.parse().ok().and_then(Share::new) {
                Some(share) => traces::RootSampler::Share(share),
                None => return self.fault(ARGUMENT, "it must be a number from 0 to 1"),
            },
        };
        if let (Some((_, place)), true) = (argument, otherwise != Sampled::Share) {
            self.warn(
                place,
                format!("`{ARGUMENT}` has no effect with this `OTEL_TRACES_SAMPLER`"),
            );
        }
        Some(Sampler { by_parent, root })
    }

    fn resource(&mut self) -> Option<Vec<(String, String)>> {
        const SERVICE_NAME: &str = "service.name";
        let given = self.pairs("OTEL_RESOURCE_ATTRIBUTES")?;
        let own = [
            (SERVICE_NAME, env!("CARGO_PKG_NAME")),
            ("service.version", env!("CARGO_PKG_VERSION")),
            ("telemetry.sdk.name", env!("CARGO_PKG_NAME")),
            ("telemetry.sdk.language", "rust"),
            ("telemetry.sdk.version", env!("CARGO_PKG_VERSION")),
        ];
        let mut resource = own
            .map(|(name, text)| (name.to_owned(), text.to_owned()))
            .to_vec();
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

    fn warn_of_ignored(&mut self) {
        for name in IGNORED {
            if let Some((_, place)) = self.text(name) {
                let warning = format!(
                    "`{name}` has no effect; docs/TRACING.md lists the variables that elastauth \
                     reads"
                );
                self.warn(place, warning);
            }
        }
    }
}
