//! The refusal as a page for a person: the same facts as in the JSON body, nothing loaded from
//! anywhere.

use super::{context::RefusalContext, table::Row};
use std::fmt::Write as _;

/// The page brings its style along and needs nothing else.
pub(super) const POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'self'";

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1d2330;--soft:#5b6474;--paper:#f5f6f8;--card:#fff;--line:#dfe3ea}\
@media(prefers-color-scheme:dark){:root{--ink:#e8ebf1;--soft:#9aa4b5;--paper:#13161c;--card:#1b2029;--line:#2e3542}}\
*{box-sizing:border-box}\
body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1.25rem;background:var(--paper);color:var(--ink);\
font:1rem/1.55 system-ui,-apple-system,'Segoe UI',Roboto,sans-serif}\
main{width:100%;max-width:32rem;padding:2rem;background:var(--card);border:1px solid var(--line);border-radius:14px}\
p{margin:0 0 1rem}.status{margin:0;color:var(--soft);font-size:.875rem;letter-spacing:.02em}\
h1{margin:.25rem 0 .75rem;font-size:1.375rem;line-height:1.3}\
dl{display:grid;grid-template-columns:auto 1fr;gap:.35rem 1rem;margin:1.5rem 0 0;padding-top:1.25rem;border-top:1px solid var(--line);font-size:.875rem}\
dt{color:var(--soft)}dd{margin:0;font-family:ui-monospace,'SF Mono',Menlo,Consolas,monospace;overflow-wrap:anywhere}\
@media(max-width:26rem){main{padding:1.5rem 1.25rem}dl{grid-template-columns:1fr;gap:.1rem}dd{margin-bottom:.5rem}}";

/// Writes the page.
pub(super) fn write(row: &Row, context: &RefusalContext<'_>) -> String {
    let status = row.status_for(context.protocol);
    let mut page = String::with_capacity(2_560);
    let _infallible = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{message}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n\
         <p class=\"status\">{number} {reason}</p>\n<h1>{message}</h1>\n<p>{advice}</p>\n\
         <dl><dt>Code</dt><dd>{code}</dd><dt>Time</dt><dd>{now}</dd><dt>Request id</dt><dd>{id}</dd></dl>\n</main>\n</body>\n</html>\n",
        number = status.as_u16(),
        reason = status.canonical_reason().unwrap_or_default(),
        message = escaped(row.message),
        advice = escaped(row.advice),
        code = escaped(row.code),
        now = context.now,
        id = escaped(context.request_id),
    );
    page
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            _ => out.push(character),
        }
    }
    out
}
