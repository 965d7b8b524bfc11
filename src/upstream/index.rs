//! Finds the cluster that a request is for, in a look-up or two however many clusters there are.
//!
//! Host first: exact, captured, the longest domain behind a wildcard, then clusters without hosts.
//! Within these the longest path, and a cluster with a header before one without. Where a request
//! does not say clearly what could decide between two clusters, it is for none: what is unclear may
//! be a client's work, and must not move the request to a less specific cluster.

use super::matching::{HeaderMatch, HostPlace, Match, PathPrefix};
use crate::request::{Asked, Unclear, UnclearPath, is_plain_segment, single};
use http::{HeaderMap, HeaderName};
use std::collections::HashMap;

/// Places in a list of clusters, by what their [`Match`]es ask for.
#[derive(Debug, Default)]
pub(super) struct Index {
    exact: HashMap<Box<str>, Paths>,
    captured: HashMap<Box<str>, Paths>,
    below: HashMap<Box<str>, Paths>,
    any_host: Paths,
}

/// What a request is for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) place: usize,
    /// What a capture has taken from the host.
    pub(super) label: Option<Box<str>>,
}

impl Index {
    /// Of several that are equally specific the first counts; the configuration has none.
    pub(super) fn new<'a>(all: impl IntoIterator<Item = &'a Match>) -> Self {
        let mut index = Self::default();
        for (place, one) in all.into_iter().enumerate() {
            if one.is_empty() {
                continue;
            }
            if one.hosts.is_empty() {
                index.any_host.add(one, place);
            }
            for host in &one.hosts {
                let (hosts, name) = match host.place() {
                    HostPlace::Exact(name) => (&mut index.exact, name),
                    HostPlace::Captured(name) => (&mut index.captured, name),
                    HostPlace::Below(name) => (&mut index.below, name),
                };
                hosts.entry(name.clone()).or_default().add(one, place);
            }
        }
        index
    }

    pub(super) fn find(&self, asked: Asked<'_>) -> Result<Option<Found>, Unclear> {
        let found = |place| Found { place, label: None };
        if self.knows_hosts() {
            let host = asked.host()?;
            if let Some(paths) = self.exact.get(&*host)
                && let Some(place) = paths.find(asked)?
            {
                return Ok(Some(found(place)));
            }
            if let Some((label, domain)) = host.split_once('.')
                && let Some(paths) = self.captured.get(domain)
                && let Some(place) = paths.find(asked)?
            {
                let label = Some(label.into());
                return Ok(Some(Found { place, label }));
            }
            let mut rest = &*host;
            while let Some((_, domain)) = rest.split_once('.').filter(|_| !self.below.is_empty()) {
                if let Some(paths) = self.below.get(domain)
                    && let Some(place) = paths.find(asked)?
                {
                    return Ok(Some(found(place)));
                }
                rest = domain;
            }
        }
        Ok(self.any_host.find(asked)?.map(found))
    }

    /// Whether nothing of a request matters.
    pub(super) fn is_empty(&self) -> bool {
        !self.knows_hosts() && self.any_host.0.is_empty()
    }

    fn knows_hosts(&self) -> bool {
        !(self.exact.is_empty() && self.captured.is_empty() && self.below.is_empty())
    }
}

/// Each configured prefix and all beginnings of it; the empty one is for paths of any kind.
#[derive(Debug, Default)]
struct Paths(HashMap<Box<str>, Headers>);

type Values = HashMap<Box<[u8]>, usize>;

/// Clusters of one host and one prefix.
#[derive(Debug, Default)]
struct Headers {
    /// Whether a longer prefix begins like this one.
    has_longer: bool,
    with: Vec<(HeaderName, Values)>,
    without: Option<usize>,
}

impl Paths {
    fn add(&mut self, one: &Match, place: usize) {
        let prefixes = one.paths.iter().map(PathPrefix::as_str);
        let any = one.paths.is_empty().then_some("");
        for prefix in prefixes.chain(any) {
            for (end, _) in prefix.match_indices('/') {
                let shorter = prefix.get(..end).unwrap_or_default();
                self.0.entry(shorter.into()).or_default().has_longer = true;
            }
            let headers = self.0.entry(prefix.into()).or_default();
            headers.add(one.header.as_ref(), place);
        }
    }

    fn find(&self, asked: Asked<'_>) -> Result<Option<usize>, Unclear> {
        let Some(root) = self.0.get("") else {
            return Ok(None);
        };
        if root.has_longer {
            self.longest(root, asked.path()?, 0, asked.headers())
        } else {
            root.find(asked.headers())
        }
    }

    /// `shorter` is what is known of the first `end` bytes of the path.
    fn longest(
        &self,
        shorter: &Headers,
        path: &str,
        end: usize,
        headers: Option<&HeaderMap>,
    ) -> Result<Option<usize>, Unclear> {
        if shorter.has_longer
            && let Some(rest) = path.get(end..).and_then(|rest| rest.strip_prefix('/'))
            && !rest.is_empty()
        {
            let segment = rest.split('/').next().unwrap_or_default();
            if !is_plain_segment(segment) {
                return Err(Unclear::Path(UnclearPath::Segment));
            }
            let end = end + 1 + segment.len();
            if let Some(longer) = path.get(..end).and_then(|prefix| self.0.get(prefix))
                && let Some(place) = self.longest(longer, path, end, headers)?
            {
                return Ok(Some(place));
            }
        }
        shorter.find(headers)
    }
}

impl Headers {
    fn add(&mut self, header: Option<&HeaderMatch>, place: usize) {
        let Some(HeaderMatch { name, value }) = header else {
            self.without.get_or_insert(place);
            return;
        };
        let known = self.with.iter_mut().find(|(known, _)| known == name);
        let values = match known {
            Some((_, values)) => values,
            None => &mut self.with.push_mut((name.clone(), Values::new())).1,
        };
        values.entry(value.clone()).or_insert(place);
    }

    /// Without headers only the cluster counts that asks for none.
    fn find(&self, headers: Option<&HeaderMap>) -> Result<Option<usize>, Unclear> {
        let Some(headers) = headers else {
            return Ok(self.without);
        };
        let mut found = None;
        for (name, values) in &self.with {
            let value = single(headers, name).map_err(|_repeated| Unclear::HeaderRepeated)?;
            let place = value.and_then(|value| values.get(value).copied());
            if place.is_some() && found.is_some() {
                return Err(Unclear::HeadersContradict);
            }
            found = found.or(place);
        }
        Ok(found.or(self.without))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        net::trust::TrustedPeer,
        request::{InvalidHost, Protocol, Request},
        upstream::matching::selecting,
    };
    use std::net::{IpAddr, Ipv4Addr};

    fn find(
        index: &Index,
        host: &str,
        path: &str,
        more: &[(&str, &str)],
    ) -> Result<Option<usize>, Unclear> {
        let mut request = http::Request::get("/elastauth");
        let said = [("x-forwarded-host", host), ("x-forwarded-uri", path)];
        for (name, value) in said.iter().chain(more) {
            request = request.header(*name, *value);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let request = Request::new(TrustedPeer::operator(), Protocol::ForwardAuth, parts);
        Ok(index.find(request.asked())?.map(|found| found.place))
    }

    #[test]
    fn the_more_specific_host_wins() {
        let all = [
            selecting(&["*.example"], &[], None),
            selecting(&["*.es.example"], &[], None),
            selecting(&["{tenant}.es.example"], &[], None),
            selecting(&["one.es.example", "uno.example"], &[], None),
        ];
        let index = Index::new(&all);
        for (host, place) in [
            ("one.es.example", Some(3)),
            ("ONE.es.example.:443", Some(3)),
            ("uno.example", Some(3)),
            ("two.es.example", Some(2)),
            ("a.two.es.example", Some(1)),
            ("es.example", Some(0)),
            ("a.b.c.d.example", Some(0)),
            ("example", None),
            ("other", None),
            ("two.es.example.org", None),
        ] {
            assert_eq!(find(&index, host, "/", &[]), Ok(place), "{host}");
        }
        let found = |host| {
            let mut request = http::Request::get("/");
            request = request.header("x-forwarded-host", host);
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let request = Request::new(TrustedPeer::operator(), Protocol::ForwardAuth, parts);
            index.find(request.asked()).unwrap().unwrap().label
        };
        assert_eq!(found("Two.es.example").as_deref(), Some("two"));
        assert_eq!(found("one.es.example"), None);
    }

    #[test]
    fn the_longer_path_wins_and_then_the_header() {
        let all = [
            selecting(&[], &["/a"], None),
            selecting(&[], &["/a/b/c"], None),
            selecting(&[], &["/a/b"], Some(("x-cluster", "one"))),
            selecting(&[], &["/a"], Some(("x-cluster", "two"))),
            selecting(&["h"], &["/z"], None),
            selecting(&["h"], &[], Some(("x-other", "1"))),
        ];
        let index = Index::new(&all);
        let one = [("x-cluster", "one")];
        let two = [("x-cluster", "two")];
        for (host, path, headers, place) in [
            ("g", "/a", &[][..], Some(0)),
            ("g", "/a/", &[], Some(0)),
            ("g", "/a?x", &[], Some(0)),
            ("g", "/a/b", &[], Some(0)),
            ("g", "/a/b/cc", &[], Some(0)),
            ("g", "/a/b/c/d%2Fe;f", &[], Some(1)),
            ("g", "/a/b", &one, Some(2)),
            ("g", "/a/b/c", &one, Some(1)),
            ("g", "/a/x", &two, Some(3)),
            ("g", "/a/b", &two, Some(3)),
            ("g", "/ab", &[], None),
            ("g", "/A", &[], None),
            ("g", "/", &[], None),
            ("h", "/z/y", &[], Some(4)),
            // Nothing of this host fits, and a cluster for all hosts does.
            ("h", "/a", &[], Some(0)),
            ("h", "/y", &[("x-other", "1")], Some(5)),
        ] {
            assert_eq!(
                find(&index, host, path, headers),
                Ok(place),
                "{host}{path} {headers:?}"
            );
        }
    }

    #[test]
    fn a_client_without_a_gateway_chooses_no_cluster_by_a_header() {
        let all = [
            selecting(&["h"], &["/a"], Some(("x-cluster", "one"))),
            selecting(&["h"], &["/b"], None),
            selecting(&["h"], &["/b"], Some(("x-cluster", "two"))),
        ];
        let index = Index::new(&all);
        let found = |peer, path: &str, value: &[&str]| {
            let mut request = http::Request::get(path).header("host", "h");
            for value in value {
                request = request.header("x-cluster", *value);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let request = Request::new(peer, Protocol::Proxy, parts);
            let found = index.find(request.asked());
            found.map(|found| found.map(|found| found.place))
        };
        let client = || TrustedPeer::client(IpAddr::V4(Ipv4Addr::LOCALHOST).into());
        for (path, value, by_gateway, by_client) in [
            ("/a", &["one"][..], Ok(Some(0)), None),
            ("/a", &["one", "one"], Err(Unclear::HeaderRepeated), None),
            ("/b", &["two"], Ok(Some(2)), Some(1)),
            ("/b", &[], Ok(Some(1)), Some(1)),
        ] {
            let gateway = TrustedPeer::operator();
            assert_eq!(found(gateway, path, value), by_gateway, "{path} {value:?}");
            assert_eq!(found(client(), path, value), Ok(by_client), "{path}");
        }
    }

    #[test]
    fn what_is_unclear_is_for_no_cluster_and_not_for_a_less_specific_one() {
        let all = [
            selecting(&["h"], &[], None),
            selecting(&["h"], &["/b/c"], None),
            selecting(&["h"], &["/b"], Some(("x-one", "1"))),
            selecting(&["h"], &["/b"], Some(("x-two", "1"))),
            selecting(&["other"], &[], None),
        ];
        let index = Index::new(&all);
        let segment = Unclear::Path(UnclearPath::Segment);
        for (host, path, headers, why) in [
            ("h", "/%62/c", &[][..], segment),
            ("h", "//b/c", &[], segment),
            ("h", "/b;x/c", &[], segment),
            ("h", "/b/%63", &[], segment),
            ("h", "/b//c", &[], segment),
            ("h", "/b%2Fc", &[], segment),
            (
                "h",
                "/a/../b/c",
                &[],
                Unclear::Path(UnclearPath::DotSegment),
            ),
            (
                "h",
                "/a/%2E%2e/b/c",
                &[],
                Unclear::Path(UnclearPath::DotSegment),
            ),
            ("h,other", "/", &[], Unclear::Host(InvalidHost::Character)),
            ("a@h", "/", &[], Unclear::Host(InvalidHost::Character)),
            ("", "/", &[], Unclear::Host(InvalidHost::Empty)),
            (
                "h",
                "/b",
                &[("x-one", "1"), ("x-one", "1")],
                Unclear::HeaderRepeated,
            ),
            (
                "h",
                "/b",
                &[("x-one", "1"), ("x-two", "1")],
                Unclear::HeadersContradict,
            ),
        ] {
            assert_eq!(
                find(&index, host, path, headers),
                Err(why),
                "{host}{path} {headers:?}"
            );
        }
        assert_eq!(find(&index, "h", "/b/", &[]), Ok(Some(0)));
        assert_eq!(find(&index, "h", "/x//%62", &[]), Ok(Some(0)));
        assert_eq!(find(&index, "h", "/b/x%2Fc", &[]), Err(segment));
        // No path chooses between clusters of this host.
        assert_eq!(find(&index, "other", "/a/../b", &[]), Ok(Some(4)));
    }
}
