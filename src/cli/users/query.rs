//! The query of a question to a replica.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use std::fmt::Write as _;

/// A query, with its question mark; empty without parameters.
pub(super) fn query(parameters: impl IntoIterator<Item = (&'static str, String)>) -> String {
    let mut query = String::new();
    for (name, value) in parameters {
        let value = utf8_percent_encode(&value, NON_ALPHANUMERIC);
        let sign = if query.is_empty() { '?' } else { '&' };
        let _infallible = write!(query, "{sign}{name}={value}");
    }
    query
}
