//! What a request of proxy mode does to the cluster, as its method and path say: whether it may
//! change something, and which indices it names. The audit stream has both.
//!
//! Decided by the REST APIs of Elasticsearch and OpenSearch
//! (<https://www.elastic.co/docs/api/doc/elasticsearch/>, and
//! <https://docs.opensearch.org/latest/api-reference/>). What is not in [`READS`] counts as a
//! write: an audit stream must not miss one because an API is new.

use http::Method;
use percent_encoding::percent_decode_str;
use std::borrow::Cow;

/// What a request does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Operation<'a> {
    /// Whether it may change something.
    pub(super) writes: bool,
    /// The indices that the path names, as it names them: a list, patterns, `_all`. A bulk request
    /// may name others in its body.
    pub(super) index: Option<Cow<'a, str>>,
}

/// Whether the path may begin with indices.
#[derive(Clone, Copy, PartialEq)]
enum Within {
    AnyIndex,
    NoIndex,
}

use Within::{AnyIndex, NoIndex};

/// Calls that change nothing although their method is not `GET` or `HEAD`: searches with a body,
/// simulations, and what opens and closes a search. `*` is one segment.
const READS: [(&str, Within, &str); 58] = [
    ("POST", AnyIndex, "_search"),
    ("POST", AnyIndex, "_search/template"),
    ("POST", AnyIndex, "_msearch"),
    ("POST", AnyIndex, "_msearch/template"),
    ("POST", AnyIndex, "_async_search"),
    ("POST", AnyIndex, "_count"),
    ("POST", AnyIndex, "_mget"),
    ("POST", AnyIndex, "_explain/*"),
    ("POST", AnyIndex, "_termvectors"),
    ("POST", AnyIndex, "_termvectors/*"),
    ("POST", AnyIndex, "_mtermvectors"),
    ("POST", AnyIndex, "_terms_enum"),
    ("POST", AnyIndex, "_field_caps"),
    ("POST", AnyIndex, "_rank_eval"),
    ("POST", AnyIndex, "_validate/query"),
    ("POST", AnyIndex, "_search_shards"),
    ("POST", AnyIndex, "_knn_search"),
    ("POST", AnyIndex, "_rollup_search"),
    ("POST", AnyIndex, "_mvt/*/*/*/*"),
    ("POST", AnyIndex, "_graph/explore"),
    ("POST", AnyIndex, "_eql/search"),
    ("POST", AnyIndex, "_analyze"),
    ("POST", AnyIndex, "_pit"),
    ("DELETE", NoIndex, "_pit"),
    // OpenSearch.
    ("POST", AnyIndex, "_search/point_in_time"),
    ("DELETE", NoIndex, "_search/point_in_time"),
    ("DELETE", NoIndex, "_search/point_in_time/_all"),
    ("POST", NoIndex, "_search/scroll"),
    ("POST", NoIndex, "_search/scroll/*"),
    ("DELETE", NoIndex, "_search/scroll"),
    ("DELETE", NoIndex, "_search/scroll/*"),
    ("DELETE", NoIndex, "_async_search/*"),
    ("DELETE", NoIndex, "_eql/search/*"),
    ("POST", NoIndex, "_sql"),
    ("POST", NoIndex, "_sql/translate"),
    ("POST", NoIndex, "_sql/close"),
    ("DELETE", NoIndex, "_sql/async/delete/*"),
    ("POST", NoIndex, "_query"),
    ("POST", NoIndex, "_query/async"),
    ("POST", NoIndex, "_query/async/*/stop"),
    ("DELETE", NoIndex, "_query/async/*"),
    ("POST", NoIndex, "_render/template"),
    ("POST", NoIndex, "_render/template/*"),
    ("POST", NoIndex, "_scripts/painless/_execute"),
    ("POST", NoIndex, "_ingest/pipeline/_simulate"),
    ("POST", NoIndex, "_ingest/pipeline/*/_simulate"),
    ("POST", NoIndex, "_index_template/_simulate"),
    ("POST", NoIndex, "_index_template/_simulate/*"),
    ("POST", NoIndex, "_index_template/_simulate_index/*"),
    ("POST", NoIndex, "_transform/_preview"),
    ("POST", NoIndex, "_text_structure/find_structure"),
    ("POST", NoIndex, "_security/user/_has_privileges"),
    ("POST", NoIndex, "_security/profile/_has_privileges"),
    ("POST", NoIndex, "_security/profile/_suggest"),
    ("POST", NoIndex, "_security/_query/user"),
    ("POST", NoIndex, "_security/_query/role"),
    ("POST", NoIndex, "_security/_query/api_key"),
    // OpenSearch. `_plugins/_sql` is not here: it may delete (`plugins.sql.delete.enabled`).
    ("POST", NoIndex, "_plugins/_ppl"),
];

impl<'a> Operation<'a> {
    /// Of the cluster itself. The path is as the client sent it, without the query: the cluster
    /// finds its API by the bytes, and decodes only what it takes out of them.
    pub(super) fn of_cluster(method: &Method, path: &'a str) -> Self {
        let path = path.strip_prefix('/').unwrap_or(path);
        let path = path.trim_end_matches('/');
        let first = path.split('/').next().unwrap_or_default();
        let is_index = !first.is_empty() && (!first.starts_with('_') || first == "_all");
        let index = is_index.then(|| percent_decode_str(first).decode_utf8_lossy());
        let rest = if is_index {
            path.get(first.len() + 1..).unwrap_or_default()
        } else {
            path
        };
        let fits = |(of, within, call): &(&str, Within, &str)| {
            *of == method.as_str() && (*within == AnyIndex || !is_index) && matches(call, rest)
        };
        Self {
            writes: !Self::only_asks(method) && !READS.iter().any(fits),
            index,
        }
    }

    /// For a line that is written later, with so many bytes of the indices at most.
    pub(super) fn cut(self, max: usize) -> Operation<'static> {
        let cut = |index: Cow<'_, str>| {
            let end = index.floor_char_boundary(max);
            index.get(..end).unwrap_or_default().to_owned().into()
        };
        Operation {
            writes: self.writes,
            index: self.index.map(cut),
        }
    }

    /// Of another upstream, whose APIs are not known here: the method decides.
    pub(super) fn of_other(method: &Method) -> Self {
        Self {
            writes: !Self::only_asks(method),
            index: None,
        }
    }

    fn only_asks(method: &Method) -> bool {
        [Method::GET, Method::HEAD, Method::OPTIONS].contains(method)
    }
}

fn matches(call: &str, path: &str) -> bool {
    let (mut call, mut path) = (call.split('/'), path.split('/'));
    loop {
        match (call.next(), path.next()) {
            (None, None) => return true,
            (Some("*"), Some(segment)) if !segment.is_empty() => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(method: &str, path: &str) -> (bool, Option<String>) {
        let operation = Operation::of_cluster(&method.parse().unwrap(), path);
        (operation.writes, operation.index.map(Cow::into_owned))
    }

    #[test]
    fn searches_and_simulations_change_nothing() {
        for (method, path, index) in [
            ("GET", "/", None),
            ("HEAD", "/logs", Some("logs")),
            ("OPTIONS", "/logs/_doc/1", Some("logs")),
            ("POST", "/_search", None),
            ("POST", "/logs/_search", Some("logs")),
            ("POST", "/logs/_search/", Some("logs")),
            ("POST", "/_all/_search", Some("_all")),
            ("POST", "/logs-*,-old/_msearch", Some("logs-*,-old")),
            (
                "POST",
                "/%3Clogs-%7Bnow%2Fd%7D%3E/_count",
                Some("<logs-{now/d}>"),
            ),
            ("POST", "/logs/_explain/1", Some("logs")),
            ("POST", "/logs/_mvt/place/1/2/3", Some("logs")),
            ("POST", "/logs/_pit", Some("logs")),
            ("DELETE", "/_pit", None),
            ("POST", "/_search/scroll", None),
            ("DELETE", "/_search/scroll/abc", None),
            ("POST", "/_sql", None),
            ("POST", "/_query/async", None),
            ("POST", "/_ingest/pipeline/mine/_simulate", None),
            ("POST", "/_plugins/_ppl", None),
        ] {
            assert_eq!(
                of(method, path),
                (false, index.map(str::to_owned)),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn everything_else_may_write() {
        for (method, path, index) in [
            ("PUT", "/logs", Some("logs")),
            ("DELETE", "/logs", Some("logs")),
            ("DELETE", "/logs/_pit", Some("logs")),
            ("POST", "/logs/_doc", Some("logs")),
            ("PUT", "/logs/_doc/_search", Some("logs")),
            ("POST", "/_bulk", None),
            ("POST", "/logs/_bulk", Some("logs")),
            ("POST", "/logs/_update/1", Some("logs")),
            ("POST", "/logs/_delete_by_query", Some("logs")),
            ("POST", "/_reindex", None),
            ("PUT", "/_search/pipeline/mine", None),
            ("POST", "/_plugins/_sql", None),
            ("POST", "/_security/user/alice/_password", None),
            ("POST", "/logs/_search/scroll", Some("logs")),
            ("POST", "/logs/_explain", Some("logs")),
            ("POST", "/logs/_explain//x", Some("logs")),
            // The cluster takes this for the name of an index.
            ("POST", "/%5Fsearch", Some("_search")),
            ("POST", "/logs/%5Fsearch", Some("logs")),
            ("POST", "//_search", None),
            ("POST", "/logs//_search", Some("logs")),
            ("SEARCH", "/logs/_search", Some("logs")),
            ("POST", "/", None),
            ("POST", "", None),
        ] {
            assert_eq!(
                of(method, path),
                (true, index.map(str::to_owned)),
                "{method} {path}"
            );
        }
    }

    #[test]
    fn a_kept_operation_has_the_verdict_on_the_whole_path() {
        let path = format!("/{},b/_doc/1", "ä".repeat(1_000));
        let kept = Operation::of_cluster(&Method::PUT, &path).cut(1_023);
        assert!(kept.writes);
        assert_eq!(kept.index.as_deref(), Some(&*"ä".repeat(511)));
        let search = format!("/{}/_search", "a,".repeat(1_000));
        assert!(!Operation::of_cluster(&Method::POST, &search).cut(9).writes);
    }

    #[test]
    fn of_another_upstream_only_the_method_is_known() {
        let of = |method| Operation::of_other(&method);
        assert!(of(Method::POST).writes && !of(Method::GET).writes);
        assert_eq!(of(Method::PUT).index, None);
    }

    #[test]
    fn no_call_is_listed_twice() {
        for (at, call) in READS.iter().enumerate() {
            assert!(!READS[..at].contains(call), "{}", call.2);
        }
    }
}
