//! The files of docs/gateways, with the addresses of a test in the place of those of the guide.
//! Nothing else is changed.

use std::path::Path;

/// Reads one file and replaces what has to be replaced.
///
/// # Panics
/// Where something to replace is not there: then the guide has changed and the test would prove
/// nothing about it.
pub(crate) fn file(name: &str, replace: &[(&str, &str)]) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("docs/gateways")
        .join(name);
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|fault| panic!("{}: {fault}", path.display()));
    replace.iter().fold(text, |text, (from, to)| {
        assert!(
            text.contains(from),
            "{name} does not contain {from:?} any more"
        );
        text.replace(from, to)
    })
}
