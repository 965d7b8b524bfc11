//! Texts that stand for nothing: a value that is missing, or a variable that was not replaced.

/// What gateways and programs send where a variable has no value.
const PLACEHOLDERS: [&str; 14] = [
    "(null)",
    "-",
    "null",
    "undefined",
    "<nil>",
    "None",
    "anonymous",
    "(none)",
    "<null>",
    "<none>",
    "<no value>",
    "(undefined)",
    "[object Object]",
    "nil",
];

/// What a variable of a gateway's configuration begins with that was not replaced.
const VARIABLES: [&str; 5] = ["${", "%{", "{{", "{http.", "$http_"];

/// What a text that stands for nobody is, for the log: never the text itself.
pub(super) fn placeholder(text: &str) -> Option<&'static str> {
    // Most names begin with none of these, and each request with identity headers asks.
    let first = text.as_bytes().first()?;
    if !b"(-<[{$%nNuUaA".contains(first) {
        return None;
    }
    let is_variable = || VARIABLES.iter().any(|start| text.starts_with(start));
    let mut known = PLACEHOLDERS.into_iter();
    let known = known.find(|known| known.eq_ignore_ascii_case(text));
    known.or_else(|| is_variable().then_some("a variable that the gateway did not replace"))
}

/// The same for headers in which `anonymous` may be meant.
pub(super) fn stands_for_nothing(text: &str) -> bool {
    placeholder(text).is_some_and(|placeholder| placeholder != "anonymous")
}
