//! The files of docs/gateways, with the addresses of a test in the place of those of the guide.
//! Nothing else is changed.

use std::{cell::RefCell, path::Path};

/// A line of a guide, and what somebody has made of it by mistake.
pub(crate) type Mistake = (&'static str, &'static str, &'static str);

thread_local! {
    /// Of this thread, which is the one of its test.
    static MISTAKES: RefCell<Vec<Mistake>> = const { RefCell::new(Vec::new()) };
}

/// From now on the files that this test reads have these mistakes: file, text, what it becomes.
pub(crate) fn with_mistakes(mistakes: &[Mistake]) {
    MISTAKES.with_borrow_mut(|of_test| *of_test = mistakes.to_vec());
}

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
    let mistakes = MISTAKES.with_borrow(Clone::clone);
    let mistakes = mistakes.iter().filter(|(of_file, ..)| *of_file == name);
    let mistakes = mistakes.map(|(_, from, to)| (*from, *to));
    let replace = mistakes.chain(replace.iter().copied());
    replace.fold(text, |text, (from, to)| {
        assert!(
            text.contains(from),
            "{name} does not contain {from:?} any more"
        );
        text.replace(from, to)
    })
}
