//! Bodies of answers that may be anything: what of them is kept, and may be repeated.

use crate::cluster::pool::NodeAnswer;
use serde::Deserialize;
use serde_json::Value;

/// The body, where it is this.
pub(super) fn parsed<'a, T: Deserialize<'a>>(answer: &'a NodeAnswer) -> Option<T> {
    serde_json::from_slice(answer.body.as_ref().ok()?).ok()
}

/// `error.type`, where the body has one. `error` may also be a string or missing, and the body may
/// be anything. Only the name of an exception in snake case is repeated.
pub(super) fn error_type(answer: &NodeAnswer) -> Option<Box<str>> {
    let ErrorBody { error } = parsed(answer)?;
    let name = error.get("type")?.as_str()?;
    let fits = (1..=100).contains(&name.len())
        && name
            .bytes()
            .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    fits.then(|| name.into())
}

/// Shown to a person: what does not look like a version is not repeated.
pub(super) fn version_number(number: String) -> Option<String> {
    let fits = (1..=40).contains(&number.len())
        && number
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b".-+".contains(&b));
    fits.then_some(number)
}

#[derive(Deserialize)]
struct ErrorBody {
    error: Value,
}
